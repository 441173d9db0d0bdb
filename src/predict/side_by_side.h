// Numbers that are reckoned with side by side, and the sets of instructions for it that a processor
// may have: loops are written once, compiled for several of them, and chosen at run time. None of
// them has fused operations, which round once less: every one gives the same bits.
//
// A vector is never handed over by value, as its size decides how that is done.
#pragma once

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <cstddef>
#include <cstring>

#include "seer/core/config.h"

#if defined(__GNUC__)
#define SEER_SIDE_BY_SIDE 1
#define SEER_ALWAYS_INLINE inline __attribute__((always_inline))
#else
#define SEER_SIDE_BY_SIDE 0
#define SEER_ALWAYS_INLINE inline
#endif

#if defined(__GNUC__) && defined(__x86_64__)
#define SEER_FOR_AVX2 __attribute__((target("avx2")))
#define SEER_FOR_AVX512 __attribute__((target("avx512f")))
#endif

SEER_BEGIN_NAMESPACE
namespace internal {

inline constexpr std::size_t kSides = 8;

#if SEER_SIDE_BY_SIDE
typedef float EightFloats __attribute__((vector_size(32)));
typedef float SixteenFloats __attribute__((vector_size(64)));
static_assert(sizeof(EightFloats) == kSides * sizeof(float));
#endif

#if defined(__GNUC__) && defined(__x86_64__)
inline bool HasAvx2() {
  static const bool has = __builtin_cpu_supports("avx2");
  return has;
}
inline bool HasAvx512() {
  static const bool has = __builtin_cpu_supports("avx512f");
  return has;
}
#endif

// The largest of eight numbers, none of which is NaN.
inline float MostOfEight(const float* eight) {
#ifdef __SSE2__
  __m128 four = _mm_max_ps(_mm_loadu_ps(eight), _mm_loadu_ps(eight + 4));
  four = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(four, _mm_shuffle_ps(four, four, 1)));
#else
  float most = eight[0];
  for (std::size_t i = 1; i < kSides; ++i) most = eight[i] > most ? eight[i] : most;
  return most;
#endif
}

}  // namespace internal
SEER_END_NAMESPACE
