// Flow: microbenchmarks -> [ProbeMonitor] -> HwReading (cache) -> advise/
//
// Where there are no counters, two small benchmarks in the victim's place tell how slow the core's
// own cache is now, and how slow the memory behind it: for 10 ms each in each reading, in time that
// the processor has left. Around another monitor, which tells all the rest:
//
//   seer::SoftwareMonitor software;
//   seer::ProbeMonitor monitor(software, *benchmarks);
//
// The core's cache is asked first, and is shared by whoever runs on the same core: a neighbour that
// takes only idle time takes no processor from the victim, and still all that it had in the cache.
// So its benchmark looks at lines that it had, after a millisecond in which others could run.
// Where that one is slow, the memory is not asked. It cannot tell a cache that is shared from a
// memory that is busy: both are said under cache, and memory bandwidth stays kNotObserved. What it
// says is the host's, not the victim's (scope kHost): how much of the victim's processor time a
// slowdown of that size would explain. attribution.h counts it only as far as the victim needs more
// time than it did.
//
// Its signals are kScaled: they are of a part of the interval. A reading in which a benchmark was
// starved, or the victim suffered (`stop`), has none.
//
// Threads: one at a time. Cost: a run of each benchmark (20 ms, on the victim's processors).
#pragma once

#include <utility>

#include "absl/status/status.h"
#include "seer/core/config.h"
#include "seer/hwmon/microbenchmark.h"
#include "seer/hwmon/software_monitor.h"

SEER_BEGIN_NAMESPACE

class ProbeMonitor final : public HwMonitor {
 public:
  // All outlive this one. The placement is that of a target's first process, unless one is set.
  ProbeMonitor(SoftwareMonitor& software, Microbenchmarks& benchmarks)
      : software_(software), benchmarks_(benchmarks) {}

  void set_placement(Placement placement) {
    placement_ = std::move(placement);
    placed_ = true;
  }
  void set_stop(Microbenchmarks::Stop stop) { stop_ = std::move(stop); }

  absl::Status Read(const HwTarget& target, HwReading* reading) override;
  // That which the last reading stands on: the slower of the two, or the one that went wrong.
  const MicrobenchmarkRun& last_run() const { return run_; }

 private:
  SoftwareMonitor& software_;
  Microbenchmarks& benchmarks_;
  Placement placement_;
  bool placed_ = false;
  Microbenchmarks::Stop stop_;
  MicrobenchmarkRun run_;
};

SEER_END_NAMESPACE
