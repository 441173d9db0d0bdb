#include "seer/window/tick_merger.h"

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/support/allocations.h"

namespace seer {
namespace {

constexpr std::int64_t kMs = 1'000'000;

// A node's agent with one service or more.
struct Agent {
  explicit Agent(const std::string& name, std::uint64_t epoch = 1)
      : topology(Topology::OfNode(name, epoch).value()) {}

  InstanceId Run(const std::string& service, const std::string& instance) {
    const auto found = topology.FindService(service);
    const ServiceId id = found ? *found : topology.AddService(service).value();
    const NodeId node = topology.FindNode(topology.origin().node)
                            ? *topology.FindNode(topology.origin().node)
                            : topology.AddNode(topology.origin().node).value();
    return topology.AddInstance(id, instance, node).value();
  }
  Snapshot At(Tick tick) const {
    Snapshot snapshot;
    snapshot.origin = topology.origin();
    snapshot.tick = tick;
    snapshot.instances.Reset(topology.instances().size());
    snapshot.edges.Reset(topology.edges().size());
    snapshot.classes.resize(topology.classes().size());
    return snapshot;
  }
  Topology topology;
};

ChannelSample Depth(std::uint32_t depth) {
  ChannelSample sample;
  sample.depth = depth;
  return sample;
}

class TickMergerTest : public ::testing::Test {
 protected:
  TickMerger Make(TickMergerOptions options = {}) {
    return TickMerger(options, &topology,
                      [this](const ClusterTick& tick) { ticks.push_back(tick); });
  }
  static std::int64_t End(Tick tick) { return TickPeriod().EndNs(tick); }
  std::optional<double> Queued(std::size_t tick, const std::string& service) const {
    return ticks.at(tick).services.depth(*topology.FindService(service), Channel::kQueued);
  }
  static Snapshot With(const Agent& agent, Tick tick, std::uint32_t depth) {
    Snapshot snapshot = agent.At(tick);
    for (std::size_t i = 0; i < snapshot.instances.size(); ++i) {
      snapshot.instances.Set(InstanceId(static_cast<std::uint32_t>(i)), Channel::kQueued,
                             Depth(depth));
    }
    return snapshot;
  }

  Topology topology{9};
  std::vector<ClusterTick> ticks;
};

TEST_F(TickMergerTest, SumsInstancesOverNodes) {
  Agent a("node-a"), b("node-b");
  const InstanceId front_a = a.Run("front", "front-1");
  b.Run("cart", "cart-1");
  const InstanceId front_b = b.Run("front", "front-2");
  TickMerger merger = Make();
  ASSERT_TRUE(merger.AddNode(a.topology, End(4)).ok());
  ASSERT_TRUE(merger.AddNode(b.topology, End(4)).ok());
  EXPECT_EQ(merger.expected_nodes(), 2u);

  Snapshot from_a = a.At(5);
  ChannelSample sample;
  sample.depth = 2;
  sample.width = 2;  // 2 to 4
  sample.counted = sample.timed = true;
  sample.arrivals = 10, sample.departures = 30;
  sample.mean_depth_milli = 1500;
  sample.mean_wait_us = 100;
  from_a.instances.Set(front_a, Channel::kQueued, sample);
  Snapshot from_b = b.At(5);
  sample.departures = 10;
  sample.mean_wait_us = 500;
  from_b.instances.Set(front_b, Channel::kQueued, sample);
  from_b.instances.Set(front_b, Channel::kRunning, Depth(4));
  merger.Add(from_a, End(5) + kMs);
  EXPECT_TRUE(ticks.empty());
  merger.Add(from_b, End(5) + 2 * kMs);
  ASSERT_EQ(ticks.size(), 1u) << "all that are expected have told: no need to wait";
  const ClusterTick& tick = ticks[0];
  const ServiceId front = *topology.FindService("front");
  EXPECT_EQ(tick.tick, 5);
  EXPECT_EQ(tick.nodes_seen, 2u);
  EXPECT_EQ(tick.nodes_expected, 2u);
  EXPECT_EQ(tick.topology_version, topology.version());
  EXPECT_EQ(tick.services.depth(front, Channel::kQueued), 6) << "the middles of 2 to 4";
  EXPECT_EQ(tick.services.mean(front, Channel::kQueued), 3);
  EXPECT_EQ(tick.services.arrivals(front, Channel::kQueued), 20u);
  EXPECT_EQ(tick.services.departures(front, Channel::kQueued), 40u);
  EXPECT_EQ(tick.services.mean_wait_us(front, Channel::kQueued), 200);
  EXPECT_EQ(tick.services.depth(front, Channel::kRunning), 4);
  EXPECT_EQ(tick.services.depth(front, Channel::kNic), std::nullopt);
  EXPECT_EQ(tick.services.depth(*topology.FindService("cart"), Channel::kQueued), std::nullopt);
}

TEST_F(TickMergerTest, EdgesAndClassesAreSummed) {
  Agent a("node-a"), b("node-b");
  std::vector<Snapshot> snapshots;
  for (Agent* agent : {&a, &b}) {
    agent->Run("front", "front-" + agent->topology.origin().node);
    const ServiceId front = *agent->topology.FindService("front");
    const ServiceId cart = agent->topology.AddService("cart").value();
    const EdgeId edge = agent->topology.AddEdge(front, cart).value();
    (void)agent->topology.AddRequestClass("", "page", QosTarget{50 * kMs, 10000, 1000, 1}, front)
        .value();
    snapshots.push_back(agent->At(1));
    snapshots.back().edges.Set(edge, {3, 0, 7});
    snapshots.back().classes[0].count = 10;
    snapshots.back().classes[0].over_target = 2;
    snapshots.back().classes[0].oldest_open_ns = agent == &a ? 5 : 9;
    snapshots.back().classes[0].latency.Record(kMs);
  }
  TickMerger merger = Make();
  ASSERT_TRUE(merger.AddNode(a.topology, 0).ok());
  ASSERT_TRUE(merger.AddNode(b.topology, 0).ok());
  for (const Snapshot& snapshot : snapshots) merger.Add(snapshot, End(1));
  ASSERT_EQ(ticks.size(), 1u);
  EXPECT_EQ(ticks[0].edges.depth(EdgeId(0)), 6);
  EXPECT_EQ(ticks[0].edges.made(EdgeId(0)), 14u);
  EXPECT_TRUE(ticks[0].classes[0].seen);
  EXPECT_EQ(ticks[0].classes[0].count, 20u);
  EXPECT_EQ(ticks[0].classes[0].over_target, 4u);
  EXPECT_EQ(ticks[0].classes[0].oldest_open_ns, 9);
  EXPECT_EQ(ticks[0].classes[0].latency.count(), 2u);
}

TEST_F(TickMergerTest, ASharedQueueOfANodeCountsOnce) {
  Agent a("node-a"), b("node-b");
  for (Agent* agent : {&a, &b}) {
    for (const char* name : {"x-1", "x-2"}) {
      agent->Run("front", agent->topology.origin().node + name);
    }
  }
  TickMerger merger = Make();
  ASSERT_TRUE(merger.AddNode(a.topology, 0).ok());
  ASSERT_TRUE(merger.AddNode(b.topology, 0).ok());
  for (Agent* agent : {&a, &b}) {
    Snapshot snapshot = agent->At(1);
    ChannelSample sample = Depth(10);
    sample.shared = true;
    snapshot.instances.Set(InstanceId(0), Channel::kNic, sample);
    sample.depth = 12;  // read a little later
    snapshot.instances.Set(InstanceId(1), Channel::kNic, sample);
    merger.Add(snapshot, End(1));
  }
  ASSERT_EQ(ticks.size(), 1u);
  EXPECT_EQ(ticks[0].services.depth(*topology.FindService("front"), Channel::kNic), 24);
}

TEST_F(TickMergerTest, ASilentNodesServicesAreMissingNotShorter) {
  Agent a("node-a"), b("node-b");
  a.Run("front", "front-1");
  b.Run("front", "front-2");
  b.Run("cart", "cart-1");
  Agent c("node-c");
  c.Run("other", "other-1");
  TickMerger merger = Make();
  for (Agent* agent : {&a, &b, &c}) ASSERT_TRUE(merger.AddNode(agent->topology, 0).ok());
  for (Agent* agent : {&a, &b, &c}) merger.Add(With(*agent, 1, 5), End(1));
  EXPECT_EQ(Queued(0, "front"), 10);
  merger.Add(With(a, 2, 5), End(2));
  merger.Add(With(c, 2, 5), End(2));
  merger.AdvanceTo(End(2) + 49 * kMs);
  EXPECT_EQ(ticks.size(), 1u) << "the deadline has not passed";
  merger.AdvanceTo(End(2) + 50 * kMs);
  ASSERT_EQ(ticks.size(), 2u);
  EXPECT_EQ(Queued(1, "front"), std::nullopt);
  EXPECT_EQ(Queued(1, "cart"), std::nullopt);
  EXPECT_EQ(Queued(1, "other"), 5);
  EXPECT_EQ(ticks[1].nodes_seen, 2u);
  EXPECT_EQ(ticks[1].nodes_expected, 3u);
  EXPECT_EQ(merger.stats().missing, 1u);

  // Late, out of order, twice.
  merger.Add(With(b, 2, 5), End(2) + 60 * kMs);
  EXPECT_EQ(merger.stats().late, 1u);
  merger.Add(With(b, 4, 5), End(4));
  merger.Add(With(b, 3, 5), End(3) + 10 * kMs);
  merger.Add(With(b, 4, 5), End(4));
  EXPECT_EQ(merger.stats().duplicates, 1u);
}

TEST_F(TickMergerTest, ANodeThatFellSilentIsForgotten) {
  Agent a("node-a"), b("node-b");
  a.Run("front", "front-1");
  b.Run("front", "front-2");
  TickMerger merger = Make();
  ASSERT_TRUE(merger.AddNode(a.topology, 0).ok());
  ASSERT_TRUE(merger.AddNode(b.topology, 0).ok());
  for (Agent* agent : {&a, &b}) merger.Add(With(*agent, 1, 5), End(1));
  for (Tick tick = 2; tick < 80; ++tick) {
    merger.Add(With(a, tick, 5), End(tick));
    merger.AdvanceTo(End(tick) + 50 * kMs);
  }
  ASSERT_EQ(ticks.size(), 79u);
  EXPECT_EQ(Queued(30, "front"), std::nullopt);
  EXPECT_EQ(Queued(70, "front"), 5) << "it is not expected any more";
  EXPECT_EQ(merger.expected_nodes(), 1u);
  EXPECT_EQ(merger.stats().forgotten, 1u);
  merger.Add(With(b, 80, 5), End(80));
  EXPECT_EQ(merger.expected_nodes(), 2u) << "back";
}

TEST_F(TickMergerTest, TicksComeInOrderEvenWhereNobodySpoke) {
  Agent a("node-a");
  a.Run("front", "front-1");
  TickMerger merger = Make();
  ASSERT_TRUE(merger.AddNode(a.topology, End(9)).ok());
  merger.Add(With(a, 10, 5), End(10));
  merger.Add(With(a, 13, 5), End(13));
  merger.AdvanceTo(End(13) + 50 * kMs);
  ASSERT_EQ(ticks.size(), 4u);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(ticks[i].tick, static_cast<Tick>(10 + i));
  EXPECT_EQ(Queued(1, "front"), std::nullopt);
  EXPECT_EQ(Queued(3, "front"), 5);
  // A pause of a day is not given tick by tick.
  merger.AdvanceTo(End(13 + 864000));
  merger.Add(With(a, 13 + 864001, 5), End(13 + 864001));
  EXPECT_LT(ticks.size(), 10u);
  EXPECT_GT(merger.stats().skipped_ticks, 860000u);
  EXPECT_EQ(ticks.back().tick, 13 + 864001);
}

TEST_F(TickMergerTest, SnapshotsWaitForTheirNumberingTwoSeconds) {
  Agent a("node-a");
  a.Run("front", "front-1");
  TickMergerOptions options;
  options.deadline_ns = 1000 * kMs;
  TickMerger merger = Make(options);
  merger.Add(With(a, 1, 5), End(1));
  merger.Add(With(a, 2, 6), End(2));
  EXPECT_TRUE(ticks.empty());
  ASSERT_TRUE(merger.AddNode(a.topology, End(2) + kMs).ok());
  // Earlier ticks might still have come, so the first two wait for the deadline.
  merger.AdvanceTo(End(2) + 1000 * kMs);
  ASSERT_GE(ticks.size(), 2u);
  EXPECT_EQ(Queued(0, "front"), 5);
  EXPECT_EQ(Queued(1, "front"), 6);

  Agent stranger("stranger");
  stranger.Run("front", "front-9");
  merger.Add(With(stranger, 20, 5), End(20));
  merger.AdvanceTo(End(20) + 2000 * kMs);
  EXPECT_EQ(merger.stats().unknown, 0u);
  merger.AdvanceTo(End(20) + 2001 * kMs);
  EXPECT_EQ(merger.stats().unknown, 1u);
}

TEST_F(TickMergerTest, ALaterVersionCountsWithWhatIsKnown) {
  Agent a("node-a");
  a.Run("front", "front-1");
  TickMerger merger = Make();
  ASSERT_TRUE(merger.AddNode(a.topology, End(0)).ok());
  a.Run("cart", "cart-1");
  merger.Add(With(a, 1, 5), End(1));
  EXPECT_TRUE(ticks.empty()) << "its topology may still come";
  merger.AdvanceTo(End(1) + 50 * kMs);
  ASSERT_EQ(ticks.size(), 1u);
  EXPECT_EQ(Queued(0, "front"), 5);
  EXPECT_EQ(merger.stats().unknown_rows, 1u);
  ASSERT_TRUE(merger.AddNode(a.topology, End(2)).ok());
  merger.Add(With(a, 2, 5), End(2));
  ASSERT_EQ(ticks.size(), 2u);
  EXPECT_EQ(Queued(1, "cart"), 5);
}

TEST_F(TickMergerTest, ARestartedNodeNumbersAnew) {
  Agent a("node-a", 1);
  a.Run("front", "front-1");
  a.Run("cart", "cart-1");
  TickMerger merger = Make();
  ASSERT_TRUE(merger.AddNode(a.topology, End(0)).ok());
  merger.Add(With(a, 1, 5), End(1));
  Agent again("node-a", 2);
  again.Run("cart", "cart-1");  // what was id 1 is id 0 now
  ASSERT_TRUE(merger.AddNode(again.topology, End(1) + kMs).ok());
  EXPECT_EQ(merger.stats().restarts, 1u);
  merger.Add(With(a, 2, 7), End(2));  // still on its way
  ASSERT_EQ(ticks.size(), 2u);
  EXPECT_EQ(Queued(1, "front"), 7);
  merger.Add(With(again, 2, 9), End(2));
  EXPECT_EQ(merger.stats().late, 1u);
  merger.Add(With(again, 3, 9), End(3));
  ASSERT_EQ(ticks.size(), 3u);
  EXPECT_EQ(Queued(2, "cart"), 9);
  EXPECT_EQ(Queued(2, "front"), std::nullopt);
  Agent unknown_life("node-a", 3);
  unknown_life.Run("front", "front-1");
  merger.Add(With(unknown_life, 4, 1), End(4));
  merger.AdvanceTo(End(4) + 50 * kMs);
  EXPECT_EQ(ticks.back().nodes_seen, 0u);
}

TEST_F(TickMergerTest, ImpossibleTicksAndPeriodsAreCounted) {
  Agent a("node-a");
  a.Run("front", "front-1");
  TickMerger merger = Make();
  ASSERT_TRUE(merger.AddNode(a.topology, End(0)).ok());
  merger.Add(With(a, 50, 5), End(1));
  merger.Add(With(a, INT64_MAX, 5), End(1));
  merger.Add(With(a, INT64_MIN, 5), End(1));
  EXPECT_EQ(merger.stats().ahead, 3u);
  Snapshot other = With(a, 1, 5);
  other.period = TickPeriod::FromNs(10 * kMs).value();
  merger.Add(other, End(1));
  EXPECT_EQ(merger.stats().other_period, 1u);
  merger.AdvanceTo(INT64_MAX);
  merger.AdvanceTo(INT64_MIN);
  merger.Finish();
  EXPECT_TRUE(ticks.empty());
}

TEST_F(TickMergerTest, WhatWaitsIsBounded) {
  TickMergerOptions options;
  options.max_waiting = 10;
  TickMerger merger = Make(options);
  for (int i = 0; i < 100; ++i) {
    Agent agent("node-" + std::to_string(i));
    agent.Run("front", "front-" + std::to_string(i));
    merger.Add(With(agent, 1, 1), End(1));
  }
  EXPECT_EQ(merger.stats().waiting_dropped, 90u);
}

TEST_F(TickMergerTest, ANodeNeedsAName) {
  TickMerger merger = Make();
  EXPECT_EQ(merger.AddNode(Topology(1), 0).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(TickMergerTest, SteadyTicksAllocateNothing) {
  Agent a("node-a"), b("node-b");
  a.Run("front", "front-1");
  b.Run("front", "front-2");
  std::uint64_t given = 0;
  TickMerger merger({}, &topology, [&](const ClusterTick&) { ++given; });
  ASSERT_TRUE(merger.AddNode(a.topology, 0).ok());
  ASSERT_TRUE(merger.AddNode(b.topology, 0).ok());
  Snapshot snapshots[] = {With(a, 0, 3), With(b, 0, 4)};
  const auto tick = [&](Tick now) {
    for (Snapshot& snapshot : snapshots) {
      snapshot.tick = now;
      merger.Add(snapshot, End(now));
    }
  };
  for (Tick now = 1; now < 200; ++now) tick(now);
  const testing::Allocations allocations;
  for (Tick now = 200; now < 300; ++now) tick(now);
  EXPECT_EQ(allocations.count(), 0u);
  EXPECT_EQ(given, 299u);
}

// Snapshots with losses, delays, duplicates: every cell of every tick is the sum over its nodes if
// all of them came in time, and missing else.
TEST_F(TickMergerTest, AgreesWithTheDefinition) {
  std::mt19937 random(11);
  constexpr int kNodes = 8;
  std::vector<Agent> agents;
  std::vector<std::vector<std::string>> services(kNodes);
  for (int n = 0; n < kNodes; ++n) {
    agents.emplace_back("node-" + std::to_string(n));
    for (int s = 0; s < 5; ++s) {
      if (random() % 2 == 0 && s != n % 5) continue;
      const std::string service = "s" + std::to_string(s);
      agents.back().Run(service, service + "@" + std::to_string(n));
      services[static_cast<std::size_t>(n)].push_back(service);
    }
  }
  TickMerger merger = Make();
  for (Agent& agent : agents) ASSERT_TRUE(merger.AddNode(agent.topology, 0).ok());

  struct Event {
    std::int64_t at_ns;
    int node;
    Snapshot snapshot;
  };
  std::vector<Event> events;
  std::map<std::pair<Tick, std::string>, double> sums;
  std::map<std::pair<Tick, std::string>, bool> missing;
  constexpr Tick kTicks = 200;
  for (Tick tick = 1; tick <= kTicks; ++tick) {
    for (int n = 0; n < kNodes; ++n) {
      const auto depth = static_cast<std::uint32_t>(random() % 100);
      // Everybody tells of the first tick, so that what they tell is known.
      const bool lost = tick > 1 && random() % 20 == 0;
      const bool late = tick > 1 && random() % 20 == 0;
      const std::int64_t delay_ms = late ? 51 + random() % 100 : random() % 49;
      for (const std::string& service : services[static_cast<std::size_t>(n)]) {
        if (lost || late) {
          missing[{tick, service}] = true;
        } else {
          sums[{tick, service}] += depth;
        }
      }
      if (lost) continue;
      const Agent& agent = agents[static_cast<std::size_t>(n)];
      events.push_back({End(tick) + delay_ms * kMs, n, With(agent, tick, depth)});
      if (random() % 10 == 0) events.push_back(events.back());
    }
  }
  std::stable_sort(events.begin(), events.end(),
                   [](const Event& a, const Event& b) { return a.at_ns < b.at_ns; });
  for (const Event& event : events) merger.Add(event.snapshot, event.at_ns);
  merger.AdvanceTo(End(kTicks) + 1000 * kMs);
  ASSERT_GE(ticks.size(), static_cast<std::size_t>(kTicks));
  for (std::size_t i = 0; i < static_cast<std::size_t>(kTicks); ++i) {
    ASSERT_EQ(ticks[i].tick, static_cast<Tick>(i + 1));
    for (int s = 0; s < 5; ++s) {
      const std::string service = "s" + std::to_string(s);
      const std::pair<Tick, std::string> key{ticks[i].tick, service};
      const auto sum = sums.find(key);
      std::optional<double> want;
      if (sum != sums.end() && !missing[key]) want = sum->second;
      ASSERT_EQ(Queued(i, service), want) << "tick " << ticks[i].tick << " " << service;
    }
  }
}

}  // namespace
}  // namespace seer
