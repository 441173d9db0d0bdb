#include "seer/hwmon/scripted_monitor.h"

SEER_BEGIN_NAMESPACE

absl::Status ScriptedMonitor::Read(const HwTarget& target, HwReading* reading) {
  asked_.push_back(target);
  ClearReading(target, reading);
  if (next_ == lines_.size() && repeat_ && !lines_.empty()) --next_;
  if (next_ == lines_.size()) {
    return absl::UnavailableError("the script of this monitor is over: give it more lines");
  }
  const Line& line = lines_[next_++];
  if (!line.status.ok()) return line.status;
  *reading = line.reading;
  reading->target = target.instance;
  reading->origin = target.origin;
  return absl::OkStatus();
}

SEER_END_NAMESPACE
