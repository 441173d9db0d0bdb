#include "predict/tree_bins.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "predict/side_by_side.h"

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

constexpr double kLeastRidge = 1e-12;  // an output without rows has curvature 0

template <std::size_t kLanes>
void CountPlain(const BinnedRows& rows, absl::Span<const std::uint32_t> drawn,
                absl::Span<const std::uint32_t> asked, std::size_t bins, double* sums) {
  for (const std::uint32_t r : drawn) {
    const float* const own = rows.gradients + r * 2 * kLanes;
    const std::uint8_t* const in = rows.bins + r * rows.columns;
    double* of_column = sums;
    for (const std::uint32_t column : asked) {
      double* const into = of_column + in[column] * 2 * kLanes;
      for (std::size_t k = 0; k < 2 * kLanes; ++k) into[k] += static_cast<double>(own[k]);
      of_column += bins * 2 * kLanes;
    }
  }
}

template <std::size_t kLanes>
BinSplit BestPlain(const double* sums, std::size_t bins, absl::Span<const std::size_t> cuts,
                   double ridge, double least_child) {
  std::array<double, 2 * kLanes> all{};
  for (std::size_t b = 0; b < bins; ++b) {
    for (std::size_t k = 0; k < all.size(); ++k) all[k] += sums[b * all.size() + k];
  }
  double evidence = 0, before = 0;
  for (std::size_t k = 0; k < kLanes; ++k) {
    evidence += all[kLanes + k];
    before += all[k] * all[k] / (all[kLanes + k] + ridge);
  }
  BinSplit best;
  for (std::size_t a = 0; a < cuts.size(); ++a) {
    const double* bin = sums + a * bins * 2 * kLanes;
    std::array<double, 2 * kLanes> left{};
    for (std::size_t b = 0; b < cuts[a]; ++b, bin += left.size()) {
      double left_evidence = 0;
      for (std::size_t k = 0; k < left.size(); ++k) left[k] += bin[k];
      for (std::size_t k = 0; k < kLanes; ++k) left_evidence += left[kLanes + k];
      if (left_evidence < least_child) continue;
      if (evidence - left_evidence < least_child) break;
      double worth = 0;
      for (std::size_t k = 0; k < kLanes; ++k) {
        const double right = all[k] - left[k];
        worth += left[k] * left[k] / (left[kLanes + k] + ridge) +
                 right * right / (all[kLanes + k] - left[kLanes + k] + ridge);
      }
      if (worth - before > best.gain + 1e-9) best = {worth - before, a, b};
    }
  }
  return best;
}

#if SEER_SIDE_BY_SIDE
typedef double EightDoubles __attribute__((vector_size(64)));
typedef double FourDoubles __attribute__((vector_size(32)));
typedef double TwoDoubles __attribute__((vector_size(16)));

SEER_ALWAYS_INLINE double SumOf(const EightDoubles& eight) {
  FourDoubles four, upper_four;
  std::memcpy(&four, &eight, sizeof(four));
  std::memcpy(&upper_four, reinterpret_cast<const char*>(&eight) + sizeof(four), sizeof(four));
  four += upper_four;
  TwoDoubles two, upper_two;
  std::memcpy(&two, &four, sizeof(two));
  std::memcpy(&upper_two, reinterpret_cast<const char*>(&four) + sizeof(two), sizeof(two));
  two += upper_two;
  return two[0] + two[1];
}

// The same with eight lanes at a time, once for each set of instructions.
struct Counting {
  const BinnedRows& rows;
  absl::Span<const std::uint32_t> drawn, asked;
  std::size_t bins;
  double* sums;
};
SEER_ALWAYS_INLINE void CountEights(const Counting& of) {
  for (const std::uint32_t r : of.drawn) {
    EightFloats gradient, curvature;
    std::memcpy(&gradient, of.rows.gradients + r * 16, sizeof(gradient));
    std::memcpy(&curvature, of.rows.gradients + r * 16 + 8, sizeof(curvature));
    const EightDoubles g = __builtin_convertvector(gradient, EightDoubles);
    const EightDoubles c = __builtin_convertvector(curvature, EightDoubles);
    const std::uint8_t* const in = of.rows.bins + r * of.rows.columns;
    double* of_column = of.sums;
    for (const std::uint32_t column : of.asked) {
      double* const into = of_column + in[column] * 16;
      EightDoubles sum;
      std::memcpy(&sum, into, sizeof(sum));
      sum += g;
      std::memcpy(into, &sum, sizeof(sum));
      std::memcpy(&sum, into + 8, sizeof(sum));
      sum += c;
      std::memcpy(into + 8, &sum, sizeof(sum));
      of_column += of.bins * 16;
    }
  }
}

struct Splitting {
  const double* sums;
  std::size_t bins;
  absl::Span<const std::size_t> cuts;
  double ridge, least_child;
};
SEER_ALWAYS_INLINE void SplitEights(const Splitting& of, BinSplit* best) {
  const EightDoubles none = {};
  EightDoubles all_g = none, all_c = none;
  for (std::size_t b = 0; b < of.bins; ++b) {
    EightDoubles g, c;
    std::memcpy(&g, of.sums + b * 16, sizeof(g));
    std::memcpy(&c, of.sums + b * 16 + 8, sizeof(c));
    all_g += g;
    all_c += c;
  }
  const double evidence = SumOf(all_c);
  const EightDoubles before_of = all_g * all_g / (all_c + of.ridge);
  const double before = SumOf(before_of);
  for (std::size_t a = 0; a < of.cuts.size(); ++a) {
    const double* bin = of.sums + a * of.bins * 16;
    EightDoubles left_g = none, left_c = none;
    for (std::size_t b = 0; b < of.cuts[a]; ++b, bin += 16) {
      EightDoubles g, c;
      std::memcpy(&g, bin, sizeof(g));
      std::memcpy(&c, bin + 8, sizeof(c));
      left_g += g;
      left_c += c;
      const double left_evidence = SumOf(left_c);
      if (left_evidence < of.least_child) continue;
      if (evidence - left_evidence < of.least_child) break;
      const EightDoubles right_g = all_g - left_g, right_c = all_c - left_c + of.ridge;
      const EightDoubles left = left_c + of.ridge;
      // Both fractions by one division.
      const EightDoubles worth =
          (left_g * left_g * right_c + right_g * right_g * left) / (left * right_c);
      const double gain = SumOf(worth) - before;
      if (gain > best->gain + 1e-9) {
        best->gain = gain;
        best->asked = a;
        best->bin = b;
      }
    }
  }
}

#ifdef SEER_FOR_AVX2
SEER_FOR_AVX2 void CountAvx2(const Counting& of) { CountEights(of); }
SEER_FOR_AVX2 void SplitAvx2(const Splitting& of, BinSplit* best) { SplitEights(of, best); }
#endif
void CountAnywhere(const Counting& of) { CountEights(of); }
void SplitAnywhere(const Splitting& of, BinSplit* best) { SplitEights(of, best); }
#endif

}  // namespace

void SortFloats(std::vector<float>* values) {
  // By their bits, turned so that they stand in the same order, as many of them at a time.
  constexpr std::size_t kFew = 128, kPasses = 3, kBits = 11, kPlaces = std::size_t{1} << kBits;
  const std::size_t count = values->size();
  std::vector<std::uint32_t> keys(count);
  for (std::size_t i = 0; i < count; ++i) {
    std::memcpy(&keys[i], &(*values)[i], sizeof(keys[i]));
    keys[i] ^= (keys[i] >> 31) != 0 ? 0xffffffffu : 0x80000000u;
  }
  if (count < kFew) {
    std::sort(keys.begin(), keys.end());
  } else {
    std::vector<std::uint32_t> sorted(count), places(kPasses * kPlaces);
    const auto place_of = [](std::uint32_t key, std::size_t pass) {
      return pass * kPlaces + ((key >> (pass * kBits)) & (kPlaces - 1));
    };
    for (const std::uint32_t key : keys) {
      for (std::size_t p = 0; p < kPasses; ++p) ++places[place_of(key, p)];
    }
    for (std::size_t p = 0; p < kPasses; ++p) {
      std::uint32_t before = 0;
      for (std::size_t i = p * kPlaces; i < (p + 1) * kPlaces; ++i) {
        before += std::exchange(places[i], before);
      }
      for (const std::uint32_t key : keys) sorted[places[place_of(key, p)]++] = key;
      keys.swap(sorted);
    }
  }
  for (std::size_t i = 0; i < count; ++i) {
    keys[i] ^= (keys[i] >> 31) != 0 ? 0x80000000u : 0xffffffffu;
    std::memcpy(&(*values)[i], &keys[i], sizeof(keys[i]));
  }
}

ColumnCuts::ColumnCuts(std::vector<float>* sample, std::size_t count) {
  cuts_.fill(std::numeric_limits<float>::quiet_NaN());
  cuts_[size_++] = -std::numeric_limits<float>::max();
  if (sample->empty()) return;
  SortFloats(sample);
  const double last = static_cast<double>(sample->size()) - 1;
  for (std::size_t i = 1; i < std::min(count, kMost); ++i) {
    const double u = 2.0 * static_cast<double>(i) / static_cast<double>(count) - 1;  // -1 to 1
    const double part = 0.5 + 0.5 * std::copysign(1 - std::pow(1 - std::abs(u), 2.5), u);
    const float value = (*sample)[static_cast<std::size_t>(part * last + 0.5)];
    if (value > cuts_[size_ - 1]) cuts_[size_++] = value;
  }
}

void CountRows(const BinnedRows& rows, absl::Span<const std::uint32_t> drawn,
               absl::Span<const std::uint32_t> asked, std::size_t bins, double* sums) {
  std::fill_n(sums, asked.size() * bins * 2 * rows.lanes, 0.0);
  if (rows.lanes == 1) return CountPlain<1>(rows, drawn, asked, bins, sums);
  if (rows.lanes == 16) return CountPlain<16>(rows, drawn, asked, bins, sums);
#if SEER_SIDE_BY_SIDE
  const Counting counting = {rows, drawn, asked, bins, sums};
#ifdef SEER_FOR_AVX2
  if (HasAvx2()) return CountAvx2(counting);
#endif
  CountAnywhere(counting);
#else
  CountPlain<8>(rows, drawn, asked, bins, sums);
#endif
}

BinSplit BestSplit(const double* sums, std::size_t lanes, std::size_t bins,
                   absl::Span<const std::size_t> cuts, double ridge, double least_child) {
  ridge += kLeastRidge;
  if (lanes == 1) return BestPlain<1>(sums, bins, cuts, ridge, least_child);
  if (lanes == 16) return BestPlain<16>(sums, bins, cuts, ridge, least_child);
#if SEER_SIDE_BY_SIDE
  BinSplit best;
  const Splitting splitting = {sums, bins, cuts, ridge, least_child};
#ifdef SEER_FOR_AVX2
  if (HasAvx2()) {
    SplitAvx2(splitting, &best);
    return best;
  }
#endif
  SplitAnywhere(splitting, &best);
  return best;
#else
  return BestPlain<8>(sums, bins, cuts, ridge, least_child);
#endif
}

}  // namespace internal
SEER_END_NAMESPACE
