// The snapshots of 400 nodes, put together into one tick of the cluster.
#include <benchmark/benchmark.h>

#include <string>
#include <unordered_map>
#include <vector>

#include "benchmarks/harness/figure.h"
#include "seer/window/tick_merger.h"

namespace seer::bench {
namespace {

constexpr int kNodes = 400;
constexpr int kServices = 386;
constexpr int kInstances = 4;  // of a node
constexpr int kEdges = 12;     // of a node

struct Node {
  Topology topology;
  Snapshot snapshot;
};

// Each node runs four of 386 services, whose five application and socket channels it counts, and
// three calls to others from each; every tenth node is a front end with a request class.
std::vector<Node> MakeNodes() {
  std::vector<Node> nodes;
  for (int n = 0; n < kNodes; ++n) {
    Topology topology = Topology::OfNode("node-" + std::to_string(n), 1).value();
    const NodeId node = topology.AddNode("node-" + std::to_string(n)).value();
    const auto service = [&](int number) {
      const std::string name = "service-" + std::to_string(number % kServices);
      const auto found = topology.FindService(name);
      return found ? *found : topology.AddService(name).value();
    };
    for (int i = 0; i < kInstances; ++i) {
      const int number = n * kInstances + i;
      const ServiceId id = service(number);
      (void)topology.AddInstance(id, "instance-" + std::to_string(number), node).value();
      for (int e = 0; e < kEdges / kInstances; ++e) {
        (void)topology.AddEdge(id, service(number * 7 + e + 1)).ok();
      }
    }
    if (n % 10 == 0) {
      (void)topology.AddRequestClass("", "page", QosTarget{20'000'000, 10'000, 1000, 1}).value();
    }
    Snapshot snapshot;
    snapshot.origin = topology.origin();
    snapshot.instances.Reset(topology.instances().size());
    snapshot.edges.Reset(topology.edges().size());
    snapshot.classes.resize(topology.classes().size());
    for (std::uint32_t i = 0; i < topology.instances().size(); ++i) {
      for (const Channel channel : {Channel::kAccept, Channel::kSocket, Channel::kQueued,
                                    Channel::kRunning, Channel::kBlocked}) {
        ChannelSample sample;
        sample.depth = i + 3;
        sample.counted = sample.timed = channel >= Channel::kQueued;
        sample.arrivals = sample.departures = 40;
        sample.mean_depth_milli = 2500;
        sample.mean_wait_us = 900;
        snapshot.instances.Set(InstanceId(i), channel, sample);
      }
    }
    for (std::uint32_t e = 0; e < topology.edges().size(); ++e) {
      snapshot.edges.Set(EdgeId(e), {e, 0, 12});
    }
    for (ClassSample& sample : snapshot.classes) {
      sample.count = 100;
      for (int i = 0; i < 18; ++i) sample.latency.Record(std::int64_t{1'000'000} << (i / 4), 5);
    }
    nodes.push_back({std::move(topology), std::move(snapshot)});
  }
  return nodes;
}

void BM_Merge(benchmark::State& state) {
  std::vector<Node> nodes = MakeNodes();
  Topology topology;
  std::int64_t given = 0;
  TickMerger merger({}, &topology,
                    [&](const ClusterTick& tick) { given += tick.nodes_seen == kNodes ? 1 : 0; });
  const TickPeriod period;
  for (const Node& node : nodes) {
    if (!merger.AddNode(node.topology, 0).ok()) state.SkipWithError("a node was refused");
  }
  Tick tick = 0;
  for (auto _ : state) {
    ++tick;
    for (Node& node : nodes) {
      node.snapshot.tick = tick;
      merger.Add(node.snapshot, period.EndNs(tick));
    }
  }
  if (given != state.iterations()) state.SkipWithError("not every tick was whole");
}
BENCHMARK(BM_Merge);

// What one would write down first: depths by the names of service and channel.
void BM_MergeByName(benchmark::State& state) {
  const std::vector<Node> nodes = MakeNodes();
  for (auto _ : state) {
    std::unordered_map<std::string, double> depths;
    for (const Node& node : nodes) {
      for (std::uint32_t i = 0; i < node.snapshot.instances.size(); ++i) {
        const ServiceId service = node.topology.instance(InstanceId(i)).service;
        for (const Channel channel : kAllChannels) {
          const auto sample = node.snapshot.instances.Get(InstanceId(i), channel);
          if (!sample) continue;
          std::string key = node.topology.service(service).name;
          key += '#';
          key += ChannelName(channel);
          depths[key] += sample->depth;
        }
      }
    }
    benchmark::DoNotOptimize(depths.size());
  }
}
BENCHMARK(BM_MergeByName);

SEER_FIGURE(merge400, Time("window.merge400_us", "us", "-", "BM_Merge"));
SEER_FIGURE(merge_vs_names, Speedup("window.merge_vs_names", ">= 1", "BM_Merge", "BM_MergeByName",
                                    "depths alone in an unordered_map by name"));

}  // namespace
}  // namespace seer::bench
