// Flow: ClusterTick -> [MakeRival] -> Forecast: predictors that need no training
//
// The simple ways to foresee a violation and to name its initiator. Every table of an evaluation
// carries them, a model has to beat the best of them, and where there is no model yet they are what
// there is.
//
//   seer::RivalOptions options;
//   auto rival = seer::MakeRival(seer::RivalKind::kSelfDepthZ, options);   // StatusOr
//   seer::Forecast forecast;
//   absl::Status status = (*rival)->Observe(tick, topology, &forecast);
//
// Each gives every service a score, and a class the largest score among the services that a request
// of it can wait for: those reachable from its entry along synchronous calls (where no entry is
// known, those of its application). The class's alarm follows the ratio r of score and threshold
// (alarm.h); the probability of a violation is r^4 / (1 + r^4) for the alarm horizon, one half at
// the threshold, and for the other horizons what the same rate of events gives. It is a rank more
// than a probability: nothing calibrated it.
//
// What is usual is learnt while it runs: a robust mean and spread of each depth, over
// `baseline_ns`, which outliers move little. A spread is taken as no smaller than that of a Poisson
// number.
//
//   largest-depth      the calls outstanding at a service, or where not known its longest queue
//   largest-depth-z    how many spreads a depth is above its usual value
//   self-depth-z       so for the self depth; where that is not known, for the innermost queue that
//                      stands at the service itself: queued, socket, accept, nic
//   deepest-abnormal   as largest-depth-z; blames the abnormal service deepest in the back end
//   queue-slope        so many spreads the depth will be above in `slope_horizon_ns`, as it grows
//   utilisation        requests in work, of the workers that there are
//   queue-wait         mean wait in the service's queue over a second, in ms
//   mmc                wait that an M/M/c queue with the measured rates foresees: what a backlog
//   grows
//                      to in `slope_horizon_ns` and, where the workers were told, the 99th
//                      percentile of Erlang's formula; as a part of the class's target
//   random             `alarms_per_hour`, at random, blaming any service of the class
//
// Workers: as told (`workers`), or the most that were seen to be at work. Where `running` is not
// recorded, the self depth stands for what is at a service, and the workers are the largest self
// depth at which requests did not yet take longer than usual.
//
// Who is to blame: shares by the square of the scores, and "load", which gets more than half when
// requests come in `load_growth` times as fast as usual.
// Evidence: what the service with the largest score was seen by. Its weight is the fall of the
// probability when that is masked, as then the service with the next score speaks.
//
// Threads: one at a time. Cost: a few passes over services and edges per tick; 200 to 300 bytes a
// service.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "seer/core/channel.h"
#include "seer/core/config.h"
#include "seer/predict/alarm.h"
#include "seer/predict/tick_predictor.h"

SEER_BEGIN_NAMESPACE

enum class RivalKind : std::uint8_t {
  kLargestDepth,
  kLargestDepthZ,
  kSelfDepthZ,
  kDeepestAbnormal,
  kQueueSlope,
  kUtilisation,
  kQueueWait,
  kMmc,
  kRandom,
};
inline constexpr RivalKind kAllRivals[] = {
    RivalKind::kLargestDepth,    RivalKind::kLargestDepthZ, RivalKind::kSelfDepthZ,
    RivalKind::kDeepestAbnormal, RivalKind::kQueueSlope,    RivalKind::kUtilisation,
    RivalKind::kQueueWait,       RivalKind::kMmc,           RivalKind::kRandom};

// "largest-depth", "largest-depth-z", "self-depth-z", ... as above; "?" outside the enum.
std::string_view RivalName(RivalKind kind);
std::optional<RivalKind> RivalFromName(std::string_view name);
// In the rival's own unit: requests, spreads, share of the workers, ms, part of the target.
double DefaultThreshold(RivalKind kind);

struct ServiceWorkers {
  std::string service;
  double workers = 0;  // requests that it can work on at a time, all instances together
};

struct RivalOptions {
  double threshold = 0;  // 0: DefaultThreshold()
  // What may be looked at: the ablations of the evaluation. The self depth needs the edges.
  ChannelMask channels = ChannelMask::All();
  bool edges = true;

  std::int64_t baseline_ns = 60'000'000'000;    // 1 s to 1 d
  std::int64_t warmup_ns = 5'000'000'000;       // until a usual value counts, at most baseline_ns
  std::int64_t hold_ns = 1'000'000'000;         // a score is kept so long where nothing is seen
  std::int64_t slope_horizon_ns = 500'000'000;  // queue-slope, mmc: how far ahead
  std::int64_t alarm_horizon_ns = 300'000'000;  // of the probability that is one half at r = 1
  std::vector<std::int64_t> horizons_ns = {100'000'000, 300'000'000, 500'000'000, 1'000'000'000,
                                           2'000'000'000};  // increasing, 1 to 16
  AlarmOptions alarm;

  // A service's queue is that of many classes. With this, a class's ratio counts in full only while
  // its own requests (the slowest of the tick, the oldest that is open) take longer than usual by
  // `own_spreads` spreads, less before, and not at all where they take no longer. Classes whose
  // latencies are not seen do not care.
  bool own_requests = false;
  double own_spreads = 3;  // above 0

  double load_growth = 2.5;        // above 1
  std::size_t max_initiators = 8;  // 1 to 64, "load" not counted
  std::vector<ServiceWorkers> workers;

  double alarms_per_hour = 1;  // random: over all classes
  std::uint64_t seed = 1;      // random

  [[nodiscard]] absl::Status Validate() const;
};

// InvalidArgument that names the field of the options.
absl::StatusOr<std::unique_ptr<TickPredictor>> MakeRival(RivalKind kind,
                                                         const RivalOptions& options = {});

SEER_END_NAMESPACE
