// Flow: Snapshot -> [WindowBuilder] -> Window -> nn/, predict/
//
// What a model looks at: the last T cluster ticks, N services in the model's order, C inputs for
// each, normalised, with a mask of what was not seen. A missing value is 0 in `values` (the middle
// of the normalised range) and 0 in `seen`, so that no model has to handle NaN.
//
//   float depth = window.at(t, service_rank, input);
//
// Threads: a plain value. Cost: 5 bytes per value.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "seer/core/config.h"
#include "seer/core/tick.h"

SEER_BEGIN_NAMESPACE

struct Window {
  Tick last = 0;  // the newest tick; the oldest is last - ticks + 1
  TickPeriod period;
  std::size_t ticks = 0;           // T
  std::size_t services = 0;        // N, by rank from back end to front end (topology_order.h)
  std::size_t inputs = 0;          // C
  std::vector<float> values;       // T x N x C, the input varies fastest
  std::vector<std::uint8_t> seen;  // the same shape: 1 where the value was measured

  std::size_t index(std::size_t t, std::size_t service, std::size_t input) const {
    SEER_DCHECK(t < ticks && service < services && input < inputs);
    return (t * services + service) * inputs + input;
  }
  float at(std::size_t t, std::size_t service, std::size_t input) const {
    return values[index(t, service, input)];
  }

  // Sets the shape, with every value missing. Keeps the memory.
  void Reset(std::size_t t, std::size_t n, std::size_t c) {
    ticks = t;
    services = n;
    inputs = c;
    values.assign(t * n * c, 0.0f);
    seen.assign(t * n * c, 0);
  }
};

SEER_END_NAMESPACE
