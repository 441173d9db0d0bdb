#include "seer/hwmon/contention_test.h"

#include <cmath>

SEER_BEGIN_NAMESPACE
namespace {

// SplitMix64.
std::uint64_t Next(std::uint64_t* state) {
  std::uint64_t z = (*state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

}  // namespace

bool ContentionTest::OnComesFirst() noexcept { return (Next(&random_) >> 63) != 0; }

double ContentionTest::effect() const {
  double sum = 0;
  for (std::size_t i = 0; i < pairs_; ++i) sum += log_ratios_[i];
  return pairs_ == 0 ? 1 : std::exp(sum / static_cast<double>(pairs_));
}

// If the benchmark had no effect, each log ratio could as well have had the other sign: in how many
// of all 2^pairs ways is the sum at least what it is?
double ContentionTest::PValue() const noexcept {
  double sum = 0;
  for (std::size_t i = 0; i < pairs_; ++i) sum += log_ratios_[i];
  // In Gray's order one sign changes at a time.
  const std::uint32_t ways = 1u << pairs_;
  std::uint32_t at_least = 1;  // the way that it was
  double flipped = sum;
  std::uint32_t signs = 0;
  // So that the same sum, added up in another order, is still the same.
  const double tolerance = 1e-9 * (1 + std::abs(sum));
  for (std::uint32_t way = 1; way < ways; ++way) {
    std::size_t bit = 0;
    while (((way >> bit) & 1) == 0) ++bit;
    signs ^= 1u << bit;
    flipped += ((signs >> bit) & 1) != 0 ? -2 * log_ratios_[bit] : 2 * log_ratios_[bit];
    if (flipped >= sum - tolerance) ++at_least;
  }
  return static_cast<double>(at_least) / static_cast<double>(ways);
}

ContentionTest::Decision ContentionTest::Add(double on, double off) noexcept {
  if (decision_ != Decision::kMore) return decision_;
  constexpr double kLargest = 1e300;
  if (!(on > 0) || !(off > 0) || !(on < kLargest) || !(off < kLargest)) {
    if (++useless_ >= kMostPairs) decision_ = Decision::kUndecided;
    return decision_;
  }
  log_ratios_[pairs_++] = std::log(on / off);
  if (pairs_ < kFirstLook || (pairs_ - kFirstLook) % 2 != 0) return decision_;

  p_value_ = PValue();
  double mean = 0, squares = 0;
  const auto n = static_cast<double>(pairs_);
  for (std::size_t i = 0; i < pairs_; ++i) mean += log_ratios_[i] / n;
  for (std::size_t i = 0; i < pairs_; ++i) {
    squares += (log_ratios_[i] - mean) * (log_ratios_[i] - mean);
  }
  const double error = std::sqrt(squares / (n - 1) / n);
  // Who looks three times is wrong three times as often: the earlier looks get half of it.
  const double alpha = pairs_ == kMostPairs ? options_.alpha : options_.alpha / 2;
  if (p_value_ < alpha && mean >= std::log(options_.min_effect)) {
    decision_ = Decision::kAffected;
  } else if (mean + 2 * error < std::log(options_.futile_below) || pairs_ == kMostPairs) {
    decision_ = Decision::kNotAffected;
  }
  return decision_;
}

SEER_END_NAMESPACE
