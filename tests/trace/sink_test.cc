#include "seer/trace/sink.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace seer {
namespace {

using std::chrono::nanoseconds;

SpanBatch BatchOf(std::size_t spans, std::uint64_t sequence = 0) {
  SpanBatch batch;
  batch.sequence = sequence;
  batch.spans.resize(spans);
  return batch;
}

// Returns what it is told to.
class ScriptedSink final : public TraceSink {
 public:
  explicit ScriptedSink(absl::Status status) : status_(std::move(status)) {}
  absl::Status Write(const SpanBatch& batch) override {
    seen.push_back(batch.sequence);
    return status_;
  }
  absl::Status Flush(nanoseconds timeout) override {
    flush_timeout = timeout;
    return status_;
  }
  std::vector<std::uint64_t> seen;
  nanoseconds flush_timeout = nanoseconds(-1);

 private:
  const absl::Status status_;
};

TEST(MemorySink, KeepsBatchesInOrderUntilTheyAreTaken) {
  MemorySink sink;
  for (std::uint64_t i = 0; i < 3; ++i) ASSERT_TRUE(sink.Write(BatchOf(i, i)).ok());
  const std::vector<SpanBatch> taken = sink.Take();
  ASSERT_EQ(taken.size(), 3u);
  for (std::uint64_t i = 0; i < 3; ++i) EXPECT_EQ(taken[i], BatchOf(i, i));
  EXPECT_TRUE(sink.Take().empty());
  EXPECT_EQ(sink.counts().batches, 3u);
  EXPECT_EQ(sink.counts().spans, 3u);
  EXPECT_TRUE(sink.Flush(nanoseconds(0)).ok());
}

TEST(MemorySink, RefusesWhatDoesNotFitAndCountsIt) {
  MemorySink sink(10);
  EXPECT_TRUE(sink.Write(BatchOf(4)).ok());
  const absl::Status status = sink.Write(BatchOf(5));  // a batch counts one more
  EXPECT_TRUE(absl::IsResourceExhausted(status));
  EXPECT_NE(status.message().find("max_spans is 10"), status.message().npos);
  EXPECT_TRUE(sink.Write(BatchOf(4)).ok());
  EXPECT_FALSE(sink.Write(BatchOf(0)).ok());
  EXPECT_EQ(sink.counts().refused_spans, 5u);
  EXPECT_EQ(sink.Take().size(), 2u);
  EXPECT_TRUE(sink.Write(BatchOf(9)).ok());
  EXPECT_EQ(sink.counts().spans, 17u);
}

TEST(MemorySinkConcurrency, EachSpanIsTakenOrRefusedOnce) {
  MemorySink sink(64);
  constexpr std::uint64_t kThreads = 4, kEach = 500;
  std::vector<std::thread> writers;
  for (std::uint64_t t = 0; t < kThreads; ++t) {
    writers.emplace_back([&] {
      for (std::uint64_t i = 0; i < kEach; ++i) sink.Write(BatchOf(3)).IgnoreError();
    });
  }
  std::uint64_t taken = 0;
  for (int i = 0; i < 100; ++i) taken += sink.Take().size();
  for (std::thread& writer : writers) writer.join();
  taken += sink.Take().size();
  EXPECT_EQ(sink.counts().batches, taken);
  EXPECT_EQ(sink.counts().spans + sink.counts().refused_spans, 3 * kThreads * kEach);
}

TEST(TeeSink, OffersEachBatchOnceToEachSink) {
  auto good = std::make_shared<ScriptedSink>(absl::OkStatus());
  auto busy = std::make_shared<ScriptedSink>(absl::UnavailableError("busy"));
  auto broken = std::make_shared<ScriptedSink>(absl::DataLossError("broken"));
  TeeSink tee({busy, nullptr, good, broken});
  EXPECT_TRUE(tee.Write(BatchOf(1, 1)).ok());
  EXPECT_TRUE(tee.Write(BatchOf(1, 2)).ok());
  for (const auto& sink : {good, busy, broken}) {
    EXPECT_EQ(sink->seen, (std::vector<std::uint64_t>{1, 2}));
  }
}

TEST(TeeSink, RefusesOnlyWhatNobodyTook) {
  auto busy = std::make_shared<ScriptedSink>(absl::UnavailableError("busy"));
  auto broken = std::make_shared<ScriptedSink>(absl::DataLossError("broken"));
  EXPECT_TRUE(absl::IsUnavailable(TeeSink({busy, broken}).Write(BatchOf(1))));
  EXPECT_TRUE(absl::IsDataLoss(TeeSink({broken, busy}).Write(BatchOf(1))));
  EXPECT_TRUE(TeeSink({}).Write(BatchOf(1)).ok());
}

TEST(TeeSink, FlushesAllAndTellsTheFirstError) {
  auto first = std::make_shared<ScriptedSink>(absl::OkStatus());
  auto second = std::make_shared<ScriptedSink>(absl::DeadlineExceededError("slow"));
  auto third = std::make_shared<ScriptedSink>(absl::OkStatus());
  TeeSink tee({first, second, third});
  EXPECT_TRUE(absl::IsDeadlineExceeded(tee.Flush(std::chrono::hours(1))));
  for (const auto& sink : {first, second, third}) {
    EXPECT_GT(sink->flush_timeout, nanoseconds(0));
    EXPECT_LE(sink->flush_timeout, std::chrono::hours(1));
  }
}

}  // namespace
}  // namespace seer
