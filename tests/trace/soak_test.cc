// What takes long: fifty million spans into a sink that cannot keep up, ten thousand threads with
// rings of full size, a process that becomes another program.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "seer/trace/drainer.h"
#include "seer/trace/guarded_sink.h"
#include "seer/trace/node_drainer.h"
#include "seer/trace/recorder.h"
#include "tests/queue/sandbox.h"
#include "tests/trace/recording.h"

namespace seer {
namespace {

using testing::Child;
using testing::Eventually;
using testing::kSlower;
using testing::ResidentBytes;
using testing::ScratchDirectory;

constexpr std::size_t kMiB = std::size_t{1} << 20;

// Takes its time for each batch, like a disk that is busy.
class SlowSink final : public TraceSink {
 public:
  absl::Status Write(const SpanBatch& batch) override {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    spans_.fetch_add(batch.spans.size(), std::memory_order_relaxed);
    return absl::OkStatus();
  }
  absl::Status Flush(std::chrono::nanoseconds) override { return absl::OkStatus(); }
  std::uint64_t spans() const { return spans_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> spans_{0};
};

TEST(Soak, SlowSinkCostsSpansAndNoMemory) {
  constexpr int kThreads = 8;
  const std::uint64_t each = 50'000'000 / kThreads / kSlower;
  const auto recorder = *SpanRecorder::Create({});
  const auto served = *recorder->AddServed("cart", "Get");
  const auto slow = std::make_shared<SlowSink>();
  const std::shared_ptr<GuardedSink> guarded = *GuardedSink::Create(slow);
  const auto drainer = *SpanDrainer::Create(*recorder, guarded);

  const std::size_t before = ResidentBytes();
  std::size_t most = 0;
  std::atomic<int> running{kThreads};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      const TraceContext caller = NewRoot();
      for (std::uint64_t i = 0; i < each; ++i) {
        ServerSpan span(served, caller);
        span.HandlerEnd();
        span.End(Outcome::kOk);
      }
      running.fetch_sub(1);
    });
  }
  while (running.load() > 0) {
    drainer->Drain().IgnoreError();  // mostly: the queue is full
    most = std::max(most, ResidentBytes());
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_TRUE(Eventually([&] { return drainer->Drain().ok(); }));
  ASSERT_TRUE(guarded->Flush(std::chrono::seconds(60)).ok());

  const DrainCounts& counts = drainer->counts();
  EXPECT_EQ(counts.delivered + counts.dropped, each * kThreads);
  EXPECT_EQ(counts.waiting, 0u);
  EXPECT_EQ(counts.discarded, 0u);
  EXPECT_EQ(slow->spans(), counts.delivered);
  EXPECT_GT(counts.dropped, 0u);  // it was too slow indeed
  // Rings 2 MiB, the guarded queue 4 MiB, batches and stacks.
  const std::size_t grown = most > before ? most - before : 0;
  EXPECT_LE(grown, 24 * kMiB * (kSlower > 1 ? 10 : 1));
  RecordProperty("delivered", std::to_string(counts.delivered));
  RecordProperty("dropped", std::to_string(counts.dropped));
  RecordProperty("grown_kib", std::to_string(grown >> 10));
}

TEST(Soak, TenThousandThreadsLeaveMemoryFlat) {
  const auto recorder = *SpanRecorder::Create({});  // rings of 4096 records
  const auto served = *recorder->AddServed("cart", "Get");
  const auto sink = std::make_shared<MemorySink>();
  const auto drainer = *SpanDrainer::Create(*recorder, sink);
  const int rounds = 1000 / kSlower;
  std::size_t early = 0;
  std::uint64_t got = 0;
  for (int round = 0; round < rounds; ++round) {
    std::vector<std::thread> threads;
    for (int t = 0; t < 10; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 100; ++i) ServerSpan(served, TraceContext()).End(Outcome::kOk);
      });
    }
    for (std::thread& thread : threads) thread.join();
    ASSERT_TRUE(drainer->Drain().ok());
    for (const SpanBatch& batch : sink->Take()) got += batch.spans.size();
    // Every ring has been filled once by then.
    if (round == rounds / 10) early = ResidentBytes();
  }
  const std::size_t late = ResidentBytes();
  EXPECT_EQ(got, static_cast<std::uint64_t>(rounds) * 1000);
  EXPECT_LE(late, early + 2 * kMiB * (kSlower > 1 ? 10 : 1));
  RecordProperty("early_kib", std::to_string(early >> 10));
  RecordProperty("late_kib", std::to_string(late >> 10));
}

TEST(Soak, ProcessThatBecomesAnotherProgramLeavesItsSpans) {
  const ScratchDirectory directory;
  Child child([&]() -> std::string {
    RecorderOptions options;
    options.directory = directory.path();
    const auto recorder = *SpanRecorder::Create(options);
    const auto served = *recorder->AddServed("cart", "Get");
    std::thread([&] { ServerSpan(served, TraceContext()).End(Outcome::kOk); }).join();
    ServerSpan(served, TraceContext()).End(Outcome::kOk);
    ::execl("/bin/sleep", "sleep", "60", nullptr);
    return "no exec";
  });
  NodeDrainerOptions options;
  options.directory = directory.path();
  options.remove_dead = true;
  const auto drainer = *NodeDrainer::Create(std::make_shared<MemorySink>(), options);
  EXPECT_TRUE(
      Eventually([&] { return drainer->Drain().ok() && drainer->counts().delivered == 2; }));
  child.Kill();
  child.Wait();
  EXPECT_TRUE(Eventually([&] { return drainer->Drain().ok() && directory.Files().empty(); }));
}

}  // namespace
}  // namespace seer
