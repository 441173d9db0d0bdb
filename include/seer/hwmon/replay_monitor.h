// Flow: HwMonitor -> [RecordingMonitor] -> bytes -> file -> [ReplayMonitor] -> HwReading
//
// Keeps what a monitor said, and says it again later: an incident in a file.
//
//   std::string file;
//   seer::RecordingMonitor recording(monitor, [&](std::string_view bytes) { file += bytes; });
//   ... recording.Read(target, &reading) ...
//
//   absl::StatusOr<seer::ReplayMonitor> replay = seer::ReplayMonitor::Open(file);
//   replay->Read(target, &reading);           // as it was then: readings and errors
//
// A replay answers each target with what was said about that target, in order, and is kUnavailable
// when that is over. A record that was not written to its end is left out, as a crash may cut off
// the last one; damage before it is an error.
//
// Threads: one at a time. Cost: about 2 us for each Read.
#pragma once

#include <cstddef>
#include <functional>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "seer/core/config.h"
#include "seer/hwmon/monitor.h"

SEER_BEGIN_NAMESPACE

class RecordingMonitor final : public HwMonitor {
 public:
  // Called with one record after each Read. The monitor outlives this one.
  using Sink = std::function<void(std::string_view bytes)>;
  RecordingMonitor(HwMonitor& monitor, Sink sink) : monitor_(monitor), sink_(std::move(sink)) {}
  absl::Status Read(const HwTarget& target, HwReading* reading) override;

 private:
  HwMonitor& monitor_;
  const Sink sink_;
};

class ReplayMonitor final : public HwMonitor {
 public:
  static absl::StatusOr<ReplayMonitor> Open(std::string_view bytes);
  absl::Status Read(const HwTarget& target, HwReading* reading) override;

  std::size_t records() const { return records_.size(); }
  // Whom the records are about, each once, in the order of their first.
  std::vector<HwTarget> Targets() const;

 private:
  struct Record {
    HwTarget target;
    absl::Status status;
    HwReading reading;
    bool said = false;
  };
  std::vector<Record> records_;
};

SEER_END_NAMESPACE
