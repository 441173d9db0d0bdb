#include "seer/predict/boosted_trees.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "absl/strings/str_cat.h"
#include "predict/fact_text.h"
#include "predict/side_by_side.h"

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

// Rows side by side through all trees, which are heaps of one depth: at each step all of them are
// compared, and of what its two children say that of the right one is taken. More comparisons than
// walks, but no step waits for another one.
constexpr std::size_t kMostColumns = 256, kMostRows = 16;

template <typename Step>
struct Columns {
  const Step* steps;
  const float* ends;  // of each tree, what its last steps say
  std::size_t trees;
  const float* values;  // of each column, as many rows as go side by side
  float* sums;          // of the rows
};

#ifdef SEER_FOR_AVX2
template <typename Rows, std::uint32_t kDepth, std::uint32_t kBelow, typename Step>
SEER_ALWAYS_INLINE void Ask(const Step* steps, const float* ends, const float* values,
                            std::size_t i, Rows* says) {
  const Rows zero = {};
  if constexpr (kBelow == 0) {
    *says = ends[i + 1 - (std::size_t{1} << kDepth)] - zero;  // nothing but in all lanes
  } else {
    Rows left, right, value;
    Ask<Rows, kDepth, kBelow - 1>(steps, ends, values, 2 * i + 1, &left);
    Ask<Rows, kDepth, kBelow - 1>(steps, ends, values, 2 * i + 2, &right);
    std::memcpy(&value, values + steps[i].column * (sizeof(Rows) / sizeof(float)), sizeof(Rows));
    *says = value >= steps[i].from - zero ? right : left;
  }
}
template <typename Rows, std::uint32_t kDepth, typename Step>
SEER_ALWAYS_INLINE void AskAll(const Columns<Step>& of) {
  Rows sum, says;
  std::memcpy(&sum, of.sums, sizeof(Rows));
  const float* const values = of.values;
  for (std::size_t t = 0; t < of.trees; ++t) {
    Ask<Rows, kDepth, kDepth>(of.steps + t * ((std::size_t{2} << kDepth) - 1),
                              of.ends + t * (std::size_t{1} << kDepth), values, 0, &says);
    sum += says;  // in the order of the trees
  }
  std::memcpy(of.sums, &sum, sizeof(Rows));
}
template <typename Step>
SEER_FOR_AVX2 void AskAvx2(std::uint32_t depth, const Columns<Step>& of) {
  if (depth == 4) AskAll<internal::EightFloats, 4>(of);
  if (depth == 5) AskAll<internal::EightFloats, 5>(of);
  if (depth == 6) AskAll<internal::EightFloats, 6>(of);
}
template <typename Step>
SEER_FOR_AVX512 void AskAvx512(std::uint32_t depth, const Columns<Step>& of) {
  if (depth == 4) AskAll<internal::SixteenFloats, 4>(of);
  if (depth == 5) AskAll<internal::SixteenFloats, 5>(of);
  if (depth == 6) AskAll<internal::SixteenFloats, 6>(of);
}
// Of so many rows, how many go side by side; 0: it would bring nothing.
std::size_t RowsSideBySide(std::uint32_t depth, std::size_t rows) {
  if (depth < 4 || depth > 6) return 0;
  if (rows > 8 && internal::HasAvx512()) return 16;
  return rows > 4 && internal::HasAvx2() ? 8 : 0;
}
template <typename Step>
void AskSideBySide(std::size_t rows, std::uint32_t depth, const Columns<Step>& of) {
  rows == 16 ? AskAvx512(depth, of) : AskAvx2(depth, of);
}

// Of several outputs: at which of its ends each row comes out, for four trees a time.
constexpr std::size_t kTreesAtOnce = 4;

template <typename Step>
struct Walks {
  const Step* steps;  // of trees one behind the other
  std::size_t trees;
  const float* values;  // as those of Columns
  std::int32_t* ends;   // of each tree, of each row
};

template <typename Rows, typename Places, std::uint32_t kDepth, std::uint32_t kBelow, typename Step>
SEER_ALWAYS_INLINE void Follow(const Step* steps, const float* values, std::size_t i, Places* at) {
  const Places zero = {};
  if constexpr (kBelow == 0) {
    *at = static_cast<std::int32_t>(i + 1 - (std::size_t{1} << kDepth)) - zero;
  } else {
    const Rows none = {};
    Places left, right;
    Rows value;
    Follow<Rows, Places, kDepth, kBelow - 1>(steps, values, 2 * i + 1, &left);
    Follow<Rows, Places, kDepth, kBelow - 1>(steps, values, 2 * i + 2, &right);
    std::memcpy(&value, values + steps[i].column * (sizeof(Rows) / sizeof(float)), sizeof(Rows));
    *at = value >= steps[i].from - none ? right : left;
  }
}
template <typename Rows, typename Places, std::uint32_t kDepth, typename Step>
SEER_ALWAYS_INLINE void FollowAll(const Walks<Step>& of) {
  Places at;
  for (std::size_t t = 0; t < of.trees; ++t) {
    Follow<Rows, Places, kDepth, kDepth>(of.steps + t * ((std::size_t{2} << kDepth) - 1), of.values,
                                         0, &at);
    std::memcpy(of.ends + t * (sizeof(Rows) / sizeof(float)), &at, sizeof(at));
  }
}
typedef std::int32_t EightPlaces __attribute__((vector_size(32)));
typedef std::int32_t SixteenPlaces __attribute__((vector_size(64)));
template <typename Step>
SEER_FOR_AVX2 void FollowAvx2(std::uint32_t depth, const Walks<Step>& of) {
  if (depth == 4) FollowAll<internal::EightFloats, EightPlaces, 4>(of);
  if (depth == 5) FollowAll<internal::EightFloats, EightPlaces, 5>(of);
  if (depth == 6) FollowAll<internal::EightFloats, EightPlaces, 6>(of);
}
template <typename Step>
SEER_FOR_AVX512 void FollowAvx512(std::uint32_t depth, const Walks<Step>& of) {
  if (depth == 4) FollowAll<internal::SixteenFloats, SixteenPlaces, 4>(of);
  if (depth == 5) FollowAll<internal::SixteenFloats, SixteenPlaces, 5>(of);
  if (depth == 6) FollowAll<internal::SixteenFloats, SixteenPlaces, 6>(of);
}
template <typename Step>
void FollowSideBySide(std::size_t rows, std::uint32_t depth, const Walks<Step>& of) {
  rows == 16 ? FollowAvx512(depth, of) : FollowAvx2(depth, of);
}
#else
constexpr std::size_t kTreesAtOnce = 1;
template <typename Step>
struct Walks {
  const Step* steps;
  std::size_t trees;
  const float* values;
  std::int32_t* ends;
};
std::size_t RowsSideBySide(std::uint32_t, std::size_t) { return 0; }
template <typename Step>
void AskSideBySide(std::size_t, std::uint32_t, const Columns<Step>&) {}
template <typename Step>
void FollowSideBySide(std::size_t, std::uint32_t, const Walks<Step>&) {}
#endif

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
  walk_leaves_ = leaves_;
  walk_leaves_.resize(leaves_.size() + internal::kSides);
  ends_.clear();
  ends_depth_ = deepest;
  side_by_side_ = base_.size() <= internal::kSides && columns_ <= kMostColumns &&
                  RowsSideBySide(deepest, kMostRows) > 0;
  for (const Root& root : walked_) {
    side_by_side_ = side_by_side_ && root.depth == (deepest | kHeap);
  }
  if (!side_by_side_ || base_.size() != 1) return;
  const std::size_t ends = std::size_t{1} << deepest;
  for (const Root& root : walked_) {
    for (std::size_t i = 0; i < ends; ++i) {
      ends_.push_back(leaves_[leaf_of_[root.first + ends - 1 + i]]);
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
    (*leaves)[w] = walk_leaves_.data() + leaf_of_[trees[w]->first + at[w]];
  }
}

void BoostedTrees::Score(absl::Span<const float> row, absl::Span<float> scores) const {
  const std::size_t outputs = base_.size(), trees = walked_.size();
  for (std::size_t k = 0; k < outputs; ++k) scores[k] = base_[k];
  std::array<const float*, 4> rows, leaves;
  rows.fill(row.data());
#if SEER_SIDE_BY_SIDE
  // All outputs at once; what is added to the others is nobody's.
  const bool few = outputs > 0 && outputs <= internal::kSides;
  internal::EightFloats sums = {};
  if (few) std::memcpy(&sums, base_.data(), outputs * sizeof(float));
#else
  constexpr bool few = false;
#endif
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
        leaves[w] = walk_leaves_.data() + leaf_of_[four[w]->first + at[w]];
      }
    } else {
      Walk(four, rows, &leaves);
    }
#if SEER_SIDE_BY_SIDE
    for (std::size_t w = 0; few && w < count; ++w) {  // in the order of the trees
      internal::EightFloats leaf;
      std::memcpy(&leaf, leaves[w], sizeof(leaf));
      sums += leaf;
    }
#endif
    for (std::size_t k = 0; !few && k < outputs; ++k) {
      float score = scores[k];
      for (std::size_t w = 0; w < count; ++w) score += leaves[w][k];  // in the order of the trees
      scores[k] = score;
    }
  }
#if SEER_SIDE_BY_SIDE
  if (few) std::memcpy(scores.data(), &sums, outputs * sizeof(float));
#endif
}

// As many rows as go side by side through all trees; returns how many.
std::size_t BoostedTrees::ScoreSideBySide(absl::Span<const float> rows,
                                          absl::Span<float> scores) const {
  if (!side_by_side_) return 0;
  const std::size_t outputs = base_.size(), count = scores.size() / outputs;
  alignas(64) float columns[kMostColumns * kMostRows];
  std::size_t done = 0;
  while (const std::size_t at_once = RowsSideBySide(ends_depth_, count - done)) {
    const std::size_t some = std::min(at_once, count - done);
    for (std::size_t r = 0; r < at_once; ++r) {
      const float* const row = rows.data() + (done + (r < some ? r : 0)) * columns_;
      for (std::size_t c = 0; c < columns_; ++c) columns[c * at_once + r] = row[c];
    }
    float* const out = scores.data() + done * outputs;
    if (outputs == 1) {
      alignas(64) float sums[kMostRows];
      std::fill_n(sums, at_once, base_[0]);
      AskSideBySide<Step>(at_once, ends_depth_,
                          {steps_.data(), ends_.data(), walked_.size(), columns, sums});
      std::copy_n(sums, some, out);
    } else {
      AddSideBySide(columns, at_once, absl::MakeSpan(out, some * outputs));
    }
    done += some;
  }
  return done;
}

// Of several outputs, of rows whose columns stand side by side.
void BoostedTrees::AddSideBySide(const float* columns, std::size_t at_once,
                                 absl::Span<float> scores) const {
#if SEER_SIDE_BY_SIDE
  const std::size_t outputs = base_.size(), rows = scores.size() / outputs;
  const std::size_t steps = (std::size_t{2} << ends_depth_) - 1;
  const std::size_t ends = std::size_t{1} << ends_depth_;
  alignas(64) std::int32_t at[kMostRows * kTreesAtOnce];
  internal::EightFloats sums[kMostRows] = {};
  for (std::size_t r = 0; r < rows; ++r) {
    std::memcpy(&sums[r], base_.data(), outputs * sizeof(float));
  }
  for (std::size_t t = 0; t < walked_.size(); t += kTreesAtOnce) {
    const std::size_t trees = std::min(kTreesAtOnce, walked_.size() - t);
    FollowSideBySide<Step>(at_once, ends_depth_, {&steps_[t * steps], trees, columns, at});
    for (std::size_t r = 0; r < rows; ++r) {
      internal::EightFloats sum = sums[r];
      for (std::size_t w = 0; w < trees; ++w) {  // in the order of the trees
        const auto end = static_cast<std::size_t>(at[w * at_once + r]);
        internal::EightFloats leaf;
        std::memcpy(&leaf, &walk_leaves_[leaf_of_[(t + w) * steps + ends - 1 + end]], sizeof(leaf));
        sum += leaf;
      }
      sums[r] = sum;
    }
  }
  for (std::size_t r = 0; r < rows; ++r) {
    std::memcpy(&scores[r * outputs], &sums[r], outputs * sizeof(float));
  }
#else
  (void)columns, (void)at_once, (void)scores;  // nobody asks it
#endif
}

void BoostedTrees::ScoreRows(absl::Span<const float> rows, absl::Span<float> scores) const {
  if (const std::size_t done = ScoreSideBySide(rows, scores); done > 0) {
    rows = rows.subspan(done * columns_);
    scores = scores.subspan(done * base_.size());
  }
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
        for (std::size_t w = 0; w < 4; ++w) leaves[w] = walk_leaves_.data() + leaf_of[at[w]];
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
