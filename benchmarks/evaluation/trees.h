// Boosted trees: trained by XGBoost where it is installed, evaluated without it.
//
//   auto trees = TrainTrees(rows.data(), TreeOptions());        // Unimplemented without XGBoost
//   double p = trees->Probability(row);
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "benchmarks/evaluation/logistic.h"

namespace seer::evaluation {

class Trees {
 public:
  // XGBoost's dump in text form, one for each tree ("0:[f2<0.5]
  // yes=1,no=2,missing=1\n\t1:leaf=..."), of the objective binary:logistic with a base score of
  // 0.5. InvalidArgument names the line.
  static absl::StatusOr<Trees> Parse(absl::Span<const std::string_view> dumps);

  double Probability(absl::Span<const float> row) const;
  std::size_t size() const { return roots_.size(); }

 private:
  struct Node {
    std::int32_t feature = -1;  // -1: a leaf
    float value = 0;            // threshold, or the leaf's
    std::int32_t yes = 0, no = 0;
  };
  std::vector<Node> nodes_;  // a child stands behind its parent: every walk ends
  std::vector<std::int32_t> roots_;
};

struct TreeOptions {
  int rounds = 200;
  int depth = 5;
  double learning_rate = 0.1;
  double least_child_weight = 10;
  double subsample = 1;  // of the rows, for each tree: what a seed decides
  std::uint64_t seed = 1;
};

absl::StatusOr<Trees> TrainTrees(const LabelledRows& data, const TreeOptions& options);

}  // namespace seer::evaluation
