// What the backend native computes with: one table of functions for each instruction set, all made
// from the same source (native_impl.h).
//
// Weights of a product are packed: *panels* of four vectors of columns stand one behind the other,
// each of them row after row, so that what a loop reads next is always what stands next. The four
// gates of as many units of an LSTM as a vector has lanes are a panel (i, f, g, o): their sums meet
// in registers.
#pragma once

#include <cstddef>
#include <cstdint>

#include "nn/kernels.h"
#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE
namespace internal {

struct PackedMatrix {
  std::size_t rows = 0, columns = 0;
  const float* weights = nullptr;  // [panel][row][4 * lanes], zeros behind the last column
  // The same, of each weight the upper 16 bits (bfloat16). One of the two is null.
  const std::uint16_t* halves = nullptr;
  const float* bias = nullptr;  // a value for each column of all panels
};

// A convolution over positions that all have their inputs: the taps of position p stand one behind
// the other from p * step on.
struct PackedConv {
  std::size_t taps, step, channels;  // channels: that come out
  const float* weights;              // taps x channels
  const float* bias;
  KernelActivation activation;
};

// A row is multiplied in blocks, whose sums are added up in their order: kSparseBlocks at most, of
// kSparseRows rows or more.
inline constexpr std::size_t kSparseBlocks = 32, kSparseRows = 128, kListRoom = 16;
struct SparseScratch {
  std::uint32_t* list;  // room for as many as rows of w, and kListRoom
  float* sums;          // kSparseBlocks x w.columns
};

struct NativeKernels {
  const char* name;
  std::size_t lanes;        // floats of a vector
  std::size_t at_once;      // windows whose sums fit the registers
  const Kernels* training;  // of the same set

  // out (rows x w.columns) = bias or, with add, what is there + in (rows x depth) * rows [first,
  // first + depth) of w, one at least; then the activation.
  void (*product)(const PackedMatrix& w, std::size_t first, std::size_t depth, std::size_t rows,
                  const float* in, std::size_t ld_in, bool add, KernelActivation activation,
                  float* out, std::size_t ld_out);
  // out = bias + the product of one row, many of whose values are 0, with all of w: what those
  // would be multiplied with is not read. w.columns is a multiple of a panel's. backwards: what was
  // read last is read first, while a cache still has it; the result is the same to the last bit.
  void (*sparse_row)(const PackedMatrix& w, const float* in, bool backwards, SparseScratch scratch,
                     float* out);

  void (*conv)(const PackedConv& conv, std::size_t positions, const float* in, float* out);

  // `ticks` ticks of an LSTM for 1 to at_once windows. Rows are ordered by tick, then by window.
  // w: units x 4 units, packed. gates: sums of the inputs, row by row in the order of panels.
  // state: 3 x windows x the units rounded up to a vector's: hidden values, room, cells; zeros with
  // `fresh`, whatever is there. out: rows x units.
  void (*recurrence)(std::size_t ticks, std::size_t windows, std::size_t units, const float* w,
                     const float* gates, bool fresh, float* state, float* out);

  // Means over the positions, then the greatest.
  void (*pool)(std::size_t positions, std::size_t channels, const float* in, float* out);
  // out[r] = start + the sum of in[r * n + j] * w[j].
  void (*dots)(std::size_t rows, std::size_t n, const float* in, const float* w, float start,
               float* out);
  void (*softmax)(std::size_t n, float* z);
};

inline constexpr std::size_t kMostWindowsAtOnce = 5;

const NativeKernels* NativeBaseline();
const NativeKernels* NativeV3();  // null where the compiler or the architecture has it not
const NativeKernels* NativeV4();

// All that this processor can run, best first.
const NativeKernels* const* UsableNativeKernels(std::size_t* count);

}  // namespace internal
SEER_END_NAMESPACE
