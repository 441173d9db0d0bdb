#include "seer/window/trace_assembler.h"

#include <algorithm>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "tests/support/allocations.h"

namespace seer {
namespace {

constexpr std::int64_t kMs = 1'000'000;
constexpr ServiceId kFront(0), kLeft(1), kRight(2), kDeep(3);

SpanInterval Client(std::uint64_t id, std::uint64_t parent, ServiceId caller, ServiceId callee,
                    std::int64_t start_ms, std::int64_t end_ms) {
  SpanInterval span;
  span.trace = {1, 1};
  span.span_id = id;
  span.parent_id = parent;
  span.caller = caller;
  span.callee = callee;
  span.start_ns = start_ms * kMs;
  span.end_ns = end_ms * kMs;
  return span;
}
SpanInterval Server(std::uint64_t id, std::uint64_t parent, ServiceId callee, std::int64_t start_ms,
                    std::int64_t work_ms, std::int64_t end_ms) {
  SpanInterval span = Client(id, parent, ServiceId(), callee, start_ms, end_ms);
  span.side = SpanSide::kServer;
  span.work_ns = work_ms * kMs;
  span.queue_known = true;
  span.root = parent == 0;
  if (span.root) span.request_class = ClassId(3);
  return span;
}
RequestTrace Assemble(const std::vector<SpanInterval>& spans) {
  RequestTrace trace;
  AssembleTrace(spans, &trace);
  return trace;
}
const Hop& HopOf(const RequestTrace& trace, ServiceId callee) {
  for (const Hop& hop : trace.hops) {
    if (hop.callee == callee) return hop;
  }
  ADD_FAILURE() << "no hop";
  static const Hop none;
  return none;
}

// front waits 2, works; calls left (10 to 30), then right (32 to 90) which calls deep (50 to 80).
std::vector<SpanInterval> Sequence() {
  return {Server(1, 0, kFront, 0, 2, 100),  Client(2, 1, kFront, kLeft, 10, 30),
          Server(3, 2, kLeft, 11, 15, 29),  Client(4, 1, kFront, kRight, 32, 90),
          Server(5, 4, kRight, 33, 33, 89), Client(6, 5, kRight, kDeep, 50, 80),
          Server(7, 6, kDeep, 52, 60, 78)};
}

TEST(AssembleTrace, TellsWaitingFromWorkingOfEachHop) {
  const RequestTrace trace = Assemble(Sequence());
  ASSERT_EQ(trace.hops.size(), 4u);
  EXPECT_FALSE(trace.incomplete);
  EXPECT_EQ(trace.request_class, ClassId(3));
  EXPECT_EQ(trace.latency_ns(), 100 * kMs);
  EXPECT_EQ(trace.hops[0].callee, kFront);
  EXPECT_EQ(trace.hops[0].parent, Hop::kNoParent);
  EXPECT_EQ(trace.hops[0].queue_ns, 2 * kMs);
  EXPECT_EQ(trace.hops[0].own_ns, (98 - 20 - 58) * kMs);
  const Hop& left = HopOf(trace, kLeft);
  EXPECT_EQ(left.caller, kFront);
  EXPECT_TRUE(left.has_client && left.has_server);
  EXPECT_EQ(left.queue_ns, (20 - 14) * kMs) << "both ways of the network, and the queue";
  EXPECT_EQ(left.own_ns, 14 * kMs);
  const Hop& deep = HopOf(trace, kDeep);
  EXPECT_EQ(trace.hops[static_cast<std::size_t>(deep.parent)].callee, kRight);
  EXPECT_EQ(deep.queue_ns, (30 - 18) * kMs);
  // All in sequence: all of it is critical.
  for (const Hop& hop : trace.hops) {
    EXPECT_EQ(hop.critical_own_ns, hop.own_ns);
    EXPECT_EQ(hop.critical_queue_ns, hop.queue_ns);
  }
}

TEST(AssembleTrace, OfCallsInParallelTheLastIsCritical) {
  const RequestTrace trace =
      Assemble({Server(1, 0, kFront, 0, 0, 100), Client(2, 1, kFront, kLeft, 10, 60),
                Client(3, 1, kFront, kRight, 12, 90)});
  EXPECT_EQ(HopOf(trace, kLeft).critical_own_ns, 0);
  EXPECT_EQ(HopOf(trace, kLeft).own_ns, 50 * kMs);
  EXPECT_EQ(HopOf(trace, kRight).critical_own_ns, 78 * kMs);
  EXPECT_EQ(trace.hops[0].critical_own_ns, 22 * kMs);
  EXPECT_EQ(trace.hops[0].own_ns, 20 * kMs);
}

TEST(AssembleTrace, AsynchronousCallsAreNotCritical) {
  std::vector<SpanInterval> spans = {Server(1, 0, kFront, 0, 0, 100),
                                     Client(2, 1, kFront, kLeft, 10, 300)};
  spans[1].async = true;
  const RequestTrace trace = Assemble(spans);
  EXPECT_EQ(trace.latency_ns(), 100 * kMs);
  EXPECT_EQ(trace.hops[0].critical_own_ns, 100 * kMs);
  EXPECT_EQ(trace.hops[1].critical_own_ns, 0);
  EXPECT_TRUE(trace.hops[1].async);
}

TEST(AssembleTrace, RetriesAreHopsEach) {
  std::vector<SpanInterval> spans = {Server(1, 0, kFront, 0, 0, 100)};
  for (std::uint64_t i = 0; i < 3; ++i) {
    spans.push_back(Client(10 + i, 1, kFront, kLeft, 5 + 30 * static_cast<std::int64_t>(i),
                           30 + 30 * static_cast<std::int64_t>(i)));
    spans.back().outcome = i < 2 ? Outcome::kTimedOut : Outcome::kOk;
  }
  const RequestTrace trace = Assemble(spans);
  ASSERT_EQ(trace.hops.size(), 4u);
  std::int64_t critical = 0;
  for (const Hop& hop : trace.hops) critical += hop.callee == kLeft ? hop.critical_own_ns : 0;
  EXPECT_EQ(critical, 75 * kMs);
  EXPECT_EQ(trace.hops[1].outcome, Outcome::kTimedOut);
}

TEST(AssembleTrace, ZipkinsSidesShareAnId) {
  const RequestTrace trace =
      Assemble({Server(1, 0, kFront, 0, 0, 100), Client(2, 1, kFront, kLeft, 10, 60),
                Server(2, 1, kLeft, 20, 20, 50)});
  ASSERT_EQ(trace.hops.size(), 2u);
  EXPECT_TRUE(trace.hops[1].has_client && trace.hops[1].has_server);
  EXPECT_EQ(trace.hops[1].own_ns, 30 * kMs);
}

TEST(AssembleTrace, WithoutIdsCallsNestByTime) {
  std::vector<SpanInterval> spans;
  for (SpanInterval span : Sequence()) {
    if (span.side == SpanSide::kServer && !span.root) continue;
    span.span_id = span.parent_id = 0;
    spans.push_back(span);
  }
  spans[0].side = SpanSide::kClient;
  const RequestTrace trace = Assemble(spans);
  ASSERT_EQ(trace.hops.size(), 4u);
  EXPECT_FALSE(trace.incomplete);
  EXPECT_EQ(trace.hops[static_cast<std::size_t>(HopOf(trace, kDeep).parent)].callee, kRight);
  EXPECT_FALSE(HopOf(trace, kDeep).adopted);
}

TEST(AssembleTrace, ASpanWhoseParentIsMissingIsAdopted) {
  std::vector<SpanInterval> spans = Sequence();
  spans.erase(spans.begin() + 4);  // right's own span: deep's call names it as its parent
  const RequestTrace trace = Assemble(spans);
  ASSERT_EQ(trace.hops.size(), 4u);
  EXPECT_TRUE(trace.incomplete);
  const Hop& deep = HopOf(trace, kDeep);
  EXPECT_TRUE(deep.adopted);
  EXPECT_EQ(trace.hops[static_cast<std::size_t>(deep.parent)].callee, kRight)
      << "the call into its caller that contains it";
  EXPECT_EQ(HopOf(trace, kRight).own_ns, 28 * kMs);
}

TEST(AssembleTrace, WithoutARootItIsIncomplete) {
  std::vector<SpanInterval> spans = Sequence();
  spans.erase(spans.begin());
  const RequestTrace trace = Assemble(spans);
  EXPECT_TRUE(trace.incomplete);
  EXPECT_EQ(trace.hops.size(), 3u);
  EXPECT_TRUE(Assemble({}).incomplete);
}

TEST(AssembleTrace, ParentsInACircleEndSomewhere) {
  const RequestTrace trace =
      Assemble({Server(1, 0, kFront, 0, 0, 100), Client(2, 3, kLeft, kRight, 10, 20),
                Client(3, 2, kRight, kLeft, 12, 18), Client(4, 4, kLeft, kLeft, 30, 40)});
  EXPECT_EQ(trace.hops.size(), 4u);
  EXPECT_TRUE(trace.incomplete);
}

TEST(AssembleTrace, WhateverComesItsPartsSumUpToItsLatency) {
  std::mt19937 random(4);
  const auto any_service = [&] { return ServiceId(static_cast<std::uint32_t>(random() % 4)); };
  for (int round = 0; round < 2000; ++round) {
    SCOPED_TRACE(round);
    std::vector<SpanInterval> spans;
    const int count = 1 + static_cast<int>(random() % 30);
    for (int i = 0; i < count; ++i) {
      const auto start = static_cast<std::int64_t>(random() % 100);
      const auto length = static_cast<std::int64_t>(random() % 100);
      // Ids that are missing, twice, or make circles.
      const std::uint64_t id = random() % 40, parent = random() % 40;
      if (random() % 2 == 0) {
        spans.push_back(Client(id, parent, any_service(), any_service(), start, start + length));
        spans.back().async = random() % 8 == 0;
      } else {
        spans.push_back(Server(id, parent, any_service(), start,
                               start + static_cast<std::int64_t>(random() % 120), start + length));
      }
    }
    const RequestTrace trace = Assemble(spans);
    std::int64_t sum = 0;
    for (std::size_t i = 0; i < trace.hops.size(); ++i) {
      const Hop& hop = trace.hops[i];
      ASSERT_EQ(hop.parent == Hop::kNoParent, i == 0);
      ASSERT_LT(hop.parent, static_cast<std::int32_t>(i));
      ASSERT_GE(hop.own_ns, 0);
      ASSERT_GE(hop.queue_ns, 0);
      ASSERT_GE(hop.critical_own_ns, 0);
      ASSERT_GE(hop.critical_queue_ns, 0);
      sum += hop.critical_own_ns + hop.critical_queue_ns;
    }
    if (!trace.hops.empty()) {
      ASSERT_EQ(sum, trace.latency_ns());
    }
  }
}

class TraceAssemblerTest : public ::testing::Test {
 protected:
  TraceAssembler Make(TraceAssemblerOptions options = {}) {
    return TraceAssembler(options, [this](const RequestTrace& trace) { traces.push_back(trace); });
  }
  static SpanInterval Of(SpanInterval span, std::uint64_t trace, std::int64_t later_ms = 0) {
    span.trace.low = trace;
    span.start_ns += later_ms * kMs;
    span.work_ns += later_ms * kMs;
    span.end_ns += later_ms * kMs;
    return span;
  }
  std::vector<RequestTrace> traces;
};

TEST_F(TraceAssemblerTest, GivesATraceWhenNothingMoreCame) {
  TraceAssembler assembler = Make();
  std::vector<SpanInterval> spans = Sequence();
  std::reverse(spans.begin(), spans.end());
  for (const SpanInterval& span : spans) assembler.Add(span);
  assembler.AdvanceTo(2000 * kMs);
  EXPECT_TRUE(traces.empty());
  assembler.AdvanceTo(4200 * kMs);
  ASSERT_EQ(traces.size(), 1u);
  EXPECT_EQ(traces[0].hops.size(), 4u);
  EXPECT_FALSE(traces[0].incomplete);
}

TEST_F(TraceAssemblerTest, CountsDuplicatesAndStrangers) {
  TraceAssembler assembler = Make();
  for (const SpanInterval& span : Sequence()) {
    assembler.Add(span);
    assembler.Add(span);
  }
  SpanInterval bad = Sequence()[0];
  bad.trace = {};
  assembler.Add(bad);
  bad = Sequence()[0];
  bad.end_ns = -1;
  assembler.Add(bad);
  assembler.Finish();
  EXPECT_EQ(assembler.stats().duplicates, 7u);
  EXPECT_EQ(assembler.stats().without_trace, 1u);
  EXPECT_EQ(assembler.stats().negative, 1u);
  ASSERT_EQ(traces.size(), 1u);
  EXPECT_EQ(traces[0].hops.size(), 4u);
}

TEST_F(TraceAssemblerTest, MemoryIsBounded) {
  TraceAssemblerOptions options;
  options.max_spans = 1000;
  options.max_spans_per_trace = 10;
  TraceAssembler assembler = Make(options);
  std::uint64_t given = 0;
  assembler = TraceAssembler(options, [&](const RequestTrace& trace) {
    ++given;
    ASSERT_LE(trace.hops.size(), 10u);
  });
  const testing::Allocations allocations;
  for (std::uint64_t i = 1; i < 50000; ++i) assembler.Add(Of(Server(i, 0, kFront, 0, 0, 1), i));
  for (std::uint64_t i = 1; i < 50000; ++i) assembler.Add(Of(Server(i, 0, kFront, 0, 0, 1), 7));
  EXPECT_LT(allocations.peak_bytes(), 4u << 20);
  EXPECT_GT(assembler.stats().evicted, 40000u);
  EXPECT_GT(assembler.stats().over_limit, 40000u);
  assembler.Finish();
  EXPECT_EQ(given, assembler.stats().traces);
}

// Trace ids come with the requests, from anybody. These fell on one place of a table once, and each
// span then cost a look at all traces: this would take minutes.
TEST_F(TraceAssemblerTest, WhoChoosesTraceIdsCannotMakeThemCollide) {
  constexpr std::uint64_t kMany = 100'000;
  TraceAssembler assembler = Make({});
  for (std::uint64_t high = 0; high < kMany; ++high) {
    SpanInterval span = Server(1, 0, kFront, 0, 1, 2);
    span.trace = {high, (high >> 17) ^ (high << 47) ^ 0x123456789abcdef0u};
    assembler.Add(span);
  }
  assembler.Finish();
  EXPECT_EQ(traces.size(), kMany);
}

TEST_F(TraceAssemblerTest, IncompleteTracesAreLeftOutWhenAsked) {
  TraceAssemblerOptions options;
  options.give_incomplete = false;
  TraceAssembler assembler = Make(options);
  assembler.Add(Client(6, 5, kRight, kDeep, 50, 80));
  assembler.Finish();
  EXPECT_TRUE(traces.empty());
  EXPECT_EQ(assembler.stats().incomplete, 1u);
}

TEST_F(TraceAssemblerTest, OneWrongClockDoesNotEndAllTraces) {
  TraceAssembler assembler = Make();
  std::vector<SpanInterval> spans = Sequence();
  assembler.Add(spans[0]);
  assembler.Add(Of(Server(99, 0, kFront, 0, 0, 1), 2, std::int64_t{1} << 40));
  for (std::size_t i = 1; i < spans.size(); ++i) assembler.Add(spans[i]);
  assembler.Finish();
  ASSERT_EQ(traces.size(), 2u);
  EXPECT_FALSE(traces[0].incomplete);
}

TEST_F(TraceAssemblerTest, NorDoesAWrongClockThatIsTheFirst) {
  TraceAssembler assembler = Make();
  assembler.Add(Of(Server(99, 0, kFront, 0, 0, 1), 1000, std::int64_t{1} << 40));
  for (std::uint64_t trace = 0; trace < 200; ++trace) {
    for (const SpanInterval& span : Sequence()) {
      assembler.Add(Of(span, trace, 100 * static_cast<std::int64_t>(trace)));
    }
  }
  EXPECT_GT(traces.size(), 150u) << "as their time passes, not at the end";
  assembler.Finish();
  EXPECT_EQ(assembler.stats().evicted, 0u);
  EXPECT_LE(assembler.stats().incomplete, 2u) << "both halves of one that was on its way";
}

TEST_F(TraceAssemblerTest, SkewedClocksAreToldAndCorrected) {
  for (const bool correct : {false, true}) {
    SCOPED_TRACE(correct);
    traces.clear();
    TraceAssemblerOptions options;
    options.correct_skew = correct;
    TraceAssembler assembler = Make(options);
    constexpr std::int64_t kAhead = 500 * kMs;
    std::mt19937 random(1);
    for (std::uint64_t i = 1; i <= 400; ++i) {
      // Network times vary: now and then one way is fast, which bounds the skew.
      const auto there = static_cast<std::int64_t>(random() % 10 + 1);
      const auto back = static_cast<std::int64_t>(random() % 10 + 1);
      std::vector<SpanInterval> spans = {Server(1, 0, kFront, 0, 0, 100),
                                         Client(2, 1, kFront, kLeft, 10, 60),
                                         Server(3, 2, kLeft, 10 + there, 10 + there, 60 - back)};
      spans[0].host = spans[1].host = NodeId(0);
      spans[2].host = NodeId(1);
      spans[2].start_ns += kAhead;
      spans[2].work_ns += kAhead;
      spans[2].end_ns += kAhead;
      for (const SpanInterval& span : spans) {
        assembler.Add(Of(span, i, static_cast<std::int64_t>(i) * 50));
      }
    }
    assembler.Finish();
    const auto skews = assembler.Skews();
    ASSERT_EQ(skews.size(), 1u);
    EXPECT_EQ(skews[0].client, NodeId(0));
    EXPECT_EQ(skews[0].server, NodeId(1));
    EXPECT_EQ(skews[0].calls, 400u);
    EXPECT_LE(std::abs(skews[0].ahead_ns - kAhead), skews[0].error_ns);
    EXPECT_LE(skews[0].error_ns, 2 * kMs);
    const Hop& hop = HopOf(traces.back(), kLeft);
    if (correct) {
      EXPECT_GE(hop.server_start_ns, hop.client_start_ns);
      EXPECT_LE(hop.server_end_ns, hop.client_end_ns);
    } else {
      EXPECT_GT(hop.server_start_ns, hop.client_end_ns);
    }
    std::int64_t sum = 0;
    for (const Hop& each : traces.back().hops) {
      sum += each.critical_own_ns + each.critical_queue_ns;
    }
    EXPECT_EQ(sum, 100 * kMs) << "times of one host are only compared with each other";
  }
}

TEST_F(TraceAssemblerTest, HostileTimesDoNoHarm) {
  TraceAssemblerOptions options;
  options.correct_skew = true;
  TraceAssembler assembler = Make(options);
  const std::int64_t extremes[] = {INT64_MIN, -(std::int64_t{1} << 61), 0,
                                   1,         std::int64_t{1} << 61,    INT64_MAX};
  std::uint64_t id = 1;
  for (const std::int64_t start : extremes) {
    for (const std::int64_t end : extremes) {
      for (const SpanSide side : {SpanSide::kClient, SpanSide::kServer}) {
        SpanInterval span = Client(id, id / 2, kFront, kLeft, 0, 0);
        span.side = side;
        span.host = NodeId(static_cast<std::uint32_t>(id % 3));
        span.start_ns = start;
        span.end_ns = end;
        span.work_ns = extremes[id % 6];
        span.queue_known = true;
        assembler.Add(span);
        ++id;
      }
    }
  }
  assembler.AdvanceTo(INT64_MAX);
  assembler.Finish();
  EXPECT_EQ(traces.size(), assembler.stats().traces);
  EXPECT_GT(assembler.stats().negative, 0u);
}

TEST(TraceAssembler, GivesATraceSoLongAfterItsLastSpanAndNotLater) {
  std::vector<std::int64_t> given;
  std::int64_t now_ms = 0;
  TraceAssembler assembler(TraceAssemblerOptions(),
                           [&](const RequestTrace&) { given.push_back(now_ms); });
  // Its spans end at 20 ms and at 1.5 s; it lingers for 2 s.
  assembler.Add(Client(2, 1, kFront, kLeft, 10, 20));
  assembler.Add(Server(1, 0, kFront, 0, 2, 1500));
  for (now_ms = 1600; now_ms < 6000; now_ms += 100) assembler.AdvanceTo(now_ms * kMs);
  EXPECT_EQ(given, std::vector<std::int64_t>{3600});
}

}  // namespace
}  // namespace seer
