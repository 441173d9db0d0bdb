// Flow: hwmon/ (the culprit's node only) -> HwReading -> advise/
//
// How each shared resource treats one instance, and the node it runs on. A signal that could not be
// had says so: `unavailable` with a reason, never a zero that looks like health.
//
//   const seer::HwSignal& wait = reading.instance[seer::Resource::kCpu].delay_us;
//   if (wait.usable() && wait.value > healthy_us) ...
//
// Threads: a plain value. Cost: a fixed size; the node's name may allocate.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "seer/core/config.h"
#include "seer/core/ids.h"
#include "seer/core/origin.h"

SEER_BEGIN_NAMESPACE

enum class Resource : std::uint8_t {
  kCpu,
  kCache,
  kMemoryBandwidth,
  kMemoryCapacity,
  kNetwork,
  kStorage,
};
inline constexpr std::size_t kResources = 6;
inline constexpr Resource kAllResources[kResources] = {
    Resource::kCpu,     Resource::kCache,  Resource::kMemoryBandwidth, Resource::kMemoryCapacity,
    Resource::kNetwork, Resource::kStorage};
// "cpu", "cache", "memory-bandwidth", ...
std::string_view ResourceName(Resource resource);
std::optional<Resource> ResourceFromName(std::string_view name);

enum class Quality : std::uint8_t {
  kUnavailable,  // no value; see the reason
  kSuspect,      // implausible, or from a counter that failed its self-test
  kScaled,       // extrapolated from part of the interval
  kOk,
};
inline constexpr std::size_t kQualities = 4;
std::string_view QualityName(Quality quality);

enum class Reason : std::uint8_t {
  kNone,
  kNotObserved,   // this tier cannot see the resource at all
  kPermission,    // EACCES, EPERM
  kNotFound,      // ENOENT: no such file, event or cgroup
  kNotSupported,  // the kernel or the processor does not have it
  kVanished,      // the process or cgroup ended while it was read
  kMalformed,     // the source said something unreadable
  kSelfTest,      // identical counters disagree
  kImplausible,   // outside what the hardware can do
  kMultiplexed,   // the counter ran only part of the time
  kFailed,        // any other error
};
inline constexpr std::size_t kReasons = 11;
std::string_view ReasonName(Reason reason);

enum class Scope : std::uint8_t { kProcess, kCgroup, kHost };
inline constexpr std::size_t kScopes = 3;
std::string_view ScopeName(Scope scope);

struct HwSignal {
  double value = 0;  // finite
  Quality quality = Quality::kUnavailable;
  Reason reason = Reason::kNotObserved;
  Scope scope = Scope::kProcess;

  bool usable() const { return quality >= Quality::kScaled; }
  friend bool operator==(const HwSignal& a, const HwSignal& b) {
    return a.value == b.value && a.quality == b.quality && a.reason == b.reason &&
           a.scope == b.scope;
  }
};

struct ResourceReading {
  HwSignal delay_us;     // stall accumulated during the interval
  HwSignal utilisation;  // of what it may use, 0 to 1
  HwSignal saturation;   // share of the interval in which somebody waited, 0 to 1
  friend bool operator==(const ResourceReading& a, const ResourceReading& b) {
    return a.delay_us == b.delay_us && a.utilisation == b.utilisation &&
           a.saturation == b.saturation;
  }
};

struct ResourceReadings {
  std::array<ResourceReading, kResources> by_resource;
  ResourceReading& operator[](Resource r) { return by_resource[static_cast<std::size_t>(r)]; }
  const ResourceReading& operator[](Resource r) const {
    return by_resource[static_cast<std::size_t>(r)];
  }
  friend bool operator==(const ResourceReadings& a, const ResourceReadings& b) {
    return a.by_resource == b.by_resource;
  }
};

struct HwReading {
  Origin origin;
  InstanceId target;
  std::int64_t end_ns = 0;       // unix time at which the interval ended
  std::int64_t interval_ns = 0;  // how long was measured
  std::uint64_t requests = 0;    // handled by the instance meanwhile: delay per request
  ResourceReadings instance;
  ResourceReadings node;

  friend bool operator==(const HwReading& a, const HwReading& b) {
    return a.origin == b.origin && a.target == b.target && a.end_ns == b.end_ns &&
           a.interval_ns == b.interval_ns && a.requests == b.requests && a.instance == b.instance &&
           a.node == b.node;
  }
  friend bool operator!=(const HwReading& a, const HwReading& b) { return !(a == b); }
};

SEER_END_NAMESPACE
