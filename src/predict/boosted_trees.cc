#include "seer/predict/boosted_trees.h"

#include <algorithm>
#include <cmath>

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

void BoostedTrees::Score(absl::Span<const float> row, absl::Span<float> scores) const {
  const std::size_t outputs = base_.size();
  for (std::size_t k = 0; k < outputs; ++k) scores[k] = base_[k];
  const Node* const nodes = nodes_.data();
  for (const std::uint32_t root : roots_) {
    const Node* node = nodes + root;
    while (node->column >= 0) {  // a child stands behind its parent: it ends
      const float value = row[static_cast<std::size_t>(node->column)];
      node = nodes + node->left + (value >= node->from ? 1 : 0);
    }
    const float* const leaf = leaves_.data() + node->left;
    for (std::size_t k = 0; k < outputs; ++k) scores[k] += leaf[k];
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
  return trees;
}

SEER_END_NAMESPACE
