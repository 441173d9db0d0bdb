#include "seer/advise/shortage.h"

#include <algorithm>

SEER_BEGIN_NAMESPACE
namespace {

// Beyond this a queue grows faster than it is worth to save.
constexpr double kRoomyUse = 0.7;

double WaitingIn(const HwReading& reading, Resource resource) {
  const HwSignal& delay = reading.instance[resource].delay_us;
  if (!delay.usable() || reading.interval_ns <= 0) return 0;
  return std::max(0.0, delay.value * 1000 / static_cast<double>(reading.interval_ns));
}

}  // namespace

Shortage ShortageOf(const HwReading& total, const HwReading& newest, Resource resource) {
  Shortage shortage;
  const HwSignal& use = newest.instance[resource].utilisation;
  shortage.used_known = use.usable();
  if (use.usable()) shortage.used = std::clamp(use.value, 0.0, 1.0);
  shortage.waiting = WaitingIn(newest, resource);
  if (newest.requests > 0 && newest.interval_ns > 0) {
    shortage.wait_us = shortage.waiting * static_cast<double>(newest.interval_ns) / 1000 /
                       static_cast<double>(newest.requests);
  }
  // From the middle of all to the middle of the last.
  const double apart_s = static_cast<double>(total.interval_ns - newest.interval_ns) / 2e9;
  if (apart_s > 0.01) {
    shortage.growth = (shortage.waiting - WaitingIn(total, resource)) / apart_s;
  }
  return shortage;
}

double LimitNeeded(const Shortage& shortage, double limit, double ahead_s) {
  if (!shortage.known()) return 0;
  const double coming = std::max(0.0, shortage.growth) * std::max(0.0, ahead_s);
  return (shortage.used * limit + shortage.waiting + coming) / kRoomyUse;
}

SEER_END_NAMESPACE
