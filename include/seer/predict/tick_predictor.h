// Flow: ClusterTick -> [TickPredictor] -> Forecast
//
// What every predictor has in common: it looks at the ticks of the cluster one after the other and
// says after each what it foresees. Models and the untrained rivals (rivals.h) stand behind it, so
// that they can be exchanged, compared and mirrored; seer::Predictor stands in front of it and
// merges what the nodes send to ticks.
//
//   seer::Forecast forecast;
//   for (const seer::ClusterTick& tick : ticks) {
//     if (absl::Status status = predictor->Observe(tick, topology, &forecast); !status.ok()) ...
//     if (forecast.alarm()) Warn(forecast);
//   }
//
// The forecast has a row for each class of which the predictor can say something: not for those of
// which too little was seen, as what is missing is not zero. Use FindClass() to look one up.
//
// Threads: one at a time. Cost: see the predictor; none allocates from one tick to the next once it
// has seen the topology.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "seer/core/config.h"
#include "seer/core/forecast.h"
#include "seer/core/ids.h"
#include "seer/core/topology.h"
#include "seer/window/cluster_tick.h"

SEER_BEGIN_NAMESPACE

class TickPredictor {
 public:
  virtual ~TickPredictor() = default;

  // For tables, figures and logs: lower case, words joined by '-'. Lives as long as the predictor.
  virtual std::string_view name() const = 0;

  // Looks at the next tick and overwrites `forecast`, keeping its memory. Ticks may be left out;
  // the topology may have changed since the last one, and belongs to the tick's numbering.
  //
  // InvalidArgument, and nothing has changed, neither here nor in `forecast`: the tick is not later
  // than the last one, does not fit into 63 bits of nanoseconds, or has rows that the topology has
  // not. A tick of another period or epoch is no error: what was learnt is forgotten (Reset).
  [[nodiscard]] virtual absl::Status Observe(const ClusterTick& tick, const Topology& topology,
                                             Forecast* forecast) = 0;

  // As if newly made.
  virtual void Reset() = 0;

  // All that it has learnt, behind what is in `bytes`: for a stand-by or a restart (mirror.h). One
  // made as this one was that loads it gives the same forecasts from the ticks that follow, bit by
  // bit. `topology` is the one of the last tick or a later version of it; bytes may come from
  // anywhere: after InvalidArgument the predictor is as newly made. Unimplemented: it cannot be
  // mirrored.
  [[nodiscard]] virtual absl::Status SaveState(std::string* bytes);
  [[nodiscard]] virtual absl::Status LoadState(std::string_view bytes, const Topology& topology);
};

inline absl::Status TickPredictor::SaveState(std::string*) {
  return absl::UnimplementedError("predictor: has no SaveState(): add it, or do not mirror it");
}
inline absl::Status TickPredictor::LoadState(std::string_view, const Topology&) {
  return absl::UnimplementedError("predictor: has no LoadState(): add it, or do not mirror it");
}

// The row of a class, or null where the predictor said nothing of it.
inline const ClassForecast* FindClass(const Forecast& forecast, ClassId id) {
  for (const ClassForecast& row : forecast.classes) {
    if (row.request_class == id) return &row;
  }
  return nullptr;
}

// The largest of the forecast's horizons that is not above `horizon_ns`, or the smallest that there
// is; 0 where it has none.
inline float ProbabilityWithin(const ClassForecast& forecast, std::int64_t horizon_ns) {
  float probability = 0;
  bool first = true;
  for (const HorizonProbability& row : forecast.horizons) {
    if (first || row.horizon_ns <= horizon_ns) probability = row.probability;
    first = false;
  }
  return probability;
}

SEER_END_NAMESPACE
