// A run made by hand, for whatever learns.
#pragma once

#include <chrono>
#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "benchmarks/evaluation/replay.h"
#include "gtest/gtest.h"

namespace seer::evaluation {

// client -> front -> (cache, store): faults of cache or store, whose backlog grows for a second and
// then breaches; ten in ten minutes.
inline RecordedRun FaultyRun(unsigned seed, std::vector<ViolationRow>* violations) {
  RecordedRun run;
  run.name = "run" + std::to_string(seed);
  Topology& topology = run.topology;
  const ServiceId front = topology.AddService("front", "shop").value();
  const ServiceId cache = topology.AddService("cache", "shop").value();
  const ServiceId store = topology.AddService("store", "shop").value();
  const EdgeId in = topology.AddEdge(ServiceId(), front).value();
  const EdgeId to_cache = topology.AddEdge(front, cache).value();
  const EdgeId to_store = topology.AddEdge(front, store).value();
  const auto target =
      QosTarget::Percentile(0.99, std::chrono::milliseconds(100), std::chrono::milliseconds(1000));
  EXPECT_TRUE(topology.AddRequestClass("shop", "buy", target, front).ok());
  std::mt19937 random(seed);
  const auto poisson = [&](double mean) {
    return static_cast<double>(std::poisson_distribution<int>(mean)(random));
  };
  bool at_store = false;
  for (int i = 0; i < 6000; ++i) {
    const int into = i % 600 - 300;
    if (into == 0) at_store = random() % 2 == 0;
    const double backlog = into >= 0 && into < 20 ? 8.0 * into : 0;
    ClusterTick tick;
    tick.tick = i;
    tick.Reset(3, 3, 1);
    const double c = poisson(4) + (at_store ? 0 : backlog);
    const double s = poisson(6) + (at_store ? backlog : 0);
    tick.edges.SetDepth(to_cache, c);
    tick.edges.SetDepth(to_store, s);
    tick.edges.SetDepth(in, poisson(3) + c + s);
    for (const EdgeId edge : {in, to_cache, to_store}) {
      tick.edges.SetMade(edge, static_cast<std::uint32_t>(poisson(50)));
    }
    run.ticks.push_back(std::move(tick));
    if (into == 10) {
      ViolationRow row;
      row.start_ms = (i + 1) * 100;
      row.end_ms = row.start_ms + 1500;
      row.request_class = "shop/buy";
      row.culprit = at_store ? "store" : "cache";
      violations->push_back(row);
    }
  }
  return run;
}

}  // namespace seer::evaluation
