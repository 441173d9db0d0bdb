// Boosting: see boosted_trees.h.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "predict/tree_bins.h"
#include "seer/core/internal/status_macros.h"
#include "seer/predict/boosted_trees.h"

SEER_BEGIN_NAMESPACE
namespace {

using internal::BinSplit;
using internal::ColumnCuts;

constexpr std::size_t kSample = 200'000;  // rows that the cuts are taken from
constexpr std::size_t kTogether = 256;    // rows that are put into bins at a time
constexpr double kLeastCurvature = 1e-6;  // of one row

class Draw {  // splitmix64: the same everywhere
 public:
  explicit Draw(std::uint64_t seed) : state_(seed) {}
  double Uniform() {
    state_ += 0x9e3779b97f4a7c15u;
    std::uint64_t x = state_;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return static_cast<double>((x ^ (x >> 31)) >> 11) * 0x1p-53;
  }

 private:
  std::uint64_t state_;
};

double Sigmoid(double z) {
  return z >= 0 ? 1 / (1 + std::exp(-z)) : std::exp(z) / (1 + std::exp(z));
}

absl::Status Check(const TreeRows& rows, const char* which) {
  const auto wrong = [&](const char* what) {
    return absl::InvalidArgumentError(absl::StrCat(which, " rows: ", what));
  };
  if (rows.columns < 1 || rows.columns > BoostedTrees::kMaxColumns || rows.outputs < 1 ||
      rows.outputs > BoostedTrees::kMaxOutputs) {
    return wrong("columns or outputs: none, or more than there may be");
  }
  const std::size_t count = rows.rows();
  if (count == 0) return wrong("there are none");
  if (count > std::numeric_limits<std::uint32_t>::max() / 2) return wrong("too many: give fewer");
  if (rows.labels.size() != count * rows.outputs || rows.values.size() != count * rows.columns ||
      (!rows.weights.empty() && rows.weights.size() != count) ||
      (!rows.groups.empty() && (rows.groups.size() != count || rows.outputs != 1)) ||
      (!rows.scores.empty() && rows.scores.size() != rows.labels.size())) {
    return wrong("values, labels, weights, groups and scores do not fit together");
  }
  for (const float weight : rows.weights) {
    if (!(weight >= 0) || !std::isfinite(weight)) return wrong("a weight is no number: give >= 0");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status TreeFitOptions::Validate() const {
  const auto error = [](const char* field, const char* fix) {
    return absl::InvalidArgumentError(absl::StrCat("trees.", field, ": give ", fix));
  };
  if (rounds < 1 || rounds > BoostedTrees::kMaxTrees) return error("rounds", "1 to 5000");
  if (depth < 1 || depth > BoostedTrees::kMaxDepth) return error("depth", "1 to 8");
  if (!(learning_rate > 0 && learning_rate <= 1)) {
    return error("learning_rate", "more than 0, at most 1");
  }
  if (!(least_child >= 0)) return error("least_child", "0 or more");
  if (!(ridge >= 0)) return error("ridge", "0 or more");
  if (!(rows_share > 0 && rows_share <= 1)) return error("rows_share", "more than 0, at most 1");
  if (!(columns_share > 0 && columns_share <= 1)) {
    return error("columns_share", "more than 0, at most 1");
  }
  if (cuts < 1 || cuts > ColumnCuts::kMost) return error("cuts", "1 to 63");
  for (std::size_t i = 1; i < columns.size(); ++i) {
    if (columns[i] <= columns[i - 1]) return error("columns", "each once, growing");
  }
  return absl::OkStatus();
}

class BoostedTrees::Fitter {
 public:
  Fitter(const TreeRows& train, const TreeRows* validation, const TreeFitOptions& options)
      : train_(train),
        validation_(validation),
        options_(options),
        rows_(train.rows()),
        columns_(train.columns),
        outputs_(train.outputs),
        lanes_(internal::LanesOf(train.outputs)),
        bins_each_(options.cuts + 1),
        usable_(options.columns),
        draw_(options.seed) {
    for (std::uint32_t c = 0; options.columns.empty() && c < columns_; ++c) usable_.push_back(c);
  }

  absl::StatusOr<BoostedTrees> Run() {
    SEER_RETURN_IF_ERROR(Begin());
    std::size_t best = 0;
    double best_loss = std::numeric_limits<double>::infinity();
    for (std::size_t round = 0; round < options_.rounds; ++round) {
      Gradients();
      Grow();
      if (validation_ == nullptr) continue;
      const double loss = ValidationLoss();
      if (loss < best_loss * (1 - 1e-5)) {
        best_loss = loss;
        best = trees_.roots_.size();
      } else if (trees_.roots_.size() - best >= options_.patience) {
        break;
      }
    }
    if (validation_ != nullptr && best < trees_.roots_.size()) Cut(best);
    trees_.Prepare();
    return std::move(trees_);
  }

 private:
  absl::Status Begin() {
    trees_.columns_ = columns_;
    trees_.base_.assign(outputs_, 0.0f);
    // Every output has to have rows of both kinds; where it has not, its log-odds stay small.
    bool any = !train_.groups.empty();
    for (std::size_t k = 0; k < outputs_ && train_.groups.empty(); ++k) {
      double yes = 0, all = 0;
      for (std::size_t r = 0; r < rows_; ++r) {
        const float label = train_.labels[r * outputs_ + k];
        if (label < 0) continue;
        all += Weight(train_, r);
        yes += label > 0.5f ? Weight(train_, r) : 0;
      }
      any = any || (yes > 0 && yes < all);
      const double p = (yes + 0.5) / (all + 1);
      trees_.base_[k] = static_cast<float>(std::log(p / (1 - p)));
    }
    if (!any) {
      return absl::InvalidArgumentError(
          "training rows: all labels are of one kind: give more recordings");
    }
    MakeBins();
    if (!train_.scores.empty()) trees_.base_.assign(outputs_, 0.0f);
    scores_ = BeginFrom(train_);
    if (validation_ != nullptr) validation_scores_ = BeginFrom(*validation_);
    gradients_.resize(rows_ * 2 * lanes_);  // lanes without an output stay 0
    return absl::OkStatus();
  }

  std::vector<float> BeginFrom(const TreeRows& rows) const {
    if (!rows.scores.empty()) return rows.scores;
    std::vector<float> scores(rows.labels.size());
    for (std::size_t i = 0; i < scores.size(); ++i) scores[i] = trees_.base_[i % outputs_];
    return scores;
  }

  static double Weight(const TreeRows& rows, std::size_t r) {
    return rows.weights.empty() ? 1 : static_cast<double>(rows.weights[r]);
  }

  void MakeBins() {
    const std::size_t step = std::max<std::size_t>(1, rows_ / kSample);
    std::vector<float> values;
    for (const std::uint32_t column : usable_) {
      values.clear();
      for (std::size_t r = 0; r < rows_; r += step) {
        const float value = train_.values[r * columns_ + column];
        if (std::isfinite(value)) values.push_back(value);
      }
      cuts_.emplace_back(&values, options_.cuts);
    }
    bins_.resize(rows_ * usable_.size());
    // Some rows at a time, so that they are at hand for all of their columns.
    for (std::size_t first = 0; first < rows_; first += kTogether) {
      const std::size_t end = std::min(rows_, first + kTogether);
      for (std::size_t u = 0; u < usable_.size(); ++u) {
        const ColumnCuts& cuts = cuts_[u];
        for (std::size_t r = first; r < end; ++r) {
          bins_[r * usable_.size() + u] = cuts.BinOf(train_.values[r * columns_ + usable_[u]]);
        }
      }
    }
  }

  void Gradients() {
    if (!train_.groups.empty()) {
      for (std::size_t first = 0; first < rows_;) {
        std::size_t end = first;
        double most = -std::numeric_limits<double>::infinity();
        while (end < rows_ && train_.groups[end] == train_.groups[first]) {
          most = std::max(most, static_cast<double>(scores_[end++]));
        }
        double sum = 0;
        shares_.clear();
        for (std::size_t r = first; r < end; ++r) {
          shares_.push_back(std::exp(static_cast<double>(scores_[r]) - most));
          sum += shares_.back();
        }
        for (std::size_t r = first; r < end; ++r) {
          SetGradient(r, 0, shares_[r - first] / sum, train_.labels[r] > 0.5f ? 1 : 0);
        }
        first = end;
      }
      return;
    }
    for (std::size_t r = 0; r < rows_; ++r) {
      for (std::size_t k = 0; k < outputs_; ++k) {
        const std::size_t i = r * outputs_ + k;
        const float label = train_.labels[i];
        if (label < 0) continue;  // its gradient is 0 for good
        SetGradient(r, k, Sigmoid(static_cast<double>(scores_[i])), label > 0.5f ? 1 : 0);
      }
    }
  }
  void SetGradient(std::size_t r, std::size_t k, double p, double label) {
    const double weight = Weight(train_, r);
    float* const own = &gradients_[r * 2 * lanes_ + k];
    own[0] = static_cast<float>(weight * (p - label));
    own[lanes_] = static_cast<float>(weight * std::max(p * (1 - p), kLeastCurvature));
  }

  // One tree more.
  void Grow() {
    drawn_.clear();
    left_out_.clear();
    bool in = true;
    for (std::size_t r = 0; r < rows_; ++r) {
      const bool same = !train_.groups.empty() && r > 0 && train_.groups[r] == train_.groups[r - 1];
      if (!same) in = draw_.Uniform() < options_.rows_share;
      (in ? drawn_ : left_out_).push_back(static_cast<std::uint32_t>(r));
    }
    asked_.clear();
    for (std::uint32_t u = 0; u < usable_.size(); ++u) {
      if (draw_.Uniform() < options_.columns_share) asked_.push_back(u);
    }
    if (asked_.empty()) {
      asked_.push_back(
          static_cast<std::uint32_t>(draw_.Uniform() * static_cast<double>(usable_.size())));
    }
    asked_cuts_.clear();
    for (const std::uint32_t u : asked_) asked_cuts_.push_back(cuts_[u].size());

    const auto root = static_cast<std::uint32_t>(trees_.nodes_.size());
    trees_.roots_.push_back(root);
    trees_.nodes_.emplace_back();
    parts_.resize(trees_.nodes_.size());
    histograms_.resize(options_.depth + 2);
    const std::size_t size = asked_.size() * bins_each_ * 2 * lanes_;
    for (auto& histogram : histograms_) histogram.resize(size);
    Count(0, drawn_.size(), &histograms_[0]);
    GrowNode(root, 0, drawn_.size(), 0, 0);

    for (const std::uint32_t r : left_out_) AddTree(root, r);
    if (validation_ == nullptr) return;
    for (std::size_t r = 0; r < validation_->rows(); ++r) {
      const float* const leaf = LeafOf(root, {&validation_->values[r * columns_], columns_});
      for (std::size_t k = 0; k < outputs_; ++k) validation_scores_[r * outputs_ + k] += leaf[k];
    }
  }

  // By bins; the same leaf as by values.
  void AddTree(std::uint32_t root, std::size_t r) {
    const std::uint8_t* const bins = &bins_[r * usable_.size()];
    std::uint32_t at = root;
    while (trees_.nodes_[at].column >= 0) {
      at = trees_.nodes_[at].left + (bins[parts_[at].place] > parts_[at].bin ? 1 : 0);
    }
    AddLeaf(trees_.nodes_[at].left, r);
  }
  void AddLeaf(std::uint32_t first, std::size_t r) {
    const float* const leaf = &trees_.leaves_[first];
    for (std::size_t k = 0; k < outputs_; ++k) scores_[r * outputs_ + k] += leaf[k];
  }
  const float* LeafOf(std::uint32_t root, absl::Span<const float> row) const {
    const Node* node = &trees_.nodes_[root];
    while (node->column >= 0) {
      const float value = row[static_cast<std::size_t>(node->column)];
      node = &trees_.nodes_[node->left + (value >= node->from ? 1 : 0)];
    }
    return &trees_.leaves_[node->left];
  }

  void Count(std::size_t from, std::size_t to, std::vector<double>* histogram) const {
    const internal::BinnedRows rows = {bins_.data(), usable_.size(), gradients_.data(), lanes_};
    internal::CountRows(rows, absl::MakeConstSpan(drawn_).subspan(from, to - from), asked_,
                        bins_each_, histogram->data());
  }

  // Of the rows drawn_[from, to), whose histogram is histograms_[own].
  void GrowNode(std::uint32_t node, std::size_t from, std::size_t to, std::size_t depth,
                std::size_t own) {
    BinSplit split;
    if (depth < options_.depth) {
      split = internal::BestSplit(histograms_[own].data(), lanes_, bins_each_, asked_cuts_,
                                  options_.ridge, options_.least_child);
    }
    if (!(split.gain > 0)) {
      MakeLeaf(node, from, to);
      return;
    }
    const std::uint32_t place = asked_[split.asked];
    const auto bin = static_cast<std::uint8_t>(split.bin);
    const auto middle =
        std::partition(drawn_.begin() + static_cast<std::ptrdiff_t>(from),
                       drawn_.begin() + static_cast<std::ptrdiff_t>(to),
                       [&](std::uint32_t r) { return bins_[r * usable_.size() + place] <= bin; });
    const auto at = static_cast<std::size_t>(middle - drawn_.begin());
    const auto left = static_cast<std::uint32_t>(trees_.nodes_.size());
    trees_.nodes_.resize(left + 2);
    parts_.resize(left + 2);
    trees_.nodes_[node].column = static_cast<std::int32_t>(usable_[place]);
    trees_.nodes_[node].from = cuts_[place][bin];
    trees_.nodes_[node].left = left;
    parts_[node] = {place, bin};

    // The smaller child is counted, the other one is what is left of the parent's histogram.
    const bool left_is_small = at - from <= to - at;
    std::vector<double>& small = histograms_[depth + 1];
    if (depth + 1 < options_.depth) {
      Count(left_is_small ? from : at, left_is_small ? at : to, &small);
      std::vector<double>& large = histograms_[own];
      for (std::size_t i = 0; i < large.size(); ++i) large[i] -= small[i];
    }
    // The deeper histograms are the small child's scratch; the large one's stays where it is.
    const std::uint32_t first = left_is_small ? left : left + 1;
    const std::uint32_t second = left_is_small ? left + 1 : left;
    GrowNode(first, left_is_small ? from : at, left_is_small ? at : to, depth + 1, depth + 1);
    GrowNode(second, left_is_small ? at : from, left_is_small ? to : at, depth + 1, own);
  }

  void MakeLeaf(std::uint32_t node, std::size_t from, std::size_t to) {
    std::array<double, 2 * kMaxOutputs> sums{};
    for (std::size_t i = from; i < to; ++i) {
      const float* const own = &gradients_[drawn_[i] * 2 * lanes_];
      for (std::size_t k = 0; k < 2 * lanes_; ++k) sums[k] += static_cast<double>(own[k]);
    }
    const auto first = static_cast<std::uint32_t>(trees_.leaves_.size());
    trees_.nodes_[node].column = -1;
    trees_.nodes_[node].left = first;
    for (std::size_t k = 0; k < outputs_; ++k) {
      const double step = -sums[k] / (sums[lanes_ + k] + options_.ridge + 1e-12);
      trees_.leaves_.push_back(
          static_cast<float>(options_.learning_rate * std::clamp(step, -8.0, 8.0)));
    }
    for (std::size_t i = from; i < to; ++i) AddLeaf(first, drawn_[i]);
  }

  double ValidationLoss() const {
    const TreeRows& rows = *validation_;
    double loss = 0, all = 0;
    if (!rows.groups.empty()) {
      for (std::size_t first = 0; first < rows.rows();) {
        std::size_t end = first;
        double sum = 0, own = 0;
        while (end < rows.rows() && rows.groups[end] == rows.groups[first]) {
          const double score = static_cast<double>(validation_scores_[end]);
          sum += std::exp(score);
          if (rows.labels[end] > 0.5f) own = score;
          ++end;
        }
        loss += Weight(rows, first) * (std::log(sum) - own);
        all += Weight(rows, first);
        first = end;
      }
      return loss / std::max(all, 1e-12);
    }
    for (std::size_t i = 0; i < rows.labels.size(); ++i) {
      if (rows.labels[i] < 0) continue;
      const double z = static_cast<double>(validation_scores_[i]);
      const double side = rows.labels[i] > 0.5f ? -z : z;
      const double weight = Weight(rows, i / outputs_);
      // log(1 + exp(side)), without overflow
      loss += weight * (std::max(side, 0.0) + std::log1p(std::exp(-std::abs(side))));
      all += weight;
    }
    return loss / std::max(all, 1e-12);
  }

  // The first `count` trees stay.
  void Cut(std::size_t count) {
    const std::uint32_t end = count < trees_.roots_.size()
                                  ? trees_.roots_[count]
                                  : static_cast<std::uint32_t>(trees_.nodes_.size());
    trees_.roots_.resize(count);
    trees_.nodes_.resize(end);
    std::size_t leaves = 0;
    for (const Node& node : trees_.nodes_) leaves += node.column < 0 ? outputs_ : 0;
    trees_.leaves_.resize(leaves);  // a tree's leaves stand together, in the order of the trees
  }

  const TreeRows& train_;
  const TreeRows* const validation_;
  const TreeFitOptions& options_;
  const std::size_t rows_, columns_, outputs_, lanes_, bins_each_;
  std::vector<std::uint32_t> usable_;  // columns that may be asked; what follows counts these
  Draw draw_;
  BoostedTrees trees_;
  struct Parts {
    std::uint32_t place = 0;  // of its column
    std::uint8_t bin = 0;     // the last that goes left
  };
  std::vector<Parts> parts_;        // of each node
  std::vector<ColumnCuts> cuts_;    // of each column
  std::vector<std::uint8_t> bins_;  // rows x columns: how many cuts are not above the value
  std::vector<float> scores_, validation_scores_;
  std::vector<float> gradients_;  // see BinnedRows
  std::vector<double> shares_;    // of the rows of a group
  std::vector<std::uint32_t> drawn_, left_out_, asked_;
  std::vector<std::size_t> asked_cuts_;
  std::vector<std::vector<double>> histograms_;  // see CountRows()
};

absl::StatusOr<BoostedTrees> BoostedTrees::Fit(const TreeRows& train, const TreeRows* validation,
                                               const TreeFitOptions& options) {
  SEER_RETURN_IF_ERROR(options.Validate());
  SEER_RETURN_IF_ERROR(Check(train, "training"));
  if (!options.columns.empty() && options.columns.back() >= train.columns) {
    return absl::InvalidArgumentError("trees.columns: one that the rows have not: give others");
  }
  if (validation != nullptr && validation->rows() == 0) validation = nullptr;
  if (validation != nullptr) {
    SEER_RETURN_IF_ERROR(Check(*validation, "validation"));
    if (validation->columns != train.columns || validation->outputs != train.outputs ||
        validation->groups.empty() != train.groups.empty() ||
        validation->scores.empty() != train.scores.empty()) {
      return absl::InvalidArgumentError("validation rows: of another shape than the training rows");
    }
  }
  return Fitter(train, validation, options).Run();
}

SEER_END_NAMESPACE
