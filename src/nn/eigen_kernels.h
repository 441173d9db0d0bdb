// The kernels of the backend eigen: products and element-wise functions of Eigen's, the rest as in
// kernels.h.
#pragma once

#include <cstddef>

#include "nn/kernels.h"
#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// What is Eigen's. A constant: what the file of a set of instructions computes at run time would
// run on processors that do not have them.
struct EigenFunctions {
  decltype(Kernels::gemm) gemm;
  decltype(Kernels::activate) activate;
  decltype(Kernels::activate_backward) activate_backward;
  decltype(Kernels::lstm) lstm;
};
const EigenFunctions* EigenBaseline();
const EigenFunctions* EigenV3();  // null where the compiler or the architecture has it not
const EigenFunctions* EigenV4();

// All that this processor can run, best first.
const Kernels* const* UsableEigenKernels(std::size_t* count);

}  // namespace internal
SEER_END_NAMESPACE
