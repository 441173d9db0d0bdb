// Draws for schedules and updates. Private to the .cc files of this folder.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "benchmarks/cluster/sim/substream.h"

namespace seer::cluster {

class Dice {
 public:
  explicit Dice(std::uint64_t key) : key_(key) {}
  double Unit() { return Uniform(Sub(key_, drawn_++)); }
  double Between(double low, double high) { return low + (high - low) * Unit(); }
  std::size_t Below(std::size_t n) {
    return std::min(n - 1, static_cast<std::size_t>(Unit() * static_cast<double>(n)));
  }
  template <typename T>
  const T& One(const std::vector<T>& of) {
    return of[Below(of.size())];
  }

 private:
  std::uint64_t key_;
  std::uint64_t drawn_ = 0;
};

}  // namespace seer::cluster
