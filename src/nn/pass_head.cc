// The head of a pass, the local layers in front of it, and the loss behind it.
#include <algorithm>
#include <cstddef>

#include "nn/flush_denormals.h"
#include "nn/loss_math.h"
#include "nn/pass.h"

SEER_BEGIN_NAMESPACE
namespace internal {

const float* Pass::StackTicks(std::size_t window) {
  const std::size_t ticks = network_.config().ticks, services = network_.services();
  const std::size_t each = network_.config().inputs;
  const float* const in = TickInputs(0, window);
  for (std::size_t t = 0; t < ticks; ++t) {
    for (std::size_t s = 0; s < services; ++s) {
      for (std::size_t c = 0; c < each; ++c) {
        stacked_.get()[(s * ticks + t) * each + c] = in[(t * services + s) * each + c];
      }
    }
  }
  return stacked_.get();
}

void Pass::LocalForward(const float* p, std::size_t window, float* out) {
  FrontForward(local_front_, p, StackTicks(window), out);
}
void Pass::LocalBackward(const float* p, std::size_t window, const float* out, float* d, float* g) {
  FrontBackward(local_front_, p, StackTicks(window), out, d, g);
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
    LocalBackward(p, w, local, d_local_.get(), g);
  }
  kernels_.add_columns(windows_, width, base_.get(), width, g + head.bias);
  if (context == 0) return;
  Gemm(true, false, context, width, windows_, context_, context, base_.get(), width, true,
       g + head.context, width);
  Gemm(false, true, windows_, context, width, base_.get(), width, p + head.context, width, true,
       d_context_.get(), context);
}

void PassGradient(const Network& network, Pass* pass, absl::Span<const float> parameters,
                  const TrainingBatch& batch, std::size_t first, std::size_t count,
                  const StepContext& step, absl::Span<float> gradient, absl::Span<float> logits,
                  float* logits_of, float* d_logits, LossSum* sum) {
  const FlushDenormals flush;
  Pass::Dropout dropout;
  dropout.on = step.dropout;
  dropout.seed = step.dropout_seed;
  dropout.step = step.step;
  dropout.first = first;
  pass->Forward(parameters.data(), batch.inputs.data() + first * network.window_values(), count,
                dropout, logits_of);
  const std::size_t outputs = network.outputs();
  for (std::size_t w = 0; w < count; ++w) {
    float* const d = d_logits + w * outputs;
    const float weight = batch.weight.empty() ? 1.0f : batch.weight[first + w];
    const float loss = WindowLoss(network, *step.loss, batch, first + w, logits_of + w * outputs,
                                  gradient.empty() ? nullptr : d);
    sum->loss += double{weight} * double{loss};
    sum->weight += double{weight};
    if (gradient.empty()) continue;
    for (std::size_t i = 0; i < outputs; ++i) d[i] *= weight * step.scale;
  }
  if (!logits.empty()) std::copy_n(logits_of, count * outputs, logits.begin());
  if (!gradient.empty()) {
    pass->Backward(parameters.data(), d_logits, step.carried_ticks, gradient.data());
  }
}

}  // namespace internal
SEER_END_NAMESPACE
