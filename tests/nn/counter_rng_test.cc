#include "seer/nn/counter_rng.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>

namespace seer {
namespace {

// Checkpoints and golden files depend on these numbers: they must never change.
TEST(CounterRng, NumbersArePartOfTheFormat) {
  const CounterRng rng(1, CounterRng::StreamOf("head.weight"));
  EXPECT_EQ(CounterRng::StreamOf(""), 0xcbf29ce484222325u);
  EXPECT_EQ(CounterRng::StreamOf("a"), 0xaf63dc4c8601ec8cu);  // FNV-1a's own test vector
  // SplitMix64 from seed 1234567, as in its public test vector.
  EXPECT_EQ(CounterRng::Mix(1234567 + CounterRng::kGamma), 6457827717110365317u);
  EXPECT_EQ(CounterRng::Mix(1234567 + 2 * CounterRng::kGamma), 3203168211198807973u);
  EXPECT_EQ(rng.At(0), CounterRng::Mix(rng.key() + CounterRng::kGamma));
}

TEST(CounterRng, SeedAndStreamBothMatter) {
  EXPECT_NE(CounterRng(1, 2).At(0), CounterRng(2, 1).At(0));
  EXPECT_NE(CounterRng(1, 2).At(0), CounterRng(1, 3).At(0));
  EXPECT_NE(CounterRng(0, 0).At(0), CounterRng(0, 0).At(1));
}

TEST(CounterRng, UniformHasTheMomentsOfTheUniformDistribution) {
  const CounterRng rng(42, 7);
  double sum = 0, squares = 0, neighbours = 0;
  constexpr int kNumbers = 100000;
  for (int i = 0; i < kNumbers; ++i) {
    const double u = static_cast<double>(rng.Uniform(static_cast<std::uint64_t>(i)));
    ASSERT_GE(u, 0);
    ASSERT_LT(u, 1);
    sum += u;
    squares += u * u;
    neighbours +=
        (u - 0.5) * (static_cast<double>(rng.Uniform(static_cast<std::uint64_t>(i) + 1)) - 0.5);
  }
  EXPECT_NEAR(sum / kNumbers, 0.5, 0.005);
  EXPECT_NEAR(squares / kNumbers, 1.0 / 3, 0.005);
  EXPECT_NEAR(neighbours / kNumbers, 0, 0.002);
}

TEST(CounterRng, BelowReachesEveryNumber) {
  const CounterRng rng(3, 3);
  int seen[7] = {};
  for (std::uint64_t i = 0; i < 700; ++i) ++seen[rng.Below(i, 7)];
  for (int count : seen) EXPECT_GT(count, 60);
}

}  // namespace
}  // namespace seer
