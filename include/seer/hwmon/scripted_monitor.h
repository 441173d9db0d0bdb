// Flow: (tests) readings -> [ScriptedMonitor] -> HwReading -> advise/
//
// A monitor that says what it was told to, in order: for tests of what reads monitors.
//
//   seer::ScriptedMonitor monitor;
//   monitor.Say(reading);
//   monitor.Fail(absl::UnavailableError("no reading this time"));
//   loop.Tick();                                     // gets the reading
//   EXPECT_EQ(monitor.asked().back(), target);
//
// What is said gets the asked target's instance and origin. After the last line of the script every
// Read is kUnavailable, or the last line again with Repeat().
//
// Threads: one at a time. Cost: that of copying a reading.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "seer/core/config.h"
#include "seer/hwmon/monitor.h"

SEER_BEGIN_NAMESPACE

class ScriptedMonitor final : public HwMonitor {
 public:
  void Say(const HwReading& reading) { lines_.push_back({absl::OkStatus(), reading}); }
  void Fail(absl::Status status) { lines_.push_back({std::move(status), HwReading()}); }
  void Repeat(bool repeat = true) { repeat_ = repeat; }

  absl::Status Read(const HwTarget& target, HwReading* reading) override;

  const std::vector<HwTarget>& asked() const { return asked_; }

 private:
  struct Line {
    absl::Status status;
    HwReading reading;
  };
  std::vector<Line> lines_;
  std::size_t next_ = 0;
  bool repeat_ = false;
  std::vector<HwTarget> asked_;
};

SEER_END_NAMESPACE
