// For whatever the compiler's flags allow: x86-64 with SSE2, or another architecture.
#define SEER_NN_SET kernels_baseline
#define SEER_NN_LANES 4
#define SEER_NN_TILE 6
#define Eigen SeerEigenBaseline
#include "nn/kernels_impl.h"

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {
constexpr Kernels kKernels = kernels_baseline::MakeKernels("baseline");
}  // namespace
const Kernels* KernelsBaseline() { return &kKernels; }
}  // namespace internal
SEER_END_NAMESPACE
