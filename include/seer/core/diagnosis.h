// Flow: Forecast, HwReading -> [Diagnose] -> Diagnosis -> advise/
//
// Which resource is behind the culprit, or that none is: the application's own doing, more load
// than it was built for, or not enough known to say.
//
// Threads: a plain value. Cost: one allocation per piece of evidence.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "seer/core/config.h"
#include "seer/core/hw_reading.h"
#include "seer/core/ids.h"

SEER_BEGIN_NAMESPACE

// The resources first, in the order of Resource.
enum class Cause : std::uint8_t {
  kCpu,
  kCache,
  kMemoryBandwidth,
  kMemoryCapacity,
  kNetwork,
  kStorage,
  kApplication,
  kLoad,
  kUndecided,
};
inline constexpr std::size_t kCauses = 9;
// "cpu", ..., "application", "load", "undecided".
std::string_view CauseName(Cause cause);
std::optional<Cause> CauseFromName(std::string_view name);
constexpr Cause CauseOf(Resource resource) { return static_cast<Cause>(resource); }

struct DiagnosisEvidence {
  Resource resource = Resource::kCpu;
  std::string signal;  // e.g. "run-queue delay, us per request"
  double value = 0;
  double healthy = 0;  // the same signal when all was well
};

struct Diagnosis {
  ServiceId culprit;    // none when the cause is load
  InstanceId instance;  // the replica that was read, where one stands out
  Cause cause = Cause::kUndecided;
  float confidence = 0;  // 0 to 1
  std::vector<DiagnosisEvidence> evidence;
};

SEER_END_NAMESPACE
