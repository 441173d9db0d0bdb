// A small shop and readings of its instances, for the tests of advise/.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "seer/core/forecast.h"
#include "seer/core/hw_reading.h"
#include "seer/core/topology.h"
#include "seer/hwmon/stall_baseline.h"

namespace seer::testing {

inline constexpr std::int64_t kMsNs = 1'000'000;
inline constexpr std::int64_t kSecondNs = 1'000'000'000;

struct Shop {
  Shop() {
    const NodeId node = topology.AddNode("node-1").value();
    front = topology.AddService("front", "shop").value();
    cart = topology.AddService("cart", "shop").value();
    video = topology.AddService("video", "films").value();
    front_0 = topology.AddInstance(front, "front-0", node, "shop/front-0").value();
    cart_0 = topology.AddInstance(cart, "cart-0", node, "shop/cart-0").value();
    cart_1 = topology.AddInstance(cart, "cart-1", node, "shop/cart-1").value();
    video_0 = topology.AddInstance(video, "video-0", node, "films/video-0").value();
    using std::chrono::milliseconds;
    const QosTarget target = QosTarget::Percentile(0.99, milliseconds(20), milliseconds(1000));
    buy = topology.AddRequestClass("shop", "buy", target, front).value();
    watch = topology.AddRequestClass("films", "watch", target, video).value();
  }

  ClassForecast Row(ClassId id, ServiceId culprit, float p = 0.9f, bool alarm = true) const {
    ClassForecast row;
    row.request_class = id;
    row.horizons = {{100 * kMsNs, p * 0.5f}, {300 * kMsNs, p}};
    row.initiators = {{culprit, 0.9f}, {culprit == front ? cart : front, 0.1f}};
    row.alarm = alarm;
    return row;
  }

  Topology topology{3};
  ServiceId front, cart, video;
  InstanceId front_0, cart_0, cart_1, video_0;
  ClassId buy, watch;
};

// What a request waits for each resource, in microseconds; all but cache and bandwidth observed.
using Stalls = std::map<Resource, double>;

inline HwReading ReadingOf(const Stalls& stalls, std::uint64_t requests = 100,
                           std::int64_t interval_ns = 100 * kMsNs) {
  HwReading reading;
  reading.interval_ns = interval_ns;
  reading.requests = requests;
  for (const Resource resource : kAllResources) {
    const auto found = stalls.find(resource);
    const bool hidden = resource == Resource::kCache || resource == Resource::kMemoryBandwidth;
    if (hidden && found == stalls.end()) continue;
    HwSignal& delay = reading.instance[resource].delay_us;
    delay.value = (found == stalls.end() ? 10 : found->second) * static_cast<double>(requests);
    delay.quality = Quality::kOk;
    delay.reason = Reason::kNone;
  }
  return reading;
}

inline StallBaseline HealthyBaseline(const Stalls& stalls = {}) {
  StallBaseline baseline;
  for (int i = 0; i < 10; ++i) (void)baseline.Learn(ReadingOf(stalls));
  return baseline;
}

}  // namespace seer::testing
