// The largest of many rows of sixteen numbers, number by number; and of 32 numbers of a column.
#pragma once

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>

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

// Whether columns can be looked at 32 numbers at a time.
#ifdef __SSE2__
inline constexpr bool kDenseLanes = true;

// `apart`: 32 numbers, minus infinity for those that do not count, else zero. Of each column 32
// numbers from `from` on; what is NaN does not count either. None: minus infinity.
class DenseLanes {
 public:
  DenseLanes(const float* apart, std::size_t from) : apart_(apart), from_(from) {}

  float Most(const float* column) const {
    return Over([&](std::size_t i) { return _mm_loadu_ps(column + from_ + i); });
  }
  // Of the differences.
  float MostRise(const float* before, const float* now) const {
    return Over([&](std::size_t i) {
      return _mm_sub_ps(_mm_loadu_ps(now + from_ + i), _mm_loadu_ps(before + from_ + i));
    });
  }
  float Least(const float* column) const {
    __m128 least = _mm_set1_ps(std::numeric_limits<float>::infinity());
    for (std::size_t i = 0; i < ServiceColumns::kStride; i += 4) {
      const __m128 four = _mm_sub_ps(_mm_loadu_ps(column + from_ + i), _mm_loadu_ps(apart_ + i));
      least = _mm_min_ps(four, least);
    }
    least = _mm_min_ps(least, _mm_movehl_ps(least, least));
    return _mm_cvtss_f32(_mm_min_ss(least, _mm_shuffle_ps(least, least, 1)));
  }
  // The two largest; returns how many are above `above`.
  std::uint32_t TwoMost(const float* column, float above, float* most, float* second) const {
    const __m128 none = _mm_set1_ps(-std::numeric_limits<float>::infinity());
    const __m128 limit = _mm_set1_ps(above);
    __m128 one = none, two = none;
    __m128i count = _mm_setzero_si128();
    for (std::size_t i = 0; i < ServiceColumns::kStride; i += 4) {
      const __m128 four =
          _mm_max_ps(_mm_add_ps(_mm_loadu_ps(column + from_ + i), _mm_loadu_ps(apart_ + i)), none);
      count = _mm_sub_epi32(count, _mm_castps_si128(_mm_cmpgt_ps(four, limit)));
      two = _mm_max_ps(two, _mm_min_ps(one, four));
      one = _mm_max_ps(one, four);
    }
    alignas(16) float ones[4], twos[4];
    alignas(16) std::uint32_t counts[4];
    _mm_store_ps(ones, one);
    _mm_store_ps(twos, two);
    _mm_store_si128(reinterpret_cast<__m128i*>(counts), count);
    *most = ones[0];
    *second = twos[0];
    for (std::size_t i = 1; i < 4; ++i) {
      *second = std::max(std::max(*second, twos[i]), std::min(*most, ones[i]));
      *most = std::max(*most, ones[i]);
    }
    return counts[0] + counts[1] + counts[2] + counts[3];
  }

 private:
  template <typename Four>
  float Over(const Four& four) const {
    __m128 a = _mm_set1_ps(-std::numeric_limits<float>::infinity()), b = a;
    for (std::size_t i = 0; i < ServiceColumns::kStride; i += 8) {
      a = _mm_max_ps(_mm_add_ps(four(i), _mm_loadu_ps(apart_ + i)), a);
      b = _mm_max_ps(_mm_add_ps(four(i + 4), _mm_loadu_ps(apart_ + i + 4)), b);
    }
    a = _mm_max_ps(a, b);
    a = _mm_max_ps(a, _mm_movehl_ps(a, a));
    return _mm_cvtss_f32(_mm_max_ss(a, _mm_shuffle_ps(a, a, 1)));
  }

  const float* apart_;
  std::size_t from_;
};
#else
inline constexpr bool kDenseLanes = false;

class DenseLanes {  // nobody asks it
 public:
  DenseLanes(const float*, std::size_t) {}
  float Most(const float*) const { return 0; }
  float MostRise(const float*, const float*) const { return 0; }
  float Least(const float*) const { return 0; }
  std::uint32_t TwoMost(const float*, float, float*, float*) const { return 0; }
};
#endif

}  // namespace internal
SEER_END_NAMESPACE
