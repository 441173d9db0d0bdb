#include "seer/predict/fit_alarm.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

SEER_BEGIN_NAMESPACE
namespace {

struct Counts {
  std::uint64_t hits = 0, false_alarms = 0, near_misses = 0;
};

class Search {
 public:
  Search(absl::Span<const ForecastTrack> tracks, absl::Span<const std::int64_t> horizons_ns,
         const FitAlarmOptions& options)
      : tracks_(tracks), horizons_ns_(horizons_ns), options_(options) {
    for (const ForecastTrack& track : tracks) {
      AlarmTrack own;
      own.times_ns = track.times_ns;
      own.near = track.near;
      own.violations = track.violations;
      scored_.push_back(std::move(own));
    }
    most_.resize(tracks.size());
  }

  // Calibrates one horizon, which everything is about from now on.
  void Use(std::size_t horizon) {
    const std::size_t horizons = horizons_ns_.size();
    std::vector<SaidAndCame> said;
    for (const ForecastTrack& track : tracks_) {
      const std::vector<SaidAndCame> more = SaidAt(track, horizon, horizons_ns_[horizon]);
      said.insert(said.end(), more.begin(), more.end());
    }
    error_before_ = CalibrationError(said);
    calibration_ = FitLogOdds(said);
    calibration_.alarm_horizon_ns = horizons_ns_[horizon];
    calibration_.alarm = options_.alarm;
    for (SaidAndCame& one : said) {
      one.probability =
          static_cast<float>(calibration_.Apply(static_cast<double>(one.probability)));
    }
    error_after_ = CalibrationError(std::move(said));
    calibrated_.resize(tracks_.size());
    for (std::size_t i = 0; i < tracks_.size(); ++i) {
      most_[i] = 0;
      calibrated_[i].resize(tracks_[i].times_ns.size());
      for (std::size_t t = 0; t < tracks_[i].times_ns.size(); ++t) {
        calibrated_[i][t] = calibration_.Apply(
            static_cast<double>(tracks_[i].probabilities[t * horizons + horizon]));
        most_[i] = std::max(most_[i], At(i, t));
      }
    }
  }

  // With the threshold yet to be chosen.
  const ModelCalibration& calibration() const { return calibration_; }
  double error_before() const { return error_before_; }
  double error_after() const { return error_after_; }
  double At(std::size_t track, std::size_t tick) const { return calibrated_[track][tick]; }
  double most() const { return *std::max_element(most_.begin(), most_.end()); }

  // Probabilities of falling rank, denser at the top, and those at which one violation more is
  // foreseen.
  std::vector<double> Candidates() const {
    std::vector<double> said, levels;
    for (std::size_t i = 0; i < tracks_.size(); ++i) {
      const std::vector<std::int64_t>& times = tracks_[i].times_ns;
      for (std::size_t t = 0; t < times.size(); ++t) said.push_back(At(i, t));
      for (const ViolationSpan& span : tracks_[i].violations) {
        double level = 0;
        const auto from = std::lower_bound(times.begin(), times.end(),
                                           span.start_ns - options_.rules.longest_lead_ns);
        for (auto t = static_cast<std::size_t>(from - times.begin());
             t < times.size() && times[t] <= span.start_ns - options_.rules.action_lead_ns; ++t) {
          level = std::max(level, At(i, t));
        }
        levels.push_back(level);
      }
    }
    std::vector<double> candidates;
    const std::size_t count = std::max<std::size_t>(2, options_.candidates / 2);
    for (std::vector<double>* values : {&said, &levels}) {
      std::sort(values->begin(), values->end(), std::greater<>());
      if (values->empty()) continue;
      const auto last = static_cast<double>(values->size() - 1);
      for (std::size_t i = 0; i < count; ++i) {
        const double part = static_cast<double>(i) / static_cast<double>(count - 1);
        const double rank =
            values == &said ? std::exp2(part * std::log2(last + 1)) - 1 : part * last;
        candidates.push_back((*values)[static_cast<std::size_t>(std::clamp(rank, 0.0, last))]);
      }
    }
    std::sort(candidates.begin(), candidates.end(), std::greater<>());
    candidates.erase(std::unique(candidates.begin(), candidates.end()), candidates.end());
    while (!candidates.empty() && !(candidates.back() > 0)) candidates.pop_back();
    return candidates;
  }

  Counts CountAt(double threshold) {
    Counts counts;
    for (std::size_t i = 0; i < tracks_.size(); ++i) {
      if (most_[i] < threshold) continue;  // no alarm
      AlarmTrack& track = scored_[i];
      track.alarms.resize(track.times_ns.size());
      AlarmLatch latch;
      for (std::size_t t = 0; t < track.times_ns.size(); ++t) {
        track.alarms[t] =
            latch.Observe(At(i, t) / threshold, track.times_ns[t], options_.alarm) ? 1 : 0;
      }
      const AlarmScore score = ScoreAlarms(track, options_.rules);
      counts.hits += score.hits;
      counts.false_alarms += score.false_alarms;
      counts.near_misses += score.near_misses;
    }
    return counts;
  }

 private:
  const absl::Span<const ForecastTrack> tracks_;
  const absl::Span<const std::int64_t> horizons_ns_;
  const FitAlarmOptions& options_;
  ModelCalibration calibration_;
  double error_before_ = 0, error_after_ = 0;
  std::vector<std::vector<double>> calibrated_;
  std::vector<AlarmTrack> scored_;
  std::vector<double> most_;
};

}  // namespace

absl::StatusOr<FittedAlarm> FitAlarm(absl::Span<const ForecastTrack> tracks,
                                     absl::Span<const std::int64_t> horizons_ns, double hours,
                                     const FitAlarmOptions& options) {
  FittedAlarm fitted;
  fitted.hours = hours;
  std::size_t ticks = 0;
  for (const ForecastTrack& track : tracks) {
    if (track.probabilities.size() != track.times_ns.size() * horizons_ns.size()) {
      return absl::InvalidArgumentError(
          "track.probabilities: give one for each tick and each horizon");
    }
    ticks += track.times_ns.size();
    fitted.violations += track.violations.size();
  }
  if (horizons_ns.empty() || ticks == 0 || !(hours > 0)) {
    return absl::InvalidArgumentError("tracks: nothing was said: give validation runs");
  }
  if (fitted.violations == 0) {
    return absl::InvalidArgumentError(
        "tracks: no violation: give validation runs with some, or more of them");
  }
  Search search(tracks, horizons_ns, options);
  bool any = false, found = false, precise = false;
  for (std::size_t h = 0; h < horizons_ns.size(); ++h) {
    if (horizons_ns[h] < options.least_horizon_ns || horizons_ns[h] > options.most_horizon_ns) {
      continue;
    }
    search.Use(h);
    const auto take = [&](double threshold, const Counts& counts) {
      fitted.calibration = search.calibration();
      fitted.calibration.threshold = std::clamp(threshold, 1e-9, 1 - 1e-9);
      fitted.error_before = search.error_before();
      fitted.error_after = search.error_after();
      fitted.hits = counts.hits;
      fitted.false_alarms = counts.false_alarms;
      fitted.near_misses = counts.near_misses;
    };
    if (!any) take(search.most() * (1 + 1e-6) + 1e-9, Counts());  // until something is better
    any = true;
    for (const double candidate : search.Candidates()) {
      const double at = std::clamp(candidate * (1 - 1e-6), 1e-9, 1 - 1e-9);
      const Counts counts = search.CountAt(at);
      const std::uint64_t real = counts.false_alarms - counts.near_misses;
      if (static_cast<double>(real) > options.false_alarms_per_hour * hours) continue;
      // One that is precise enough is better than any that is not.
      const auto hits = static_cast<double>(counts.hits);
      const auto all = static_cast<double>(counts.hits + counts.false_alarms);
      const bool own_precise = hits > 0 && hits >= options.least_precision * all;
      const bool better = own_precise != precise ? own_precise
                          : counts.hits != fitted.hits
                              ? counts.hits > fitted.hits
                              : !found || counts.false_alarms < fitted.false_alarms;
      if (!better) continue;
      found = true;
      precise = own_precise;
      take(at, counts);
    }
  }
  if (!any) {
    return absl::InvalidArgumentError("options: no horizon between least and most_horizon_ns");
  }
  return fitted;
}

std::vector<SaidAndCame> SaidAt(const ForecastTrack& track, std::size_t place,
                                std::int64_t horizon_ns) {
  std::vector<SaidAndCame> said;
  if (track.times_ns.empty()) return said;
  const std::size_t horizons = track.probabilities.size() / track.times_ns.size();
  std::size_t next = 0;
  for (std::size_t t = 0; t < track.times_ns.size(); ++t) {
    const std::int64_t now = track.times_ns[t];
    if (now + horizon_ns > track.times_ns.back()) break;
    while (next < track.violations.size() && track.violations[next].end_ns < now) ++next;
    const bool any = next < track.violations.size();
    if (any && track.violations[next].start_ns <= now) continue;
    said.push_back({track.probabilities[t * horizons + place],
                    any && track.violations[next].start_ns <= now + horizon_ns});
  }
  return said;
}

ModelCalibration FitLogOdds(absl::Span<const SaidAndCame> said) {
  ModelCalibration calibration;
  std::size_t came = 0;
  for (const SaidAndCame& one : said) came += one.came ? 1 : 0;
  if (came == 0 || came == said.size()) return calibration;
  // Of the same log-odds, within a hundredth, as many as there are: a recording has millions.
  struct Alike {
    double count = 0, came = 0, sum = 0;
  };
  constexpr double kMost = 21, kWidth = 0.01;  // of log-odds: 1e-9 to 1 - 1e-9
  std::vector<Alike> alike(static_cast<std::size_t>(2 * kMost / kWidth) + 1);
  for (const SaidAndCame& one : said) {
    const double p = std::clamp(static_cast<double>(one.probability), 1e-9, 1 - 1e-9);
    const double z = std::log(p / (1 - p));
    Alike& own = alike[static_cast<std::size_t>((z + kMost) / kWidth)];
    own.count += 1;
    own.came += one.came ? 1 : 0;
    own.sum += z;
  }
  double slope = 1, shift = 0;
  constexpr double kRidge = 1;  // as if it were one observation that says so
  for (int step = 0; step < 50; ++step) {
    double g0 = kRidge * (slope - 1), g1 = kRidge * shift;
    double h00 = kRidge, h01 = 0, h11 = kRidge;
    for (const Alike& own : alike) {
      if (!(own.count > 0)) continue;
      const double z = own.sum / own.count;
      const double q = 1 / (1 + std::exp(-(slope * z + shift)));
      const double error = own.count * q - own.came;
      const double curve = own.count * std::max(q * (1 - q), 1e-12);
      g0 += error * z;
      g1 += error;
      h00 += curve * z * z;
      h01 += curve * z;
      h11 += curve;
    }
    const double determinant = h00 * h11 - h01 * h01;
    if (!(determinant > 0)) break;
    double d0 = (h11 * g0 - h01 * g1) / determinant;
    double d1 = (h00 * g1 - h01 * g0) / determinant;
    // Newton's step may go too far where all is nearly certain.
    const double scale = std::max(1.0, std::max(std::abs(d0) / 0.5, std::abs(d1) / 2));
    d0 /= scale;
    d1 /= scale;
    slope -= d0;
    shift -= d1;
    slope = std::max(slope, 0.05);  // never turned round
    if (std::abs(d0) + std::abs(d1) < 1e-9) break;
  }
  calibration.slope = slope;
  calibration.shift = shift;
  return calibration;
}

double CalibrationError(std::vector<SaidAndCame> said, double from, std::size_t bins) {
  said.erase(std::remove_if(said.begin(), said.end(),
                            [&](const SaidAndCame& one) {
                              return static_cast<double>(one.probability) < from;
                            }),
             said.end());
  if (said.empty() || bins == 0) return 0;
  std::sort(said.begin(), said.end(), [](const SaidAndCame& a, const SaidAndCame& b) {
    return a.probability < b.probability;
  });
  double error = 0;
  for (std::size_t b = 0; b < bins; ++b) {
    const std::size_t first = b * said.size() / bins, end = (b + 1) * said.size() / bins;
    double sum = 0;
    for (std::size_t i = first; i < end; ++i) {
      sum += static_cast<double>(said[i].probability) - (said[i].came ? 1 : 0);
    }
    error += std::abs(sum);
  }
  return error / static_cast<double>(said.size());
}

SEER_END_NAMESPACE
