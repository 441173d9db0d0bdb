#include "nn/kernels.h"

#include <cstddef>

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

struct Usable {
  const Kernels* kernels[3] = {};
  std::size_t count = 0;

  Usable() {
    const auto add = [this](bool runs, const Kernels* table) {
      if (runs && table != nullptr) kernels[count++] = table;
    };
#if defined(__x86_64__)
    __builtin_cpu_init();
    const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("bmi2");
    add(v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
            __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
            __builtin_cpu_supports("avx512vl"),
        KernelsV4());
    add(v3, KernelsV3());
#endif
    add(true, KernelsBaseline());
  }
};

}  // namespace

const Kernels* const* UsableKernels(std::size_t* count) {
  static const Usable usable;
  *count = usable.count;
  return usable.kernels;
}

}  // namespace internal
SEER_END_NAMESPACE
