// Boosted trees: trained by XGBoost where it is installed, evaluated without it, by the library's
// own BoostedTrees (seer/predict/boosted_trees.h). The sum over the trees is theirs: of floats, in
// the order of the trees, as XGBoost's own is.
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
#include "seer/predict/boosted_trees.h"

namespace seer::evaluation {

class Trees {
 public:
  // XGBoost's dump in text form, one for each tree ("0:[f2<0.5]
  // yes=1,no=2,missing=1\n\t1:leaf=..."), of the objective binary:logistic with a base score of
  // 0.5. `columns` of a row; 0: as many as the trees ask for. InvalidArgument names the line.
  static absl::StatusOr<Trees> Parse(absl::Span<const std::string_view> dumps,
                                     std::size_t columns = 0);

  // `row` has columns() values at least.
  double Probability(absl::Span<const float> row) const;
  // Of several rows of columns() values, one behind the other.
  void Probabilities(absl::Span<const float> rows, absl::Span<double> p) const;
  std::size_t columns() const { return trees_.columns(); }
  std::size_t size() const { return trees_.size(); }

 private:
  BoostedTrees trees_;
};

struct TreeOptions {
  int rounds = 200;
  int depth = 5;  // 8 at most
  double learning_rate = 0.1;
  double least_child_weight = 10;
  double subsample = 1;  // of the rows, for each tree: what a seed decides
  std::uint64_t seed = 1;
};

absl::StatusOr<Trees> TrainTrees(const LabelledRows& data, const TreeOptions& options);

}  // namespace seer::evaluation
