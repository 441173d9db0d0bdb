#include "seer/advise/diagnose.h"

#include <gtest/gtest.h>

#include "tests/advise/support.h"

namespace seer {
namespace {

using testing::HealthyBaseline;
using testing::ReadingOf;
using testing::Shop;
using testing::Stalls;

struct Bench {
  Diagnosis Of(const Stalls& stalls, const DiagnoseOptions& options = {}) {
    InstanceEvidence evidence;
    evidence.instance = shop.cart_0;
    evidence.reading = ReadingOf(stalls);
    evidence.baseline = &baseline;
    return Diagnose(row, absl::MakeSpan(&evidence, 1), options);
  }
  Shop shop;
  ClassForecast row = shop.Row(shop.buy, shop.cart);
  StallBaseline baseline = HealthyBaseline();
};

TEST(Diagnose, NamesTheResourceThatRoseMost) {
  Bench bench;
  for (const Resource resource :
       {Resource::kCpu, Resource::kMemoryCapacity, Resource::kNetwork, Resource::kStorage}) {
    SCOPED_TRACE(ResourceName(resource));
    const Diagnosis diagnosis = bench.Of({{resource, 500}});
    EXPECT_EQ(diagnosis.cause, CauseOf(resource));
    EXPECT_EQ(diagnosis.culprit, bench.shop.cart);
    EXPECT_EQ(diagnosis.instance, bench.shop.cart_0);
    EXPECT_NEAR(diagnosis.confidence, 0.9, 0.01);
    ASSERT_FALSE(diagnosis.evidence.empty());
    EXPECT_EQ(diagnosis.evidence[0].resource, resource);
    EXPECT_NEAR(diagnosis.evidence[0].value, 500, 1);
    EXPECT_NEAR(diagnosis.evidence[0].healthy, 10, 1);
  }
}

TEST(Diagnose, TwoCausesAlikeAreLessSure) {
  Bench bench;
  const Diagnosis clear = bench.Of({{Resource::kCpu, 500}, {Resource::kStorage, 60}});
  const Diagnosis mixed = bench.Of({{Resource::kCpu, 500}, {Resource::kStorage, 450}});
  EXPECT_EQ(clear.cause, Cause::kCpu);
  EXPECT_LT(mixed.confidence, clear.confidence);
  DiagnoseOptions strict;
  strict.min_confidence = 0.6f;
  EXPECT_EQ(bench.Of({{Resource::kCpu, 500}, {Resource::kStorage, 450}}, strict).cause,
            Cause::kUndecided);
}

TEST(Diagnose, NothingThatRoseIsTheApplication) {
  Bench bench;
  const Diagnosis diagnosis = bench.Of({});
  EXPECT_EQ(diagnosis.cause, Cause::kApplication);
  // Caches were not observed: less sure than if they had been.
  EXPECT_NEAR(diagnosis.confidence, 0.9 * 0.64, 0.01);
  EXPECT_FALSE(diagnosis.evidence.empty());
}

TEST(Diagnose, LoadHasNoCulprit) {
  Bench bench;
  bench.row.initiators = {{ServiceId(), 0.8f}, {bench.shop.cart, 0.2f}};
  const Diagnosis diagnosis = bench.Of({{Resource::kCpu, 500}});
  EXPECT_EQ(diagnosis.cause, Cause::kLoad);
  EXPECT_FALSE(diagnosis.culprit.valid());
}

TEST(Diagnose, MoreRequestsThanProcessorsIsLoad) {
  Bench bench;
  InstanceEvidence evidence;
  evidence.reading = ReadingOf({{Resource::kCpu, 500}}, 300);
  evidence.reading.instance[Resource::kCpu].utilisation = {0.97, Quality::kOk, Reason::kNone,
                                                           Scope::kCgroup};
  evidence.baseline = &bench.baseline;
  const Diagnosis diagnosis = Diagnose(bench.row, absl::MakeSpan(&evidence, 1));
  EXPECT_EQ(diagnosis.cause, Cause::kLoad);
  EXPECT_EQ(diagnosis.culprit, bench.shop.cart);
}

TEST(Diagnose, AbstainsWithoutACulpritBaselineRequestsOrSight) {
  Bench bench;
  const auto cause = [&](const InstanceEvidence& evidence) {
    return Diagnose(bench.row, absl::MakeSpan(&evidence, 1)).cause;
  };
  InstanceEvidence evidence;
  evidence.reading = ReadingOf({{Resource::kCpu, 500}});
  EXPECT_EQ(cause(evidence), Cause::kUndecided);  // no baseline
  evidence.baseline = &bench.baseline;
  EXPECT_EQ(cause(evidence), Cause::kCpu);
  evidence.reading.interval_ns = 0;
  EXPECT_EQ(cause(evidence), Cause::kUndecided);
  evidence.reading = ReadingOf({});
  evidence.reading.instance[Resource::kStorage].delay_us = HwSignal();
  EXPECT_EQ(cause(evidence), Cause::kUndecided);  // it could be the storage
  EXPECT_EQ(Diagnose(bench.row, {}).cause, Cause::kUndecided);
  bench.row.initiators = {{bench.shop.cart, 0.2f}, {bench.shop.front, 0.15f}};
  evidence.reading = ReadingOf({{Resource::kCpu, 500}});
  EXPECT_EQ(cause(evidence), Cause::kUndecided);  // no clear culprit
  bench.row.initiators.clear();
  EXPECT_EQ(cause(evidence), Cause::kUndecided);
}

TEST(Diagnose, WhoGetsFewRequestsHangsOrIsSeldomCalled) {
  Bench bench;
  const auto found = [&](const Stalls& stalls, std::uint64_t requests, std::int64_t interval_ns) {
    InstanceEvidence evidence;
    evidence.instance = bench.shop.cart_0;
    evidence.baseline = &bench.baseline;
    evidence.reading = ReadingOf(stalls, 1, interval_ns);  // all that was waited for
    evidence.reading.requests = requests;
    return Diagnose(bench.row, absl::MakeSpan(&evidence, 1)).cause;
  };
  constexpr std::int64_t kMs = 1'000'000;
  // A hundred are usual in 100 ms: what was waited for is held against these.
  EXPECT_EQ(found({{Resource::kCpu, 80'000}}, 1, 100 * kMs), Cause::kCpu);
  EXPECT_EQ(found({{Resource::kCpu, 80'000}}, 0, 100 * kMs), Cause::kCpu);
  EXPECT_EQ(found({{Resource::kCpu, 900}}, 1, 100 * kMs), Cause::kApplication);
  EXPECT_EQ(found({}, 0, 100 * kMs), Cause::kApplication);
  // Two are: only what is clear.
  EXPECT_EQ(found({{Resource::kCpu, 80'000}}, 1, 2 * kMs), Cause::kCpu);
  EXPECT_EQ(found({{Resource::kCpu, 900}}, 1, 2 * kMs), Cause::kUndecided);
  EXPECT_EQ(found({}, 1, 2 * kMs), Cause::kUndecided);
}

TEST(Diagnose, AFewRequestsMoreAreChance) {
  Bench bench;
  const auto found = [&](std::uint64_t requests, std::int64_t interval_ns) {
    InstanceEvidence evidence;
    evidence.baseline = &bench.baseline;
    evidence.reading = ReadingOf({{Resource::kStorage, 900}}, requests, interval_ns);
    return Diagnose(bench.row, absl::MakeSpan(&evidence, 1)).cause;
  };
  EXPECT_EQ(found(16, 10'000'000), Cause::kStorage);  // ten are usual
  EXPECT_EQ(found(160, 100'000'000), Cause::kLoad);   // a hundred are
}

TEST(Diagnose, WhoWaitsForThoseThatWaitForMemoryWaitsForMemory) {
  Bench bench;
  bench.baseline = HealthyBaseline({{Resource::kCache, 10}, {Resource::kMemoryBandwidth, 10}});
  const auto found = [&](double bandwidth_us, double in_use) {
    InstanceEvidence evidence;
    evidence.baseline = &bench.baseline;
    evidence.reading = ReadingOf({{Resource::kCpu, 5000},
                                  {Resource::kCache, 10},
                                  {Resource::kMemoryBandwidth, bandwidth_us}});
    evidence.reading.instance[Resource::kCpu].utilisation = {in_use, Quality::kOk, Reason::kNone,
                                                             Scope::kCgroup};
    const Diagnosis diagnosis = Diagnose(bench.row, absl::MakeSpan(&evidence, 1));
    EXPECT_GT(diagnosis.confidence, 0.8);
    return diagnosis.cause;
  };
  EXPECT_EQ(found(1500, 0.95), Cause::kMemoryBandwidth);
  EXPECT_EQ(found(100, 0.95), Cause::kCpu);  // too little to be behind it
  EXPECT_EQ(found(600, 0.3), Cause::kCpu);   // neighbours have the processor
  // Part of the reading is of before.
  EXPECT_EQ(found(600, 0.6), Cause::kCpu);
  EXPECT_EQ(found(2000, 0.6), Cause::kMemoryBandwidth);
}

TEST(Diagnose, WhereProcessorsAreHeldLongerForMemoryItIsTheMemory) {
  Bench bench;
  const auto in_use = [](double use, HwReading* reading) {
    reading->instance[Resource::kCpu].utilisation = {use, Quality::kOk, Reason::kNone,
                                                     Scope::kCgroup};
  };
  HwReading healthy = ReadingOf({{Resource::kCache, 10}, {Resource::kMemoryBandwidth, 10}});
  in_use(0.1, &healthy);  // a hundred microseconds for a request
  bench.baseline = StallBaseline();
  for (int i = 0; i < 10; ++i) (void)bench.baseline.Learn(healthy);
  const auto found = [&](double bandwidth_us, double use) {
    InstanceEvidence evidence;
    evidence.baseline = &bench.baseline;
    evidence.reading = ReadingOf({{Resource::kCpu, 50'000},
                                  {Resource::kCache, 10},
                                  {Resource::kMemoryBandwidth, bandwidth_us}});
    in_use(use, &evidence.reading);
    return Diagnose(bench.row, absl::MakeSpan(&evidence, 1)).cause;
  };
  // However long the queue for processors has become by then.
  EXPECT_EQ(found(500, 0.7), Cause::kMemoryBandwidth);
  EXPECT_EQ(found(3000, 0.7), Cause::kMemoryBandwidth);
  EXPECT_EQ(found(10, 0.7), Cause::kCpu);   // nobody waits for memory
  EXPECT_EQ(found(500, 0.3), Cause::kCpu);  // neighbours have the processor
  in_use(0.5, &healthy);
  for (int i = 0; i < 100; ++i) (void)bench.baseline.Learn(healthy);
  EXPECT_EQ(found(500, 0.7), Cause::kCpu);  // held hardly longer than usual
}

TEST(Diagnose, ARiseIsHeldAgainstWhatARequestTakesThere) {
  Bench bench;
  const auto found = [&](double in_use, const DiagnoseOptions& options) {
    // A hundred requests in 100 ms: one of them works for that part of a millisecond.
    HwReading healthy = ReadingOf({});
    healthy.instance[Resource::kCpu].utilisation = {in_use, Quality::kOk, Reason::kNone,
                                                    Scope::kCgroup};
    bench.baseline = StallBaseline();
    for (int i = 0; i < 10; ++i) EXPECT_TRUE(bench.baseline.Learn(healthy));
    return bench.Of({{Resource::kStorage, 110}}, options).cause;
  };
  EXPECT_EQ(found(0.1, {}), Cause::kStorage);
  EXPECT_EQ(found(0.9, {}), Cause::kApplication);  // a hundred of nine hundred are little
  DiagnoseOptions told;
  told.rules.healthy_latency_us = 200;
  EXPECT_EQ(found(0.9, told), Cause::kStorage);
}

TEST(Diagnose, WhatWasShortForAMomentIsNotBlamed) {
  Bench bench;
  InstanceEvidence evidence;
  evidence.instance = bench.shop.cart_0;
  evidence.baseline = &bench.baseline;
  evidence.parts.assign(4, ReadingOf({}));
  evidence.parts[2] = ReadingOf({{Resource::kNetwork, 4000}});
  for (const HwReading& part : evidence.parts) AddReading(part, &evidence.reading);
  EXPECT_EQ(Diagnose(bench.row, absl::MakeSpan(&evidence, 1)).cause, Cause::kApplication);
  evidence.parts[3] = evidence.parts[2];  // in half of them
  EXPECT_EQ(Diagnose(bench.row, absl::MakeSpan(&evidence, 1)).cause, Cause::kNetwork);
  // Nobody kept them.
  evidence.parts.clear();
  EXPECT_EQ(Diagnose(bench.row, absl::MakeSpan(&evidence, 1)).cause, Cause::kNetwork);
}

TEST(Diagnose, NamesTheReplicaThatStandsOut) {
  Bench bench;
  InstanceEvidence both[2];
  both[0].instance = bench.shop.cart_0;
  both[1].instance = bench.shop.cart_1;
  both[0].baseline = both[1].baseline = &bench.baseline;
  both[0].reading = ReadingOf({});
  both[1].reading = ReadingOf({{Resource::kStorage, 900}});
  Diagnosis diagnosis = Diagnose(bench.row, both);
  EXPECT_EQ(diagnosis.cause, Cause::kStorage);
  EXPECT_EQ(diagnosis.instance, bench.shop.cart_1);
  both[0].reading = ReadingOf({{Resource::kStorage, 800}});
  diagnosis = Diagnose(bench.row, both);
  EXPECT_EQ(diagnosis.cause, Cause::kStorage);
  EXPECT_FALSE(diagnosis.instance.valid());
}

TEST(Diagnose, CacheAndBandwidthThatCannotBeToldApartAreLessSure) {
  Bench bench;
  bench.baseline = HealthyBaseline({{Resource::kCache, 10}});
  const Diagnosis merged = bench.Of({{Resource::kCache, 500}});
  EXPECT_EQ(merged.cause, Cause::kCache);
  EXPECT_NEAR(merged.confidence, 0.45, 0.01);
  bench.baseline = HealthyBaseline({{Resource::kCache, 10}, {Resource::kMemoryBandwidth, 10}});
  const Diagnosis apart = bench.Of({{Resource::kCache, 500}, {Resource::kMemoryBandwidth, 10}});
  EXPECT_EQ(apart.cause, Cause::kCache);
  EXPECT_NEAR(apart.confidence, 0.9, 0.01);
}

}  // namespace
}  // namespace seer
