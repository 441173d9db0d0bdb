#include "seer/hwmon/stall_baseline.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "tests/hwmon/samples.h"
#include "tests/support/allocations.h"

namespace seer {
namespace {

using testing::Good;
using testing::HealthyReading;

double MedianOf(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t n = values.size();
  return n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

TEST(StallBaseline, SaysMedianAndSpreadOfTheLastReadings) {
  StallBaseline baseline;
  EXPECT_FALSE(baseline.StallUs(Resource::kCpu).known());
  std::mt19937 random(5);
  std::deque<double> last;
  for (int i = 0; i < 200; ++i) {
    const double stall = static_cast<double>(1 + random() % 1000);
    ASSERT_TRUE(baseline.Learn(HealthyReading(50, stall)));
    last.push_back(stall);
    if (last.size() > StallBaseline::kHistory) last.pop_front();
    const double median = MedianOf({last.begin(), last.end()});
    std::vector<double> away;
    for (double s : last) away.push_back(std::abs(s - median));
    const HealthyValue healthy = baseline.StallUs(Resource::kStorage);
    ASSERT_NEAR(healthy.median, median, 1e-3);
    ASSERT_NEAR(healthy.spread, MedianOf(away), 1e-3);
    ASSERT_EQ(healthy.samples, last.size());
  }
  EXPECT_EQ(baseline.learnt(), 200u);
  EXPECT_NEAR(baseline.RequestsPerSecond().median, 500, 1e-3);
  EXPECT_NEAR(baseline.BusyUs().median, 0.3 * 100'000 / 50, 1e-3);
}

TEST(StallBaseline, WhatIsNotSeenTeachesNothingAboutItself) {
  HwReading reading = HealthyReading();
  reading.instance[Resource::kCache].delay_us = {};
  reading.instance[Resource::kNetwork].delay_us.quality = Quality::kSuspect;
  StallBaseline baseline;
  ASSERT_TRUE(baseline.Learn(reading));
  EXPECT_FALSE(baseline.StallUs(Resource::kCache).known());
  EXPECT_FALSE(baseline.StallUs(Resource::kNetwork).known());
  EXPECT_EQ(baseline.StallUs(Resource::kCpu).samples, 1u);
}

TEST(StallBaseline, ReadingsThatTellNothingAreNotLearnt) {
  StallBaseline baseline;
  EXPECT_FALSE(baseline.Learn(HealthyReading(0)));
  EXPECT_FALSE(baseline.Learn(HealthyReading(StallBaseline::kMinRequests - 1)));
  HwReading first = HealthyReading();
  first.interval_ns = 0;
  EXPECT_FALSE(baseline.Learn(first));
  HwReading nothing;
  nothing.requests = 100;
  nothing.interval_ns = 100;
  EXPECT_FALSE(baseline.Learn(nothing));
  HwReading garbage = HealthyReading();
  garbage.instance[Resource::kCpu].delay_us = Good(std::numeric_limits<double>::quiet_NaN());
  garbage.instance[Resource::kCache].delay_us = Good(-5);
  EXPECT_TRUE(baseline.Learn(garbage));
  EXPECT_FALSE(baseline.StallUs(Resource::kCpu).known());
  EXPECT_FALSE(baseline.StallUs(Resource::kCache).known());
  EXPECT_EQ(baseline.learnt(), 1u);
}

TEST(StallBaseline, IsTheSameAfterARestart) {
  StallBaseline baseline;
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(baseline.Learn(HealthyReading(10 + i, i)));
    if (i % 20 != 0) continue;
    absl::StatusOr<StallBaseline> again = StallBaseline::Decode(baseline.Encode());
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(*again, baseline);
    // And learns on as if nothing had happened.
    StallBaseline copy = baseline;
    for (int j = 0; j < 70; ++j) {
      copy.Learn(HealthyReading(20, j));
      again->Learn(HealthyReading(20, j));
    }
    EXPECT_EQ(*again, copy);
  }
}

TEST(StallBaseline, DamagedBytesAreRefused) {
  StallBaseline baseline;
  baseline.Learn(HealthyReading());
  const std::string bytes = baseline.Encode();
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    std::string damaged = bytes;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x10);
    EXPECT_FALSE(StallBaseline::Decode(damaged).ok()) << i;
    EXPECT_FALSE(StallBaseline::Decode(bytes.substr(0, i)).ok()) << i;
  }
  EXPECT_FALSE(StallBaseline::Decode(bytes + "x").ok());
}

TEST(StallBaseline, LearningTakesNothingFromTheHeap) {
  StallBaseline baseline;
  const HwReading reading = HealthyReading();
  const testing::Allocations allocations;
  for (int i = 0; i < 100; ++i) baseline.Learn(reading);
  (void)baseline.StallUs(Resource::kCpu);
  EXPECT_EQ(allocations.count(), 0u);
}

}  // namespace
}  // namespace seer
