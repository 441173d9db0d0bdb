#include "nn/native_model.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "nn/pass.h"
#include "nn/prefault.h"

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

// Of the last convolution, at once: with 20 ticks of 16 channels 120 KB.
constexpr std::size_t kPiecePositions = 96;
// Floats of a matrix, whose pages cost more than to move it within them.
constexpr std::size_t kWorthTaking = 4096;

// Floats of four vectors.
constexpr std::size_t kMostBlock = 64;

// A constant number of bytes is no call.
void CopyVector(std::size_t lanes, const float* from, float* to) {
  if (lanes == 16) {
    std::memcpy(to, from, 16 * sizeof(float));
  } else if (lanes == 8) {
    std::memcpy(to, from, 8 * sizeof(float));
  } else {
    std::copy_n(from, lanes, to);
  }
}

std::size_t RoundUp(std::size_t n, std::size_t unit) { return (n + unit - 1) / unit * unit; }

// To the nearest; towards zero where that would be infinite.
std::uint16_t UpperHalf(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  const std::uint32_t rounded = bits + 0x7fff + (bits >> 16 & 1);
  return static_cast<std::uint16_t>((rounded & 0x7f800000) == 0x7f800000 ? bits >> 16
                                                                         : rounded >> 16);
}

}  // namespace

float* NativeModel::Take(std::size_t size) {
  memory_.emplace_back(size);
  Prefault(memory_.back().get(), size);
  std::fill_n(memory_.back().get(), size, 0.0f);
  return memory_.back().get();
}

const float* NativeModel::Copy(const float* values, std::size_t size) {
  float* const copy = Take(size);
  std::copy_n(values, size, copy);
  return copy;
}

const std::uint16_t* NativeModel::UpperHalves(const float* values, std::size_t size) {
  auto* const halves = reinterpret_cast<std::uint16_t*>(Take((size + 1) / 2));
  std::transform(values, values + size, halves, UpperHalf);
  return halves;
}

std::size_t NativeModel::PanelsSize(std::size_t rows, std::size_t columns,
                                    std::size_t units_of_lstm) const {
  const std::size_t lanes = kernels.lanes;
  const std::size_t wide = units_of_lstm == 0 ? columns : 4 * RoundUp(units_of_lstm, lanes);
  return RoundUp(wide, 4 * lanes) * rows;
}

const float* NativeModel::PackPanels(const float* w, std::size_t rows, std::size_t columns,
                                     std::size_t units_of_lstm) {
  const std::size_t size = rows * columns;
  const float* const begin = taken_.data();
  if (!taken_.empty() && size >= kWorthTaking && PanelsSize(rows, columns, units_of_lstm) == size &&
      w >= begin && w < begin + taken_.size()) {
    const std::size_t line = reinterpret_cast<std::uintptr_t>(w) % kCacheLine / sizeof(float);
    const auto at = static_cast<std::size_t>(w - begin);
    if (line <= at) {
      float* const from = taken_.data() + at;
      in_place_.push_back({from, from - line, rows, columns, units_of_lstm});
      return from - line;
    }
  }
  float* const packed = Take(PanelsSize(rows, columns, units_of_lstm));
  PackPanels(w, rows, columns, units_of_lstm, packed);
  return packed;
}

void NativeModel::PackPanels(const float* w, std::size_t rows, std::size_t columns,
                             std::size_t units_of_lstm, float* packed) const {
  const std::size_t lanes = kernels.lanes, panel = 4 * lanes;
  const std::size_t panels = PanelsSize(1, columns, units_of_lstm) / panel;
  for (std::size_t i = 0; i < panels; ++i) {
    for (std::size_t v = 0; v < 4; ++v) {
      // Where the vector comes from, and how much of it there is.
      std::size_t from = i * panel + v * lanes, end = columns;
      if (units_of_lstm != 0) {
        from = v * units_of_lstm + i * lanes;
        end = (v + 1) * units_of_lstm;
      }
      if (from >= end) continue;
      const std::size_t count = std::min(lanes, end - from);
      for (std::size_t r = 0; r < rows; ++r) {
        std::copy_n(w + r * columns + from, count, packed + (i * rows + r) * panel + v * lanes);
      }
    }
  }
}

// In each row the vectors are put in the order of the panels; then a row is as many blocks as there
// are panels, and block (row, panel) goes to (panel, row): from place to place until the circle is
// closed.
void NativeModel::PackInPlace(const InPlace& what) const {
  const std::size_t lanes = kernels.lanes, block = 4 * lanes, bytes = block * sizeof(float);
  const std::size_t rows = what.rows, panels = what.columns / block;
  float* const w = what.to;
  std::vector<float> row(what.columns);
  for (std::size_t r = 0; r < rows; ++r) {
    // What is written is not behind what was read.
    float* const to = w + r * what.columns;
    std::memcpy(row.data(), what.from + r * what.columns, what.columns * sizeof(float));
    if (what.units_of_lstm == 0) {
      std::memcpy(to, row.data(), what.columns * sizeof(float));
      continue;
    }
    for (std::size_t i = 0; i < panels; ++i) {
      for (std::size_t v = 0; v < 4; ++v) {
        CopyVector(lanes, &row[v * what.units_of_lstm + i * lanes], to + i * block + v * lanes);
      }
    }
  }
  if (panels == 1) return;
  const auto count = static_cast<std::uint32_t>(rows * panels);
  const auto across = static_cast<std::uint32_t>(panels), down = static_cast<std::uint32_t>(rows);
  std::vector<bool> done(count);
  float moved[kMostBlock], next[kMostBlock];
  for (std::uint32_t begin = 0; begin < count; ++begin) {
    if (done[begin]) continue;
    std::memcpy(moved, w + begin * block, bytes);
    std::uint32_t at = begin;
    do {
      at = at % across * down + at / across;
      std::memcpy(next, w + at * block, bytes);
      std::memcpy(w + at * block, moved, bytes);
      std::memcpy(moved, next, bytes);
      done[at] = true;
    } while (at != begin);
  }
}

void NativeModel::Pack(const float* p, std::size_t weight, std::size_t bias, std::size_t rows,
                       std::size_t columns, std::size_t units_of_lstm, NativeProduct* product) {
  product->matrix.rows = std::max<std::size_t>(rows, 1);
  product->matrix.columns = columns;
  product->units = columns;
  product->ld = columns;
  if (units_of_lstm != 0) {
    product->units = units_of_lstm;
    product->padded = RoundUp(units_of_lstm, kernels.lanes);
    product->matrix.columns = product->ld = 4 * product->padded;
  }
  if (rows == 0) {
    product->matrix.weights = PackPanels(Take(columns), 1, columns, units_of_lstm);  // zeros
  } else if (halves_) {
    const std::size_t size = PanelsSize(rows, columns, units_of_lstm);
    const Floats whole(size);
    std::fill_n(whole.get(), size, 0.0f);
    PackPanels(p + weight, rows, columns, units_of_lstm, whole.get());
    product->matrix.halves = UpperHalves(whole.get(), size);
  } else {
    product->matrix.weights = PackPanels(p + weight, rows, columns, units_of_lstm);
  }
  product->matrix.bias = PackPanels(p + bias, 1, columns, units_of_lstm);
}

void NativeModel::InitChain(const std::vector<Stage>& from, const float* p,
                            std::size_t in_positions, std::size_t in_channels, NativeChain* chain) {
  chain->channels = in_channels;
  chain->in_values = in_positions * in_channels;
  std::size_t i = 0;
  for (; i < from.size() && from[i].layer.kind == LayerKind::kConv; ++i) {
    const Stage& stage = from[i];
    NativeConv conv = {};
    conv.kernel_size = stage.layer.kernel;
    conv.stride = stage.layer.stride;
    conv.padding = stage.layer.padding;
    conv.in_channels = stage.in_channels;
    conv.in_positions = stage.in_positions;
    conv.out_positions = stage.out_positions;
    conv.kernel.taps = conv.kernel_size * stage.in_channels;
    conv.kernel.step = conv.stride * stage.in_channels;
    conv.kernel.channels = stage.out_channels;
    conv.kernel.weights = Copy(p + stage.weight, conv.kernel.taps * stage.out_channels);
    conv.kernel.bias = Copy(p + stage.bias, stage.out_channels);
    conv.kernel.activation = ToKernel(stage.layer.activation);
    chain->sparse = stage.layer.activation == Activation::kRelu;
    chain->channels = stage.out_channels;
    chain->layers.push_back(conv);
  }
  chain->conv_features = i == 0 ? chain->in_values : from[i - 1].out_features;
  chain->features = chain->conv_features;
  if (i < from.size() && from[i].layer.kind == LayerKind::kPool) {
    chain->pool = true;
    chain->features = from[i].out_features;
    chain->sparse = false;
  }
  if (chain->layers.empty()) return;
  std::size_t feature = 0;
  const std::vector<std::size_t>& blocks = chain->layers.back().out_positions;
  for (std::size_t b = 0; b < blocks.size(); ++b) {
    std::size_t left = (blocks[b] + kPiecePositions - 1) / kPiecePositions;
    for (std::size_t at = 0; at < blocks[b]; --left) {
      const std::size_t count = (blocks[b] - at + left - 1) / left;
      chain->pieces.push_back({b, at, at + count, feature});
      at += count;
      feature += count * chain->channels;
    }
  }
}

NativeModel::NativeModel(const Network& shape, const NativeKernels& table,
                         absl::Span<const float> parameters, bool halves, std::vector<float>* taken)
    : network(shape), kernels(table), stages(shape.trunk().size()), halves_(halves) {
  // What is larger stands in large pages, which a vector does not (floats.h).
  if (taken != nullptr && !halves && parameters.size() * sizeof(float) < kManyPages) {
    taken_ = std::move(*taken);
    parameters = taken_;
  }
  const float* const p = parameters.data();
  const ModelConfig& config = network.config();
  const std::size_t services = network.services();
  InitChain(network.trunk(), p, services, config.inputs, &trunk);
  InitChain(network.local(), p, services, config.inputs * config.ticks, &local);
  const std::vector<Stage>& all = network.trunk();
  for (std::size_t i = 0; i < all.size(); ++i) {
    const Stage& stage = all[i];
    if (stage.layer.kind == LayerKind::kDense) {
      Pack(p, stage.weight, stage.bias, stage.in_features, stage.out_features, 0, &stages[i]);
      stages[i].activation = ToKernel(stage.layer.activation);
    } else if (stage.layer.kind == LayerKind::kLstm) {
      const std::size_t units = stage.layer.units;
      Pack(p, stage.weight, stage.bias, stage.in_features, 4 * units, units, &stages[i]);
      stages[i].recurrent = PackPanels(p + stage.recurrent, units, 4 * units, units);
    }
  }
  tick_end = trunk.layers.size() + (trunk.pool ? 1 : 0);
  tick_values = trunk.features;
  for (; tick_end < all.size(); ++tick_end) {
    const LayerKind kind = all[tick_end].layer.kind;
    if (kind == LayerKind::kDropout) continue;
    if (kind != LayerKind::kDense && kind != LayerKind::kLstm) break;
    tick_stages.push_back(tick_end);
    tick_values = stages[tick_end].ld;
    if (kind == LayerKind::kLstm) break;  // its recurrence is what sees more
  }
  if (all.empty()) tick_values = 0;

  const Network::Head& head = network.head();
  const std::size_t in = network.context(), channels = network.local_channels();
  if (config.head == HeadKind::kDense) {
    Pack(p, head.weight, head.bias, in, network.initiators(), 0, &weights);
  } else {
    const std::size_t width = std::max<std::size_t>(config.head_hidden, 1);
    Pack(p, head.context, head.bias, in, width, 0, &context);
    if (config.head_hidden != 0) {
      Pack(p, head.weight, head.bias, channels, width, 0, &weights);
      weights.activation = KernelActivation::kTanh;
      out = Copy(p + head.out, width);
      out_bias = p[head.out_bias];
    } else {
      out = Copy(p + head.weight, channels);
    }
    if (config.extras > 0) Pack(p, head.extras, head.extras_bias, in, config.extras, 0, &extras);
  }
  if (network.hazards() > 0) {
    Pack(p, head.hazard, head.hazard_bias, in, network.hazards(), 0, &hazard);
  }
  // Each may begin where the one before it in memory ended: that one has moved as far or farther.
  std::sort(in_place_.begin(), in_place_.end(),
            [](const InPlace& a, const InPlace& b) { return a.from < b.from; });
  for (const InPlace& what : in_place_) PackInPlace(what);
  if (in_place_.empty()) taken_ = {};
}

}  // namespace internal
SEER_END_NAMESPACE
