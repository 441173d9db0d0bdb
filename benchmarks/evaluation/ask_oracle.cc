// ask-oracle: what precision can be had: the oracle is asked at a predictor's own alarms.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "benchmarks/evaluation/contenders.h"
#include "benchmarks/evaluation/csv.h"
#include "benchmarks/evaluation/replay.h"
#include "benchmarks/evaluation/second_opinion.h"
#include "benchmarks/evaluation/trained_predictor.h"
#include "seer/predict/tree_model.h"

namespace seer::evaluation {
namespace {

constexpr std::string_view kUsage =
    R"(ask-oracle --scenarios FILE --graphs FOLDER --runs FOLDER --model FILE

  --set NAME     of the runs: test, or validation
  --every N      of the hits and of the false alarms each N-th; 4
  --futures N    for each; 32
  --jobs N       threads; 1
  --csv FILE     a line for each alarm that was asked about

Plays the runs again and prints how many of the model's alarms the oracle raises too.
)";

int Fail(std::string_view message) {
  std::fprintf(stderr, "ask-oracle: %.*s\n", static_cast<int>(message.size()), message.data());
  return 1;
}
int Fail(const absl::Status& status) {
  return Fail({status.message().data(), status.message().size()});
}

struct Arguments {
  std::string scenarios, graphs, runs, model, csv;
  std::string set = "test", every = "4", futures = "32", jobs = "1";
};

struct AskedRun {
  RunPlan plan;
  std::vector<AskedAlarm> alarms;
  std::string csv;
};

absl::Status Ask(const Arguments& arguments, const ScenarioSet& set, const TreeModel& model,
                 std::size_t place, AskedRun* asked) {
  const auto labelled = LabelledRuns(arguments.runs, {asked->plan.name});
  if (!labelled.ok()) return labelled.status();
  const LabelledRun& run = labelled->front();
  TreePredictorOptions quiet;
  quiet.evidence = false;
  auto predictor = MakeTreePredictor(model, quiet);
  if (!predictor.ok()) return predictor.status();
  const auto heard = Listen(run, predictor->get(), model.horizons_ns);
  if (!heard.ok()) return heard.status();
  const auto every = static_cast<std::size_t>(std::max(1, std::atoi(arguments.every.c_str())));
  asked->alarms = AlarmsOf(*heard, every, place);
  const auto prepared = Prepare(set, asked->plan, arguments.graphs);
  if (!prepared.ok()) return prepared.status();
  const auto futures =
      static_cast<std::uint32_t>(std::clamp(std::atoi(arguments.futures.c_str()), 1, 1000));
  const auto violations = AskAgain(*prepared, futures, set.oracle.horizon_ms, &asked->alarms);
  if (!violations.ok()) return violations.status();
  if (*violations != run.violations.size()) {
    return absl::FailedPreconditionError(asked->plan.name +
                                         ": it has other violations now: simulate the runs again");
  }
  for (const AskedAlarm& one : asked->alarms) {
    asked->csv += asked->plan.name + "," + std::to_string(one.time_ns / 1'000'000) + "," +
                  CsvField(ClassLabel(run.topology.request_class(one.request_class))) + "," +
                  (one.hit         ? "hit"
                   : one.again     ? "again"
                   : one.near_miss ? "near"
                                   : "false") +
                  "," + std::to_string(one.violate) + "," + std::to_string(one.futures) + "\n";
  }
  return absl::OkStatus();
}

void Print(const char* what, const Metric& metric) {
  std::printf("%-42s %.3f (%.3f .. %.3f) of %llu\n", what, metric.value, metric.low, metric.high,
              static_cast<unsigned long long>(metric.of));
}

int Main(int argc, char** argv) {
  Arguments a;
  const std::pair<std::string_view, std::string*> options[] = {
      {"--scenarios", &a.scenarios}, {"--graphs", &a.graphs}, {"--runs", &a.runs},
      {"--model", &a.model},         {"--set", &a.set},       {"--every", &a.every},
      {"--futures", &a.futures},     {"--jobs", &a.jobs},     {"--csv", &a.csv}};
  for (int i = 1; i < argc; ++i) {
    const std::string_view option = argv[i];
    if (option == "--help" || option == "-h") {
      std::fwrite(kUsage.data(), 1, kUsage.size(), stdout);
      return 0;
    }
    const auto* const found = std::find_if(std::begin(options), std::end(options),
                                           [&](const auto& each) { return each.first == option; });
    if (found == std::end(options) || i + 1 >= argc) {
      return Fail("unknown option or missing value: " + std::string(option) + " (--help)");
    }
    *found->second = argv[++i];
  }
  const auto json = ReadFile(a.scenarios);
  if (!json.ok()) return Fail(json.status());
  const auto set = ParseScenarioSet(a.scenarios, *json);
  if (!set.ok()) return Fail(set.status());
  const auto model = LoadTreeModel(a.model);
  if (!model.ok()) return Fail(model.status());
  std::vector<AskedRun> runs;
  for (const RunPlan& plan : RunsOf(*set)) {
    if (plan.set == a.set) runs.push_back({plan, {}, ""});
  }
  const auto jobs = static_cast<std::size_t>(std::clamp(std::atoi(a.jobs.c_str()), 1, 256));
  const absl::Status status = ForEachInParallel(
      jobs, runs.size(), [&](std::size_t i) { return Ask(a, *set, *model, i, &runs[i]); });
  if (!status.ok()) return Fail(status);
  std::vector<AskedAlarm> all;
  std::string csv = "run,time_ms,class,outcome,violate,futures\n";
  for (const AskedRun& run : runs) {
    all.insert(all.end(), run.alarms.begin(), run.alarms.end());
    csv += run.csv;
  }
  if (!a.csv.empty()) {
    if (absl::Status written = WriteFile(a.csv, csv); !written.ok()) return Fail(written);
  }
  const SecondOpinion opinion = Summarize(all);
  Print("hits that the oracle raises", opinion.hits);
  Print("false alarms that it raises", opinion.false_alarms);
  Print("- no violation came", opinion.in_vain);
  Print("- of one that was told of before", opinion.again);
  std::printf("share of futures that violate: %.3f at hits, %.3f at false alarms\n",
              opinion.share_of_hits, opinion.share_of_false);
  std::printf("precision %.3f, expected %.3f; of those that the oracle raises too %.3f\n",
              opinion.precision, opinion.precision_expected, opinion.precision_agreed);
  return 0;
}

}  // namespace
}  // namespace seer::evaluation

int main(int argc, char** argv) { return seer::evaluation::Main(argc, argv); }
