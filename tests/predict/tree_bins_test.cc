// What trees are grown from, beside the plain way to do it.
#include "predict/tree_bins.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

namespace seer::internal {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

TEST(TreeBins, NumbersAreSortedHoweverManyThereAre) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0, 1);
  for (const std::size_t count : {0u, 1u, 2u, 100u, 127u, 128u, 129u, 5000u}) {
    std::vector<float> values;
    for (std::size_t i = 0; i < count; ++i) {
      const float scale = i % 3 == 0 ? 1e-30f : (i % 3 == 1 ? 1.0f : 1e30f);
      values.push_back(i % 11 == 0 ? 0.0f : scale * normal(random));
    }
    if (count > 2) values[0] = kInfinity, values[1] = -kInfinity;
    std::vector<float> expected = values;
    std::sort(expected.begin(), expected.end());
    SortFloats(&values);
    EXPECT_EQ(values, expected) << count;
  }
}

TEST(TreeBins, ABinIsHowManyCutsAreNotAbove) {
  std::mt19937 random(2);
  std::uniform_real_distribution<float> uniform(-3, 3);
  for (const std::size_t most : {1u, 2u, 31u, 63u}) {
    for (const std::size_t count : {0u, 1u, 5u, 3000u}) {
      std::vector<float> sample;
      for (std::size_t i = 0; i < count; ++i) sample.push_back(uniform(random));
      const ColumnCuts cuts(&sample, most);
      ASSERT_LE(cuts.size(), most);
      std::vector<float> plain;
      for (std::size_t i = 0; i < cuts.size(); ++i) plain.push_back(cuts[i]);
      EXPECT_TRUE(std::is_sorted(plain.begin(), plain.end()));
      std::vector<float> asked = {0, -kInfinity, kInfinity, -3, 3};
      asked.insert(asked.end(), plain.begin(), plain.end());
      for (int i = 0; i < 200; ++i) asked.push_back(uniform(random));
      for (const float value : asked) {
        const auto expected = std::upper_bound(plain.begin(), plain.end(), value) - plain.begin();
        EXPECT_EQ(cuts.BinOf(value), expected) << value;
      }
      EXPECT_EQ(cuts.BinOf(std::numeric_limits<float>::quiet_NaN()), 0) << "what is not known";
    }
  }
}

struct Rows {
  Rows(std::size_t outputs, unsigned seed) : lanes(LanesOf(outputs)) {
    std::mt19937 random(seed);
    std::uniform_real_distribution<float> uniform(-1, 1);
    gradients.resize(kRows * 2 * lanes);
    for (std::size_t r = 0; r < kRows; ++r) {
      for (std::size_t c = 0; c < kColumns; ++c) {
        bins.push_back(static_cast<std::uint8_t>(random() % kBins));
      }
      // The second column tells something of the first output.
      const float told = bins[r * kColumns + 1] > 6 ? 0.7f : -0.7f;
      for (std::size_t k = 0; k < outputs; ++k) {
        gradients[r * 2 * lanes + k] = uniform(random) + (k == 0 ? told : 0);
        gradients[r * 2 * lanes + lanes + k] = 0.25f * std::abs(uniform(random));
      }
      if (r % 5 != 0) drawn.push_back(static_cast<std::uint32_t>(r));
    }
  }
  static constexpr std::size_t kRows = 700, kColumns = 6, kBins = 12;
  std::size_t lanes;
  std::vector<std::uint8_t> bins;
  std::vector<float> gradients;
  std::vector<std::uint32_t> drawn;
};

double PlainGain(const Rows& rows, std::size_t column, std::size_t bin, double ridge,
                 double least) {
  std::vector<double> left(2 * rows.lanes), all(2 * rows.lanes);
  for (const std::uint32_t r : rows.drawn) {
    for (std::size_t k = 0; k < all.size(); ++k) {
      const auto own = static_cast<double>(rows.gradients[r * all.size() + k]);
      all[k] += own;
      if (rows.bins[r * Rows::kColumns + column] <= bin) left[k] += own;
    }
  }
  double gain = 0, of_left = 0, of_right = 0;
  for (std::size_t k = 0; k < rows.lanes; ++k) {
    const double c = left[rows.lanes + k], c_all = all[rows.lanes + k], g = left[k];
    const double g_right = all[k] - g, c_right = c_all - c;
    of_left += c;
    of_right += c_right;
    if (c_all > 0) {
      gain += g * g / (c + ridge) + g_right * g_right / (c_right + ridge) -
              all[k] * all[k] / (c_all + ridge);
    }
  }
  return of_left < least || of_right < least ? 0 : gain;
}

TEST(TreeBins, TheBestOfAllSplitsIsFoundForAnyNumberOfOutputs) {
  for (const std::size_t outputs : {1u, 2u, 6u, 8u, 11u, 16u}) {
    SCOPED_TRACE(outputs);
    const Rows rows(outputs, static_cast<unsigned>(outputs));
    const std::vector<std::uint32_t> asked = {0, 1, 4};
    const std::vector<std::size_t> cuts = {11, 10, 3};
    std::vector<double> sums(asked.size() * Rows::kBins * 2 * rows.lanes, 77.0);
    CountRows({rows.bins.data(), Rows::kColumns, rows.gradients.data(), rows.lanes}, rows.drawn,
              asked, Rows::kBins, sums.data());
    for (const double least : {0.0, 3.0}) {
      const BinSplit split = BestSplit(sums.data(), rows.lanes, Rows::kBins, cuts, 1, least);
      double best = 0;
      for (std::size_t a = 0; a < asked.size(); ++a) {
        for (std::size_t b = 0; b < cuts[a]; ++b) {
          best = std::max(best, PlainGain(rows, asked[a], b, 1, least));
        }
      }
      ASSERT_LT(split.asked, asked.size());
      ASSERT_LT(split.bin, cuts[split.asked]);
      EXPECT_GT(best, 1);
      EXPECT_NEAR(split.gain, best, 1e-6 * best);
      EXPECT_NEAR(PlainGain(rows, asked[split.asked], split.bin, 1, least), best, 1e-6 * best);
    }
  }
}

TEST(TreeBins, WhereNothingIsToldNobodyIsParted) {
  const Rows rows(6, 9);
  const std::vector<std::uint32_t> asked = {2};
  std::vector<double> sums(Rows::kBins * 2 * rows.lanes);
  CountRows({rows.bins.data(), Rows::kColumns, rows.gradients.data(), rows.lanes}, {}, asked,
            Rows::kBins, sums.data());
  EXPECT_EQ(
      BestSplit(sums.data(), rows.lanes, Rows::kBins, std::vector<std::size_t>{11}, 1, 1).gain, 0);
}

}  // namespace
}  // namespace seer::internal
