// The kernels, compiled once for each instruction set. The file that includes this one defines
//   SEER_NN_SET     the name of the namespace, different in each
//   SEER_NN_LANES   floats in a vector
//   SEER_NN_TILE    rows of a tile of the matrix product: with two vectors each it fits the
//                   registers
// so that no function made for one set can replace that of another when they are linked. For the
// same reason nothing of std:: that could stay out of line is used here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "nn/kernels.h"
#include "nn/native_kernels.h"

SEER_BEGIN_NAMESPACE
namespace internal {
namespace SEER_NN_SET {
namespace {

// In the order of what needs what.
// clang-format off
#include "nn/kernels_vector.h"
#include "nn/kernels_gemm.h"
#include "nn/kernels_elementwise.h"
#include "nn/kernels_recurrence.h"
#include "nn/kernels_conv.h"
#include "nn/kernels_native.h"
// clang-format on

constexpr Kernels MakeKernels(const char* name) {
  return {name,     Gemm,         Pack,         PackedGemm,
          Conv,     ConvBackward, Activate,     ActivateBackward,
          Lstm,     Recurrence,   LstmBackward, Adam,
          FillRows, AddColumns,   Dropout};
}
constexpr NativeKernels MakeNative(const Kernels* training) {
  return {training->name,   kWide, kAtOnce, training, Product, SparseRow, PackedConvolution,
          PackedRecurrence, Pool,  Dots,    Softmax};
}

}  // namespace
}  // namespace SEER_NN_SET
}  // namespace internal
SEER_END_NAMESPACE
