// See kernels_v4.cc.
#include "nn/eigen_kernels.h"

#ifdef __AVX512F__
#define SEER_NN_SET eigen_v4
#define SEER_NN_KERNELS KernelsV4
#define Eigen SeerEigenV4
#include "nn/eigen_impl.h"
#endif

SEER_BEGIN_NAMESPACE
namespace internal {
#ifdef __AVX512F__
const EigenFunctions* EigenV4() { return &eigen_v4::kFunctions; }
#else
const EigenFunctions* EigenV4() { return nullptr; }
#endif
}  // namespace internal
SEER_END_NAMESPACE
