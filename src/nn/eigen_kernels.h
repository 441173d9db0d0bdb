// The kernels of the backend eigen: products and element-wise functions of Eigen's, the rest as in
// kernels.h.
#pragma once

#include <cstddef>

#include "nn/kernels.h"
#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE
namespace internal {

const Kernels* EigenBaseline();
const Kernels* EigenV3();  // null where the compiler or the architecture has it not
const Kernels* EigenV4();

// All that this processor can run, best first.
const Kernels* const* UsableEigenKernels(std::size_t* count);

}  // namespace internal
SEER_END_NAMESPACE
