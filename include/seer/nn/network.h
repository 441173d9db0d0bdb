// Flow: ModelConfig -> [Network] -> Backend, Trainer, Checkpoint
//
// A configuration with all sizes worked out: the shapes between the layers, and where each tensor
// of weights stands in the one array of parameters.
//
//   auto network = seer::Network::Create(config);
//   std::vector<float> parameters(network->parameters());
//   network->Initialize(seed, absl::MakeSpan(parameters));
//   for (const seer::Tensor& tensor : network->tensors()) { /* parameters[tensor.offset] ... */ }
//
// Tensors are row-major, rows = what goes in, columns = what comes out: x * W. The gates of an LSTM
// stand in PyTorch's order i, f, g, o, and its two biases are one.
//
// Threads: immutable after Create. Cost: a few microseconds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "seer/core/config.h"
#include "seer/nn/model_config.h"

SEER_BEGIN_NAMESPACE

struct Tensor {
  std::string name;  // "trunk.0.weight", "head.bias"
  std::size_t offset = 0;
  std::size_t rows = 0, columns = 0;
  float bound = 0;    // initial values are uniform in [-bound, bound)
  bool bias = false;  // L2 leaves it alone
  std::size_t size() const { return rows * columns; }
};

// A layer between its shapes. Positions are those of each block; a vector has one block with one.
struct Stage {
  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);
  LayerConfig layer;
  std::vector<std::size_t> in_positions, out_positions;  // of each block
  std::size_t in_channels = 0, out_channels = 0;
  std::size_t in_ticks = 0, out_ticks = 0;
  std::size_t in_features = 0, out_features = 0;  // positions of all blocks x channels
  // Offsets in the array of parameters.
  std::size_t weight = kNone;     // conv: (kernel x in_channels) x units; dense, lstm: in x units
  std::size_t recurrent = kNone;  // lstm: units x 4 units
  std::size_t bias = kNone;
  std::uint64_t stream = 0;  // dropout: of its random numbers
};

class Network {
 public:
  // InvalidArgument as ModelConfig::Validate().
  static absl::StatusOr<Network> Create(const ModelConfig& config);

  const ModelConfig& config() const { return config_; }
  const std::vector<Tensor>& tensors() const { return tensors_; }
  const Tensor* Find(std::string_view name) const;  // null: there is none
  std::size_t parameters() const { return parameters_; }

  std::size_t services() const { return services_; }
  std::size_t window_values() const { return config_.ticks * services_ * config_.inputs; }
  std::size_t initiators() const { return services_ + config_.extras; }
  std::size_t hazards() const {
    return std::size_t{config_.hazard_classes} * config_.hazard_horizons;
  }
  std::size_t outputs() const { return initiators() + hazards(); }

  const std::vector<Stage>& trunk() const { return trunk_; }
  const std::vector<Stage>& local() const { return local_; }
  std::size_t context() const { return context_; }  // features the trunk ends with; 0: no trunk
  std::size_t local_channels() const { return local_channels_; }  // 0: no local layers

  // Offsets of the head. head dense: weight context x initiators, bias initiators.
  // head shared without hidden: local x 1, context x 1, bias 1; with hidden width W: local x W,
  // context x W, bias W, then out W x 1, out_bias 1. Then extras and hazards: context x that many.
  struct Head {
    std::size_t weight = Stage::kNone, context = Stage::kNone, bias = Stage::kNone;
    std::size_t out = Stage::kNone, out_bias = Stage::kNone;
    std::size_t extras = Stage::kNone, extras_bias = Stage::kNone;
    std::size_t hazard = Stage::kNone, hazard_bias = Stage::kNone;
  };
  const Head& head() const { return head_; }

  // Uniform within each tensor's bound, from CounterRng(seed, StreamOf(name)); forget gates start
  // with a bias of 1 more, so that an untrained LSTM remembers. The same seed gives the same bits.
  void Initialize(std::uint64_t seed, absl::Span<float> parameters) const;

  // For people, as the paper counts layers in its Table 2: a convolution with its ReLU is one; an
  // LSTM is four dense layers and two element-wise ones; the activation of a dense layer is an
  // element-wise layer; softmax belongs to the loss.
  struct LayerCounts {
    std::size_t convolution = 0, dense = 0, element_wise = 0;
  };
  LayerCounts CountLayers() const;

 private:
  Network() = default;
  std::size_t Add(std::string name, std::size_t rows, std::size_t columns, double bound, bool bias);
  void AddLayers(std::string_view part, const std::vector<LayerConfig>& layers, Stage last,
                 std::vector<Stage>* stages);

  ModelConfig config_;
  std::vector<Tensor> tensors_;
  std::size_t parameters_ = 0, services_ = 0, context_ = 0, local_channels_ = 0;
  std::vector<Stage> trunk_, local_;
  Head head_;
};

SEER_END_NAMESPACE
