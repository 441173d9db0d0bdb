#include "benchmarks/evaluation/thresholds.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace seer::evaluation {
namespace {

// Long stretches of nothing, others of much, and gaps.
ClassLines Lines(unsigned seed) {
  std::mt19937 random(seed);
  ClassLines lines;
  float p = 0;
  std::int64_t now_ms = 0;
  for (int i = 0; i < 5000; ++i) {
    now_ms += random() % 400 == 0 ? 5000 : 100;
    if (random() % 60 == 0) p = random() % 3 == 0 ? 0 : static_cast<float>(random() % 100) / 100;
    lines.times_ms.push_back(now_ms);
    lines.p.push_back(random() % 7 == 0 ? p / 2 : p);
  }
  return lines;
}

TEST(Thresholds, StandAtRanksOfWhatWasSaid) {
  for (const unsigned seed : {1u, 2u, 3u}) {
    const ClassLines lines = Lines(seed);
    ThresholdLevels levels;
    levels.Add(lines, {}, Rules());
    std::vector<float> sorted = lines.p;
    std::sort(sorted.begin(), sorted.end(), std::greater<>());
    const auto last = static_cast<double>(sorted.size() - 1);
    std::vector<double> plain;
    for (int i = 0; i < 30; ++i) {
      const double rank = std::floor(std::exp2(i / 29.0 * std::log2(last + 1)) - 1);
      plain.push_back(sorted[static_cast<std::size_t>(std::clamp(rank, 0.0, last))]);
    }
    plain.erase(std::unique(plain.begin(), plain.end()), plain.end());
    while (!plain.empty() && plain.back() <= 0) plain.pop_back();
    EXPECT_EQ(ThresholdsOf(levels, 30), plain);
  }
  EXPECT_TRUE(ThresholdsOf({}, 30).empty());
}

TEST(Thresholds, OneIsWhereAViolationWouldJustBeForeseen) {
  ClassLines lines;
  for (std::int64_t t = 0; t < 10'000; t += 100) {
    lines.times_ms.push_back(t);
    lines.p.push_back(t == 4000 ? 0.625f : t == 4900 ? 0.875f : 0.0f);
  }
  ThresholdLevels levels;
  levels.Add(lines, {{{4950, 5000}}}, Rules());
  EXPECT_EQ(levels.levels, std::vector<float>{0.625f}) << "50 ms before it is too late";
}

TEST(Thresholds, AlarmsStartWhereTheyStartLineByLine) {
  for (const unsigned seed : {4u, 5u, 6u}) {
    const ClassLines lines = Lines(seed);
    StartsAtThresholds starts(lines, Rules());
    for (const double threshold : {0.01, 0.2, 0.33, 0.5, 0.75, 0.99, 1.0}) {
      std::vector<Moment> moments;
      for (std::size_t i = 0; i < lines.p.size(); ++i) {
        moments.push_back({lines.times_ms[i], static_cast<double>(lines.p[i]) >= threshold});
      }
      std::vector<std::int64_t> plain;
      for (const std::size_t i : AlarmStarts(moments, Rules())) {
        plain.push_back(moments[i].time_ms);
      }
      EXPECT_EQ(starts.At(threshold), plain) << threshold;
    }
  }
}

}  // namespace
}  // namespace seer::evaluation
