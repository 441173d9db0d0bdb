#include "nn/pass.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "nn/dropout.h"

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

KernelActivation ToKernel(Activation activation) {
  switch (activation) {
    case Activation::kRelu:
      return KernelActivation::kRelu;
    case Activation::kSigmoid:
      return KernelActivation::kSigmoid;
    case Activation::kTanh:
      return KernelActivation::kTanh;
    case Activation::kNone:
      break;
  }
  return KernelActivation::kNone;
}

// Calls visit(shape, offset of the block's inputs, of its outputs) for each block of services.
template <typename Visit>
void ForEachBlock(const Stage& stage, const Visit& visit) {
  ConvShape shape;
  shape.in_channels = stage.in_channels;
  shape.out_channels = stage.out_channels;
  shape.kernel = stage.layer.kernel;
  shape.stride = stage.layer.stride;
  shape.padding = stage.layer.padding;
  shape.activation = ToKernel(stage.layer.activation);
  std::size_t in = 0, out = 0;
  for (std::size_t b = 0; b < stage.in_positions.size(); ++b) {
    shape.in_positions = stage.in_positions[b];
    shape.out_positions = stage.out_positions[b];
    visit(shape, in, out);
    in += shape.in_positions * shape.in_channels;
    out += shape.out_positions * shape.out_channels;
  }
}

void Transpose(const float* in, std::size_t rows, std::size_t columns, float* out) {
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < columns; ++j) out[j * rows + i] = in[i * columns + j];
  }
}

std::size_t TrunkFront(const Network& network) {
  std::size_t i = 0;
  while (i < network.trunk().size() && (network.trunk()[i].layer.kind == LayerKind::kConv ||
                                        network.trunk()[i].layer.kind == LayerKind::kPool)) {
    ++i;
  }
  return i;
}

}  // namespace

std::size_t Pass::ValuesPerWindow(const Network& network, bool training) {
  std::size_t values = network.window_values() + 3 * network.outputs();
  const std::size_t front = TrunkFront(network);
  for (std::size_t i = 0; i < network.trunk().size(); ++i) {
    const Stage& stage = network.trunk()[i];
    if (i + 1 < front) continue;  // computed again
    values += stage.out_ticks * stage.out_features * (training ? 2 : 1);
    if (stage.layer.kind == LayerKind::kLstm) values += 6 * stage.out_ticks * stage.out_features;
  }
  values += network.services() * network.local_channels() * (training ? 2 : 1);
  values += network.services() * network.config().head_hidden * (training ? 2 : 1);
  return values;
}

void Pass::InitFront(const std::vector<Stage>& stages, bool training, Front* front) {
  front->stages = &stages;
  while (front->count < stages.size() && stages[front->count].layer.kind == LayerKind::kConv) {
    ++front->count;
  }
  if (front->count < stages.size() && stages[front->count].layer.kind == LayerKind::kPool) {
    front->pool = &stages[front->count];
  }
  for (std::size_t i = 0; i < front->count; ++i) {
    const Stage& stage = stages[i];
    front->out.emplace_back(stage.out_features);
    if (!training) continue;
    front->d_out.emplace_back(stage.out_features);
    front->weight_t.emplace_back(stage.layer.kernel * stage.in_channels * stage.out_channels);
  }
}

Pass::Pass(const Network& network, const Kernels& kernels, std::size_t max_windows, bool training)
    : network_(network),
      kernels_(kernels),
      max_windows_(max_windows),
      training_(training),
      stages_(network.trunk().size()),
      scratch_(kGemmScratch) {
  const std::size_t ticks = network.config().ticks;
  const std::size_t width = std::max<std::size_t>(network.config().head_hidden, 1);
  InitFront(network.trunk(), training, &trunk_front_);
  InitFront(network.local(), training, &local_front_);
  first_after_front_ = TrunkFront(network);
  if (!network.trunk().empty()) {
    tick_features_ = first_after_front_ == 0 ? network.trunk()[0].in_features
                                             : network.trunk()[first_after_front_ - 1].out_features;
    features_ = Floats(max_windows * ticks * tick_features_);
    if (training && first_after_front_ > 0) d_features_ = Floats(features_.size());
  }
  for (std::size_t i = first_after_front_; i < network.trunk().size(); ++i) {
    const Stage& stage = network.trunk()[i];
    StageMemory& memory = stages_[i];
    const std::size_t rows = max_windows * stage.out_ticks;
    const bool lstm = stage.layer.kind == LayerKind::kLstm;
    if (lstm) {
      memory.gates = Floats(rows * 4 * stage.out_features);
      memory.cells = Floats(rows * stage.out_features);
      memory.tanh_cells = Floats(rows * stage.out_features);
    }
    if (stage.layer.kind != LayerKind::kLastTick &&
        (training || stage.layer.kind != LayerKind::kDropout)) {
      memory.out = Floats(rows * stage.out_features);
    }
    if (!training) continue;
    if (i > first_after_front_) {
      memory.d_in = Floats(max_windows * stage.in_ticks * stage.in_features);
    }
    if (lstm) {
      memory.d_cells = Floats(max_windows * stage.out_features);
      memory.recurrent_t = Floats(4 * stage.out_features * stage.out_features);
    }
  }
  if (training) d_context_ = Floats(max_windows * network.context());
  if (network.config().head != HeadKind::kShared) return;
  const std::size_t services = network.services(), channels = network.local_channels();
  stacked_ = Floats(network.window_values());
  local_ = Floats(max_windows * services * channels);
  base_ = Floats(max_windows * width);
  hidden_ = Floats(max_windows * services * width);
  if (training) {
    d_local_ = Floats(services * channels);
    d_hidden_ = Floats(services * width);
  }
}

std::size_t Pass::bytes() const {
  std::size_t floats = features_.size() + d_features_.size() + d_context_.size() + stacked_.size() +
                       local_.size() + d_local_.size() + base_.size() + hidden_.size() +
                       d_hidden_.size() + scratch_.size();
  for (const StageMemory& m : stages_) {
    floats += m.out.size() + m.gates.size() + m.cells.size() + m.tanh_cells.size() + m.d_in.size() +
              m.d_cells.size() + m.recurrent_t.size();
  }
  for (const Front* front : {&trunk_front_, &local_front_}) {
    for (const std::vector<Floats>* list : {&front->out, &front->d_out, &front->weight_t}) {
      for (const Floats& values : *list) floats += values.size();
    }
  }
  return floats * sizeof(float);
}

// ---- The front.

void Pass::ConvRow(const Kernels& kernels, const Stage& stage, const float* p, const float* in,
                   float* out) {
  ForEachBlock(stage, [&](const ConvShape& shape, std::size_t from, std::size_t to) {
    kernels.conv(shape, in + from, p + stage.weight, p + stage.bias, out + to);
  });
}

void Pass::FrontForward(const Front& front, const float* p, const float* in, float* out) {
  for (std::size_t i = 0; i < front.count; ++i) {
    const bool last = i + 1 == front.count && front.pool == nullptr;
    float* const to = last ? out : front.out[i].get();
    ConvRow(kernels_, (*front.stages)[i], p, in, to);
    in = to;
  }
  if (front.pool == nullptr) return;
  const std::size_t channels = front.pool->in_channels, values = front.pool->in_features;
  std::copy_n(in, channels, out);
  std::copy_n(in, channels, out + channels);
  for (std::size_t at = channels; at < values; at += channels) {
    for (std::size_t c = 0; c < channels; ++c) {
      out[c] += in[at + c];
      out[channels + c] = std::max(out[channels + c], in[at + c]);
    }
  }
  const float share = static_cast<float>(channels) / static_cast<float>(values);
  for (std::size_t c = 0; c < channels; ++c) out[c] *= share;
}

void Pass::TransposeWeights(const Front& front, const float* p) {
  for (std::size_t i = 1; i < front.count; ++i) {
    const Stage& stage = (*front.stages)[i];
    Transpose(p + stage.weight, stage.layer.kernel * stage.in_channels, stage.out_channels,
              front.weight_t[i].get());
  }
}

void Pass::FrontBackward(const Front& front, const float* p, const float* in, const float* out,
                         const float* d_out, float* g) {
  if (front.count == 0) return;  // what is left goes to the inputs: nobody asks
  // All convolutions again whose outputs were not kept.
  const float* last = in;
  for (std::size_t i = 0; i < front.count; ++i) {
    if (i + 1 == front.count && front.pool == nullptr) break;
    ConvRow(kernels_, (*front.stages)[i], p, last, front.out[i].get());
    last = front.out[i].get();
  }
  float* d = front.d_out.back().get();
  if (front.pool == nullptr) {
    std::copy_n(d_out, front.d_out.back().size(), d);
    last = out;
  } else {
    const std::size_t channels = front.pool->in_channels, values = front.pool->in_features;
    const float share = static_cast<float>(channels) / static_cast<float>(values);
    for (std::size_t at = 0; at < values; at += channels) {
      for (std::size_t c = 0; c < channels; ++c) d[at + c] = d_out[c] * share;
    }
    for (std::size_t c = 0; c < channels; ++c) {
      std::size_t top = c;  // the first of those that are equal, as the reference has it
      for (std::size_t at = c; at < values; at += channels) {
        if (last[at] > last[top]) top = at;
      }
      d[top] += d_out[channels + c];
    }
  }
  for (std::size_t i = front.count; i-- > 0;) {
    const Stage& stage = (*front.stages)[i];
    kernels_.activate_backward(ToKernel(stage.layer.activation), stage.out_features,
                               i + 1 == front.count ? last : front.out[i].get(), d);
    const float* const from = i == 0 ? in : front.out[i - 1].get();
    float* const d_in = i == 0 ? nullptr : front.d_out[i - 1].get();
    if (d_in != nullptr) std::fill_n(d_in, stage.in_features, 0.0f);
    ForEachBlock(stage, [&](const ConvShape& shape, std::size_t at, std::size_t to) {
      kernels_.conv_backward(shape, from + at, front.weight_t[i].get(), d + to, g + stage.weight,
                             g + stage.bias, d_in == nullptr ? nullptr : d_in + at);
    });
    d = d_in;
  }
}

// ---- The stages behind it.

void Pass::DropoutRows(const Stage& stage, const float* in, float* out) const {
  const DropoutMask mask(stage, dropout_.seed, dropout_.step);
  for (std::size_t t = 0; t < stage.in_ticks; ++t) {
    for (std::size_t w = 0; w < windows_; ++w) {
      const std::size_t at = (t * windows_ + w) * stage.in_features;
      kernels_.dropout(mask.key, mask.dropped_below, mask.kept_factor,
                       DropoutMask::Index(stage, dropout_.first + w, t, 0), stage.in_features,
                       in + at, out + at);
    }
  }
}

void Pass::LstmForward(const Stage& stage, const float* p, const float* in, StageMemory& memory) {
  const std::size_t units = stage.layer.units, rows = stage.in_ticks * windows_;
  float* const gates = memory.gates.get();
  kernels_.fill_rows(rows, 4 * units, p + stage.bias, gates, 4 * units);
  Gemm(false, false, rows, 4 * units, stage.in_features, in, stage.in_features, p + stage.weight,
       4 * units, true, gates, 4 * units);
  const std::size_t step = windows_ * units;
  for (std::size_t t = 0; t < stage.in_ticks; ++t) {
    float* const now = gates + t * 4 * step;
    float* const out = memory.out.get() + t * step;
    const float* before = nullptr;
    if (t > 0) {
      Gemm(false, false, windows_, 4 * units, units, out - step, units, p + stage.recurrent,
           4 * units, true, now, 4 * units);
      before = memory.cells.get() + (t - 1) * step;
    }
    kernels_.lstm(windows_, units, now, before, memory.cells.get() + t * step,
                  memory.tanh_cells.get() + t * step, out);
  }
}

void Pass::StageForward(std::size_t i, const float* p, const float* in) {
  const Stage& stage = network_.trunk()[i];
  StageMemory& memory = stages_[i];
  const std::size_t rows = stage.in_ticks * windows_;
  memory.result = memory.out.get();
  switch (stage.layer.kind) {
    case LayerKind::kDense:
      kernels_.fill_rows(rows, stage.out_features, p + stage.bias, memory.out.get(),
                         stage.out_features);
      Gemm(false, false, rows, stage.out_features, stage.in_features, in, stage.in_features,
           p + stage.weight, stage.out_features, true, memory.out.get(), stage.out_features);
      kernels_.activate(ToKernel(stage.layer.activation), rows * stage.out_features,
                        memory.out.get());
      break;
    case LayerKind::kLstm:
      LstmForward(stage, p, in, memory);
      break;
    case LayerKind::kLastTick:
      memory.result = in + (stage.in_ticks - 1) * windows_ * stage.in_features;
      break;
    case LayerKind::kDropout:
      if (dropout_.on) {
        DropoutRows(stage, in, memory.out.get());
      } else {
        memory.result = in;
      }
      break;
    case LayerKind::kConv:
    case LayerKind::kPool:
      break;  // in the front
  }
}

void Pass::LstmBackward(const Stage& stage, const float* p, const float* in, StageMemory& memory,
                        float* d, float* g) {
  const std::size_t units = stage.layer.units, step = windows_ * units;
  float* const gates = memory.gates.get();
  Transpose(p + stage.recurrent, units, 4 * units, memory.recurrent_t.get());
  std::fill_n(memory.d_cells.get(), step, 0.0f);
  for (std::size_t t = stage.in_ticks; t-- > 0;) {
    kernels_.lstm_backward(windows_, units, gates + t * 4 * step,
                           t > 0 ? memory.cells.get() + (t - 1) * step : nullptr,
                           memory.tanh_cells.get() + t * step, d + t * step, memory.d_cells.get());
    if (t > 0) {
      Gemm(false, false, windows_, units, 4 * units, gates + t * 4 * step, 4 * units,
           memory.recurrent_t.get(), units, true, d + (t - 1) * step, units);
    }
  }
  const std::size_t rows = stage.in_ticks * windows_;
  kernels_.add_columns(rows, 4 * units, gates, 4 * units, g + stage.bias);
  Gemm(true, false, stage.in_features, 4 * units, rows, in, stage.in_features, gates, 4 * units,
       true, g + stage.weight, 4 * units);
  Gemm(true, false, units, 4 * units, rows - windows_, memory.out.get(), units, gates + 4 * step,
       4 * units, true, g + stage.recurrent, 4 * units);
}

float* Pass::StageBackward(std::size_t i, const float* p, const float* in, float* d, float* g) {
  const Stage& stage = network_.trunk()[i];
  StageMemory& memory = stages_[i];
  const std::size_t rows = stage.in_ticks * windows_;
  float* const d_in = i > first_after_front_ ? memory.d_in.get() : d_features_.get();
  switch (stage.layer.kind) {
    case LayerKind::kDense:
      kernels_.activate_backward(ToKernel(stage.layer.activation), rows * stage.out_features,
                                 memory.out.get(), d);
      kernels_.add_columns(rows, stage.out_features, d, stage.out_features, g + stage.bias);
      Gemm(true, false, stage.in_features, stage.out_features, rows, in, stage.in_features, d,
           stage.out_features, true, g + stage.weight, stage.out_features);
      if (d_in == nullptr) return nullptr;
      Gemm(false, true, rows, stage.in_features, stage.out_features, d, stage.out_features,
           p + stage.weight, stage.out_features, false, d_in, stage.in_features);
      return d_in;
    case LayerKind::kLstm:
      LstmBackward(stage, p, in, memory, d, g);
      if (d_in == nullptr) return nullptr;
      Gemm(false, true, rows, stage.in_features, 4 * stage.out_features, memory.gates.get(),
           4 * stage.out_features, p + stage.weight, 4 * stage.out_features, false, d_in,
           stage.in_features);
      return d_in;
    case LayerKind::kLastTick: {
      if (d_in == nullptr) return nullptr;
      const std::size_t before = (rows - windows_) * stage.in_features;
      std::fill_n(d_in, before, 0.0f);
      std::copy_n(d, windows_ * stage.in_features, d_in + before);
      return d_in;
    }
    case LayerKind::kDropout:
      if (dropout_.on) DropoutRows(stage, d, d);
      if (d_in == nullptr) return nullptr;
      std::copy_n(d, rows * stage.in_features, d_in);
      return d_in;
    case LayerKind::kConv:
    case LayerKind::kPool:
      break;
  }
  return nullptr;
}

// ---- The head.

void Pass::StackTicks(const float* inputs, std::size_t window) {
  const std::size_t ticks = network_.config().ticks, services = network_.services();
  const std::size_t each = network_.config().inputs;
  const float* const in = inputs + window * network_.window_values();
  for (std::size_t t = 0; t < ticks; ++t) {
    for (std::size_t s = 0; s < services; ++s) {
      for (std::size_t c = 0; c < each; ++c) {
        stacked_.get()[(s * ticks + t) * each + c] = in[(t * services + s) * each + c];
      }
    }
  }
}

void Pass::HeadForward(const float* p, float* logits) {
  const Network::Head& head = network_.head();
  const std::size_t outputs = network_.outputs(), services = network_.services();
  const std::size_t context = network_.context(), extras = network_.config().extras;
  const auto product = [&](std::size_t n, std::size_t weight, std::size_t bias, float* out) {
    kernels_.fill_rows(windows_, n, p + bias, out, outputs);
    if (context == 0) return;
    Gemm(false, false, windows_, n, context, context_, context, p + weight, n, true, out, outputs);
  };
  if (network_.config().head == HeadKind::kDense) {
    product(network_.initiators(), head.weight, head.bias, logits);
  } else {
    const std::size_t channels = network_.local_channels(), hidden = network_.config().head_hidden;
    const std::size_t width = std::max<std::size_t>(hidden, 1);
    kernels_.fill_rows(windows_, width, p + head.bias, base_.get(), width);
    if (context > 0) {
      Gemm(false, false, windows_, width, context, context_, context, p + head.context, width, true,
           base_.get(), width);
    }
    for (std::size_t w = 0; w < windows_; ++w) {
      float* const h = hidden_.get() + w * services * width;
      kernels_.fill_rows(services, width, base_.get() + w * width, h, width);
      Gemm(false, false, services, width, channels, local_.get() + w * services * channels,
           channels, p + head.weight, width, true, h, width);
      float* const out = logits + w * outputs;
      if (hidden == 0) {
        std::copy_n(h, services, out);
        continue;
      }
      kernels_.activate(KernelActivation::kTanh, services * width, h);
      std::fill_n(out, services, p[head.out_bias]);
      Gemm(false, false, services, 1, width, h, width, p + head.out, 1, true, out, 1);
    }
    if (extras > 0) product(extras, head.extras, head.extras_bias, logits + services);
  }
  if (network_.hazards() > 0) {
    product(network_.hazards(), head.hazard, head.hazard_bias, logits + network_.initiators());
  }
}

void Pass::HeadBackward(const float* p, const float* d_logits, float* g) {
  const Network::Head& head = network_.head();
  const std::size_t outputs = network_.outputs(), services = network_.services();
  const std::size_t context = network_.context(), extras = network_.config().extras;
  std::fill_n(d_context_.get(), windows_ * context, 0.0f);
  const auto product = [&](std::size_t n, const float* d, std::size_t ld, std::size_t weight,
                           std::size_t bias) {
    kernels_.add_columns(windows_, n, d, ld, g + bias);
    if (context == 0) return;
    Gemm(true, false, context, n, windows_, context_, context, d, ld, true, g + weight, n);
    Gemm(false, true, windows_, context, n, d, ld, p + weight, n, true, d_context_.get(), context);
  };
  if (network_.hazards() > 0) {
    product(network_.hazards(), d_logits + network_.initiators(), outputs, head.hazard,
            head.hazard_bias);
  }
  if (network_.config().head == HeadKind::kDense) {
    product(network_.initiators(), d_logits, outputs, head.weight, head.bias);
    return;
  }
  if (extras > 0) product(extras, d_logits + services, outputs, head.extras, head.extras_bias);
  const std::size_t hidden = network_.config().head_hidden;
  const std::size_t width = std::max<std::size_t>(hidden, 1);
  const std::size_t channels = network_.local_channels();
  for (std::size_t w = 0; w < windows_; ++w) {
    const float* const d = d_logits + w * outputs;
    const float* const h = hidden_.get() + w * services * width;
    float* const d_hidden = d_hidden_.get();
    if (hidden == 0) {
      std::copy_n(d, services, d_hidden);
    } else {
      for (std::size_t s = 0; s < services; ++s) {
        g[head.out_bias] += d[s];
        for (std::size_t u = 0; u < width; ++u) {
          const float value = h[s * width + u];
          g[head.out + u] += value * d[s];
          d_hidden[s * width + u] = p[head.out + u] * d[s] * (1 - value * value);
        }
      }
    }
    float* const d_base = base_.get() + w * width;
    std::fill_n(d_base, width, 0.0f);
    kernels_.add_columns(services, width, d_hidden, width, d_base);
    const float* const local = local_.get() + w * services * channels;
    Gemm(true, false, channels, width, services, local, channels, d_hidden, width, true,
         g + head.weight, width);
    // The local layers of this window, at once: their intermediate values are of one window only.
    Gemm(false, true, services, channels, width, d_hidden, width, p + head.weight, width, false,
         d_local_.get(), channels);
    StackTicks(inputs_, w);
    FrontBackward(local_front_, p, stacked_.get(), local, d_local_.get(), g);
  }
  kernels_.add_columns(windows_, width, base_.get(), width, g + head.bias);
  if (context == 0) return;
  Gemm(true, false, context, width, windows_, context_, context, base_.get(), width, true,
       g + head.context, width);
  Gemm(false, true, windows_, context, width, base_.get(), width, p + head.context, width, true,
       d_context_.get(), context);
}

// ---- All of it.

void Pass::Forward(const float* p, const float* inputs, std::size_t windows, const Dropout& dropout,
                   float* logits) {
  SEER_DCHECK(windows > 0 && windows <= max_windows_);
  windows_ = windows;
  dropout_ = dropout;
  inputs_ = inputs;
  const std::size_t ticks = network_.config().ticks;
  const std::size_t tick_values = network_.window_values() / ticks;
  if (!network_.trunk().empty()) {
    for (std::size_t t = 0; t < ticks; ++t) {
      for (std::size_t w = 0; w < windows; ++w) {
        const float* const in = inputs + (w * ticks + t) * tick_values;
        float* const out = features_.get() + (t * windows + w) * tick_features_;
        if (first_after_front_ == 0) {
          std::copy_n(in, tick_values, out);
        } else {
          FrontForward(trunk_front_, p, in, out);
        }
      }
    }
    const float* last = features_.get();
    for (std::size_t i = first_after_front_; i < network_.trunk().size(); ++i) {
      StageForward(i, p, last);
      last = stages_[i].result;
    }
    context_ = last;
  }
  if (network_.config().head == HeadKind::kShared) {
    const std::size_t each = network_.services() * network_.local_channels();
    for (std::size_t w = 0; w < windows; ++w) {
      StackTicks(inputs, w);
      FrontForward(local_front_, p, stacked_.get(), local_.get() + w * each);
    }
  }
  HeadForward(p, logits);
}

void Pass::Backward(const float* p, const float* d_logits, float* g) {
  SEER_DCHECK(training_);
  TransposeWeights(trunk_front_, p);
  TransposeWeights(local_front_, p);
  HeadBackward(p, d_logits, g);
  if (network_.trunk().empty()) return;
  float* d = d_context_.get();
  for (std::size_t i = network_.trunk().size(); i-- > first_after_front_ && d != nullptr;) {
    d = StageBackward(i, p, i == first_after_front_ ? features_.get() : stages_[i - 1].result, d,
                      g);
  }
  if (d == nullptr || trunk_front_.count == 0) return;
  const std::size_t ticks = network_.config().ticks;
  const std::size_t tick_values = network_.window_values() / ticks;
  for (std::size_t t = 0; t < ticks; ++t) {
    for (std::size_t w = 0; w < windows_; ++w) {
      const std::size_t row = (t * windows_ + w) * tick_features_;
      FrontBackward(trunk_front_, p, inputs_ + (w * ticks + t) * tick_values, features_.get() + row,
                    d + row, g);
    }
  }
}

}  // namespace internal
SEER_END_NAMESPACE
