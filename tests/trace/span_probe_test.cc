#include "seer/trace/span_probe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "seer/core/tsc_clock.h"
#include "seer/queue/collector.h"
#include "tests/queue/sandbox.h"

namespace seer {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ScratchDirectory;

constexpr std::int64_t kMs = 1'000'000;

class SpanProbeTest : public ::testing::Test {
 protected:
  SpanProbeTest() {
    options_.drainer.directory = directory_.path();
    options_.drainer.drainer.node = "node-1";
    options_.classes = {
        {"shop",
         "checkout",
         QosTarget::Percentile(0.99, milliseconds(20), seconds(1)),
         "frontend",
         {"checkout"}},
        {"shop", "other", QosTarget::AtMost(0.02, milliseconds(90), seconds(1)), "frontend", {}}};
    CollectorOptions collector;
    collector.node = "node-1";
    collector.clock = &clock_;
    collector.epoch = 3;
    collector.reader.directory = directory_.path();
    collector_ = *Collector::Create(collector);
  }

  std::unique_ptr<SpanRecorder> Process(const std::string& instance, std::uint32_t records = 64) {
    RecorderOptions options;
    options.directory = directory_.path();
    options.instance = instance;
    options.records_per_thread = records;
    return *SpanRecorder::Create(options);
  }
  // A request that took so long.
  static void Serve(const ServedMethod& method, std::int64_t latency_ns) {
    const SpanIds ids = SpanIds::Under(TraceContext());
    RawSpan span;
    span.trace_id = ids.trace_id;
    span.span_id = ids.span_id;
    const std::uint64_t now = method.Stamp();
    constexpr std::uint64_t kMany = 1'000'000'000;
    static const TscClock clock;
    const double ns_per_stamp =
        static_cast<double>(clock.ToUnixNs(now + kMany) - clock.ToUnixNs(now)) / kMany;
    span.Set(static_cast<std::size_t>(ServerStamp::kReceived), now);
    span.Set(static_cast<std::size_t>(ServerStamp::kReplySent),
             now + static_cast<std::uint64_t>(static_cast<double>(latency_ns) / ns_per_stamp));
    span.outcome = Outcome::kOk;
    method.Record(span);
  }
  const Snapshot& NextTick() {
    clock_.Advance(100 * kMs);
    return collector_->Tick();
  }
  ClassId IdOf(const char* name) const {
    return collector_->topology().FindRequestClass("shop", name).value_or(ClassId());
  }

  const ScratchDirectory directory_;
  ManualClock clock_{1'700'000'000'000 * kMs};
  SpanProbeOptions options_;
  std::unique_ptr<Collector> collector_;
};

TEST_F(SpanProbeTest, SnapshotsTellHowEachClassDid) {
  ASSERT_TRUE(SpanProbe::Install(options_, collector_.get()).ok());
  const auto frontend = Process("frontend-0"), second = Process("frontend-1");
  const auto checkout = *frontend->AddServed("frontend", "checkout");
  const auto elsewhere = *second->AddServed("frontend", "checkout");
  const auto browse = *frontend->AddServed("frontend", "browse");
  Serve(checkout, 5 * kMs);
  Serve(elsewhere, 30 * kMs);
  Serve(browse, 30 * kMs);

  const Snapshot& first = NextTick();
  ASSERT_EQ(first.classes.size(), 2u);
  const RequestClass& row = collector_->topology().request_class(IdOf("checkout"));
  EXPECT_EQ(row.target, options_.classes[0].target);
  EXPECT_EQ(collector_->topology().service(row.entry).name, "frontend");
  EXPECT_EQ(first.classes[IdOf("checkout").index()].count, 2u);
  EXPECT_EQ(first.classes[IdOf("checkout").index()].over_target, 1u);
  const std::int64_t slowest = first.classes[IdOf("checkout").index()].latency.Quantile(1.0);
  EXPECT_GT(slowest, 29 * kMs);
  EXPECT_LT(slowest, 32 * kMs);
  EXPECT_EQ(first.classes[IdOf("other").index()].count, 1u);
  EXPECT_EQ(first.classes[IdOf("other").index()].over_target, 0u);

  Serve(browse, kMs);
  const Snapshot& next = NextTick();
  ASSERT_EQ(next.classes.size(), 2u);
  EXPECT_EQ(next.classes[IdOf("checkout").index()].count, 0u);
  EXPECT_EQ(next.classes[IdOf("other").index()].count, 1u);
  EXPECT_EQ(next.health.spans_dropped, 0u);
}

TEST_F(SpanProbeTest, SpansThatAreLostAreCountedOnce) {
  ASSERT_TRUE(SpanProbe::Install(options_, collector_.get()).ok());
  const auto frontend = Process("frontend-0", 8);
  const auto checkout = *frontend->AddServed("frontend", "checkout");
  for (int i = 0; i < 20; ++i) Serve(checkout, kMs);
  const Snapshot& first = NextTick();
  EXPECT_EQ(first.health.spans_dropped, 12u);
  EXPECT_EQ(first.classes[IdOf("checkout").index()].count, 8u);
  Serve(checkout, kMs);
  EXPECT_EQ(NextTick().health.spans_dropped, 0u);
}

class Busy final : public TraceSink {
 public:
  absl::Status Write(const SpanBatch&) override { return absl::UnavailableError("not now"); }
  absl::Status Flush(std::chrono::nanoseconds) override { return absl::OkStatus(); }
};
TEST_F(SpanProbeTest, ASinkThatTakesNothingDoesNotBlindTheClasses) {
  options_.sink = std::make_shared<Busy>();
  ASSERT_TRUE(SpanProbe::Install(options_, collector_.get()).ok());
  const auto frontend = Process("frontend-0");
  const auto checkout = *frontend->AddServed("frontend", "checkout");
  for (int tick = 0; tick < 100; ++tick) {
    for (int i = 0; i < 10; ++i) Serve(checkout, kMs);
    const Snapshot& snapshot = NextTick();
    ASSERT_EQ(snapshot.classes[IdOf("checkout").index()].count, 10u) << tick;
    ASSERT_EQ(snapshot.health.spans_dropped, 10u) << tick;
    ASSERT_EQ(snapshot.health.probe_errors, 0u) << tick;
  }
}

TEST_F(SpanProbeTest, TheSinkGetsEverySpanWithItsNames) {
  const auto memory = std::make_shared<MemorySink>();
  options_.sink = memory;
  auto probe = SpanProbe::Create(options_);
  ASSERT_TRUE(probe.ok()) << probe.status();
  const auto frontend = Process("frontend-0");
  Serve(*frontend->AddServed("frontend", "checkout"), kMs);
  Snapshot snapshot;
  Topology none;
  ASSERT_TRUE((*probe)->Sample(none, &snapshot).ok());
  EXPECT_TRUE(snapshot.classes.empty()) << "nobody declared one";
  const std::vector<SpanBatch> batches = memory->Take();
  ASSERT_EQ(batches.size(), 1u);
  ASSERT_EQ(batches[0].spans.size(), 1u);
  const MethodId method = batches[0].spans[0].method();
  EXPECT_EQ((*probe)->topology().method(method).name, "checkout");
  EXPECT_EQ((*probe)->counts().delivered, 1u);
  EXPECT_EQ((*probe)->class_counts().requests, 1u);
  EXPECT_EQ((*probe)->refused_spans(), 0u);
}

TEST_F(SpanProbeTest, WhatIsWrongWithAClassIsNamed) {
  const auto message = [&] {
    const absl::Status status = SpanProbe::Install(options_, collector_.get());
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    return std::string(status.message());
  };
  options_.classes[1].target.latency_ns = 0;
  EXPECT_THAT(message(), ::testing::AllOf(::testing::HasSubstr("classes[1]"),
                                          ::testing::HasSubstr("latency_ns")));
  options_.classes[1] = options_.classes[0];
  EXPECT_THAT(message(), ::testing::HasSubstr("checkout"));
  options_.classes[1].name = "again";
  options_.classes[1].service = "";
  EXPECT_THAT(message(), ::testing::HasSubstr("service"));
  NextTick();
  EXPECT_EQ(collector_->topology().live_classes(), 0u);
}

}  // namespace
}  // namespace seer
