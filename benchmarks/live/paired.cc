#include "benchmarks/live/paired.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <utility>

namespace seer::bench {
namespace {

// Student's t, 97.5 %, for 1, 2, ... degrees of freedom.
constexpr double kStudent[] = {12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306,
                               2.262,  2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
                               2.110,  2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064,
                               2.060,  2.056, 2.052, 2.048, 2.045, 2.042};

double TrimmedMean(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const std::size_t cut = values.size() / 5;
  double sum = 0;
  for (std::size_t i = cut; i < values.size() - cut; ++i) sum += values[i];
  return sum / static_cast<double>(values.size() - 2 * cut);
}

}  // namespace

Interval IntervalOf(const std::vector<double>& values) {
  Interval interval;
  const std::size_t n = values.size();
  for (const double value : values) interval.mean += value / static_cast<double>(n);
  double half = std::numeric_limits<double>::infinity();
  if (n >= 2) {
    double squares = 0;
    for (const double value : values) squares += (value - interval.mean) * (value - interval.mean);
    const std::size_t freedom = std::min(n - 1, std::size(kStudent));
    half = kStudent[freedom - 1] *
           std::sqrt(squares / static_cast<double>(n - 1) / static_cast<double>(n));
  }
  interval.low = interval.mean - half;
  interval.high = interval.mean + half;
  return interval;
}

Interval AddedPercent(const std::vector<Pair>& pairs, std::size_t skip) {
  std::vector<double> percents;
  for (const Pair& pair : pairs) {
    std::vector<double> longer, usual;
    for (std::size_t i = skip; i < std::min(pair.with.size(), pair.without.size()); ++i) {
      const auto with = static_cast<double>(pair.with[i]);
      const auto without = static_cast<double>(pair.without[i]);
      if (with < 0 || without < 0) continue;
      longer.push_back(with - without);
      usual.push_back(without);
    }
    const double base = TrimmedMean(std::move(usual));
    if (base > 0) percents.push_back(100 * TrimmedMean(std::move(longer)) / base);
  }
  return IntervalOf(percents);
}

}  // namespace seer::bench
