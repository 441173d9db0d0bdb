#include "seer/predict/alarm.h"

#include <limits>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace seer {
namespace {

using ::testing::HasSubstr;

constexpr std::int64_t kMs = 1'000'000;

TEST(AlarmOptions, NamesTheFieldThatIsWrong) {
  EXPECT_TRUE(AlarmOptions().Validate().ok());
  const auto message = [](AlarmOptions o) { return std::string(o.Validate().message()); };
  AlarmOptions bad;
  bad.raise_ns = -1;
  EXPECT_THAT(message(bad), HasSubstr("raise_ns"));
  bad = {};
  bad.clear_ns = -1;
  EXPECT_THAT(message(bad), HasSubstr("clear_ns"));
  for (const double ratio : {0.0, -1.0, 1.01, std::numeric_limits<double>::quiet_NaN()}) {
    bad = {};
    bad.clear_ratio = ratio;
    EXPECT_THAT(message(bad), HasSubstr("clear_ratio"));
  }
}

TEST(AlarmLatch, RaisesAtTheThresholdAndNotBelow) {
  AlarmLatch latch;
  const AlarmOptions options;
  EXPECT_FALSE(latch.Observe(0.999, 0, options));
  EXPECT_TRUE(latch.Observe(1, 100 * kMs, options));
}

TEST(AlarmLatch, AScoreThatWaversIsOneAlarm) {
  AlarmLatch latch;
  const AlarmOptions options;  // clears below 0.7 for 500 ms
  EXPECT_TRUE(latch.Observe(1.2, 0, options));
  for (std::int64_t t = 1; t < 50; ++t) {
    EXPECT_TRUE(latch.Observe(t % 2 == 0 ? 1.1 : 0.8, t * 100 * kMs, options));
  }
  // Below for 400 ms, then up again, then below for 500 ms.
  std::int64_t t = 50;
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(latch.Observe(0.6, t++ * 100 * kMs, options)) << i;
  EXPECT_TRUE(latch.Observe(0.7, t++ * 100 * kMs, options));
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(latch.Observe(0.6, t++ * 100 * kMs, options)) << i;
  EXPECT_FALSE(latch.Observe(0.6, t * 100 * kMs, options));
}

TEST(AlarmLatch, WaitsForAScoreThatLasts) {
  AlarmLatch latch;
  AlarmOptions options;
  options.raise_ns = 200 * kMs;
  EXPECT_FALSE(latch.Observe(5, 0, options));
  EXPECT_FALSE(latch.Observe(5, 100 * kMs, options));
  EXPECT_FALSE(latch.Observe(0.9, 150 * kMs, options));
  EXPECT_FALSE(latch.Observe(5, 200 * kMs, options)) << "it starts anew";
  EXPECT_FALSE(latch.Observe(5, 399 * kMs, options));
  EXPECT_TRUE(latch.Observe(5, 400 * kMs, options));
}

TEST(AlarmLatch, WhatIsNoNumberNeitherRaisesNorClears) {
  AlarmLatch latch;
  const AlarmOptions options;
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_FALSE(latch.Observe(nan, 0, options));
  EXPECT_TRUE(latch.Observe(1, 1, options));
  EXPECT_TRUE(latch.Observe(nan, 1000 * kMs, options));
}

}  // namespace
}  // namespace seer
