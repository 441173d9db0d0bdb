// See kernels_v3.cc.
#include "nn/eigen_kernels.h"

#ifdef __AVX2__
#define SEER_NN_SET eigen_v3
#define SEER_NN_KERNELS KernelsV3
#define Eigen SeerEigenV3
#include "nn/eigen_impl.h"
#endif

SEER_BEGIN_NAMESPACE
namespace internal {
#ifdef __AVX2__
const Kernels* EigenV3() {
  static const Kernels kernels = eigen_v3::MakeKernels();
  return &kernels;
}
#else
const Kernels* EigenV3() { return nullptr; }
#endif
}  // namespace internal
SEER_END_NAMESPACE
