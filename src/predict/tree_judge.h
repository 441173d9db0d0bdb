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
#include "seer/predict/alarm_score.h"
#include "seer/predict/fit_alarm.h"
#include "seer/predict/tree_model.h"

SEER_BEGIN_NAMESPACE
namespace internal {

struct TreeScore : JudgedScore {             // ahead: within a second
  double loss = 0;                           // mean of -log P of what came, at one horizon
  std::uint64_t hits = 0, false_alarms = 0;  // of the alarm; near misses not counted
  double hours = 0;
};

// What trees say of a track. An empty ensemble of initiators blames the most conspicuous one.
void SayMore(const TreeModel& model, const TreeHeldBack::Track& track, TreeSaid* said);
// Adds what more trees say of all that was said, so many `times`: -1 takes it back.
void AddTrees(const BoostedTrees& violations, const TreeHeldBack::Track& track, float times,
              TreeSaid* said);
void AddBlames(const BoostedTrees& initiators, const TreeHeldBack::Track& track, float times,
               TreeSaid* said);

// What a model says of what was held back, not calibrated. Where somebody acted, and it is not
// known what would have come, alarms are neither hits nor false.
class TreeVerdict {
 public:
  using Tracks = std::vector<TreeHeldBack::Track*>;

  // `said` of each track, which is of all its looks. The loss is that at `loss_ns`, so that models
  // whose alarms are at different horizons can be compared: probabilities are right at the alarm's.
  TreeVerdict(const std::vector<std::int64_t>& horizons_ns, std::int64_t loss_ns,
              const Tracks& tracks, const std::vector<const TreeSaid*>& said);

  TreeScore With(const ModelCalibration& calibration) const {
    return Score({&calibration, &calibration});
  }
  // `from`, with its log-odds fitted anew to what came and the alarm at the same probability; with
  // `alarm` the alarm is fitted anew, too (fit_alarm.h). Either goes as far from what it was as
  // there are violations to go by: what a few of them say is mostly chance.
  // InvalidArgument: no violation to fit an alarm to.
  absl::StatusOr<ModelCalibration> Fit(const ModelCalibration& from,
                                       const FitAlarmOptions* alarm) const {
    return FitTo(kHalves, from, alarm);
  }
  // Each half of the blocks by what was fitted to the other one.
  absl::StatusOr<TreeScore> ByHalves(const ModelCalibration& from,
                                     const FitAlarmOptions* alarm) const;
  double culprits() const { return score_.culprits; }
  // Of trees that blame whom the other's do.
  void BlameAs(const TreeVerdict& other) { score_.culprits = other.score_.culprits; }

 private:
  static constexpr std::size_t kHalves = 2;

  // One track.
  struct Heard {
    std::size_t half = 0;
    AlarmTrack track;
    std::vector<const TreeLook*> looks;
    std::vector<float> odds;  // looks x horizons: log-odds; a longer one is no less likely
  };
  TreeScore Score(const std::array<const ModelCalibration*, kHalves>& of_half) const;
  // Of one half, or of both.
  absl::StatusOr<ModelCalibration> FitTo(std::size_t half, const ModelCalibration& from,
                                         const FitAlarmOptions* alarm) const;
  // By how much of what was found to believe.
  double Trust(std::size_t half) const;
  ModelCalibration Calibrate(std::size_t half, const ModelCalibration& from) const;

  const std::vector<std::int64_t>& horizons_ns_;
  const std::size_t loss_at_;  // of the horizons
  std::vector<Heard> heard_;
  JudgedScore score_;  // what does not depend on the calibration
  std::array<double, kHalves> hours_{};
};

// More than chance makes of a rate that keeps to what is allowed.
bool TooManyFalseAlarms(const TreeScore& score, double false_alarms_per_hour);

// Empty: the candidate is no worse. Else why it is.
std::string WhyWorse(const TreeScore& serving, const TreeScore& candidate, std::size_t fewest,
                     double false_alarms_per_hour);

}  // namespace internal
SEER_END_NAMESPACE
