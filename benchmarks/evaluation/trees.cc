#include "benchmarks/evaluation/trees.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <utility>

namespace seer::evaluation {
namespace {

// Takes `prefix` and then a number off the front.
template <typename Number>
bool Take(std::string_view* text, std::string_view prefix, Number* number) {
  if (text->substr(0, prefix.size()) != prefix) return false;
  const char* const begin = text->data() + prefix.size();
  const char* const end = text->data() + text->size();
  const auto [stop, error] = std::from_chars(begin, end, *number);
  if (error != std::errc()) return false;
  text->remove_prefix(static_cast<std::size_t>(stop - text->data()));
  return true;
}

struct Node {
  std::int32_t feature = -1;  // -1: a leaf
  float value = 0;            // threshold, or the leaf's
  std::int32_t yes = 0, no = 0;
};

void AppendNumber(double value, std::string* text) {
  char digits[32];
  const auto end = std::to_chars(digits, digits + sizeof digits, static_cast<float>(value)).ptr;
  text->append(digits, end);
}

double Sigmoid(double x) {
  return x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x));
}

}  // namespace

absl::StatusOr<Trees> Trees::Parse(absl::Span<const std::string_view> dumps, std::size_t columns) {
  std::string text;  // as BoostedTrees reads it: two children side by side, behind their parent
  std::int32_t most = 0;
  for (std::size_t t = 0; t < dumps.size(); ++t) {
    const auto wrong = [&](std::string_view line, std::string_view what) {
      return absl::InvalidArgumentError("tree " + std::to_string(t) + ": '" + std::string(line) +
                                        "': " + std::string(what));
    };
    std::map<std::int32_t, Node> nodes;  // by XGBoost's number
    std::string_view rest = dumps[t];
    while (!rest.empty()) {
      const std::size_t end = std::min(rest.find('\n'), rest.size());
      const std::string_view whole = rest.substr(0, end);
      rest.remove_prefix(std::min(end + 1, rest.size()));
      std::string_view line = whole;
      while (!line.empty() && (line[0] == '\t' || line[0] == ' ')) line.remove_prefix(1);
      if (line.empty()) continue;
      std::int32_t id = 0;
      Node node;
      if (!Take(&line, "", &id)) return wrong(whole, "no number of a node");
      if (!Take(&line, ":leaf=", &node.value)) {
        if (!Take(&line, ":[f", &node.feature) || !Take(&line, "<", &node.value) ||
            !Take(&line, "] yes=", &node.yes) || !Take(&line, ",no=", &node.no)) {
          return wrong(whole, "neither a leaf nor a split by a number");
        }
        if (node.feature < 0 || node.yes <= id || node.no <= id) {
          return wrong(whole, "its children do not stand behind it");
        }
      }
      if (!std::isfinite(node.value)) return wrong(whole, "a value that is no number");
      most = std::max(most, node.feature);
      if (!nodes.emplace(id, node).second) return wrong(whole, "the node stands there twice");
    }
    if (nodes.count(0) == 0) return wrong("", "no root");
    std::vector<std::int32_t> order = {0};  // by levels
    std::string lines;
    for (std::size_t i = 0; i < order.size(); ++i) {
      const auto found = nodes.find(order[i]);
      if (found == nodes.end()) return wrong(std::to_string(order[i]), "a child is missing");
      const Node& node = found->second;
      if (node.feature < 0) {
        lines += "leaf ";
        AppendNumber(node.value, &lines);
      } else {
        lines += std::to_string(node.feature) + " ";
        AppendNumber(node.value, &lines);
        lines += " " + std::to_string(order.size());
        order.push_back(node.yes);
        order.push_back(node.no);
        // Else a child of many parents makes it endless.
        if (order.size() > nodes.size()) return wrong("", "a node is the child of two");
      }
      lines += '\n';
    }
    text += "tree " + std::to_string(order.size()) + "\n" + lines;
  }
  if (columns == 0) columns = static_cast<std::size_t>(most) + 1;
  auto decoded = BoostedTrees::Decode("trees " + std::to_string(columns) + " 1 " +
                                      std::to_string(dumps.size()) + "\nbase 0\n" + text);
  if (!decoded.ok()) return decoded.status();
  Trees trees;
  trees.trees_ = *std::move(decoded);
  return trees;
}

double Trees::Probability(absl::Span<const float> row) const {
  float score = 0;
  trees_.Score(row, absl::Span<float>(&score, trees_.outputs()));
  return Sigmoid(static_cast<double>(score));
}

void Trees::Probabilities(absl::Span<const float> rows, absl::Span<double> p) const {
  std::vector<float> scores(p.size(), 0.0f);
  if (trees_.outputs() == 1) trees_.ScoreRows(rows, absl::MakeSpan(scores));
  for (std::size_t i = 0; i < p.size(); ++i) p[i] = Sigmoid(static_cast<double>(scores[i]));
}

}  // namespace seer::evaluation
