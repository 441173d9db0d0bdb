// For x86-64 processors with AVX-512; src/nn/CMakeLists.txt gives this file its flags. Without them
// there is nothing here.
#include "nn/kernels.h"
#include "nn/native_kernels.h"

#ifdef __AVX512F__
#define SEER_NN_SET kernels_v4
#define SEER_NN_LANES 16
#define SEER_NN_TILE 10
#include "nn/kernels_impl.h"
#endif

SEER_BEGIN_NAMESPACE
namespace internal {
#ifdef __AVX512F__
namespace {
constexpr Kernels kKernels = kernels_v4::MakeKernels("x86-64-v4");
constexpr NativeKernels kNative = kernels_v4::MakeNative(&kKernels);
}  // namespace
const Kernels* KernelsV4() { return &kKernels; }
const NativeKernels* NativeV4() { return &kNative; }
#else
const Kernels* KernelsV4() { return nullptr; }
const NativeKernels* NativeV4() { return nullptr; }
#endif
}  // namespace internal
SEER_END_NAMESPACE
