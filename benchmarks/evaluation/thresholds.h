// At which thresholds of p_violation a predictor is looked at, and where its alarms would start
// there: of a hundred hours' lines, many times over, and so without looking at each of them.
//
//   ThresholdLevels levels;
//   for (run) for (class) levels.Add(lines, spans, rules);
//   for (const double t : ThresholdsOf(levels, 60)) starts.At(t);    // StartsAtThresholds of lines
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "benchmarks/evaluation/events.h"
#include "benchmarks/evaluation/rows.h"

namespace seer::evaluation {

// What the thresholds are chosen from: of every line its p_violation, and of every violation the
// largest that would have been a hit.
struct ThresholdLevels {
  std::vector<float> values, levels;
  void Add(const ClassLines& lines, absl::Span<const Span> violations, const Rules& rules);
};

// Falling, above 0: at `count` ranks of what was said, denser at the top, where the alarms are; and
// those at which one violation more is foreseen, or `count` evenly among them where there are many.
std::vector<double> ThresholdsOf(const ThresholdLevels& all, std::size_t count);

// Where alarms would start at any threshold, without hysteresis. The lines have to stay.
class StartsAtThresholds {
 public:
  StartsAtThresholds(const ClassLines& lines, const Rules& rules);
  const std::vector<std::int64_t>& At(double threshold);  // ms; until the next call

 private:
  static constexpr std::size_t kBlock = 64;
  const ClassLines& lines_;
  const Rules rules_;
  const std::int64_t gap_ms_;
  std::vector<float> most_;  // of each block
  std::vector<std::int64_t> starts_ms_;
};

}  // namespace seer::evaluation
