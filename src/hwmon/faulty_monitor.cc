#include "seer/hwmon/faulty_monitor.h"

#include <iterator>
#include <limits>
#include <stdexcept>

SEER_BEGIN_NAMESPACE

bool FaultyMonitor::Happens(double probability) {
  // 53 bits, so that 1 always happens and 0 never.
  const double draw = static_cast<double>(random_() >> 11) * 0x1p-53;
  if (draw >= probability) return false;
  ++faults_;
  return true;
}

void FaultyMonitor::Spoil(HwSignal* signal) {
  if (Happens(options_.missing)) {
    const Scope scope = signal->scope;
    *signal = HwSignal();
    signal->scope = scope;
    signal->reason = static_cast<Reason>(1 + random_() % (kReasons - 1));
    return;
  }
  const bool garbage = Happens(options_.garbage);
  if (!garbage && !Happens(options_.dead)) return;
  constexpr double kGarbage[] = {std::numeric_limits<double>::quiet_NaN(),
                                 std::numeric_limits<double>::infinity(),
                                 -std::numeric_limits<double>::infinity(), -1.0, 1e300};
  signal->value = garbage ? kGarbage[random_() % std::size(kGarbage)] : 0;
  signal->quality = Quality::kOk;
  signal->reason = Reason::kNone;
}

absl::Status FaultyMonitor::Read(const HwTarget& target, HwReading* reading) {
  if (Happens(options_.error)) {
    ClearReading(target, reading);
    switch (random_() % 3) {
      case 0:
        return absl::UnavailableError("injected: no reading this time");
      case 1:
        return absl::NotFoundError("injected: the target ended");
      default:
        return absl::UnimplementedError("injected: stop asking");
    }
  }
  // A fault that somebody asked for; ReadGuarded() is there to catch it.
  if (Happens(options_.thrown)) throw std::runtime_error("injected");
  if (has_last_ && last_.target == target.instance && last_.origin == target.origin &&
      Happens(options_.stale)) {
    *reading = last_;
    return absl::OkStatus();
  }
  absl::Status status = monitor_.Read(target, reading);
  if (!status.ok()) return status;
  last_ = *reading;
  has_last_ = true;
  for (ResourceReadings* readings : {&reading->instance, &reading->node}) {
    for (ResourceReading& resource : readings->by_resource) {
      Spoil(&resource.delay_us);
      Spoil(&resource.utilisation);
      Spoil(&resource.saturation);
    }
  }
  return status;
}

SEER_END_NAMESPACE
