#include "seer/window/cluster_tick.h"

#include <cmath>
#include <limits>

#include "gtest/gtest.h"

namespace seer {
namespace {

TEST(ClusterTick, StartsWithEverythingMissing) {
  ClusterTick tick;
  tick.Reset(2, 1, 1);
  EXPECT_EQ(tick.services.depth(ServiceId(0), Channel::kQueued), std::nullopt);
  EXPECT_EQ(tick.services.mean(ServiceId(1), Channel::kRunning), std::nullopt);
  EXPECT_EQ(tick.edges.depth(EdgeId(0)), std::nullopt);
  EXPECT_FALSE(tick.classes[0].seen);
}

TEST(ClusterTick, ADepthIsNotAMean) {
  ClusterTick tick;
  tick.Reset(2, 1, 0);
  tick.services.SetDepth(ServiceId(0), Channel::kQueued, 3);
  tick.services.SetMean(ServiceId(1), Channel::kQueued, 0.25);
  EXPECT_EQ(tick.services.depth(ServiceId(0), Channel::kQueued), 3);
  EXPECT_EQ(tick.services.mean(ServiceId(0), Channel::kQueued), std::nullopt);
  EXPECT_EQ(tick.services.mean(ServiceId(1), Channel::kQueued), 0.25);
  EXPECT_EQ(tick.services.depth(ServiceId(1), Channel::kQueued), std::nullopt);
}

TEST(ClusterTick, IgnoresWhatIsNoDepthAndWhoIsNotThere) {
  ClusterTick tick;
  tick.Reset(1, 1, 0);
  const ClusterTick empty = tick;
  for (const double bad :
       {-1.0, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    tick.services.SetDepth(ServiceId(0), Channel::kQueued, bad);
    tick.services.SetMean(ServiceId(0), Channel::kQueued, bad);
    tick.services.SetMeanWait(ServiceId(0), Channel::kQueued, bad);
    tick.edges.SetDepth(EdgeId(0), bad);
    tick.edges.SetMean(EdgeId(0), bad);
    tick.services.SetOutstanding(ServiceId(0), bad);
    tick.services.SetOutstandingMean(ServiceId(0), bad);
  }
  tick.services.SetDepth(ServiceId(1), Channel::kQueued, 1);
  tick.services.SetFlow(ServiceId(), Channel::kQueued, 1, 1);
  tick.edges.SetMade(EdgeId(1), 1);
  tick.services.SetOutstanding(ServiceId(1), 1);
  tick.services.SetOutstandingMean(ServiceId(), 1);
  EXPECT_EQ(tick, empty);
}

// client -> front -> back
class SelfDepthTest : public testing::Test {
 protected:
  SelfDepthTest() {
    front = topology.AddService("front").value();
    back = topology.AddService("back").value();
    in = topology.AddEdge(ServiceId(), front).value();
    down = topology.AddEdge(front, back).value();
    tick.Reset(2, 2, 0);
  }
  Topology topology;
  ServiceId front, back;
  EdgeId in, down;
  ClusterTick tick;
};

TEST_F(SelfDepthTest, IsOutstandingLessBlocked) {
  tick.edges.SetDepth(in, 10);
  tick.edges.SetDepth(down, 8);
  tick.services.SetDepth(front, Channel::kBlocked, 7);
  EXPECT_EQ(Outstanding(tick, topology, front), 10);
  EXPECT_EQ(SelfDepth(tick, topology, front), 3);
  EXPECT_EQ(SelfDepth(tick, topology, back), 8) << "it calls nobody, so nothing is blocked";
}

TEST_F(SelfDepthTest, TakesTheOutboundCallsWhereBlockedIsMissing) {
  tick.edges.SetDepth(in, 10);
  tick.edges.SetDepth(down, 12);
  EXPECT_EQ(SelfDepth(tick, topology, front), -2) << "signed: calls in parallel count each";
}

TEST_F(SelfDepthTest, IsMissingWhereAnEdgeIs) {
  tick.edges.SetDepth(in, 10);
  EXPECT_EQ(Outstanding(tick, topology, back), std::nullopt);
  EXPECT_EQ(SelfDepth(tick, topology, back), std::nullopt);
  EXPECT_EQ(SelfDepth(tick, topology, front), std::nullopt);
}

TEST_F(SelfDepthTest, MeansServeWhereThereAreNoDepths) {
  tick.edges.SetMean(in, 1.5);
  tick.edges.SetMean(down, 0.5);
  EXPECT_EQ(SelfDepth(tick, topology, front), 1.0);
}

// Both ways to ask have to say the same of every service.
void ExpectTableAgrees(const ClusterTick& tick, const Topology& topology) {
  SelfDepthTable table;
  SelfDepths(tick, topology, &table);
  for (std::uint32_t s = 0; s < topology.services().size(); ++s) {
    const auto outstanding = Outstanding(tick, topology, ServiceId(s));
    const auto self = SelfDepth(tick, topology, ServiceId(s));
    ASSERT_EQ(table.outstanding_seen[s] != 0, outstanding.has_value()) << s;
    ASSERT_EQ(table.self_seen[s] != 0, self.has_value()) << s;
    EXPECT_EQ(table.outstanding[s], static_cast<float>(outstanding.value_or(0))) << s;
    EXPECT_EQ(table.self[s], static_cast<float>(self.value_or(0))) << s;
  }
}

TEST_F(SelfDepthTest, WhatIsCountedOfTheServiceServesWhereAnEdgeIsMissing) {
  const ServiceId other = topology.AddService("other").value();
  (void)topology.AddEdge(other, back).value();  // who of the two calls, nobody tells
  tick.Reset(3, 3, 0);
  tick.edges.SetDepth(in, 10);
  tick.services.SetOutstanding(back, 6);
  EXPECT_EQ(Outstanding(tick, topology, back), 6);
  EXPECT_EQ(SelfDepth(tick, topology, back), 6);
  EXPECT_EQ(tick.edges.depth(down), std::nullopt);
  EXPECT_EQ(SelfDepth(tick, topology, front), std::nullopt)
      << "how many of the six are its own, nobody tells";
  tick.services.SetDepth(front, Channel::kBlocked, 4);
  EXPECT_EQ(SelfDepth(tick, topology, front), 6);
  EXPECT_EQ(Outstanding(tick, topology, other), std::nullopt);
  ExpectTableAgrees(tick, topology);
}

TEST_F(SelfDepthTest, EdgesGoBeforeTheWholeAndDepthsBeforeMeans) {
  tick.services.SetOutstandingMean(back, 1.5);
  EXPECT_EQ(Outstanding(tick, topology, back), 1.5);
  tick.edges.SetMean(down, 2.5);
  EXPECT_EQ(Outstanding(tick, topology, back), 2.5);
  ExpectTableAgrees(tick, topology);
  tick.services.SetOutstanding(back, 3);
  EXPECT_EQ(Outstanding(tick, topology, back), 3);
  ExpectTableAgrees(tick, topology);
  tick.edges.SetDepth(down, 4);
  EXPECT_EQ(Outstanding(tick, topology, back), 4);
  ExpectTableAgrees(tick, topology);
  // Nobody calls it, as far as the topology knows.
  const ServiceId lonely = topology.AddService("lonely").value();
  tick.Reset(3, 2, 0);
  tick.services.SetOutstanding(lonely, 2);
  EXPECT_EQ(Outstanding(tick, topology, lonely), 2);
  ExpectTableAgrees(tick, topology);
}

}  // namespace
}  // namespace seer
