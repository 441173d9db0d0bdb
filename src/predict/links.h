// For each row of one kind those of another, in the order in which they were given.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE
namespace internal {

class Links {
 public:
  using Pairs = std::vector<std::pair<std::uint32_t, std::uint32_t>>;

  // Each pair: one of `rows` rows, and what it leads to.
  void Build(std::size_t rows, const Pairs& pairs) {
    from_.assign(rows + 1, 0);
    for (const auto& [row, other] : pairs) ++from_[row + 1];
    for (std::size_t i = 0; i < rows; ++i) from_[i + 1] += from_[i];
    to_.resize(pairs.size());
    std::vector<std::uint32_t> next(from_.begin(), from_.end() - 1);
    for (const auto& [row, other] : pairs) to_[next[row]++] = other;
  }
  absl::Span<const std::uint32_t> Of(std::uint32_t row) const {
    return {to_.data() + from_[row], from_[row + 1] - from_[row]};
  }

 private:
  std::vector<std::uint32_t> from_, to_;
};

}  // namespace internal
SEER_END_NAMESPACE
