// Flow: kernel -> [Reading] -> queue/, hwmon/
//
// One number that a probe took from the kernel, or the reason why there is none. What cannot be
// seen is missing with a reason, never a zero that looks like an empty queue.
//
//   const seer::Reading waited = Delta(before.run_delay_ns, after.run_delay_ns);
//   if (waited.ok()) Use(waited.value);
//   else table.set_missing(seer::Channel::kNic, seer::MissingOf(waited.reason));
//
// Threads: plain values. Cost: none.
#pragma once

#include <cstdint>
#include <limits>

#include "absl/status/status.h"
#include "seer/core/config.h"
#include "seer/core/hw_reading.h"
#include "seer/core/snapshot.h"

SEER_BEGIN_NAMESPACE

struct Reading {
  // Of a limit that is not set: "max", -1, or the largest number the kernel writes instead.
  static constexpr std::uint64_t kUnlimited = std::numeric_limits<std::uint64_t>::max();

  std::uint64_t value = 0;  // means something only where ok()
  Reason reason = Reason::kNotObserved;

  static constexpr Reading Of(std::uint64_t value) { return {value, Reason::kNone}; }
  static constexpr Reading Not(Reason reason) { return {0, reason}; }
  constexpr bool ok() const { return reason == Reason::kNone; }
  constexpr bool unlimited() const { return ok() && value == kUnlimited; }

  friend constexpr bool operator==(const Reading& a, const Reading& b) {
    return a.value == b.value && a.reason == b.reason;
  }
  friend constexpr bool operator!=(const Reading& a, const Reading& b) { return !(a == b); }
};

// How far a counter came. A counter that fell was started anew or is another one by now (a cgroup
// made again, a processor taken offline): kImplausible. A missing side says why it is missing.
constexpr Reading Delta(const Reading& before, const Reading& after) {
  if (!after.ok()) return after;
  if (!before.ok()) return before;
  if (after.value < before.value) return Reading::Not(Reason::kImplausible);
  return Reading::Of(after.value - before.value);
}

// Both known: their sum, which stops at the largest number; else why one is not.
constexpr Reading Sum(const Reading& a, const Reading& b) {
  if (!a.ok()) return a;
  if (!b.ok()) return b;
  return Reading::Of(a.value > Reading::kUnlimited - b.value ? Reading::kUnlimited
                                                             : a.value + b.value);
}

// What an errno means for who wonders where a value is.
Reason ReasonOfErrno(int error);
// The same for the status of a probe; kNone where it is ok.
Reason ReasonOfStatus(const absl::Status& status);
// A reason in the words of a Snapshot's channel.
Missing MissingOf(Reason reason);

// For hwmon's signals: kOk with the value, or kUnavailable with the reason.
HwSignal ToSignal(const Reading& reading, Scope scope);

SEER_END_NAMESPACE
