// The threshold of a predictor, chosen on validation runs: the one with the highest recall of those
// that keep to a rate of false alarms, near misses not counted.
//
//   auto traces = ...;                                        // of the predictor at `probe`
//   Fitted fitted = FitThreshold(truth, traces, {Scale::kRatio4, probe}, 1.0);
//   auto predictor = make(fitted.threshold);
//
// A predictor's P(violation) is a known function of score and threshold; from what it said at one
// threshold follows what its alarms are at any other.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "benchmarks/evaluation/events.h"
#include "benchmarks/evaluation/rows.h"
#include "benchmarks/evaluation/trace.h"
#include "seer/predict/alarm.h"

namespace seer::evaluation {

enum class Scale : std::uint8_t {
  kOwn,          // has a threshold of its own: nothing is fitted
  kRatio4,       // p = r^4 / (1 + r^4), r = score / threshold: the untrained rivals
  kProbability,  // the score is p, whatever the threshold
};

struct ProbeOptions {
  Scale scale = Scale::kProbability;
  double probe = 1;  // the threshold at which the traces were made; kRatio4
  double usual = 0;  // where no threshold keeps to the rate, it is this one at least
  AlarmOptions alarm;
  Rules rules;
  std::size_t candidates = 120;
  // Above 0: it keeps to this precision, near misses counted, instead of to the rate.
  double least_precision = 0;
};

// What was said of a run whose truth is known.
struct TracedRun {
  const Run* truth = nullptr;
  const Trace* trace = nullptr;
};

struct Fitted {
  double threshold = 0;
  std::uint64_t violations = 0, hits = 0, alarms = 0, false_alarms = 0, near_misses = 0;
  double hours = 0;
  double recall() const {
    return violations == 0 ? 0 : static_cast<double>(hits) / static_cast<double>(violations);
  }
  double PerHour(std::uint64_t count) const {
    return hours > 0 ? static_cast<double>(count) / hours : 0;
  }
};

// Where nothing keeps to the rate, the threshold is above every score that came. With kOwn the
// counts alone, of the alarms in the traces.
Fitted FitThreshold(const Names& names, absl::Span<const TracedRun> runs,
                    const ProbeOptions& options, double false_alarms_per_hour);

}  // namespace seer::evaluation
