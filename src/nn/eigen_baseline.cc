// See kernels_baseline.cc.
#include "nn/eigen_kernels.h"

#define SEER_NN_SET eigen_baseline
#define SEER_NN_KERNELS KernelsBaseline
#define Eigen SeerEigenBaseline
#include "nn/eigen_impl.h"

SEER_BEGIN_NAMESPACE
namespace internal {
const Kernels* EigenBaseline() {
  static const Kernels kernels = eigen_baseline::MakeKernels();
  return &kernels;
}
}  // namespace internal
SEER_END_NAMESPACE
