// What the backend eigen takes from Eigen, compiled once for each instruction set; the rest is that
// of kernels_impl.h. The file that includes this one defines
//   SEER_NN_SET     the name of the namespace, different in each
//   SEER_NN_KERNELS the function that gives the kernels of the same set
//   Eigen           another name for Eigen's namespace
// so that no function made for one set can replace that of another when they are linked.
#pragma once

#include <Eigen/Core>
#include <cstddef>
#include <cstdint>

#include "nn/eigen_kernels.h"
#include "nn/kernels.h"

SEER_BEGIN_NAMESPACE
namespace internal {
namespace SEER_NN_SET {
namespace {

using Index = Eigen::Index;
using Array = Eigen::Map<Eigen::ArrayXf>;
using ConstArray = Eigen::Map<const Eigen::ArrayXf>;

// ---- The matrix product of many rows: Eigen's, with memory of ours to pack into.

class Blocking : public Eigen::internal::level3_blocking<float, float> {
 public:
  Blocking(Index rows, Index columns, Index depth, float* scratch) {
    m_kc = depth < Index{kGemmDepth} ? depth : Index{kGemmDepth};
    m_mc = rows < Index{kGemmRows} ? rows : Index{kGemmRows};
    m_nc = columns < Index{kGemmColumns} ? columns : Index{kGemmColumns};
    const std::uintptr_t at =
        (reinterpret_cast<std::uintptr_t>(scratch) + 63) & ~std::uintptr_t{63};
    m_blockA = reinterpret_cast<float*>(at);
    m_blockB = m_blockA + kGemmDepth * kGemmRows;
  }
};

// Eigen knows columns first: c^T = b^T * a^T.
template <int b_order, int a_order>
void EigenGemm(std::size_t m, std::size_t n, std::size_t k, const float* a, std::size_t lda,
               const float* b, std::size_t ldb, float* c, std::size_t ldc, float* scratch) {
  const auto rows = static_cast<Index>(n), columns = static_cast<Index>(m);
  Blocking blocking(rows, columns, static_cast<Index>(k), scratch);
  Eigen::internal::general_matrix_matrix_product<
      Index, float, b_order, false, float, a_order, false, Eigen::ColMajor,
      1>::run(rows, columns, static_cast<Index>(k), b, static_cast<Index>(ldb), a,
              static_cast<Index>(lda), c, 1, static_cast<Index>(ldc), 1.0f, blocking, nullptr);
}

void Gemm(bool a_transposed, bool b_transposed, std::size_t m, std::size_t n, std::size_t k,
          const float* a, std::size_t lda, const float* b, std::size_t ldb, bool add, float* c,
          std::size_t ldc, float* scratch) {
  if (m == 0 || n == 0) return;
  if (!b_transposed && m <= 96) {
    SEER_NN_KERNELS()->gemm(a_transposed, b_transposed, m, n, k, a, lda, b, ldb, add, c, ldc,
                            scratch);
    return;
  }
  if (!add) {
    for (std::size_t i = 0; i < m; ++i) {
      for (std::size_t j = 0; j < n; ++j) c[i * ldc + j] = 0;
    }
  }
  if (k == 0) return;
  constexpr int kPlain = Eigen::ColMajor, kTransposed = Eigen::RowMajor;
  if (a_transposed) {
    b_transposed ? EigenGemm<kTransposed, kTransposed>(m, n, k, a, lda, b, ldb, c, ldc, scratch)
                 : EigenGemm<kPlain, kTransposed>(m, n, k, a, lda, b, ldb, c, ldc, scratch);
  } else {
    b_transposed ? EigenGemm<kTransposed, kPlain>(m, n, k, a, lda, b, ldb, c, ldc, scratch)
                 : EigenGemm<kPlain, kPlain>(m, n, k, a, lda, b, ldb, c, ldc, scratch);
  }
}

// ---- Element-wise.

template <typename Values>
void Sigmoid(Values x) {
  x = ((-x).exp() + 1.0f).inverse();
}
// 2 sigmoid(2x) - 1: its error is absolute, below 2e-7.
template <typename Values>
void Tanh(Values x) {
  x = ((x * -2.0f).exp() + 1.0f).inverse() * 2.0f - 1.0f;
}

void Activate(KernelActivation activation, std::size_t n, float* x) {
  Array values(x, static_cast<Index>(n));
  switch (activation) {
    case KernelActivation::kNone:
      break;
    case KernelActivation::kRelu:
      values = values.max(0.0f);
      break;
    case KernelActivation::kSigmoid:
      Sigmoid<Array&>(values);
      break;
    case KernelActivation::kTanh:
      Tanh<Array&>(values);
      break;
  }
}

void ActivateBackward(KernelActivation activation, std::size_t n, const float* y_at, float* d_at) {
  const ConstArray y(y_at, static_cast<Index>(n));
  Array d(d_at, static_cast<Index>(n));
  switch (activation) {
    case KernelActivation::kNone:
      break;
    case KernelActivation::kRelu:
      for (std::size_t i = 0; i < n; ++i) d_at[i] = y_at[i] > 0 ? d_at[i] : 0.0f;
      break;
    case KernelActivation::kSigmoid:
      d *= y * (1.0f - y);
      break;
    case KernelActivation::kTanh:
      d *= 1.0f - y * y;
      break;
  }
}

void Lstm(std::size_t rows, std::size_t units, float* gates, const float* before, float* cells,
          float* tanh_cells, float* out) {
  const auto n = static_cast<Index>(units);
  for (std::size_t r = 0; r < rows; ++r) {
    float* row = gates + r * 4 * units;
    Array input_forget(row, 2 * n), input(row, n), forget(row + units, n);
    Array candidate(row + 2 * units, n), output(row + 3 * units, n);
    Sigmoid<Array&>(input_forget);
    Tanh<Array&>(candidate);
    Sigmoid<Array&>(output);
    Array cell(cells + r * units, n), tanh_cell(tanh_cells + r * units, n);
    if (before == nullptr) {
      cell = input * candidate;
    } else {
      cell = forget * ConstArray(before + r * units, n) + input * candidate;
    }
    tanh_cell = cell;
    Tanh<Array&>(tanh_cell);
    Array(out + r * units, n) = output * tanh_cell;
  }
}

constexpr EigenFunctions kFunctions = {Gemm, Activate, ActivateBackward, Lstm};

}  // namespace
}  // namespace SEER_NN_SET
}  // namespace internal
SEER_END_NAMESPACE
