#include "benchmarks/evaluation/trees.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>

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

}  // namespace

absl::StatusOr<Trees> Trees::Parse(absl::Span<const std::string_view> dumps) {
  Trees trees;
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
      if (!nodes.emplace(id, node).second) return wrong(whole, "the node stands there twice");
    }
    std::map<std::int32_t, std::int32_t> places;
    for (const auto& [id, node] : nodes) {
      places[id] = static_cast<std::int32_t>(trees.nodes_.size() + places.size());
    }
    if (nodes.empty() || nodes.begin()->first != 0) return wrong("", "no root");
    trees.roots_.push_back(places[0]);
    for (auto [id, node] : nodes) {
      if (node.feature >= 0) {
        const auto yes = places.find(node.yes);
        const auto no = places.find(node.no);
        if (yes == places.end() || no == places.end()) {
          return wrong(std::to_string(id), "a child is missing");
        }
        node.yes = yes->second;
        node.no = no->second;
      }
      trees.nodes_.push_back(node);
    }
  }
  return trees;
}

double Trees::Probability(absl::Span<const float> row) const {
  double sum = 0;
  for (const std::int32_t root : roots_) {
    const Node* node = &nodes_[static_cast<std::size_t>(root)];
    while (node->feature >= 0) {
      const auto feature = static_cast<std::size_t>(node->feature);
      const float value = feature < row.size() ? row[feature] : 0.0f;
      node = &nodes_[static_cast<std::size_t>(value < node->value ? node->yes : node->no)];
    }
    sum += node->value;
  }
  return sum >= 0 ? 1 / (1 + std::exp(-sum)) : std::exp(sum) / (1 + std::exp(sum));
}

}  // namespace seer::evaluation
