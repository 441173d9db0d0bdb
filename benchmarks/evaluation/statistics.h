// Intervals and tests. Everything is deterministic: random numbers come from a seed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

namespace seer::evaluation {

struct Interval {
  double low = 0;
  double high = 0;
};

// Of a proportion, 95 %: Wilson's score interval; 0 to 1 for no trials.
Interval Wilson(std::uint64_t successes, std::uint64_t trials);

// Of an expected count, 95 %: Garwood's exact Poisson interval.
Interval PoissonInterval(std::uint64_t count);

// McNemar's exact test: P(discordant pairs at least this unequal), two-sided, if both are as good.
double McNemar(std::uint64_t only_first, std::uint64_t only_second);

// Draws n of n with replacement, `draws` times, and hands each draw over as how often each of n
// came: the 95 % percentile interval of what `statistic` returns (values that are no number are
// left out).
Interval Bootstrap(std::size_t n, std::size_t draws, std::uint64_t seed,
                   const std::function<double(const std::vector<std::uint32_t>& times)>& statistic);

// Flips the signs of the differences at random: how often their sum is at least as far from 0,
// two-sided. Exact for up to 14 differences, else `draws` random flips.
double SignFlipTest(const std::vector<double>& differences, std::size_t draws, std::uint64_t seed);

// The q-quantile, by linear interpolation; NaN for none. Sorts.
double Quantile(std::vector<double> values, double q);

}  // namespace seer::evaluation
