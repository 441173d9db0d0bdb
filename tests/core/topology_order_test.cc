#include "seer/core/topology_order.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <numeric>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace seer {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

using Calls = std::vector<std::pair<std::uint32_t, std::uint32_t>>;  // caller, callee

Topology WithCalls(std::uint32_t services, const Calls& calls) {
  Topology topology;
  for (std::uint32_t i = 0; i < services; ++i) {
    EXPECT_TRUE(topology.AddService("s" + std::to_string(i)).ok());
  }
  for (const auto& [caller, callee] : calls) {
    EXPECT_TRUE(topology.AddEdge(ServiceId(caller), ServiceId(callee)).ok());
  }
  return topology;
}

// What must hold for the order of any topology.
void ExpectValid(const Topology& topology, const TopologyOrder& order) {
  ASSERT_EQ(order.services.size(), topology.live_services());
  ASSERT_EQ(order.rank.size(), topology.services().size());
  for (std::uint32_t i = 0; i < order.rank.size(); ++i) {
    if (!topology.IsLive(ServiceId(i))) {
      EXPECT_EQ(order.rank[i], TopologyOrder::kNoRank) << i;
    } else {
      ASSERT_LT(order.rank[i], order.services.size()) << i;
      EXPECT_EQ(order.services[order.rank[i]], ServiceId(i));
    }
  }
  std::vector<EdgeId> backwards;
  std::uint64_t length = 0;
  for (std::uint32_t i = 0; i < topology.edges().size(); ++i) {
    const Edge& edge = topology.edge(EdgeId(i));
    if (edge.removed || !edge.caller.valid() || edge.caller == edge.callee) continue;
    const std::int64_t caller = order.rank[edge.caller.index()];
    const std::int64_t callee = order.rank[edge.callee.index()];
    length += static_cast<std::uint64_t>(std::abs(caller - callee));
    if (caller < callee) backwards.emplace_back(i);
  }
  EXPECT_EQ(order.total_edge_length, length);
  EXPECT_EQ(order.closing_edges, backwards);
}

// The least length of all orders with callees first, by dynamic programming over the sets of
// services that can stand in front. The calls must be acyclic.
std::int64_t LeastLength(std::uint32_t services, const Calls& calls) {
  std::vector<std::uint32_t> callees(services, 0);
  std::vector<int> weight(services, 0);
  for (const auto& [caller, callee] : calls) {
    callees[caller] |= 1u << callee;
    ++weight[caller];
    --weight[callee];
  }
  constexpr std::int64_t kUnreached = std::int64_t{1} << 40;
  std::vector<std::int64_t> least(std::size_t{1} << services, kUnreached);
  least[0] = 0;
  for (std::uint32_t set = 0; set < least.size(); ++set) {
    if (least[set] == kUnreached) continue;
    std::int64_t rank = 0;
    for (std::uint32_t x = 0; x < services; ++x) rank += (set >> x) & 1u;
    for (std::uint32_t x = 0; x < services; ++x) {
      if (((set >> x) & 1u) != 0 || (callees[x] & set) != callees[x]) continue;
      std::int64_t& with_x = least[set | 1u << x];
      with_x = std::min(with_x, least[set] + weight[x] * rank);
    }
  }
  return least.back();
}

// The length of the order that a recursive search from the services without callers leaves.
std::int64_t PostOrderLength(std::uint32_t services, const Calls& calls) {
  std::vector<std::int64_t> rank(services, -1);
  std::int64_t next = 0;
  const auto visit = [&](const auto& self, std::uint32_t x) -> void {
    if (rank[x] >= 0) return;
    for (const auto& [caller, callee] : calls) {
      if (caller == x) self(self, callee);
    }
    rank[x] = next++;
  };
  for (std::uint32_t x = 0; x < services; ++x) {
    const bool called =
        std::any_of(calls.begin(), calls.end(), [x](const auto& call) { return call.second == x; });
    if (!called) visit(visit, x);
  }
  std::int64_t length = 0;
  for (const auto& [caller, callee] : calls) length += rank[caller] - rank[callee];
  return length;
}

// Random acyclic calls whose ids say nothing about the direction.
Calls RandomCalls(std::uint32_t services, std::uint32_t percent, std::mt19937& random) {
  std::vector<std::uint32_t> ids(services);
  std::iota(ids.begin(), ids.end(), 0);
  std::shuffle(ids.begin(), ids.end(), random);
  Calls calls;
  for (std::uint32_t i = 0; i < services; ++i) {
    for (std::uint32_t j = 0; j < i; ++j) {
      if (random() % 100 < percent) calls.emplace_back(ids[i], ids[j]);
    }
  }
  std::shuffle(calls.begin(), calls.end(), random);
  return calls;
}

TEST(OrderServices, AnEmptyTopologyHasAnEmptyOrder) {
  const TopologyOrder order = OrderServices(Topology());
  EXPECT_THAT(order.services, IsEmpty());
  EXPECT_THAT(order.rank, IsEmpty());
  EXPECT_EQ(order.total_edge_length, 0u);
}

TEST(OrderServices, BackEndFirstFrontEndLast) {
  Topology topology;
  const ServiceId nginx = *topology.AddService("nginx");
  const ServiceId home = *topology.AddService("home-timeline");
  const ServiceId posts = *topology.AddService("post-storage");
  const ServiceId redis = *topology.AddService("home-timeline-redis");
  const ServiceId memcached = *topology.AddService("post-storage-memcached");
  const ServiceId mongodb = *topology.AddService("post-storage-mongodb");
  ASSERT_TRUE(topology.AddEdge(ServiceId(), nginx).ok());
  for (auto [caller, callee] : {std::pair{nginx, home},
                                {home, posts},
                                {home, redis},
                                {posts, memcached},
                                {posts, mongodb}}) {
    ASSERT_TRUE(topology.AddEdge(caller, callee).ok());
  }
  const TopologyOrder order = OrderServices(topology);
  ExpectValid(topology, order);
  // Each store directly before the service that owns it.
  EXPECT_THAT(order.services,
              testing::AnyOf(ElementsAre(memcached, mongodb, posts, redis, home, nginx),
                             ElementsAre(mongodb, memcached, posts, redis, home, nginx)));
  EXPECT_EQ(order.total_edge_length, 1u + 2u + 1u + 2u + 1u);
  EXPECT_THAT(order.cycles, IsEmpty());
  EXPECT_THAT(order.closing_edges, IsEmpty());
}

TEST(OrderServices, ACircleIsCutWhereItLeadsBackToTheEntry) {
  // Outside -> 1 -> 2 -> 0 -> 1, and 3, 4 call each other where nobody enters.
  Topology topology = WithCalls(5, {{1, 2}, {2, 0}, {0, 1}, {4, 3}, {3, 4}});
  ASSERT_TRUE(topology.AddEdge(ServiceId(), ServiceId(1)).ok());
  const TopologyOrder order = OrderServices(topology);
  ExpectValid(topology, order);
  EXPECT_THAT(order.cycles, ElementsAre(ElementsAre(ServiceId(0), ServiceId(1), ServiceId(2)),
                                        ElementsAre(ServiceId(3), ServiceId(4))));
  // 0 -> 1 leads back to the entry; 3 has the smaller id, so that the search enters there.
  EXPECT_THAT(order.closing_edges, ElementsAre(EdgeId(2), EdgeId(3)));
  EXPECT_LT(order.rank[0], order.rank[2]);
  EXPECT_LT(order.rank[2], order.rank[1]);
}

TEST(OrderServices, SelfCallsAreReportedAndOrderNothing) {
  const Topology topology = WithCalls(3, {{2, 2}, {0, 1}, {0, 0}});
  const TopologyOrder order = OrderServices(topology);
  ExpectValid(topology, order);
  EXPECT_THAT(order.self_calls, ElementsAre(ServiceId(0), ServiceId(2)));
  EXPECT_THAT(order.cycles, IsEmpty());
  EXPECT_EQ(order.total_edge_length, 1u);
}

TEST(OrderServices, TombstonesHaveNoRank) {
  Topology topology = WithCalls(4, {{0, 1}, {1, 2}, {2, 3}, {3, 0}, {0, 2}});
  ASSERT_TRUE(topology.RemoveService(ServiceId(3)).ok());
  ASSERT_TRUE(topology.RemoveEdge(*topology.FindEdge(ServiceId(0), ServiceId(2))).ok());
  const TopologyOrder order = OrderServices(topology);
  ExpectValid(topology, order);
  EXPECT_THAT(order.services, ElementsAre(ServiceId(2), ServiceId(1), ServiceId(0)));
  EXPECT_THAT(order.cycles, IsEmpty());
}

TEST(OrderServices, IsTheShortestForTreesOfCalls) {
  std::mt19937 random(11);
  for (int trial = 0; trial < 400; ++trial) {
    SCOPED_TRACE(trial);
    const bool one_caller = trial % 2 == 0;  // else: one callee each
    const std::uint32_t services = 2 + static_cast<std::uint32_t>(random() % 11);
    Calls calls;
    for (std::uint32_t x = 1; x < services; ++x) {
      const auto parent = static_cast<std::uint32_t>(random() % x);
      if (random() % 8 == 0) continue;  // a forest
      calls.emplace_back(one_caller ? parent : x, one_caller ? x : parent);
    }
    const Topology topology = WithCalls(services, calls);
    const TopologyOrder order = OrderServices(topology);
    ExpectValid(topology, order);
    EXPECT_EQ(order.total_edge_length, LeastLength(services, calls));
  }
}

TEST(OrderServices, IsCloseToTheShortestForRandomCalls) {
  std::mt19937 random(12);
  double sum_of_ratios = 0;
  int graphs = 0;
  for (int trial = 0; trial < 600; ++trial) {
    SCOPED_TRACE(trial);
    const std::uint32_t services = 3 + static_cast<std::uint32_t>(random() % 6);
    const std::uint32_t percent = 20 + static_cast<std::uint32_t>(random() % 60);
    const Calls calls = RandomCalls(services, percent, random);
    if (calls.empty()) continue;
    const Topology topology = WithCalls(services, calls);
    const TopologyOrder order = OrderServices(topology);
    ExpectValid(topology, order);
    EXPECT_LE(order.total_edge_length, PostOrderLength(services, calls));
    const std::int64_t least = LeastLength(services, calls);
    ASSERT_GE(order.total_edge_length, least);
    sum_of_ratios += static_cast<double>(order.total_edge_length) / static_cast<double>(least);
    ++graphs;
  }
  const double mean_ratio = sum_of_ratios / graphs;
  RecordProperty("mean_ratio_to_shortest", std::to_string(mean_ratio));
  EXPECT_LT(mean_ratio, 1.005);
}

TEST(OrderServices, NeverLongerThanAPostOrderOnLargerGraphs) {
  std::mt19937 random(13);
  for (std::uint32_t services : {20u, 60u, 150u, 400u}) {
    SCOPED_TRACE(services);
    const Calls calls = RandomCalls(services, services < 100 ? 8 : 2, random);
    const Topology topology = WithCalls(services, calls);
    const TopologyOrder order = OrderServices(topology);
    ExpectValid(topology, order);
    EXPECT_LT(order.total_edge_length, PostOrderLength(services, calls));
  }
}

TEST(OrderServices, RandomCirclesAreCutAndNothingElse) {
  std::mt19937 random(14);
  for (int trial = 0; trial < 300; ++trial) {
    SCOPED_TRACE(trial);
    const std::uint32_t services = 2 + static_cast<std::uint32_t>(random() % 12);
    std::set<std::pair<std::uint32_t, std::uint32_t>> calls;
    for (std::uint32_t i = 0; i < services * 2; ++i) {
      calls.emplace(random() % services, random() % services);
    }
    Topology topology = WithCalls(services, Calls(calls.begin(), calls.end()));
    const TopologyOrder order = OrderServices(topology);
    ExpectValid(topology, order);

    // Who reaches whom, by Warshall's method, tells the circles independently.
    std::vector<std::vector<bool>> reaches(services, std::vector<bool>(services));
    for (const auto& [caller, callee] : calls) reaches[caller][callee] = true;
    for (std::uint32_t k = 0; k < services; ++k) {
      for (std::uint32_t i = 0; i < services; ++i) {
        for (std::uint32_t j = 0; j < services; ++j) {
          if (reaches[i][k] && reaches[k][j]) reaches[i][j] = true;
        }
      }
    }
    std::set<std::vector<ServiceId>> expected;
    for (std::uint32_t i = 0; i < services; ++i) {
      std::vector<ServiceId> cycle;
      for (std::uint32_t j = 0; j < services; ++j) {
        if (i == j || (reaches[i][j] && reaches[j][i])) cycle.emplace_back(j);
      }
      if (cycle.size() > 1) expected.insert(cycle);
    }
    EXPECT_EQ(std::set<std::vector<ServiceId>>(order.cycles.begin(), order.cycles.end()), expected);
    EXPECT_EQ(order.cycles.size(), expected.size());
    for (EdgeId id : order.closing_edges) {
      const Edge& edge = topology.edge(id);
      EXPECT_TRUE(reaches[edge.callee.index()][edge.caller.index()]) << id.value();
    }
  }
}

TEST(OrderServices, AChainOfAMillionDoesNotExhaustTheStack) {
  TopologyTables tables;
  constexpr std::uint32_t kServices = 1'000'000;
  for (std::uint32_t i = 0; i < kServices; ++i) {
    Service service;
    service.name = std::to_string(i);
    tables.services.push_back(std::move(service));
    if (i == 0) continue;
    Edge edge;
    edge.caller = ServiceId(i - 1);
    edge.callee = ServiceId(i);
    tables.edges.push_back(edge);
  }
  const auto topology = Topology::FromTables(Origin(), std::move(tables));
  ASSERT_TRUE(topology.ok()) << topology.status();
  const TopologyOrder order = OrderServices(*topology);
  EXPECT_EQ(order.total_edge_length, kServices - 1);
  EXPECT_EQ(order.services.front(), ServiceId(kServices - 1));
}

TEST(OrderServices, TheSameTopologyHasTheSameOrder) {
  std::mt19937 random(15);
  const Calls calls = RandomCalls(80, 6, random);
  const Topology topology = WithCalls(80, calls);
  const TopologyOrder first = OrderServices(topology);
  // A rebuilt copy has a differently laid out index, but the same rows.
  TopologyTables tables;
  tables.services.assign(topology.services().begin(), topology.services().end());
  tables.edges.assign(topology.edges().begin(), topology.edges().end());
  const TopologyOrder second =
      OrderServices(*Topology::FromTables(topology.origin(), std::move(tables)));
  EXPECT_EQ(first.services, second.services);
  EXPECT_EQ(first.closing_edges, second.closing_edges);
  EXPECT_EQ(first.total_edge_length, second.total_edge_length);
}

}  // namespace
}  // namespace seer
