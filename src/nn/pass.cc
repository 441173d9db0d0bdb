#include "nn/pass.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "nn/dropout.h"

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

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
    const bool where_it_stands = i + 1 == front->count && front->pool == nullptr;
    front->d_out.emplace_back(where_it_stands ? 0 : stage.out_features);
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
    const auto& trunk = network.trunk();
    tick_end_ = first_after_front_;
    while (tick_end_ < trunk.size() && (trunk[tick_end_].layer.kind == LayerKind::kDense ||
                                        trunk[tick_end_].layer.kind == LayerKind::kDropout)) {
      ++tick_end_;
    }
    tick_values_ = tick_end_ == 0 ? tick_features_ : trunk[tick_end_ - 1].out_features;
    if (tick_end_ < trunk.size() && trunk[tick_end_].layer.kind == LayerKind::kLstm) {
      tick_values_ = 4 * trunk[tick_end_].out_features;
    }
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
      const std::size_t units = stage.out_features;
      memory.recurrent = Floats(
          std::max(PackedSize(units, 4 * units), training ? PackedSize(4 * units, units) : 0));
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
              m.d_cells.size() + m.recurrent.size();
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
  if (front.pool != nullptr) PoolForward(*front.pool, in, out);
}

void Pass::PoolForward(const Stage& stage, const float* in, float* out) {
  const std::size_t channels = stage.in_channels, values = stage.in_features;
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

void Pass::PoolBackward(const Stage& stage, const float* in, const float* d_out, float* d_in) {
  const std::size_t channels = stage.in_channels, values = stage.in_features;
  const float share = static_cast<float>(channels) / static_cast<float>(values);
  for (std::size_t at = 0; at < values; at += channels) {
    for (std::size_t c = 0; c < channels; ++c) d_in[at + c] = d_out[c] * share;
  }
  for (std::size_t c = 0; c < channels; ++c) {
    std::size_t top = c;  // the first of those that are equal, as the reference has it
    for (std::size_t at = c; at < values; at += channels) {
      if (in[at] > in[top]) top = at;
    }
    d_in[top] += d_out[channels + c];
  }
}

void Pass::TransposeWeights(const Front& front, const float* p) {
  for (std::size_t i = 1; i < front.count; ++i) {
    const Stage& stage = (*front.stages)[i];
    Transpose(p + stage.weight, stage.layer.kernel * stage.in_channels, stage.out_channels,
              front.weight_t[i].get());
  }
}

void Pass::FrontBackward(const Front& front, const float* p, const float* in, const float* out,
                         float* d_out, float* g) {
  if (front.count == 0) return;  // what is left goes to the inputs: nobody asks
  // All convolutions again whose outputs were not kept.
  const float* last = in;
  for (std::size_t i = 0; i < front.count; ++i) {
    if (i + 1 == front.count && front.pool == nullptr) break;
    ConvRow(kernels_, (*front.stages)[i], p, last, front.out[i].get());
    last = front.out[i].get();
  }
  float* d = d_out;
  if (front.pool == nullptr) {
    last = out;
  } else {
    d = front.d_out.back().get();
    PoolBackward(*front.pool, last, d_out, d);
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

void Pass::DropoutRows(const Stage& stage, std::size_t first_tick, const float* in,
                       float* out) const {
  const DropoutMask mask(stage, dropout_.seed, dropout_.step);
  for (std::size_t t = first_tick; t < stage.in_ticks; ++t) {
    for (std::size_t w = 0; w < windows_; ++w) {
      const std::size_t at = (t * windows_ + w) * stage.in_features;
      kernels_.dropout(mask.key, mask.dropped_below, mask.kept_factor,
                       DropoutMask::Index(stage, dropout_.first + w, t, 0), stage.in_features,
                       in + at, out + at);
    }
  }
}

// gates (rows x 4 units) = bias + in * W.
void Pass::LstmInputs(const Stage& stage, const float* p, const float* in, std::size_t rows,
                      float* gates) {
  const std::size_t width = 4 * stage.layer.units;
  kernels_.fill_rows(rows, width, p + stage.bias, gates, width);
  Gemm(false, false, rows, width, stage.in_features, in, stage.in_features, p + stage.weight, width,
       true, gates, width);
}

void Pass::LstmRecurrence(const Stage& stage, const float* p, StageMemory& memory) {
  const std::size_t units = stage.layer.units, step = windows_ * units;
  if (windows_ == 1 &&
      kernels_.recurrence(stage.in_ticks, units, p + stage.recurrent, memory.gates.get(),
                          memory.cells.get(), memory.tanh_cells.get(), memory.out.get())) {
    return;
  }
  kernels_.pack(false, units, 4 * units, p + stage.recurrent, 4 * units, memory.recurrent.get());
  for (std::size_t t = 0; t < stage.in_ticks; ++t) {
    float* const now = memory.gates.get() + t * 4 * step;
    float* const out = memory.out.get() + t * step;
    const float* before = nullptr;
    if (t > 0) {
      kernels_.packed_gemm(windows_, 4 * units, units, out - step, units, memory.recurrent.get(),
                           true, now, 4 * units);
      before = memory.cells.get() + (t - 1) * step;
    }
    kernels_.lstm(windows_, units, now, before, memory.cells.get() + t * step,
                  memory.tanh_cells.get() + t * step, out);
  }
}

void Pass::LstmForward(std::size_t i, const float* p, const float* in) {
  const Stage& stage = network_.trunk()[i];
  LstmInputs(stage, p, in, stage.in_ticks * windows_, stages_[i].gates.get());
  LstmRecurrence(stage, p, stages_[i]);
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
      LstmForward(i, p, in);
      break;
    case LayerKind::kLastTick:
      memory.result = in + (stage.in_ticks - 1) * windows_ * stage.in_features;
      break;
    case LayerKind::kDropout:
      if (dropout_.on) {
        DropoutRows(stage, 0, in, memory.out.get());
      } else {
        memory.result = in;
      }
      break;
    case LayerKind::kConv:
    case LayerKind::kPool:
      break;  // in the front
  }
}

void Pass::LstmBackward(std::size_t i, const float* p, const float* in, float* d, float* d_in,
                        float* g) {
  const Stage& stage = network_.trunk()[i];
  StageMemory& memory = stages_[i];
  const std::size_t units = stage.layer.units, step = windows_ * units;
  const std::size_t first = FirstTick(stage);
  float* const gates = memory.gates.get();
  kernels_.pack(true, 4 * units, units, p + stage.recurrent, 4 * units, memory.recurrent.get());
  std::fill_n(memory.d_cells.get(), step, 0.0f);
  for (std::size_t t = stage.in_ticks; t-- > first;) {
    kernels_.lstm_backward(windows_, units, gates + t * 4 * step,
                           t > 0 ? memory.cells.get() + (t - 1) * step : nullptr,
                           memory.tanh_cells.get() + t * step, d + t * step, memory.d_cells.get());
    if (t > first) {
      kernels_.packed_gemm(windows_, units, 4 * units, gates + t * 4 * step, 4 * units,
                           memory.recurrent.get(), true, d + (t - 1) * step, units);
    }
  }
  // The rows whose gates have a gradient, and those that had a state before them.
  const std::size_t at = first * windows_, rows = stage.in_ticks * windows_ - at;
  const std::size_t second = std::max<std::size_t>(first, 1);
  const float* const d_gates = gates + at * 4 * units;
  kernels_.add_columns(rows, 4 * units, d_gates, 4 * units, g + stage.bias);
  Gemm(true, false, stage.in_features, 4 * units, rows, in + at * stage.in_features,
       stage.in_features, d_gates, 4 * units, true, g + stage.weight, 4 * units);
  Gemm(true, false, units, 4 * units, (stage.in_ticks - second) * windows_,
       memory.out.get() + (second - 1) * step, units, gates + second * 4 * step, 4 * units, true,
       g + stage.recurrent, 4 * units);
  if (d_in == nullptr) return;
  Gemm(false, true, rows, stage.in_features, 4 * units, d_gates, 4 * units, p + stage.weight,
       4 * units, false, d_in + at * stage.in_features, stage.in_features);
}

float* Pass::StageBackward(std::size_t i, const float* p, const float* in, float* d, float* g) {
  const Stage& stage = network_.trunk()[i];
  StageMemory& memory = stages_[i];
  const std::size_t at = FirstTick(stage) * windows_, rows = stage.in_ticks * windows_ - at;
  float* const d_in = i > first_after_front_ ? memory.d_in.get() : d_features_.get();
  switch (stage.layer.kind) {
    case LayerKind::kDense: {
      float* const d_out = d + at * stage.out_features;
      kernels_.activate_backward(ToKernel(stage.layer.activation), rows * stage.out_features,
                                 memory.out.get() + at * stage.out_features, d_out);
      kernels_.add_columns(rows, stage.out_features, d_out, stage.out_features, g + stage.bias);
      Gemm(true, false, stage.in_features, stage.out_features, rows, in + at * stage.in_features,
           stage.in_features, d_out, stage.out_features, true, g + stage.weight,
           stage.out_features);
      if (d_in == nullptr) return nullptr;
      Gemm(false, true, rows, stage.in_features, stage.out_features, d_out, stage.out_features,
           p + stage.weight, stage.out_features, false, d_in + at * stage.in_features,
           stage.in_features);
      return d_in;
    }
    case LayerKind::kLstm:
      LstmBackward(i, p, in, d, d_in, g);
      return d_in;
    case LayerKind::kLastTick: {
      if (d_in == nullptr) return nullptr;
      const std::size_t before = (stage.in_ticks - 1) * windows_ * stage.in_features;
      std::fill_n(d_in, before, 0.0f);
      std::copy_n(d, windows_ * stage.in_features, d_in + before);
      return d_in;
    }
    case LayerKind::kDropout:
      if (dropout_.on) DropoutRows(stage, FirstTick(stage), d, d);
      if (d_in == nullptr) return nullptr;
      std::copy_n(d + at * stage.in_features, rows * stage.in_features,
                  d_in + at * stage.in_features);
      return d_in;
    case LayerKind::kConv:
    case LayerKind::kPool:
      break;
  }
  return nullptr;
}

// ---- All of it.

void Pass::TrunkFrontForward(const float* p) {
  const std::size_t values = network_.window_values() / network_.config().ticks;
  for (std::size_t t = 0; t < network_.config().ticks; ++t) {
    for (std::size_t w = 0; w < windows_; ++w) {
      float* const out = features_.get() + (t * windows_ + w) * tick_features_;
      if (first_after_front_ == 0) {
        std::copy_n(TickInputs(t, w), values, out);
      } else {
        FrontForward(trunk_front_, p, TickInputs(t, w), out);
      }
    }
  }
}

void Pass::TrunkFrontBackward(const float* p, float* d, float* g) {
  for (std::size_t t = carried_; t < network_.config().ticks; ++t) {
    for (std::size_t w = 0; w < windows_; ++w) {
      const std::size_t row = (t * windows_ + w) * tick_features_;
      FrontBackward(trunk_front_, p, TickInputs(t, w), features_.get() + row, d + row, g);
    }
  }
}

// Stages from `first` on, whose inputs are there.
void Pass::TrunkForward(std::size_t first, const float* p, const float* in) {
  for (std::size_t i = first; i < network_.trunk().size(); ++i) {
    StageForward(i, p, in);
    in = stages_[i].result;
  }
  context_ = in;
}

void Pass::Forward(const float* p, const float* inputs, std::size_t windows, const Dropout& dropout,
                   float* logits) {
  SEER_DCHECK(windows > 0 && windows <= max_windows_);
  windows_ = windows;
  dropout_ = dropout;
  inputs_ = inputs;
  if (!network_.trunk().empty()) {
    TrunkFrontForward(p);
    TrunkForward(first_after_front_, p, features_.get());
  }
  if (network_.config().head == HeadKind::kShared) {
    const std::size_t each = network_.services() * network_.local_channels();
    for (std::size_t w = 0; w < windows; ++w) LocalForward(p, w, local_.get() + w * each);
  }
  HeadForward(p, logits);
}

void Pass::TickForward(const float* p, const float* tick, float* values) {
  if (network_.trunk().empty()) return;
  float* last = features_.get();
  if (first_after_front_ == 0) {
    std::copy_n(tick, tick_features_, last);
  } else {
    FrontForward(trunk_front_, p, tick, last);
  }
  for (std::size_t i = first_after_front_; i < tick_end_; ++i) {
    const Stage& stage = network_.trunk()[i];
    if (stage.layer.kind != LayerKind::kDense) continue;  // a dropout
    float* const out = stages_[i].out.get();
    kernels_.fill_rows(1, stage.out_features, p + stage.bias, out, stage.out_features);
    Gemm(false, false, 1, stage.out_features, stage.in_features, last, stage.in_features,
         p + stage.weight, stage.out_features, true, out, stage.out_features);
    kernels_.activate(ToKernel(stage.layer.activation), stage.out_features, out);
    last = out;
  }
  if (tick_end_ < network_.trunk().size() &&
      network_.trunk()[tick_end_].layer.kind == LayerKind::kLstm) {
    LstmInputs(network_.trunk()[tick_end_], p, last, 1, values);
  } else {
    std::copy_n(last, tick_values_, values);
  }
}

void Pass::ForwardFromTicks(const float* p, const float* values, const float* window,
                            float* logits) {
  windows_ = 1;
  dropout_ = {};
  inputs_ = window;
  if (!network_.trunk().empty()) {
    const float* last = values;
    std::size_t next = tick_end_;
    if (next < network_.trunk().size() && network_.trunk()[next].layer.kind == LayerKind::kLstm) {
      const Stage& stage = network_.trunk()[next];
      // The recurrence adds to the sums where they stand.
      std::copy_n(values, stage.in_ticks * tick_values_, stages_[next].gates.get());
      LstmRecurrence(stage, p, stages_[next]);
      last = stages_[next].out.get();
      ++next;
    }
    TrunkForward(next, p, last);
  }
  if (network_.config().head == HeadKind::kShared) LocalForward(p, 0, local_.get());
  HeadForward(p, logits);
}

void Pass::Backward(const float* p, const float* d_logits, std::size_t carried, float* g) {
  SEER_DCHECK(training_ && carried < network_.config().ticks);
  carried_ = carried;
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
  std::fill_n(d, carried_ * windows_ * tick_features_, 0.0f);
  TrunkFrontBackward(p, d, g);
}

}  // namespace internal
SEER_END_NAMESPACE
