#include "benchmarks/evaluation/simulate.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>
#include <system_error>
#include <utility>
#include <vector>

#include "benchmarks/evaluation/csv.h"
#include "benchmarks/evaluation/replay.h"
#include "seer/dataset/reader.h"
#include "seer/dataset/writer.h"

namespace seer::evaluation {
namespace {

constexpr std::int64_t kNsPerMs = 1'000'000;

absl::Status Rename(const std::string& from, const std::string& to) {
  std::error_code error;
  std::filesystem::rename(from, to, error);
  if (!error) return absl::OkStatus();
  return absl::UnavailableError(to + ": " + error.message());
}

// The service with the most calls outstanding.
ServiceId LongestQueue(const SelfDepthTable& depths) {
  if (depths.outstanding.empty()) return ServiceId();
  const auto most = std::max_element(depths.outstanding.begin(), depths.outstanding.end());
  return ServiceId(static_cast<std::uint32_t>(most - depths.outstanding.begin()));
}

}  // namespace

RunFiles::RunFiles(const std::string& folder, const std::string& run)
    : ticks(folder + "/" + run + ".seerdata"),
      truth(folder + "/" + run + ".violations.csv"),
      tails(folder + "/" + run + ".tails.csv"),
      oracle(folder + "/" + run + ".oracle.csv"),
      range(folder + "/" + run + ".run.csv") {}

bool RunFiles::done() const {
  std::error_code error;
  for (const std::string* file : {&ticks, &truth, &tails, &oracle, &range}) {
    if (!std::filesystem::exists(*file, error)) return false;
  }
  return true;
}

absl::Status SimulateRun(const ScenarioSet& set, const PreparedRun& run,
                         const OracleOptions& oracle_options, const std::string& folder) {
  const RunFiles files(folder, run.plan.name);
  if (files.done()) return absl::OkStatus();
  const Topology& topology = run.model->topology;
  const std::string unfinished = files.ticks + ".tmp";
  std::remove(unfinished.c_str());
  auto writer = DatasetWriter::Create(unfinished);
  if (!writer.ok()) return writer.status();
  DatasetRun record;
  record.name = run.plan.name;
  record.period = run.scenario.simulator.period;
  record.provenance.source = "benchmarks/cluster";
  record.provenance.tool = "run-evaluation";
  record.provenance.note = "simulated";
  if (auto begun = writer->BeginRun(record); !begun.ok()) return begun.status();
  absl::Status status = writer->SetTopology(topology);

  Oracle oracle(run.model, oracle_options, run.plan.seed);
  const bool asks = oracle_options.violations + oracle_options.quiet_ticks > 0;
  Recording recording;
  Run& out = recording.Of(run.plan.name);
  TailMeters meters;
  ViolationDetector detector;
  SelfDepthTable depths;
  ServiceId longest;
  std::map<std::pair<std::uint32_t, std::int64_t>, ServiceId> longest_before;

  cluster::ScenarioOptions scenario = run.scenario;
  scenario.control = [&](cluster::Simulator* simulator) {
    if (asks) oracle.Look(*simulator);
  };
  const std::vector<cluster::TruthRow> truth =
      cluster::RunScenario(run.model, scenario, [&](const ClusterTick& tick) {
        if (status.ok()) status = writer->Append(tick);
        const std::int64_t now_ns = tick.period.EndNs(tick.tick);
        if (out.start_ms == 0) out.start_ms = now_ns / kNsPerMs;
        out.end_ms = now_ns / kNsPerMs;
        meters.Observe(tick, topology, 0.5, &recording.names, &out.tails);
        if (asks) oracle.Observe(tick);
        detector.Observe(tick, topology);
        for (const Violation& v : detector.open()) {
          if (v.start_ns == now_ns) longest_before[{v.request_class.value(), now_ns}] = longest;
        }
        detector.TakeFinished();
        SelfDepths(tick, topology, &depths);
        longest = LongestQueue(depths);
      });
  if (status.ok()) status = writer->EndRun();
  if (!status.ok()) return status;

  const auto& faults = run.scenario.simulator.faults;
  for (const cluster::TruthRow& row : truth) {
    const Violation& v = row.violation;
    ViolationRow violation;
    violation.start_ms = v.start_ns / kNsPerMs;
    violation.end_ms = v.end_ns / kNsPerMs;
    violation.request_class = ClassLabel(topology.request_class(v.request_class));
    violation.cause = row.cause;
    const bool service = v.initiation == Initiation::kService && v.culprit.valid();
    violation.culprit = service ? topology.service(v.culprit).name : std::string(kLoad);
    const auto before = longest_before.find({v.request_class.value(), v.start_ns});
    violation.trap = service && before != longest_before.end() && before->second != v.culprit;
    std::string kind = "none", onset = "none";
    if (row.fault >= 0) {
      const cluster::Fault& fault = faults[static_cast<std::size_t>(row.fault)];
      kind = std::string(cluster::FaultKindName(fault.kind));
      onset = fault.ramp_ns > 0 ? "ramp" : "step";
    }
    const auto in = [](const std::vector<std::string>& list, const std::string& what) {
      return std::find(list.begin(), list.end(), what) != list.end() ? "yes" : "no";
    };
    violation.groups = {{"kind", kind},
                        {"onset", onset},
                        {"reason", row.reason},
                        {"unseen_culprit", in(set.culprits, violation.culprit)},
                        {"unseen_cause", in(set.causes, kind)}};
    out.violations.push_back(std::move(violation));
  }
  struct File {
    const std::string& path;
    std::string bytes;
  };
  const File written[] = {{files.range, RunsCsv(recording)},
                          {files.oracle, OracleCsv(run.plan.name, oracle.TakeRows())},
                          {files.tails, TailsCsv(recording)},
                          {files.truth, ViolationsCsv(recording)}};
  if (status = Rename(unfinished, files.ticks); !status.ok()) return status;
  for (const File& file : written) {
    const std::string temporary = file.path + ".tmp";
    if (status = WriteFile(temporary, file.bytes); !status.ok()) return status;
    if (status = Rename(temporary, file.path); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status ForEachTick(
    const std::string& path,
    const std::function<absl::Status(const ClusterTick&, const Topology&)>& handle) {
  auto reader = DatasetReader::Open(path);
  if (!reader.ok()) return reader.status();
  if (reader->manifest().runs.size() != 1) {
    return absl::InvalidArgumentError(path + ": not one run: remove it");
  }
  auto topology = reader->LatestTopology(0);
  if (!topology.ok()) return topology.status();
  TickCursor cursor = reader->Ticks(0);
  ClusterTick tick;
  while (true) {
    auto more = cursor.Next(&tick);
    if (!more.ok()) return more.status();
    if (!*more) return absl::OkStatus();
    if (absl::Status status = handle(tick, *topology); !status.ok()) return status;
  }
}

absl::Status ReadTruth(const RunFiles& files, Recording* recording) {
  struct Input {
    const std::string& path;
    absl::Status (*read)(std::string_view, std::string_view, Recording*);
  };
  for (const Input& input : {Input{files.truth, &ReadViolations}, Input{files.tails, &ReadTails},
                             Input{files.range, &ReadRuns}}) {
    auto bytes = ReadFile(input.path);
    if (!bytes.ok()) return bytes.status();
    const absl::Status status = input.read(input.path, *bytes, recording);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace seer::evaluation
