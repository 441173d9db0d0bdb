#include "benchmarks/evaluation/trained_predictor.h"

#include <memory>
#include <utility>

#include "benchmarks/evaluation/simulate.h"

namespace seer::evaluation {
namespace {

constexpr std::int64_t kNsPerMs = 1'000'000;

std::string LabelOf(const RequestClass& row) {
  return row.application.empty() ? row.name : row.application + "/" + row.name;
}

std::vector<Violation> ViolationsOf(const std::vector<ViolationRow>& rows,
                                    const Topology& topology) {
  std::vector<Violation> violations;
  for (const ViolationRow& row : rows) {
    Violation violation;
    violation.start_ns = row.start_ms * kNsPerMs;
    violation.end_ns = row.end_ms * kNsPerMs;
    violation.confidence = 1;
    if (row.culprit == kLoad) violation.initiation = Initiation::kLoad;
    if (const auto culprit = topology.FindService(row.culprit)) {
      violation.initiation = Initiation::kService;
      violation.culprit = *culprit;
    }
    for (std::size_t c = 0; c < topology.classes().size(); ++c) {
      if (LabelOf(topology.classes()[c]) != row.request_class) continue;
      violation.request_class = ClassId(static_cast<std::uint32_t>(c));
      violations.push_back(violation);
    }
  }
  return violations;
}

}  // namespace

absl::StatusOr<std::vector<LabelledRun>> LabelledRuns(const std::string& folder,
                                                      const std::vector<std::string>& names) {
  std::vector<LabelledRun> runs;
  for (const std::string& name : names) {
    const RunFiles files(folder, name);
    LabelledRun run;
    const absl::Status first =
        ForEachTick(files.ticks, [&](const ClusterTick&, const Topology& topology) {
          run.topology = topology;
          return absl::CancelledError("enough");
        });
    if (!first.ok() && !absl::IsCancelled(first)) return first;
    Recording recording;
    if (absl::Status read = ReadTruth(files, &recording); !read.ok()) return read;
    run.violations = ViolationsOf(recording.Of(name).violations, run.topology);
    run.for_each_tick = [path = files.ticks](const auto& handle) {
      return ForEachTick(path,
                         [&](const ClusterTick& tick, const Topology&) { return handle(tick); });
    };
    runs.push_back(std::move(run));
  }
  return runs;
}

TreeTrainingOptions TrainedPredictorOptions(const ScenarioSet& set) {
  TreeTrainingOptions options;
  options.alarm.false_alarms_per_hour = set.false_alarms_per_hour;
  options.threads = 2;
  return options;
}

Contender TrainedPredictor(const ScenarioSet& set) {
  Contender contender;
  contender.name = kTrainedPredictor;
  contender.scale = Scale::kOwn;  // the library has chosen its threshold, on the validation runs
  contender.trained = true;
  contender.prepare = [options = TrainedPredictorOptions(set)](
                          const TrainingData* data) -> absl::StatusOr<MakePredictor> {
    const auto train = LabelledRuns(data->folder, data->train);
    if (!train.ok()) return train.status();
    const auto validation = LabelledRuns(data->folder, data->validation);
    if (!validation.ok()) return validation.status();
    auto trained = TrainTrees(*train, *validation, options);
    if (absl::IsInvalidArgument(trained.status())) {  // too few violations: it is left out
      return absl::UnimplementedError(trained.status().message());
    }
    if (!trained.ok()) return trained.status();
    auto model = std::make_shared<const TreeModel>(*std::move(trained));
    return MakePredictor([model](double) {
      TreePredictorOptions own;
      own.name = kTrainedPredictor;
      return MakeTreePredictor(*model, own);
    });
  };
  return contender;
}

}  // namespace seer::evaluation
