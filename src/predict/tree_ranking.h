// Who would initiate a violation of a class, of those that TreeFeatures found conspicuous.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "predict/tree_features.h"
#include "seer/core/config.h"
#include "seer/predict/boosted_trees.h"

SEER_BEGIN_NAMESPACE
namespace internal {

class TreeRanking {
 public:
  struct One {
    std::uint32_t service = TreeFeatures::kLoad;  // or kLoad
    float share = 0;
  };

  // After ClassRow(id). With trees by them, without (or `quick`) by how conspicuous they are; the
  // shares sum to 1, the largest first.
  void Rank(TreeFeatures& features, ClassId id, const BoostedTrees& trees, bool quick) {
    count_ = 0;
    for (const std::uint32_t service : features.candidates()) ranked_[count_++].service = service;
    ranked_[count_++].service = TreeFeatures::kLoad;
    scores_.fill(0);
    if (quick || trees.size() == 0) {
      // They come by how conspicuous they are.
      for (std::size_t i = 0; i + 1 < count_; ++i) scores_[i] = -0.5f * static_cast<float>(i);
      scores_[count_ - 1] = -3.0f;
    } else {
      for (std::size_t i = 0; i < count_; ++i) {
        features.ServiceRow(id, ranked_[i].service, &rows_[i * TreeFeatures::kServiceColumns]);
      }
      trees.ScoreRows(absl::MakeConstSpan(rows_).first(count_ * TreeFeatures::kServiceColumns),
                      absl::MakeSpan(scores_).first(count_));
    }
    float most = -1e30f;
    for (std::size_t i = 0; i < count_; ++i) {
      ranked_[i].share = scores_[i];
      most = std::max(most, scores_[i]);
    }
    float sum = 0;
    for (std::size_t i = 0; i < count_; ++i) {
      ranked_[i].share = std::exp(ranked_[i].share - most);
      sum += ranked_[i].share;
    }
    for (std::size_t i = 0; i < count_; ++i) ranked_[i].share /= sum;
    // By insertion: few, and nothing is allocated.
    for (std::size_t i = 1; i < count_; ++i) {
      const One one = ranked_[i];
      std::size_t place = i;
      for (; place > 0 && ranked_[place - 1].share < one.share; --place) {
        ranked_[place] = ranked_[place - 1];
      }
      ranked_[place] = one;
    }
  }
  absl::Span<const One> ranked() const { return {ranked_.data(), count_}; }

 private:
  static constexpr std::size_t kMost = TreeFeatures::kCandidates + 1;
  std::array<One, kMost> ranked_;
  std::array<float, kMost * TreeFeatures::kServiceColumns> rows_;
  std::array<float, kMost> scores_;
  std::size_t count_ = 0;
};

}  // namespace internal
SEER_END_NAMESPACE
