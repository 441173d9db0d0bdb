// What a change of the topology costs the control plane: decoding, merging and ordering it anew.
// The topology is layered like a large deployment: 10,000 services, four calls each, from the front
// end through logic to caches and stores, a few circles, two instances of each service.
//
//   BM_PostOrder is the plain baseline of BM_Order: a depth-first search over the same calls.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "benchmarks/harness/figure.h"
#include "seer/core/topology.h"
#include "seer/core/topology_order.h"

namespace seer {
namespace {

constexpr std::uint32_t kLayers = 8;

std::string ServiceName(std::uint32_t number) { return "service-" + std::to_string(number); }

// Four calls for each service: most to the next layer, some further down, one in 200 upwards, which
// makes the circles that real deployments have too. The same on every machine: only raw engine
// output is used, for the distributions of <random> differ from library to library.
TopologyTables LayeredTables(std::uint32_t services) {
  std::mt19937 random(7);
  const auto below = [&random](std::uint32_t bound) {
    return static_cast<std::uint32_t>(random() % bound);
  };
  TopologyTables tables;
  for (std::uint32_t i = 0; i < services; ++i) {
    Service row;
    row.name = ServiceName(i);
    row.application = "shop";
    tables.services.push_back(std::move(row));
  }
  const std::uint32_t nodes = services / 50 + 1;
  for (std::uint32_t i = 0; i < nodes; ++i) {
    Node row;
    row.name = "node-" + std::to_string(i);
    tables.nodes.push_back(std::move(row));
  }
  for (std::uint32_t i = 0; i < 2 * services; ++i) {
    Instance row;
    row.name = ServiceName(i / 2) + "-" + std::to_string(i % 2);
    row.service = ServiceId(i / 2);
    row.node = NodeId(below(nodes));
    tables.instances.push_back(std::move(row));
  }
  const std::uint32_t width = (services + kLayers - 1) / kLayers;
  for (std::uint32_t caller = 0; caller < services; ++caller) {
    if (caller < width) {
      Edge root;
      root.callee = ServiceId(caller);
      tables.edges.push_back(root);
    }
    std::vector<std::uint32_t> callees;
    while (callees.size() < 4 && caller + 5 < services) {
      const std::uint32_t layer = caller / width;
      const std::uint32_t last = std::max(caller + 1, layer * width + width);
      std::uint32_t callee;
      if (below(2000) == 0) {
        callee = below(services);  // anybody, perhaps one above: this makes the circles
      } else if (below(20) == 0) {
        callee = services - 1 - below(20);  // what everybody calls: log-in, configuration
      } else if (last + 5 >= services) {
        callee = caller + 1 + below(services - caller - 1);  // stores that call stores
      } else {
        // Teams call their own services rather than anybody's.
        const std::uint32_t to = layer + 1 + (below(4) == 0 ? below(kLayers - layer - 1) : 0);
        callee = to * width + (caller % width + below(40)) % width;
      }
      bool known = callee == caller || callee >= services;
      for (std::uint32_t other : callees) known = known || other == callee;
      if (!known) callees.push_back(callee);
    }
    for (std::uint32_t callee : callees) {
      Edge row;
      row.caller = ServiceId(caller);
      row.callee = ServiceId(callee);
      tables.edges.push_back(row);
    }
  }
  return tables;
}

Topology Layered(std::uint32_t services) {
  return *Topology::FromTables(Origin(), LayeredTables(services));
}

void BM_Order(benchmark::State& state) {
  const Topology topology = Layered(static_cast<std::uint32_t>(state.range(0)));
  std::uint64_t length = 0;
  for (auto _ : state) {
    const TopologyOrder order = OrderServices(topology);
    length = order.total_edge_length;
    benchmark::DoNotOptimize(order.services.data());
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
  state.counters["mean_edge_length"] =
      static_cast<double>(length) / static_cast<double>(topology.live_edges());
}
BENCHMARK(BM_Order)->Arg(30)->Arg(100)->Arg(1000)->Arg(10000)->Unit(benchmark::kMicrosecond);

// What a host would write: callees first, in the order in which a recursive search leaves them.
void BM_PostOrder(benchmark::State& state) {
  const Topology topology = Layered(static_cast<std::uint32_t>(state.range(0)));
  double mean = 0;
  for (auto _ : state) {
    std::vector<std::vector<std::uint32_t>> callees(topology.services().size());
    for (const Edge& edge : topology.edges()) {
      if (edge.caller.valid()) callees[edge.caller.index()].push_back(edge.callee.value());
    }
    std::vector<std::int64_t> rank(callees.size(), -1);
    std::vector<bool> seen(callees.size());
    std::int64_t next = 0;
    const auto visit = [&](const auto& self, std::uint32_t x) -> void {
      seen[x] = true;
      for (std::uint32_t y : callees[x]) {
        if (!seen[y]) self(self, y);
      }
      rank[x] = next++;
    };
    for (std::uint32_t x = 0; x < callees.size(); ++x) {
      if (!seen[x]) visit(visit, x);
    }
    benchmark::DoNotOptimize(rank.data());
    state.PauseTiming();
    std::int64_t sum = 0;
    for (const Edge& edge : topology.edges()) {
      if (!edge.caller.valid()) continue;
      sum += std::abs(rank[edge.caller.index()] - rank[edge.callee.index()]);
    }
    mean = static_cast<double>(sum) / static_cast<double>(topology.live_edges());
    state.ResumeTiming();
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
  state.counters["mean_edge_length"] = mean;
}
BENCHMARK(BM_PostOrder)->Arg(30)->Arg(100)->Arg(1000)->Arg(10000)->Unit(benchmark::kMicrosecond);

// As after decoding: the rows are there, and are checked and indexed.
void BM_FromTables(benchmark::State& state) {
  const TopologyTables tables = LayeredTables(static_cast<std::uint32_t>(state.range(0)));
  for (auto _ : state) {
    state.PauseTiming();
    TopologyTables copy = tables;
    state.ResumeTiming();
    auto topology = Topology::FromTables(Origin(), std::move(copy));
    benchmark::DoNotOptimize(topology);
    state.PauseTiming();
    topology = absl::CancelledError();
    state.ResumeTiming();
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_FromTables)->Arg(1000)->Arg(10000)->Unit(benchmark::kMicrosecond);

// A topology that is here already: what the control plane does whenever a node says it again.
void BM_MergeKnown(benchmark::State& state) {
  const Topology theirs = Layered(static_cast<std::uint32_t>(state.range(0)));
  Topology ours;
  if (!ours.Merge(theirs).ok()) state.SkipWithError("Merge failed");
  for (auto _ : state) {
    auto map = ours.Merge(theirs);
    benchmark::DoNotOptimize(map);
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_MergeKnown)->Arg(1000)->Arg(10000)->Unit(benchmark::kMicrosecond);

void BM_Merge(benchmark::State& state) {
  const Topology theirs = Layered(static_cast<std::uint32_t>(state.range(0)));
  for (auto _ : state) {
    Topology ours;
    auto map = ours.Merge(theirs);
    benchmark::DoNotOptimize(map);
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_Merge)->Arg(1000)->Arg(10000)->Unit(benchmark::kMicrosecond);

SEER_FIGURE(order, Time("core.topology10k_ms", "ms", "<= 8", "BM_Order/10000"));

}  // namespace
}  // namespace seer
