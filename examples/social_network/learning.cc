#include "learning.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <vector>

#include "checked.h"
#include "examples/seer/recorded.h"
#include "seer/dataset/reader.h"
#include "seer/predict/tree_model.h"
#include "seer/predict/tree_trainer.h"

namespace social {
namespace {

constexpr char kSource[] = "social-network";
constexpr double kFewFalseAlarms = 3;
// Faults here show themselves some ticks ahead: what is said of later is said of any time.
constexpr std::int64_t kMostHorizonNs = 500'000'000;

}  // namespace

Recording::Recording(const std::string& path, const std::string& name) {
  seer::DatasetWriterOptions options;
  options.ticks_per_block = 256;  // what a control plane that is killed has not written yet
  options.zstd_level = 9;
  writer_ = Value(std::filesystem::exists(path) ? seer::DatasetWriter::Append(path, options)
                                                : seer::DatasetWriter::Create(path, options));
  seer::DatasetRun run;
  run.name = name;
  run.provenance.tool = "examples/run social-network";
  Value(writer_->BeginRun(run));
}

void Recording::Add(const seer::ClusterTick& tick, const seer::Topology& topology) {
  // What cannot be written is missing in the recording, and nowhere else.
  writer_->Append(tick, topology).IgnoreError();
}

std::size_t RunsIn(const std::string& path) {
  const auto reader = seer::DatasetReader::Open(path);
  return reader.ok() ? reader->manifest().runs.size() : 0;
}

void AddTruth(const std::string& path, std::size_t first, const Record& record) {
  const std::size_t runs = RunsIn(path);
  if (runs <= first) return;
  seer::DatasetWriter writer = Value(seer::DatasetWriter::Append(path));
  std::vector<seer::DatasetEvent> events;
  for (const FaultMade& made : record.faults) {
    seer::DatasetEvent& event = events.emplace_back();
    event.kind = seer::DatasetEventKind::kFault;
    event.start_ns = made.start_ns;
    event.end_ns = made.end_ns;
    event.culprit = made.fault.target;
    event.cause = made.fault.cause();
  }
  for (const Missed& missed : record.missed) {
    seer::DatasetEvent& event = events.emplace_back();
    event.start_ns = missed.start_ns;
    event.end_ns = std::max(missed.start_ns, missed.end_ns);
    event.request_class = kRequestNames[missed.kind];
    const int fault = FaultBehind(record, missed.start_ns);
    if (fault < 0) continue;  // nobody knows
    const Fault& truth = record.faults[static_cast<std::size_t>(fault)].fault;
    event.initiation = seer::Initiation::kService;
    event.culprit = truth.target;
    event.cause = truth.cause();
    event.confidence = 1;
  }
  for (std::size_t run = first; run < runs; ++run) {
    for (seer::DatasetEvent event : events) {
      event.source = kSource;
      Check(writer.AddEvent(static_cast<std::uint32_t>(run), event));
    }
  }
  Check(writer.Flush());
}

std::string Train(const std::string& recording, const std::string& model, std::uint64_t seed) {
  const auto readers = Value(seer_tool::OpenAll({recording}));
  std::vector<seer_tool::Part> parts = Value(seer_tool::PartsOf(readers, std::nullopt, kSource));
  const std::vector<seer_tool::Part> held = seer_tool::KeepBack(&parts);
  seer::TreeTrainingOptions options;
  // What was kept back of some minutes tells a rate only roughly: a few alarms are none too many.
  double held_hours = 0;
  for (const seer_tool::Part& part : held) {
    const std::int64_t period_ns = part.reader->manifest().runs[part.run].period.ns();
    held_hours += static_cast<double>((part.to - part.from) * period_ns) / 3.6e12;
  }
  options.alarm.false_alarms_per_hour =
      std::max(kFalseAlarmsPerHour, kFewFalseAlarms / std::max(held_hours, 1e-3));
  options.alarm.most_horizon_ns = kMostHorizonNs;
  // One application in some minutes or an hour: few rows.
  options.violations.rounds = options.initiators.rounds = 100;
  options.violations.depth = options.initiators.depth = 4;
  options.violations.least_child = options.initiators.least_child = 3;
  options.violations.seed = options.initiators.seed = seed;
  options.stride = 4;
  seer::TreeTrainingReport report;
  seer::TreeModel trained = Value(seer::TrainTrees(
      seer_tool::LabelledRunsOf(parts), seer_tool::LabelledRunsOf(held), options, &report));
  trained.provenance["made-by"] = "examples/run social-network";
  trained.provenance["minutes"] = std::to_string(report.ticks / 600);
  Check(seer::SaveTreeModel(trained, model));
  char text[256];
  std::snprintf(
      text, sizeof text,
      "learnt from %llu violations in %.1f minutes; of %llu others %llu are foreseen, with "
      "%llu false alarms in %.1f minutes\n",
      static_cast<unsigned long long>(report.violations), static_cast<double>(report.ticks) / 600,
      static_cast<unsigned long long>(report.alarm.violations),
      static_cast<unsigned long long>(report.alarm.hits),
      static_cast<unsigned long long>(report.alarm.false_alarms), report.alarm.hours * 60);
  return text;
}

}  // namespace social
