// Flow: (every stage) ticks: how time is counted
//
// A tick is one sample interval, 100 ms unless said otherwise: tick = floor(unix time / period).
// Every time that seer reports for a tick is the tick's END, when all that is in it is known.
//
//   seer::TickPeriod period;                                 // 100 ms
//   seer::Tick tick = period.TickAt(clock.NowNs());
//   std::int64_t known_at_ns = period.EndNs(tick);
//
// Threads: plain values. Cost: one division.
#pragma once

#include <cstdint>
#include <limits>

#include "absl/status/statusor.h"
#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE

// Number of a tick since 1970. Ticks of different periods must not be compared.
using Tick = std::int64_t;

class TickPeriod {
 public:
  static constexpr std::int64_t kMinNs = 10'000'000;
  static constexpr std::int64_t kMaxNs = 5'000'000'000;

  constexpr TickPeriod() = default;  // 100 ms

  // InvalidArgument outside 10 ms ... 5 s: shorter ticks cost more than they tell, longer ones miss
  // violations before anybody has looked.
  static absl::StatusOr<TickPeriod> FromNs(std::int64_t ns);

  constexpr std::int64_t ns() const { return ns_; }

  // The tick that contains a moment (unix time). Rounds down before 1970 too.
  constexpr Tick TickAt(std::int64_t unix_ns) const {
    const std::int64_t quotient = unix_ns / ns_;
    return unix_ns % ns_ < 0 ? quotient - 1 : quotient;
  }
  constexpr std::int64_t StartNs(Tick tick) const { return tick * ns_; }
  constexpr std::int64_t EndNs(Tick tick) const { return (tick + 1) * ns_; }

  // Whether StartNs and EndNs of the tick fit into 64 bits: a tick from outside should be asked.
  constexpr bool Contains(Tick tick) const {
    return tick >= std::numeric_limits<std::int64_t>::min() / ns_ &&
           tick < std::numeric_limits<std::int64_t>::max() / ns_;
  }

  friend constexpr bool operator==(TickPeriod a, TickPeriod b) { return a.ns_ == b.ns_; }
  friend constexpr bool operator!=(TickPeriod a, TickPeriod b) { return a.ns_ != b.ns_; }

 private:
  constexpr explicit TickPeriod(std::int64_t ns) : ns_(ns) {}
  std::int64_t ns_ = 100'000'000;
};

SEER_END_NAMESPACE
