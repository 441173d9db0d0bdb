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
const EigenFunctions* EigenV3() { return &eigen_v3::kFunctions; }
#else
const EigenFunctions* EigenV3() { return nullptr; }
#endif
}  // namespace internal
SEER_END_NAMESPACE
