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

// Whether any of eight numbers is above `floor`.
inline bool AnyAbove(const float* eight, float floor) {
#ifdef __SSE2__
  const __m128 limit = _mm_set1_ps(floor);
  const __m128 low = _mm_cmpgt_ps(_mm_loadu_ps(eight), limit);
  const __m128 high = _mm_cmpgt_ps(_mm_loadu_ps(eight + 4), limit);
  return _mm_movemask_ps(_mm_or_ps(low, high)) != 0;
#else
  bool any = false;
  for (std::size_t i = 0; i < kSides; ++i) any = any || eight[i] > floor;
  return any;
#endif
}

}  // namespace internal
SEER_END_NAMESPACE
