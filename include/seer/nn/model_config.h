// Flow: text, a name -> [ModelConfig] -> Network
//
// The shape of a neural network, as data: which layers, how wide, over how many services and ticks.
//
//   auto config = seer::ModelConfig::Named("hybrid", topology.services().size());
//   auto config = seer::ModelConfig::Parse(R"(seer-nn 1
//     services 386
//     ticks 20
//     conv units=8 kernel=5 stride=2 padding=2 activation=relu
//     lstm units=64
//     last_tick
//     dropout rate=0.1
//     head kind=dense output=softmax)");
//
// The form of the text is in README.md of this folder.
//
// What flows. A window is T ticks x N services x C inputs. The *trunk* is computed tick by tick: a
// convolution runs over the services in the model's order, an LSTM over the ticks; `last_tick`
// keeps what is known at the newest tick. The *local* layers are convolutions over the services
// too, but their channels are all the T x C inputs of a service: what each service looks like by
// itself.
//   head dense   one row of weights for each service, over what the trunk knows at the newest tick
//   head shared  the same weights for all services, over the service's local features and what the
//                trunk knows: their number does not depend on N
// Outputs: one for each service, then `extras` more ("no violation", and what else the caller
// wants, for example "load"); then the hazards, for each request class the probabilities that a
// violation starts within the 1st, 2nd, ... horizon.
//
// Blocks. A convolution never reaches from one block of services into another; services added later
// get a block of their own (topology_map.h), so that they leave the outputs of the old ones alone.
//
// Threads: a plain value. Cost: not for the hot path.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE

enum class LayerKind : std::uint8_t { kConv, kPool, kDense, kLstm, kLastTick, kDropout };
enum class Activation : std::uint8_t { kNone, kRelu, kSigmoid, kTanh };
enum class HeadKind : std::uint8_t { kDense, kShared };
// kSoftmax: services and extras compete, probabilities sum to 1. kSigmoid: each by itself.
enum class OutputKind : std::uint8_t { kSoftmax, kSigmoid };

struct LayerConfig {
  LayerKind kind = LayerKind::kDense;
  std::uint32_t units = 0;                            // conv: channels out; dense and lstm: width
  std::uint32_t kernel = 1, stride = 1, padding = 0;  // conv
  Activation activation = Activation::kNone;          // conv, dense
  float rate = 0;                                     // dropout: the share that is set to zero

  bool operator==(const LayerConfig& o) const {
    return kind == o.kind && units == o.units && kernel == o.kernel && stride == o.stride &&
           padding == o.padding && activation == o.activation && rate == o.rate;
  }
  bool operator!=(const LayerConfig& o) const { return !(*this == o); }
};

struct ModelConfig {
  std::string name;                   // for people; 0 to 63 letters, digits, '_', '-', '.'
  std::uint32_t ticks = 20;           // T
  std::uint32_t inputs = 1;           // C
  std::vector<std::uint32_t> blocks;  // services in each block; N is their sum
  std::uint32_t batch = 32;           // windows per training step that suit this network
  std::vector<LayerConfig> trunk;
  std::vector<LayerConfig> local;
  HeadKind head = HeadKind::kDense;
  std::uint32_t head_hidden = 0;  // of a shared head: width of a tanh layer before the output
  OutputKind output = OutputKind::kSoftmax;
  std::uint32_t extras = 1;
  std::uint32_t hazard_classes = 0, hazard_horizons = 0;

  std::size_t services() const {
    std::size_t sum = 0;
    for (std::uint32_t block : blocks) sum += block;
    return sum;
  }

  // "cnn", "lstm", "hybrid": the three of the paper's Table 2. "pyramid": a hybrid that convolves
  // until few positions are left, so that weights hardly grow with N. "position_wise": a shared
  // head; the weights do not depend on N at all. "flat": two convolutions and two LSTM layers, what
  // engines are compared with. NotFound lists them; InvalidArgument if a number is out of range.
  static absl::StatusOr<ModelConfig> Named(std::string_view name, std::size_t services,
                                           std::size_t inputs = 1, std::size_t ticks = 20);
  static const std::vector<std::string>& Names();

  // The message names the line and what would be right there. What is returned is valid.
  static absl::StatusOr<ModelConfig> Parse(std::string_view text);
  // Parse(ToText()) gives the same again.
  std::string ToText() const;
  // Whether the layers fit together, and all sizes are within what seer computes: see README.md.
  absl::Status Validate() const;

  bool operator==(const ModelConfig& o) const;
  bool operator!=(const ModelConfig& o) const { return !(*this == o); }
};

SEER_END_NAMESPACE
