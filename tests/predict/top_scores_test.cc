#include "predict/top_scores.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace seer {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

// One after the other, by sorting all of them.
std::vector<std::uint32_t> Sorted(const std::vector<float>& scores, std::size_t most) {
  std::vector<std::uint32_t> places;
  for (std::uint32_t i = 0; i < scores.size(); ++i) {
    if (scores[i] > kNever) places.push_back(i);
  }
  std::stable_sort(places.begin(), places.end(),
                   [&](std::uint32_t a, std::uint32_t b) { return scores[a] > scores[b]; });
  if (places.size() > most) places.resize(most);
  return places;
}

// A finder that is used again for more and for fewer, and numbers of which many are equal.
TEST(TopScores, AreThoseThatSortingFinds) {
  std::mt19937 random(3);
  internal::TopScores top;
  for (const std::size_t count : {5u, 1000u, 0u, 1u, 8u, 9u, 64u, 65u, 386u, 63u, 5000u}) {
    for (const unsigned kinds : {1u, 7u, 100000u}) {
      std::vector<float> scores(count);
      for (float& score : scores) {
        score = random() % 5 == 0 ? kNever : static_cast<float>(random() % kinds) - 3;
      }
      float* const room = top.Fit(count);
      std::copy(scores.begin(), scores.end(), room);
      std::vector<std::uint32_t> found(20);
      found.resize(top.Find(absl::MakeSpan(found)));
      EXPECT_EQ(found, Sorted(scores, 20)) << count << " " << kinds;
    }
  }
}

}  // namespace
}  // namespace seer
