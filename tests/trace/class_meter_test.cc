#include "seer/trace/class_meter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tests/trace/recording.h"

namespace seer {
namespace {

using testing::MakeDrainer;
using testing::MakeRecorder;

constexpr std::int64_t kMs = 1'000'000;
constexpr std::int64_t kNow = 1'700'000'000'000 * kMs;

class ClassMeterTest : public ::testing::Test {
 protected:
  ClassMeterTest() : topology_(*Topology::OfNode("node-1", 7)) {
    const ServiceId shop = *topology_.AddService("shop");
    const ServiceId cart = *topology_.AddService("cart");
    checkout_ = *topology_.AddMethod(shop, "checkout");
    browse_ = *topology_.AddMethod(shop, "browse");
    get_ = *topology_.AddMethod(cart, "checkout");
    EXPECT_TRUE(meter_.AddClass(ClassId(2), {"shop", {"checkout"}, 20 * kMs}).ok());
    EXPECT_TRUE(meter_.AddClass(ClassId(0), {"shop", {}, 5 * kMs}).ok());
  }

  void Add(MethodId method, std::uint64_t id, std::int64_t start_ns, std::int64_t latency_ns,
           Outcome outcome = Outcome::kOk, SpanSide side = SpanSide::kServer) {
    Span span;
    span.SetIds({1, id}, id, 0);
    span.set_method(method);
    span.set_outcome(outcome);
    Span::Stamps stamps;
    stamps[0] = start_ns;
    if (outcome != Outcome::kUnknown) stamps[3] = start_ns + latency_ns;
    span.SetStamps(side, stamps);
    SpanBatch batch;
    batch.origin = topology_.origin();
    batch.spans = {span};
    meter_.Add(batch, topology_);
  }
  void Begin(MethodId method, std::uint64_t id, std::int64_t start_ns) {
    Add(method, id, start_ns, 0, Outcome::kUnknown);
  }
  std::vector<ClassSample> Fill(std::int64_t now = kNow) {
    std::vector<ClassSample> classes;
    meter_.Fill(now, &classes);
    return classes;
  }

  Topology topology_;
  MethodId checkout_, browse_, get_;
  ClassMeter meter_{{/*max_open=*/4, /*forget_after=*/std::chrono::seconds(10)}};
};

TEST_F(ClassMeterTest, RequestsCountInTheClassThatNamesThem) {
  Add(checkout_, 1, kNow, 10 * kMs);
  Add(checkout_, 2, kNow, 20 * kMs);  // the target itself is met
  Add(checkout_, 3, kNow, 20 * kMs + 1, Outcome::kFailed);
  Add(browse_, 4, kNow, 6 * kMs);
  Add(get_, 5, kNow, kMs);                                        // another service's
  Add(checkout_, 6, kNow, kMs, Outcome::kOk, SpanSide::kClient);  // a call
  const std::vector<ClassSample> classes = Fill();
  ASSERT_EQ(classes.size(), 3u);
  EXPECT_EQ(classes[2].count, 3u);
  EXPECT_EQ(classes[2].over_target, 1u);
  EXPECT_EQ(classes[2].latency.count(), 3u);
  EXPECT_NEAR(static_cast<double>(classes[2].latency.Quantile(0)), 10e6, 0.4e6);
  EXPECT_EQ(classes[0].count, 1u);
  EXPECT_EQ(classes[0].over_target, 1u);
  EXPECT_EQ(classes[1], ClassSample());
  EXPECT_EQ(meter_.counts().requests, 4u);
}

TEST_F(ClassMeterTest, EachTickBeginsAtZeroAndOtherRowsStay) {
  Add(checkout_, 1, kNow, kMs);
  std::vector<ClassSample> classes(5);
  classes[1].count = classes[4].count = 77;
  meter_.Fill(kNow, &classes);
  EXPECT_EQ(classes[2].count, 1u);
  meter_.Fill(kNow, &classes);
  EXPECT_EQ(classes[2], ClassSample());
  EXPECT_EQ(classes[1].count, 77u);
  EXPECT_EQ(classes.size(), 5u);
}

TEST_F(ClassMeterTest, OldestOpenRequestIsKnownUntilItEnds) {
  Begin(checkout_, 1, kNow - 300 * kMs);
  Begin(checkout_, 2, kNow - 100 * kMs);
  Begin(checkout_, 2, kNow - 100 * kMs);  // told twice
  EXPECT_EQ(Fill()[2].oldest_open_ns, 300 * kMs);
  EXPECT_EQ(Fill(kNow + kMs)[2].oldest_open_ns, 301 * kMs);
  Add(checkout_, 1, kNow - 300 * kMs, 310 * kMs);
  const std::vector<ClassSample> classes = Fill();
  EXPECT_EQ(classes[2].oldest_open_ns, 100 * kMs);
  EXPECT_EQ(classes[2].count, 1u);
  Add(checkout_, 2, kNow - 100 * kMs, 310 * kMs);
  EXPECT_EQ(Fill()[2].oldest_open_ns, 0);
  Begin(checkout_, 3, kNow + kMs);  // of a clock that is ahead: open, and young
  EXPECT_EQ(Fill()[2].oldest_open_ns, 1);
}

TEST_F(ClassMeterTest, EndThatArrivesBeforeItsBeginningLeavesNothingOpen) {
  Begin(checkout_, 1, kNow);
  Add(checkout_, 1, kNow, kMs);
  Add(checkout_, 2, kNow, kMs);
  Fill();
  Begin(checkout_, 2, kNow);
  EXPECT_EQ(Fill()[2].oldest_open_ns, 0);
}

TEST_F(ClassMeterTest, MemoryIsBounded) {
  for (std::uint64_t i = 1; i <= 10; ++i) Begin(checkout_, i, kNow - kMs);
  EXPECT_EQ(meter_.counts().refused, 6u);
  EXPECT_EQ(Fill()[2].oldest_open_ns, kMs);
  // Their ends were lost.
  EXPECT_EQ(Fill(kNow + 10'001 * kMs)[2].oldest_open_ns, 0);
  EXPECT_EQ(meter_.counts().forgotten, 4u);
  for (std::uint64_t i = 100; i < 200; ++i) Add(checkout_, i, kNow, kMs);
  Begin(checkout_, 300, kNow - kMs);  // there is room again
  EXPECT_EQ(Fill()[2].oldest_open_ns, kMs);
}

TEST_F(ClassMeterTest, AnotherNumberingIsLearntAnew) {
  Add(browse_, 1, kNow, kMs);
  topology_ = *Topology::OfNode("node-1", 8);
  const ServiceId shop = *topology_.AddService("shop");
  const MethodId checkout = *topology_.AddMethod(shop, "checkout");
  EXPECT_EQ(checkout, checkout_);
  Add(checkout, 2, kNow, kMs);
  const MethodId late = *topology_.AddMethod(shop, "late");  // and what is added later
  Add(late, 3, kNow, kMs);
  SpanBatch foreign;
  foreign.origin.epoch = 9;
  foreign.spans.resize(3);
  meter_.Add(foreign, topology_);
  const std::vector<ClassSample> classes = Fill();
  EXPECT_EQ(classes[0].count, 2u);
  EXPECT_EQ(classes[2].count, 1u);
}

TEST_F(ClassMeterTest, BadClassesAreRefused) {
  EXPECT_TRUE(absl::IsInvalidArgument(meter_.AddClass(ClassId(), {"shop", {}, 1})));
  EXPECT_TRUE(absl::IsInvalidArgument(meter_.AddClass(ClassId(5), {"", {}, 1})));
  EXPECT_TRUE(absl::IsInvalidArgument(meter_.AddClass(ClassId(5), {"shop", {}, 0})));
  EXPECT_TRUE(absl::IsAlreadyExists(meter_.AddClass(ClassId(2), {"shop", {}, 1})));
}

// From the recorder to the row.
TEST_F(ClassMeterTest, SpansOfARecorderFillARow) {
  const auto recorder = MakeRecorder(64);
  const auto sink = std::make_shared<MemorySink>();
  const auto drainer = MakeDrainer(*recorder, sink);
  const auto served = *recorder->AddServed("shop", "checkout");
  ServerSpan hangs(served, TraceContext());
  hangs.Recorded();
  ServerSpan(served, TraceContext()).End(Outcome::kOk);
  ASSERT_TRUE(drainer->Drain().ok());
  std::int64_t start_ns = 0;
  for (const SpanBatch& batch : sink->Take()) {
    meter_.Add(batch, drainer->topology());
    for (const Span& span : batch.spans) start_ns = std::max(start_ns, span.start_ns());
  }
  const std::vector<ClassSample> classes = Fill(start_ns + 50 * kMs);
  EXPECT_EQ(classes[2].count, 1u);
  EXPECT_GE(classes[2].oldest_open_ns, 50 * kMs);
}

}  // namespace
}  // namespace seer
