#include "seer/hwmon/attribution.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/hwmon/samples.h"

namespace seer {
namespace {

using testing::Good;
using testing::HealthyReading;
using Verdict = StallAttribution::Verdict;

StallBaseline Baseline() {
  StallBaseline baseline;
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(baseline.Learn(HealthyReading(100, 10 + i % 3)));
  return baseline;
}

HwReading With(Resource resource, double stall_us, std::uint64_t requests = 100) {
  HwReading reading = HealthyReading(requests, 11);
  reading.instance[resource].delay_us.value = stall_us * static_cast<double>(requests);
  return reading;
}

TEST(Attribution, BlamesWhatRoseAndNothingElse) {
  const StallBaseline baseline = Baseline();
  for (Resource resource : kAllResources) {
    SCOPED_TRACE(ResourceName(resource));
    const StallAttribution found = Attribute(With(resource, 200), baseline);
    EXPECT_EQ(found.verdict, Verdict::kResource);
    EXPECT_EQ(found.worst().resource, resource);
    EXPECT_NEAR(found.worst().rise_us, 189, 1);
    EXPECT_EQ(found.compared, kResources);
    EXPECT_FALSE(found.rises()[1].blamed);
    EXPECT_FALSE(found.memory_merged);
    EXPECT_NEAR(found.request_ratio, 1, 1e-9);
  }
  EXPECT_EQ(Attribute(HealthyReading(100, 11), baseline).verdict, Verdict::kNone);
}

TEST(Attribution, ARiseThatDoesNotMatterIsNone) {
  const StallBaseline baseline = Baseline();
  EXPECT_EQ(Attribute(With(Resource::kCpu, 11 + 39), baseline).verdict, Verdict::kNone);
  EXPECT_EQ(Attribute(With(Resource::kCpu, 11 + 41), baseline).verdict, Verdict::kResource);
  AttributionRules rules;
  rules.healthy_latency_us = 1000;  // 150 us
  EXPECT_EQ(Attribute(With(Resource::kCpu, 11 + 149), baseline, rules).verdict, Verdict::kNone);
  EXPECT_EQ(Attribute(With(Resource::kCpu, 11 + 151), baseline, rules).verdict, Verdict::kResource);
  // As far as it moves by itself when all is well.
  StallBaseline restless;
  for (int i = 0; i < 20; ++i) restless.Learn(HealthyReading(100, i % 2 == 0 ? 100 : 200));
  EXPECT_EQ(Attribute(With(Resource::kCpu, 340), restless).verdict, Verdict::kNone);
  EXPECT_EQ(Attribute(With(Resource::kCpu, 360), restless).verdict, Verdict::kResource);
}

TEST(Attribution, TwoCausesAreRanked) {
  HwReading reading = With(Resource::kStorage, 500);
  reading.instance[Resource::kNetwork].delay_us.value = 300 * 100;
  const StallAttribution found = Attribute(reading, Baseline());
  EXPECT_EQ(found.rises()[0].resource, Resource::kStorage);
  EXPECT_EQ(found.rises()[1].resource, Resource::kNetwork);
  EXPECT_TRUE(found.rises()[0].blamed && found.rises()[1].blamed);
  EXPECT_FALSE(found.rises()[2].blamed);
}

TEST(Attribution, WithoutBaselineOrRequestsNothingIsSaid) {
  EXPECT_EQ(Attribute(With(Resource::kCpu, 1e6), StallBaseline()).verdict, Verdict::kUndecided);
  StallBaseline two;
  two.Learn(HealthyReading());
  two.Learn(HealthyReading());
  EXPECT_EQ(Attribute(With(Resource::kCpu, 1e6), two).verdict, Verdict::kUndecided);
  HwReading no_requests = With(Resource::kCpu, 1e6);
  no_requests.requests = 0;
  EXPECT_EQ(Attribute(no_requests, Baseline()).verdict, Verdict::kUndecided);
  AttributionRules rules;
  rules.min_requests = 0;
  EXPECT_EQ(Attribute(no_requests, Baseline(), rules).verdict, Verdict::kUndecided);
  EXPECT_EQ(Attribute(HwReading(), Baseline()).verdict, Verdict::kUndecided);
}

TEST(Attribution, WhatIsNotObservedIsNeitherBlamedNorCleared) {
  HwReading reading = With(Resource::kMemoryBandwidth, 1e6);
  for (Resource hidden : {Resource::kCache, Resource::kMemoryBandwidth}) {
    reading.instance[hidden].delay_us.quality = Quality::kUnavailable;
    reading.instance[hidden].delay_us.reason = Reason::kNotObserved;
  }
  const StallAttribution found = Attribute(reading, Baseline());
  EXPECT_EQ(found.verdict, Verdict::kNone);
  EXPECT_TRUE(found.unobserved[static_cast<std::size_t>(Resource::kCache)]);
  EXPECT_TRUE(found.unobserved[static_cast<std::size_t>(Resource::kMemoryBandwidth)]);
  EXPECT_EQ(found.compared, 4u);
}

TEST(Attribution, AQuotaIsNamed) {
  HwReading reading = With(Resource::kCpu, 500);
  EXPECT_FALSE(Attribute(reading, Baseline()).quota);
  reading.instance[Resource::kCpu].saturation = Good(0.8, Scope::kCgroup);
  EXPECT_TRUE(Attribute(reading, Baseline()).quota);
}

TEST(Attribution, MoreRequestsThanProcessorsAreLoadNotNeighbours) {
  HwReading reading = With(Resource::kCpu, 500, 200);
  reading.instance[Resource::kCpu].utilisation.value = 0.97;
  EXPECT_EQ(Attribute(reading, Baseline()).verdict, Verdict::kLoad);
  // It waits although there are processors left: others have them.
  reading.instance[Resource::kCpu].utilisation.value = 0.5;
  EXPECT_EQ(Attribute(reading, Baseline()).verdict, Verdict::kResource);
  // As many requests as always.
  reading = With(Resource::kCpu, 500, 100);
  reading.instance[Resource::kCpu].utilisation.value = 0.97;
  EXPECT_EQ(Attribute(reading, Baseline()).verdict, Verdict::kResource);
}

TEST(Attribution, ALinkThatItsOwnRequestsFillIsLoad) {
  for (const Resource resource : {Resource::kNetwork, Resource::kStorage}) {
    EXPECT_EQ(Attribute(With(resource, 500, 160), Baseline()).verdict, Verdict::kLoad);
    EXPECT_EQ(Attribute(With(resource, 500, 140), Baseline()).verdict, Verdict::kResource);
  }
  // More requests do not push pages out, nor lines.
  for (const Resource resource : {Resource::kMemoryCapacity, Resource::kCache}) {
    EXPECT_EQ(Attribute(With(resource, 500, 300), Baseline()).verdict, Verdict::kResource);
  }
}

// A monitor without counters measures the host's cache by a probe of its own (scope kHost): the
// share of the processor time that the slowdown would explain, and that share of all of it.
HwReading ProbedCache(double share, double busy_of_healthy) {
  HwReading reading = HealthyReading(100, 11);
  reading.instance[Resource::kCpu].utilisation.value = 0.3 * busy_of_healthy;
  const double run_us = 100'000 * 0.3 * busy_of_healthy;
  reading.instance[Resource::kCache].saturation = Good(share, Scope::kHost);
  reading.instance[Resource::kCache].delay_us = Good(run_us * share, Scope::kHost);
  reading.instance[Resource::kMemoryBandwidth] = {};
  return reading;
}

StallBaseline ProbedBaseline() {
  StallBaseline baseline;
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(baseline.Learn(ProbedCache(0.02, 1)));
  return baseline;
}

TEST(Attribution, AProbesSlowdownCountsAsFarAsTheInstanceFeelsIt) {
  const StallBaseline baseline = ProbedBaseline();
  // The probe is twice as slow, and so is the instance.
  const StallAttribution both = Attribute(ProbedCache(0.5, 2), baseline);
  EXPECT_EQ(both.verdict, Verdict::kResource);
  EXPECT_EQ(both.worst().resource, Resource::kCache);
  EXPECT_TRUE(both.memory_merged);
  EXPECT_NEAR(both.worst().rise_us, 294, 1);  // of 600 us of processor time, less the healthy 6
  // The probe alone is slow: the instance does not use the cache as much.
  EXPECT_EQ(Attribute(ProbedCache(0.5, 1), baseline).verdict, Verdict::kNone);
  // The instance alone needs more: it does more for a request.
  EXPECT_EQ(Attribute(ProbedCache(0.02, 2), baseline).verdict, Verdict::kNone);
}

TEST(Attribution, AProbeAndWhatIsFeltAreTwoWitnesses) {
  StallBaseline baseline;
  for (int i = 0; i < 10; ++i) {
    EXPECT_TRUE(baseline.Learn(ProbedCache(i % 2 == 0 ? 0.05 : 0.45, 1)));  // 75 us, spread 60
  }
  // 141 us more of the probe's, 60 of which the instance feels.
  const StallAttribution found = Attribute(ProbedCache(0.6, 1.2), baseline);
  EXPECT_EQ(found.verdict, Verdict::kResource);
  EXPECT_NEAR(found.worst().rise_us, 60, 1);
  // 55 us more of the probe's: as it moves by itself.
  EXPECT_EQ(Attribute(ProbedCache(0.36, 1.2), baseline).verdict, Verdict::kNone);
  // 18 us of it are felt.
  EXPECT_EQ(Attribute(ProbedCache(0.6, 1.06), baseline).verdict, Verdict::kNone);
  // 27 are, and its processor time moves by as much when all is well: spread 30 us.
  StallBaseline uneven;
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(uneven.Learn(ProbedCache(0.02, i % 2 == 0 ? 0.9 : 1.1)));
  EXPECT_EQ(Attribute(ProbedCache(0.6, 1.09), uneven).verdict, Verdict::kNone);
  EXPECT_EQ(Attribute(ProbedCache(0.6, 1.11), uneven).verdict, Verdict::kResource);
}

TEST(Attribution, ReadingsAddUp) {
  HwReading a = HealthyReading(100, 10), b = HealthyReading(300, 20);
  b.interval_ns = 300'000'000;
  b.end_ns += 300'000'000;
  b.instance[Resource::kCpu].utilisation.value = 0.7;
  b.instance[Resource::kStorage].delay_us.quality = Quality::kScaled;
  b.instance[Resource::kStorage].delay_us.reason = Reason::kMultiplexed;
  b.instance[Resource::kNetwork].delay_us = {0, Quality::kUnavailable, Reason::kPermission,
                                             Scope::kHost};
  HwReading total;
  AddReading(HwReading(), &total);  // of a first Read
  EXPECT_EQ(total.interval_ns, 0);
  AddReading(a, &total);
  EXPECT_EQ(total, a);
  AddReading(b, &total);
  EXPECT_EQ(total.requests, 400u);
  EXPECT_EQ(total.interval_ns, 400'000'000);
  EXPECT_EQ(total.end_ns, b.end_ns);
  EXPECT_NEAR(total.instance[Resource::kCpu].delay_us.value, 100 * 10 + 300 * 20, 1e-9);
  EXPECT_NEAR(total.instance[Resource::kCpu].utilisation.value, 0.25 * 0.3 + 0.75 * 0.7, 1e-9);
  EXPECT_EQ(total.instance[Resource::kStorage].delay_us.quality, Quality::kScaled);
  EXPECT_EQ(total.instance[Resource::kNetwork].delay_us.reason, Reason::kPermission);
  AddReading(a, &total);
  EXPECT_FALSE(total.instance[Resource::kNetwork].delay_us.usable());
}

// As a live trial recorded it (network victim, three processes on its processor): a packet was seen
// waiting at both ends of one of eight readings, which is 100 ms of waiting for somebody.
TEST(Attribution, WhatCameAndWentIsNotBlamed) {
  StallBaseline baseline;
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(baseline.Learn(HealthyReading(20, 7)));
  std::vector<HwReading> readings(8, HealthyReading(20, 7));
  for (HwReading& reading : readings) {
    reading.instance[Resource::kCpu].delay_us.value = 157 * 20;
  }
  readings[5].instance[Resource::kNetwork].delay_us.value = 100'000;
  HwReading total;
  for (const HwReading& reading : readings) AddReading(reading, &total);
  EXPECT_EQ(Attribute(total, baseline).worst().resource, Resource::kNetwork);
  const StallAttribution found = Attribute(readings, baseline);
  EXPECT_EQ(found.verdict, Verdict::kResource);
  EXPECT_EQ(found.worst().resource, Resource::kCpu);
  EXPECT_FALSE(found.rises()[1].blamed);
  EXPECT_EQ(found.rises()[1].resource, Resource::kNetwork);
  EXPECT_NEAR(found.worst().now_us, 157, 1e-9);

  // A process that ran for a moment, and nothing else.
  std::vector<HwReading> quiet(8, HealthyReading(20, 7));
  quiet[2].instance[Resource::kCpu].delay_us.value = 20'000;
  EXPECT_EQ(Attribute(quiet, baseline).verdict, Verdict::kNone);
  for (const std::size_t i : {0u, 7u}) quiet[i].instance[Resource::kCpu].delay_us.value = 20'000;
  EXPECT_EQ(Attribute(quiet, baseline).verdict, Verdict::kResource);  // three of eight
  // Of one reading it is that reading; of none nothing.
  EXPECT_EQ(Attribute(absl::MakeSpan(&quiet[2], 1), baseline).verdict, Verdict::kResource);
  EXPECT_EQ(Attribute(absl::Span<const HwReading>(), baseline).verdict, Verdict::kUndecided);
}

// As a live trial recorded it (network victim, seed 12): requests come by chance, and the quota
// runs out in two of nine periods; p95 rose from 0.2 to 16 ms.
TEST(Attribution, AQuotaThatRunsOutInFewOfItsPeriodsIsBlamed) {
  StallBaseline baseline;
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(baseline.Learn(HealthyReading(20, 1)));
  const double kHeldBack[] = {23'678, 37'797, 0, 8, 0, 0, 9, 0};
  const double kOfPeriods[] = {0.5, 1, 0, 0, 0, 0, 0, 0};
  const std::uint64_t kRequests[] = {23, 20, 19, 21, 24, 20, 18, 14};
  std::vector<HwReading> readings(8, HealthyReading(20, 1));
  for (std::size_t i = 0; i < readings.size(); ++i) {
    readings[i].requests = kRequests[i];
    readings[i].instance[Resource::kCpu].delay_us.value = kHeldBack[i];
    readings[i].instance[Resource::kCpu].saturation = Good(kOfPeriods[i], Scope::kCgroup);
  }
  for (const std::size_t ticks : {3u, 8u}) {
    const StallAttribution found = Attribute(absl::MakeSpan(readings.data(), ticks), baseline);
    EXPECT_EQ(found.verdict, Verdict::kResource);
    EXPECT_EQ(found.worst().resource, Resource::kCpu);
    EXPECT_TRUE(found.quota);
  }
  // The same without a quota came and went.
  for (HwReading& reading : readings) {
    reading.instance[Resource::kCpu].saturation.scope = Scope::kProcess;
  }
  EXPECT_EQ(Attribute(readings, baseline).verdict, Verdict::kNone);
}

TEST(Attribution, AServiceThatAnswersNothingAnyMoreIsStillJudged) {
  StallBaseline baseline;
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(baseline.Learn(HealthyReading(20, 7)));
  // It waits for storage all the time, and gets one request done in a second.
  std::vector<HwReading> readings(10, HealthyReading(0, 0));
  readings[9].requests = 6;
  for (HwReading& reading : readings) {
    reading.instance[Resource::kStorage].delay_us.value = 99'000;
  }
  EXPECT_EQ(Attribute(readings, baseline).worst().resource, Resource::kStorage);
  EXPECT_EQ(Attribute(readings, baseline).verdict, Verdict::kResource);
  readings[9].requests = 0;
  EXPECT_EQ(Attribute(readings, baseline).verdict, Verdict::kUndecided);
}

TEST(Attribution, AProbeThatWasStarvedInSomeReadingsIsStoodForByTheRest) {
  const StallBaseline baseline = ProbedBaseline();
  std::vector<HwReading> readings(5, ProbedCache(0.5, 2));
  const auto starve = [&](std::size_t i, Reason reason) {
    ResourceReading& cache = readings[i].instance[Resource::kCache];
    cache.delay_us = cache.saturation = {0, Quality::kUnavailable, reason, Scope::kHost};
  };
  starve(0, Reason::kMultiplexed);
  starve(3, Reason::kMultiplexed);
  StallAttribution found = Attribute(readings, baseline);
  EXPECT_EQ(found.worst().resource, Resource::kCache);
  EXPECT_NEAR(found.worst().rise_us, 294, 1);  // as if it had run in all of them
  // Most of them are missing, or one for a reason that may have to do with what it would have said.
  starve(4, Reason::kMultiplexed);
  EXPECT_EQ(Attribute(readings, baseline).verdict, Verdict::kNone);
  readings[4] = ProbedCache(0.5, 2);
  starve(3, Reason::kSelfTest);
  found = Attribute(readings, baseline);
  EXPECT_TRUE(found.unobserved[static_cast<std::size_t>(Resource::kCache)]);
}

}  // namespace
}  // namespace seer
