// Flow: validation runs -> [FitAlarm] -> ModelCalibration
//
// What a model's probabilities are worth and from which one on it raises alarm, learnt from runs
// that it was not trained with.
//
//   std::vector<seer::ForecastTrack> tracks = ...;    // one for each class and run
//   seer::FittedAlarm fitted = *seer::FitAlarm(tracks, horizons_ns, hours, options);
//   model.calibration = fitted.calibration;
//
// For each horizon FitAlarm fits the log-odds (Platt: slope and shift) to what came. Then it looks
// for the horizon and threshold with the most hits (alarm_score.h) of those that keep to
// `false_alarms_per_hour`, near misses not counted, and to `least_precision`, near misses counted:
// where hardly a tail is over its target without a violation, the first decides, where many are,
// the second. Of equal ones it takes that with the fewest false alarms. Where none is so precise,
// the rate alone decides; where no threshold keeps to the rate, it is above all that was said.
//
// Threads: functions of their arguments. Cost: about 5 ns for each tick, class and threshold tried.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "seer/core/config.h"
#include "seer/predict/alarm_score.h"
#include "seer/predict/model_predictor.h"

SEER_BEGIN_NAMESPACE

// What a model said of one class of one run, not calibrated, and what was true.
struct ForecastTrack {
  std::vector<std::int64_t> times_ns;
  std::vector<float> probabilities;  // ticks x horizons
  std::vector<std::uint8_t> near;    // as AlarmTrack
  std::vector<ViolationSpan> violations;
};

struct FitAlarmOptions {
  double false_alarms_per_hour = 1;
  double least_precision = 0.5;  // of all alarms that are hits or false
  AlarmOptions alarm;
  AlarmRules rules;
  std::size_t candidates = 100;       // thresholds tried for each horizon
  std::int64_t least_horizon_ns = 0;  // of the alarm
  std::int64_t most_horizon_ns = 3'600'000'000'000;
};

struct FittedAlarm {
  ModelCalibration calibration;
  std::uint64_t violations = 0, hits = 0, false_alarms = 0, near_misses = 0;
  double hours = 0;
  double error_before = 0, error_after = 0;  // CalibrationError at the alarm's horizon
  double recall() const {
    return violations == 0 ? 0 : static_cast<double>(hits) / static_cast<double>(violations);
  }
};

// InvalidArgument: no horizon, nothing said, or no violation in it.
absl::StatusOr<FittedAlarm> FitAlarm(absl::Span<const ForecastTrack> tracks,
                                     absl::Span<const std::int64_t> horizons_ns, double hours,
                                     const FitAlarmOptions& options = {});

// One probability that something happens, and whether it did.
struct SaidAndCame {
  float probability = 0;
  bool came = false;
};

// Each tick outside violations of which it is known whether one started within the horizon, which
// is the `place`-th of those of the track. A track without ticks has none.
std::vector<SaidAndCame> SaidAt(const ForecastTrack& track, std::size_t place,
                                std::int64_t horizon_ns);

// Slope and shift of the log-odds with the greatest likelihood, drawn slightly to 1 and 0.
// Calibration without either kind: slope 1, shift 0.
ModelCalibration FitLogOdds(absl::Span<const SaidAndCame> said);

// Expected calibration error over bins of equally many, of those at `from` or above.
double CalibrationError(std::vector<SaidAndCame> said, double from = 0, std::size_t bins = 15);

SEER_END_NAMESPACE
