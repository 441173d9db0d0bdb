// What a control loop does while a case is open or an action in force: load and who is short of it,
// reports that stand in nobody's way, and more of what is not enough.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/advise/plane.h"

namespace seer {
namespace {

using ::testing::HasSubstr;
using testing::kTickNs;
using testing::Plane;

ClassForecast LoadRow(const Plane& plane) { return plane.shop.Row(plane.shop.buy, ServiceId()); }

TEST(LoopCases, LoadWithoutAMonitorIsMetWhereTheRequestsComeIn) {
  Plane plane;
  plane.options.monitor = nullptr;
  plane.Start();
  (void)plane.Tick({LoadRow(plane)});
  ASSERT_EQ(plane.sent.size(), 1u);
  EXPECT_EQ(plane.sent[0].cause, Cause::kLoad);
  EXPECT_EQ(plane.sent[0].target.service, "front");
}

TEST(LoopCases, LoadIsMetWhereTheWayOfTheCallsIsShort) {
  Plane plane;
  ASSERT_TRUE(plane.shop.topology.AddEdge(plane.shop.front, plane.shop.cart).ok());
  plane.Start();
  plane.Learn();
  plane.monitor.stalls[plane.shop.cart_0.value()] = {{Resource::kCpu, 3000}};
  plane.monitor.stalls[plane.shop.video_0.value()] = {{Resource::kCpu, 3000}};  // not on the way
  plane.monitor.asked.clear();
  for (int i = 0; i < 4; ++i) (void)plane.Tick({LoadRow(plane)});
  ASSERT_EQ(plane.sent.size(), 1u);
  EXPECT_EQ(plane.sent[0].cause, Cause::kLoad);
  EXPECT_EQ(plane.sent[0].target.service, "cart");
  for (const InstanceId asked : plane.monitor.asked) EXPECT_NE(asked, plane.shop.video_0);
}

TEST(LoopCases, LoadThatNobodyIsShortOfIsMetAtTheEntry) {
  Plane plane;
  ASSERT_TRUE(plane.shop.topology.AddEdge(plane.shop.front, plane.shop.cart).ok());
  plane.Start();
  plane.Learn();
  for (int i = 0; i < 5; ++i) (void)plane.Tick({LoadRow(plane)});
  ASSERT_EQ(plane.sent.size(), 1u);
  EXPECT_EQ(plane.sent[0].target.service, "front");
}

TEST(LoopCases, WhatLooksLikeLoadAndIsTheNetworkIsCalledSo) {
  Plane plane;
  ASSERT_TRUE(plane.shop.topology.AddEdge(plane.shop.front, plane.shop.cart).ok());
  plane.Start();
  plane.Learn();
  for (const InstanceId id : {plane.shop.front_0, plane.shop.cart_0, plane.shop.cart_1}) {
    plane.monitor.stalls[id.value()] = {{Resource::kNetwork, 30'000}};
  }
  for (int i = 0; i < 4 && plane.sent.empty(); ++i) (void)plane.Tick({LoadRow(plane)});
  ASSERT_EQ(plane.sent.size(), 1u);
  EXPECT_EQ(plane.sent[0].cause, Cause::kNetwork);
}

TEST(LoopCases, ThatItIsTheNetworkStandsForAWhile) {
  Plane plane;
  ASSERT_TRUE(plane.shop.topology.AddEdge(plane.shop.front, plane.shop.cart).ok());
  plane.Start();
  plane.Learn();
  for (const InstanceId id : {plane.shop.front_0, plane.shop.cart_0, plane.shop.cart_1}) {
    plane.monitor.stalls[id.value()] = {{Resource::kNetwork, 30'000}};
  }
  for (int i = 0; i < 4 && plane.sent.empty(); ++i) (void)plane.Tick({LoadRow(plane)});
  ASSERT_EQ(plane.sent.size(), 1u);
  plane.Answer(ActionOutcome::kApplied);
  // It is over, and all that was held up comes at once.
  for (const InstanceId id : {plane.shop.front_0, plane.shop.cart_0, plane.shop.cart_1}) {
    plane.monitor.stalls[id.value()] = {{Resource::kCpu, 30'000}};
  }
  for (int i = 0; i < 18; ++i) {
    (void)plane.Tick({LoadRow(plane)});
    EXPECT_TRUE(plane.loop->diagnoses().empty());
  }
  EXPECT_EQ(plane.sent.size(), 1u);
  // What lasts is load.
  for (int i = 0; i < 30 && plane.sent.size() == 1; ++i) (void)plane.Tick({LoadRow(plane)});
  ASSERT_GE(plane.sent.size(), 2u);
  EXPECT_EQ(plane.sent[1].cause, Cause::kLoad);
}

TEST(LoopCases, WhereRequestsStayAwayOneWhoWaitsForTheNetworkIsEnough) {
  for (const bool fewer : {true, false}) {
    SCOPED_TRACE(fewer);
    Plane plane;
    double requests = 0, each_tick = 100;
    plane.options.handled = [&](const Topology&, InstanceId) -> std::optional<std::uint64_t> {
      return static_cast<std::uint64_t>(requests);
    };
    plane.Start();
    for (int i = 0; i < 100; ++i) {
      requests += each_tick;
      (void)plane.Tick();
    }
    if (fewer) each_tick = 50;
    plane.monitor.stalls[plane.shop.front_0.value()] = {{Resource::kNetwork, 30'000}};
    for (int i = 0; i < 5 && plane.sent.empty(); ++i) {
      requests += each_tick;
      (void)plane.Tick({LoadRow(plane)});
    }
    ASSERT_EQ(plane.sent.size(), 1u);
    EXPECT_EQ(plane.sent[0].cause, fewer ? Cause::kNetwork : Cause::kLoad);
  }
}

TEST(LoopCases, WhatIsSmallBesideTheTargetIsReadToTheEnd) {
  const auto ticks_with = [](double wait_us) {
    Plane plane;
    plane.Start();
    plane.Learn();
    plane.monitor.stalls[plane.shop.cart_0.value()] = {{Resource::kCpu, wait_us}};
    return plane.TicksUntilSent();
  };
  // The target is 20 ms.
  EXPECT_EQ(ticks_with(100), 4);
  EXPECT_LT(ticks_with(800), 4);
}

TEST(LoopCases, WhoIsSeldomCalledIsReadForLonger) {
  Plane plane;
  double requests = 0;
  plane.options.handled = [&](const Topology&, InstanceId) -> std::optional<std::uint64_t> {
    return static_cast<std::uint64_t>(requests);
  };
  plane.Start();
  // One request in each tick, which waits for a millisecond as a rule.
  for (int i = 0; i < 100; ++i) {
    requests += 1;
    (void)plane.Tick();
  }
  plane.monitor.stalls[plane.shop.cart_0.value()] = {{Resource::kCpu, 20}};
  // Five are there after half a second.
  for (int i = 0; i < 12 && plane.sent.empty(); ++i) {
    requests += 1;
    (void)plane.Tick({plane.Alarm()});
    EXPECT_TRUE(i >= 4 || plane.sent.empty());
  }
  ASSERT_EQ(plane.sent.size(), 1u);
  EXPECT_EQ(plane.sent[0].cause, Cause::kCpu);
  EXPECT_EQ(plane.Lines("decision"), 1u) << plane.audit[0];  // no other was given up
}

TEST(LoopCases, AReportStandsInNobodysWay) {
  Plane plane;
  plane.Start();
  plane.Learn();
  for (const InstanceId id : {plane.shop.cart_0, plane.shop.cart_1}) {
    plane.monitor.stalls[id.value()] = {{Resource::kCache, 10}, {Resource::kMemoryBandwidth, 10}};
  }
  // Nothing is short: that is said only after the whole time of reading.
  ASSERT_GE(plane.TicksUntilSent(), 4);
  ASSERT_EQ(plane.sent.size(), 2u);
  EXPECT_EQ(plane.sent[0].action, Action::kReport);
  EXPECT_EQ(plane.sent[1].action, Action::kPoolSize);
  plane.Answer(ActionOutcome::kApplied);
  (void)plane.Tick({plane.Alarm()});
  plane.monitor.stalls[plane.shop.cart_0.value()] = {{Resource::kCpu, 800}};
  // What was a guess makes room for it, and is no failure.
  for (int i = 0; i < 4 && plane.undone.empty(); ++i) (void)plane.Tick({plane.Alarm()});
  ASSERT_EQ(plane.undone, std::vector<std::uint64_t>{plane.sent[1].id});
  ASSERT_EQ(plane.loop->diagnoses().size(), 1u);
  EXPECT_EQ(plane.loop->diagnoses()[0].diagnosis.cause, Cause::kCpu);
  plane.Answer(ActionOutcome::kUndone);
  // Not after a cool-down: at once.
  ASSERT_LE(plane.TicksUntilSent(), 5);
  EXPECT_EQ(plane.sent[2].action, Action::kCpuLimit);  // the first rule
}

TEST(LoopCases, AReportIsNotRepeatedInEveryTick) {
  Plane plane;
  plane.rules.rules = ParseRules("application report cooldown=5s\n").value();
  plane.Start();
  plane.Learn();
  for (int i = 0; i < 60; ++i) (void)plane.Tick({plane.Alarm()});
  EXPECT_LE(plane.sent.size(), 2u);
}

TEST(LoopCases, ACaseBeginsWithWhatTheNodeRemembers) {
  Plane plane;
  plane.options.recent = [&](const Topology&, InstanceId id) -> std::optional<HwReading> {
    return testing::ReadingOf(plane.monitor.stalls[id.value()], 200, 2 * kTickNs);
  };
  plane.Start();
  plane.Learn();
  plane.monitor.stalls[plane.shop.cart_0.value()] = {{Resource::kCpu, 800}};
  EXPECT_EQ(plane.TicksUntilSent(), 1);
  EXPECT_EQ(plane.sent[0].action, Action::kCpuLimit);
  // What it throws is as if it remembered nothing.
  Plane other;
  other.options.recent = [](const Topology&, InstanceId) -> std::optional<HwReading> { throw 1; };
  other.Start();
  other.Learn();
  other.monitor.stalls[other.shop.cart_0.value()] = {{Resource::kCpu, 800}};
  const int ticks = other.TicksUntilSent();
  EXPECT_GT(ticks, 1);
  EXPECT_LE(ticks, 4);
}

TEST(LoopCases, OthersOnANodeThatIsShortAreGivenMoreBeforeTheyAreToBlame) {
  for (const bool node_is_short : {true, false}) {
    SCOPED_TRACE(node_is_short);
    Plane plane;
    plane.monitor.node_saturation = node_is_short ? 0.9 : 0.1;
    plane.Start();
    plane.Learn();
    plane.monitor.stalls[plane.shop.cart_0.value()] = {{Resource::kCpu, 800}};
    plane.monitor.stalls[plane.shop.front_0.value()] = {{Resource::kCpu, 700}};
    plane.monitor.stalls[plane.shop.video_0.value()] = {{Resource::kStorage, 700}};  // not of it
    for (int i = 0; i < 8; ++i) (void)plane.Tick({plane.Alarm()});
    std::vector<std::string> services;
    for (const Recommendation& r : plane.sent) {
      EXPECT_EQ(r.action, Action::kCpuLimit);
      if (r.target.service == "front") {
        EXPECT_THAT(r.reason, HasSubstr("front suffers on the culprit's node"));
      }
      services.push_back(r.target.service);
    }
    using ::testing::ElementsAre;
    if (node_is_short) {
      EXPECT_THAT(services, ElementsAre("cart", "front"));
    } else {
      EXPECT_THAT(services, ElementsAre("cart"));
    }
  }
}

TEST(LoopCases, AWayThatIsBadIsSoForAllOnTheNode) {
  Plane plane;
  plane.monitor.node_network_use = 0.02;
  plane.Start();
  plane.Learn();
  for (const InstanceId id : {plane.shop.cart_0, plane.shop.cart_1, plane.shop.video_0}) {
    plane.monitor.stalls[id.value()] = {{Resource::kNetwork, 5000}};
  }
  for (int i = 0; i < 8; ++i) (void)plane.Tick({plane.Alarm()});
  std::vector<std::string> services;
  for (const Recommendation& r : plane.sent) {
    EXPECT_EQ(r.action, Action::kReplicas);  // a share of it would help nobody
    services.push_back(r.target.service);
  }
  EXPECT_THAT(services, ::testing::ElementsAre("cart", "video"));
}

TEST(LoopCases, WhatIsNotEnoughIsRaisedToWhatIsShort) {
  Plane plane;
  plane.rules.rules =
      ParseRules("cpu cpu-limit factor=2 most=8 settle=1s hold=30s min-confidence=0.3\n").value();
  plane.Start();
  plane.Learn();
  plane.monitor.stalls[plane.shop.cart_0.value()] = {{Resource::kCpu, 300}};
  ASSERT_LE(plane.TicksUntilSent(), 4);
  EXPECT_NEAR(plane.sent[0].to, 4 * 1.9, 0.1);  // little is short: the rule's factor
  plane.Answer(ActionOutcome::kApplied);
  plane.place = plane.sent[0].to;
  // Twenty wait at a time, of a thousand requests a second.
  plane.monitor.stalls[plane.shop.cart_0.value()] = {{Resource::kCpu, 20'000}};
  ASSERT_LE(plane.TicksUntilSent(), 6);
  const Recommendation& more = plane.sent[1];
  EXPECT_GE(more.to, 20 / 0.7);
  EXPECT_LE(more.to, 8 * 4.0);
  EXPECT_EQ(more.from, plane.place);
  EXPECT_EQ(more.undo, 4);  // what was there before both
  EXPECT_EQ(plane.loop->in_flight(), 1u);
  EXPECT_THAT(plane.audit.back(), HasSubstr("sent"));
  // No more than the rule allows, however much is short.
  plane.Answer(ActionOutcome::kApplied);
  plane.place = more.to;
  for (int i = 0; i < 8; ++i) (void)plane.Tick({plane.Alarm()});
  for (const Recommendation& r : plane.sent) EXPECT_LE(r.to, 32);
}

TEST(LoopCases, ProcessorsBridgeTheTimeUntilWhatIsShortIsThere) {
  for (const double waits_us : {2000.0, 20.0}) {
    SCOPED_TRACE(waits_us);
    Plane plane;
    plane.Start();
    plane.Learn();
    plane.monitor.stalls[plane.shop.cart_0.value()] = {{Resource::kMemoryCapacity, 9000},
                                                       {Resource::kCpu, waits_us}};
    ASSERT_LE(plane.TicksUntilSent(), 4);
    EXPECT_EQ(plane.sent[0].action, Action::kMemoryLimit);
    if (waits_us < 200) {  // of a target of 20 ms it is nothing
      EXPECT_EQ(plane.sent.size(), 1u);
      continue;
    }
    ASSERT_EQ(plane.sent.size(), 2u);
    EXPECT_EQ(plane.sent[1].action, Action::kCpuLimit);
    EXPECT_EQ(plane.sent[1].cause, Cause::kMemoryCapacity);
    EXPECT_EQ(plane.sent[1].target.service, "cart");
    EXPECT_EQ(plane.loop->in_flight(), 2u);
    EXPECT_EQ(plane.Lines("decision"), 2u);
    for (const Recommendation& r : plane.sent) plane.Answer(ActionOutcome::kApplied, r.id);
    // It is raised where more wait, and never undone as what did not help: it is not what is short.
    plane.place = plane.sent[1].to;
    plane.monitor.stalls[plane.shop.cart_0.value()][Resource::kCpu] = 40'000;
    ASSERT_LE(plane.TicksUntilSent(), 4);
    EXPECT_EQ(plane.sent[2].action, Action::kCpuLimit);
    EXPECT_GT(plane.sent[2].to, plane.place);
    EXPECT_EQ(plane.sent[2].undo, 4);
    plane.Answer(ActionOutcome::kApplied);
    for (int i = 0; i < 20; ++i) (void)plane.Tick({plane.Alarm()});
    EXPECT_TRUE(plane.undone.empty());
    // With the kill switch both go.
    plane.loop->Kill();
    (void)plane.Tick({plane.Alarm()});
    EXPECT_EQ(plane.undone.size(), 2u);
  }
}

TEST(LoopCases, ABridgeThatIsRefusedIsNotAskedForInEveryTick) {
  Plane plane;
  plane.Start();
  plane.Learn();
  plane.monitor.stalls[plane.shop.cart_0.value()] = {{Resource::kMemoryCapacity, 9000},
                                                     {Resource::kCpu, 2000}};
  ASSERT_LE(plane.TicksUntilSent(), 4);
  ASSERT_EQ(plane.sent.size(), 2u);
  plane.Answer(ActionOutcome::kApplied, plane.sent[0].id);
  plane.Answer(ActionOutcome::kRefused, plane.sent[1].id);
  for (int i = 0; i < 30; ++i) (void)plane.Tick({plane.Alarm()});
  EXPECT_EQ(plane.sent.size(), 2u);  // the rule's cool-down is 5 s
}

TEST(LoopCases, WhatHelpedStaysAndAnotherCauseIsMetBesideIt) {
  Plane plane;
  plane.Start();
  plane.Learn();
  plane.monitor.stalls[plane.shop.cart_0.value()] = {{Resource::kMemoryCapacity, 9000}};
  ASSERT_LE(plane.TicksUntilSent(), 4);
  plane.Answer(ActionOutcome::kApplied);
  plane.monitor.stalls.clear();
  for (int i = 0; i < 110; ++i) (void)plane.Tick();
  ASSERT_EQ(plane.Lines("helped"), 1u);
  // The same again is more of the same; another cause is another action.
  plane.monitor.stalls[plane.shop.cart_0.value()] = {{Resource::kStorage, 9000}};
  ASSERT_LE(plane.TicksUntilSent(), 5);
  EXPECT_EQ(plane.sent[1].action, Action::kIoShare);
  EXPECT_EQ(plane.loop->in_flight(), 2u);
  EXPECT_TRUE(plane.undone.empty());
  plane.Answer(ActionOutcome::kApplied);
  plane.monitor.stalls.clear();
  for (int i = 0; i < 20; ++i) (void)plane.Tick();
  // While the first is in force no second one moves its limit.
  plane.monitor.stalls[plane.shop.cart_0.value()] = {{Resource::kMemoryCapacity, 9000}};
  for (int i = 0; i < 10; ++i) (void)plane.Tick({plane.Alarm()});
  EXPECT_EQ(plane.sent.size(), 2u);
  // Both end by themselves, or are undone together.
  plane.loop->Kill();
  (void)plane.Tick({plane.Alarm()});
  EXPECT_EQ(plane.undone.size(), 2u);
}

TEST(LoopCases, WhatSomebodyElseHasMovedIsRenewedNoMore) {
  Plane plane;
  plane.Start();
  plane.Learn();
  plane.monitor.stalls[plane.shop.cart_0.value()] = {{Resource::kCpu, 800}};
  ASSERT_LE(plane.TicksUntilSent(), 4);
  plane.Answer(ActionOutcome::kApplied);
  // It is needed still when its time is almost over, and its node finds another value there.
  for (int i = 0; i < 120 && plane.sent.size() == 1; ++i) (void)plane.Tick();
  ASSERT_EQ(plane.sent.size(), 2u);
  EXPECT_EQ(plane.sent[1].id, plane.sent[0].id);
  plane.Answer(ActionOutcome::kRefused);
  for (int i = 0; i < 20; ++i) (void)plane.Tick();
  EXPECT_EQ(plane.Lines("renewed"), 1u);
  EXPECT_EQ(plane.loop->in_flight(), 0u);
  EXPECT_TRUE(plane.undone.empty());
  // That was no failure: the next alarm is met at once, by the first rule.
  ASSERT_LE(plane.TicksUntilSent(), 5);
  EXPECT_EQ(plane.sent[2].action, Action::kCpuLimit);
}

TEST(LoopCases, WhatRelievesIsKeptWhileTheAlarmLasts) {
  for (const bool relieves : {true, false}) {
    SCOPED_TRACE(relieves);
    Plane plane;
    plane.Start();
    plane.Learn();
    plane.monitor.stalls[plane.shop.cart_0.value()] = {{Resource::kCpu, 2000}};
    ASSERT_LE(plane.TicksUntilSent(), 4);
    plane.Answer(ActionOutcome::kApplied);
    plane.place = plane.sent[0].to;
    if (relieves) plane.monitor.stalls[plane.shop.cart_0.value()] = {{Resource::kCpu, 1000}};
    for (int i = 0; i < 15; ++i) {
      const std::size_t before = plane.sent.size();
      (void)plane.Tick({plane.Alarm()});
      if (plane.sent.size() == before) continue;
      plane.Answer(ActionOutcome::kApplied);  // it was raised
      plane.place = plane.sent.back().to;
    }
    EXPECT_EQ(plane.undone.empty(), relieves);
  }
}

}  // namespace
}  // namespace seer
