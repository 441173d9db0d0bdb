// Flow: (every stage) Clock: what time it is, injected wherever time matters
//
// Code off the hot path takes a `const Clock&`; tests and simulators hand it a ManualClock and need
// no sleeps. The hot path uses TscClock (tsc_clock.h) by its concrete type.
//
//   seer::ManualClock clock(1'700'000'000'000'000'000);
//   control_loop.Tick(clock);
//   clock.Advance(100'000'000);                            // one tick later
//
// Threads: every member from any thread.
// Cost:    NowNs() of a real clock 20 to 60 ns.
#pragma once

#include <atomic>
#include <cstdint>

#include <time.h>

#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE

class Clock {
 public:
  virtual ~Clock() = default;
  // Unix time. It can jump when somebody sets the machine's clock; otherwise it never goes back.
  virtual std::int64_t NowNs() const = 0;
};

// What the machine's clock says.
class SystemClock final : public Clock {
 public:
  std::int64_t NowNs() const override {
    timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return static_cast<std::int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
  }
};

// Stands still until told otherwise.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(std::int64_t unix_ns = 0) : now_ns_(unix_ns) {}
  // A clock carries no other data with it: relaxed throughout.
  std::int64_t NowNs() const override { return now_ns_.load(std::memory_order_relaxed); }
  void Set(std::int64_t unix_ns) { now_ns_.store(unix_ns, std::memory_order_relaxed); }
  void Advance(std::int64_t ns) { now_ns_.fetch_add(ns, std::memory_order_relaxed); }

 private:
  std::atomic<std::int64_t> now_ns_;
};

SEER_END_NAMESPACE
