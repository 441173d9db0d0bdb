// Flow: the processor's counters -> [CounterMonitor] -> HwReading (cache, memory bandwidth) ->
// advise/
//
// What software cannot see: how long the instance's code stood still for memory, and whether that
// is because more lines come from there (the cache is too small, or shared) or because each takes
// longer (the memory's bandwidth is used up).
//
//   seer::CounterMonitor counters;
//   seer::TieredMonitor monitor({&software, &counters});          // tiered_monitor.h
//
// The counters are tested before they are believed (perf_events.h), again every minute, and at once
// after a value that no processor can produce. While the test fails, or where it leaves too few of
// them, the signals say kSelfTest. Values of a counter that ran only part of the time are scaled
// and say so. Threads are counted each by itself, as a counter that is inherited does not cover
// those that are there already; new ones are found at each Read, and what they did before is lost.
//
//   cache.delay_us             lines from memory, each at memory_latency_ns
//   memory-bandwidth.delay_us  stalls on memory beyond that. Where the processor has no counter of
//                              stalls: cycles beyond those that this target's instructions took
//                              when they were fastest.
//
// Where lines from memory cannot be counted, all stalls are the cache's and memory bandwidth is
// kNotSupported: no claim about the two is made that cannot be seen.
//
// Threads: one at a time.
// Cost:    0.2 us for each thread of the target (6 us where it runs on another processor just now),
//          and opening four counters for each new one, 1.6 us each. The self-test 2 ms a minute.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "seer/core/clock.h"
#include "seer/core/config.h"
#include "seer/hwmon/monitor.h"
#include "seer/hwmon/perf_events.h"

SEER_BEGIN_NAMESPACE

struct CounterMonitorOptions {
  std::string root;              // stands before /proc and /sys
  const Clock* clock = nullptr;  // outlives the monitor; null: the machine's
  PerfEvents* events = nullptr;  // outlives the monitor; null: the kernel's
  std::size_t max_targets = 64;
  std::size_t max_threads = 256;  // of one target; each takes up to four files
  double memory_latency_ns = 90;  // of one line when nobody else wants any
  double line_bytes = 64;
  double peak_bytes_per_second = 0;  // of the memory, for the utilisation; 0: not known
  std::int64_t retest_ns = 60'000'000'000;
  int processors = 0;  // for cgroups; 0: those that are configured
};

// What stands behind the last reading. Totals over the target's threads and the interval.
struct CounterDetail {
  double cycles = 0, instructions = 0, memory_fills = 0, stall_cycles = 0;
  double run_ns = 0;  // the counters ran
  double cpi = 0;     // cycles for one instruction; 0: none was counted
  Quality quality = Quality::kUnavailable;
  Reason reason = Reason::kNotObserved;
  std::size_t threads = 0;    // counted
  std::size_t uncounted = 0;  // too many, or not permitted
};

class CounterMonitor final : public HwMonitor {
 public:
  explicit CounterMonitor(CounterMonitorOptions options = {});
  ~CounterMonitor() override;

  // Fills in cache and memory bandwidth of the instance; the rest is kNotObserved.
  absl::Status Read(const HwTarget& target, HwReading* reading) override;

  const CounterDetail& last() const { return last_; }
  const CounterTrust& trust() const;  // of the last self-test; before the first Read none
  const EventTable& table() const;
  void Forget(const HwTarget& target);

 private:
  struct State;
  std::unique_ptr<State> state_;
  CounterDetail last_;
};

SEER_END_NAMESPACE
