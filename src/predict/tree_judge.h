// Whether one model of trees is better than another, on time that neither was trained with. Private
// to the retrainer.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "predict/judged_score.h"
#include "predict/tree_replay.h"
#include "seer/core/config.h"
#include "seer/predict/fit_alarm.h"
#include "seer/predict/tree_model.h"

SEER_BEGIN_NAMESPACE
namespace internal {

struct TreeScore : JudgedScore {             // ahead: within a second
  double loss = 0;                           // mean of -log P of what came, calibrated
  std::uint64_t hits = 0, false_alarms = 0;  // of the alarm; near misses not counted
  double hours = 0;
};

// What trees say of a track. An empty ensemble of initiators blames the most conspicuous one.
void SayMore(const TreeModel& model, const TreeHeldBack::Track& track, TreeSaid* said);
// Adds what more trees say of all that was said.
void AddTrees(const BoostedTrees& violations, const TreeHeldBack::Track& track, TreeSaid* said);
void AddBlames(const BoostedTrees& initiators, const TreeHeldBack::Track& track, TreeSaid* said);

// What a model says of what was held back, not calibrated. Where somebody acted, and it is not
// known what would have come, alarms are neither hits nor false.
class TreeVerdict {
 public:
  using Tracks = std::vector<TreeHeldBack::Track*>;

  // `said` of each track, which is of all its looks.
  TreeVerdict(const std::vector<std::int64_t>& horizons_ns, const Tracks& tracks,
              const std::vector<const TreeSaid*>& said);

  TreeScore With(const ModelCalibration& calibration) const {
    return Score({&calibration, &calibration});
  }
  // With a calibration that was fitted to the other half of the blocks, for each half.
  // InvalidArgument: too few violations for that.
  absl::StatusOr<TreeScore> ByHalves(const FitAlarmOptions& options) const;
  double culprits() const { return score_.culprits; }
  // Fitted to all of it.
  absl::StatusOr<ModelCalibration> Fit(const FitAlarmOptions& options) const;

 private:
  // One track.
  struct Heard {
    std::size_t half = 0;
    ForecastTrack track;
    std::vector<const TreeLook*> looks;
  };
  TreeScore Score(const std::array<const ModelCalibration*, 2>& of_half) const;
  absl::StatusOr<ModelCalibration> FitHalf(const FitAlarmOptions& options, int half) const;

  const std::vector<std::int64_t>& horizons_ns_;
  std::size_t judge_ = 0;  // the horizon that is judged
  std::vector<Heard> heard_;
  JudgedScore score_;  // what does not depend on the calibration
  double hours_[2] = {0, 0};
};

// Empty: the candidate is no worse. Else why it is.
std::string WhyWorse(const TreeScore& serving, const TreeScore& candidate, std::size_t fewest,
                     double false_alarms_per_hour);

}  // namespace internal
SEER_END_NAMESPACE
