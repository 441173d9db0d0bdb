// Ensembles made of others: see boosted_trees.h.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "seer/predict/boosted_trees.h"

SEER_BEGIN_NAMESPACE

void BoostedTrees::Take(const BoostedTrees& from, std::size_t first, std::size_t end) {
  if (first == end) return;
  const auto nodes_end = [&](std::size_t t) {
    return t < from.roots_.size() ? std::size_t{from.roots_[t]} : from.nodes_.size();
  };
  const std::size_t outputs = base_.size();
  for (std::size_t t = first; t < end; ++t) {
    const auto root = static_cast<std::uint32_t>(nodes_.size());
    const std::uint32_t their_root = from.roots_[t];
    roots_.push_back(root);
    for (std::size_t i = their_root; i < nodes_end(t + 1); ++i) {
      Node node = from.nodes_[i];
      if (node.column >= 0) {
        node.left = node.left - their_root + root;
      } else {
        const float* const leaf = &from.leaves_[node.left];
        node.left = static_cast<std::uint32_t>(leaves_.size());
        leaves_.insert(leaves_.end(), leaf, leaf + outputs);
      }
      nodes_.push_back(node);
    }
  }
}

absl::StatusOr<BoostedTrees> BoostedTrees::Join(absl::Span<const BoostedTrees> parts) {
  if (parts.empty()) return absl::InvalidArgumentError("trees: nothing to join");
  BoostedTrees all;
  all.columns_ = parts[0].columns_;
  all.base_ = parts[0].base_;
  std::size_t count = 0;
  for (const BoostedTrees& part : parts) {
    if (part.columns() != all.columns() || part.outputs() != all.outputs()) {
      return absl::InvalidArgumentError("trees: of different shapes cannot be joined");
    }
    count += part.size();
  }
  if (count > kMaxTrees) {
    return absl::InvalidArgumentError(
        absl::StrCat("trees: ", count, " joined, at most ", kMaxTrees, " may be: drop some"));
  }
  for (const BoostedTrees& part : parts) all.Take(part, 0, part.size());
  all.Prepare();
  return all;
}

absl::StatusOr<BoostedTrees> BoostedTrees::Part(std::size_t first, std::size_t end) const {
  if (first > end || end > size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("trees: ", first, " to ", end, " are asked for, there are ", size()));
  }
  BoostedTrees part;
  part.columns_ = columns_;
  part.base_ = base_;
  if (first > 0) part.base_.assign(base_.size(), 0.0f);
  part.Take(*this, first, end);
  part.Prepare();
  return part;
}

SEER_END_NAMESPACE
