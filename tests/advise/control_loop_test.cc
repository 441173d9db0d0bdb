#include "seer/advise/control_loop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <stdexcept>
#include <thread>

#include "tests/advise/plane.h"
#include "tests/advise/support.h"
#include "tests/support/json.h"

namespace seer {
namespace {

using ::testing::HasSubstr;
using testing::Json;
using testing::kMsNs;
using testing::kSecondNs;
using testing::kTickNs;
using testing::Plane;
using testing::ReadingOf;
using testing::Shop;
using testing::Stalls;

TEST(ControlLoop, LearnsWhatIsUsualThenNamesTheCauseAndActs) {
  Plane plane;
  plane.Start();
  plane.Learn();
  ASSERT_NE(plane.loop->baseline(plane.shop.cart_0), nullptr);
  EXPECT_GT(plane.loop->baseline(plane.shop.cart_0)->learnt(), 3u);
  EXPECT_TRUE(plane.audit.empty());

  plane.monitor.stalls[plane.shop.cart_1.value()] = {{Resource::kStorage, 800}};
  plane.monitor.asked.clear();
  EXPECT_LE(plane.TicksUntilSent(), 4);
  const Recommendation& r = plane.sent[0];
  EXPECT_EQ(r.cause, Cause::kStorage);
  EXPECT_EQ(r.action, Action::kIoShare);
  EXPECT_EQ(r.target.instance, "cart-1");
  EXPECT_EQ(r.from, 4);
  // Nobody but the culprit was looked at.
  for (const InstanceId asked : plane.monitor.asked) {
    EXPECT_EQ(plane.shop.topology.instance(asked).service, plane.shop.cart);
  }
  // The trail: what was decided and why, and that it was sent.
  ASSERT_EQ(plane.audit.size(), 2u);
  const auto decision = Json::Parse(plane.audit[0]);
  ASSERT_TRUE(decision);
  EXPECT_EQ((*decision)["event"].text, "decision");
  EXPECT_EQ((*decision)["verdict"].text, "act");
  EXPECT_EQ((*decision)["class"].text, "buy");
  EXPECT_EQ((*decision)["culprit"].text, "cart");
  EXPECT_EQ((*decision)["cause"].text, "storage");
  EXPECT_EQ((*decision)["evidence"][0]["resource"].text, "storage");
  EXPECT_EQ((*decision)["recommendation"]["action"].text, "io-share");
  EXPECT_EQ((*decision)["recommendation"]["id"].text, std::to_string(r.id));
  EXPECT_EQ(plane.Lines("sent"), 1u);
}

TEST(ControlLoop, ShadowDecidesAndDoesNothing) {
  Plane plane;
  plane.options.shadow = ControlLoopOptions().shadow;
  plane.Start();
  plane.Learn();
  plane.monitor.stalls[plane.shop.cart_0.value()] = {{Resource::kCpu, 800}};
  for (int i = 0; i < 100; ++i) (void)plane.Tick({plane.Alarm()});
  EXPECT_TRUE(plane.sent.empty());
  EXPECT_TRUE(plane.undone.empty());
  EXPECT_GE(plane.Lines("decision"), 1u);
  EXPECT_LE(plane.Lines("decision"), 4u);
  EXPECT_THAT(plane.audit[0], HasSubstr("\"verdict\":\"shadow\""));
}

TEST(ControlLoop, OneActionInFlightForAService) {
  Plane plane;
  plane.Start();
  plane.Learn();
  plane.monitor.stalls[plane.shop.cart_0.value()] = {{Resource::kCpu, 800}};
  ASSERT_LE(plane.TicksUntilSent(), 4);
  plane.Answer(ActionOutcome::kApplied);
  plane.monitor.stalls.clear();
  // Two classes in alarm about it, before it has settled.
  ClassForecast other = plane.shop.Row(plane.shop.watch, plane.shop.cart);
  for (int i = 0; i < 9; ++i) (void)plane.Tick({plane.Alarm(), other});
  EXPECT_EQ(plane.sent.size(), 1u);
  EXPECT_EQ(plane.loop->in_flight(), 1u);
}

TEST(ControlLoop, WhatHelpedStaysUntilItExpires) {
  Plane plane;
  plane.Start();
  plane.Learn();
  plane.monitor.stalls[plane.shop.cart_0.value()] = {{Resource::kCpu, 800}};
  ASSERT_LE(plane.TicksUntilSent(), 4);
  plane.Answer(ActionOutcome::kApplied);
  for (int i = 0; i < 20; ++i) (void)plane.Tick();
  EXPECT_EQ(plane.Lines("helped"), 1u);
  EXPECT_TRUE(plane.undone.empty());
  plane.Answer(ActionOutcome::kExpired);
  (void)plane.Tick();
  EXPECT_EQ(plane.loop->in_flight(), 0u);
  EXPECT_EQ(plane.Lines("ended"), 1u);
}

TEST(ControlLoop, WhatDidNotHelpIsUndoneAndSomethingElseTried) {
  Plane plane;
  plane.Start();
  plane.Learn();
  plane.monitor.stalls[plane.shop.cart_0.value()] = {{Resource::kCpu, 800}};
  ASSERT_LE(plane.TicksUntilSent(), 4);
  EXPECT_EQ(plane.sent[0].action, Action::kCpuLimit);
  plane.Answer(ActionOutcome::kApplied);
  for (int i = 0; i < 12; ++i) (void)plane.Tick({plane.Alarm()});
  EXPECT_EQ(plane.Lines("did-not-help"), 1u);
  ASSERT_EQ(plane.undone, std::vector<std::uint64_t>{plane.sent[0].id});
  plane.Answer(ActionOutcome::kUndone);
  // Not before the cool-down, 5 s, is over.
  EXPECT_GE(plane.TicksUntilSent(100), 50);
  ASSERT_EQ(plane.sent.size(), 2u);
  EXPECT_EQ(plane.sent[1].action, Action::kReplicas);
}

TEST(ControlLoop, WhatIsStillNeededIsRenewedAndWhatIsNotEnds) {
  for (const bool needed : {true, false}) {
    SCOPED_TRACE(needed);
    Plane plane;
    plane.Start();
    plane.Learn();
    plane.monitor.stalls[plane.shop.cart_0.value()] = {{Resource::kCpu, 800}};
    ASSERT_LE(plane.TicksUntilSent(), 4);
    plane.Answer(ActionOutcome::kApplied);
    const Recommendation first = plane.sent[0];
    if (!needed) plane.monitor.stalls.clear();
    for (int i = 0; i < 120; ++i) {
      (void)plane.Tick();
      if (plane.sent.size() > 1) plane.Answer(ActionOutcome::kApplied);
    }
    EXPECT_EQ(plane.Lines("renewed"), needed ? 1u : 0u);
    EXPECT_EQ(plane.loop->in_flight(), needed ? 1u : 0u);
    if (!needed) continue;
    ASSERT_EQ(plane.sent.size(), 2u);
    const Recommendation& again = plane.sent[1];
    EXPECT_EQ(again.id, first.id);
    EXPECT_EQ(again.to, first.to);
    EXPECT_EQ(again.undo, first.undo);
    EXPECT_EQ(again.expires_ns - again.issued_ns, first.expires_ns - first.issued_ns);
    EXPECT_LT(again.issued_ns, first.expires_ns);
    // Over again when it is needed no longer.
    plane.monitor.stalls.clear();
    for (int i = 0; i < 120; ++i) (void)plane.Tick();
    EXPECT_EQ(plane.sent.size(), 2u);
    EXPECT_EQ(plane.loop->in_flight(), 0u);
  }
}

TEST(ControlLoop, AlarmThatReturnsIsHeldLongerEachTime) {
  Plane plane;
  plane.Start();
  plane.Learn();
  plane.monitor.stalls[plane.shop.cart_0.value()] = {{Resource::kCpu, 800}};
  std::int64_t hold = 0;
  for (int i = 0; i < 6; ++i) {
    SCOPED_TRACE(i);
    ASSERT_LE(plane.TicksUntilSent(), 5);
    const Recommendation& r = plane.sent.back();
    const std::int64_t now_hold = r.expires_ns - r.issued_ns;
    if (i == 0) hold = now_hold;
    EXPECT_EQ(now_hold, hold * std::min(1 << i, 16));
    plane.Answer(ActionOutcome::kApplied);
    for (int j = 0; j < 15; ++j) (void)plane.Tick();
    plane.Answer(ActionOutcome::kExpired);
    (void)plane.Tick();
  }
}

TEST(ControlLoop, NeverOnStaleData) {
  for (const std::int64_t age : {600 * kMsNs, -600 * kMsNs, 3600 * kSecondNs}) {
    SCOPED_TRACE(age);
    Plane plane;
    plane.Start();
    plane.Learn();
    plane.monitor.stalls[plane.shop.cart_0.value()] = {{Resource::kCpu, 800}};
    plane.monitor.asked.clear();
    for (int i = 0; i < 20; ++i) {
      EXPECT_TRUE(plane.Tick({plane.Alarm()}, age).decided_nothing);
    }
    EXPECT_TRUE(plane.sent.empty());
    EXPECT_TRUE(plane.monitor.asked.empty());
    EXPECT_EQ(plane.Lines("stale"), 1u);  // said once
    EXPECT_LE(plane.TicksUntilSent(), 4);
  }
}

TEST(ControlLoop, TickInWhichTheClockJumpedDecidesNothing) {
  Plane plane;
  plane.Start();
  plane.Learn();
  plane.monitor.stalls[plane.shop.cart_0.value()] = {{Resource::kCpu, 800}};
  for (int i = 0; i < 20; ++i) {
    plane.clock.Advance(i % 2 == 0 ? 3600 * kSecondNs : -3600 * kSecondNs);
    EXPECT_TRUE(plane.Tick({plane.Alarm()}).decided_nothing);
  }
  EXPECT_TRUE(plane.sent.empty());
  EXPECT_EQ(plane.Lines("clock-jumped"), 20u);
  EXPECT_LE(plane.TicksUntilSent(), 4);
}

TEST(ControlLoop, KillStopsEverythingAndHasAllUndone) {
  Plane plane;
  plane.Start();
  plane.Learn();
  plane.monitor.stalls[plane.shop.cart_0.value()] = {{Resource::kCpu, 800}};
  ASSERT_LE(plane.TicksUntilSent(), 4);
  plane.Answer(ActionOutcome::kApplied);
  plane.loop->Kill();
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(plane.Tick({plane.Alarm()}).decided_nothing);
  EXPECT_EQ(plane.undone, std::vector<std::uint64_t>{plane.sent[0].id});
  EXPECT_EQ(plane.sent.size(), 1u);
  EXPECT_EQ(plane.Lines("killed"), 1u);
  plane.Answer(ActionOutcome::kUndone);
  plane.loop->Resume();
  EXPECT_LE(plane.TicksUntilSent(100), 60);
}

TEST(ControlLoop, HostThatRefusesOrThrowsIsNotAskedAgainAtOnce) {
  for (const bool throws : {false, true}) {
    SCOPED_TRACE(throws);
    Plane plane;
    int calls = 0;
    plane.options.act = [&](const Recommendation&) -> absl::Status {
      ++calls;
      if (throws) throw std::runtime_error("no");
      return absl::PermissionDeniedError("no");
    };
    plane.Start();
    plane.Learn();
    plane.monitor.stalls[plane.shop.cart_0.value()] = {{Resource::kCpu, 800}};
    for (int i = 0; i < 40; ++i) (void)plane.Tick({plane.Alarm()});
    EXPECT_EQ(calls, 1);
    EXPECT_EQ(plane.Lines("not-sent"), 1u);
    EXPECT_EQ(plane.loop->in_flight(), 0u);
  }
}

TEST(ControlLoop, NodeThatNeverAnswersIsSaidOnceAndForgottenWhenItsTimeIsOver) {
  Plane plane;
  plane.Start();
  plane.Learn();
  plane.monitor.stalls[plane.shop.cart_0.value()] = {{Resource::kCpu, 800}};
  ASSERT_LE(plane.TicksUntilSent(), 4);
  for (int i = 0; i < 80; ++i) (void)plane.Tick();
  EXPECT_EQ(plane.Lines("no-report"), 1u);
  EXPECT_EQ(plane.loop->in_flight(), 1u);
  for (int i = 0; i < 40; ++i) (void)plane.Tick();
  EXPECT_EQ(plane.loop->in_flight(), 0u);
}

TEST(ControlLoop, WhatASlowNodeHasNotDoneYetIsNotJudged) {
  Plane plane;
  plane.Start();
  plane.Learn();
  plane.monitor.stalls[plane.shop.cart_0.value()] = {{Resource::kCpu, 800}};
  ASSERT_LE(plane.TicksUntilSent(), 4);
  for (int i = 0; i < 30; ++i) (void)plane.Tick({plane.Alarm()});
  EXPECT_EQ(plane.Lines("did-not-help"), 0u);
  // After three seconds it is done. It settles in one.
  plane.Answer(ActionOutcome::kApplied);
  for (int i = 0; i < 9; ++i) (void)plane.Tick({plane.Alarm()});
  EXPECT_EQ(plane.Lines("did-not-help"), 0u);
  EXPECT_TRUE(plane.undone.empty());
  for (int i = 0; i < 3; ++i) (void)plane.Tick({plane.Alarm()});
  EXPECT_EQ(plane.Lines("did-not-help"), 1u);
  EXPECT_EQ(plane.undone.size(), 1u);
}

TEST(ControlLoop, AbstainsWhereTheCauseIsNotClear) {
  Plane plane;
  plane.Start();  // no baseline
  for (int i = 0; i < 30; ++i) (void)plane.Tick({plane.Alarm()});
  EXPECT_TRUE(plane.sent.empty());
  EXPECT_GE(plane.Lines("decision"), 2u);
  EXPECT_THAT(plane.audit[0], HasSubstr("\"verdict\":\"nothing\""));
  EXPECT_THAT(plane.audit[0], HasSubstr("the cause is not clear"));
  plane.monitor.status = absl::UnavailableError("not now");
  for (int i = 0; i < 30; ++i) (void)plane.Tick({plane.Alarm()});
  EXPECT_TRUE(plane.sent.empty());
}

TEST(ControlLoop, ReportOfAnApplicationsOwnTroubleGoesOutFirst) {
  Plane plane;
  plane.Start();
  plane.Learn();
  ASSERT_LE(plane.TicksUntilSent(), 5);
  EXPECT_EQ(plane.sent[0].action, Action::kReport);
  EXPECT_EQ(plane.sent[0].cause, Cause::kApplication);
  // With it goes what may help now, and can be undone.
  ASSERT_EQ(plane.sent.size(), 2u);
  EXPECT_EQ(plane.sent[1].action, Action::kPoolSize);
  EXPECT_EQ(plane.sent[1].cause, Cause::kApplication);
  plane.Answer(ActionOutcome::kApplied);
  for (int i = 0; i < 12; ++i) (void)plane.Tick({plane.Alarm()});
  EXPECT_EQ(plane.undone, std::vector<std::uint64_t>{plane.sent[1].id});
  plane.Answer(ActionOutcome::kUndone);
  // It did not help: the next one, and the report is not repeated before its cool-down.
  ASSERT_LE(plane.TicksUntilSent(), 20);
  EXPECT_EQ(plane.sent[2].action, Action::kReplicas);
}

TEST(ControlLoop, MoreImportantTenantComesFirst) {
  Plane plane;
  plane.options.max_in_flight = 1;
  plane.rules.rules = ParseRules("cpu cpu-limit factor=2\ntenant films priority=5\n").value();
  plane.Start();
  plane.Learn();
  plane.monitor.stalls[plane.shop.cart_0.value()] = {{Resource::kCpu, 800}};
  plane.monitor.stalls[plane.shop.video_0.value()] = {{Resource::kCpu, 800}};
  for (int i = 0; i < 5; ++i) {
    (void)plane.Tick({plane.Alarm(), plane.shop.Row(plane.shop.watch, plane.shop.video, 0.6f)});
  }
  ASSERT_EQ(plane.sent.size(), 1u);
  EXPECT_EQ(plane.sent[0].target.service, "video");
}

TEST(ControlLoop, ReadingStopsWhenTheTicksTimeIsSpent) {
  Plane plane;
  plane.Start();
  plane.Learn();
  // Each reading takes 30 ms; two of them are more than the 50 ms of a tick.
  plane.monitor.on_read = [&] { plane.steady.Advance(30 * kMsNs); };
  plane.monitor.asked.clear();
  ClassForecast other = plane.shop.Row(plane.shop.watch, plane.shop.video);
  const LoopTick tick = plane.Tick({plane.Alarm(), other});
  EXPECT_EQ(tick.read, 2u);
  EXPECT_EQ(plane.monitor.asked.size(), 2u);
}

TEST(ControlLoop, AnotherNumberingForgetsWhatIdsMeant) {
  Plane plane;
  plane.Start();
  plane.Learn();
  plane.monitor.stalls[plane.shop.cart_0.value()] = {{Resource::kCpu, 800}};
  ASSERT_LE(plane.TicksUntilSent(), 4);
  plane.shop.topology = plane.shop.topology.Compacted(99)->topology;
  (void)plane.Tick();
  EXPECT_EQ(plane.undone.size(), 1u);
  EXPECT_EQ(plane.loop->baseline(plane.shop.cart_0), nullptr);
}

TEST(ControlLoop, BaselinesSurviveTheLoop) {
  Plane plane;
  plane.Start();
  plane.Learn();
  const StallBaseline kept = *plane.loop->baseline(plane.shop.cart_0);
  plane.Start();
  (void)plane.Tick();
  plane.loop->SetBaseline(plane.shop.cart_0, kept);
  plane.loop->SetBaseline(plane.shop.cart_1, kept);
  plane.monitor.stalls[plane.shop.cart_0.value()] = {{Resource::kCpu, 800}};
  EXPECT_LE(plane.TicksUntilSent(), 5);
}

// Whatever the host, the nodes and the clock do: every action stands in the trail before it was
// sent, and none is sent while another is in flight for the same service.
TEST(ControlLoop, TrailIsCompleteUnderRandomTroubles) {
  std::mt19937 random(11);
  const auto dice = [&](unsigned sides) { return static_cast<unsigned>(random() % sides); };
  std::size_t actions = 0;
  for (int run = 0; run < 30; ++run) {
    Plane plane;
    std::size_t renewed = 0;
    plane.options.act = [&](const Recommendation& r) -> absl::Status {
      const bool again = plane.audit.back().find("\"event\":\"renewed\"") != std::string::npos;
      EXPECT_TRUE(again || plane.audit.back().find("\"event\":\"decision\"") != std::string::npos)
          << plane.audit.back();
      EXPECT_THAT(plane.audit.back(), HasSubstr(std::to_string(r.id)));
      EXPECT_GE(r.to, r.lower);
      EXPECT_LE(r.to, r.upper);
      if (dice(5) == 0) throw 1;
      if (dice(5) == 0) return absl::UnavailableError("not now");
      plane.sent.push_back(r);
      renewed += again ? 1 : 0;
      return absl::OkStatus();
    };
    plane.Start();
    plane.Learn();
    for (int i = 0; i < 400; ++i) {
      const InstanceId sick = InstanceId(dice(4));
      plane.monitor.stalls[sick.value()] = {{kAllResources[dice(kResources)], dice(2) * 700.0}};
      plane.monitor.status = dice(10) == 0 ? absl::UnavailableError("not now") : absl::OkStatus();
      plane.place = 1 + dice(100);
      if (dice(50) == 0) plane.clock.Advance((dice(2) == 0 ? 1 : -1) * 100 * kSecondNs);
      if (dice(100) == 0) plane.loop->Kill();
      if (dice(10) == 0) plane.loop->Resume();
      std::vector<ClassForecast> rows;
      if (dice(3) != 0) rows.push_back(plane.shop.Row(plane.shop.buy, plane.shop.cart));
      if (dice(3) == 0) rows.push_back(plane.shop.Row(plane.shop.watch, plane.shop.video));
      if (dice(6) == 0) rows.push_back(plane.shop.Row(plane.shop.buy, ServiceId()));
      (void)plane.Tick(std::move(rows), dice(20) == 0 ? kSecondNs : 0);
      if (!plane.sent.empty() && dice(4) == 0) {
        plane.Answer(static_cast<ActionOutcome>(dice(kActionOutcomes)),
                     plane.sent[dice(static_cast<unsigned>(plane.sent.size()))].id);
      }
      // Of two culprits and a load; and for each culprit one that bridges.
      EXPECT_LE(plane.loop->in_flight(), 5u);
    }
    actions += plane.sent.size();
    EXPECT_EQ(plane.Lines("sent") + renewed, plane.sent.size());
  }
  EXPECT_GT(actions, 100u);
}

TEST(ControlLoop, OptionsAreChecked) {
  Plane plane;
  plane.Start();
  const auto message = [&](const std::function<void(ControlLoopOptions*)>& spoil) {
    ControlLoopOptions options = plane.options;
    spoil(&options);
    return std::string(
        ControlLoop::Create(nullptr, plane.advisor.get(), options).status().message());
  };
  EXPECT_THAT(message([](ControlLoopOptions* o) { o->act = nullptr; }), HasSubstr("act"));
  EXPECT_THAT(message([](ControlLoopOptions* o) { o->read_ns = 0; }), HasSubstr("min_read_ns"));
  EXPECT_THAT(message([](ControlLoopOptions* o) { o->sample_ns = 0; }), HasSubstr("sample_ns"));
  EXPECT_THAT(message([](ControlLoopOptions* o) { o->max_in_flight = 0; }),
              HasSubstr("max_in_flight"));
  EXPECT_FALSE(ControlLoop::Create(nullptr, nullptr, plane.options).ok());
  EXPECT_TRUE(plane.loop->Tick().decided_nothing);  // no predictor
}

TEST(ControlLoopConcurrency, ReportsAndTheKillSwitchComeFromAnyThread) {
  Plane plane;
  plane.Start();
  std::atomic<bool> done{false};
  std::thread other([&] {
    ActionTaken taken;
    while (!done.load(std::memory_order_relaxed)) {
      ++taken.recommendation_id;
      plane.loop->Report(taken);
      plane.loop->Kill();
      plane.loop->Resume();
      // A mutex is nobody's in particular: one who takes it again at once can keep all others out.
      std::this_thread::yield();
    }
  });
  for (int i = 0; i < 200; ++i) (void)plane.Tick({plane.Alarm()});
  done.store(true, std::memory_order_relaxed);
  other.join();
  EXPECT_TRUE(plane.sent.empty());
}

}  // namespace
}  // namespace seer
