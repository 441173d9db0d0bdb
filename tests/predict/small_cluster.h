// A cluster of three tiers for the tests of predictors: client -> front -> logic -> store, and an
// asynchronous archive beside them. Ticks are what a healthy or a sick store makes of them.
#pragma once

#include <chrono>
#include <cstdint>
#include <random>

#include "seer/core/topology.h"
#include "seer/window/cluster_tick.h"

namespace seer::testing {

struct SmallCluster {
  SmallCluster() {
    front = topology.AddService("front", "shop").value();
    logic = topology.AddService("logic", "shop").value();
    store = topology.AddService("store", "shop").value();
    archive = topology.AddService("archive", "shop").value();
    in = topology.AddEdge(ServiceId(), front).value();
    to_logic = topology.AddEdge(front, logic).value();
    to_store = topology.AddEdge(logic, store).value();
    to_archive = topology.AddEdge(logic, archive, EdgeKind::kAsync).value();
    using std::chrono::milliseconds;
    buy = topology
              .AddRequestClass("shop", "buy",
                               QosTarget::Percentile(0.99, milliseconds(100), milliseconds(1000)),
                               front)
              .value();
  }

  // The next tick. Depths are numbers of a Poisson kind about their usual values; what stands at
  // the store beyond that (`at_store`) holds the callers' requests too, as they block.
  ClusterTick Next(double at_store = 0, double at_archive = 0, double load = 1) {
    ClusterTick t;
    t.tick = ++tick;
    t.topology_version = topology.version();
    t.Reset(topology.services().size(), topology.edges().size(), topology.classes().size());
    const double s = Poisson(4 * load) + at_store;
    const double l = Poisson(3 * load) + s;
    const double f = Poisson(2 * load) + l;
    t.edges.SetDepth(to_store, s);
    t.edges.SetDepth(to_logic, l);
    t.edges.SetDepth(in, f);
    t.edges.SetDepth(to_archive, Poisson(1) + at_archive);
    const auto made = static_cast<std::uint32_t>(Poisson(100 * load));
    for (const EdgeId edge : {in, to_logic, to_store, to_archive}) t.edges.SetMade(edge, made);
    t.services.SetDepth(front, Channel::kBlocked, l);
    t.services.SetDepth(logic, Channel::kBlocked, s);
    t.services.SetDepth(store, Channel::kBlocked, 0);
    t.services.SetDepth(archive, Channel::kBlocked, 0);
    t.classes[0].seen = true;
    t.classes[0].count = made;
    return t;
  }

  double Poisson(double mean) {
    return static_cast<double>(std::poisson_distribution<int>(mean)(random));
  }

  Topology topology{17};
  ServiceId front, logic, store, archive;
  EdgeId in, to_logic, to_store, to_archive;
  ClassId buy;
  Tick tick = 1000;
  std::mt19937 random{7};
};

}  // namespace seer::testing
