// Three machines of a small shop and what they send, in good order and in bad: for the tests of
// those who have to remember all of it (mirror_test.cc, state_store_test.cc).
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "seer/core/forecast.h"
#include "seer/core/snapshot.h"
#include "seer/core/topology.h"
#include "seer/core/wire.h"
#include "seer/nn/checkpoint.h"
#include "seer/nn/network.h"
#include "seer/predict/model_inputs.h"

namespace seer::testing {

struct NodeInput {
  std::int64_t time_ns = 0;
  std::string bytes;
};

class SmallNodes {
 public:
  static constexpr Tick kFirst = 17'000'000'000;

  explicit SmallNodes(std::uint32_t seed) : random_(seed) {
    const ServiceId front = a_.AddService("front", "shop").value();
    const ServiceId store = a_.AddService("store", "shop").value();
    const ServiceId cache = a_.AddService("cache", "shop").value();
    front_0_ = a_.AddInstance(front, "front-0", a_.AddNode("node-a").value()).value();
    in_ = a_.AddEdge(ServiceId(), front).value();
    to_store_ = a_.AddEdge(front, store).value();
    to_cache_ = a_.AddEdge(front, cache).value();
    buy_ = a_.AddRequestClass("shop", "buy",
                              QosTarget::Percentile(0.99, std::chrono::milliseconds(100),
                                                    std::chrono::seconds(1)),
                              front)
               .value();
    store_0_ = b_.AddInstance(b_.AddService("store", "shop").value(), "store-0",
                              b_.AddNode("node-b").value())
                   .value();
    cache_0_ = c_.AddInstance(c_.AddService("cache", "shop").value(), "cache-0",
                              c_.AddNode("node-c").value())
                   .value();
  }

  // What they send during so many ticks, by time. `calm`: all of it, each tick, in order. Else
  // snapshots are late, twice, lost; the store's node restarts, the cache's falls silent for longer
  // than it is waited for, and the front's learns of another service.
  std::vector<NodeInput> Send(int ticks, bool calm = false) {
    std::vector<NodeInput> inputs;
    std::int64_t now_ns = TickPeriod().EndNs(kFirst - 1);
    for (const Topology* node : {&a_, &b_, &c_}) inputs.push_back({++now_ns, Encode(*node)});
    for (int t = 0; t < ticks; ++t) {
      const std::int64_t end_ns = TickPeriod().EndNs(kFirst + t);
      if (!calm && t == ticks / 4) Restart(end_ns - 1000, &inputs);
      if (!calm && t == ticks / 3) Grow(end_ns - 60'000'000, &inputs);
      const bool sick = t % 50 >= 40;
      const std::uint32_t at_store = sick ? 10 * static_cast<std::uint32_t>(t % 10) : 0;
      for (int node = 0; node < 3; ++node) {
        if (!calm && node == 2 && t > ticks / 2 && t < ticks / 2 + 60) continue;
        const std::string bytes = Encode(At(node, kFirst + t, at_store));
        const auto draw = calm ? 99 : random_() % 100;
        if (draw < 4) continue;  // lost
        std::int64_t sent_ns = end_ns + 1'000'000 * static_cast<std::int64_t>(1 + random_() % 20);
        if (draw < 8) sent_ns += 80'000'000;  // too late
        inputs.push_back({sent_ns, bytes});
        if (draw < 12) inputs.push_back({sent_ns + 3'000'000, bytes});
      }
    }
    std::stable_sort(inputs.begin(), inputs.end(),
                     [](const NodeInput& x, const NodeInput& y) { return x.time_ns < y.time_ns; });
    return inputs;
  }

 private:
  void Restart(std::int64_t at_ns, std::vector<NodeInput>* inputs) {
    Topology again = Topology::OfNode("node-b", 2).value();
    // In another order: its ids mean something else now.
    (void)again.AddService("sidecar", "shop").value();
    store_0_ = again
                   .AddInstance(again.AddService("store", "shop").value(), "store-1",
                                again.AddNode("node-b").value())
                   .value();
    b_ = std::move(again);
    inputs->push_back({at_ns, Encode(b_)});
  }
  void Grow(std::int64_t at_ns, std::vector<NodeInput>* inputs) {
    const ServiceId ads = a_.AddService("ads", "shop").value();
    to_ads_ = a_.AddEdge(*a_.FindService("front"), ads).value();
    // After the first snapshot that has its rows: that one waits.
    inputs->push_back({at_ns + 90'000'000, Encode(a_)});
  }

  Snapshot At(int node, Tick tick, std::uint32_t at_store) {
    Snapshot snapshot;
    const Topology& topology = node == 0 ? a_ : node == 1 ? b_ : c_;
    snapshot.origin = topology.origin();
    snapshot.tick = tick;
    snapshot.instances.Reset(topology.instances().size());
    snapshot.edges.Reset(topology.edges().size());
    ChannelSample depth;
    depth.counted = true;
    depth.arrivals = depth.departures = 30 + static_cast<std::uint32_t>(random_() % 8);
    const std::uint32_t s = 4 + static_cast<std::uint32_t>(random_() % 3) + at_store;
    if (node == 0) {
      depth.depth = s;
      snapshot.instances.Set(front_0_, Channel::kBlocked, depth);
      snapshot.instances.Set(front_0_, Channel::kRunning, depth);
      EdgeSample edge;
      edge.made = 100;
      edge.outstanding = s + 3;
      snapshot.edges.Set(in_, edge);
      edge.outstanding = s;
      snapshot.edges.Set(to_store_, edge);
      edge.outstanding = static_cast<std::uint32_t>(random_() % 3);
      snapshot.edges.Set(to_cache_, edge);
      if (to_ads_.valid()) snapshot.edges.Set(to_ads_, edge);
      snapshot.classes.resize(1);
      snapshot.classes[buy_.index()].count = 100;
      snapshot.classes[buy_.index()].latency.Record(30'000'000 + 1'000'000 * s, 100);
      return snapshot;
    }
    depth.depth = node == 1 ? s : static_cast<std::uint32_t>(random_() % 3);
    snapshot.instances.Set(node == 1 ? store_0_ : cache_0_, Channel::kQueued, depth);
    depth.depth = 0;
    snapshot.instances.Set(node == 1 ? store_0_ : cache_0_, Channel::kBlocked, depth);
    return snapshot;
  }

  Topology a_ = Topology::OfNode("node-a", 1).value();
  Topology b_ = Topology::OfNode("node-b", 1).value();
  Topology c_ = Topology::OfNode("node-c", 1).value();
  InstanceId front_0_, store_0_, cache_0_;
  EdgeId in_, to_store_, to_cache_, to_ads_;
  ClassId buy_;
  std::mt19937 random_;
};

// A network for the shop that was never trained but has opinions; with inputs that are changes.
inline std::string SmallModel(std::uint64_t seed) {
  ModelInputs inputs;
  inputs.inputs = WindowInputs::OfTraces(true);
  inputs.horizons_ns = {100'000'000, 300'000'000};
  inputs.classes = {"buy"};
  Checkpoint checkpoint;
  checkpoint.config = *ModelConfig::Named("lstm", 4, inputs.inputs.size(), 5);
  checkpoint.config.extras = ModelInputs::kExtras;
  checkpoint.config.hazard_classes = 1;
  checkpoint.config.hazard_horizons = 2;
  const Network network = *Network::Create(checkpoint.config);
  checkpoint.parameters.resize(network.parameters());
  network.Initialize(seed, absl::MakeSpan(checkpoint.parameters));
  for (float& parameter : checkpoint.parameters) parameter *= 3;
  for (const char* name : {"store", "cache", "ads", "front"}) {
    checkpoint.services.push_back({name, true});
  }
  checkpoint.sections[ModelInputs::kSection] = EncodeModelInputs(inputs);
  return *EncodeCheckpoint(checkpoint);
}

// Every bit of a forecast.
inline std::string BitsOf(const Forecast& forecast) {
  std::string text = std::to_string(forecast.tick);
  const auto bits = [&](float value) {
    std::uint32_t number;
    std::memcpy(&number, &value, sizeof(number));
    text += " " + std::to_string(number);
  };
  for (const ClassForecast& row : forecast.classes) {
    text += " class " + std::to_string(row.request_class.value()) + (row.alarm ? " alarm" : "");
    for (const auto& each : row.horizons) bits(each.probability);
    for (const auto& each : row.initiators) {
      text += " " + std::to_string(each.service.value());
      bits(each.probability);
    }
    for (const auto& each : row.evidence) {
      text += " " + std::to_string(each.service.value()) + "/" + std::to_string(each.edge.value());
      bits(each.weight);
    }
  }
  return text;
}

}  // namespace seer::testing
