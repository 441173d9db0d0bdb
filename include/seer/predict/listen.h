// Flow: LabelledRun -> [Listen] -> alarms and probabilities beside what came -> FitAlarm,
// ScoreAlarms
//
// Plays a recorded run to a predictor and keeps what it said of each request class, together with
// what was true: for judging it, and for choosing its alarm.
//
//   auto heard = seer::Listen(run, predictor.get(), {300'000'000});       // StatusOr
//   for (const seer::HeardClass& one : heard->classes) {
//     seer::AlarmScore score = seer::ScoreAlarms(one.alarms);
//   }
//
// Threads: one at a time for a predictor. Cost: the predictor's, and 10 bytes and 4 for each
// horizon for each tick and class.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "seer/core/config.h"
#include "seer/core/ids.h"
#include "seer/core/topology.h"
#include "seer/predict/alarm_score.h"
#include "seer/predict/fit_alarm.h"
#include "seer/predict/tick_predictor.h"
#include "seer/window/cluster_tick.h"
#include "seer/window/violations.h"

SEER_BEGIN_NAMESPACE

// A recorded run. `for_each_tick` calls what it is given with every tick in order, stops at an
// error, and can be called again; `topology` has every row.
struct LabelledRun {
  Topology topology;
  std::vector<Violation> violations;
  std::function<absl::Status(const std::function<absl::Status(const ClusterTick&)>&)> for_each_tick;
};

struct HeardClass {
  ClassId request_class;
  ForecastTrack forecasts;            // of the horizons asked for
  AlarmTrack alarms;                  // the same times and violations
  std::vector<ServiceId> blamed;      // at each time, the likeliest; none: "load"
  std::vector<Violation> violations;  // those of `alarms`, whole
};

struct HeardRun {
  std::vector<HeardClass> classes;  // of the live ones
  double hours = 0;
};

// From anew: the predictor is reset first. Its error, or that of reading the run.
absl::StatusOr<HeardRun> Listen(const LabelledRun& run, TickPredictor* predictor,
                                absl::Span<const std::int64_t> horizons_ns);

// Whether an alarm that hit blamed the right one: 1 or 0; -1 where the truth is not known.
int BlamedRightly(const HeardClass& heard, const ScoredAlarm& alarm);

SEER_END_NAMESPACE
