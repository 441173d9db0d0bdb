#include "nn/onednn_pass.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <unordered_map>
#include <utility>

#include "nn/onednn_shim.h"

SEER_BEGIN_NAMESPACE
namespace internal {
namespace onednn {
namespace {

using dnnl::memory;
using Tag = memory::format_tag;

Desc Plain(Dims dims, Tag tag) { return {std::move(dims), memory::data_type::f32, tag}; }
Desc AnyOrder(Dims dims) { return Plain(std::move(dims), Tag::any); }
Dims::value_type Dim(std::size_t n) { return static_cast<Dims::value_type>(n); }
// oneDNN takes pointers to what it only reads as if it wrote.
void Point(memory* to, const float* values) { to->set_data_handle(const_cast<float*>(values)); }
memory At(const dnnl::engine& engine, const Desc& desc, const float* values) {
  return {desc, engine, const_cast<float*>(values)};
}
Attributes WithScratch() {
  Attributes attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attributes;
}
void Clear(const memory& values) {
  std::memset(values.get_data_handle(), 0, values.get_desc().get_size());
}

}  // namespace

Converted::Converted(const dnnl::engine& engine, const Desc& plain, const Desc& wanted,
                     bool constant)
    : plain_(plain, engine), same_(plain == wanted), constant_(constant) {
  if (same_) return;
  wanted_ = memory(wanted, engine);
  const Attributes attributes = WithScratch();
  to_wanted_ = Step<dnnl::reorder>({engine, plain, engine, wanted, attributes});
  to_plain_ = Step<dnnl::reorder>({engine, wanted, engine, plain, attributes});
}
const memory& Converted::From(const dnnl::stream& stream, const float* values) {
  if (same_) {
    Point(&plain_, values);
    return plain_;
  }
  if (constant_ && done_) return wanted_;
  done_ = true;
  void* const own = plain_.get_data_handle();
  Point(&plain_, values);
  to_wanted_.Run(stream, {{DNNL_ARG_FROM, plain_}, {DNNL_ARG_TO, wanted_}});
  plain_.set_data_handle(own);
  return wanted_;
}
const memory& Converted::Zeros() {
  memory& values = same_ ? plain_ : wanted_;
  Clear(values);
  return values;
}
void Converted::AddTo(const dnnl::stream& stream, float* sums) {
  if (!same_) to_plain_.Run(stream, {{DNNL_ARG_FROM, wanted_}, {DNNL_ARG_TO, plain_}});
  const float* const values = static_cast<const float*>(plain_.get_data_handle());
  const std::size_t count = plain_.get_desc().get_size() / sizeof(float);
  for (std::size_t i = 0; i < count; ++i) sums[i] += values[i];
}

// ---- Convolutions. oneDNN wants a tensor without gaps, so that several blocks of services are
// copied out of their rows and back.

struct ConvChain::Block {
  std::size_t in_at, in_values, out_at, out_values;  // within a row
  memory src, dst, d_src, d_dst;
  Floats in, out, d_in, d_out;  // of several blocks
  Step<dnnl::convolution_forward> forward;
  Step<dnnl::convolution_backward_data> backward;
  Step<dnnl::convolution_backward_weights> backward_weights;
  Converted weights, weights_backward, d_weights;
};

struct ConvChain::Layer {
  const Stage* stage;
  bool one;  // block
  std::vector<Block> blocks;
  Floats out, d_out;
  memory bias, d_bias;
  Floats d_bias_values;
};

ConvChain::~ConvChain() = default;
ConvChain::ConvChain(ConvChain&&) noexcept = default;
ConvChain& ConvChain::operator=(ConvChain&&) noexcept = default;

ConvChain::ConvChain(const dnnl::engine& engine, const std::vector<Stage>& stages,
                     std::size_t count, std::size_t rows, bool training)
    : rows_(rows) {
  for (std::size_t i = 0; i < count; ++i) {
    const Stage& stage = stages[i];
    Layer layer;
    layer.stage = &stage;
    layer.one = stage.in_positions.size() == 1;
    layer.out = Floats(rows * stage.out_features);
    if (training) layer.d_out = Floats(rows * stage.out_features);
    layer.d_bias_values = Floats(stage.out_channels);
    const Desc bias = Plain({Dim(stage.out_channels)}, Tag::a);
    layer.bias = At(engine, bias, layer.d_bias_values.get());  // pointed elsewhere before use
    layer.d_bias = At(engine, bias, layer.d_bias_values.get());
    Attributes attributes = WithScratch();
    if (stage.layer.activation == Activation::kRelu) {
      dnnl::post_ops relu;
      AppendRelu(&relu);
      attributes.set_post_ops(relu);
    }
    std::size_t in_at = 0, out_at = 0;
    for (std::size_t b = 0; b < stage.in_positions.size(); ++b) {
      Block block;
      block.in_at = in_at;
      block.out_at = out_at;
      block.in_values = stage.in_positions[b] * stage.in_channels;
      block.out_values = stage.out_positions[b] * stage.out_channels;
      in_at += block.in_values;
      out_at += block.out_values;
      if (!layer.one) {
        block.in = Floats(rows * block.in_values);
        block.out = Floats(rows * block.out_values);
        if (training) {
          block.d_in = Floats(rows * block.in_values);
          block.d_out = Floats(rows * block.out_values);
        }
      }
      ConvDescs d;
      d.src = Plain({Dim(rows), Dim(stage.in_channels), Dim(stage.in_positions[b])}, Tag::nwc);
      d.dst = Plain({Dim(rows), Dim(stage.out_channels), Dim(stage.out_positions[b])}, Tag::nwc);
      const Dims shape = {Dim(stage.out_channels), Dim(stage.in_channels), Dim(stage.layer.kernel)};
      d.weights = AnyOrder(shape);
      d.bias = bias;
      d.strides = {Dim(stage.layer.stride)};
      d.padding = {Dim(stage.layer.padding)};
      const Desc plain = Plain(shape, Tag::wio);
      const auto forward = ConvForward(
          engine, training ? dnnl::prop_kind::forward_training : dnnl::prop_kind::forward_inference,
          d, attributes);
      block.forward = Step<dnnl::convolution_forward>(forward);
      block.weights = Converted(engine, plain, forward.weights_desc(), !training);
      const float* const somewhere = layer.out.get();
      block.src = At(engine, d.src, layer.one ? somewhere : block.in.get());
      block.dst = At(engine, d.dst, layer.one ? layer.out.get() : block.out.get());
      if (training) {
        const auto weights = ConvBackwardWeights(engine, d, forward, WithScratch());
        block.backward_weights = Step<dnnl::convolution_backward_weights>(weights);
        block.d_weights = Converted(engine, plain, weights.diff_weights_desc());
        block.d_dst = At(engine, d.dst, layer.one ? layer.d_out.get() : block.d_out.get());
        if (i > 0) {
          const auto data = ConvBackwardData(engine, d, forward, WithScratch());
          block.backward = Step<dnnl::convolution_backward_data>(data);
          block.weights_backward = Converted(engine, plain, data.weights_desc());
          block.d_src =
              At(engine, d.src, layer.one ? layers_[i - 1].d_out.get() : block.d_in.get());
        }
      }
      layer.blocks.push_back(std::move(block));
    }
    layers_.push_back(std::move(layer));
  }
}

namespace {

// Between rows of `width` values and a block of them without gaps.
void Gather(std::size_t rows, const float* from, std::size_t width, std::size_t at, std::size_t n,
            float* block) {
  for (std::size_t r = 0; r < rows; ++r) std::copy_n(from + r * width + at, n, block + r * n);
}
void Scatter(std::size_t rows, const float* block, std::size_t n, float* to, std::size_t width,
             std::size_t at) {
  for (std::size_t r = 0; r < rows; ++r) std::copy_n(block + r * n, n, to + r * width + at);
}

}  // namespace

const float* ConvChain::Forward(const dnnl::stream& stream, const Kernels& kernels, const float* p,
                                const float* in) {
  for (Layer& layer : layers_) {
    const Stage& stage = *layer.stage;
    Point(&layer.bias, p + stage.bias);
    for (Block& block : layer.blocks) {
      if (layer.one) {
        Point(&block.src, in);
      } else {
        Gather(rows_, in, stage.in_features, block.in_at, block.in_values, block.in.get());
      }
      block.forward.Run(stream, {{DNNL_ARG_SRC, block.src},
                                 {DNNL_ARG_WEIGHTS, block.weights.From(stream, p + stage.weight)},
                                 {DNNL_ARG_BIAS, layer.bias},
                                 {DNNL_ARG_DST, block.dst}});
      if (!layer.one) {
        Scatter(rows_, block.out.get(), block.out_values, layer.out.get(), stage.out_features,
                block.out_at);
      }
    }
    if (stage.layer.activation != Activation::kRelu) {  // that is in the primitive
      kernels.activate(ToKernel(stage.layer.activation), layer.out.size(), layer.out.get());
    }
    in = layer.out.get();
  }
  return in;
}

void ConvChain::Backward(const dnnl::stream& stream, const Kernels& kernels, const float* p,
                         const float* in, const float* d, float* g) {
  std::copy_n(d, layers_.back().d_out.size(), layers_.back().d_out.get());
  for (std::size_t i = layers_.size(); i-- > 0;) {
    Layer& layer = layers_[i];
    const Stage& stage = *layer.stage;
    kernels.activate_backward(ToKernel(stage.layer.activation), layer.out.size(), layer.out.get(),
                              layer.d_out.get());
    const float* const from = i == 0 ? in : layers_[i - 1].out.get();
    for (Block& block : layer.blocks) {
      if (layer.one) {
        Point(&block.src, from);
      } else {
        Gather(rows_, from, stage.in_features, block.in_at, block.in_values, block.in.get());
        Gather(rows_, layer.d_out.get(), stage.out_features, block.out_at, block.out_values,
               block.d_out.get());
      }
      block.backward_weights.Run(stream, {{DNNL_ARG_SRC, block.src},
                                          {DNNL_ARG_DIFF_DST, block.d_dst},
                                          {DNNL_ARG_DIFF_WEIGHTS, block.d_weights.Zeros()},
                                          {DNNL_ARG_DIFF_BIAS, layer.d_bias}});
      block.d_weights.AddTo(stream, g + stage.weight);
      for (std::size_t u = 0; u < stage.out_channels; ++u) {
        g[stage.bias + u] += layer.d_bias_values.get()[u];
      }
      if (i == 0) continue;
      block.backward.Run(stream,
                         {{DNNL_ARG_DIFF_DST, block.d_dst},
                          {DNNL_ARG_WEIGHTS, block.weights_backward.From(stream, p + stage.weight)},
                          {DNNL_ARG_DIFF_SRC, block.d_src}});
      if (!layer.one) {
        Scatter(rows_, block.d_in.get(), block.in_values, layers_[i - 1].d_out.get(),
                stage.in_features, block.in_at);
      }
    }
  }
}

// ---- LSTM. Gates in oneDNN's order i, f, candidate, o, which is seer's.

struct Lstm {
  Lstm(const dnnl::engine& engine, const Stage& s, std::size_t windows, bool training)
      : stage(s),
        nothing(s.in_ticks * windows * std::max<std::size_t>(s.in_features, s.layer.units)) {
    const auto ticks = Dim(stage.in_ticks), rows = Dim(windows), in = Dim(stage.in_features);
    const auto units = Dim(stage.layer.units);
    LstmDescs d;
    d.src = Plain({ticks, rows, in}, Tag::tnc);
    d.dst = Plain({ticks, rows, units}, Tag::tnc);
    d.iter = Plain({1, 1, rows, units}, Tag::ldnc);
    d.bias = Plain({1, 1, 4, units}, Tag::ldgo);
    const Dims layer = {1, 1, in, 4, units}, iter = {1, 1, units, 4, units};
    d.weights = AnyOrder(layer);
    d.weights_iter = AnyOrder(iter);
    const Desc plain = Plain(layer, Tag::ldigo), plain_iter = Plain(iter, Tag::ldigo);
    const auto described = LstmForward(
        engine, training ? dnnl::prop_kind::forward_training : dnnl::prop_kind::forward_inference,
        d, WithScratch());
    forward = Step<dnnl::lstm_forward>(described);
    weights = Converted(engine, plain, described.weights_layer_desc(), !training);
    weights_iter = Converted(engine, plain_iter, described.weights_iter_desc(), !training);
    src = At(engine, d.src, nothing.get());
    dst = At(engine, d.dst, nothing.get());
    bias = At(engine, d.bias, nothing.get());
    zeros = memory(d.iter, engine);
    Clear(zeros);
    last_h = memory(d.iter, engine);
    last_c = memory(d.iter, engine);
    if (!training) return;
    workspace = memory(described.workspace_desc(), engine);
    const auto back = LstmBackward(engine, d, described, WithScratch());
    backward = Step<dnnl::lstm_backward>(back);
    weights_back = Converted(engine, plain, back.weights_layer_desc());
    weights_iter_back = Converted(engine, plain_iter, back.weights_iter_desc());
    d_weights = Converted(engine, plain, back.diff_weights_layer_desc());
    d_weights_iter = Converted(engine, plain_iter, back.diff_weights_iter_desc());
    d_bias = Converted(engine, d.bias, back.diff_bias_desc());
    d_src = At(engine, d.src, nothing.get());
    d_dst = At(engine, d.dst, nothing.get());
    d_first_h = memory(d.iter, engine);
    d_first_c = memory(d.iter, engine);
  }

  void Forward(const dnnl::stream& stream, const float* p, const float* in, float* out) {
    Point(&src, in);
    Point(&dst, out);
    Point(&bias, p + stage.bias);
    std::unordered_map<int, memory> values = {
        {DNNL_ARG_SRC_LAYER, src},
        {DNNL_ARG_SRC_ITER, zeros},
        {DNNL_ARG_SRC_ITER_C, zeros},
        {DNNL_ARG_WEIGHTS_LAYER, weights.From(stream, p + stage.weight)},
        {DNNL_ARG_WEIGHTS_ITER, weights_iter.From(stream, p + stage.recurrent)},
        {DNNL_ARG_BIAS, bias},
        {DNNL_ARG_DST_LAYER, dst},
        {DNNL_ARG_DST_ITER, last_h},
        {DNNL_ARG_DST_ITER_C, last_c}};
    if (workspace) values.emplace(DNNL_ARG_WORKSPACE, workspace);
    forward.Run(stream, values);
  }

  void Backward(const dnnl::stream& stream, const float* p, const float* in, const float* out,
                const float* d, float* d_in, float* g) {
    Point(&src, in);
    Point(&dst, out);
    Point(&bias, p + stage.bias);
    Point(&d_dst, d);
    Point(&d_src, d_in == nullptr ? nothing.get() : d_in);
    backward.Run(stream,
                 {{DNNL_ARG_SRC_LAYER, src},
                  {DNNL_ARG_SRC_ITER, zeros},
                  {DNNL_ARG_SRC_ITER_C, zeros},
                  {DNNL_ARG_WEIGHTS_LAYER, weights_back.From(stream, p + stage.weight)},
                  {DNNL_ARG_WEIGHTS_ITER, weights_iter_back.From(stream, p + stage.recurrent)},
                  {DNNL_ARG_BIAS, bias},
                  {DNNL_ARG_DST_LAYER, dst},
                  {DNNL_ARG_DST_ITER, last_h},
                  {DNNL_ARG_DST_ITER_C, last_c},
                  {DNNL_ARG_WORKSPACE, workspace},
                  {DNNL_ARG_DIFF_SRC_LAYER, d_src},
                  {DNNL_ARG_DIFF_SRC_ITER, d_first_h},
                  {DNNL_ARG_DIFF_SRC_ITER_C, d_first_c},
                  {DNNL_ARG_DIFF_WEIGHTS_LAYER, d_weights.Zeros()},
                  {DNNL_ARG_DIFF_WEIGHTS_ITER, d_weights_iter.Zeros()},
                  {DNNL_ARG_DIFF_BIAS, d_bias.Zeros()},
                  {DNNL_ARG_DIFF_DST_LAYER, d_dst},
                  {DNNL_ARG_DIFF_DST_ITER, zeros},
                  {DNNL_ARG_DIFF_DST_ITER_C, zeros}});
    d_weights.AddTo(stream, g + stage.weight);
    d_weights_iter.AddTo(stream, g + stage.recurrent);
    d_bias.AddTo(stream, g + stage.bias);
  }

  const Stage& stage;
  Floats nothing;  // where nobody reads
  Step<dnnl::lstm_forward> forward;
  Step<dnnl::lstm_backward> backward;
  memory src, dst, bias, zeros, last_h, last_c, workspace, d_src, d_dst, d_first_h, d_first_c;
  Converted weights, weights_iter, weights_back, weights_iter_back, d_weights, d_weights_iter,
      d_bias;
};

}  // namespace onednn

// ---- The pass.

OnednnPass::~OnednnPass() = default;

OnednnPass::OnednnPass(const Network& network, const Kernels& kernels, std::size_t windows,
                       bool training)
    : Pass(network, kernels, windows, training),
      engine_(dnnl::engine::kind::cpu, 0),
      stream_(engine_),
      windows_(windows),
      lstms_(network.trunk().size()) {
  const auto chain = [&](const std::vector<Stage>& stages, std::size_t rows) {
    std::size_t count = 0;
    while (count < stages.size() && stages[count].layer.kind == LayerKind::kConv) ++count;
    std::vector<onednn::ConvChain> chains;
    if (count > 0) chains.emplace_back(engine_, stages, count, rows, training);
    return chains;
  };
  const std::size_t rows = network.config().ticks * windows;
  trunk_ = chain(network.trunk(), rows);
  local_ = chain(network.local(), 1);
  if (!network.trunk().empty()) rows_ = Floats(rows * network.trunk()[0].in_features);
  for (std::size_t i = 0; i < network.trunk().size(); ++i) {
    const Stage& stage = network.trunk()[i];
    if (stage.layer.kind == LayerKind::kPool) {
      pool_ = &stage;
      if (training) d_rows_ = Floats(rows * stage.in_features);
    }
    if (stage.layer.kind == LayerKind::kLstm) {
      lstms_[i] = std::make_unique<onednn::Lstm>(engine_, stage, windows, training);
    }
  }
}

void OnednnPass::TrunkFrontForward(const float* p) {
  SEER_DCHECK(windows() == windows_);
  const std::size_t values = network().trunk()[0].in_features;
  const std::size_t rows = network().config().ticks * windows_;
  for (std::size_t t = 0; t < network().config().ticks; ++t) {
    for (std::size_t w = 0; w < windows_; ++w) {
      std::copy_n(TickInputs(t, w), values, rows_.get() + (t * windows_ + w) * values);
    }
  }
  last_ = trunk_.empty() ? rows_.get() : trunk_[0].Forward(stream_, kernels(), p, rows_.get());
  if (pool_ == nullptr) {
    std::copy_n(last_, rows * tick_features(), features().get());
    return;
  }
  for (std::size_t r = 0; r < rows; ++r) {
    PoolForward(*pool_, last_ + r * pool_->in_features, features().get() + r * tick_features());
  }
}

void OnednnPass::TrunkFrontBackward(const float* p, float* d, float* g) {
  if (trunk_.empty()) return;
  if (pool_ != nullptr) {
    const std::size_t rows = network().config().ticks * windows_;
    for (std::size_t r = 0; r < rows; ++r) {
      const std::size_t at = r * pool_->in_features;
      PoolBackward(*pool_, last_ + at, d + r * tick_features(), d_rows_.get() + at);
    }
    d = d_rows_.get();
  }
  trunk_[0].Backward(stream_, kernels(), p, rows_.get(), d, g);
}

void OnednnPass::LocalForward(const float* p, std::size_t window, float* out) {
  const float* const values = local_[0].Forward(stream_, kernels(), p, StackTicks(window));
  std::copy_n(values, network().services() * network().local_channels(), out);
}

void OnednnPass::LocalBackward(const float* p, std::size_t window, const float*, float* d,
                               float* g) {
  const float* const in = StackTicks(window);
  local_[0].Forward(stream_, kernels(), p, in);  // of this window again: another came behind it
  local_[0].Backward(stream_, kernels(), p, in, d, g);
}

void OnednnPass::LstmForward(std::size_t i, const float* p, const float* in) {
  lstms_[i]->Forward(stream_, p, in, stage_memory(i).out.get());
}

void OnednnPass::LstmBackward(std::size_t i, const float* p, const float* in, float* d, float* d_in,
                              float* g) {
  if (FirstTick(network().trunk()[i]) > 0) {
    // oneDNN's way back begins at the first tick. The kernels want what they keep on the way there.
    Pass::LstmForward(i, p, in);
    Pass::LstmBackward(i, p, in, d, d_in, g);
    return;
  }
  lstms_[i]->Backward(stream_, p, in, stage_memory(i).out.get(), d, d_in, g);
}

Kernels WithOnednnProducts(const Kernels& kernels) {
  Kernels with = kernels;
  with.gemm = [](bool a_transposed, bool b_transposed, std::size_t m, std::size_t n, std::size_t k,
                 const float* a, std::size_t lda, const float* b, std::size_t ldb, bool add,
                 float* c, std::size_t ldc, float*) {
    const auto dim = [](std::size_t size) { return static_cast<dnnl_dim_t>(size); };
    if (m == 0 || n == 0) return;
    const dnnl_status_t status =
        k == 0 ? dnnl_runtime_error
               : dnnl_sgemm(a_transposed ? 'T' : 'N', b_transposed ? 'T' : 'N', dim(m), dim(n),
                            dim(k), 1.0f, a, dim(lda), b, dim(ldb), add ? 1.0f : 0.0f, c, dim(ldc));
    if (status == dnnl_success || (k == 0 && add)) return;
    for (std::size_t i = 0; i < m; ++i) std::fill_n(c + i * ldc, n, k == 0 ? 0.0f : NAN);
  };
  return with;
}

}  // namespace internal
SEER_END_NAMESPACE
