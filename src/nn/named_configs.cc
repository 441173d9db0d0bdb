#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "seer/core/internal/status_macros.h"
#include "seer/core/internal/strings.h"
#include "seer/nn/model_config.h"
#include "seer/nn/network.h"

SEER_BEGIN_NAMESPACE
namespace {

LayerConfig Conv(std::uint32_t units, std::uint32_t kernel, std::uint32_t stride) {
  LayerConfig layer;
  layer.kind = LayerKind::kConv;
  layer.units = units;
  layer.kernel = kernel;
  layer.stride = stride;
  layer.padding = kernel / 2;
  layer.activation = Activation::kRelu;
  return layer;
}
LayerConfig Dense(std::uint32_t units, Activation activation) {
  LayerConfig layer;
  layer.kind = LayerKind::kDense;
  layer.units = units;
  layer.activation = activation;
  return layer;
}
LayerConfig Lstm(std::uint32_t units) {
  LayerConfig layer;
  layer.kind = LayerKind::kLstm;
  layer.units = units;
  return layer;
}
LayerConfig Dropout(float rate) {
  LayerConfig layer;
  layer.kind = LayerKind::kDropout;
  layer.rate = rate;
  return layer;
}
LayerConfig Plain(LayerKind kind) {
  LayerConfig layer;
  layer.kind = kind;
  return layer;
}

constexpr float kDropoutRate = 0.1f;

// The widths give Table 2's weights at 158 services, those of the paper's local cluster.
void Cnn(ModelConfig* config) {
  config->batch = 4;
  for (int i = 0; i < 7; ++i) config->local.push_back(Conv(30, 5, 1));
  config->head = HeadKind::kShared;  // the eighth convolution, of one channel and kernel 1
}

void LstmOnly(ModelConfig* config) {
  config->trunk = {Dense(48, Activation::kNone),    Lstm(48),
                   Dropout(kDropoutRate),           Lstm(48),
                   Plain(LayerKind::kLastTick),     Dense(32, Activation::kTanh),
                   Dense(32, Activation::kSigmoid), Dropout(kDropoutRate)};
}

void Hybrid(ModelConfig* config) {
  config->trunk = {Conv(8, 5, 2), Conv(16, 5, 3)};
  for (int i = 0; i < 5; ++i) config->trunk.push_back(Conv(16, 3, 1));
  for (const LayerConfig& layer :
       {Lstm(32), Dropout(kDropoutRate), Lstm(32), Plain(LayerKind::kLastTick),
        Dense(32, Activation::kTanh), Dropout(kDropoutRate)}) {
    config->trunk.push_back(layer);
  }
}

void Flat(ModelConfig* config) {
  config->trunk = {Conv(8, 5, 2), Conv(16, 5, 3), Lstm(64), Lstm(64), Plain(LayerKind::kLastTick)};
}

void Pyramid(ModelConfig* config) {
  config->trunk = {Conv(8, 5, 2), Conv(16, 5, 3)};
  std::size_t positions = ((config->services() + 1) / 2 + 2) / 3;
  for (; positions > 8; positions = (positions + 2) / 3) config->trunk.push_back(Conv(16, 5, 3));
  for (const LayerConfig& layer : {Lstm(64), Dropout(kDropoutRate), Lstm(64),
                                   Plain(LayerKind::kLastTick), Dropout(kDropoutRate)}) {
    config->trunk.push_back(layer);
  }
}

void PositionWise(ModelConfig* config) {
  config->trunk = {Conv(16, 5, 1),
                   Conv(16, 5, 1),
                   Plain(LayerKind::kPool),
                   Lstm(32),
                   Plain(LayerKind::kLastTick),
                   Dropout(kDropoutRate)};
  config->local = {Conv(24, 5, 1), Conv(24, 5, 1)};
  config->head = HeadKind::kShared;
  config->head_hidden = 32;
}

struct NamedConfig {
  const char* name;
  void (*fill)(ModelConfig*);
};
constexpr NamedConfig kNamed[] = {
    {"cnn", Cnn},
    {"lstm", LstmOnly},
    {"hybrid", Hybrid},
    {"pyramid", Pyramid},
    {"position_wise", PositionWise},
    {"flat", Flat},
};

}  // namespace

const std::vector<std::string>& ModelConfig::Names() {
  static const std::vector<std::string>* const names = [] {
    auto* all = new std::vector<std::string>;
    for (const NamedConfig& named : kNamed) all->push_back(named.name);
    return all;
  }();
  return *names;
}

absl::StatusOr<ModelConfig> ModelConfig::Named(std::string_view name, std::size_t services,
                                               std::size_t inputs, std::size_t ticks) {
  constexpr std::size_t kMost = 0xffffffff;
  if (services > kMost || inputs > kMost || ticks > kMost) {
    return absl::InvalidArgumentError(
        "model configuration: services, inputs or ticks beyond 32 bits: give fewer");
  }
  for (const NamedConfig& named : kNamed) {
    if (name != named.name) continue;
    ModelConfig config;
    config.name = named.name;
    config.blocks = {static_cast<std::uint32_t>(services)};
    config.inputs = static_cast<std::uint32_t>(inputs);
    config.ticks = static_cast<std::uint32_t>(ticks);
    named.fill(&config);
    SEER_RETURN_IF_ERROR(Network::Create(config).status());
    return config;
  }
  std::string known;
  for (const NamedConfig& named : kNamed) {
    absl::StrAppend(&known, known.empty() ? "" : ", ", named.name);
  }
  return absl::NotFoundError(absl::StrCat("model configuration '", internal::ToAbsl(name),
                                          "' is unknown: one of ", known));
}

SEER_END_NAMESPACE
