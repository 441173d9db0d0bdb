#include "seer/window/violations.h"

#include <algorithm>
#include <chrono>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "tests/support/allocations.h"

namespace seer {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::int64_t kMs = 1'000'000;

class ViolationsTest : public ::testing::Test {
 protected:
  explicit ViolationsTest(QosTarget target = QosTarget::AtMost(0.1, milliseconds(50), seconds(1))) {
    page = topology.AddRequestClass("", "page", target).value();
  }
  ClusterTick Make(Tick tick, std::uint64_t count, std::uint64_t over) const {
    ClusterTick made;
    made.Reset(0, 0, topology.classes().size());
    made.tick = tick;
    made.classes[page.index()].seen = true;
    made.classes[page.index()].count = count;
    made.classes[page.index()].over_target = over;
    return made;
  }
  Topology topology;
  ClassId page;
  ViolationDetector detector;
};

TEST_F(ViolationsTest, WhatTheTargetAllowsIsNoViolation) {
  for (Tick tick = 0; tick < 50; ++tick) {
    detector.Observe(Make(tick, 10, tick == 20 ? 10 : 0), topology);
    EXPECT_FALSE(detector.breaching(page)) << tick;
  }
  // One tick of ten slow requests, of 100 in the window: 10 %, which is allowed.
  EXPECT_TRUE(detector.TakeFinished().empty());
}

TEST_F(ViolationsTest, WhereNobodyIsAnsweredAllWhoCameWait) {
  QosTarget target = QosTarget::AtMost(0.1, milliseconds(50), seconds(1));
  target.min_over = 5;  // of few requests none makes a violation
  Topology few;
  const ClassId id = few.AddRequestClass("", "page", target).value();
  for (const std::uint64_t usual : {10, 0}) {
    SCOPED_TRACE(usual);
    ViolationDetector own;
    std::int64_t start_ns = 0;
    for (Tick tick = 0; tick < 80; ++tick) {
      ClusterTick made;
      made.Reset(0, 0, 1);
      made.tick = tick;
      made.classes[id.index()].seen = true;
      // From 2 s on everything stands still: one request is known to be open, and its age.
      made.classes[id.index()].count = tick < 20 ? (tick == 3 ? 1 : usual) : 0;
      made.classes[id.index()].oldest_open_ns = tick < 20 ? 0 : (tick - 19) * 100 * kMs;
      own.Observe(made, few);
      if (start_ns == 0 && !own.open().empty()) start_ns = own.open()[0].start_ns;
    }
    // A hundred come in a second, and after one without an answer most of them are late.
    EXPECT_EQ(start_ns, usual > 0 ? 3000 * kMs : 0);
  }
}

TEST_F(ViolationsTest, LastsAsLongAsTheTrailingWindowBreaches) {
  for (Tick tick = 0; tick < 60; ++tick) {
    detector.Observe(Make(tick, 10, tick == 20 || tick == 21 ? 10 : 0), topology);
    EXPECT_EQ(detector.breaching(page), tick >= 21 && tick < 30) << tick;
    // The end is known a second after it.
    EXPECT_EQ(detector.open().size(), tick >= 21 && tick < 39 ? 1u : 0u) << tick;
  }
  const auto violations = detector.TakeFinished();
  ASSERT_EQ(violations.size(), 1u);
  EXPECT_EQ(violations[0].request_class, page);
  EXPECT_EQ(violations[0].start_ns, 2200 * kMs);
  EXPECT_EQ(violations[0].end_ns, 3000 * kMs);
  EXPECT_EQ(violations[0].worst_over, 20u);
  EXPECT_EQ(violations[0].worst_total, 100u);
  EXPECT_FALSE(violations[0].open);
  EXPECT_FALSE(violations[0].gap);
}

TEST_F(ViolationsTest, AShortCalmIsPartOfIt) {
  for (const Tick calm : {9, 10}) {
    SCOPED_TRACE(calm);
    ViolationDetector calmed;
    // Two ticks breach for nine ticks; the next two come after `calm` ticks without a breach.
    const Tick second = 21 + 9 + calm - 1;
    for (Tick tick = 0; tick < 80; ++tick) {
      const bool slow = tick == 20 || tick == 21 || tick == second || tick == second + 1;
      calmed.Observe(Make(tick, 10, slow ? 10 : 0), topology);
    }
    EXPECT_EQ(calmed.TakeFinished().size(), calm < 10 ? 1u : 2u);
  }
}

TEST_F(ViolationsTest, AnOpenRequestCountsOnceItIsOverTheTarget) {
  ASSERT_TRUE(topology.SetTarget(page, QosTarget::FewerThan(1, milliseconds(50), seconds(1))).ok());
  ClusterTick tick = Make(0, 0, 0);
  tick.classes[0].oldest_open_ns = 50 * kMs;
  detector.Observe(tick, topology);
  EXPECT_FALSE(detector.breaching(page));
  tick.tick = 1;
  tick.classes[0].oldest_open_ns = 150 * kMs;
  detector.Observe(tick, topology);
  EXPECT_TRUE(detector.breaching(page)) << "nothing has ended, and yet it is too late";
}

TEST_F(ViolationsTest, LowRatesAreJudgedByCounts) {
  ASSERT_TRUE(
      topology.SetTarget(page, QosTarget::FewerThan(3, milliseconds(50), seconds(10))).ok());
  for (Tick tick = 0; tick < 90; ++tick) {
    detector.Observe(Make(tick, 1, tick % 40 == 0 ? 1 : 0), topology);
    EXPECT_EQ(detector.breaching(page), tick >= 80) << tick;
  }
}

TEST_F(ViolationsTest, TicksThatAreNotSeenBreachNothingAndAreTold) {
  for (Tick tick = 0; tick < 100; ++tick) {
    if (tick >= 26 && tick < 29) continue;  // no tick at all
    ClusterTick made = Make(tick, 10, tick >= 20 && tick < 40 ? 10 : 0);
    if (tick == 31) made.classes[0].seen = false;
    detector.Observe(made, topology);
    if (tick == 31) {
      EXPECT_FALSE(detector.breaching(page));
    }
  }
  const auto violations = detector.TakeFinished();
  ASSERT_EQ(violations.size(), 1u);
  EXPECT_TRUE(violations[0].gap);
}

TEST_F(ViolationsTest, ALongPauseEndsWhatWasOpen) {
  for (Tick tick = 0; tick < 25; ++tick) detector.Observe(Make(tick, 10, 10), topology);
  detector.Observe(Make(10'000'000'000, 10, 0), topology);
  const auto violations = detector.TakeFinished();
  ASSERT_EQ(violations.size(), 1u);
  EXPECT_EQ(violations[0].end_ns, 2500 * kMs);
  EXPECT_FALSE(detector.breaching(page)) << "what was slow then has left the window";
}

TEST_F(ViolationsTest, WhatLastsAtTheEndIsToldAsOpen) {
  for (Tick tick = 0; tick < 25; ++tick) detector.Observe(Make(tick, 10, 10), topology);
  detector.Finish();
  const auto violations = detector.TakeFinished();
  ASSERT_EQ(violations.size(), 1u);
  EXPECT_TRUE(violations[0].open);
  EXPECT_TRUE(detector.open().empty());
}

TEST_F(ViolationsTest, TicksOutOfOrderAreIgnored) {
  detector.Observe(Make(5, 10, 0), topology);
  detector.Observe(Make(5, 10, 10), topology);
  detector.Observe(Make(4, 10, 10), topology);
  EXPECT_EQ(detector.ignored_ticks(), 2u);
  EXPECT_FALSE(detector.breaching(page));
}

TEST_F(ViolationsTest, AnotherTargetIsCountedFromTheLatencies) {
  ClassTick tick;
  tick.count = 100;
  tick.over_target = 1;
  tick.latency.Record(10 * kMs, 90);
  tick.latency.Record(100 * kMs, 10);
  const QosTarget target = QosTarget::Percentile(0.99, milliseconds(50), seconds(1));
  EXPECT_EQ(OverTarget(tick, target, false), 1u);
  EXPECT_EQ(OverTarget(tick, target, true), 10u);

  ClassTick quantiles;
  quantiles.count = 201;
  quantiles.p50_ns = 20 * kMs;
  quantiles.p99_ns = 60 * kMs;
  EXPECT_EQ(OverTarget(quantiles, target, true), 3u);
  quantiles.p50_ns = 55 * kMs;
  EXPECT_EQ(OverTarget(quantiles, target, true), 101u);
}

// Any node may declare classes, and a window of an hour has 36,000 ticks.
TEST_F(ViolationsTest, ClassesThatNobodySeesTakeNoWindow) {
  const QosTarget hour = QosTarget::AtMost(0.1, milliseconds(50), std::chrono::hours(1));
  std::vector<ClassId> declared;
  for (int i = 0; i < 200; ++i) {
    declared.push_back(*topology.AddRequestClass("", std::to_string(i), hour));
  }
  const ClassId seen = declared.back();
  std::vector<ClusterTick> ticks;
  for (Tick tick = 0; tick < 3; ++tick) {
    ticks.push_back(Make(tick, 10, 10));
    ticks.back().classes[seen.index()] = ticks.back().classes[page.index()];
  }
  const testing::Allocations allocations;
  for (const ClusterTick& tick : ticks) detector.Observe(tick, topology);
  EXPECT_LT(allocations.peak_bytes(), 2u << 20);
  EXPECT_TRUE(detector.breaching(seen));
  EXPECT_TRUE(detector.breaching(page));
  EXPECT_FALSE(detector.breaching(declared.front()));
  // One that is removed is told to its end.
  ASSERT_TRUE(topology.RemoveRequestClass(seen).ok());
  for (Tick tick = 3; tick < 60; ++tick) detector.Observe(Make(tick, 0, 0), topology);
  ASSERT_TRUE(detector.open().empty());
  const auto violations = detector.TakeFinished();
  ASSERT_EQ(violations.size(), 2u);
  for (const Violation& violation : violations) {
    EXPECT_EQ(violation.start_ns, 100 * kMs);
    EXPECT_EQ(violation.end_ns, violation.request_class == seen ? 300 * kMs : 1200 * kMs);
  }
}

TEST_F(ViolationsTest, AgreesWithTheDefinition) {
  std::mt19937 random(3);
  for (int round = 0; round < 50; ++round) {
    SCOPED_TRACE(round);
    const auto period = TickPeriod::FromNs(round % 2 == 0 ? 100 * kMs : 250 * kMs).value();
    Topology two;
    const QosTarget targets[] = {
        QosTarget::AtMost(0.02 * (1 + round % 5), milliseconds(50), seconds(1 + round % 3)),
        QosTarget::FewerThan(static_cast<std::uint32_t>(1 + round % 7), milliseconds(50),
                             milliseconds(1700))};
    for (int c = 0; c < 2; ++c) {
      ASSERT_TRUE(two.AddRequestClass("", std::to_string(c), targets[c]).ok());
    }
    ViolationOptions options;
    options.quiet_ns = (round % 4) * 500 * kMs;
    ViolationDetector fast(options);
    constexpr Tick kTicks = 400;
    std::vector<ClusterTick> ticks;
    int slow_for = 0;
    for (Tick i = 0; i < kTicks; ++i) {
      ClusterTick tick;
      tick.Reset(0, 0, 2);
      tick.tick = 1000 + i;
      tick.period = period;
      if (random() % 60 == 0) slow_for = static_cast<int>(random() % 15);
      for (ClassTick& row : tick.classes) {
        row.seen = true;
        row.count = random() % 20;
        if (slow_for > 0) row.over_target = std::min<std::uint64_t>(row.count, random() % 4);
      }
      --slow_for;
      ticks.push_back(tick);
      fast.Observe(tick, two);
    }
    fast.Finish();
    const auto got = fast.TakeFinished();

    for (std::uint32_t c = 0; c < 2; ++c) {
      const auto window =
          static_cast<Tick>((targets[c].window_ms * kMs + period.ns() - 1) / period.ns());
      std::vector<std::pair<std::int64_t, std::int64_t>> want;
      for (Tick i = 0; i < kTicks; ++i) {
        std::uint64_t over = 0, total = 0;
        for (Tick j = std::max<Tick>(0, i - window + 1); j <= i; ++j) {
          over += ticks[static_cast<std::size_t>(j)].classes[c].over_target;
          total += ticks[static_cast<std::size_t>(j)].classes[c].count;
        }
        if (!targets[c].BreachedBy(over, total)) continue;
        const std::int64_t end = period.EndNs(1000 + i);
        // In between, at most quiet - 1 tick's time may have passed without a breach.
        if (!want.empty() && end - want.back().second <= std::max(options.quiet_ns, period.ns())) {
          want.back().second = end;
        } else {
          want.push_back({end, end});
        }
      }
      std::vector<std::pair<std::int64_t, std::int64_t>> have;
      for (const Violation& violation : got) {
        if (violation.request_class == ClassId(c)) {
          have.push_back({violation.start_ns, violation.end_ns});
        }
      }
      ASSERT_EQ(have, want);
    }
  }
}

}  // namespace
}  // namespace seer
