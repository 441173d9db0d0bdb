// Flow: Violation, ClusterTick -> [DepthCulpritFinder] -> Attribution -> dataset/
//
// Who initiated a violation, where there are depths and no traces: the service at which more calls
// stood than usual that were not passed on (its self depth), and which calls no other such service.
//
//   seer::DepthCulpritFinder finder(options);
//   finder.Observe(tick, topology);                           // every tick, in order
//   seer::Attribution who = finder.Find(violation, topology);
//
// It compares the self depths from before the violation's start to shortly after it with what is
// usual, and walks to the deepest abnormal service as CulpritFinder (labels.h) does. Traces tell
// more: they know which requests were slow and what lay on their critical path, depths do not. So a
// confidence of more than 0.7 is never given. "load" where more requests ended, or were made, than
// usual; "unknown" where the self depths of the services are not known or none stands out.
//
// A suspect's growth is told in calls by Little's law: what stands there more than usual, over the
// requests of the class that ended in a second, as queue_growth_ns.
//
// Threads: one at a time. Cost: Observe() one pass over the edges; Find() the kept ticks times the
// services. Memory: 5 bytes for each service and kept tick.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "seer/core/config.h"
#include "seer/core/topology.h"
#include "seer/window/cluster_tick.h"
#include "seer/window/labels.h"
#include "seer/window/violations.h"

SEER_BEGIN_NAMESPACE

class DepthCulpritFinder {
 public:
  // Of the options min_growth, min_slow and period are not used: the period is that of the ticks.
  explicit DepthCulpritFinder(const CulpritOptions& options = {}) : options_(options) {}

  // One that is not newer than the last, or of another period, is another recording: it begins
  // anew.
  void Observe(const ClusterTick& tick, const Topology& topology);
  // Once the ticks up to after_ns in the violation were observed, and before those of keep_ns
  // later. `others`: violations before it, whose time is not usual.
  Attribution Find(const Violation& violation, const Topology& topology,
                   absl::Span<const Violation> others = {}) const;

 private:
  struct Row {
    Tick tick = 0;
    bool used = false;
    std::vector<float> self;
    std::vector<std::uint8_t> seen;
    std::vector<std::uint32_t> ended;  // requests, by ClassId
    std::uint64_t entered = 0;         // calls from outside that were made, where edges tell
    bool entered_known = false;
  };
  const Row* Look(Tick tick) const;
  double RateGrowth(const std::vector<std::pair<Tick, Tick>>& usual, const Violation& violation,
                    double* spreads) const;

  CulpritOptions options_;
  TickPeriod period_;
  Tick last_ = 0;
  std::vector<Row> rows_;  // by tick modulo size
  SelfDepthTable table_;
};

SEER_END_NAMESPACE
