// Flow: (internal) how often something that fails is tried again
//
// After the first failure at the next tick, then after 2, 4, 8, ... and at most `most` ticks; what
// can never succeed (kUnimplemented) not again.
//
//   if (!patience.Ask()) return patience.status();       // every tick
//   return patience.Heard(Try());
//
// Threads: a plain value. Cost: none.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/status/status.h"
#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE
namespace internal {

class Patience {
 public:
  explicit Patience(std::uint32_t most) : most_(most) {}

  // Once per tick. False: not this time.
  bool Ask() {
    if (absl::IsUnimplemented(status_)) return false;
    if (wait_ == 0) return true;
    --wait_;
    return false;
  }
  // What came of it; gives it back.
  const absl::Status& Heard(absl::Status status) {
    status_ = std::move(status);
    pause_ = status_.ok() ? 0 : std::min(std::max(1u, 2 * pause_), most_);
    wait_ = pause_ == 0 ? 0 : pause_ - 1;
    return status_;
  }
  // Of the last time.
  const absl::Status& status() const { return status_; }

 private:
  std::uint32_t most_;
  std::uint32_t pause_ = 0;
  std::uint32_t wait_ = 0;
  absl::Status status_;
};

}  // namespace internal
SEER_END_NAMESPACE
