// Flow: HwMonitor... -> [TieredMonitor] -> HwReading -> advise/
//
// Several monitors as one: each signal comes from the first that has it. The first monitor is the
// one whose interval and errors count; where a further one fails, its signals are missing.
//
//   seer::SoftwareMonitor software;
//   seer::CounterMonitor counters;
//   seer::TieredMonitor monitor({&software, &counters});
//
// Of a signal that nobody has, the most telling reason stands: kNotObserved only where no monitor
// looks at it at all.
//
// Threads: one at a time. Cost: those of the monitors.
#pragma once

#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "seer/core/config.h"
#include "seer/hwmon/monitor.h"

SEER_BEGIN_NAMESPACE

class TieredMonitor final : public HwMonitor {
 public:
  // They outlive this one.
  explicit TieredMonitor(std::vector<HwMonitor*> monitors) : monitors_(std::move(monitors)) {}
  absl::Status Read(const HwTarget& target, HwReading* reading) override;

 private:
  const std::vector<HwMonitor*> monitors_;
  HwReading next_;  // of a further monitor; kept for its strings' memory
};

SEER_END_NAMESPACE
