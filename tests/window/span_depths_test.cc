#include "seer/window/span_depths.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tests/support/allocations.h"

namespace seer {
namespace {

constexpr std::int64_t kMs = 1'000'000;
constexpr std::int64_t kTick = 100 * kMs;

// client -> front -> { left, right }
class SpanDepthsTest : public ::testing::Test {
 protected:
  SpanDepthsTest() {
    front = topology.AddService("front").value();
    left = topology.AddService("left").value();
    right = topology.AddService("right").value();
    in = topology.AddEdge(ServiceId(), front).value();
    to_left = topology.AddEdge(front, left).value();
    to_right = topology.AddEdge(front, right).value();
    page = topology
               .AddRequestClass("", "page",
                                QosTarget::Percentile(0.99, std::chrono::milliseconds(50),
                                                      std::chrono::seconds(1)),
                                front)
               .value();
  }

  SpanDepths Make(SpanDepthsOptions options = {}) {
    return SpanDepths(options, &topology,
                      [this](const ClusterTick& tick) { ticks.push_back(tick); });
  }

  SpanInterval Call(EdgeId edge, std::int64_t start_ms, std::int64_t end_ms,
                    std::uint64_t trace = 1, std::uint64_t parent = 0) const {
    SpanInterval call;
    call.trace = {0, trace};
    call.parent_id = parent;
    call.edge = edge;
    call.caller = topology.edge(edge).caller;
    call.callee = topology.edge(edge).callee;
    call.root = !call.caller.valid();
    if (call.root) call.request_class = page;
    call.start_ns = start_ms * kMs;
    call.end_ns = end_ms * kMs;
    return call;
  }
  static SpanInterval Served(SpanInterval call, std::int64_t start_ms, std::int64_t work_ms,
                             std::int64_t end_ms) {
    call.side = SpanSide::kServer;
    call.start_ns = start_ms * kMs;
    call.work_ns = work_ms * kMs;
    call.end_ns = end_ms * kMs;
    call.queue_known = true;
    return call;
  }
  const ClusterTick& At(Tick tick) const {
    for (const ClusterTick& each : ticks) {
      if (each.tick == tick) return each;
    }
    ADD_FAILURE() << "no tick " << tick;
    static const ClusterTick none;
    return none;
  }

  Topology topology;
  ServiceId front, left, right;
  EdgeId in, to_left, to_right;
  ClassId page;
  std::vector<ClusterTick> ticks;
};

TEST_F(SpanDepthsTest, MeansAreOverTheTickAndDepthsAtItsEnd) {
  SpanDepths depths = Make();
  depths.Add(Call(to_left, 50, 130));
  depths.Add(Call(to_left, 110, 150));
  depths.Finish();
  ASSERT_EQ(ticks.size(), 2u);
  EXPECT_EQ(ticks[0].tick, 0);
  EXPECT_EQ(ticks[0].edges.mean(to_left), 0.5);
  EXPECT_EQ(ticks[0].edges.depth(to_left), 1);
  EXPECT_EQ(ticks[0].edges.made(to_left), 1u);
  EXPECT_FLOAT_EQ(static_cast<float>(*ticks[1].edges.mean(to_left)), 0.7f);
  EXPECT_EQ(ticks[1].edges.depth(to_left), 0);
}

TEST_F(SpanDepthsTest, SidesAreKeptApart) {
  SpanDepths depths = Make();
  const SpanInterval call = Call(to_left, 10, 90);
  depths.Add(call);
  depths.Finish();
  EXPECT_EQ(At(0).services.mean(left, Channel::kRunning), std::nullopt) << "nobody served";
  EXPECT_TRUE(At(0).edges.mean(to_left));

  ticks.clear();
  SpanDepths served = Make();
  served.Add(Served(call, 20, 30, 80));
  served.Finish();
  EXPECT_EQ(At(0).services.mean(left, Channel::kRunning), 0.5);
  EXPECT_FLOAT_EQ(static_cast<float>(*At(0).services.mean(left, Channel::kQueued)), 0.1f);
  EXPECT_EQ(At(0).services.mean_wait_us(left, Channel::kQueued), 10000);
  EXPECT_EQ(At(0).edges.mean(to_left), std::nullopt) << "its caller recorded nothing";
  EXPECT_EQ(At(0).services.depth(left, Channel::kBlocked), 0) << "it records, and calls nobody";
}

TEST_F(SpanDepthsTest, ServersMayStandForCallersWhenAsked) {
  SpanDepthsOptions options;
  options.servers_stand_for_callers = true;
  SpanDepths depths = Make(options);
  depths.Add(Served(Call(to_left, 0, 0), 20, 20, 80));
  depths.Finish();
  EXPECT_FLOAT_EQ(static_cast<float>(*At(0).edges.mean(to_left)), 0.6f);
}

TEST_F(SpanDepthsTest, TheEdgeFromOutsideTakesTheServersIntervalsWhereNobodyOutsideRecords) {
  SpanDepths depths = Make();
  depths.Add(Served(Call(in, 0, 0), 10, 20, 60));
  depths.Finish();
  EXPECT_EQ(At(0).edges.mean(in), 0.5);
  EXPECT_EQ(At(0).classes[0].count, 1u);

  ticks.clear();
  SpanDepths both = Make();
  both.Add(Served(Call(in, 0, 0), 10, 20, 60));
  both.Add(Call(in, 0, 80));
  both.Finish();
  EXPECT_FLOAT_EQ(static_cast<float>(*At(0).edges.mean(in)), 0.8f);
  EXPECT_EQ(At(0).classes[0].count, 1u) << "one request, recorded twice";
  EXPECT_EQ(At(0).classes[0].over_target, 1u) << "as the client saw it";
}

TEST_F(SpanDepthsTest, CallsInParallelBlockTheirRequestOnce) {
  for (const bool with_ids : {true, false}) {
    SCOPED_TRACE(with_ids);
    ticks.clear();
    SpanDepths depths = Make();
    SpanInterval request = Call(in, 0, 100);
    request.span_id = 7;
    depths.Add(request);
    const std::uint64_t parent = with_ids ? 7 : 0;
    depths.Add(Call(to_left, 10, 50, 1, parent));
    depths.Add(Call(to_right, 30, 60, 1, parent));
    depths.Finish();
    EXPECT_EQ(At(0).services.mean(front, Channel::kBlocked), 0.5);
    EXPECT_EQ(SelfDepth(At(0), topology, front), 1 - 0)
        << "the request ends with the tick: it is open, and no call of it is";
  }
}

TEST_F(SpanDepthsTest, WithoutIdsACallBelongsToTheRequestThatContainsIt) {
  SpanDepths depths = Make();
  // Two requests of one trace at the same service, as after a retry from outside.
  depths.Add(Call(in, 0, 100));
  depths.Add(Call(in, 20, 60));
  depths.Add(Call(to_left, 10, 70));   // only the first contains it
  depths.Add(Call(to_right, 30, 50));  // the second began later
  depths.Finish();
  EXPECT_FLOAT_EQ(static_cast<float>(*At(0).services.mean(front, Channel::kBlocked)), 0.8f);
  EXPECT_EQ(depths.stats().orphans, 0u);
}

TEST_F(SpanDepthsTest, ACallWithoutItsRequestBlocksOneOfItsOwn) {
  SpanDepths depths = Make();
  depths.Add(Call(to_left, 0, 50));
  depths.Add(Call(to_left, 0, 50));
  depths.Finish();
  EXPECT_EQ(At(0).services.mean(front, Channel::kBlocked), 1.0);
  EXPECT_EQ(depths.stats().orphans, 2u);
}

TEST_F(SpanDepthsTest, AsynchronousCallsBlockNobody) {
  SpanDepths depths = Make();
  SpanInterval call = Call(to_left, 0, 50, 1, 9);
  call.async = true;
  depths.Add(call);
  depths.Finish();
  EXPECT_EQ(At(0).services.mean(front, Channel::kBlocked), 0);
  EXPECT_EQ(At(0).edges.mean(to_left), 0.5) << "but they are outstanding";
}

TEST_F(SpanDepthsTest, ClassesTellLatenciesAndWhatIsOpen) {
  SpanDepths depths = Make();
  depths.Add(Call(in, 0, 40));
  depths.Add(Call(in, 10, 80));
  depths.Add(Call(in, 30, 250));
  depths.Finish();
  EXPECT_EQ(At(0).classes[0].count, 2u);
  EXPECT_EQ(At(0).classes[0].over_target, 1u);
  EXPECT_EQ(At(0).classes[0].oldest_open_ns, 70 * kMs);
  EXPECT_EQ(At(1).classes[0].oldest_open_ns, 170 * kMs);
  EXPECT_EQ(At(2).classes[0].count, 1u);
  EXPECT_EQ(At(2).classes[0].latency.count(), 1u);
  EXPECT_EQ(At(2).classes[0].oldest_open_ns, 0);
}

TEST_F(SpanDepthsTest, WhatIsNotCoveredIsMissing) {
  SpanDepths depths = Make();
  depths.Add(Call(in, 0, 10));
  depths.Add(Call(to_left, 210, 220));
  depths.Finish();
  EXPECT_EQ(At(0).edges.mean(to_left), std::nullopt);
  EXPECT_EQ(At(1).edges.mean(to_left), std::nullopt);
  EXPECT_TRUE(At(2).edges.mean(to_left));
  EXPECT_EQ(At(2).edges.mean(to_right), 0) << "front records its calls now: there was none";

  ticks.clear();
  SpanDepths whole = Make();
  whole.CoverFrom(to_left, 0);
  whole.Add(Call(in, 0, 10));
  whole.Finish();
  EXPECT_EQ(At(0).edges.mean(to_left), 0);
}

TEST_F(SpanDepthsTest, GapsAreMissing) {
  SpanDepths depths = Make();
  depths.AddGap(front, 150 * kMs, 160 * kMs);
  depths.AddGap(300 * kMs, 400 * kMs);
  depths.Add(Call(in, 0, 450));
  depths.Add(Call(to_left, 0, 450));
  depths.Add(Served(Call(to_left, 0, 0), 0, 0, 450));
  depths.Finish();
  EXPECT_TRUE(At(0).edges.mean(to_left));
  EXPECT_EQ(At(1).edges.mean(to_left), std::nullopt);
  EXPECT_EQ(At(1).services.mean(front, Channel::kBlocked), std::nullopt);
  EXPECT_FALSE(At(1).classes[0].seen);
  EXPECT_EQ(At(1).services.mean(left, Channel::kRunning), 1) << "left lost nothing";
  EXPECT_TRUE(At(2).edges.mean(to_left));
  EXPECT_EQ(At(3).services.mean(left, Channel::kRunning), std::nullopt);
  EXPECT_TRUE(At(4).services.mean(left, Channel::kRunning));
}

TEST_F(SpanDepthsTest, LongSilenceIsAGap) {
  SpanDepthsOptions options;
  options.silence_ns = 500 * kMs;
  SpanDepths depths = Make(options);
  depths.Add(Call(in, 0, 10));
  depths.Add(Call(in, 350, 360));
  depths.Add(Call(in, 1050, 1060));
  depths.Finish();
  EXPECT_EQ(At(1).edges.mean(in), 0) << "idle for less";
  for (Tick tick = 4; tick < 10; ++tick) EXPECT_EQ(At(tick).edges.mean(in), std::nullopt) << tick;
  EXPECT_TRUE(At(10).edges.mean(in));
}

TEST_F(SpanDepthsTest, TicksAreGivenInOrderOnceTheReorderTimeHasPassed) {
  SpanDepthsOptions options;
  options.reorder_ns = 300 * kMs;
  SpanDepths depths = Make(options);
  depths.Add(Call(in, 0, 10));
  depths.AdvanceTo(399 * kMs);
  EXPECT_TRUE(ticks.empty());
  depths.Add(Call(in, 50, 150));
  depths.AdvanceTo(400 * kMs);
  ASSERT_EQ(ticks.size(), 1u);
  EXPECT_FLOAT_EQ(static_cast<float>(*ticks[0].edges.mean(in)), 0.6f);
  depths.Add(Call(in, 20, 120));
  EXPECT_EQ(depths.stats().late, 1u);
  depths.AdvanceTo(600 * kMs);
  ASSERT_EQ(ticks.size(), 3u);
  EXPECT_FLOAT_EQ(static_cast<float>(*ticks[1].edges.mean(in)), 0.7f)
      << "what was still open counts";
}

TEST_F(SpanDepthsTest, OneWrongClockDoesNotEndAllTicks) {
  SpanDepths depths = Make();
  depths.Add(Call(in, 0, 10));
  SpanInterval wrong = Call(in, 0, 10);
  wrong.start_ns = std::int64_t{4'000'000'000} * 1'000'000'000;
  wrong.end_ns = wrong.start_ns + 1;
  depths.Add(wrong);
  depths.Add(Call(in, 200, 210));
  depths.Finish();
  ASSERT_EQ(ticks.size(), 3u);
  EXPECT_EQ(depths.stats().far_ahead, 1u);
  EXPECT_TRUE(At(2).edges.mean(in));
}

TEST_F(SpanDepthsTest, ARecordingThatPausedForDaysGoesOn) {
  SpanDepths depths = Make();
  depths.Add(Call(in, 0, 10));
  const std::int64_t days_ms = std::int64_t{3} * 24 * 3600 * 1000;
  for (int i = 0; i < 40; ++i) depths.Add(Call(in, days_ms + i * 10, days_ms + i * 10 + 5));
  depths.Finish();
  EXPECT_EQ(depths.stats().jumps, 1u);
  EXPECT_EQ(depths.stats().far_ahead, 0u);
  ASSERT_EQ(ticks.size(), 5u) << "and the ticks between are not given";
  EXPECT_EQ(ticks[1].tick, days_ms / 100);
  EXPECT_EQ(At(days_ms / 100).edges.made(in), 10u);
}

TEST_F(SpanDepthsTest, MemoryIsBoundedAndWhatIsLostIsMissing) {
  SpanDepthsOptions options;
  options.max_parts = 2000;
  SpanDepths depths = Make(options);
  const testing::Allocations allocations;
  for (int i = 0; i < 100000; ++i) depths.Add(Call(in, 0, i));
  EXPECT_LT(allocations.peak_bytes(), 2u << 20);
  EXPECT_GT(depths.stats().parts_dropped, 0u);
  depths.Finish();
  EXPECT_EQ(At(0).edges.mean(in), std::nullopt);
}

TEST_F(SpanDepthsTest, HostileTimesEndInFiniteTime) {
  SpanDepthsOptions options;
  options.period = TickPeriod::FromNs(5'000'000'000).value();
  SpanDepths depths = Make(options);
  const std::int64_t extremes[] = {INT64_MIN,
                                   INT64_MIN + 1,
                                   -(std::int64_t{1} << 61),
                                   -(std::int64_t{1} << 62),
                                   -1,
                                   0,
                                   1,
                                   kTick,
                                   std::int64_t{1} << 62,
                                   INT64_MAX};
  for (const std::int64_t start : extremes) {
    for (const std::int64_t end : extremes) {
      SpanInterval call = Call(in, 0, 0);
      call.start_ns = start;
      call.end_ns = end;
      call.work_ns = INT64_MIN;
      call.queue_known = true;
      depths.Add(call);
      call.edge = EdgeId(77777);
      call.caller = call.callee = ServiceId(88888);
      call.request_class = ClassId(99999);
      call.side = SpanSide::kServer;
      depths.Add(call);
    }
  }
  depths.AdvanceTo(INT64_MAX);
  depths.AdvanceTo(INT64_MIN);
  depths.Finish();
  EXPECT_GT(depths.stats().negative, 0u);
}

TEST_F(SpanDepthsTest, RequestsOfCenturiesHaveAMeanToo) {
  SpanDepths depths = Make();
  const Tick tick = 17'000'000'000;
  depths.StartAt(tick);
  SpanInterval served = Served(Call(in, 0, 0), 0, 0, 0);
  served.start_ns = served.work_ns = -(std::int64_t{1} << 61);
  served.end_ns = tick * kTick + 50 * kMs;
  for (int i = 0; i < 5; ++i) depths.Add(served);  // more than 64 bits of nanoseconds together
  depths.Finish();
  const auto wait_us = At(tick).services.mean_wait_us(front, Channel::kRunning);
  ASSERT_TRUE(wait_us.has_value());
  EXPECT_FLOAT_EQ(static_cast<float>(*wait_us),
                  static_cast<float>(served.end_ns - served.start_ns) / 1000);
}

TEST_F(SpanDepthsTest, SteadyTicksAllocateNothing) {
  SpanDepthsOptions options;
  options.reorder_ns = 200 * kMs;
  std::uint64_t given = 0;
  SpanDepths depths(options, &topology, [&](const ClusterTick&) { ++given; });
  const auto second = [&](std::int64_t from_ms) {
    for (int i = 0; i < 1000; i += 2) {
      depths.Add(Call(in, from_ms + i, from_ms + i + 40, from_ms + i));
      depths.Add(Call(to_left, from_ms + i + 1, from_ms + i + 20, from_ms + i));
    }
  };
  for (int i = 0; i < 3; ++i) second(i * 1000);
  const testing::Allocations allocations;
  second(3000);
  EXPECT_EQ(allocations.count(), 0u);
  EXPECT_GT(given, 30u);
}

// ---- Against the definition, computed the slow way.

struct Reference {
  double mean = 0;
  std::uint32_t depth = 0;
};

template <typename Pick>
Reference Slow(const std::vector<SpanInterval>& spans, Tick tick, const Pick& pick) {
  const std::int64_t start = tick * kTick;
  const std::int64_t end = start + kTick;
  Reference reference;
  for (const SpanInterval& span : spans) {
    if (!pick(span)) continue;
    const std::int64_t overlap = std::min(span.end_ns, end) - std::max(span.start_ns, start);
    if (overlap > 0) reference.mean += static_cast<double>(overlap) / static_cast<double>(kTick);
    if (span.start_ns < end && span.end_ns >= end) ++reference.depth;
  }
  return reference;
}

// The union of the calls of each parent, moment by moment (in ms).
Reference SlowBlocked(const std::vector<SpanInterval>& spans, Tick tick, ServiceId service) {
  std::map<std::uint64_t, std::set<std::int64_t>> moments;
  std::set<std::uint64_t> open;
  const std::int64_t end = (tick + 1) * kTick;
  for (const SpanInterval& span : spans) {
    if (span.caller != service || span.async) continue;
    for (std::int64_t t = tick * kTick; t < end; t += kMs) {
      if (t >= span.start_ns && t < span.end_ns) moments[span.parent_id].insert(t);
    }
    if (span.start_ns < end && span.end_ns >= end) open.insert(span.parent_id);
  }
  Reference reference;
  for (const auto& [parent, set] : moments) {
    reference.mean += static_cast<double>(set.size()) / 100.0;
  }
  reference.depth = static_cast<std::uint32_t>(open.size());
  return reference;
}

TEST_F(SpanDepthsTest, AgreesWithTheDefinitionWhateverTheOrder) {
  std::mt19937 random(6);
  for (int round = 0; round < 20; ++round) {
    SCOPED_TRACE(round);
    std::vector<SpanInterval> spans;
    const auto uniform = [&](std::int64_t from, std::int64_t to) {
      return std::uniform_int_distribution<std::int64_t>(from, to)(random);
    };
    for (int i = 0; i < 300; ++i) {
      const EdgeId edges[] = {in, to_left, to_right};
      const EdgeId edge = edges[uniform(0, 2)];
      const std::int64_t start = uniform(0, 2000);
      // Some end at ticks' ends, some at once, some last for many ticks.
      std::int64_t end = start + (uniform(0, 9) == 0 ? uniform(0, 3000) : uniform(0, 150));
      if (uniform(0, 4) == 0) end = (end / 100 + 1) * 100;
      SpanInterval span = Call(edge, start, end, static_cast<std::uint64_t>(uniform(1, 20)));
      span.parent_id =
          edge == in ? 0 : static_cast<std::uint64_t>(uniform(1, 30)) + 100 * span.trace.low;
      span.async = uniform(0, 9) == 0;
      if (uniform(0, 3) == 0) {
        span.side = SpanSide::kServer;
        span.caller = ServiceId();
        span.edge = EdgeId();
      }
      spans.push_back(span);
    }
    std::shuffle(spans.begin(), spans.end(), random);
    if (round % 2 == 1) {  // as they end, online
      std::stable_sort(
          spans.begin(), spans.end(),
          [](const SpanInterval& a, const SpanInterval& b) { return a.end_ns < b.end_ns; });
    }
    ticks.clear();
    SpanDepthsOptions options;
    options.reorder_ns = round % 3 == 0 ? 3000 * kMs : 5100 * kMs;
    SpanDepths depths = Make(options);
    depths.StartAt(0);
    for (const EdgeId edge : {in, to_left, to_right}) depths.CoverFrom(edge, 0);
    for (const ServiceId service : {front, left, right}) {
      depths.CoverFrom(service, SpanSide::kServer, 0);
      depths.CoverFrom(service, SpanSide::kClient, 0);
    }
    for (const SpanInterval& span : spans) depths.Add(span);
    depths.Finish();
    ASSERT_EQ(depths.stats().late, 0u);
    std::vector<SpanInterval> calls, served;
    for (const SpanInterval& span : spans) {
      (span.side == SpanSide::kServer ? served : calls).push_back(span);
    }
    for (const ClusterTick& tick : ticks) {
      SCOPED_TRACE(tick.tick);
      for (const EdgeId edge : {in, to_left, to_right}) {
        const Reference want =
            Slow(calls, tick.tick, [&](const SpanInterval& span) { return span.edge == edge; });
        ASSERT_NEAR(tick.edges.mean(edge).value(), want.mean, 1e-5);
        ASSERT_EQ(tick.edges.depth(edge).value(), want.depth);
      }
      for (const ServiceId service : {front, left, right}) {
        const Reference want = Slow(
            served, tick.tick, [&](const SpanInterval& span) { return span.callee == service; });
        ASSERT_NEAR(tick.services.mean(service, Channel::kRunning).value(), want.mean, 1e-5);
        ASSERT_EQ(tick.services.depth(service, Channel::kRunning).value(), want.depth);
        const Reference blocked = SlowBlocked(calls, tick.tick, service);
        ASSERT_NEAR(tick.services.mean(service, Channel::kBlocked).value(), blocked.mean, 1e-5);
        ASSERT_EQ(tick.services.depth(service, Channel::kBlocked).value(), blocked.depth);
      }
    }
    // What comes in and goes out is the change of the depth.
    for (std::size_t i = 1; i < ticks.size(); ++i) {
      const double before = *ticks[i - 1].services.depth(left, Channel::kRunning);
      const double after = *ticks[i].services.depth(left, Channel::kRunning);
      EXPECT_EQ(after - before,
                static_cast<double>(*ticks[i].services.arrivals(left, Channel::kRunning)) -
                    *ticks[i].services.departures(left, Channel::kRunning));
    }
  }
}

}  // namespace
}  // namespace seer
