#include "seer/trace/recorder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "seer/core/tsc_clock.h"
#include "seer/trace/drainer.h"
#include "tests/queue/sandbox.h"
#include "tests/support/allocations.h"
#include "tests/trace/recording.h"

namespace seer {
namespace {

using testing::AllSpans;
using testing::CheckedSpan;
using ::testing::HasSubstr;
using testing::InChild;
using testing::LayoutOf;
using testing::MakeDrainer;
using testing::MakeRecorder;
using testing::RingOf;
using testing::ScratchDirectory;
using WhenFull = RecorderOptions::WhenFull;

std::vector<Span> Drained(const SpanRecorder& recorder) {
  const auto sink = std::make_shared<MemorySink>();
  EXPECT_TRUE(MakeDrainer(recorder, sink)->Drain().ok());
  return AllSpans(*sink);
}

TEST(SpanRecorder, OptionsOutOfRangeAreNamed) {
  struct Case {
    const char* field;
    void (*set)(RecorderOptions&);
  };
  for (const Case& c : {
           Case{"records_per_thread", [](RecorderOptions& o) { o.records_per_thread = 0; }},
           Case{"records_per_thread", [](RecorderOptions& o) { o.records_per_thread = 1; }},
           Case{"records_per_thread", [](RecorderOptions& o) { o.records_per_thread = 4095; }},
           Case{"records_per_thread", [](RecorderOptions& o) { o.records_per_thread = 1 << 21; }},
           Case{"records_per_thread",
                [](RecorderOptions& o) {
                  o.records_per_thread = 1 << 20;
                  o.max_threads = 4096;
                }},
           Case{"max_threads", [](RecorderOptions& o) { o.max_threads = 0; }},
           Case{"max_threads", [](RecorderOptions& o) { o.max_threads = 4097; }},
           Case{"max_methods", [](RecorderOptions& o) { o.max_methods = 0; }},
           Case{"max_edges", [](RecorderOptions& o) { o.max_edges = 65537; }},
           Case{"max_services", [](RecorderOptions& o) { o.max_services = 65536; }},
           Case{"instance", [](RecorderOptions& o) { o.instance = "a\nb"; }},
       }) {
    SCOPED_TRACE(c.field);
    RecorderOptions options;
    c.set(options);
    const absl::Status status = SpanRecorder::Create(options).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.field));
  }
}

TEST(SpanRecorder, NamesAreOfTheLengthThatTheTablesHold) {
  const auto recorder = MakeRecorder(2);
  EXPECT_TRUE(recorder->AddServed(std::string(63, 's'), std::string(124, 'm')).ok());
  EXPECT_TRUE(recorder->AddCalled("a", std::string(63, 'c'), std::string(124, 'm')).ok());
  for (const std::string& bad : {std::string(), std::string(64, 's'), std::string("a\x1f")}) {
    EXPECT_TRUE(absl::IsInvalidArgument(recorder->AddServed(bad, "m").status())) << bad;
    EXPECT_TRUE(absl::IsInvalidArgument(recorder->AddCalled(bad, "b", "m").status())) << bad;
    EXPECT_TRUE(absl::IsInvalidArgument(recorder->AddCalled("a", bad, "m").status())) << bad;
  }
  for (const std::string& bad : {std::string(), std::string(125, 'm'), std::string("m\x7f")}) {
    EXPECT_TRUE(absl::IsInvalidArgument(recorder->AddServed("a", bad).status())) << bad;
    EXPECT_TRUE(absl::IsInvalidArgument(recorder->AddCalled("a", "b", bad).status())) << bad;
  }
}

TEST(SpanRecorder, AFullTableNamesTheOption) {
  RecorderOptions options;
  options.max_services = 2;
  options.max_methods = 2;
  options.max_edges = 1;
  const auto recorder = *SpanRecorder::Create(options);
  ASSERT_TRUE(recorder->AddServed("a", "m").ok());
  ASSERT_TRUE(recorder->AddCalled("a", "b", "m").ok());
  // The same once more takes no room.
  ASSERT_TRUE(recorder->AddServed("a", "m").ok());
  ASSERT_TRUE(recorder->AddCalled("a", "b", "m").ok());
  const auto message = [](const absl::Status& status) {
    EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
    return std::string(status.message());
  };
  EXPECT_THAT(message(recorder->AddServed("c", "m").status()), HasSubstr("max_services"));
  EXPECT_THAT(message(recorder->AddServed("a", "n").status()), HasSubstr("max_methods"));
  EXPECT_THAT(message(recorder->AddCalled("b", "a", "m").status()), HasSubstr("max_edges"));
}

TEST(SpanRecorder, ASpanIsReadAsItWasTaken) {
  const auto recorder = MakeRecorder(16);
  const ServedMethod served = *recorder->AddServed("cart", "GetCart");
  const CalledMethod called = *recorder->AddCalled("cart", "user", "FindUser");
  const TraceContext caller = NewRoot();
  TscClock clock;
  const std::int64_t before = clock.NowNs();
  std::uint64_t server_id = 0;
  {
    ServerSpan span(served, caller);
    server_id = span.span_id();
    span.Dequeued();
    ContextScope scope(span.ContextUnder(caller));
    EXPECT_EQ(CurrentContext().trace_id, caller.trace_id);
    EXPECT_EQ(CurrentContext().span_id, server_id);
    EXPECT_EQ(CurrentContext().flags, caller.flags);
    span.HandlerStart();
    ClientSpan call(called, CurrentContext());
    call.RequestSent();
    call.FirstByte();
    call.End(Outcome::kTimedOut);
    span.HandlerEnd();
    span.End(Outcome::kOk);
    span.End(Outcome::kFailed);  // does nothing
  }
  const std::int64_t after = clock.NowNs();

  const auto sink = std::make_shared<MemorySink>();
  const auto drainer = MakeDrainer(*recorder, sink);
  ASSERT_TRUE(drainer->Drain().ok());
  const std::vector<Span> spans = AllSpans(*sink);
  const Topology& t = drainer->topology();
  ASSERT_EQ(spans.size(), 2u);
  const Span& client = spans[0];
  const Span& server = spans[1];
  EXPECT_EQ(server.trace_id(), caller.trace_id);
  EXPECT_EQ(server.span_id(), server_id);
  EXPECT_EQ(server.parent_id(), caller.span_id);
  EXPECT_EQ(server.outcome(), Outcome::kOk);
  EXPECT_EQ(server.side(), SpanSide::kServer);
  EXPECT_EQ(t.method(server.method()).name, "GetCart");
  EXPECT_FALSE(server.edge().valid());
  EXPECT_EQ(client.trace_id(), caller.trace_id);
  EXPECT_EQ(client.parent_id(), server_id);
  EXPECT_EQ(client.outcome(), Outcome::kTimedOut);
  EXPECT_EQ(client.side(), SpanSide::kClient);
  EXPECT_EQ(t.method(client.method()).name, "FindUser");
  EXPECT_EQ(t.service(t.edge(client.edge()).caller).name, "cart");
  EXPECT_EQ(t.service(t.edge(client.edge()).callee).name, "user");
  std::int64_t last = before - 1'000'000;  // two clocks, calibrated apart
  for (std::size_t i = 0; i < 5; ++i) {
    ASSERT_TRUE(server.stamp(i).has_value()) << i;
    EXPECT_GE(*server.stamp(i), last);
    last = *server.stamp(i);
  }
  EXPECT_LE(last, after + 1'000'000);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_TRUE(client.stamp(i).has_value()) << i;
  EXPECT_GE(client.start_ns(), *server.stamp(ServerStamp::kHandlerStart));
  EXPECT_LE(*client.stamp(ClientStamp::kCallEnd), *server.stamp(ServerStamp::kHandlerEnd));
}

TEST(SpanRecorder, WithoutACallerATraceBegins) {
  const auto recorder = MakeRecorder(16);
  const ServedMethod served = *recorder->AddServed("cart", "GetCart");
  ServerSpan span(served, TraceContext());
  const TraceContext own = span.ContextUnder(TraceContext());
  EXPECT_TRUE(own.valid());
  EXPECT_TRUE(own.sampled());
  span.End(Outcome::kOk);
  const std::vector<Span> spans = Drained(*recorder);
  ASSERT_EQ(spans.size(), 1u);
  EXPECT_EQ(spans[0].trace_id(), own.trace_id);
  EXPECT_EQ(spans[0].parent_id(), 0u);
}

TEST(SpanRecorder, AHandlerThatThrowsFailed) {
  const auto recorder = MakeRecorder(16);
  const ServedMethod served = *recorder->AddServed("cart", "GetCart");
  try {
    ServerSpan span(served, NewRoot());
    throw std::runtime_error("no");
  } catch (const std::runtime_error&) {
  }
  const std::vector<Span> spans = Drained(*recorder);
  ASSERT_EQ(spans.size(), 1u);
  EXPECT_EQ(spans[0].outcome(), Outcome::kFailed);
  EXPECT_FALSE(spans[0].stamp(ServerStamp::kReplySent).has_value());
}

TEST(SpanRecorder, ASpanTravelsWithItsRequestAndIsRecordedOnce) {
  const auto recorder = MakeRecorder(16);
  const ServedMethod served = *recorder->AddServed("cart", "GetCart");
  std::optional<ServerSpan> handed_over;
  {
    ServerSpan received(served, NewRoot());
    handed_over.emplace(std::move(received));
    received.End(Outcome::kFailed);  // NOLINT(bugprone-use-after-move): does nothing
  }
  std::thread([&] {
    ServerSpan span(std::move(*handed_over));
    span.Dequeued();
    span.End(Outcome::kOk);
  }).join();
  handed_over.reset();
  const std::vector<Span> spans = Drained(*recorder);
  ASSERT_EQ(spans.size(), 1u);
  EXPECT_EQ(spans[0].outcome(), Outcome::kOk);
  EXPECT_TRUE(spans[0].StampsAreOrdered());
}

TEST(SpanRecorder, AnEventAtTheStartTellsOfARequestThatHasNotFinished) {
  const auto recorder = MakeRecorder(16);
  const ServedMethod served = *recorder->AddServed("cart", "GetCart");
  ServerSpan span(served, NewRoot());
  span.Recorded();
  std::vector<Span> spans = Drained(*recorder);
  ASSERT_EQ(spans.size(), 1u);
  EXPECT_EQ(spans[0].outcome(), Outcome::kUnknown);
  EXPECT_EQ(spans[0].span_id(), span.span_id());
  span.End(Outcome::kOk);
  span.Recorded();  // it is over: does nothing
  spans = Drained(*recorder);
  ASSERT_EQ(spans.size(), 1u);
  EXPECT_EQ(spans[0].outcome(), Outcome::kOk);
  EXPECT_EQ(spans[0].span_id(), span.span_id());
}

TEST(SpanRecorder, HoursAndStampsThatGoBackAreKeptInOrder) {
  const auto recorder = MakeRecorder(64);
  const ServedMethod served = *recorder->AddServed("cart", "GetCart");
  const TscClock clock;
  const std::uint64_t now = clock.Stamp();
  const std::int64_t second = clock.ToUnixNs(now + 1'000'000'000) - clock.ToUnixNs(now);
  struct Case {
    std::int64_t at[5];  // stamps after `now`; 0: not known
    double expected[5];  // the same as they are read: since the first
    double within;       // stamps
  };
  constexpr std::int64_t kG = 1'000'000'000;
  for (const Case& c : {
           Case{{1, 2, 3, 4, 5}, {0, 1, 2, 3, 4}, 12},
           Case{{1, 0, 0, 0, 5000}, {0, 0, 0, 0, 4999}, 12},
           Case{{0, 0, 7, 0, 5007}, {0, 0, 0, 0, 5000}, 12},
           // An hour and more, at 1 and at 4 GHz.
           Case{{1, 2, 3600 * kG, 0, 3600 * kG + kG}, {0, 0, 3600e9, 0, 3601e9}, 5e3},
           Case{{1, 0, 0, 4 * 3600 * kG, 0}, {0, 0, 0, 4 * 3600e9, 0}, 1e4},
           // At most 2^47 units.
           Case{{1, 0, 0, 0, std::int64_t{1} << 60}, {0, 0, 0, 0, 140737488322560.0}, 1e5},
           // An unfenced stamp of a core that is behind.
           Case{{1000, 400, 2000, 1900, 3000}, {0, 0, 1000, 1000, 2000}, 12},
           Case{{10 * kG, 1, 20 * kG, 0, 0}, {0, 0, 10e9, 0, 0}, 12},
       }) {
    SCOPED_TRACE(c.at[4]);
    RawSpan raw;
    raw.trace_id = {1, 2};
    raw.span_id = 3;
    for (std::size_t i = 0; i < 5; ++i) {
      if (c.at[i] != 0) raw.Set(i, now + static_cast<std::uint64_t>(c.at[i]));
    }
    served.Record(raw);
    const std::vector<Span> spans = Drained(*recorder);
    ASSERT_EQ(spans.size(), 1u);
    EXPECT_TRUE(spans[0].StampsAreOrdered());
    const double ns_per_stamp = static_cast<double>(second) / 1e9;
    for (std::size_t i = 0; i < 5; ++i) {
      SCOPED_TRACE(i);
      ASSERT_EQ(spans[0].stamp(i).has_value(), c.at[i] != 0);
      if (c.at[i] == 0) continue;
      const auto since = static_cast<double>(*spans[0].stamp(i) - spans[0].start_ns());
      // The two clocks were calibrated apart, for 2 ms each; and ns are coarser than stamps.
      EXPECT_NEAR(since / ns_per_stamp, c.expected[i], c.within + c.expected[i] * 1e-3);
    }
  }
}

TEST(SpanRecorder, AFullRingDropsTheNewestAndCounts) {
  const auto recorder = MakeRecorder(8);
  const ServedMethod served = *recorder->AddServed("cart", "GetCart");
  const auto sink = std::make_shared<MemorySink>();
  const auto drainer = MakeDrainer(*recorder, sink);
  struct Case {
    int spans;
    std::size_t kept;
    std::uint64_t dropped;
  };
  for (const Case& c :
       {Case{0, 0, 0}, Case{8, 8, 0}, Case{11, 8, 3}, Case{3, 3, 0}, Case{9, 8, 1}}) {
    SCOPED_TRACE(c.spans);
    const std::uint64_t before = drainer->counts().dropped;
    for (int i = 0; i < c.spans; ++i) {
      served.Record(CheckedSpan(1, static_cast<std::uint64_t>(i), served.Stamp()));
    }
    ASSERT_TRUE(drainer->Drain().ok());
    const std::vector<Span> spans = AllSpans(*sink);
    ASSERT_EQ(spans.size(), c.kept);
    for (std::size_t i = 0; i < spans.size(); ++i) EXPECT_EQ(spans[i].span_id() & 0xff, i);
    EXPECT_EQ(drainer->counts().dropped - before, c.dropped);
  }
}

TEST(SpanRecorder, AFlightRecorderKeepsTheLatest) {
  const auto recorder = MakeRecorder(8, 1, WhenFull::kKeepLatest);
  const ServedMethod served = *recorder->AddServed("cart", "GetCart");
  const auto sink = std::make_shared<MemorySink>();
  const auto drainer = MakeDrainer(*recorder, sink);
  for (std::uint64_t i = 0; i < 100; ++i) served.Record(CheckedSpan(1, i, served.Stamp()));
  ASSERT_TRUE(drainer->Drain().ok());
  std::vector<Span> spans = AllSpans(*sink);
  ASSERT_EQ(spans.size(), 8u);
  for (std::size_t i = 0; i < 8; ++i) EXPECT_EQ(spans[i].span_id() & 0xff, 92 + i);
  EXPECT_EQ(drainer->counts().dropped, 92u);
  for (std::uint64_t i = 100; i < 105; ++i) served.Record(CheckedSpan(1, i, served.Stamp()));
  ASSERT_TRUE(drainer->Drain().ok());
  EXPECT_EQ(AllSpans(*sink).size(), 5u);
  EXPECT_EQ(drainer->counts().dropped, 92u);
}

TEST(SpanRecorder, NumbersOfRecordsWrap) {
  for (const WhenFull when_full : {WhenFull::kDropNewest, WhenFull::kKeepLatest}) {
    const auto recorder = MakeRecorder(8, 1, when_full);
    const ServedMethod served = *recorder->AddServed("cart", "GetCart");
    const auto sink = std::make_shared<MemorySink>();
    const auto drainer = MakeDrainer(*recorder, sink);
    std::thread([&] { served.Record(CheckedSpan(1, 0, served.Stamp())); }).join();
    ASSERT_TRUE(drainer->Drain().ok());
    AllSpans(*sink);
    seer_ring* const ring = RingOf(*recorder, 1);
    const std::uint64_t start = ~std::uint64_t{0} - 2;  // 2^64 - 3
    ring->written = ring->started = ring->drained = ring->room_until = start;
    for (std::uint64_t i = 0; i < 11; ++i) served.Record(CheckedSpan(1, i, served.Stamp()));
    ASSERT_TRUE(drainer->Drain().ok());
    const std::vector<Span> spans = AllSpans(*sink);
    ASSERT_EQ(spans.size(), 8u);
    EXPECT_EQ(spans[0].span_id() & 0xff, when_full == WhenFull::kDropNewest ? 0u : 3u);
    EXPECT_EQ(drainer->counts().dropped, 3u);
    EXPECT_EQ(ring->written, when_full == WhenFull::kDropNewest ? 5u : 8u);
  }
}

TEST(SpanRecorder, AThreadThatDiesLeavesItsSpansAndTheNextGoesOnBehind) {
  const auto recorder = MakeRecorder(64, 1);
  const ServedMethod served = *recorder->AddServed("cart", "GetCart");
  for (std::uint64_t i = 0; i < 10; ++i) {
    std::thread([&] { served.Record(CheckedSpan(1, i, served.Stamp())); }).join();
  }
  const std::vector<Span> spans = Drained(*recorder);
  ASSERT_EQ(spans.size(), 10u);
  for (std::size_t i = 0; i < 10; ++i) EXPECT_EQ(spans[i].span_id() & 0xff, i);
  EXPECT_EQ(LayoutOf(*recorder).rings_used, 1u);
}

TEST(SpanRecorder, AThreadWithoutARingDropsAndCounts) {
  const auto recorder = MakeRecorder(64, 1);
  const ServedMethod served = *recorder->AddServed("cart", "GetCart");
  const auto sink = std::make_shared<MemorySink>();
  const auto drainer = MakeDrainer(*recorder, sink);
  served.Record(CheckedSpan(1, 0, served.Stamp()));
  std::thread([&] {
    for (int i = 0; i < 7; ++i) served.Record(CheckedSpan(2, 0, served.Stamp()));
  }).join();
  ASSERT_TRUE(drainer->Drain().ok());
  EXPECT_EQ(drainer->counts().dropped, 7u);
  const std::vector<SpanBatch> batches = sink->Take();
  ASSERT_EQ(batches.size(), 1u);
  EXPECT_EQ(batches[0].dropped, 7u);
  EXPECT_EQ(batches[0].spans.size(), 1u);
}

TEST(SpanRecorder, MethodsThatAreNowhereRecordNowhere) {
  const ServedMethod nowhere;
  EXPECT_FALSE(nowhere);
  EXPECT_FALSE(CalledMethod());
  nowhere.Record(CheckedSpan(1, 0, 1));
  ServerSpan(nowhere, NewRoot()).End(Outcome::kOk);
  // And those whose recorder is gone, also in the thread that had a ring, and of the next recorder.
  auto recorder = MakeRecorder(8);
  const ServedMethod old = *recorder->AddServed("cart", "GetCart");
  EXPECT_TRUE(old);
  old.Record(CheckedSpan(1, 0, 1));
  ServerSpan in_flight(old, NewRoot());
  recorder.reset();
  in_flight.End(Outcome::kOk);
  old.Record(CheckedSpan(1, 1, 1));
  recorder = MakeRecorder(8);
  old.Record(CheckedSpan(1, 2, 1));
  EXPECT_TRUE(Drained(*recorder).empty());
}

TEST(SpanRecorder, AfterItsFirstSpanAThreadAllocatesNothingAndKeepsErrno) {
  const auto recorder = MakeRecorder(64);
  const ServedMethod served = *recorder->AddServed("cart", "GetCart");
  const CalledMethod called = *recorder->AddCalled("cart", "user", "FindUser");
  const TraceContext caller = NewRoot();
  errno = 4711;
  ServerSpan(served, caller).End(Outcome::kOk);
  EXPECT_EQ(errno, 4711);
  const testing::Allocations allocations;
  for (int i = 0; i < 1000; ++i) {  // full after a while
    ServerSpan span(served, caller);
    span.Dequeued();
    ClientSpan call(called, span.ContextUnder(caller));
    call.End(Outcome::kOk);
    span.End(Outcome::kOk);
  }
  EXPECT_EQ(allocations.count(), 0u);
  EXPECT_EQ(errno, 4711);
}

TEST(SpanRecorder, AChildStartsEmptyAndItsSpansStayItsOwn) {
  for (const bool shared : {false, true}) {
    SCOPED_TRACE(shared);
    const ScratchDirectory scratch;
    RecorderOptions options;
    if (shared) options.directory = scratch.path();
    const auto recorder = *SpanRecorder::Create(options);
    ASSERT_TRUE(recorder->status().ok()) << recorder->status();
    EXPECT_EQ(recorder->path().empty(), !shared);
    const ServedMethod served = *recorder->AddServed("cart", "GetCart");
    for (std::uint64_t i = 0; i < 5; ++i) served.Record(CheckedSpan(1, i, served.Stamp()));
    const auto sink = std::make_shared<MemorySink>();
    const auto drainer = MakeDrainer(*recorder, sink);
    EXPECT_EQ(InChild([&] {
                // The parent's drainer is not ours.
                SEER_CHECK(absl::IsFailedPrecondition(drainer->Drain()));
                const auto own_sink = std::make_shared<MemorySink>();
                auto own = SpanDrainer::Create(*recorder, own_sink);
                SEER_CHECK(own.ok());
                SEER_CHECK((*own)->Drain().ok());
                SEER_CHECK(AllSpans(*own_sink).empty());
                for (std::uint64_t i = 0; i < 3; ++i) served.Record(CheckedSpan(2, i, 1));
                SEER_CHECK(recorder->AddServed("cart", "Another").ok());
                SEER_CHECK((*own)->Drain().ok());
                SEER_CHECK(AllSpans(*own_sink).size() == 3);
                SEER_CHECK(recorder->path().empty() != shared);
                return std::string();
              }),
              "");
    ASSERT_TRUE(drainer->Drain().ok());
    EXPECT_EQ(AllSpans(*sink).size(), 5u);
  }
}

TEST(SpanRecorder, TheGlobalOneTakesItsOptionsBeforeItsFirstUse) {
  EXPECT_EQ(InChild([] {
              RecorderOptions options;
              options.max_methods = 0;
              SEER_CHECK(absl::IsInvalidArgument(SpanRecorder::SetGlobalOptions(options)));
              options.max_methods = 1;
              SEER_CHECK(SpanRecorder::SetGlobalOptions(options).ok());
              SpanRecorder& global = SpanRecorder::Global();
              SEER_CHECK(&global == &SpanRecorder::Global());
              SEER_CHECK(absl::IsFailedPrecondition(SpanRecorder::SetGlobalOptions(options)));
              SEER_CHECK(global.AddServed("a", "m").ok());
              SEER_CHECK(!global.AddServed("a", "n").ok());
              return std::string();
            }),
            "");
}

// The first Global() of a process, in one thread, while another one forks.
TEST(SpanRecorder, TheGlobalOneIsUsableInAChildWhateverTheParentWasDoing) {
  for (int i = 0; i < 20 / testing::kSlower + 1; ++i) {
    EXPECT_EQ(InChild([&] {
                std::atomic<bool> stop{false};
                std::thread other([&] {
                  while (!stop.load(std::memory_order_relaxed)) SpanRecorder::Global();
                });
                std::string wrong;
                for (int k = 0; k < 20 && wrong.empty(); ++k) {
                  wrong = InChild([&] {
                    ::alarm(20);  // where it waits for ever
                    SEER_CHECK(SpanRecorder::Global().AddServed("cart", "Get").ok());
                    return std::string();
                  });
                }
                stop.store(true, std::memory_order_relaxed);
                other.join();
                return wrong;
              }),
              "");
  }
}

TEST(SpanRecorder, AGlobalOneThatCannotBeMadeRecordsNowhere) {
  EXPECT_EQ(InChild([] {
              std::vector<std::unique_ptr<SpanRecorder>> all_there_can_be;
              RecorderOptions options;
              for (int i = 0; i < 64; ++i) {
                auto made = SpanRecorder::Create(options);
                SEER_CHECK(made.ok() == (i < 63) || i > 50);  // earlier tests had some, too
                if (made.ok()) all_there_can_be.push_back(*std::move(made));
              }
              SpanRecorder& global = SpanRecorder::Global();
              SEER_CHECK(!global.AddServed("a", "m").ok());
              SEER_CHECK(!global.AddCalled("a", "b", "m").ok());
              SEER_CHECK(!global.status().ok());
              SEER_CHECK(global.segment().empty());
              SEER_CHECK(absl::IsFailedPrecondition(
                  SpanDrainer::Create(global, std::make_shared<MemorySink>()).status()));
              return std::string();
            }),
            "");
}

// Recorded from a static's destructor and a thread that runs to the end, past the recorder's.
TEST(SpanRecorder, ThreadsMayRecordToTheVeryEndOfTheProcess) {
  testing::Child child([] {
    SpanRecorder& global = SpanRecorder::Global();
    static const ServedMethod served = *global.AddServed("cart", "GetCart");
    struct AtTheEnd {
      ~AtTheEnd() { ServerSpan(served, NewRoot()).End(Outcome::kOk); }
    };
    static const AtTheEnd at_the_end;
    static const auto drainer = MakeDrainer(global, std::make_shared<MemorySink>());
    for (int i = 0; i < 2; ++i) {
      std::thread([] {
        for (;;) ServerSpan(served, NewRoot()).End(Outcome::kOk);
      }).detach();
    }
    served.Record(CheckedSpan(1, 0, 1));
    std::exit(0);
    return std::string();
  });
  EXPECT_EQ(child.Wait(), "");
}

}  // namespace
}  // namespace seer
