// Flow: rows of numbers -> [BoostedTrees] -> tree_model.h
//
// Boosted regression trees: what a model that does not care how many services there are is made of
// (tree_model.h). Small, exact, the same from the same rows, and without a library of its own.
//
//   seer::TreeRows rows;                        // columns, outputs, values, labels
//   auto trees = seer::BoostedTrees::Fit(rows, &validation, options);        // StatusOr
//   float score[1];
//   trees->Score(row, score);                   // log-odds
//
// Outputs share the shape of each tree and have leaves of their own: one walk gives all of them.
// Each is the log-odds of its label; or, where rows have groups, the scores of a group's rows go
// through a softmax: which of these is it?
//
// A value that is not known is NaN, and stands below all others.
//
// Fit: second-order boosting over histograms of 64 quantiles; rows and columns are drawn anew for
// each tree. With validation rows it stops when `patience` trees have brought nothing, and keeps
// the best.
//
// Threads: Score() from any number. Cost: Score() about 1 ns a tree and level; Fit() about 60 ms a
// tree for 100,000 rows of 50 columns and 6 outputs, on one core.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE

struct TreeRows {
  std::size_t columns = 0, outputs = 1;
  std::vector<float> values;   // rows x columns; NaN: not known
  std::vector<float> labels;   // rows x outputs: 0 or 1; negative: not known
  std::vector<float> weights;  // a row counts as so many; empty: as one
  // With one output: rows of a group stand together and have one label of 1. Empty: no groups.
  std::vector<std::uint32_t> groups;
  // rows x outputs: what trees said of them that Fit() is to go on from; it then gives those to be
  // added to them, with a base of 0. Empty: there are none.
  std::vector<float> scores;

  std::size_t rows() const { return outputs == 0 ? 0 : labels.size() / outputs; }
};

struct TreeFitOptions {
  std::size_t rounds = 200;  // 1 to 5000
  std::size_t depth = 5;     // 1 to 8
  double learning_rate = 0.1;
  double least_child = 10;  // rows' worth of evidence in each leaf, in units of p (1 - p)
  double ridge = 1;         // pulls leaves to zero
  double rows_share = 0.7;  // drawn for each tree
  double columns_share = 0.6;
  std::vector<std::uint32_t> columns;  // that may be asked, growing; empty: all
  std::size_t cuts = 63;               // of each column, that a node may ask; 1 to 63
  std::size_t patience = 25;           // with validation rows
  std::uint64_t seed = 1;

  [[nodiscard]] absl::Status Validate() const;
};

class BoostedTrees {
 public:
  static constexpr std::size_t kMaxColumns = 1024, kMaxOutputs = 16, kMaxDepth = 8;
  static constexpr std::size_t kMaxTrees = 5000;

  BoostedTrees() = default;
  // InvalidArgument: shapes that do not fit, or labels of one kind only.
  static absl::StatusOr<BoostedTrees> Fit(const TreeRows& train, const TreeRows* validation,
                                          const TreeFitOptions& options);

  // All of them, one part behind the other, with the base of the first. InvalidArgument: there are
  // none, they are of different shapes, or more than kMaxTrees.
  static absl::StatusOr<BoostedTrees> Join(absl::Span<const BoostedTrees> parts);
  // Trees `first` to `end`, which is not among them; the base is theirs where `first` is 0, else 0.
  // InvalidArgument: there are not so many.
  absl::StatusOr<BoostedTrees> Part(std::size_t first, std::size_t end) const;

  // `row` has columns() values, `scores` outputs().
  void Score(absl::Span<const float> row, absl::Span<float> scores) const;
  // Of several rows, one behind the other; as Score() of each, and faster.
  void ScoreRows(absl::Span<const float> rows, absl::Span<float> scores) const;

  std::size_t columns() const { return columns_; }
  std::size_t outputs() const { return base_.size(); }
  std::size_t size() const { return roots_.size(); }
  // How often each column is asked, over all trees: what the model looks at.
  std::vector<std::uint32_t> Uses() const;

  // Text, a fact a line. What is parsed can be scored with any row: InvalidArgument names the line.
  std::string Encode() const;
  static absl::StatusOr<BoostedTrees> Decode(std::string_view text);

  friend bool operator==(const BoostedTrees& a, const BoostedTrees& b) {
    return a.Encode() == b.Encode();
  }

 private:
  // Goes to `left` unless value >= from, to left + 1 otherwise: NaN goes left. A leaf has a
  // negative column, and `left` is the place of its first value. A child stands behind its parent.
  struct Node {
    std::int32_t column = -1;
    float from = 0;
    std::uint32_t left = 0;
  };
  class Fitter;

  // The same nodes as they are walked, which Prepare() makes of them: as a heap (see there), or by
  // `left`, with leaves that lead to themselves (no value is >= NaN). So every walk has as many
  // steps as its tree is deep: nothing to guess for the processor, several walks side by side.
  struct Step {
    float from;
    std::uint16_t column;
    std::uint16_t left;  // counted from the tree's root
  };
  struct Root {
    std::uint32_t first = 0;  // of its steps
    std::uint32_t depth = 0;
  };
  // Whoever changes nodes_ or leaves_ calls it afterwards.
  void Prepare();
  void Walk(const std::array<const Root*, 4>& trees, const std::array<const float*, 4>& rows,
            std::array<const float*, 4>* leaves) const;
  std::size_t ScoreSideBySide(absl::Span<const float> rows, absl::Span<float> scores) const;
  void AddSideBySide(const float* columns, std::size_t at_once, absl::Span<float> scores) const;
  // Trees `first` to `end` of others behind those that are here; Prepare() has to follow.
  void Take(const BoostedTrees& from, std::size_t first, std::size_t end);

  std::size_t columns_ = 0;
  std::vector<float> base_;  // of each output
  std::vector<std::uint32_t> roots_;
  std::vector<Node> nodes_;
  std::vector<float> leaves_;
  std::vector<Root> walked_;
  std::vector<Step> steps_;
  std::vector<std::uint32_t> leaf_of_;  // by step: where in leaves_
  // leaves_ and some zeros, so that a leaf may be read as eight numbers.
  std::vector<float> walk_leaves_;
  // Where all trees are heaps of one depth, rows go through them side by side. Where there is one
  // output only, `ends_` are the values of their last steps.
  bool side_by_side_ = false;
  std::uint32_t ends_depth_ = 0;
  std::vector<float> ends_;
};

SEER_END_NAMESPACE
