// The weights of a network as the native kernels want them, and the shapes around them. Made once;
// where weights change a new one is made.
//
// Threads: immutable. Cost: the weights once more, or half of it, padded to whole vectors, unless
// they may be packed where they are; packing reads and writes each of them once or twice.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "nn/floats.h"
#include "nn/native_kernels.h"
#include "seer/core/config.h"
#include "seer/nn/network.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// A dense layer; or the inputs of an LSTM, whose columns are in the order of panels.
struct NativeProduct {
  PackedMatrix matrix;
  KernelActivation activation = KernelActivation::kNone;
  const float* recurrent = nullptr;  // packed; of an LSTM
  std::size_t units = 0;
  std::size_t padded = 0;  // of an LSTM: units, rounded up to whole vectors
  std::size_t ld = 0;      // floats of a row that comes out of the product
};

struct NativeConv {
  PackedConv kernel;
  std::size_t kernel_size, stride, padding, in_channels;
  std::vector<std::size_t> in_positions, out_positions;  // of each block of services
};

// Convolutions behind each other over the services of a tick, in pieces: only as many positions of
// the last one at once that their values stay in the second cache until they are used.
struct NativeChain {
  std::vector<NativeConv> layers;
  bool pool = false;
  std::size_t in_values = 0;      // of one tick
  std::size_t conv_features = 0;  // of all positions of the last convolution; or in_values
  std::size_t channels = 0;       // of a position of that
  std::size_t features = 0;       // that come out: behind the pool
  bool sparse = false;            // many of them are 0
  // [begin, end) of a block's positions.
  struct Piece {
    std::size_t block, begin, end;
    std::size_t feature;  // the first one
  };
  std::vector<Piece> pieces;
};

class NativeModel {
 public:
  // halves: weights of products in 16 bits each, but for those of a recurrence. taken: null, or
  // where the parameters are; then the large ones are packed where they stand, and it is empty.
  NativeModel(const Network& network, const NativeKernels& kernels,
              absl::Span<const float> parameters, bool halves, std::vector<float>* taken);
  NativeModel(const NativeModel&) = delete;
  NativeModel& operator=(const NativeModel&) = delete;

  const Network& network;
  const NativeKernels& kernels;
  NativeChain trunk, local;
  std::vector<NativeProduct> stages;     // by the trunk's stages; empty where there is nothing
  std::vector<std::size_t> tick_stages;  // whose products see one tick only, in their order
  std::size_t tick_end = 0;              // the first stage that sees more than one
  std::size_t tick_values = 0;           // what is known of a tick ahead of it
  // The head. dense: `weights` from the context. shared: `context`, then `weights` from the local
  // channels, whose bias is what the context gave.
  NativeProduct weights, context, extras, hazard;
  const float* out = nullptr;  // of hidden units; without them of local channels
  float out_bias = 0;

 private:
  float* Take(std::size_t size);
  const float* Copy(const float* values, std::size_t size);
  // Columns [column(j)] for j = 0, 1, ... in runs of a vector's lanes, which may be shorter.
  void Pack(const float* p, std::size_t weight, std::size_t bias, std::size_t rows,
            std::size_t columns, std::size_t units_of_lstm, NativeProduct* product);
  std::size_t PanelsSize(std::size_t rows, std::size_t columns, std::size_t units_of_lstm) const;
  // into: zeros.
  void PackPanels(const float* w, std::size_t rows, std::size_t columns, std::size_t units_of_lstm,
                  float* into) const;
  const float* PackPanels(const float* w, std::size_t rows, std::size_t columns,
                          std::size_t units_of_lstm);
  // Weights that are packed in place once all others have been read, in their order in memory.
  struct InPlace {
    float *from, *to;  // to: at a cache line's beginning, not behind `from`
    std::size_t rows, columns, units_of_lstm;
  };
  void PackInPlace(const InPlace& what) const;
  const std::uint16_t* UpperHalves(const float* values, std::size_t size);
  void InitChain(const std::vector<Stage>& from, const float* p, std::size_t in_positions,
                 std::size_t in_channels, NativeChain* chain);

  const bool halves_;
  std::vector<Floats> memory_;
  std::vector<float> taken_;
  std::vector<InPlace> in_place_;
};

}  // namespace internal
SEER_END_NAMESPACE
