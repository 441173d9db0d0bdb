#include "predict/tree_judge.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "absl/strings/str_format.h"
#include "seer/core/internal/status_macros.h"
#include "seer/predict/alarm_score.h"

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

constexpr std::int64_t kJudgeNs = 1'000'000'000;  // of the horizons the largest that is not above
constexpr double kLeast = 1e-4;  // of a probability: one that was impossible and came costs 9

std::size_t AlarmHorizon(const std::vector<std::int64_t>& horizons_ns,
                         const ModelCalibration& calibration) {
  std::size_t h = 0;
  while (h + 1 < horizons_ns.size() && horizons_ns[h] < calibration.alarm_horizon_ns) ++h;
  return h;
}

// Of candidates of which `scores` were said.
bool RightlyBlamed(const TreeLook& look, const float* scores) {
  std::size_t best = 0;
  for (std::size_t i = 1; i < look.candidate_count(); ++i) {
    if (scores[i] > scores[best]) best = i;
  }
  return static_cast<std::int32_t>(best) == look.blamed;
}

void AddTreesFrom(const BoostedTrees& trees, const TreeHeldBack::Track& track, std::size_t first,
                  TreeSaid* said) {
  std::array<float, BoostedTrees::kMaxOutputs> scores;
  const std::size_t outputs = trees.outputs();
  for (std::size_t i = first; i < track.looks.size(); ++i) {
    trees.Score(track.looks[i].row, {scores.data(), outputs});
    for (std::size_t k = 0; k < outputs; ++k) said->scores[i * outputs + k] += scores[k];
  }
}

void AddBlamesFrom(const BoostedTrees& trees, const TreeHeldBack::Track& track, std::size_t first,
                   std::size_t at, TreeSaid* said) {
  std::vector<float> scores;
  for (std::size_t i = first; i < track.looks.size(); ++i) {
    const TreeLook& look = track.looks[i];
    if (look.blamed < 0) continue;
    scores.assign(look.candidate_count(), 0.0f);
    if (trees.size() > 0) trees.ScoreRows(look.candidates, absl::MakeSpan(scores));
    for (std::size_t c = 0; c < scores.size(); ++c) {
      // Without trees the most conspicuous one is blamed, which stands first.
      said->blames[at++] += trees.size() > 0 ? scores[c] : -static_cast<float>(c);
    }
  }
}

}  // namespace

void SayMore(const TreeModel& model, const TreeHeldBack::Track& track, TreeSaid* said) {
  const std::size_t first = said->looks, blames = said->blames.size();
  if (first == track.looks.size()) return;
  std::size_t more = 0;
  for (std::size_t i = first; i < track.looks.size(); ++i) {
    more += track.looks[i].blamed < 0 ? 0 : track.looks[i].candidate_count();
  }
  said->looks = track.looks.size();
  said->scores.resize(track.looks.size() * model.violations.outputs());
  said->blames.resize(blames + more);
  AddTreesFrom(model.violations, track, first, said);
  AddBlamesFrom(model.initiators, track, first, blames, said);
}

void AddTrees(const BoostedTrees& violations, const TreeHeldBack::Track& track, TreeSaid* said) {
  AddTreesFrom(violations, track, 0, said);
}

void AddBlames(const BoostedTrees& initiators, const TreeHeldBack::Track& track, TreeSaid* said) {
  AddBlamesFrom(initiators, track, 0, 0, said);
}

TreeVerdict::TreeVerdict(const std::vector<std::int64_t>& horizons_ns, const Tracks& tracks,
                         const std::vector<const TreeSaid*>& said)
    : horizons_ns_(horizons_ns) {
  const std::size_t horizons = horizons_ns.size();
  while (judge_ + 1 < horizons && horizons_ns[judge_ + 1] <= kJudgeNs) ++judge_;
  std::size_t blamed = 0, rightly = 0, half = 1;
  std::vector<std::pair<double, bool>> ranked;
  for (std::size_t t = 0; t < tracks.size(); ++t) {
    const TreeHeldBack::Track& own = *tracks[t];
    if (t == 0 || tracks[t - 1]->block != own.block) {
      half = 1 - half;  // by turns
      hours_[half] +=
          static_cast<double>(own.looks.back().end_ns - own.looks.front().end_ns) / 3.6e12;
    }
    Heard& heard = heard_.emplace_back();
    heard.half = half;
    ForecastTrack& track = heard.track;
    std::size_t at = 0;
    bool before = false;
    for (std::size_t i = 0; i < own.looks.size(); ++i) {
      const TreeLook& look = own.looks[i];
      if (!look.known) continue;
      heard.looks.push_back(&look);
      track.times_ns.push_back(look.end_ns);
      track.near.push_back(look.near ? 1 : 0);
      for (std::size_t h = 0; h < horizons; ++h) {
        const auto z = static_cast<double>(said[t]->scores[i * horizons + h]);
        track.probabilities.push_back(static_cast<float>(1 / (1 + std::exp(-z))));
      }
      // One that had begun before the track is none to be foreseen: alarms in it are late.
      if (look.in_violation && !before) track.violations.push_back({look.end_ns, look.end_ns});
      if (look.in_violation) track.violations.back().end_ns = look.end_ns;
      before = look.in_violation;
      if (!look.in_violation) {
        const bool ahead = look.ahead_ns <= horizons_ns[judge_];
        ++(ahead ? score_.ahead : score_.calm);
        ranked.emplace_back(static_cast<double>(said[t]->scores[i * horizons + judge_]), ahead);
      }
      if (look.blamed < 0) continue;
      ++blamed;
      rightly += RightlyBlamed(look, &said[t]->blames[at]) ? 1 : 0;
      at += look.candidate_count();
    }
    score_.violations += own.violations;
    if (heard.looks.empty()) heard_.pop_back();
  }
  if (blamed > 0) score_.culprits = static_cast<double>(rightly) / static_cast<double>(blamed);
  score_.auc = AreaUnderCurve(std::move(ranked));
}

TreeScore TreeVerdict::Score(const std::array<const ModelCalibration*, 2>& of_half) const {
  TreeScore score;
  static_cast<JudgedScore&>(score) = score_;
  score.hours = hours_[0] + hours_[1];
  double loss = 0;
  for (const Heard& heard : heard_) {
    const ModelCalibration& calibration = *of_half[heard.half];
    const std::size_t alarm = AlarmHorizon(horizons_ns_, calibration);
    const std::size_t horizons = horizons_ns_.size();
    AlarmTrack track;
    track.times_ns = heard.track.times_ns;
    track.near = heard.track.near;
    track.violations = heard.track.violations;
    AlarmLatch latch;
    for (std::size_t t = 0; t < heard.looks.size(); ++t) {
      const TreeLook& look = *heard.looks[t];
      const float* const raw = &heard.track.probabilities[t * horizons];
      const double at_alarm = calibration.Apply(static_cast<double>(raw[alarm]));
      track.alarms.push_back(
          latch.Observe(at_alarm / calibration.threshold, look.end_ns, calibration.alarm) ? 1 : 0);
      if (look.in_violation) continue;
      const bool ahead = look.ahead_ns <= horizons_ns_[judge_];
      const double p =
          std::clamp(calibration.Apply(static_cast<double>(raw[judge_])), kLeast, 1 - kLeast);
      loss -= std::log(ahead ? p : 1 - p);
    }
    const AlarmScore alarms = ScoreAlarms(track);
    score.hits += alarms.hits;
    score.false_alarms += alarms.false_alarms - alarms.near_misses;
  }
  const std::size_t counted = score.ahead + score.calm;
  if (counted > 0) score.loss = loss / static_cast<double>(counted);
  return score;
}

absl::StatusOr<ModelCalibration> TreeVerdict::FitHalf(const FitAlarmOptions& options,
                                                      int half) const {
  std::vector<ForecastTrack> tracks;
  for (const Heard& heard : heard_) {
    if (half < 0 || heard.half == static_cast<std::size_t>(half)) tracks.push_back(heard.track);
  }
  const double hours = half < 0 ? hours_[0] + hours_[1] : hours_[half];
  SEER_ASSIGN_OR_RETURN(const FittedAlarm fitted, FitAlarm(tracks, horizons_ns_, hours, options));
  return fitted.calibration;
}

absl::StatusOr<TreeScore> TreeVerdict::ByHalves(const FitAlarmOptions& options) const {
  // Of each half by what the other one gave.
  SEER_ASSIGN_OR_RETURN(const ModelCalibration even, FitHalf(options, 0));
  SEER_ASSIGN_OR_RETURN(const ModelCalibration odd, FitHalf(options, 1));
  return Score({&odd, &even});
}

absl::StatusOr<ModelCalibration> TreeVerdict::Fit(const FitAlarmOptions& options) const {
  return FitHalf(options, -1);
}

std::string WhyWorse(const TreeScore& serving, const TreeScore& candidate, std::size_t fewest,
                     double false_alarms_per_hour) {
  std::string reason = WhyBlinder(serving, candidate, fewest);
  if (!reason.empty()) return reason;
  const double allowed =
      std::max(static_cast<double>(serving.false_alarms), false_alarms_per_hour * candidate.hours);
  if (static_cast<double>(candidate.false_alarms) > allowed) {
    return absl::StrFormat("%d false alarms, were %d", candidate.false_alarms,
                           serving.false_alarms);
  }
  // Fewer hits are no loss where they were bought with more false alarms than are allowed; but a
  // fifth of them at most goes at once.
  const bool paid =
      static_cast<double>(serving.false_alarms) > false_alarms_per_hour * serving.hours &&
      candidate.false_alarms < serving.false_alarms && 5 * candidate.hits >= 4 * serving.hits;
  if (candidate.hits < serving.hits && !paid) {
    return absl::StrFormat("%d hits of %d, were %d", candidate.hits, candidate.violations,
                           serving.hits);
  }
  if (candidate.hits <= serving.hits && candidate.false_alarms >= serving.false_alarms &&
      candidate.loss > serving.loss) {
    return absl::StrFormat("loss %.5f, was %.5f", candidate.loss, serving.loss);
  }
  return "";
}

}  // namespace internal
SEER_END_NAMESPACE
