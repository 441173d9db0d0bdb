// See kernels_baseline.cc.
#include "nn/eigen_kernels.h"

#define SEER_NN_SET eigen_baseline
#define SEER_NN_KERNELS KernelsBaseline
#define Eigen SeerEigenBaseline
#include "nn/eigen_impl.h"

SEER_BEGIN_NAMESPACE
namespace internal {
const EigenFunctions* EigenBaseline() { return &eigen_baseline::kFunctions; }
}  // namespace internal
SEER_END_NAMESPACE
