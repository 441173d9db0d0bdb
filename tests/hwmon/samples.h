// Readings and targets for tests.
#pragma once

#include <cstdint>

#include "seer/hwmon/monitor.h"

namespace seer::testing {

inline HwSignal Good(double value, Scope scope = Scope::kProcess) {
  return {value, Quality::kOk, Reason::kNone, scope};
}

// Of 100 ms with so many requests, each resource with so much stall for one request.
inline HwReading HealthyReading(std::uint64_t requests = 100, double stall_us = 10) {
  HwReading reading;
  reading.origin = {"node-7", 42, 9};
  reading.target = InstanceId(3);
  reading.end_ns = 1'700'000'000'000'000'000;
  reading.interval_ns = 100'000'000;
  reading.requests = requests;
  const auto n = static_cast<double>(requests);
  for (Resource resource : kAllResources) {
    reading.instance[resource].delay_us = Good(stall_us * n);
    reading.instance[resource].utilisation = Good(0.3);
    reading.instance[resource].saturation = Good(0.05);
    reading.node[resource].delay_us = Good(100, Scope::kHost);
    reading.node[resource].utilisation = Good(0.4, Scope::kHost);
    reading.node[resource].saturation = Good(0.1, Scope::kHost);
  }
  return reading;
}

inline HwTarget SampleTarget() {
  HwTarget target = HwTarget::OfCgroup("/pods/a1");
  target.instance = InstanceId(3);
  target.origin = {"node-7", 42, 9};
  return target;
}

inline bool NothingObserved(const HwReading& reading) {
  for (const ResourceReadings* readings : {&reading.instance, &reading.node}) {
    for (const ResourceReading& r : readings->by_resource) {
      for (const HwSignal& s : {r.delay_us, r.utilisation, r.saturation}) {
        if (s.quality != Quality::kUnavailable || s.reason == Reason::kNone || s.value != 0) {
          return false;
        }
      }
    }
  }
  return reading.interval_ns == 0;
}

}  // namespace seer::testing
