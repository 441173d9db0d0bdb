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
constexpr float kMostOdds = 20;
constexpr double kDoubt = 20;  // violations, by whose half what they say is believed

double Odds(double probability) { return std::log(probability / (1 - probability)); }

double Calibrated(const ModelCalibration& calibration, float odds) {
  return calibration.slope * static_cast<double>(odds) + calibration.shift;
}

// -log P of what came, of log-odds that it comes.
double Surprise(double odds, bool came) {
  static const double most = -Odds(kLeast), least = -std::log1p(-kLeast);
  const double z = came ? -odds : odds;  // log-odds of what did not come
  if (z <= -most) return least;
  return z >= most ? -std::log(kLeast) : std::log1p(std::exp(z));
}

std::size_t PlaceOf(std::int64_t horizon_ns, const std::vector<std::int64_t>& horizons_ns) {
  std::size_t h = 0;
  while (h + 1 < horizons_ns.size() && horizons_ns[h] < horizon_ns) ++h;
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
                  float times, TreeSaid* said) {
  constexpr std::size_t kColumns = TreeFeatures::kClassColumns, kTogether = 64;
  const std::size_t outputs = trees.outputs();
  std::vector<float> rows(kTogether * kColumns), scores(kTogether * outputs);
  for (std::size_t i = first; i < track.looks.size(); i += kTogether) {
    const std::size_t count = std::min(kTogether, track.looks.size() - i);
    for (std::size_t r = 0; r < count; ++r) {
      std::copy_n(track.looks[i + r].row.data(), kColumns, &rows[r * kColumns]);
    }
    trees.ScoreRows({rows.data(), count * kColumns}, {scores.data(), count * outputs});
    float* const into = &said->scores[i * outputs];
    for (std::size_t k = 0; k < count * outputs; ++k) into[k] += times * scores[k];
  }
}

void AddBlamesFrom(const BoostedTrees& trees, const TreeHeldBack::Track& track, std::size_t first,
                   std::size_t at, float times, TreeSaid* said) {
  std::vector<float> scores;
  for (std::size_t i = first; i < track.looks.size(); ++i) {
    const TreeLook& look = track.looks[i];
    if (look.blamed < 0) continue;
    scores.assign(look.candidate_count(), 0.0f);
    if (trees.size() > 0) trees.ScoreRows(look.candidates, absl::MakeSpan(scores));
    for (std::size_t c = 0; c < scores.size(); ++c) {
      // Without trees the most conspicuous one is blamed, which stands first.
      said->blames[at++] += trees.size() > 0 ? times * scores[c] : -static_cast<float>(c);
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
  AddTreesFrom(model.violations, track, first, 1, said);
  AddBlamesFrom(model.initiators, track, first, blames, 1, said);
}

void AddTrees(const BoostedTrees& violations, const TreeHeldBack::Track& track, float times,
              TreeSaid* said) {
  AddTreesFrom(violations, track, 0, times, said);
}

void AddBlames(const BoostedTrees& initiators, const TreeHeldBack::Track& track, float times,
               TreeSaid* said) {
  AddBlamesFrom(initiators, track, 0, 0, times, said);
}

TreeVerdict::TreeVerdict(const std::vector<std::int64_t>& horizons_ns, std::int64_t loss_ns,
                         const Tracks& tracks, const std::vector<const TreeSaid*>& said)
    : horizons_ns_(horizons_ns), loss_at_(PlaceOf(loss_ns, horizons_ns)) {
  const std::size_t horizons = horizons_ns.size();
  std::size_t judge = 0;
  while (judge + 1 < horizons && horizons_ns[judge + 1] <= kJudgeNs) ++judge;
  std::size_t blamed = 0, rightly = 0, half = 1;
  std::vector<float> ranked[2];  // what was said of calm looks, and of those ahead
  for (std::size_t t = 0; t < tracks.size(); ++t) {
    const TreeHeldBack::Track& own = *tracks[t];
    if (t == 0 || tracks[t - 1]->block != own.block) {
      half = 1 - half;  // by turns
      hours_[half] +=
          static_cast<double>(own.looks.back().end_ns - own.looks.front().end_ns) / 3.6e12;
    }
    Heard& heard = heard_.emplace_back();
    heard.half = half;
    AlarmTrack& track = heard.track;
    heard.looks.reserve(own.looks.size());
    heard.odds.reserve(own.looks.size() * horizons);
    track.times_ns.reserve(own.looks.size());
    track.near.reserve(own.looks.size());
    std::size_t at = 0;
    bool before = false;
    for (std::size_t i = 0; i < own.looks.size(); ++i) {
      const TreeLook& look = own.looks[i];
      if (!look.known) continue;
      heard.looks.push_back(&look);
      track.times_ns.push_back(look.end_ns);
      track.near.push_back(look.near ? 1 : 0);
      float most = -kMostOdds;
      for (std::size_t h = 0; h < horizons; ++h) {
        most = std::max(most, std::min(said[t]->scores[i * horizons + h], kMostOdds));
        heard.odds.push_back(most);
      }
      // One that had begun before the track is none to be foreseen: alarms in it are late.
      if (look.in_violation && !before) track.violations.push_back({look.end_ns, look.end_ns});
      if (look.in_violation) track.violations.back().end_ns = look.end_ns;
      before = look.in_violation;
      if (!look.in_violation) {
        const bool ahead = look.ahead_ns <= horizons_ns[judge];
        ++(ahead ? score_.ahead : score_.calm);
        ranked[ahead ? 1 : 0].push_back(heard.odds[heard.odds.size() - horizons + judge]);
      }
      if (look.blamed < 0) continue;
      ++blamed;
      rightly += RightlyBlamed(look, &said[t]->blames[at]) ? 1 : 0;
      at += look.candidate_count();
    }
    score_.violations += own.violations;
    if (heard.looks.empty()) {
      heard_.pop_back();
      continue;
    }
    // One that starts soon after the track: an alarm ahead of it is no false one.
    const TreeLook& last = *heard.looks.back();
    if (!last.in_violation && last.ahead_ns <= AlarmRules().longest_lead_ns) {
      const std::int64_t start_ns = last.end_ns + last.ahead_ns;
      track.violations.push_back({start_ns, start_ns});
      ++score_.violations;
    }
  }
  if (blamed > 0) score_.culprits = static_cast<double>(rightly) / static_cast<double>(blamed);
  score_.auc = AreaUnderCurve(std::move(ranked[1]), std::move(ranked[0]));
}

TreeScore TreeVerdict::Score(const std::array<const ModelCalibration*, kHalves>& of_half) const {
  TreeScore score;
  static_cast<JudgedScore&>(score) = score_;
  score.hours = hours_[0] + hours_[1];
  double loss = 0;
  const std::size_t horizons = horizons_ns_.size();
  for (const Heard& heard : heard_) {
    const ModelCalibration& calibration = *of_half[heard.half];
    const std::size_t alarm = PlaceOf(calibration.alarm_horizon_ns, horizons_ns_);
    // The latch asks whether the alarm begins, or ends: of log-odds that needs no exponential.
    const double begins = Odds(calibration.threshold);
    const double ends = Odds(calibration.threshold * calibration.alarm.clear_ratio);
    AlarmTrack track = heard.track;
    track.alarms.reserve(heard.looks.size());
    AlarmLatch latch;
    for (std::size_t t = 0; t < heard.looks.size(); ++t) {
      const TreeLook& look = *heard.looks[t];
      const float* const odds = &heard.odds[t * horizons];
      const double at_alarm = Calibrated(calibration, odds[alarm]);
      const double ratio =
          at_alarm >= begins ? 1 : (at_alarm < ends ? 0 : calibration.alarm.clear_ratio);
      track.alarms.push_back(latch.Observe(ratio, look.end_ns, calibration.alarm) ? 1 : 0);
      if (look.in_violation) continue;
      loss += Surprise(Calibrated(calibration, odds[loss_at_]),
                       look.ahead_ns <= horizons_ns_[loss_at_]);
    }
    const AlarmScore alarms = ScoreAlarms(track);
    score.hits += alarms.hits;
    score.false_alarms += alarms.false_alarms - alarms.near_misses;
  }
  const std::size_t counted = score.ahead + score.calm;
  if (counted > 0) score.loss = loss / static_cast<double>(counted);
  return score;
}

double TreeVerdict::Trust(std::size_t half) const {
  std::size_t violations = 0;
  for (const Heard& heard : heard_) {
    if (half == kHalves || heard.half == half) violations += heard.track.violations.size();
  }
  const auto count = static_cast<double>(violations);
  return count / (count + kDoubt);
}

ModelCalibration TreeVerdict::Calibrate(std::size_t half, const ModelCalibration& from) const {
  const std::size_t horizons = horizons_ns_.size();
  const std::size_t alarm = PlaceOf(from.alarm_horizon_ns, horizons_ns_);
  std::vector<SaidAndCame> said;
  for (const Heard& heard : heard_) {
    if (half != kHalves && heard.half != half) continue;
    for (std::size_t t = 0; t < heard.looks.size(); ++t) {
      if (heard.looks[t]->in_violation) continue;
      const double z = Calibrated(from, heard.odds[t * horizons + alarm]);
      said.push_back({static_cast<float>(1 / (1 + std::exp(-z))),
                      heard.looks[t]->ahead_ns <= horizons_ns_[alarm]});
    }
  }
  // Between the log-odds as they were and those that fit.
  const ModelCalibration fit = FitLogOdds(said);
  const double trust = Trust(half);
  const double slope = 1 + trust * (fit.slope - 1), shift = trust * fit.shift;
  ModelCalibration calibration = from;
  calibration.slope = std::clamp(slope * from.slope, 0.05, 20.0);
  calibration.shift = std::clamp(slope * from.shift + shift, -20.0, 20.0);
  return calibration;
}

absl::StatusOr<ModelCalibration> TreeVerdict::FitTo(std::size_t half, const ModelCalibration& from,
                                                    const FitAlarmOptions* alarm) const {
  ModelCalibration calibration = Calibrate(half, from);
  if (alarm == nullptr) return calibration;
  std::vector<std::int64_t> asked_ns;
  std::vector<std::size_t> asked;
  for (std::size_t h = 0; h < horizons_ns_.size(); ++h) {
    if (horizons_ns_[h] < alarm->least_horizon_ns || horizons_ns_[h] > alarm->most_horizon_ns) {
      continue;
    }
    asked_ns.push_back(horizons_ns_[h]);
    asked.push_back(h);
  }
  std::vector<ForecastTrack> tracks;
  for (const Heard& heard : heard_) {
    if (half != kHalves && heard.half != half) continue;
    ForecastTrack& track = tracks.emplace_back();
    track.times_ns = heard.track.times_ns;
    track.near = heard.track.near;
    track.violations = heard.track.violations;
    track.probabilities.reserve(heard.looks.size() * asked.size());
    for (std::size_t t = 0; t < heard.looks.size(); ++t) {
      for (const std::size_t h : asked) {
        const auto z = static_cast<double>(heard.odds[t * horizons_ns_.size() + h]);
        track.probabilities.push_back(static_cast<float>(1 / (1 + std::exp(-z))));
      }
    }
  }
  const double hours = half == kHalves ? hours_[0] + hours_[1] : hours_[half];
  if (!(hours > 0)) return absl::InvalidArgumentError("nothing is held back of this half");
  // Of minutes the rate allows less than one false alarm: rounded, it would allow none.
  FitAlarmOptions own = *alarm;
  own.false_alarms_per_hour += 0.5 / hours;
  SEER_ASSIGN_OR_RETURN(const FittedAlarm fitted, FitAlarm(tracks, asked_ns, hours, own));
  const ModelCalibration& anew = fitted.calibration;
  // Where the alarm begins, in the trees' own log-odds.
  double at = (Odds(anew.threshold) - anew.shift) / anew.slope;
  if (anew.alarm_horizon_ns == from.alarm_horizon_ns) {
    const double was = (Odds(from.threshold) - from.shift) / from.slope;
    at = was + Trust(half) * (at - was);
  } else {
    ModelCalibration other = from;
    other.alarm_horizon_ns = anew.alarm_horizon_ns;
    calibration = Calibrate(half, other);
  }
  const double z = calibration.slope * at + calibration.shift;
  calibration.threshold = std::clamp(1 / (1 + std::exp(-z)), 1e-9, 1 - 1e-9);
  return calibration;
}

absl::StatusOr<TreeScore> TreeVerdict::ByHalves(const ModelCalibration& from,
                                                const FitAlarmOptions* alarm) const {
  SEER_ASSIGN_OR_RETURN(const ModelCalibration even, FitTo(0, from, alarm));
  SEER_ASSIGN_OR_RETURN(const ModelCalibration odd, FitTo(1, from, alarm));
  return Score({&odd, &even});
}

bool TooManyFalseAlarms(const TreeScore& score, double false_alarms_per_hour) {
  const double allowed = false_alarms_per_hour * score.hours;
  return static_cast<double>(score.false_alarms) > allowed + 2 * std::sqrt(allowed + 1);
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
  // Fewer hits are no loss where false alarms are clearly too many and each hit lost saves one; but
  // a fifth of them at most goes at once. On the minutes that are held back a few too many are
  // chance, which comes back each round: paid for with hits each time, few of them would be left.
  const std::uint64_t lost = serving.hits - std::min(serving.hits, candidate.hits);
  const bool paid =
      TooManyFalseAlarms(serving, false_alarms_per_hour) &&
      candidate.false_alarms + std::max<std::uint64_t>(1, lost) <= serving.false_alarms &&
      5 * lost <= serving.hits;
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
