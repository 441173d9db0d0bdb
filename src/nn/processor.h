// Which of the sets of instructions that kernels are compiled for this processor has.
#pragma once

#include <cstddef>

#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// Tables of x86-64-v4 (AVX-512), x86-64-v3 (AVX2, FMA) and whatever the compiler's flags allow;
// null where the compiler or the architecture has it not. Those that run here, best first.
template <typename Table>
struct UsableTables {
  const Table* tables[3] = {};
  std::size_t count = 0;

  UsableTables(const Table* v4, const Table* v3, const Table* baseline) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    const bool has_v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                        __builtin_cpu_supports("bmi2");
    const bool has_v4 = has_v3 && __builtin_cpu_supports("avx512f") &&
                        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
                        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    if (has_v4 && v4 != nullptr) tables[count++] = v4;
    if (has_v3 && v3 != nullptr) tables[count++] = v3;
#else
    (void)v4;
    (void)v3;
#endif
    tables[count++] = baseline;
  }
};

}  // namespace internal
SEER_END_NAMESPACE
