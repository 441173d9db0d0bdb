#include "nn/native_pass.h"

#include <algorithm>
#include <cstddef>

#include "nn/kernels.h"

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

// Services of a shared head whose hidden units stay in the first cache until they are summed up.
constexpr std::size_t kServicesAtOnce = 64;

// Floats of a row between the front and the first product.
std::size_t FrontRow(const NativeModel& model) {
  const NativeChain& chain = model.trunk;
  if (chain.layers.empty() || chain.pool || model.tick_stages.empty()) return chain.features;
  std::size_t most = 0;
  for (const NativeChain::Piece& piece : chain.pieces) {
    most = std::max(most, (piece.end - piece.begin) * chain.channels);
  }
  return most;
}

// Whether the first product of a tick that comes alone passes over what is 0.
bool SparseTicks(const NativeModel& model) {
  return model.trunk.sparse && !model.tick_stages.empty() &&
         model.stages[model.tick_stages[0]].padded != 0;
}

}  // namespace

std::size_t NativePass::Values(const NativeModel& model, std::size_t at_once) {
  const Network& network = model.network;
  std::size_t row = FrontRow(model) + model.tick_values, window = network.window_values();
  for (const NativeProduct& stage : model.stages) row += stage.ld + stage.units;
  window += network.services() * network.local_channels();
  return at_once * (network.config().ticks * row + window);
}

NativePass::NativePass(const NativeModel& model, std::size_t at_once)
    : model_(model),
      at_once_(std::min(at_once, model.kernels.at_once)),
      outs_(model.stages.size()),
      ticks_(model.stages.size()) {
  const Network& network = model.network;
  const std::size_t rows = at_once_ * network.config().ticks;
  MakeBuffers(model.trunk, &trunk_buffers_);
  MakeBuffers(model.local, &local_buffers_);
  reach_.resize(std::max(model.trunk.layers.size(), model.local.layers.size()));
  if (!network.trunk().empty()) {
    const bool sparse = SparseTicks(model);
    features_ = Floats(std::max(rows * FrontRow(model), sparse ? model.trunk.features : 0));
    values_ = Floats(rows * model.tick_values);
    if (model.trunk.pool) pooled_ = Floats(model.trunk.conv_features);
    if (sparse) {
      list_.resize(model.trunk.features + kListRoom);
      sums_ = Floats(kSparseBlocks * model.stages[model.tick_stages[0]].ld);
    }
  }
  std::size_t gates = 0, states = 0;
  for (std::size_t i = 0; i < network.trunk().size(); ++i) {
    const Stage& stage = network.trunk()[i];
    const NativeProduct& product = model.stages[i];
    if (stage.layer.kind == LayerKind::kDense && i < model.tick_end) {
      ticks_[i] = Floats(rows * product.ld);
    } else if (stage.layer.kind == LayerKind::kDense) {
      outs_[i] = Floats(at_once_ * stage.in_ticks * product.ld);
    } else if (stage.layer.kind == LayerKind::kLstm) {
      outs_[i] = Floats(rows * product.units);
      if (i != model.tick_end) gates = std::max(gates, rows * product.ld);
      states = std::max(states, at_once_ * 3 * product.padded);
      state_size_ += 3 * product.padded;
    }
  }
  gates_ = Floats(gates);
  states_ = Floats(states);
  if (network.config().head != HeadKind::kShared) return;
  const std::size_t channels = network.local_channels();
  stacked_ = Floats(network.window_values());
  local_ = Floats(network.services() * channels);
  const std::size_t panel = 4 * model.kernels.lanes;
  const std::size_t width = (model.context.units + panel - 1) / panel * panel;
  base_ = Floats(width);
  std::fill_n(base_.get(), width, 0.0f);
  hidden_ = Floats(kServicesAtOnce * model.context.units);
}

std::size_t NativePass::bytes() const {
  std::size_t floats = list_.size();
  for (const Floats* one : {&pooled_, &features_, &values_, &gates_, &states_, &stacked_, &local_,
                            &hidden_, &base_, &sums_}) {
    floats += one->size();
  }
  for (const auto* list : {&trunk_buffers_, &local_buffers_, &outs_, &ticks_}) {
    for (const Floats& values : *list) floats += values.size();
  }
  return floats * sizeof(float);
}

// ---- Convolutions.

void NativePass::MakeBuffers(const NativeChain& chain, std::vector<Floats>* buffers) {
  std::vector<std::size_t> sizes(chain.layers.size());
  for (const NativeChain::Piece& piece : chain.pieces) {
    reach_.resize(chain.layers.size());
    PlanPiece(chain, piece, nullptr);
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      const Reach& reach = reach_[i];
      sizes[i] = std::max(
          sizes[i], (reach.before + reach.count + reach.behind) * chain.layers[i].in_channels);
    }
  }
  for (std::size_t size : sizes) buffers->emplace_back(size);
}

// What each layer has to compute for a piece of the last one's positions. The zeros around it are
// put in place here; runs leave them alone.
void NativePass::PlanPiece(const NativeChain& chain, const NativeChain::Piece& piece,
                           std::vector<Floats>* buffers) {
  std::size_t begin = piece.begin, end = piece.end;
  for (std::size_t i = chain.layers.size(); i-- > 0;) {
    const NativeConv& layer = chain.layers[i];
    Reach& reach = reach_[i];
    const std::size_t positions = layer.in_positions[piece.block];
    reach.out_count = end - begin;
    reach.in_block = 0;
    for (std::size_t b = 0; b < piece.block; ++b) reach.in_block += layer.in_positions[b];
    // In positions of the padded input.
    const std::size_t from = begin * layer.stride;
    const std::size_t to = (end - 1) * layer.stride + layer.kernel_size;
    reach.before = from < layer.padding ? std::min(layer.padding, to) - from : 0;
    begin = std::max(from, layer.padding) - layer.padding;
    end = std::min(std::max(to, layer.padding) - layer.padding, positions);
    if (end < begin) end = begin;
    reach.begin = begin;
    reach.count = end - begin;
    reach.behind = to - from - reach.before - reach.count;
    if (buffers == nullptr) continue;
    float* const at = (*buffers)[i].get();
    std::fill_n(at, reach.before * layer.in_channels, 0.0f);
    std::fill_n(at + (reach.before + reach.count) * layer.in_channels,
                reach.behind * layer.in_channels, 0.0f);
  }
}

// in: all services of one tick. out: the piece's positions.
void NativePass::RunPiece(const NativeChain& chain, const float* in, std::vector<Floats>* buffers,
                          float* out) {
  const std::size_t count = chain.layers.size();
  for (std::size_t i = 0; i < count; ++i) {
    const NativeConv& layer = chain.layers[i];
    const Reach& reach = reach_[i];
    const float* from = (*buffers)[i].get();
    if (i == 0) {
      const float* const values = in + (reach.in_block + reach.begin) * layer.in_channels;
      if (reach.before + reach.behind == 0) {
        from = values;
      } else {
        std::copy_n(values, reach.count * layer.in_channels,
                    (*buffers)[0].get() + reach.before * layer.in_channels);
      }
    }
    float* to = out;
    if (i + 1 < count) {
      to = (*buffers)[i + 1].get() + reach_[i + 1].before * layer.kernel.channels;
    }
    model_.kernels.conv(layer.kernel, reach.out_count, from, to);
  }
}

// All features of each row.
void NativePass::Front(const Rows& rows, float* out) {
  const NativeChain& chain = model_.trunk;
  const Network& network = model_.network;
  for (const NativeChain::Piece& piece : chain.pieces) {
    if (chain.pool) break;
    PlanPiece(chain, piece, &trunk_buffers_);
    for (std::size_t r = 0; r < rows.count(); ++r) {
      RunPiece(chain, rows.At(r), &trunk_buffers_, out + r * chain.features + piece.feature);
    }
  }
  if (!chain.pool && !chain.pieces.empty()) return;
  for (std::size_t r = 0; r < rows.count(); ++r) {
    const float* in = rows.At(r);
    for (const NativeChain::Piece& piece : chain.pieces) {
      PlanPiece(chain, piece, &trunk_buffers_);
      RunPiece(chain, in, &trunk_buffers_, pooled_.get() + piece.feature);
    }
    if (!chain.pieces.empty()) in = pooled_.get();
    float* const to = out + r * chain.features;
    if (chain.pool) {
      const std::size_t positions = chain.conv_features / chain.channels;
      model_.kernels.pool(positions, chain.channels, in, to);
    } else {
      std::copy_n(in, network.window_values() / network.config().ticks, to);
    }
  }
}

// ---- What sees one tick only.

void NativePass::Multiply(const NativeProduct& product, std::size_t rows, const float* in,
                          float* out, std::size_t ld) const {
  model_.kernels.product(product.matrix, 0, product.matrix.rows, rows, in, product.matrix.rows,
                         /*add=*/false, product.activation, out, ld);
}

void NativePass::TickRows(const Rows& rows, float* values) {
  const NativeChain& chain = model_.trunk;
  const std::vector<std::size_t>& stages = model_.tick_stages;
  if (stages.empty()) return Front(rows, values);
  const auto target = [&](std::size_t i) {
    return i + 1 == stages.size() ? values : ticks_[stages[i]].get();
  };
  const NativeProduct& first = model_.stages[stages[0]];
  float* last = target(0);
  if (chain.layers.empty() || chain.pool) {
    Front(rows, features_.get());
    Multiply(first, rows.count(), features_.get(), last, first.ld);
  } else if (rows.count() == 1 && SparseTicks(model_)) {
    Front(rows, features_.get());
    model_.kernels.sparse_row(first.matrix, features_.get(), backwards_,
                              {list_.data(), sums_.get()}, last);
    backwards_ = !backwards_;
  } else {
    for (const NativeChain::Piece& piece : chain.pieces) {
      const std::size_t depth = (piece.end - piece.begin) * chain.channels;
      const bool end = piece.feature + depth == chain.features;
      PlanPiece(chain, piece, &trunk_buffers_);
      for (std::size_t r = 0; r < rows.count(); ++r) {
        RunPiece(chain, rows.At(r), &trunk_buffers_, features_.get() + r * depth);
      }
      const bool add = piece.feature > 0;
      model_.kernels.product(first.matrix, piece.feature, depth, rows.count(), features_.get(),
                             depth, add, end ? first.activation : KernelActivation::kNone, last,
                             first.ld);
    }
  }
  for (std::size_t i = 1; i < stages.size(); ++i) {
    float* const out = target(i);
    Multiply(model_.stages[stages[i]], rows.count(), last, out, model_.stages[stages[i]].ld);
    last = out;
  }
}

// ---- The rest.

void NativePass::Rest(const float* values, std::size_t ticks, std::size_t windows, float* state,
                      const float* inputs, float* logits) {
  const Network& network = model_.network;
  const float* last = values;
  for (std::size_t i = model_.tick_end; i < network.trunk().size(); ++i) {
    const Stage& stage = network.trunk()[i];
    const NativeProduct& product = model_.stages[i];
    switch (stage.layer.kind) {
      case LayerKind::kLstm: {
        const float* gates = last;
        if (i != model_.tick_end) {
          Multiply(product, ticks * windows, last, gates_.get(), product.ld);
          gates = gates_.get();
        }
        model_.kernels.recurrence(ticks, windows, product.units, product.recurrent, gates,
                                  /*fresh=*/state == nullptr,
                                  state == nullptr ? states_.get() : state, outs_[i].get());
        if (state != nullptr) state += 3 * windows * product.padded;
        last = outs_[i].get();
        break;
      }
      case LayerKind::kDense:
        Multiply(product, ticks * windows, last, outs_[i].get(), product.ld);
        last = outs_[i].get();
        break;
      case LayerKind::kLastTick:
        last += (ticks - 1) * windows * stage.in_features;
        ticks = 1;
        break;
      case LayerKind::kDropout:
      case LayerKind::kConv:
      case LayerKind::kPool:
        break;
    }
  }
  last_ = last;
  const std::size_t outputs = network.outputs();
  if (network.config().head == HeadKind::kDense) {
    Multiply(model_.weights, windows, last, logits, outputs);
  } else {
    SharedHead(inputs, windows, logits);
  }
  if (network.hazards() > 0) {
    Multiply(model_.hazard, windows, last, logits + network.initiators(), outputs);
  }
}

void NativePass::SharedHead(const float* inputs, std::size_t windows, float* logits) {
  const Network& network = model_.network;
  const NativeKernels& kernels = model_.kernels;
  const std::size_t ticks = network.config().ticks, services = network.services();
  const std::size_t each = network.config().inputs, channels = network.local_channels();
  const std::size_t width = model_.context.units;
  for (std::size_t w = 0; w < windows; ++w) {
    // All ticks of a service side by side.
    const float* const in = inputs + w * network.window_values();
    for (std::size_t s = 0; s < services; ++s) {
      float* const to = stacked_.get() + s * ticks * each;
      for (std::size_t t = 0; t < ticks; ++t) {
        for (std::size_t c = 0; c < each; ++c) {
          to[t * each + c] = in[(t * services + s) * each + c];
        }
      }
    }
    for (const NativeChain::Piece& piece : model_.local.pieces) {
      PlanPiece(model_.local, piece, &local_buffers_);
      RunPiece(model_.local, stacked_.get(), &local_buffers_, local_.get() + piece.feature);
    }
    const float* const context = last_ == nullptr ? &no_context_ : last_ + w * network.context();
    Multiply(model_.context, 1, context, base_.get(), width);
    float* const z = logits + w * network.outputs();
    if (network.config().head_hidden == 0) {
      kernels.dots(services, channels, local_.get(), model_.out, base_.get()[0], z);
    } else {
      PackedMatrix matrix = model_.weights.matrix;
      matrix.bias = base_.get();
      for (std::size_t s = 0; s < services; s += kServicesAtOnce) {
        const std::size_t count = std::min(kServicesAtOnce, services - s);
        kernels.product(matrix, 0, channels, count, local_.get() + s * channels, channels,
                        /*add=*/false, KernelActivation::kTanh, hidden_.get(), width);
        kernels.dots(count, width, hidden_.get(), model_.out, model_.out_bias, z + s);
      }
    }
    if (network.config().extras > 0) {
      Multiply(model_.extras, 1, context, z + services, network.config().extras);
    }
  }
}

// ---- All of it.

void NativePass::Forward(const float* inputs, std::size_t windows, float* logits) {
  const Network& network = model_.network;
  const std::size_t ticks = network.config().ticks, values = network.window_values();
  for (std::size_t w = 0; w < windows; w += at_once_) {
    const std::size_t count = std::min(at_once_, windows - w);
    const float* const in = inputs + w * values;
    if (!network.trunk().empty()) TickRows({in, ticks, count, values / ticks}, values_.get());
    Rest(network.trunk().empty() ? nullptr : values_.get(), ticks, count, nullptr, in,
         logits + w * network.outputs());
  }
}

void NativePass::Tick(const float* ticks, std::size_t windows, float* values) {
  const Network& network = model_.network;
  if (network.trunk().empty()) return;
  TickRows({ticks, 1, windows, network.window_values() / network.config().ticks}, values);
}

void NativePass::FromTicks(const float* values, std::size_t windows, const float* inputs,
                           float* logits) {
  const Network& network = model_.network;
  Rest(network.trunk().empty() ? nullptr : values, network.config().ticks, windows, nullptr, inputs,
       logits);
}

void NativePass::Stream(const float* values, std::size_t windows, const float* inputs, float* state,
                        float* logits) {
  Rest(model_.network.trunk().empty() ? nullptr : values, 1, windows, state, inputs, logits);
}

}  // namespace internal
SEER_END_NAMESPACE
