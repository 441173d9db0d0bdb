#include "predict/robust_baseline.h"

#include <cmath>
#include <limits>
#include <random>

#include "gtest/gtest.h"

namespace seer {
namespace {

using internal::RobustBaseline;

TEST(RobustBaseline, OfANormalSeriesIsItsMeanAndDeviation) {
  std::mt19937 random(1);
  std::normal_distribution<double> values(400, 60);
  RobustBaseline baseline;
  for (int i = 0; i < 20000; ++i) baseline.Observe(values(random), 1.0 / 600);
  EXPECT_NEAR(baseline.centre(), 400, 10);
  EXPECT_NEAR(baseline.spread(), 60, 6);
}

TEST(RobustBaseline, ASpreadIsNoSmallerThanAPoissonNumbers) {
  RobustBaseline zero;
  for (int i = 0; i < 100; ++i) zero.Observe(0, 0.01);
  EXPECT_EQ(zero.spread(), 1);
  EXPECT_EQ(zero.Z(3), 3);
  RobustBaseline constant;
  for (int i = 0; i < 100; ++i) constant.Observe(400, 0.01);
  EXPECT_EQ(constant.spread(), 20);
}

TEST(RobustBaseline, TenSecondsOfAMinuteMoveItLittle) {
  RobustBaseline baseline;
  std::mt19937 random(2);
  std::poisson_distribution<int> usual(10);
  for (int i = 0; i < 6000; ++i) baseline.Observe(usual(random), 1.0 / 600);
  const double centre = baseline.centre();
  const double spread = baseline.spread();
  for (int i = 0; i < 100; ++i) baseline.Observe(1e6, 1.0 / 600);
  EXPECT_LT(baseline.centre(), centre + 1.5 * spread);
  EXPECT_LT(baseline.spread(), 2 * spread);
  EXPECT_GT(baseline.Z(1e6), 1000) << "it is still abnormal";
}

TEST(RobustBaseline, FollowsALevelThatStays) {
  RobustBaseline baseline;
  for (int i = 0; i < 600; ++i) baseline.Observe(10, 1.0 / 600);
  for (int i = 0; i < 6000; ++i) baseline.Observe(40, 1.0 / 600);
  EXPECT_NEAR(baseline.centre(), 40, 2);
}

TEST(RobustBaseline, StaysFiniteWhateverComes) {
  RobustBaseline baseline;
  const double large = std::numeric_limits<double>::max();
  for (int i = 0; i < 1000; ++i) baseline.Observe(i % 2 == 0 ? large : -large, 1);
  EXPECT_TRUE(std::isfinite(baseline.centre()));
  EXPECT_TRUE(std::isfinite(baseline.spread()));
  EXPECT_TRUE(std::isfinite(baseline.Z(large)));
}

}  // namespace
}  // namespace seer
