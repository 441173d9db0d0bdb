#include "nn/kernels.h"

#include <cstddef>

#include "nn/native_kernels.h"
#include "nn/processor.h"

SEER_BEGIN_NAMESPACE
namespace internal {

const Kernels* const* UsableKernels(std::size_t* count) {
  static const UsableTables<Kernels> usable(KernelsV4(), KernelsV3(), KernelsBaseline());
  *count = usable.count;
  return usable.tables;
}

const NativeKernels* const* UsableNativeKernels(std::size_t* count) {
  static const UsableTables<NativeKernels> usable(NativeV4(), NativeV3(), NativeBaseline());
  *count = usable.count;
  return usable.tables;
}

}  // namespace internal
SEER_END_NAMESPACE
