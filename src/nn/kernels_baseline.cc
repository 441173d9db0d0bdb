// For whatever the compiler's flags allow: x86-64 with SSE2, or another architecture.
#define SEER_NN_SET kernels_baseline
#define SEER_NN_LANES 4
#define SEER_NN_TILE 6
#include "nn/kernels_impl.h"

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {
constexpr Kernels kKernels = kernels_baseline::MakeKernels("baseline");
constexpr NativeKernels kNative = kernels_baseline::MakeNative(&kKernels);
}  // namespace
const Kernels* KernelsBaseline() { return &kKernels; }
const NativeKernels* NativeBaseline() { return &kNative; }
}  // namespace internal
SEER_END_NAMESPACE
