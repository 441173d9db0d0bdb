// Recorded runs for those that learn: a SmallCluster in which the store or the logic falls behind
// now and then. Most backlogs grow until requests are too late; some go away before.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "seer/predict/tree_trainer.h"
#include "tests/predict/small_cluster.h"

namespace seer::testing {

struct FaultyRun {
  // `ms_each`: what a request that stands in front of it costs another one.
  explicit FaultyRun(unsigned seed, int ticks = 6000, double ms_each = 1.6, Tick first = 1000) {
    cluster.tick = first;
    cluster.random.seed(seed);
    bool at_store = false, harmless = false;
    int open = -1;  // of violations
    for (int i = 0; i < ticks; ++i) {
      const int into = i % 200 - 120;
      if (into == 0) {
        at_store = cluster.random() % 2 == 0;
        harmless = cluster.random() % 4 == 0;
      }
      const int grown = into >= 0 && into < 25 ? into : 0;
      const double backlog = harmless ? std::min(3.0 * grown, 9.0) : 5.0 * grown;
      ClusterTick tick = at_store ? cluster.Next(backlog) : cluster.Next(0, 0, 1);
      if (!at_store) Add(backlog, &tick);
      ClassTick& row = tick.classes[0];
      row.seen = true;
      // A request takes 20 ms, and what stands in front of it.
      const double latency_ms = 20 + ms_each * backlog;
      for (int r = 0; r < 100; ++r) {
        row.latency.Record(static_cast<std::int64_t>((latency_ms + cluster.Poisson(4)) * 1e6));
      }
      row.count = 100;
      row.over_target = latency_ms > 100 ? 100 : 0;
      row.oldest_open_ns = static_cast<std::int64_t>(latency_ms * 1e6);
      const std::int64_t end_ns = tick.period.EndNs(tick.tick);
      if (row.over_target > 0 && open < 0) {
        Violation violation;
        violation.request_class = cluster.buy;
        violation.start_ns = violation.end_ns = end_ns;
        violation.initiation = Initiation::kService;
        violation.culprit = at_store ? cluster.store : cluster.logic;
        violation.confidence = 1;
        open = static_cast<int>(violations.size());
        violations.push_back(violation);
      }
      if (open >= 0 && into < 40) violations[static_cast<std::size_t>(open)].end_ns = end_ns;
      if (into == 40) open = -1;
      all.push_back(std::move(tick));
    }
  }

  // The run as trainers take it; refers to this.
  LabelledRun Labelled() const {
    LabelledRun run;
    run.topology = cluster.topology;
    run.violations = violations;
    run.for_each_tick = [this](const std::function<absl::Status(const ClusterTick&)>& handle) {
      for (const ClusterTick& tick : all) {
        if (absl::Status status = handle(tick); !status.ok()) return status;
      }
      return absl::OkStatus();
    };
    return run;
  }

  SmallCluster cluster;
  std::vector<ClusterTick> all;
  std::vector<Violation> violations;

 private:
  // At the logic, and at the front which waits for it.
  void Add(double backlog, ClusterTick* tick) {
    const auto add = [&](EdgeId edge) {
      tick->edges.SetDepth(edge, *tick->edges.depth(edge) + backlog);
    };
    add(cluster.to_logic);
    add(cluster.in);
    tick->services.SetDepth(cluster.front, Channel::kBlocked,
                            *tick->services.depth(cluster.front, Channel::kBlocked) + backlog);
  }
};

inline TreeTrainingOptions SmallTraining() {
  TreeTrainingOptions options;
  options.violations.rounds = options.initiators.rounds = 60;
  options.violations.depth = options.initiators.depth = 4;
  options.violations.least_child = options.initiators.least_child = 2;
  options.alarm.false_alarms_per_hour = 12;
  options.alarm.least_precision = 0.5;
  options.view_stride = 0;
  return options;
}

}  // namespace seer::testing
