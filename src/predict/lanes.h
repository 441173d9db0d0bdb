// The largest of many rows of sixteen numbers, number by number.
#pragma once

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <algorithm>
#include <cstddef>
#include <iterator>

#include "predict/service_columns.h"
#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// The largest of `lane` and `most`, lane by lane; what is NaN in `lane` does not count.
#ifdef __SSE2__
struct Lanes {
  __m128 most[4];
  explicit Lanes(float value) {
    for (__m128& four : most) four = _mm_set1_ps(value);
  }
  void Take(const float* lane) {  // 16 of them, at a multiple of 16 bytes
    for (std::size_t i = 0; i < 4; ++i) most[i] = _mm_max_ps(_mm_load_ps(lane + 4 * i), most[i]);
  }
  void Tell(float* out) const {
    for (std::size_t i = 0; i < 4; ++i) _mm_storeu_ps(out + 4 * i, most[i]);
  }
};
#else
struct Lanes {
  float most[ServiceColumns::kLanes];
  explicit Lanes(float value) { std::fill(std::begin(most), std::end(most), value); }
  void Take(const float* lane) {
    for (std::size_t i = 0; i < ServiceColumns::kLanes; ++i) {
      most[i] = lane[i] > most[i] ? lane[i] : most[i];
    }
  }
  void Tell(float* out) const { std::copy(std::begin(most), std::end(most), out); }
};
#endif

}  // namespace internal
SEER_END_NAMESPACE
