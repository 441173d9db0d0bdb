// The few largest of many numbers, in order; of equals the first. By the largest of each eight, so
// that hardly a branch has to be guessed: one number after the other, nearly each of the first ones
// is among the largest yet, and whether one is nobody can tell.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "absl/types/span.h"
#include "predict/side_by_side.h"
#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE
namespace internal {

class TopScores {
 public:
  // So that nothing is allocated for as many or fewer.
  void Reserve(std::size_t count) {
    Fit(count);
    Find({});
  }
  // Room for so many, which the caller fills: none is NaN, minus infinity is never found.
  float* Fit(std::size_t count) {
    constexpr std::size_t kBoth = kSides * kSides;
    scores_.resize((count + kBoth - 1) / kBoth * kBoth);
    std::fill(scores_.begin() + static_cast<std::ptrdiff_t>(count), scores_.end(), kNever);
    return scores_.data();
  }
  // Their places, the largest first; how many.
  std::size_t Find(absl::Span<std::uint32_t> places) {
    // The largest of each eight, and of eight of those.
    const std::size_t eights = scores_.size() / kSides, all = eights / kSides;
    of_eight_.resize(eights);
    of_all_.resize((all + kSides - 1) / kSides * kSides, kNever);
    std::fill(of_all_.begin() + static_cast<std::ptrdiff_t>(all), of_all_.end(), kNever);
    for (std::size_t i = 0; i < eights; ++i) of_eight_[i] = MostOfEight(&scores_[i * kSides]);
    for (std::size_t i = 0; i < all; ++i) of_all_[i] = MostOfEight(&of_eight_[i * kSides]);
    std::size_t found = 0;
    for (; found < places.size(); ++found) {
      float most = kNever;
      for (std::size_t i = 0; i < of_all_.size(); i += kSides) {
        const float some = MostOfEight(&of_all_[i]);
        most = some > most ? some : most;
      }
      if (!(most > kNever)) break;
      const std::size_t outer = FirstOf(of_all_.data(), most);
      const std::size_t inner = outer * kSides + FirstOf(&of_eight_[outer * kSides], most);
      const std::size_t place = inner * kSides + FirstOf(&scores_[inner * kSides], most);
      places[found] = static_cast<std::uint32_t>(place);
      scores_[place] = kNever;
      of_eight_[inner] = MostOfEight(&scores_[inner * kSides]);
      of_all_[outer] = MostOfEight(&of_eight_[outer * kSides]);
    }
    return found;
  }

 private:
  static constexpr float kNever = -std::numeric_limits<float>::infinity();
  // It is there.
  static std::size_t FirstOf(const float* values, float value) {
    std::size_t i = 0;
#ifdef __SSE2__
    const __m128 all = _mm_set1_ps(value);
    const auto four = [&] { return _mm_movemask_ps(_mm_cmpeq_ps(_mm_loadu_ps(values + i), all)); };
    while (four() == 0) i += 4;
#endif
    while (values[i] != value) ++i;
    return i;
  }

  std::vector<float> scores_, of_eight_, of_all_;
};

}  // namespace internal
SEER_END_NAMESPACE
