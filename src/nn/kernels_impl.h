// The kernels, compiled once for each instruction set. The file that includes this one defines
//   SEER_NN_SET     the name of the namespace, different in each
//   SEER_NN_LANES   floats in a vector
//   SEER_NN_TILE    rows of a tile of the matrix product: with two vectors each it fits the
//   registers Eigen           another name for Eigen's namespace
// so that no function made for one set can replace that of another when they are linked. For the
// same reason nothing of std:: that could stay out of line is used here.
#pragma once

#include <Eigen/Core>
#include <cstddef>
#include <cstdint>

#include "nn/kernels.h"

SEER_BEGIN_NAMESPACE
namespace internal {
namespace SEER_NN_SET {
namespace {

using Index = Eigen::Index;
using Array = Eigen::Map<Eigen::ArrayXf>;
using ConstArray = Eigen::Map<const Eigen::ArrayXf>;

template <int lanes>
struct VectorOf {
  typedef float Type __attribute__((vector_size(lanes * 4)));
};
constexpr int kLanes = SEER_NN_LANES;
constexpr std::size_t kTile = SEER_NN_TILE;
using Vector = VectorOf<kLanes>::Type;

template <typename V>
V Load(const float* p) {
  V v;
  __builtin_memcpy(&v, p, sizeof(v));  // the memory is aligned for a float only
  return v;
}
template <typename V>
void Store(float* p, const V& v) {
  __builtin_memcpy(p, &v, sizeof(v));
}
inline std::size_t Least(std::size_t a, std::size_t b) { return a < b ? a : b; }

// ---- The matrix product of few rows: b is read where it stands, once for each tile of rows.

// c (rows x vectors * kLanes) = or += a * b over k. Element (i, j) of a is a[i * ars + j * aks].
// `ahead`: how far behind each value of b the one stands that is fetched for later; 0: none.
template <std::size_t rows, std::size_t vectors, typename Vector>
void Tile(std::size_t k, const float* a, std::size_t ars, std::size_t aks, const float* b,
          std::size_t ldb, std::size_t ahead, bool add, float* c, std::size_t ldc) {
  constexpr std::size_t kLanes = sizeof(Vector) / sizeof(float);  // may be a narrower one
  Vector sum[rows][vectors];
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t v = 0; v < vectors; ++v) {
      sum[i][v] = add ? Load<Vector>(c + i * ldc + v * kLanes) : Vector{};
    }
  }
  for (std::size_t j = 0; j < k; ++j) {
    Vector row[vectors];
    for (std::size_t v = 0; v < vectors; ++v) row[v] = Load<Vector>(b + j * ldb + v * kLanes);
    if (ahead != 0) {
      for (std::size_t v = 0; v < vectors; ++v) {
        __builtin_prefetch(b + j * ldb + ahead + v * kLanes, 0, 2);
      }
    }
    for (std::size_t i = 0; i < rows; ++i) {
      const float x = a[i * ars + j * aks];
      for (std::size_t v = 0; v < vectors; ++v) sum[i][v] += x * row[v];
    }
  }
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t v = 0; v < vectors; ++v) Store(c + i * ldc + v * kLanes, sum[i][v]);
  }
}

// As many whole vectors of columns at once as are left of `n`; returns where it ended.
template <std::size_t rows, std::size_t vectors, typename Vector>
std::size_t Columns(std::size_t j, std::size_t n, std::size_t k, const float* a, std::size_t ars,
                    std::size_t aks, const float* b, std::size_t ldb, std::size_t ahead, bool add,
                    float* c, std::size_t ldc) {
  constexpr std::size_t kWidth = vectors * sizeof(Vector) / sizeof(float);
  for (; j + kWidth <= n; j += kWidth) {
    Tile<rows, vectors, Vector>(k, a, ars, aks, b + j, ldb, ahead, add, c + j, ldc);
  }
  return j;
}

template <std::size_t rows>
void RowsOfTiles(std::size_t n, std::size_t k, const float* a, std::size_t ars, std::size_t aks,
                 const float* b, std::size_t ldb, std::size_t ahead, bool add, float* c,
                 std::size_t ldc) {
  // One row has registers for more vectors, and needs them: a sum waits for the one before it, and
  // long pieces of b are fetched by themselves.
  std::size_t j = 0;
  if constexpr (rows == 1 && kLanes == 16) {
    j = Columns<1, 16, Vector>(j, n, k, a, ars, aks, b, ldb, ahead, add, c, ldc);
  }
  if constexpr (rows == 1) {
    j = Columns<1, 8, Vector>(j, n, k, a, ars, aks, b, ldb, ahead, add, c, ldc);
  }
  if constexpr (rows <= 2) {
    j = Columns<rows, 4, Vector>(j, n, k, a, ars, aks, b, ldb, ahead, add, c, ldc);
  }
  j = Columns<rows, 2, Vector>(j, n, k, a, ars, aks, b, ldb, ahead, add, c, ldc);
  j = Columns<rows, 1, Vector>(j, n, k, a, ars, aks, b, ldb, 0, add, c, ldc);
  if constexpr (kLanes > 8) {
    j = Columns<rows, 1, VectorOf<8>::Type>(j, n, k, a, ars, aks, b, ldb, 0, add, c, ldc);
  }
  if constexpr (kLanes > 4) {
    j = Columns<rows, 1, VectorOf<4>::Type>(j, n, k, a, ars, aks, b, ldb, 0, add, c, ldc);
  }
  for (; j < n; ++j) {
    for (std::size_t i = 0; i < rows; ++i) {
      float sum = add ? c[i * ldc + j] : 0.0f;
      for (std::size_t t = 0; t < k; ++t) sum += a[i * ars + t * aks] * b[t * ldb + j];
      c[i * ldc + j] = sum;
    }
  }
}

template <std::size_t rows>
void LastRows(std::size_t left, std::size_t n, std::size_t k, const float* a, std::size_t ars,
              std::size_t aks, const float* b, std::size_t ldb, std::size_t ahead, bool add,
              float* c, std::size_t ldc) {
  if constexpr (rows > 0) {
    if (left == rows) return RowsOfTiles<rows>(n, k, a, ars, aks, b, ldb, ahead, add, c, ldc);
    LastRows<rows - 1>(left, n, k, a, ars, aks, b, ldb, ahead, add, c, ldc);
  }
}

void DirectGemm(std::size_t m, std::size_t n, std::size_t k, const float* a, std::size_t ars,
                std::size_t aks, const float* b, std::size_t ldb, bool add, float* c,
                std::size_t ldc) {
  // A slice of b of this depth stays in the second cache while all rows pass over it. The first
  // rows fetch the next slice meanwhile; one or two rows read b in pieces so long that the
  // processor fetches by itself.
  constexpr std::size_t kDepth = 128;
  for (std::size_t j = 0; j < k || j == 0; j += kDepth) {
    const std::size_t depth = Least(kDepth, k - j);
    std::size_t ahead = m > 2 && j + 2 * kDepth <= k ? kDepth * ldb : 0;
    std::size_t i = 0;
    for (; i + kTile <= m; i += kTile) {
      RowsOfTiles<kTile>(n, depth, a + i * ars + j * aks, ars, aks, b + j * ldb, ldb, ahead, add,
                         c + i * ldc, ldc);
      ahead = 0;
    }
    LastRows<kTile - 1>(m - i, n, depth, a + i * ars + j * aks, ars, aks, b + j * ldb, ldb, ahead,
                        add, c + i * ldc, ldc);
    add = true;
  }
}

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
  // Packing b pays when many rows use it.
  if (!b_transposed && m <= 96) {
    DirectGemm(m, n, k, a, a_transposed ? 1 : lda, a_transposed ? lda : 1, b, ldb, add, c, ldc);
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

#include "nn/kernels_recurrence.h"

void LstmBackward(std::size_t rows, std::size_t units, float* gates, const float* before,
                  const float* tanh_cells, const float* d_out, float* d_cells) {
  for (std::size_t r = 0; r < rows; ++r) {
    float* const row = gates + r * 4 * units;
    for (std::size_t u = 0; u < units; ++u) {
      const float i = row[u], f = row[units + u], g = row[2 * units + u], o = row[3 * units + u];
      const std::size_t at = r * units + u;
      const float tanh_cell = tanh_cells[at], dh = d_out[at];
      const float dc = d_cells[at] + dh * o * (1 - tanh_cell * tanh_cell);
      row[u] = dc * g * i * (1 - i);
      row[units + u] = before == nullptr ? 0.0f : dc * before[at] * f * (1 - f);
      row[2 * units + u] = dc * i * (1 - g * g);
      row[3 * units + u] = dh * tanh_cell * o * (1 - o);
      d_cells[at] = dc * f;
    }
  }
}

void FillRows(std::size_t rows, std::size_t n, const float* bias, float* x, std::size_t ld) {
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t i = 0; i < n; ++i) x[r * ld + i] = bias[i];
  }
}
void AddColumns(std::size_t rows, std::size_t n, const float* x, std::size_t ld, float* sum) {
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t i = 0; i < n; ++i) sum[i] += x[r * ld + i];
  }
}

void Dropout(std::uint64_t key, std::uint64_t dropped_below, float kept_factor, std::uint64_t index,
             std::size_t n, const float* in, float* out) {
  for (std::size_t i = 0; i < n; ++i) {
    std::uint64_t x = key + (index + i + 1) * 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    x = (x ^ (x >> 31)) >> 40;
    out[i] = x < dropped_below ? 0.0f : in[i] * kept_factor;
  }
}

// ---- Convolution. The inputs of an output position stand one behind the other, so that it is a
// matrix product whose left side is never copied: row p begins at p * stride * in_channels.

// Output positions [first, end) reach inputs on both sides; those before and behind only some.
struct Interior {
  std::size_t first, end;
};
inline Interior InteriorOf(const ConvShape& s) {
  Interior interior;
  interior.first = Least((s.padding + s.stride - 1) / s.stride, s.out_positions);
  const std::size_t room = s.in_positions + s.padding;
  interior.end = room < s.kernel ? 0 : Least((room - s.kernel) / s.stride + 1, s.out_positions);
  if (interior.end < interior.first) interior.end = interior.first;
  return interior;
}
// Which rows of the weights output position p uses, and where their inputs begin.
struct Taps {
  std::size_t first, count, input;
};
inline Taps TapsOf(const ConvShape& s, std::size_t p) {
  const std::size_t at = p * s.stride;  // in the padded input
  const std::size_t from = at < s.padding ? s.padding - at : 0;
  const std::size_t room = s.in_positions + s.padding;
  const std::size_t to = room > at ? Least(s.kernel, room - at) : 0;
  if (to <= from) return {0, 0, 0};
  return {from * s.in_channels, (to - from) * s.in_channels,
          (at + from - s.padding) * s.in_channels};
}

void AnyPosition(const ConvShape& s, std::size_t p, const float* in, const float* w,
                 const float* bias, float* out) {
  const Taps taps = TapsOf(s, p);
  float* const sum = out + p * s.out_channels;
  for (std::size_t u = 0; u < s.out_channels; ++u) sum[u] = bias[u];
  for (std::size_t j = 0; j < taps.count; ++j) {
    const float x = in[taps.input + j];
    const float* const row = w + (taps.first + j) * s.out_channels;
    for (std::size_t u = 0; u < s.out_channels; ++u) sum[u] += x * row[u];
  }
}

template <std::size_t channels>
struct Fixed {
  static constexpr std::size_t kWidth = channels < kLanes ? channels : kLanes;
  static constexpr std::size_t kVectors = channels / kWidth;
  static constexpr std::size_t kAtOnce = kVectors == 1 ? kTile + 2 : kVectors == 2 ? kTile - 2 : 2;
  using V = typename VectorOf<static_cast<int>(kWidth)>::Type;

  template <std::size_t positions>
  static void Forward(std::size_t taps, std::size_t step, const float* in, const float* w,
                      const float* bias, float* out) {
    V sum[positions][kVectors];
    for (std::size_t p = 0; p < positions; ++p) {
      for (std::size_t v = 0; v < kVectors; ++v) sum[p][v] = Load<V>(bias + v * kWidth);
    }
    for (std::size_t j = 0; j < taps; ++j) {
      V row[kVectors];
      for (std::size_t v = 0; v < kVectors; ++v) row[v] = Load<V>(w + j * channels + v * kWidth);
      for (std::size_t p = 0; p < positions; ++p) {
        for (std::size_t v = 0; v < kVectors; ++v) sum[p][v] += in[p * step + j] * row[v];
      }
    }
    for (std::size_t p = 0; p < positions; ++p) {
      for (std::size_t v = 0; v < kVectors; ++v) {
        Store(out + p * channels + v * kWidth, sum[p][v]);
      }
    }
  }

  static void Conv(const ConvShape& s, const Interior& interior, const float* in, const float* w,
                   const float* bias, float* out) {
    const std::size_t taps = s.kernel * s.in_channels, step = s.stride * s.in_channels;
    std::size_t p = interior.first;
    const auto at = [&](std::size_t q) { return in + (q * s.stride - s.padding) * s.in_channels; };
    for (; p + kAtOnce <= interior.end; p += kAtOnce) {
      Forward<kAtOnce>(taps, step, at(p), w, bias, out + p * channels);
    }
    for (; p < interior.end; ++p) Forward<1>(taps, step, at(p), w, bias, out + p * channels);
  }

  template <std::size_t rows>
  static void Weights(std::size_t positions, std::size_t step, const float* in, const float* d,
                      float* dw) {
    V sum[rows][kVectors];
    for (std::size_t j = 0; j < rows; ++j) {
      for (std::size_t v = 0; v < kVectors; ++v) {
        sum[j][v] = Load<V>(dw + j * channels + v * kWidth);
      }
    }
    for (std::size_t p = 0; p < positions; ++p) {
      V row[kVectors];
      for (std::size_t v = 0; v < kVectors; ++v) row[v] = Load<V>(d + p * channels + v * kWidth);
      for (std::size_t j = 0; j < rows; ++j) {
        for (std::size_t v = 0; v < kVectors; ++v) sum[j][v] += in[p * step + j] * row[v];
      }
    }
    for (std::size_t j = 0; j < rows; ++j) {
      for (std::size_t v = 0; v < kVectors; ++v) Store(dw + j * channels + v * kWidth, sum[j][v]);
    }
  }

  static void WeightGradient(const ConvShape& s, const Interior& interior, const float* in,
                             const float* d, float* dw) {
    if (interior.end == interior.first) return;
    const std::size_t taps = s.kernel * s.in_channels, step = s.stride * s.in_channels;
    const std::size_t positions = interior.end - interior.first;
    in += (interior.first * s.stride - s.padding) * s.in_channels;
    d += interior.first * channels;
    std::size_t j = 0;
    for (; j + kAtOnce <= taps; j += kAtOnce) {
      Weights<kAtOnce>(positions, step, in + j, d, dw + j * channels);
    }
    for (; j < taps; ++j) Weights<1>(positions, step, in + j, d, dw + j * channels);
  }
};

// Any number of channels, from a vector's on: vectors of them one after the other, the last of
// which reaches back to what is done already where the number is no multiple.
struct AnyWidth {
  static constexpr std::size_t kAtOnce = kTile + 2;

  template <std::size_t positions>
  static void Forward(std::size_t taps, std::size_t step, std::size_t channels, const float* in,
                      const float* w, const float* bias, float* out) {
    Vector sum[positions];
    for (std::size_t p = 0; p < positions; ++p) sum[p] = Load<Vector>(bias);
    for (std::size_t j = 0; j < taps; ++j) {
      const Vector row = Load<Vector>(w + j * channels);
      for (std::size_t p = 0; p < positions; ++p) sum[p] += in[p * step + j] * row;
    }
    for (std::size_t p = 0; p < positions; ++p) Store(out + p * channels, sum[p]);
  }

  static void Conv(const ConvShape& s, const Interior& interior, const float* in, const float* w,
                   const float* bias, float* out) {
    const std::size_t taps = s.kernel * s.in_channels, step = s.stride * s.in_channels;
    const std::size_t channels = s.out_channels;
    const auto at = [&](std::size_t q) { return in + (q * s.stride - s.padding) * s.in_channels; };
    for (std::size_t next = 0; next < channels; next += kLanes) {
      const std::size_t u = Least(next, channels - kLanes);
      std::size_t p = interior.first;
      for (; p + kAtOnce <= interior.end; p += kAtOnce) {
        Forward<kAtOnce>(taps, step, channels, at(p), w + u, bias + u, out + p * channels + u);
      }
      for (; p < interior.end; ++p) {
        Forward<1>(taps, step, channels, at(p), w + u, bias + u, out + p * channels + u);
      }
    }
  }

  template <std::size_t rows>
  static void Weights(std::size_t positions, std::size_t step, std::size_t channels,
                      const Vector& counts, const float* in, const float* d, float* dw) {
    Vector sum[rows];
    for (std::size_t j = 0; j < rows; ++j) sum[j] = Load<Vector>(dw + j * channels);
    for (std::size_t p = 0; p < positions; ++p) {
      const Vector row = Load<Vector>(d + p * channels) * counts;
      for (std::size_t j = 0; j < rows; ++j) sum[j] += in[p * step + j] * row;
    }
    for (std::size_t j = 0; j < rows; ++j) Store(dw + j * channels, sum[j]);
  }

  static void WeightGradient(const ConvShape& s, const Interior& interior, const float* in,
                             const float* d, float* dw) {
    if (interior.end == interior.first) return;
    const std::size_t taps = s.kernel * s.in_channels, step = s.stride * s.in_channels;
    const std::size_t channels = s.out_channels, positions = interior.end - interior.first;
    in += (interior.first * s.stride - s.padding) * s.in_channels;
    d += interior.first * channels;
    for (std::size_t next = 0; next < channels; next += kLanes) {
      const std::size_t u = Least(next, channels - kLanes);
      Vector counts;  // 0 where it was added already
      for (int i = 0; i < kLanes; ++i) {
        counts[i] = u + static_cast<std::size_t>(i) < next ? 0.0f : 1.0f;
      }
      std::size_t j = 0;
      for (; j + kAtOnce <= taps; j += kAtOnce) {
        Weights<kAtOnce>(positions, step, channels, counts, in + j, d + u, dw + j * channels + u);
      }
      for (; j < taps; ++j) {
        Weights<1>(positions, step, channels, counts, in + j, d + u, dw + j * channels + u);
      }
    }
  }
};

void Conv(const ConvShape& s, const float* in, const float* w, const float* bias, float* out) {
  Interior interior = InteriorOf(s);
  if (s.out_channels == 8) {
    Fixed<8>::Conv(s, interior, in, w, bias, out);
  } else if (s.out_channels == 16) {
    Fixed<16>::Conv(s, interior, in, w, bias, out);
  } else if (s.out_channels == 32) {
    Fixed<32>::Conv(s, interior, in, w, bias, out);
  } else if (s.out_channels >= std::size_t{kLanes}) {
    AnyWidth::Conv(s, interior, in, w, bias, out);
  } else {
    interior.end = interior.first;
  }
  for (std::size_t p = 0; p < interior.first; ++p) AnyPosition(s, p, in, w, bias, out);
  for (std::size_t p = interior.end; p < s.out_positions; ++p) {
    AnyPosition(s, p, in, w, bias, out);
  }
  Activate(s.activation, s.out_positions * s.out_channels, out);
}

// d_in += d * w, where w stands transposed: out_channels x (kernel x in_channels). A matrix product
// for some positions at once, whose rows then are added where their inputs stand; those overlap.
void InputGradient(const ConvShape& s, const Interior& interior, const float* d_out,
                   const float* w_t, float* d_in) {
  constexpr std::size_t kRoom = 4096, kRows = 4 * kTile;
  float rows[kRoom];
  const std::size_t width = s.kernel * s.in_channels;
  const std::size_t at_once = Least(kRows, kRoom / width);
  for (std::size_t p = interior.first; p < interior.end; p += at_once) {
    const std::size_t count = Least(at_once, interior.end - p);
    DirectGemm(count, width, s.out_channels, d_out + p * s.out_channels, s.out_channels, 1, w_t,
               width, false, rows, width);
    for (std::size_t r = 0; r < count; ++r) {
      float* const to = d_in + ((p + r) * s.stride - s.padding) * s.in_channels;
      const float* const from = rows + r * width;
      for (std::size_t j = 0; j < width; ++j) to[j] += from[j];
    }
  }
}

void ConvBackward(const ConvShape& s, const float* in, const float* w, const float* d_out,
                  float* dw, float* d_bias, float* d_in) {
  AddColumns(s.out_positions, s.out_channels, d_out, s.out_channels, d_bias);
  const Interior interior = InteriorOf(s);
  const bool weights = s.out_channels == 8 || s.out_channels >= std::size_t{kLanes};
  if (s.out_channels == 8) {
    Fixed<8>::WeightGradient(s, interior, in, d_out, dw);
  } else if (s.out_channels == 16) {
    Fixed<16>::WeightGradient(s, interior, in, d_out, dw);
  } else if (s.out_channels == 32) {
    Fixed<32>::WeightGradient(s, interior, in, d_out, dw);
  } else if (weights) {
    AnyWidth::WeightGradient(s, interior, in, d_out, dw);
  }
  const std::size_t width = s.kernel * s.in_channels;
  const bool inputs = d_in != nullptr && width <= 4096;
  if (inputs) InputGradient(s, interior, d_out, w, d_in);
  for (std::size_t p = 0; p < s.out_positions; ++p) {
    const bool inside = p >= interior.first && p < interior.end;
    const Taps taps = TapsOf(s, p);
    const float* const d = d_out + p * s.out_channels;
    if (!inside || !weights) {
      for (std::size_t j = 0; j < taps.count; ++j) {
        const float x = in[taps.input + j];
        float* const row = dw + (taps.first + j) * s.out_channels;
        for (std::size_t u = 0; u < s.out_channels; ++u) row[u] += x * d[u];
      }
    }
    if (d_in == nullptr || (inside && inputs)) continue;
    float* const to = d_in + taps.input;
    for (std::size_t u = 0; u < s.out_channels; ++u) {
      const float* const row = w + u * width + taps.first;
      for (std::size_t j = 0; j < taps.count; ++j) to[j] += d[u] * row[j];
    }
  }
}

constexpr Kernels MakeKernels(const char* name) {
  return {name, Gemm,       Conv,         ConvBackward, Activate,   ActivateBackward,
          Lstm, Recurrence, LstmBackward, FillRows,     AddColumns, Dropout};
}

}  // namespace
}  // namespace SEER_NN_SET
}  // namespace internal
SEER_END_NAMESPACE
