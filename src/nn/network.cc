#include "seer/nn/network.h"

#include <cmath>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "seer/core/internal/status_macros.h"
#include "seer/core/internal/strings.h"
#include "seer/nn/counter_rng.h"

SEER_BEGIN_NAMESPACE
namespace {

// A gibibyte of weights, and windows of as much: what is meant by mistake, or by an attacker.
constexpr std::size_t kMaxParameters = std::size_t{1} << 28;

std::size_t Sum(const std::vector<std::size_t>& values) {
  std::size_t sum = 0;
  for (std::size_t value : values) sum += value;
  return sum;
}

// Each block of services must be wide enough for each convolution.
absl::Status CheckPositions(const ModelConfig& config) {
  for (std::uint32_t block : config.blocks) {
    std::size_t positions = block;
    for (std::size_t i = 0; i < config.trunk.size(); ++i) {
      const LayerConfig& layer = config.trunk[i];
      if (layer.kind != LayerKind::kConv) break;
      if (positions + 2 * layer.padding < layer.kernel) {
        return absl::InvalidArgumentError(
            absl::StrCat("model configuration: trunk layer ", i, ": kernel ", layer.kernel,
                         " over ", positions, " positions with padding ", layer.padding,
                         ": give more padding, or a block of more than ", block, " services"));
      }
      positions = (positions + 2 * layer.padding - layer.kernel) / layer.stride + 1;
    }
  }
  return absl::OkStatus();
}

}  // namespace

std::size_t Network::Add(std::string name, std::size_t rows, std::size_t columns, double bound,
                         bool bias) {
  Tensor tensor;
  tensor.name = std::move(name);
  tensor.offset = parameters_;
  tensor.rows = rows;
  tensor.columns = columns;
  tensor.bound = static_cast<float>(bound);
  tensor.bias = bias;
  parameters_ += rows * columns;
  tensors_.push_back(std::move(tensor));
  return tensors_.back().offset;
}

void Network::AddLayers(std::string_view part, const std::vector<LayerConfig>& layers, Stage last,
                        std::vector<Stage>* stages) {
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const LayerConfig& layer = layers[i];
    const std::string name = absl::StrCat(internal::ToAbsl(part), ".", i, ".");
    Stage stage;
    stage.layer = layer;
    stage.in_positions = last.out_positions;
    stage.in_channels = last.out_channels;
    stage.in_ticks = stage.out_ticks = last.out_ticks;
    stage.in_features = Sum(stage.in_positions) * stage.in_channels;
    const std::size_t units = layer.units;
    stage.out_positions = {1};
    switch (layer.kind) {
      case LayerKind::kConv: {
        for (std::size_t b = 0; b < stage.in_positions.size(); ++b) {
          stage.out_positions.resize(b + 1);
          stage.out_positions[b] =
              (stage.in_positions[b] + 2 * layer.padding - layer.kernel) / layer.stride + 1;
        }
        stage.out_channels = units;
        const std::size_t in = layer.kernel * stage.in_channels;
        const double bound = 1 / std::sqrt(static_cast<double>(in));
        stage.weight = Add(name + "weight", in, units, bound, false);
        stage.bias = Add(name + "bias", 1, units, bound, true);
        break;
      }
      case LayerKind::kPool:
        stage.out_channels = 2 * stage.in_channels;  // the means, then the greatest
        break;
      case LayerKind::kDense: {
        stage.out_channels = units;
        const double bound = 1 / std::sqrt(static_cast<double>(stage.in_features));
        stage.weight = Add(name + "weight", stage.in_features, units, bound, false);
        stage.bias = Add(name + "bias", 1, units, bound, true);
        break;
      }
      case LayerKind::kLstm: {
        stage.out_channels = units;
        const double bound = 1 / std::sqrt(static_cast<double>(units));
        stage.weight = Add(name + "weight", stage.in_features, 4 * units, bound, false);
        stage.recurrent = Add(name + "recurrent", units, 4 * units, bound, false);
        stage.bias = Add(name + "bias", 1, 4 * units, bound, true);
        break;
      }
      case LayerKind::kLastTick:
        stage.out_ticks = 1;
        stage.out_positions = stage.in_positions;
        stage.out_channels = stage.in_channels;
        break;
      case LayerKind::kDropout:
        stage.out_positions = stage.in_positions;
        stage.out_channels = stage.in_channels;
        stage.stream = CounterRng::StreamOf(name);
        break;
    }
    stage.out_features = Sum(stage.out_positions) * stage.out_channels;
    stages->push_back(stage);
    last = std::move(stage);
  }
}

absl::StatusOr<Network> Network::Create(const ModelConfig& config) {
  SEER_RETURN_IF_ERROR(config.Validate());
  SEER_RETURN_IF_ERROR(CheckPositions(config));
  Network network;
  network.config_ = config;
  network.services_ = config.services();
  if (network.window_values() > kMaxParameters) {
    return absl::InvalidArgumentError(
        absl::StrCat("model configuration: ticks x services x inputs is above ", kMaxParameters,
                     ": give fewer ticks or inputs"));
  }
  Stage input;
  input.out_positions.assign(config.blocks.begin(), config.blocks.end());
  input.out_channels = config.inputs;
  input.out_ticks = config.ticks;
  network.AddLayers("trunk", config.trunk, input, &network.trunk_);
  if (!config.trunk.empty()) network.context_ = network.trunk_.back().out_features;
  input.out_channels = std::size_t{config.inputs} * config.ticks;
  input.out_ticks = 1;
  network.AddLayers("local", config.local, input, &network.local_);
  if (!config.local.empty()) network.local_channels_ = network.local_.back().out_channels;

  const std::size_t context = network.context_, local = network.local_channels_;
  const auto bound = [](std::size_t in) {
    return 1 / std::sqrt(static_cast<double>(in == 0 ? 1 : in));
  };
  Head& head = network.head_;
  if (config.head == HeadKind::kDense) {
    head.weight = network.Add("head.weight", context, network.initiators(), bound(context), false);
    head.bias = network.Add("head.bias", 1, network.initiators(), bound(context), true);
  } else {
    const std::size_t width = config.head_hidden == 0 ? 1 : config.head_hidden;
    const double each = bound(local + context);
    head.weight = network.Add("head.weight", local, width, each, false);
    if (context > 0) head.context = network.Add("head.context", context, width, each, false);
    head.bias = network.Add("head.bias", 1, width, each, true);
    if (config.head_hidden != 0) {
      head.out = network.Add("head.out", width, 1, bound(width), false);
      head.out_bias = network.Add("head.out_bias", 1, 1, bound(width), true);
    }
    if (config.extras != 0) {
      if (context > 0) {
        head.extras = network.Add("head.extras", context, config.extras, bound(context), false);
      }
      head.extras_bias =
          network.Add("head.extras_bias", 1, config.extras, context > 0 ? bound(context) : 0, true);
    }
  }
  if (network.hazards() != 0) {
    head.hazard = network.Add("hazard.weight", context, network.hazards(), bound(context), false);
    head.hazard_bias = network.Add("hazard.bias", 1, network.hazards(), bound(context), true);
  }
  for (const std::vector<Stage>* stages : {&network.trunk_, &network.local_}) {
    for (const Stage& stage : *stages) {
      if (stage.out_features > kMaxParameters / stage.out_ticks) {
        return absl::InvalidArgumentError(
            absl::StrCat("model configuration: a layer has ", stage.out_features,
                         " values for each of ", stage.out_ticks, " ticks, together above ",
                         kMaxParameters, ": make it narrower, or use strides"));
      }
    }
  }
  if (network.parameters_ > kMaxParameters) {
    return absl::InvalidArgumentError(absl::StrCat("model configuration: ", network.parameters_,
                                                   " weights, above ", kMaxParameters,
                                                   ": make layers narrower, or use strides"));
  }
  return network;
}

const Tensor* Network::Find(std::string_view name) const {
  for (const Tensor& tensor : tensors_) {
    if (tensor.name == name) return &tensor;
  }
  return nullptr;
}

void Network::Initialize(std::uint64_t seed, absl::Span<float> parameters) const {
  SEER_DCHECK(parameters.size() == parameters_);
  for (const Tensor& tensor : tensors_) {
    const CounterRng rng(seed, CounterRng::StreamOf(tensor.name));
    for (std::size_t i = 0; i < tensor.size(); ++i) {
      parameters[tensor.offset + i] = (2 * rng.Uniform(i) - 1) * tensor.bound;
    }
  }
  for (const Stage& stage : trunk_) {
    if (stage.layer.kind != LayerKind::kLstm) continue;
    for (std::size_t i = 0; i < stage.layer.units; ++i) {
      parameters[stage.bias + stage.layer.units + i] += 1;
    }
  }
}

Network::LayerCounts Network::CountLayers() const {
  LayerCounts counts;
  for (const std::vector<Stage>* stages : {&trunk_, &local_}) {
    for (const Stage& stage : *stages) {
      switch (stage.layer.kind) {
        case LayerKind::kConv:
          ++counts.convolution;
          break;
        case LayerKind::kDense:
          ++counts.dense;
          if (stage.layer.activation != Activation::kNone) ++counts.element_wise;
          break;
        case LayerKind::kLstm:
          counts.dense += 4;
          counts.element_wise += 2;
          break;
        case LayerKind::kPool:
        case LayerKind::kLastTick:
        case LayerKind::kDropout:
          break;
      }
    }
  }
  if (config_.head == HeadKind::kDense) {
    ++counts.dense;
  } else if (config_.head_hidden == 0) {
    ++counts.convolution;  // of kernel 1 over the local features
  } else {
    counts.dense += 2;
    ++counts.element_wise;
  }
  return counts;
}

SEER_END_NAMESPACE
