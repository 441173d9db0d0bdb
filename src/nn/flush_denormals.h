// Numbers below the smallest normal one are zeros while this lives: moments and gradients that fade
// away would otherwise cost a hundred cycles each on many processors. The host's mode is put back.
#pragma once

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE
namespace internal {

class FlushDenormals {
 public:
#if defined(__SSE2__)
  FlushDenormals() : before_(_mm_getcsr()) {
    constexpr unsigned kFlushToZero = 0x8000, kDenormalsAreZero = 0x0040;
    _mm_setcsr(before_ | kFlushToZero | kDenormalsAreZero);
  }
  ~FlushDenormals() { _mm_setcsr(before_); }
#else
  FlushDenormals() = default;
  ~FlushDenormals() {}
#endif
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
#if defined(__SSE2__)
  const unsigned before_;
#endif
};

}  // namespace internal
SEER_END_NAMESPACE
