// Something that can be learnt in a second: which service's depth grows over the ticks.
#pragma once

#include <cstdint>
#include <vector>

#include "seer/nn/batch.h"
#include "seer/nn/counter_rng.h"
#include "seer/nn/network.h"

namespace seer::testing {

inline MemorySource GrowingQueue(const Network& network, std::size_t windows, std::uint64_t seed) {
  MemorySource source(network);
  const CounterRng rng(seed, 5);
  const std::size_t ticks = network.config().ticks, services = network.services();
  std::uint64_t next = 0;
  for (std::size_t w = 0; w < windows; ++w) {
    const auto culprit = static_cast<std::size_t>(rng.Below(next++, services + 1));
    std::vector<float> values(network.window_values());
    for (std::size_t t = 0; t < ticks; ++t) {
      for (std::size_t s = 0; s < services; ++s) {
        float value = 0.3f * rng.Uniform(next++);
        if (s == culprit) value += static_cast<float>(t + 1) / static_cast<float>(ticks);
        values[t * services + s] = value;
      }
    }
    MemorySource::Truth truth;
    truth.initiator = static_cast<std::int32_t>(culprit);  // services: none
    source.Add(values, truth).IgnoreError();
  }
  return source;
}

}  // namespace seer::testing
