// The nodes of a large cluster, what they send, and a network for them: what the benchmarks of
// predictors have in common.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "seer/core/snapshot.h"
#include "seer/core/topology.h"
#include "seer/nn/checkpoint.h"
#include "seer/nn/network.h"
#include "seer/predict/model_inputs.h"

namespace seer::bench {

inline constexpr std::size_t kOnANode = 20;

inline std::string ServiceName(std::size_t number) { return "service-" + std::to_string(number); }

// `services` of one instance each, kOnANode of them on a node; each is called by one before it in a
// tree of three branches. The first is the entry of one request class.
inline std::vector<Topology> NodesOf(std::size_t services) {
  std::vector<Topology> nodes;
  for (std::size_t first = 0; first < services; first += kOnANode) {
    const std::string node_name = "node-" + std::to_string(nodes.size());
    Topology topology = Topology::OfNode(node_name, 1).value();
    const NodeId node = topology.AddNode(node_name).value();
    const auto service = [&](std::size_t number) {
      const auto there = topology.FindService(ServiceName(number));
      return there ? *there : topology.AddService(ServiceName(number)).value();
    };
    for (std::size_t s = first; s < std::min(first + kOnANode, services); ++s) {
      const ServiceId id = service(s);
      (void)topology.AddInstance(id, ServiceName(s) + "-0", node).value();
      for (std::size_t callee = 3 * s + 1; callee <= 3 * s + 3 && callee < services; ++callee) {
        (void)topology.AddEdge(id, service(callee)).value();
      }
      if (s == 0) {
        (void)topology.AddEdge(ServiceId(), id).value();
        (void)topology.AddRequestClass("", "page", QosTarget{20'000'000, 10'000, 1000, 1}, id)
            .value();
      }
    }
    nodes.push_back(std::move(topology));
  }
  return nodes;
}

// Three channels of each instance, which count; depths at random.
inline Snapshot SnapshotOf(const Topology& topology, Tick tick, std::mt19937* random) {
  Snapshot snapshot;
  snapshot.origin = topology.origin();
  snapshot.tick = tick;
  snapshot.instances.Reset(topology.instances().size());
  snapshot.edges.Reset(topology.edges().size());
  snapshot.classes.resize(topology.classes().size());
  for (std::uint32_t i = 0; i < topology.instances().size(); ++i) {
    for (const Channel channel : {Channel::kQueued, Channel::kRunning, Channel::kBlocked}) {
      ChannelSample sample;
      sample.depth = static_cast<std::uint32_t>((*random)() % 8);
      sample.counted = true;
      sample.arrivals = sample.departures = 40;
      snapshot.instances.Set(InstanceId(i), channel, sample);
    }
  }
  for (std::uint32_t e = 0; e < topology.edges().size(); ++e) {
    snapshot.edges.Set(EdgeId(e), {static_cast<std::uint32_t>((*random)() % 8), 0, 12});
  }
  for (ClassSample& sample : snapshot.classes) sample.count = 100;
  return snapshot;
}

// A network over all inputs that applications' instrumentation gives; the weights do not matter for
// the time it takes.
inline Checkpoint ModelOfTraces(const char* config, std::size_t services) {
  ModelInputs inputs;
  inputs.inputs = WindowInputs::OfTraces();
  inputs.horizons_ns = {100'000'000, 300'000'000, 1'000'000'000};
  inputs.classes = {"page"};
  Checkpoint checkpoint;
  checkpoint.config = ModelConfig::Named(config, services, inputs.inputs.size()).value();
  checkpoint.config.extras = ModelInputs::kExtras;
  checkpoint.config.hazard_classes = 1;
  checkpoint.config.hazard_horizons = 3;
  const Network network = Network::Create(checkpoint.config).value();
  checkpoint.parameters.resize(network.parameters());
  network.Initialize(1, absl::MakeSpan(checkpoint.parameters));
  for (std::size_t s = 0; s < services; ++s) checkpoint.services.push_back({ServiceName(s), true});
  checkpoint.sections[ModelInputs::kSection] = EncodeModelInputs(inputs);
  return checkpoint;
}

}  // namespace seer::bench
