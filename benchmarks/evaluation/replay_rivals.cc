// replay-rivals: the rivals without training on recorded runs, for score-forecasts.
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "benchmarks/evaluation/csv.h"
#include "benchmarks/evaluation/replay.h"
#include "seer/dataset/reader.h"
#include "seer/predict/rivals.h"

namespace seer::evaluation {
namespace {

constexpr std::string_view kUsage = R"(replay-rivals FOLDER DATASET... [--violations FILE]

Runs every rival of seer::MakeRival() over the runs of the datasets and writes into FOLDER:
violations.csv, tails.csv, runs.csv, and <rival>.csv for each. FOLDER has to be there.

  --violations FILE   [run,]start_ms,end_ms,class,culprit,cause[,trap]: truth that somebody knows,
                      instead of what the targets in the dataset tell
)";

int Fail(std::string_view message) {
  std::fprintf(stderr, "replay-rivals: %.*s\n", static_cast<int>(message.size()), message.data());
  return 1;
}
int Fail(const absl::Status& status) {
  return Fail(std::string_view(status.message().data(), status.message().size()));
}

absl::Status Load(const std::string& path, std::vector<RecordedRun>* runs) {
  auto reader = DatasetReader::Open(path);
  if (!reader.ok()) return reader.status();
  for (std::uint32_t i = 0; i < reader->manifest().runs.size(); ++i) {
    RecordedRun run;
    run.name = reader->manifest().runs[i].name;
    auto topology = reader->LatestTopology(i);
    if (!topology.ok()) return topology.status();
    run.topology = *std::move(topology);
    TickCursor cursor = reader->Ticks(i);
    ClusterTick tick;
    while (true) {
      auto more = cursor.Next(&tick);
      if (!more.ok()) return more.status();
      if (!*more) break;
      run.ticks.push_back(tick);
    }
    runs->push_back(std::move(run));
  }
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  std::vector<std::string> arguments;
  std::string violations;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--help" || argument == "-h") {
      std::fwrite(kUsage.data(), 1, kUsage.size(), stdout);
      return 0;
    }
    if (argument == "--violations" && i + 1 < argc) {
      violations = argv[++i];
    } else {
      arguments.emplace_back(argument);
    }
  }
  if (arguments.size() < 2) return Fail("a folder and a dataset are needed (--help)");
  const std::string& folder = arguments[0];

  std::vector<RecordedRun> runs;
  for (std::size_t i = 1; i < arguments.size(); ++i) {
    const absl::Status status = Load(arguments[i], &runs);
    if (!status.ok()) return Fail(status);
  }
  Recording truth;
  if (!violations.empty()) {
    auto bytes = ReadFile(violations);
    if (!bytes.ok()) return Fail(bytes.status());
    const absl::Status status = ReadViolations(violations, *bytes, &truth);
    if (!status.ok()) return Fail(status);
  }
  for (const RecordedRun& run : runs) {
    AddTruth(run, &truth);
    MarkTraps(run, &truth);
  }
  for (const auto& [name, bytes] :
       {std::pair("violations", ViolationsCsv(truth)), std::pair("tails", TailsCsv(truth)),
        std::pair("runs", RunsCsv(truth))}) {
    const absl::Status status = WriteFile(folder + "/" + name + ".csv", bytes);
    if (!status.ok()) return Fail(status);
  }
  const RivalOptions options;
  for (const RivalKind kind : kAllRivals) {
    auto rival = MakeRival(kind, options);
    if (!rival.ok()) return Fail(rival.status());
    Recording recording;
    for (const RecordedRun& run : runs) {
      const absl::Status status =
          AddForecasts(run, options.alarm_horizon_ns / 1'000'000, rival->get(), &recording);
      if (!status.ok()) return Fail(status);
    }
    const std::string path = folder + "/" + std::string(RivalName(kind)) + ".csv";
    const absl::Status status = WriteFile(path, ForecastsCsv(recording));
    if (!status.ok()) return Fail(status);
  }
  return 0;
}

}  // namespace
}  // namespace seer::evaluation

int main(int argc, char** argv) { return seer::evaluation::Main(argc, argv); }
