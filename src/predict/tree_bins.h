// What growing a tree looks at instead of numbers: in which bin of its column each number is, and
// sums over the rows in each bin. Private to fitting (include/seer/predict/boosted_trees.h).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// Ascending.
void SortFloats(std::vector<float>* values);

// Where the bins of a column end. The first cut is below all numbers: what is not known goes left
// of it.
class ColumnCuts {
 public:
  static constexpr std::size_t kMost = 63;

  // From the known values of a sample, in any order: at most `count`, half of them by rank, half of
  // them towards both ends, as what matters is rare. Leaves the sample sorted.
  ColumnCuts(std::vector<float>* sample, std::size_t count);

  std::size_t size() const { return size_; }
  float operator[](std::size_t i) const { return cuts_[i]; }
  // How many cuts are not above the value: 0 to size().
  std::uint8_t BinOf(float value) const {
    std::size_t below = 0;
    for (std::size_t step = (kMost + 1) / 2; step > 0; step /= 2) {
      below += value >= cuts_[below + step - 1] ? step : 0;
    }
    return static_cast<std::uint8_t>(below);
  }

 private:
  std::array<float, kMost> cuts_;  // NaN behind the last one: nothing is above it
  std::size_t size_ = 0;
};

// Gradients and curvatures are kept as so many numbers side by side; those without an output are 0.
constexpr std::size_t LanesOf(std::size_t outputs) {
  return outputs == 1 ? 1 : (outputs <= 8 ? 8 : 16);
}

struct BinnedRows {
  const std::uint8_t* bins;  // rows x columns
  std::size_t columns;
  const float* gradients;  // rows x 2 x lanes: gradients, then curvatures
  std::size_t lanes;
};
// Adds up what these rows have, by bin of each column that is asked: asked x bins x 2 x lanes.
void CountRows(const BinnedRows& rows, absl::Span<const std::uint32_t> drawn,
               absl::Span<const std::uint32_t> asked, std::size_t bins, double* sums);

// Between which bins rows part best. The gain of none is 0.
struct BinSplit {
  double gain = 0;
  std::size_t asked = 0;  // which of those that were
  std::size_t bin = 0;    // the last that goes left
};
// `cuts`: how many the columns that were asked have.
BinSplit BestSplit(const double* sums, std::size_t lanes, std::size_t bins,
                   absl::Span<const std::size_t> cuts, double ridge, double least_child);

}  // namespace internal
SEER_END_NAMESPACE
