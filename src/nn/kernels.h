// What networks are trained with, and what the backends eigen and onednn compute with where they
// have nothing of their own: one table of functions for each instruction set, all made from the
// same source (kernels_impl.h), the best that the processor has chosen when first asked for.
//
// All matrices are row-major; `ld` is the distance between rows, in floats.
#pragma once

#include <cstddef>
#include <cstdint>

#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE
namespace internal {

enum class KernelActivation : std::uint8_t { kNone, kRelu, kSigmoid, kTanh };

// A convolution over one block of one tick, channels varying fastest.
struct ConvShape {
  std::size_t in_positions, out_positions, in_channels, out_channels;
  std::size_t kernel, stride, padding;
  KernelActivation activation;
};

struct AdamRates {
  float beta1, beta2, step_size, root_of_correction, epsilon;
  float l2, shrink, clip;  // of the weights, added to the gradient; times them; of the gradient
};

struct Kernels {
  const char* name;

  // c (m x n) = or += op(a) (m x k) * op(b) (k x n). `transposed` means: stored as k x m, n x k.
  // scratch: kGemmScratch floats.
  void (*gemm)(bool a_transposed, bool b_transposed, std::size_t m, std::size_t n, std::size_t k,
               const float* a, std::size_t lda, const float* b, std::size_t ldb, bool add, float* c,
               std::size_t ldc, float* scratch);

  // The same with op(b) packed beforehand, for products that repeat: PackedSize(k, n) floats.
  void (*pack)(bool transposed, std::size_t k, std::size_t n, const float* b, std::size_t ldb,
               float* packed);
  void (*packed_gemm)(std::size_t m, std::size_t n, std::size_t k, const float* a, std::size_t lda,
                      const float* packed, bool add, float* c, std::size_t ldc);

  void (*conv)(const ConvShape& shape, const float* in, const float* w, const float* bias,
               float* out);
  // d_out is that before the activation. Adds to dw, d_bias and, unless null, d_in. Here w is the
  // transpose: out_channels x (kernel x in_channels).
  void (*conv_backward)(const ConvShape& shape, const float* in, const float* w_t,
                        const float* d_out, float* dw, float* d_bias, float* d_in);

  // In place; rows x n values that stand one behind the other.
  void (*activate)(KernelActivation activation, std::size_t n, float* x);
  // d *= the activation's derivative where its value is y.
  void (*activate_backward)(KernelActivation activation, std::size_t n, const float* y, float* d);

  // One tick of an LSTM for `rows` windows. gates (rows x 4H): sums in, activated values out.
  // before: cells of the tick before; null: zeros.
  void (*lstm)(std::size_t rows, std::size_t units, float* gates, const float* before, float* cells,
               float* tanh_cells, float* out);
  // All ticks of an LSTM for one window: `ticks` rows of gates (sums of the inputs in, activated
  // values out), cells, tanh_cells and out; w: units x 4 units. False: not for so many units, and
  // nothing was done.
  bool (*recurrence)(std::size_t ticks, std::size_t units, const float* w, float* gates,
                     float* cells, float* tanh_cells, float* out);
  // gates: activated values in, gradients of the sums out. d_cells: carried from tick to tick.
  void (*lstm_backward)(std::size_t rows, std::size_t units, float* gates, const float* before,
                        const float* tanh_cells, const float* d_out, float* d_cells);

  // One step of Adam (optimizer.h): moments and weights of n values.
  void (*adam)(const AdamRates& rates, std::size_t n, const float* gradient, float* mean,
               float* square, float* weights);

  // rows x n values, each row = bias; sums of columns, added.
  void (*fill_rows)(std::size_t rows, std::size_t n, const float* bias, float* x, std::size_t ld);
  void (*add_columns)(std::size_t rows, std::size_t n, const float* x, std::size_t ld, float* sum);

  // out = in * mask; the mask's numbers are those from `index` on.
  void (*dropout)(std::uint64_t key, std::uint64_t dropped_below, float kept_factor,
                  std::uint64_t index, std::size_t n, const float* in, float* out);
};

// Packed columns are padded to a panel's, of which the widest has four vectors of 16.
inline constexpr std::size_t PackedSize(std::size_t k, std::size_t n) {
  return (n + 63) / 64 * 64 * k;
}
inline constexpr std::size_t kGemmDepth = 256, kGemmRows = 192, kGemmColumns = 640;
inline constexpr std::size_t kGemmScratch = 640 * 336 + 32;
static_assert(kGemmScratch >= kGemmDepth * (kGemmRows + kGemmColumns) + 32, "Eigen's fits, too");

const Kernels* KernelsBaseline();
const Kernels* KernelsV3();  // null where the compiler or the architecture has it not
const Kernels* KernelsV4();

// All that this processor can run, best first.
const Kernels* const* UsableKernels(std::size_t* count);

}  // namespace internal
SEER_END_NAMESPACE
