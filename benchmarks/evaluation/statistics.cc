#include "benchmarks/evaluation/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

namespace seer::evaluation {
namespace {

constexpr double kZ = 1.959963984540054;  // 97.5 % of the normal distribution

// P(X <= count) of a Poisson variable.
double PoissonCdf(std::uint64_t count, double mean) {
  if (mean <= 0) return 1;
  double sum = 0;
  for (std::uint64_t k = 0; k <= count; ++k) {
    sum += std::exp(static_cast<double>(k) * std::log(mean) - mean -
                    std::lgamma(static_cast<double>(k) + 1));
  }
  return std::min(1.0, sum);
}

// The mean at which a decreasing function falls to `wanted`.
template <typename Function>
double Solve(double wanted, double high, const Function& function) {
  double low = 0;
  for (int i = 0; i < 100; ++i) {
    const double middle = (low + high) / 2;
    (function(middle) > wanted ? low : high) = middle;
  }
  return (low + high) / 2;
}

// Not std::uniform_int_distribution, which is another one in each standard library.
std::size_t Below(std::mt19937_64& random, std::size_t n) {
  return static_cast<std::size_t>(random() % n);
}

}  // namespace

Interval Wilson(std::uint64_t successes, std::uint64_t trials) {
  if (trials == 0) return {0, 1};
  const auto n = static_cast<double>(trials);
  const double p = static_cast<double>(successes) / n;
  const double z2 = kZ * kZ;
  const double centre = (p + z2 / (2 * n)) / (1 + z2 / n);
  const double half = kZ / (1 + z2 / n) * std::sqrt(p * (1 - p) / n + z2 / (4 * n * n));
  // Exactly 0 and 1 at the ends, where rounding would leave a trace.
  return {successes == 0 ? 0 : std::max(0.0, centre - half),
          successes == trials ? 1 : std::min(1.0, centre + half)};
}

Interval PoissonInterval(std::uint64_t count) {
  const auto n = static_cast<double>(count);
  if (count > 100'000) return {n - kZ * std::sqrt(n), n + kZ * std::sqrt(n)};
  const double most = n + 10 * std::sqrt(n + 1) + 20;
  Interval interval;
  // P(X >= count) = 2.5 % at the lower end, P(X <= count) = 2.5 % at the upper one.
  if (count > 0) {
    interval.low = Solve(0.975, most, [&](double mean) { return PoissonCdf(count - 1, mean); });
  }
  interval.high = Solve(0.025, most, [&](double mean) { return PoissonCdf(count, mean); });
  return interval;
}

double McNemar(std::uint64_t only_first, std::uint64_t only_second) {
  const std::uint64_t n = only_first + only_second;
  const std::uint64_t fewer = std::min(only_first, only_second);
  double tail = 0;
  for (std::uint64_t k = 0; k <= fewer; ++k) {
    tail += std::exp(
        std::lgamma(static_cast<double>(n) + 1) - std::lgamma(static_cast<double>(k) + 1) -
        std::lgamma(static_cast<double>(n - k) + 1) - static_cast<double>(n) * std::log(2.0));
  }
  return std::min(1.0, 2 * tail);
}

Interval Bootstrap(std::size_t n, std::size_t draws, std::uint64_t seed,
                   const std::function<double(const std::vector<std::uint32_t>&)>& statistic) {
  std::mt19937_64 random(seed);
  std::vector<std::uint32_t> times(n);
  std::vector<double> values;
  for (std::size_t draw = 0; draw < draws; ++draw) {
    std::fill(times.begin(), times.end(), 0);
    for (std::size_t i = 0; i < n; ++i) ++times[Below(random, n)];
    const double value = statistic(times);
    if (std::isfinite(value)) values.push_back(value);
  }
  if (values.empty()) {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    return {nan, nan};
  }
  return {Quantile(values, 0.025), Quantile(values, 0.975)};
}

double SignFlipTest(const std::vector<double>& differences, std::size_t draws, std::uint64_t seed) {
  double observed = 0;
  double size = 0;
  for (const double d : differences) {
    observed += d;
    size += std::abs(d);
  }
  if (size == 0) return 1;
  const double enough = std::abs(observed) - 1e-12 * size;
  const auto sum_of = [&](auto flipped) {
    double sum = 0;
    for (std::size_t i = 0; i < differences.size(); ++i) {
      sum += flipped(i) ? -differences[i] : differences[i];
    }
    return sum;
  };
  if (differences.size() <= 14) {
    const std::uint32_t all = 1u << differences.size();
    std::uint32_t extreme = 0;
    for (std::uint32_t bits = 0; bits < all; ++bits) {
      const double sum = sum_of([&](std::size_t i) { return (bits >> i & 1) != 0; });
      extreme += std::abs(sum) >= enough;
    }
    return static_cast<double>(extreme) / all;
  }
  std::mt19937_64 random(seed);
  std::size_t extreme = 1;  // the observed one
  for (std::size_t draw = 0; draw < draws; ++draw) {
    const double sum = sum_of([&](std::size_t) { return (random() >> 63) != 0; });
    extreme += std::abs(sum) >= enough;
  }
  return static_cast<double>(extreme) / static_cast<double>(draws + 1);
}

double Quantile(std::vector<double> values, double q) {
  if (values.empty()) return std::numeric_limits<double>::quiet_NaN();
  std::sort(values.begin(), values.end());
  const double at = std::clamp(q, 0.0, 1.0) * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  const std::size_t above = std::min(below + 1, values.size() - 1);
  return values[below] + (at - static_cast<double>(below)) * (values[above] - values[below]);
}

}  // namespace seer::evaluation
