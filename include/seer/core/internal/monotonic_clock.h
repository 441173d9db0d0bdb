// Flow: (internal) CLOCK_MONOTONIC -> [MonotonicClock] -> nanoseconds
//
// A Clock that is not unix time, but never jumps. For intervals.
#pragma once

#include <time.h>

#include <cstdint>

#include "seer/core/clock.h"
#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE
namespace internal {

class MonotonicClock final : public Clock {
 public:
  std::int64_t NowNs() const override {
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return static_cast<std::int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
  }
};

}  // namespace internal
SEER_END_NAMESPACE
