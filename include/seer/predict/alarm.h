// Flow: Forecast's score -> [AlarmLatch] -> ClassForecast::alarm
//
// When a score becomes an alarm, and when the alarm ends. Two thresholds and two durations, so that
// a score that wavers about the threshold is one alarm and not many.
//
//   seer::AlarmLatch latch;
//   row.alarm = latch.Observe(score / threshold, tick_end_ns, options);
//
// The alarm is raised when the score has been at the threshold or above for `raise_ns`, and cleared
// when it has been below `clear_ratio` of the threshold for `clear_ns`. A tick in which nothing is
// known of the score is not handed over: it neither raises nor clears.
//
// Threads: one at a time. Cost: a few comparisons, 24 bytes.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE

struct AlarmOptions {
  std::int64_t raise_ns = 0;            // 0: the first tick at the threshold raises
  std::int64_t clear_ns = 500'000'000;  // 0: the first tick below clears
  double clear_ratio = 0.7;             // of the threshold, above 0 and at most 1

  [[nodiscard]] absl::Status Validate() const;
};

class AlarmLatch {
 public:
  // `ratio` is the score over its threshold; time does not go back. Returns whether there is alarm.
  bool Observe(double ratio, std::int64_t now_ns, const AlarmOptions& options);
  bool alarm() const { return alarm_; }
  void Reset() { *this = AlarmLatch(); }

  // Its state as two numbers, and back: for those who save what they have learnt. `bits` has none
  // but the lowest two.
  std::uint8_t bits() const {
    return static_cast<std::uint8_t>((alarm_ ? 1 : 0) | (pending_ ? 2 : 0));
  }
  std::int64_t since_ns() const { return since_ns_; }
  void Set(std::uint8_t bits, std::int64_t since_ns) {
    alarm_ = (bits & 1) != 0;
    pending_ = (bits & 2) != 0;
    since_ns_ = since_ns;
  }

 private:
  bool alarm_ = false;
  bool pending_ = false;       // the score is on the other side, not yet for long enough
  std::int64_t since_ns_ = 0;  // with pending_
};

SEER_END_NAMESPACE
