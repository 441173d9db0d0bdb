#include "seer/hwmon/tiered_monitor.h"

SEER_BEGIN_NAMESPACE
namespace {

void Complete(const HwSignal& from, HwSignal* to) {
  if (to->usable()) return;
  const bool better = from.quality > to->quality;
  const bool more_telling = from.quality == to->quality && to->reason == Reason::kNotObserved &&
                            from.reason != Reason::kNotObserved;
  if (better || more_telling) *to = from;
}

void Complete(const ResourceReadings& from, ResourceReadings* to) {
  for (std::size_t i = 0; i < kResources; ++i) {
    Complete(from.by_resource[i].delay_us, &to->by_resource[i].delay_us);
    Complete(from.by_resource[i].utilisation, &to->by_resource[i].utilisation);
    Complete(from.by_resource[i].saturation, &to->by_resource[i].saturation);
  }
}

}  // namespace

absl::Status TieredMonitor::Read(const HwTarget& target, HwReading* reading) {
  ClearReading(target, reading);
  if (monitors_.empty()) {
    return absl::UnimplementedError("monitors: there are none: give at least one");
  }
  absl::Status status = ReadGuarded(*monitors_.front(), target, reading);
  if (!status.ok()) return status;
  for (std::size_t i = 1; i < monitors_.size(); ++i) {
    if (!ReadGuarded(*monitors_[i], target, &next_).ok()) continue;
    // Of another length: a delay of it would be taken for one of ours.
    if (next_.interval_ns <= 0 && reading->interval_ns > 0) {
      // Reasons alone.
      for (ResourceReadings* side : {&next_.instance, &next_.node}) {
        for (ResourceReading& r : side->by_resource) {
          for (HwSignal* signal : {&r.delay_us, &r.utilisation, &r.saturation}) {
            if (!signal->usable()) continue;
            signal->quality = Quality::kUnavailable;
            signal->reason = Reason::kNotObserved;
            signal->value = 0;
          }
        }
      }
    }
    Complete(next_.instance, &reading->instance);
    Complete(next_.node, &reading->node);
  }
  return absl::OkStatus();
}

SEER_END_NAMESPACE
