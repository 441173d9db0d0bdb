#include "benchmarks/evaluation/statistics.h"

#include <cmath>

#include "gtest/gtest.h"

namespace seer::evaluation {
namespace {

TEST(Statistics, WilsonsIntervalIsTheTextbooks) {
  // The paper's 89 of 96: 85.7 to 96.4 %.
  EXPECT_NEAR(Wilson(89, 96).low, 0.857, 5e-4);
  EXPECT_NEAR(Wilson(89, 96).high, 0.964, 5e-4);
  EXPECT_EQ(Wilson(0, 10).low, 0);
  EXPECT_NEAR(Wilson(0, 10).high, 0.2775, 1e-4);
  EXPECT_EQ(Wilson(10, 10).high, 1);
  EXPECT_EQ(Wilson(0, 0).low, 0);
  EXPECT_EQ(Wilson(0, 0).high, 1);
}

TEST(Statistics, PoissonsIntervalIsTheTextbooks) {
  EXPECT_EQ(PoissonInterval(0).low, 0);
  EXPECT_NEAR(PoissonInterval(0).high, 3.689, 1e-3);
  EXPECT_NEAR(PoissonInterval(10).low, 4.795, 1e-3);
  EXPECT_NEAR(PoissonInterval(10).high, 18.390, 1e-3);
}

TEST(Statistics, McNemarsTestIsTheBinomials) {
  EXPECT_EQ(McNemar(0, 0), 1);
  EXPECT_EQ(McNemar(5, 5), 1);
  EXPECT_NEAR(McNemar(0, 6), 2.0 / 64, 1e-12);
  EXPECT_NEAR(McNemar(6, 0), 2.0 / 64, 1e-12);
  EXPECT_NEAR(McNemar(1, 9), 2 * 11.0 / 1024, 1e-12);
}

TEST(Statistics, TheBootstrapIsDeterministicAndDrawsNOfN) {
  const auto mean = [](const std::vector<std::uint32_t>& times) {
    double sum = 0;
    std::uint32_t all = 0;
    for (std::size_t i = 0; i < times.size(); ++i) {
      sum += static_cast<double>(times[i]) * static_cast<double>(i);
      all += times[i];
    }
    EXPECT_EQ(all, times.size());
    return sum / static_cast<double>(times.size());
  };
  const Interval a = Bootstrap(100, 1000, 1, mean);
  const Interval b = Bootstrap(100, 1000, 1, mean);
  EXPECT_EQ(a.low, b.low);
  EXPECT_EQ(a.high, b.high);
  // 49.5 +- 1.96 * 28.9 / 10
  EXPECT_NEAR(a.low, 43.8, 0.8);
  EXPECT_NEAR(a.high, 55.2, 0.8);
  EXPECT_TRUE(std::isnan(Bootstrap(3, 10, 1, [](const auto&) { return NAN; }).low));
}

TEST(Statistics, SignFlipsAreExactForFew) {
  EXPECT_EQ(SignFlipTest({}, 100, 1), 1);
  EXPECT_EQ(SignFlipTest({0, 0}, 100, 1), 1);
  EXPECT_EQ(SignFlipTest({1, 1, 1, 1}, 100, 1), 2.0 / 16);
  EXPECT_EQ(SignFlipTest({1, -1}, 100, 1), 1);
  EXPECT_LT(SignFlipTest(std::vector<double>(20, 1.0), 2000, 1), 0.01);
}

TEST(Statistics, QuantilesInterpolate) {
  EXPECT_TRUE(std::isnan(Quantile({}, 0.5)));
  EXPECT_EQ(Quantile({3, 1, 2}, 0.5), 2);
  EXPECT_EQ(Quantile({0, 10}, 0.25), 2.5);
  EXPECT_EQ(Quantile({0, 10}, 2), 10);
}

}  // namespace
}  // namespace seer::evaluation
