// What the parts of an evaluation of retraining have in common: runs, models for versions of the
// application, and whoever serves, learns and is judged beside each other. Private to it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "benchmarks/cluster/sim/scenario_file.h"
#include "benchmarks/evaluation/retrain_run.h"
#include "seer/predict/listen.h"
#include "seer/predict/retrainer.h"
#include "seer/predict/rivals.h"
#include "seer/predict/tick_predictor.h"
#include "seer/predict/tree_model.h"
#include "seer/window/violations.h"

namespace seer::evaluation {

constexpr double kMinute = 60;

// That this thread has taken.
double CpuSeconds();

// The first `updates` of the scenario's, from the start (a version of the application), or at even
// distances (a series of them).
absl::StatusOr<cluster::BuiltScenario> BuildUpdated(const RetrainOptions& options,
                                                    std::uint64_t seed, double minutes,
                                                    std::size_t updates, bool series);

// A run that is kept, labelled as `seer label` does it.
struct Kept {
  std::vector<ClusterTick> ticks;
  LabelledRun run;
};
absl::StatusOr<std::unique_ptr<Kept>> Keep(const RetrainOptions& options, std::uint64_t seed,
                                           double minutes, std::size_t updates);

// Trained on one version of the application, and what that took; of the first one also the rival
// with the most hits on validation, at the threshold that keeps to the rate.
struct TrainedOnce {
  TreeModel model;
  double cpu_s = 0;
  RivalKind rival = RivalKind::kSelfDepthZ;
  double rival_threshold = 0;
};
// From `options.models` where it was made before.
absl::StatusOr<TrainedOnce> TrainOnce(const RetrainOptions& options, std::size_t updates);

// The violations of a run, by time, detected as it goes.
struct Watched {
  ViolationDetector detector;
  std::vector<Violation> violations;
  void Observe(const ClusterTick& tick, const Topology& topology);
  void Finish();
};

// A line each, with the minute of the run that began then.
std::vector<std::string> LinesOf(const std::vector<RetrainDecision>& decisions,
                                 std::int64_t start_ns);

// Somebody's alarms, and in the end what they were worth.
class Judged {
 public:
  // `calibration`: of a model.
  explicit Judged(std::unique_ptr<TickPredictor> predictor,
                  std::optional<ModelCalibration> calibration = std::nullopt);
  explicit Judged(const TreeModel& model);

  // Another model of the same kind goes on from what this one knows, as in a Predictor.
  absl::Status Next(const TreeModel& model, const Topology& topology);
  // One that knows nothing yet: it takes over as soon as it says something.
  void Succeed(std::unique_ptr<TickPredictor> next, const ModelCalibration& calibration);
  absl::Status Observe(const ClusterTick& tick, const Topology& topology);
  const Forecast& forecast() const { return forecast_; }

  // `shift`: of the log-odds from which on there is alarm, of a model.
  RetrainCounts Count(const std::vector<Violation>& violations, std::int64_t from_ns,
                      std::int64_t to_ns, double shift = 0) const;

 private:
  // Of a class; of models also the log-odds of a violation, and from which on there is alarm.
  struct Said {
    std::vector<std::int64_t> times_ns;
    std::vector<std::uint8_t> alarms;
    std::vector<float> odds, begins;
  };

  std::unique_ptr<TickPredictor> predictor_;
  std::optional<ModelCalibration> calibration_;
  std::unique_ptr<TickPredictor> successor_;
  ModelCalibration its_calibration_;
  Forecast forecast_;
  std::vector<Said> said_;
};

// A retrainer beside a predictor, with what its rounds cost.
struct Learning {
  std::unique_ptr<Retrainer> retrainer;
  double cpu_s = 0;          // of Step()s, but for those of a training from scratch:
  double scratch_cpu_s = 0;  // of these
  double observe_cpu_s = 0;  // of Observe(): what the ticks look like to the model
  std::uint64_t versions = 0, rounds = 0, scratches = 0;
  std::vector<RetrainDecision> decisions = {};

  // `judged` is who serves.
  absl::Status Observe(const ClusterTick& tick, const Topology& topology, Judged* judged);
};
absl::StatusOr<Learning> Learn(const RetrainOptions& options, const TreeModel& model,
                               double left_alone = 0);

}  // namespace seer::evaluation
