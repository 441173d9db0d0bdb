// Flow: Window -> [Predictor] -> Forecast -> advise/, insight/
//
// How likely it is that a QoS violation starts soon, and who would be to blame, per request class.
//
//   for (const seer::ClassForecast& f : forecast.classes) {
//     if (f.alarm) Notify(f.request_class, f.initiators.front());
//   }
//
// Threads: a plain value. Cost: one allocation per list in use.
#pragma once

#include <cstdint>
#include <vector>

#include "seer/core/channel.h"
#include "seer/core/config.h"
#include "seer/core/ids.h"
#include "seer/core/tick.h"

SEER_BEGIN_NAMESPACE

// P(a violation starts in (now, now + horizon]).
struct HorizonProbability {
  std::int64_t horizon_ns = 0;
  float probability = 0;
};

// P(this service initiates the violation, given that there is one).
struct Initiator {
  ServiceId service;  // none = "load": more requests than the application was built for
  float probability = 0;
  bool is_load() const { return !service.valid(); }
};

// One of the few measurements that a forecast rests on. Exactly one of service and edge is set.
struct ForecastEvidence {
  ServiceId service;
  Channel channel = Channel::kQueued;  // of the service
  EdgeId edge;                         // its outbound depth
  float weight = 0;  // how much P(violation) falls when this measurement is masked
};

struct ClassForecast {
  ClassId request_class;
  std::vector<HorizonProbability> horizons;  // increasing
  std::vector<Initiator> initiators;         // most likely first; probabilities sum to 1
  std::vector<ForecastEvidence> evidence;    // strongest first
  bool alarm = false;
};

struct Forecast {
  Tick tick = 0;  // "now" is this tick's end
  TickPeriod period;
  std::vector<ClassForecast> classes;

  bool alarm() const {
    for (const ClassForecast& forecast : classes) {
      if (forecast.alarm) return true;
    }
    return false;
  }
};

SEER_END_NAMESPACE
