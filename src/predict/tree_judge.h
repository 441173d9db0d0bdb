// Whether one model of trees is better than another, on time that neither was trained with. Private
// to the retrainer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "predict/tree_replay.h"
#include "seer/core/config.h"
#include "seer/predict/fit_alarm.h"
#include "seer/predict/tree_model.h"

SEER_BEGIN_NAMESPACE
namespace internal {

struct TreeScore {
  std::size_t ahead = 0, calm = 0;  // looks with and without a violation ahead, within a second
  std::size_t violations = 0;
  double loss = 0;      // mean of -log P of what came, calibrated
  double auc = 0.5;     // P(a look of the first kind looks more like one)
  double culprits = 0;  // of the first kind, where somebody is blamed: who is so rightly
  std::uint64_t hits = 0, false_alarms = 0;  // of the alarm; near misses not counted
  double hours = 0;
};

// What a model says of what was held back, not calibrated.
class TreeVerdict {
 public:
  TreeVerdict(const TreeModel& model, const TreeHeldBack& held, std::int64_t from_ns);

  // With the model's own calibration.
  TreeScore Own() const { return With(model_.calibration); }
  TreeScore With(const ModelCalibration& calibration) const {
    return Score(calibration, calibration);
  }
  // With one that was fitted to the other half of the blocks, for each half. InvalidArgument: too
  // few violations for that.
  absl::StatusOr<TreeScore> ByHalves(const FitAlarmOptions& options) const;
  // Fitted to all of it.
  absl::StatusOr<ModelCalibration> Fit(const FitAlarmOptions& options) const;

 private:
  struct Said {
    std::int64_t block = 0;
    ForecastTrack track;
    std::vector<const TreeLook*> looks;
  };
  TreeScore Score(const ModelCalibration& even, const ModelCalibration& odd) const;
  absl::StatusOr<ModelCalibration> FitHalf(const FitAlarmOptions& options, int half) const;

  const TreeModel& model_;
  std::vector<Said> said_;
  std::size_t violations_ = 0;
  double culprits_ = 0;
};

// Empty: the candidate is no worse. Else why it is.
std::string WhyWorse(const TreeScore& serving, const TreeScore& candidate, std::size_t fewest,
                     double false_alarms_per_hour);

}  // namespace internal
SEER_END_NAMESPACE
