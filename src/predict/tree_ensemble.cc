// By way of the text, which is exact and does not care how trees stand in memory.
#include "predict/tree_ensemble.h"

#include <charconv>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

std::string_view TakeLine(std::string_view* text) {
  const std::size_t end = std::min(text->find('\n'), text->size() - 1) + 1;
  const std::string_view line = text->substr(0, end);
  text->remove_prefix(end);
  return line;
}

std::string Header(const BoostedTrees& trees, std::size_t count) {
  return absl::StrCat("trees ", trees.columns(), " ", trees.outputs(), " ", count, "\n");
}

}  // namespace

absl::StatusOr<BoostedTrees> JoinTrees(absl::Span<const BoostedTrees> parts) {
  if (parts.empty()) return absl::InvalidArgumentError("trees: nothing to join");
  std::size_t count = 0;
  for (const BoostedTrees& part : parts) {
    count += part.size();
    if (part.columns() != parts[0].columns() || part.outputs() != parts[0].outputs()) {
      return absl::InvalidArgumentError("trees: of different shapes cannot be joined");
    }
  }
  std::string all = Header(parts[0], count);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const std::string text = parts[i].Encode();
    std::string_view rest = text;
    TakeLine(&rest);             // its header
    if (i > 0) TakeLine(&rest);  // its base
    all.append(rest.data(), rest.size());
  }
  return BoostedTrees::Decode(all);
}

absl::StatusOr<BoostedTrees> DropTrees(const BoostedTrees& trees, std::size_t first,
                                       std::size_t count) {
  if (first > trees.size() || count > trees.size() - first) {
    return absl::InvalidArgumentError("trees: there are not so many to drop");
  }
  const std::string text = trees.Encode();
  std::string_view rest = text;
  TakeLine(&rest);
  std::string all = Header(trees, trees.size() - count);
  const std::string_view base = TakeLine(&rest);
  all.append(base.data(), base.size());
  for (std::size_t t = 0; t < trees.size(); ++t) {
    const bool kept = t < first || t >= first + count;
    const std::string_view line = TakeLine(&rest);  // "tree NODES"
    std::size_t nodes = 0;
    std::from_chars(line.data() + 5, line.data() + line.size(), nodes);
    if (kept) all.append(line.data(), line.size());
    for (std::size_t n = 0; n < nodes; ++n) {
      const std::string_view node = TakeLine(&rest);
      if (kept) all.append(node.data(), node.size());
    }
  }
  return BoostedTrees::Decode(all);
}

}  // namespace internal
SEER_END_NAMESPACE
