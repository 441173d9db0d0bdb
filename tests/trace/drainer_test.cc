#include "seer/trace/drainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "seer/core/clock.h"
#include "tests/queue/sandbox.h"
#include "tests/trace/recording.h"

namespace seer {
namespace {

using testing::AllSpans;
using testing::CheckedSpan;
using testing::CheckingSink;
using testing::kSlower;
using testing::MakeDrainer;
using testing::MakeRecorder;
using testing::ResidentBytes;
using testing::RingOf;
using WhenFull = RecorderOptions::WhenFull;

void RecordSome(const ServedMethod& served, std::uint64_t first, std::uint64_t end) {
  for (std::uint64_t i = first; i < end; ++i) served.Record(CheckedSpan(1, i, served.Stamp()));
}

TEST(SpanDrainer, OptionsOutOfRangeAreNamed) {
  const auto recorder = MakeRecorder(8);
  struct Case {
    const char* field;
    void (*set)(DrainerOptions&);
  };
  for (const Case& c : {
           Case{"max_spans", [](DrainerOptions& o) { o.max_spans = 0; }},
           Case{"max_batch", [](DrainerOptions& o) { o.max_batch = 0; }},
           Case{"lease", [](DrainerOptions& o) { o.lease = std::chrono::milliseconds(9); }},
           Case{"lease", [](DrainerOptions& o) { o.lease = std::chrono::hours(2); }},
           Case{"node", [](DrainerOptions& o) { o.node = "a\nb"; }},
       }) {
    SCOPED_TRACE(c.field);
    DrainerOptions options;
    c.set(options);
    const absl::Status status =
        SpanDrainer::Create(*recorder, std::make_shared<MemorySink>(), options).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr(c.field));
  }
  EXPECT_TRUE(absl::IsInvalidArgument(SpanDrainer::Create(*recorder, nullptr).status()));
  EXPECT_TRUE(SpanDrainer::Create(*recorder, std::make_shared<MemorySink>()).ok());
}

TEST(SpanDrainer, EachServiceOfTheProcessIsAnInstanceWithItsOwnBatches) {
  const auto recorder = MakeRecorder(64);
  const ServedMethod cart = *recorder->AddServed("cart", "Get");
  const CalledMethod by_cart = *recorder->AddCalled("cart", "user", "Find");
  const auto sink = std::make_shared<MemorySink>();
  DrainerOptions options;
  options.node = "node-7";
  options.epoch = 42;
  const auto drainer = MakeDrainer(*recorder, sink, options);
  cart.Record(CheckedSpan(1, 1, 1));
  by_cart.Record(CheckedSpan(1, 2, 1));
  ASSERT_TRUE(drainer->Drain().ok());
  std::vector<SpanBatch> batches = sink->Take();
  const Topology& t = drainer->topology();
  ASSERT_EQ(batches.size(), 1u);
  EXPECT_EQ(batches[0].origin, t.origin());
  EXPECT_EQ(batches[0].origin.node, "node-7");
  EXPECT_EQ(batches[0].origin.epoch, 42u);
  EXPECT_EQ(batches[0].sequence, 0u);
  EXPECT_EQ(t.instance(batches[0].instance).name, "test-1");
  EXPECT_EQ(t.service(t.instance(batches[0].instance).service).name, "cart");
  EXPECT_EQ(t.node(t.instance(batches[0].instance).node).name, "node-7");

  // Others come while it runs: another service, which cart is called by, and is served by itself.
  const ServedMethod user = *recorder->AddServed("user", "Find");
  const CalledMethod by_user = *recorder->AddCalled("user", "cart", "Get");
  user.Record(CheckedSpan(1, 3, 1));
  cart.Record(CheckedSpan(1, 4, 1));
  by_user.Record(CheckedSpan(1, 5, 1));
  ASSERT_TRUE(drainer->Drain().ok());
  batches = sink->Take();
  ASSERT_EQ(batches.size(), 2u);
  EXPECT_EQ(t.service(t.instance(batches[0].instance).service).name, "cart");
  EXPECT_EQ(batches[0].sequence, 1u);
  EXPECT_EQ(batches[0].spans.size(), 1u);
  EXPECT_EQ(t.service(t.instance(batches[1].instance).service).name, "user");
  EXPECT_EQ(batches[1].sequence, 0u);
  ASSERT_EQ(batches[1].spans.size(), 2u);
  // Served and called are the same method, of the same service.
  EXPECT_EQ(batches[1].spans[0].method(), *t.FindMethod(*t.FindService("user"), "Find"));
  EXPECT_EQ(t.live_methods(), 2u);
  EXPECT_EQ(t.live_edges(), 2u);
  EXPECT_EQ(t.live_instances(), 2u);
}

TEST(SpanDrainer, OneDrainTakesNoMoreThanItMay) {
  const auto recorder = MakeRecorder(1024);
  const ServedMethod served = *recorder->AddServed("cart", "Get");
  DrainerOptions options;
  options.max_spans = 300;
  options.max_batch = 100;
  const auto sink = std::make_shared<CheckingSink>();
  const auto drainer = MakeDrainer(*recorder, sink, options);
  RecordSome(served, 0, 1000);
  for (const std::uint64_t expected : {300u, 600u, 900u, 1000u, 1000u}) {
    ASSERT_TRUE(drainer->Drain().ok());
    EXPECT_EQ(sink->spans(), expected);
  }
  EXPECT_EQ(sink->wrong(), 0u);
  EXPECT_EQ(drainer->counts().delivered, 1000u);
}

TEST(SpanDrainer, EachRingHasItsTurn) {
  const auto recorder = MakeRecorder(1024, 3);
  const ServedMethod served = *recorder->AddServed("cart", "Get");
  DrainerOptions options;
  options.max_spans = 10;
  const auto sink = std::make_shared<CheckingSink>();
  const auto drainer = MakeDrainer(*recorder, sink, options);
  std::atomic<int> ready{0};
  std::vector<std::thread> threads;
  for (std::uint64_t thread = 0; thread < 3; ++thread) {
    threads.emplace_back([&, thread] {
      for (std::uint64_t i = 0; i < 100; ++i) served.Record(CheckedSpan(thread, i, 1));
      ready.fetch_add(1);
      while (ready.load() < 3) std::this_thread::yield();  // so that each has a ring
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(drainer->Drain().ok());
  EXPECT_EQ(sink->threads().size(), 3u);
}

class FailingSink final : public TraceSink {
 public:
  explicit FailingSink(absl::Status status) : status_(std::move(status)) {}
  absl::Status Write(const SpanBatch&) override { return status_; }
  absl::Status Flush(std::chrono::nanoseconds) override { return absl::OkStatus(); }

 private:
  const absl::Status status_;
};

TEST(SpanDrainer, WhatTheSinkCannotTakeNowWaitsAndTheRingsDrop) {
  for (const absl::Status& not_now :
       {absl::UnavailableError("later"), absl::ResourceExhaustedError("full")}) {
    const auto recorder = MakeRecorder(16);
    const ServedMethod served = *recorder->AddServed("cart", "Get");
    const auto drainer = MakeDrainer(*recorder, std::make_shared<FailingSink>(not_now));
    for (std::uint64_t i = 0; i < 10; ++i) {
      RecordSome(served, i * 16, (i + 1) * 16);
      EXPECT_EQ(drainer->Drain(), not_now);
    }
    // 16 wait here, 16 in the ring.
    EXPECT_EQ(drainer->counts().waiting, 16u);
    EXPECT_EQ(drainer->counts().delivered, 0u);
    EXPECT_EQ(RingOf(*recorder, 1)->dropped, 8u * 16);
  }
}

TEST(SpanDrainer, WhatTheSinkWillNeverTakeIsDiscardedAndCounted) {
  const auto recorder = MakeRecorder(1024);
  const ServedMethod served = *recorder->AddServed("cart", "Get");
  DrainerOptions options;
  options.max_batch = 100;
  const auto drainer =
      MakeDrainer(*recorder, std::make_shared<FailingSink>(absl::DataLossError("no")), options);
  RecordSome(served, 0, 1000);
  EXPECT_EQ(drainer->Drain(), absl::DataLossError("no"));
  EXPECT_EQ(drainer->counts().discarded, 1000u);
  EXPECT_EQ(drainer->counts().waiting, 0u);
  EXPECT_TRUE(drainer->Drain().ok());
}

TEST(SpanDrainer, TheLeaseIsOfOneUntilItIsGivenBackOrRunsOut) {
  const auto recorder = MakeRecorder(64);
  const ServedMethod served = *recorder->AddServed("cart", "Get");
  ManualClock clock(1'700'000'000'000'000'000);
  DrainerOptions options;
  options.lease = std::chrono::seconds(10);
  options.lease_clock = &clock;
  const auto first_sink = std::make_shared<CheckingSink>();
  auto first = MakeDrainer(*recorder, first_sink, options);
  const auto attempt = [&] {
    return SpanDrainer::Create(*recorder, std::make_shared<MemorySink>(), options).status();
  };
  EXPECT_TRUE(absl::IsFailedPrecondition(attempt())) << attempt();
  // Draining renews it.
  for (int i = 0; i < 5; ++i) {
    clock.Advance(8'000'000'000);
    RecordSome(served, static_cast<std::uint64_t>(i), static_cast<std::uint64_t>(i) + 1);
    ASSERT_TRUE(first->Drain().ok());
    EXPECT_TRUE(absl::IsFailedPrecondition(attempt()));
  }
  EXPECT_EQ(first_sink->spans(), 5u);
  // It runs out, and another takes it; the first one comes back and has to wait.
  clock.Advance(10'000'000'000);
  const auto second_sink = std::make_shared<CheckingSink>();
  auto second = MakeDrainer(*recorder, second_sink, options);
  RecordSome(served, 5, 7);
  EXPECT_TRUE(absl::IsFailedPrecondition(first->Drain()));
  ASSERT_TRUE(second->Drain().ok());
  EXPECT_EQ(second_sink->spans(), 2u);
  EXPECT_EQ(first_sink->spans(), 5u);
  // Given back.
  second.reset();
  RecordSome(served, 7, 8);
  ASSERT_TRUE(first->Drain().ok());
  EXPECT_EQ(first_sink->spans(), 6u);
  // One that holds none takes none away.
  clock.Advance(10'000'000'000);
  second = MakeDrainer(*recorder, second_sink, options);
  first.reset();
  EXPECT_TRUE(absl::IsFailedPrecondition(attempt()));
  // The machine's clock is set back by a day: nobody waits that long.
  clock.Advance(-86'400'000'000'000);
  EXPECT_TRUE(attempt().ok());
}

TEST(SpanDrainer, WithoutARecorderThereIsNothingToDrain) {
  auto recorder = MakeRecorder(64);
  const ServedMethod served = *recorder->AddServed("cart", "Get");
  const auto sink = std::make_shared<CheckingSink>();
  const auto drainer = MakeDrainer(*recorder, sink);
  RecordSome(served, 0, 5);
  recorder.reset();
  EXPECT_TRUE(absl::IsFailedPrecondition(drainer->Drain()));
  EXPECT_EQ(sink->spans(), 0u);
}

// ---- Many threads.

// Each of `threads` threads records `spans`, with a pause now and then so that the drainer has a
// chance on few cores; returns when all have been recorded.
void RecordFromThreads(const ServedMethod& served, std::uint64_t threads, std::uint64_t spans,
                       std::atomic<int>* running) {
  std::vector<std::thread> all;
  running->store(static_cast<int>(threads));
  for (std::uint64_t thread = 0; thread < threads; ++thread) {
    all.emplace_back([=] {
      for (std::uint64_t i = 0; i < spans; ++i) {
        served.Record(CheckedSpan(thread, i, served.Stamp()));
        if (i % 512 == 0) std::this_thread::yield();
      }
      running->fetch_sub(1);
    });
  }
  for (std::thread& thread : all) thread.join();
}

TEST(SpanDrainerConcurrency, EverySpanIsDeliveredOnceOrCountedAsDropped) {
  constexpr std::uint64_t kThreads = 8;
  const std::uint64_t spans = 500'000 / kSlower;
  for (const WhenFull when_full : {WhenFull::kDropNewest, WhenFull::kKeepLatest}) {
    SCOPED_TRACE(static_cast<int>(when_full));
    const auto recorder = MakeRecorder(1024, kThreads, when_full);
    const ServedMethod served = *recorder->AddServed("cart", "Get");
    const auto sink = std::make_shared<CheckingSink>();
    sink->RefuseEvery(3);  // slow
    const auto drainer = MakeDrainer(*recorder, sink);
    ASSERT_TRUE(drainer->Drain().ok());
    const std::size_t before = ResidentBytes();
    std::size_t most = before;
    std::atomic<int> running{1};
    std::thread hosts([&] { RecordFromThreads(served, kThreads, spans, &running); });
    while (running.load() > 0) {
      drainer->Drain().IgnoreError();
      most = std::max(most, ResidentBytes());
    }
    hosts.join();
    while (!drainer->Drain().ok()) {
    }
    EXPECT_TRUE(drainer->Drain().ok());
    EXPECT_EQ(sink->wrong(), 0u);
    EXPECT_GT(sink->spans(), 0u);
    EXPECT_EQ(sink->spans() + drainer->counts().dropped, kThreads * spans);
    EXPECT_EQ(sink->spans(), drainer->counts().delivered);
    // The sink was told of every drop but those after its last batch.
    EXPECT_LE(sink->dropped(), drainer->counts().dropped);
    if (kSlower == 1) {
      // Rings 0.5 MiB, one batch, and nine stacks; not the 256 MB that were recorded.
      EXPECT_LT(most - before, std::size_t{16} << 20);
    }
  }
}

TEST(SpanDrainerConcurrency, ChurnLosesNothingAndTakesNoMemory) {
  const auto recorder = MakeRecorder(4096, 4);
  const ServedMethod served = *recorder->AddServed("cart", "Get");
  const auto sink = std::make_shared<CheckingSink>();
  const auto drainer = MakeDrainer(*recorder, sink);
  const int threads = 10'000 / kSlower;
  std::size_t after_some = 0;
  for (int i = 0; i < threads; i += 2) {
    std::thread one([&] { served.Record(CheckedSpan(static_cast<std::uint64_t>(i), 0, 1)); });
    std::thread two([&] { served.Record(CheckedSpan(static_cast<std::uint64_t>(i) + 1, 0, 1)); });
    one.join();
    two.join();
    if (i % 100 == 0) {
      ASSERT_TRUE(drainer->Drain().ok());
    }
    if (i == threads / 10) after_some = ResidentBytes();
  }
  ASSERT_TRUE(drainer->Drain().ok());
  EXPECT_EQ(sink->spans(), static_cast<std::uint64_t>(threads));
  EXPECT_EQ(sink->wrong(), 0u);
  EXPECT_EQ(drainer->counts().dropped, 0u);
  // What the sink remembers of each thread is some 100 bytes.
  if (kSlower == 1) {
    EXPECT_LT(ResidentBytes(), after_some + (std::size_t{4} << 20));
  }
}

// Leases that run out at once: both drain the same rings at the same time.
TEST(SpanDrainerConcurrency, NoSpanIsTakenTwiceWhateverBecomesOfTheLease) {
  for (const WhenFull when_full : {WhenFull::kDropNewest, WhenFull::kKeepLatest}) {
    constexpr std::uint64_t kThreads = 2;
    const std::uint64_t spans = 500'000 / kSlower;
    const auto recorder = MakeRecorder(256, kThreads, when_full);
    const ServedMethod served = *recorder->AddServed("cart", "Get");
    std::atomic<int> running{1};
    std::thread hosts([&] { RecordFromThreads(served, kThreads, spans, &running); });
    // For each drainer it is ten minutes later than for the other, again and again.
    std::atomic<std::int64_t> now{1'700'000'000'000'000'000};
    class Hurried final : public Clock {
     public:
      explicit Hurried(std::atomic<std::int64_t>* time) : time_(time) {}
      std::int64_t NowNs() const override { return time_->fetch_add(600'000'000'000); }

     private:
      std::atomic<std::int64_t>* const time_;
    } clock(&now);
    DrainerOptions options;
    options.lease_clock = &clock;
    std::uint64_t delivered[3] = {}, dropped[3] = {}, wrong[3] = {};
    const auto drain = [&](int who) {
      const auto sink = std::make_shared<CheckingSink>();
      std::unique_ptr<SpanDrainer> drainer;
      while (drainer == nullptr) {  // the other one may be faster
        auto made = SpanDrainer::Create(*recorder, sink, options);
        if (made.ok()) drainer = *std::move(made);
      }
      do {
        drainer->Drain().IgnoreError();
      } while (running.load() > 0);
      delivered[who] = sink->spans();
      dropped[who] = drainer->counts().dropped;
      wrong[who] = sink->wrong();
    };
    std::thread other([&] { drain(1); });
    drain(0);
    other.join();
    hosts.join();
    drain(2);  // what both left
    EXPECT_EQ(wrong[0] + wrong[1] + wrong[2], 0u);
    EXPECT_EQ(delivered[0] + delivered[1] + delivered[2] + dropped[0] + dropped[1] + dropped[2],
              kThreads * spans);
  }
}

// Records from three threads while `body` runs.
template <typename Body>
void WhileRequestsRun(const ServedMethod& served, const Body& body) {
  std::atomic<bool> done{false};
  std::vector<std::thread> threads;
  for (std::uint64_t thread = 0; thread < 3; ++thread) {
    threads.emplace_back([&, thread] {
      for (std::uint64_t i = 0; !done.load(std::memory_order_relaxed); ++i) {
        served.Record(CheckedSpan(thread + 1, i, served.Stamp()));
        ServerSpan(served, TraceContext()).End(Outcome::kFailed);
        if (i % 64 == 0) std::this_thread::yield();
      }
    });
  }
  body();
  done.store(true);
  for (std::thread& thread : threads) thread.join();
}

TEST(SpanDrainerConcurrency, DrainersAndSinksMayEndWhileRequestsRun) {
  const auto recorder = MakeRecorder(64, 4);
  const ServedMethod served = *recorder->AddServed("cart", "Get");
  WhileRequestsRun(served, [&] {
    for (int round = 0; round < 20; ++round) {
      const auto sink = std::make_shared<MemorySink>();
      const auto drainer = MakeDrainer(*recorder, sink);
      for (int i = 0; i < 10; ++i) {
        EXPECT_TRUE(drainer->Drain().ok());
        sink->Take();
      }
    }
  });
}

// Not for ThreadSanitizer, to which the pages of zeros that a segment leaves are a race.
TEST(SpanDrainer, ItsRecorderMayEndWhileRequestsRunAndItDrains) {
  for (int round = 0; round < 20; ++round) {
    auto recorder = MakeRecorder(64, 4);
    const ServedMethod served = *recorder->AddServed("cart", "Get");
    WhileRequestsRun(served, [&] {
      const auto sink = std::make_shared<MemorySink>();
      const auto drainer = MakeDrainer(*recorder, sink);
      EXPECT_TRUE(drainer->Drain().ok());
      std::thread ends([&] { recorder.reset(); });
      for (int i = 0; i < 100; ++i) drainer->Drain().IgnoreError();
      ends.join();
      EXPECT_TRUE(absl::IsFailedPrecondition(drainer->Drain()));
      for (const Span& span : AllSpans(*sink)) EXPECT_NE(span.span_id(), 0u);
    });
  }
}

}  // namespace
}  // namespace seer
