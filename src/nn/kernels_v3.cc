// For x86-64 processors with AVX2 and FMA; src/nn/CMakeLists.txt gives this file its flags. Without
// them there is nothing here.
#include "nn/kernels.h"
#include "nn/native_kernels.h"

#ifdef __AVX2__
#define SEER_NN_SET kernels_v3
#define SEER_NN_LANES 8
#define SEER_NN_TILE 6
#include "nn/kernels_impl.h"
#endif

SEER_BEGIN_NAMESPACE
namespace internal {
#ifdef __AVX2__
namespace {
constexpr Kernels kKernels = kernels_v3::MakeKernels("x86-64-v3");
constexpr NativeKernels kNative = kernels_v3::MakeNative(&kKernels);
}  // namespace
const Kernels* KernelsV3() { return &kKernels; }
const NativeKernels* NativeV3() { return &kNative; }
#else
const Kernels* KernelsV3() { return nullptr; }
const NativeKernels* NativeV3() { return nullptr; }
#endif
}  // namespace internal
SEER_END_NAMESPACE
