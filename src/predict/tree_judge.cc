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

std::size_t JudgeHorizon(const TreeModel& model) {
  std::size_t h = 0;
  while (h + 1 < model.horizons_ns.size() && model.horizons_ns[h + 1] <= kJudgeNs) ++h;
  return h;
}

std::size_t AlarmHorizon(const TreeModel& model, const ModelCalibration& calibration) {
  std::size_t h = 0;
  while (h + 1 < model.horizons_ns.size() && model.horizons_ns[h] < calibration.alarm_horizon_ns) {
    ++h;
  }
  return h;
}

bool RightlyBlamed(const TreeModel& model, const TreeLook& look) {
  std::size_t best = 0;
  float most = 0;
  for (std::size_t i = 0; i < look.candidate_count(); ++i) {
    // Without trees the most conspicuous one, which stands first.
    float score = -static_cast<float>(i);
    if (model.initiators.size() > 0) {
      model.initiators.Score({&look.candidates[i * TreeFeatures::kServiceColumns],
                              std::size_t{TreeFeatures::kServiceColumns}},
                             {&score, 1});
    }
    if (i == 0 || score > most) best = i, most = score;
  }
  return static_cast<std::int32_t>(best) == look.blamed;
}

// Mann and Whitney; those that look alike share their ranks.
double AreaUnderCurve(std::vector<std::pair<float, bool>> said) {
  std::sort(said.begin(), said.end());
  double ranks = 0, ahead = 0;
  for (std::size_t i = 0; i < said.size();) {
    std::size_t end = i, of_these = 0;
    while (end < said.size() && said[end].first == said[i].first) {
      of_these += said[end++].second ? 1 : 0;
    }
    ranks += static_cast<double>(of_these) * (static_cast<double>(i + end) + 1) / 2;
    ahead += static_cast<double>(of_these);
    i = end;
  }
  const double calm = static_cast<double>(said.size()) - ahead;
  if (!(ahead > 0) || !(calm > 0)) return 0.5;
  return (ranks - ahead * (ahead + 1) / 2) / (ahead * calm);
}

}  // namespace

TreeVerdict::TreeVerdict(const TreeModel& model, const TreeHeldBack& held, std::int64_t from_ns)
    : model_(model) {
  std::size_t blamed = 0, rightly = 0;
  std::array<float, BoostedTrees::kMaxOutputs> scores;
  for (TreeHeldBack::Track& track : held.Tracks(from_ns)) {
    Said& said = said_.emplace_back();
    said.block = track.block;
    bool before = true;  // one that had begun before is none of this track
    for (const TreeLook* const look : track.looks) {
      said.track.times_ns.push_back(look->end_ns);
      said.track.near.push_back(look->near ? 1 : 0);
      model.violations.Score(look->row, absl::MakeSpan(scores));
      for (std::size_t h = 0; h < model.horizons_ns.size(); ++h) {
        said.track.probabilities.push_back(
            static_cast<float>(1 / (1 + std::exp(-static_cast<double>(scores[h])))));
      }
      if (look->in_violation && !before) {
        said.track.violations.push_back({look->end_ns, look->end_ns});
      }
      if (look->in_violation && said.track.violations.empty()) {
        said.track.violations.push_back({look->end_ns, look->end_ns});
      }
      if (look->in_violation) said.track.violations.back().end_ns = look->end_ns;
      before = look->in_violation;
      if (look->blamed < 0) continue;
      ++blamed;
      rightly += RightlyBlamed(model, *look) ? 1 : 0;
    }
    said.looks = std::move(track.looks);
    violations_ += said.track.violations.size();
  }
  if (blamed > 0) culprits_ = static_cast<double>(rightly) / static_cast<double>(blamed);
}

TreeScore TreeVerdict::Score(const ModelCalibration& even, const ModelCalibration& odd) const {
  TreeScore score;
  score.violations = violations_;
  score.culprits = culprits_;
  const std::size_t horizons = model_.horizons_ns.size(), judge = JudgeHorizon(model_);
  std::vector<std::pair<float, bool>> ranked;
  double loss = 0;
  std::int64_t last_block = -1;
  for (const Said& said : said_) {
    const ModelCalibration& calibration = said.block % 2 == 0 ? even : odd;
    const std::size_t alarm = AlarmHorizon(model_, calibration);
    AlarmTrack track;
    track.times_ns = said.track.times_ns;
    track.near = said.track.near;
    track.violations = said.track.violations;
    AlarmLatch latch;
    for (std::size_t t = 0; t < said.looks.size(); ++t) {
      const TreeLook& look = *said.looks[t];
      const float* const raw = &said.track.probabilities[t * horizons];
      const double at_alarm = calibration.Apply(static_cast<double>(raw[alarm]));
      track.alarms.push_back(
          latch.Observe(at_alarm / calibration.threshold, look.end_ns, calibration.alarm) ? 1 : 0);
      if (look.in_violation || !look.known || look.weight < 1) continue;
      const bool ahead = look.ahead_ns <= model_.horizons_ns[judge];
      const double p =
          std::clamp(calibration.Apply(static_cast<double>(raw[judge])), kLeast, 1 - kLeast);
      loss -= std::log(ahead ? p : 1 - p);
      ++(ahead ? score.ahead : score.calm);
      ranked.emplace_back(raw[judge], ahead);
    }
    const AlarmScore alarms = ScoreAlarms(track);
    score.hits += alarms.hits;
    score.false_alarms += alarms.false_alarms - alarms.near_misses;
    if (said.block != last_block) {  // tracks stand by block
      score.hours +=
          static_cast<double>(said.track.times_ns.back() - said.track.times_ns.front()) / 3.6e12;
    }
    last_block = said.block;
  }
  if (!ranked.empty()) score.loss = loss / static_cast<double>(ranked.size());
  score.auc = AreaUnderCurve(std::move(ranked));
  return score;
}

absl::StatusOr<ModelCalibration> TreeVerdict::FitHalf(const FitAlarmOptions& options,
                                                      int half) const {
  std::vector<ForecastTrack> tracks;
  double hours = 0;
  std::int64_t last_block = -1;
  for (const Said& said : said_) {
    if (half >= 0 && said.block % 2 != half) continue;
    tracks.push_back(said.track);
    if (said.block != last_block) {
      hours +=
          static_cast<double>(said.track.times_ns.back() - said.track.times_ns.front()) / 3.6e12;
    }
    last_block = said.block;
  }
  SEER_ASSIGN_OR_RETURN(const FittedAlarm fitted,
                        FitAlarm(tracks, model_.horizons_ns, hours, options));
  return fitted.calibration;
}

absl::StatusOr<TreeScore> TreeVerdict::ByHalves(const FitAlarmOptions& options) const {
  // Of each half by what the other one gave.
  SEER_ASSIGN_OR_RETURN(const ModelCalibration even, FitHalf(options, 0));
  SEER_ASSIGN_OR_RETURN(const ModelCalibration odd, FitHalf(options, 1));
  return Score(odd, even);
}

absl::StatusOr<ModelCalibration> TreeVerdict::Fit(const FitAlarmOptions& options) const {
  return FitHalf(options, -1);
}

std::string WhyWorse(const TreeScore& serving, const TreeScore& candidate, std::size_t fewest,
                     double false_alarms_per_hour) {
  if (candidate.violations < fewest) {
    return absl::StrFormat("%d held-back violations: %d are needed", candidate.violations, fewest);
  }
  if (candidate.calm == 0) return "nothing held back without a violation ahead";
  // Chance gives 0.5, with a deviation of 1 / sqrt(12 n).
  const double chance = 0.5 + 2.5 / std::sqrt(12.0 * static_cast<double>(candidate.violations));
  if (candidate.auc < chance) {
    return absl::StrFormat(
        "the labels say nothing: area under the curve %.2f, chance gives up to %.2f with %d "
        "violations",
        candidate.auc, chance, candidate.violations);
  }
  if (candidate.auc < serving.auc - 0.005) {
    return absl::StrFormat("area under the curve %.3f, was %.3f", candidate.auc, serving.auc);
  }
  if (candidate.culprits < serving.culprits - 0.02) {
    return absl::StrFormat("culprits right in %.1f %%, was %.1f %%", 100 * candidate.culprits,
                           100 * serving.culprits);
  }
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
