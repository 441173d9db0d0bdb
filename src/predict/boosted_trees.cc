#include "seer/predict/boosted_trees.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "predict/fact_text.h"

SEER_BEGIN_NAMESPACE
namespace {

using internal::AppendNumber;
using internal::ToNumber;

// The next word of a line, "" at its end.
std::string_view TakeWord(std::string_view* line) {
  const std::size_t end = std::min(line->find(' '), line->size());
  const std::string_view word = line->substr(0, end);
  line->remove_prefix(std::min(end + 1, line->size()));
  return word;
}

template <typename Number>
bool TakeNumber(std::string_view* line, Number* value) {
  return ToNumber(TakeWord(line), value);
}

}  // namespace

// Trees that are not deep are walked as heaps, all of the same depth: the children of step i are
// 2 i + 1 and 2 i + 2, and what hangs below a leaf leads to the same leaf. No step has to say where
// it leads to. Deeper ones, which may be chains of hundreds of nodes, keep `left`.
namespace {

constexpr std::uint32_t kHeap = std::uint32_t{1} << 31;  // in Root::depth
constexpr std::uint32_t kDeepestHeap = 6;

// Four walks side by side through heaps: where each ends.
template <typename Step>
inline std::array<std::size_t, 4> WalkHeaps(const std::array<const Step*, 4>& first,
                                            const std::array<const float*, 4>& rows,
                                            std::uint32_t depth) {
  std::size_t a = 0, b = 0, c = 0, d = 0;
  const auto next = [](const Step* steps, const float* row, std::size_t i) {
    return 2 * i + 1 + static_cast<std::size_t>(row[steps[i].column] >= steps[i].from);
  };
  for (std::uint32_t level = 0; level < depth; ++level) {
    a = next(first[0], rows[0], a);
    b = next(first[1], rows[1], b);
    c = next(first[2], rows[2], c);
    d = next(first[3], rows[3], d);
  }
  return {a, b, c, d};
}

}  // namespace

void BoostedTrees::Prepare() {
  walked_.clear();
  steps_.clear();
  leaf_of_.clear();
  std::vector<std::uint32_t> below(nodes_.size(), 0);  // levels; children stand behind parents
  for (std::size_t i = nodes_.size(); i-- > 0;) {
    const Node& node = nodes_[i];
    if (node.column >= 0) below[i] = 1 + std::max(below[node.left], below[node.left + 1]);
  }
  std::uint32_t deepest = 0;
  for (const std::uint32_t root : roots_) {
    if (below[root] <= kDeepestHeap) deepest = std::max(deepest, below[root]);
  }
  std::vector<std::uint32_t> at;  // of a heap, which node each step is
  for (std::size_t t = 0; t < roots_.size(); ++t) {
    const std::uint32_t root = roots_[t], depth = below[root];
    const std::size_t end = t + 1 < roots_.size() ? roots_[t + 1] : nodes_.size();
    const auto first = static_cast<std::uint32_t>(steps_.size());
    const bool heap = depth <= kDeepestHeap;
    walked_.push_back({first, heap ? deepest | kHeap : depth});
    at.assign(1, root);
    const std::size_t count = heap ? (std::size_t{2} << deepest) - 1 : end - root;
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint32_t own = heap ? at[i] : root + static_cast<std::uint32_t>(i);
      const Node& node = nodes_[own];
      const bool leaf = node.column < 0;
      if (heap && at.size() < count) {
        at.push_back(leaf ? own : node.left);
        at.push_back(leaf ? own : node.left + 1);
      }
      Step step;
      step.from = leaf ? std::numeric_limits<float>::quiet_NaN() : node.from;
      step.column = static_cast<std::uint16_t>(leaf ? 0 : node.column);
      step.left = static_cast<std::uint16_t>(heap ? 0 : (leaf ? own : node.left) - root);
      steps_.push_back(step);
      leaf_of_.push_back(leaf ? node.left : 0);
    }
  }
}

// Four walks side by side: where each ends. A row may have more than one, and a tree too.
void BoostedTrees::Walk(const std::array<const Root*, 4>& trees,
                        const std::array<const float*, 4>& rows,
                        std::array<const float*, 4>* leaves) const {
  const Step* const first[4] = {&steps_[trees[0]->first], &steps_[trees[1]->first],
                                &steps_[trees[2]->first], &steps_[trees[3]->first]};
  std::uint32_t at[4] = {0, 0, 0, 0}, depth = 0;
  bool heaps = false;
  for (const Root* const tree : trees) {
    depth = std::max(depth, tree->depth);
    heaps = heaps || (tree->depth & kHeap) != 0;
  }
  if (!heaps) {
    for (std::uint32_t level = 0; level < depth; ++level) {
      for (std::size_t w = 0; w < 4; ++w) {
        const Step& step = first[w][at[w]];
        at[w] = step.left + static_cast<std::uint32_t>(rows[w][step.column] >= step.from);
      }
    }
  } else {
    for (std::size_t w = 0; w < 4; ++w) {
      const bool heap = (trees[w]->depth & kHeap) != 0;
      for (std::uint32_t level = 0; level < (trees[w]->depth & ~kHeap); ++level) {
        const Step& step = first[w][at[w]];
        at[w] = (heap ? 2 * at[w] + 1 : step.left) +
                static_cast<std::uint32_t>(rows[w][step.column] >= step.from);
      }
    }
  }
  for (std::size_t w = 0; w < 4; ++w) {
    (*leaves)[w] = leaves_.data() + leaf_of_[trees[w]->first + at[w]];
  }
}

void BoostedTrees::Score(absl::Span<const float> row, absl::Span<float> scores) const {
  const std::size_t outputs = base_.size(), trees = walked_.size();
  for (std::size_t k = 0; k < outputs; ++k) scores[k] = base_[k];
  std::array<const float*, 4> rows, leaves;
  rows.fill(row.data());
  for (std::size_t t = 0; t < trees; t += 4) {
    const std::size_t count = std::min<std::size_t>(4, trees - t);
    std::array<const Root*, 4> four;
    bool heaps = true;
    for (std::size_t w = 0; w < 4; ++w) {
      four[w] = &walked_[t + (w < count ? w : 0)];
      heaps = heaps && (four[w]->depth & kHeap) != 0;
    }
    if (heaps) {
      const std::array<const Step*, 4> first = {&steps_[four[0]->first], &steps_[four[1]->first],
                                                &steps_[four[2]->first], &steps_[four[3]->first]};
      const auto at = WalkHeaps(first, rows, four[0]->depth & ~kHeap);
      for (std::size_t w = 0; w < 4; ++w) {
        leaves[w] = leaves_.data() + leaf_of_[four[w]->first + at[w]];
      }
    } else {
      Walk(four, rows, &leaves);
    }
    for (std::size_t k = 0; k < outputs; ++k) {
      float score = scores[k];
      for (std::size_t w = 0; w < count; ++w) score += leaves[w][k];  // in the order of the trees
      scores[k] = score;
    }
  }
}

void BoostedTrees::ScoreRows(absl::Span<const float> rows, absl::Span<float> scores) const {
  const std::size_t outputs = base_.size(), count = outputs == 0 ? 0 : scores.size() / outputs;
  // Four rows at a time through each tree; one that is left over through four trees at a time.
  const std::size_t together = count % 4 == 1 ? count - 1 : count;
  for (std::size_t r = 0; r < together; ++r) {
    for (std::size_t k = 0; k < outputs; ++k) scores[r * outputs + k] = base_[k];
  }
  std::array<const float*, 4> four, leaves;
  for (const Root& root : walked_) {
    const Step* const first = &steps_[root.first];
    const std::uint32_t* const leaf_of = &leaf_of_[root.first];
    for (std::size_t r = 0; r < together; r += 4) {
      const std::size_t left = std::min<std::size_t>(4, together - r);
      const float* const row = rows.data() + r * columns_;
      for (std::size_t w = 0; w < 4; ++w) four[w] = row + (w < left ? w : 0) * columns_;
      if ((root.depth & kHeap) != 0) {
        const auto at = WalkHeaps<Step>({first, first, first, first}, four, root.depth & ~kHeap);
        for (std::size_t w = 0; w < 4; ++w) leaves[w] = leaves_.data() + leaf_of[at[w]];
      } else {
        Walk({&root, &root, &root, &root}, four, &leaves);
      }
      for (std::size_t w = 0; w < left; ++w) {
        for (std::size_t k = 0; k < outputs; ++k) scores[(r + w) * outputs + k] += leaves[w][k];
      }
    }
  }
  if (together < count) {
    Score(rows.subspan(together * columns_, columns_), scores.subspan(together * outputs, outputs));
  }
}

std::vector<std::uint32_t> BoostedTrees::Uses() const {
  std::vector<std::uint32_t> uses(columns_);
  for (const Node& node : nodes_) {
    if (node.column >= 0) ++uses[static_cast<std::size_t>(node.column)];
  }
  return uses;
}

std::string BoostedTrees::Encode() const {
  std::string text = absl::StrCat("trees ", columns_, " ", base_.size(), " ", roots_.size(), "\n");
  text += "base";
  for (const float value : base_) {
    text += ' ';
    AppendNumber(value, &text);
  }
  text += '\n';
  for (std::size_t t = 0; t < roots_.size(); ++t) {
    const std::size_t first = roots_[t];
    const std::size_t end = t + 1 < roots_.size() ? roots_[t + 1] : nodes_.size();
    absl::StrAppend(&text, "tree ", end - first, "\n");
    for (std::size_t i = first; i < end; ++i) {
      const Node& node = nodes_[i];
      if (node.column >= 0) {
        AppendNumber(node.column, &text);
        text += ' ';
        AppendNumber(node.from, &text);
        text += ' ';
        AppendNumber(node.left - static_cast<std::uint32_t>(first), &text);
      } else {
        text += "leaf";
        for (std::size_t k = 0; k < base_.size(); ++k) {
          text += ' ';
          AppendNumber(leaves_[node.left + k], &text);
        }
      }
      text += '\n';
    }
  }
  return text;
}

absl::StatusOr<BoostedTrees> BoostedTrees::Decode(std::string_view text) {
  BoostedTrees trees;
  std::size_t number = 0;
  const auto next = [&] {
    ++number;
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    return line;
  };
  const auto wrong = [&](const char* what) {
    return absl::InvalidArgumentError(absl::StrCat("trees, line ", number, ": ", what));
  };
  std::string_view line = next();
  std::size_t outputs = 0, count = 0;
  if (TakeWord(&line) != "trees" || !TakeNumber(&line, &trees.columns_) ||
      !TakeNumber(&line, &outputs) || !TakeNumber(&line, &count)) {
    return wrong("'trees COLUMNS OUTPUTS TREES' has to stand here");
  }
  if (trees.columns_ < 1 || trees.columns_ > kMaxColumns || outputs < 1 || outputs > kMaxOutputs ||
      count > kMaxTrees) {
    return wrong("more columns, outputs or trees than there may be, or none");
  }
  line = next();
  if (TakeWord(&line) != "base") return wrong("'base' has to stand here");
  for (std::size_t k = 0; k < outputs; ++k) {
    float value = 0;
    if (!TakeNumber(&line, &value) || !std::isfinite(value)) return wrong("a number is missing");
    trees.base_.push_back(value);
  }
  constexpr std::size_t kMostNodes = (std::size_t{1} << (kMaxDepth + 1)) - 1;
  for (std::size_t t = 0; t < count; ++t) {
    line = next();
    std::size_t size = 0;
    if (TakeWord(&line) != "tree" || !TakeNumber(&line, &size) || size < 1 || size > kMostNodes) {
      return wrong("'tree NODES' has to stand here");
    }
    const auto first = static_cast<std::uint32_t>(trees.nodes_.size());
    trees.roots_.push_back(first);
    for (std::size_t i = 0; i < size; ++i) {
      if (text.empty()) return wrong("nodes are missing");
      line = next();
      Node node;
      const std::string_view word = TakeWord(&line);
      if (word == "leaf") {
        node.left = static_cast<std::uint32_t>(trees.leaves_.size());
        for (std::size_t k = 0; k < outputs; ++k) {
          float value = 0;
          if (!TakeNumber(&line, &value) || !std::isfinite(value)) {
            return wrong("a leaf needs a number for each output");
          }
          trees.leaves_.push_back(value);
        }
      } else {
        if (!ToNumber(word, &node.column) || !TakeNumber(&line, &node.from) ||
            !TakeNumber(&line, &node.left) || node.column < 0 ||
            static_cast<std::size_t>(node.column) >= trees.columns_ || !std::isfinite(node.from)) {
          return wrong("neither a leaf nor 'COLUMN FROM CHILD'");
        }
        if (node.left <= i || node.left + std::size_t{1} >= size) {
          return wrong("its children do not stand behind it");
        }
        node.left += first;
      }
      if (!line.empty()) return wrong("more stands here than belongs to a node");
      trees.nodes_.push_back(node);
    }
  }
  if (!text.empty()) return wrong("more stands behind the last tree");
  trees.Prepare();
  return trees;
}

SEER_END_NAMESPACE
