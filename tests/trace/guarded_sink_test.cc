#include "seer/trace/guarded_sink.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers)

#include <atomic>
#include <functional>
#include <future>
#include <memory>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

namespace seer {
namespace {

using std::chrono::nanoseconds;
constexpr auto kLong = std::chrono::seconds(60);

SpanBatch BatchOf(std::size_t spans, std::uint64_t sequence = 0) {
  SpanBatch batch;
  batch.sequence = sequence;
  batch.spans.resize(spans);
  return batch;
}

class FunctionSink final : public TraceSink {
 public:
  explicit FunctionSink(std::function<absl::Status(const SpanBatch&)> write,
                        std::function<absl::Status()> flush = absl::OkStatus)
      : write_(std::move(write)), flush_(std::move(flush)) {}
  absl::Status Write(const SpanBatch& batch) override { return write_(batch); }
  absl::Status Flush(nanoseconds) override { return flush_(); }

 private:
  const std::function<absl::Status(const SpanBatch&)> write_;
  const std::function<absl::Status()> flush_;
};

std::unique_ptr<GuardedSink> Guard(std::shared_ptr<TraceSink> sink,
                                   GuardedSink::Options options = {}) {
  options.retry_delay = nanoseconds(0);
  return *GuardedSink::Create(std::move(sink), options);
}

TEST(GuardedSink, RefusesOptionsThatMakeNoSense) {
  const auto status_of = [](const std::function<void(GuardedSink::Options*)>& change) {
    GuardedSink::Options options;
    change(&options);
    return GuardedSink::Create(std::make_shared<MemorySink>(), options).status();
  };
  struct Case {
    const char* field;
    std::function<void(GuardedSink::Options*)> change;
  };
  for (const Case& c :
       {Case{"max_spans", [](GuardedSink::Options* o) { o->max_spans = 0; }},
        Case{"max_attempts", [](GuardedSink::Options* o) { o->max_attempts = 0; }},
        Case{"retry_delay", [](GuardedSink::Options* o) { o->retry_delay = nanoseconds(-1); }},
        Case{"shutdown_timeout",
             [](GuardedSink::Options* o) { o->shutdown_timeout = nanoseconds(-1); }}}) {
    SCOPED_TRACE(c.field);
    const absl::Status status = status_of(c.change);
    EXPECT_TRUE(absl::IsInvalidArgument(status));
    EXPECT_NE(status.message().find(c.field), status.message().npos);
  }
  EXPECT_TRUE(absl::IsInvalidArgument(GuardedSink::Create(nullptr).status()));
}

TEST(GuardedSinkConcurrency, DeliversInOrderOnAThreadOfItsOwn) {
  std::vector<std::uint64_t> seen;
  const auto caller = std::this_thread::get_id();
  auto sink = Guard(std::make_shared<FunctionSink>([&](const SpanBatch& batch) {
    EXPECT_NE(std::this_thread::get_id(), caller);
    seen.push_back(batch.sequence);
    return absl::OkStatus();
  }));
  std::vector<std::uint64_t> written;
  for (std::uint64_t i = 0; i < 100; ++i) {
    ASSERT_TRUE(sink->Write(BatchOf(2, i)).ok());
    written.push_back(i);
  }
  EXPECT_TRUE(sink->Flush(kLong).ok());
  EXPECT_EQ(seen, written);
  EXPECT_EQ(sink->counts().batches, 100u);
  EXPECT_EQ(sink->counts().spans, 200u);
  EXPECT_TRUE(sink->last_error().ok());
}

TEST(GuardedSinkConcurrency, TheHostsSignalsStayWithTheHost) {
  auto sink = Guard(std::make_shared<FunctionSink>([](const SpanBatch&) {
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
    EXPECT_EQ(sigismember(&blocked, SIGTERM), 1);
    EXPECT_EQ(sigismember(&blocked, SIGPROF), 1);
    return absl::OkStatus();
  }));
  ASSERT_TRUE(sink->Write(BatchOf(1)).ok());
  EXPECT_TRUE(sink->Flush(kLong).ok());
  sigset_t blocked;
  pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
  EXPECT_EQ(sigismember(&blocked, SIGTERM), 0);
}

TEST(GuardedSinkConcurrency, OffersAgainWhatTheSinkRefusedForNow) {
  struct Case {
    const char* what;
    absl::Status status;
    int failures;
    std::uint64_t errors;
    std::uint64_t dropped;
  };
  for (const Case& c : {Case{"never", absl::UnavailableError("x"), 0, 0, 0},
                        Case{"twice", absl::UnavailableError("x"), 2, 2, 0},
                        Case{"full", absl::ResourceExhaustedError("x"), 4, 4, 0},
                        Case{"too often", absl::UnavailableError("x"), 5, 5, 7},
                        Case{"not to be repeated", absl::InvalidArgumentError("x"), 1, 1, 7}}) {
    SCOPED_TRACE(c.what);
    int failures = c.failures;
    auto sink = Guard(std::make_shared<FunctionSink>(
        [&](const SpanBatch&) { return failures-- > 0 ? c.status : absl::OkStatus(); }));
    ASSERT_TRUE(sink->Write(BatchOf(7)).ok());
    EXPECT_TRUE(sink->Flush(kLong).ok());
    EXPECT_EQ(sink->counts().errors, c.errors);
    EXPECT_EQ(sink->counts().dropped_spans, c.dropped);
    EXPECT_EQ(sink->counts().spans, 7 - c.dropped);
    EXPECT_EQ(sink->last_error(), c.failures > 0 ? c.status : absl::OkStatus());
  }
}

TEST(GuardedSinkConcurrency, ASinkThatThrowsLosesItsBatchAndNothingElse) {
  int calls = 0;
  auto sink = Guard(std::make_shared<FunctionSink>(
      [&](const SpanBatch&) -> absl::Status {
        ++calls;
        if (calls == 1) throw std::runtime_error("no route to host");
        if (calls == 2) throw 42;
        return absl::OkStatus();
      },
      []() -> absl::Status { throw std::runtime_error("flush"); }));
  ASSERT_TRUE(sink->Write(BatchOf(1)).ok());
  EXPECT_FALSE(sink->Flush(kLong).ok());  // and its Flush() throws too
  EXPECT_NE(sink->last_error().message().find("flush"), absl::string_view::npos);
  ASSERT_TRUE(sink->Write(BatchOf(2)).ok());
  ASSERT_TRUE(sink->Write(BatchOf(4)).ok());
  EXPECT_FALSE(sink->Flush(kLong).ok());
  EXPECT_EQ(sink->counts().dropped_spans, 3u);
  EXPECT_EQ(sink->counts().spans, 4u);
  EXPECT_EQ(sink->counts().errors, 4u);
}

// A sink that blocks until it is let go.
struct Gate {
  std::promise<void> open;
  std::shared_future<void> opened = open.get_future().share();
  std::promise<void> reached;
  std::atomic<bool> first{true};

  absl::Status Wait() {
    if (first.exchange(false)) reached.set_value();
    opened.wait();
    return absl::OkStatus();
  }
};

TEST(GuardedSinkConcurrency, ABlockedSinkFillsTheQueueAndNoMore) {
  Gate gate;
  GuardedSink::Options options;
  options.max_spans = 30;
  auto sink =
      Guard(std::make_shared<FunctionSink>([&](const SpanBatch&) { return gate.Wait(); }), options);
  ASSERT_TRUE(sink->Write(BatchOf(9)).ok());
  gate.reached.get_future().wait();
  ASSERT_TRUE(sink->Write(BatchOf(9)).ok());  // what the sink holds counts too: 20 of 30
  const absl::Status full = sink->Write(BatchOf(10));
  EXPECT_TRUE(absl::IsResourceExhausted(full));
  EXPECT_NE(full.message().find("20 of at most 30"), absl::string_view::npos) << full;
  ASSERT_TRUE(sink->Write(BatchOf(9)).ok());
  EXPECT_FALSE(sink->Write(BatchOf(0)).ok());
  EXPECT_FALSE(sink->Write(BatchOf(1000)).ok());
  EXPECT_EQ(sink->counts().refused_spans, 1010u);
  EXPECT_TRUE(absl::IsDeadlineExceeded(sink->Flush(nanoseconds(1))));
  gate.open.set_value();
  EXPECT_TRUE(sink->Flush(kLong).ok());
  EXPECT_TRUE(sink->Write(BatchOf(29)).ok());  // all of it is free again
  EXPECT_TRUE(sink->Flush(kLong).ok());
  EXPECT_EQ(sink->counts().spans, 56u);
  EXPECT_EQ(sink->counts().dropped_spans, 0u);
}

TEST(GuardedSinkConcurrency, DestructionDeliversWhatIsQueued) {
  auto memory = std::make_shared<MemorySink>();
  auto sink = Guard(memory);
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(sink->Write(BatchOf(1)).ok());
  sink.reset();
  EXPECT_EQ(memory->counts().spans, 50u);
  EXPECT_EQ(memory.use_count(), 1);
}

TEST(GuardedSinkConcurrency, DestructionDoesNotWaitForASinkThatIsStuck) {
  Gate gate;
  auto destroyed = std::make_shared<std::promise<void>>();
  std::atomic<int> writes{0};
  GuardedSink::Options options;
  options.shutdown_timeout = std::chrono::milliseconds(1);
  // The last copy of the function goes with the sink.
  auto tell = std::shared_ptr<void>(nullptr, [destroyed](void*) { destroyed->set_value(); });
  auto sink = Guard(std::make_shared<FunctionSink>([&, tell](const SpanBatch&) {
                      ++writes;
                      return gate.Wait();
                    }),
                    options);
  tell.reset();
  ASSERT_TRUE(sink->Write(BatchOf(1)).ok());
  ASSERT_TRUE(sink->Write(BatchOf(1)).ok());
  gate.reached.get_future().wait();
  sink.reset();  // returns though the sink does not
  gate.open.set_value();
  destroyed->get_future().wait();
  EXPECT_EQ(writes, 1);  // what was queued is gone
}

TEST(GuardedSinkConcurrency, APauseBetweenAttemptsDoesNotHoldUpDestruction) {
  GuardedSink::Options options;
  options.retry_delay = std::chrono::hours(10);
  options.shutdown_timeout = nanoseconds(0);
  std::promise<void> tried;
  auto sink = *GuardedSink::Create(std::make_shared<FunctionSink>([&](const SpanBatch&) {
                                     tried.set_value();
                                     return absl::UnavailableError("later");
                                   }),
                                   options);
  ASSERT_TRUE(sink->Write(BatchOf(1)).ok());
  tried.get_future().wait();
  sink.reset();
}

TEST(GuardedSinkConcurrency, FlushHandsTheSinksErrorOn) {
  auto sink =
      Guard(std::make_shared<FunctionSink>([](const SpanBatch&) { return absl::OkStatus(); },
                                           [] { return absl::DataLossError("the disk is full"); }));
  EXPECT_TRUE(absl::IsDataLoss(sink->Flush(nanoseconds::max())));
  EXPECT_EQ(sink->counts().errors, 1u);
}

TEST(GuardedSinkConcurrency, EverySpanIsCountedOnce) {
  std::atomic<std::uint64_t> calls{0};
  GuardedSink::Options options;
  options.max_spans = 40;
  options.max_attempts = 2;
  auto sink = Guard(std::make_shared<FunctionSink>([&](const SpanBatch&) -> absl::Status {
                      const std::uint64_t call = calls.fetch_add(1);
                      if (call % 7 == 3) throw 1;
                      return call % 3 == 0 ? absl::UnavailableError("busy") : absl::OkStatus();
                    }),
                    options);
  constexpr std::uint64_t kThreads = 4, kEach = 500;
  std::vector<std::thread> writers;
  for (std::uint64_t t = 0; t < kThreads; ++t) {
    writers.emplace_back([&] {
      for (std::uint64_t i = 0; i < kEach; ++i) {
        sink->Write(BatchOf(3)).IgnoreError();
        if (i % 100 == 0) sink->Flush(kLong).IgnoreError();
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  ASSERT_TRUE(sink->Flush(kLong).ok());
  const SinkCounts counts = sink->counts();
  EXPECT_EQ(counts.spans + counts.dropped_spans + counts.refused_spans, 3 * kThreads * kEach);
  EXPECT_EQ(counts.batches * 3, counts.spans);
  EXPECT_GT(counts.dropped_spans, 0u);
}

}  // namespace
}  // namespace seer
