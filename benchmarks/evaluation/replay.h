// Recorded runs through predictors: what came, how near it was, and what was forecast, as the rows
// that are scored.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "benchmarks/evaluation/rows.h"
#include "seer/core/latency_histogram.h"
#include "seer/core/topology.h"
#include "seer/predict/tick_predictor.h"
#include "seer/window/cluster_tick.h"

namespace seer::evaluation {

struct RecordedRun {
  std::string name;
  Topology topology;  // resolves the ids of all ticks
  std::vector<ClusterTick> ticks;
};

// The tail latencies that the classes' targets are about, over their trailing windows.
class TailMeters {
 public:
  // Adds a row for each class whose tail is at least `share` of its target, and for the first tail
  // that is known at all. Ticks in order.
  void Observe(const ClusterTick& tick, const Topology& topology, double share, Names* names,
               std::vector<TailRow>* rows);

 private:
  struct Entry {
    Tick tick;
    LatencyHistogram latency;
  };
  std::vector<std::deque<Entry>> windows_;  // by class
};

// "shop/buy", or "buy" of a class without application.
std::string ClassLabel(const RequestClass& row);

// Violations as ViolationDetector finds them, without culprits, unless the run has some already;
// the tail latencies that the targets are about, over their trailing windows; and from when to
// when.
void AddTruth(const RecordedRun& run, Recording* recording);

// Marks violations whose culprit is known and is not the service with the most calls outstanding at
// the last tick before they start.
void MarkTraps(const RecordedRun& run, Recording* recording);

// Every tick through the predictor, from anew: a row for each class of which it says something.
absl::Status AddForecasts(const RecordedRun& run, std::int64_t horizon_ms, TickPredictor* predictor,
                          Recording* recording);

// The rows as files that score-forecasts reads.
std::string ViolationsCsv(const Recording& recording);
std::string TailsCsv(const Recording& recording);
std::string RunsCsv(const Recording& recording);
std::string ForecastsCsv(const Recording& recording);

}  // namespace seer::evaluation
