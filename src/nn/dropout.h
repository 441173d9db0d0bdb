// Which values a dropout layer sets to zero: a function of the seed, the step, the layer and the
// value's place in the step's batch, and of nothing else. So backends and shards agree on it.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "seer/core/config.h"
#include "seer/nn/counter_rng.h"
#include "seer/nn/network.h"

SEER_BEGIN_NAMESPACE
namespace internal {

struct DropoutMask {
  std::uint64_t key = 0;
  std::uint64_t dropped_below = 0;  // a number of 24 bits below this one: dropped
  float kept_factor = 1;            // what stays is scaled, so that the mean stays

  DropoutMask(const Stage& stage, std::uint64_t seed, std::uint64_t step)
      : key(CounterRng(seed, stage.stream ^ CounterRng::Mix(step + 1)).key()),
        dropped_below(static_cast<std::uint64_t>(std::llround(stage.layer.rate * 0x1p24f))),
        kept_factor(1 / (1 - stage.layer.rate)) {}

  // Of value `feature` at tick t of the window-th window of the step.
  static std::uint64_t Index(const Stage& stage, std::size_t window, std::size_t t,
                             std::size_t feature) {
    return (std::uint64_t{window} * stage.in_ticks + t) * stage.in_features + feature;
  }
  float Factor(std::uint64_t index) const {
    const std::uint64_t bits = CounterRng::Mix(key + (index + 1) * CounterRng::kGamma) >> 40;
    return bits < dropped_below ? 0.0f : kept_factor;
  }
};

}  // namespace internal
SEER_END_NAMESPACE
