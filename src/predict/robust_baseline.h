// What is usual of a series, from nothing but the last value: a mean and a spread over the recent
// past that outliers move little.
//
// Each value is drawn to within four spreads of the mean before it counts (a Huber mean, and a mean
// absolute deviation of the drawn values), so that a violation of ten seconds among a minute moves
// the spread by about half and the mean by half a spread. The first values count by 1 / n.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "seer/core/config.h"
#include "seer/core/internal/state_io.h"

SEER_BEGIN_NAMESPACE
namespace internal {

class RobustBaseline {
 public:
  static constexpr double kClip = 4;
  static constexpr std::uint32_t kUnclipped = 8;  // the first values, when nothing is known
  static constexpr double kLargest = 1e12;        // beyond it a value is as good as this one

  // `rate`: what a value counts for, the tick over the length of the baseline.
  void Observe(double value, double rate) {
    value = std::clamp(value, -kLargest, kLargest);
    const double weight = std::max(rate, 1.0 / (count_ + 1.0));
    if (count_ >= kUnclipped) {
      const double most = kClip * spread();
      value = std::clamp(value, centre_ - most, centre_ + most);
    }
    // Before the mean moves; of the very first value there is no deviation.
    if (count_ > 0) deviation_ += weight * (std::abs(value - centre_) - deviation_);
    centre_ += weight * (value - centre_);
    if (count_ < 0x7fffffffu) ++count_;
  }

  double centre() const { return centre_; }
  // As a standard deviation, and not less than that of a Poisson number of this mean: a depth that
  // has always been 0 may become 1 without anything being wrong.
  double spread() const {
    constexpr double kSigmaOfDeviation = 1.2533;  // sqrt(pi / 2), of a normal distribution
    return std::max(kSigmaOfDeviation * deviation_, std::sqrt(std::max(std::abs(centre_), 1.0)));
  }
  double Z(double value) const {
    return (std::clamp(value, -kLargest, kLargest) - centre_) / spread();
  }
  std::uint32_t count() const { return count_; }
  void State(StateIo& io) { io(centre_), io(deviation_), io(count_); }

 private:
  double centre_ = 0;
  double deviation_ = 0;
  std::uint32_t count_ = 0;
};

}  // namespace internal
SEER_END_NAMESPACE
