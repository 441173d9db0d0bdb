#include "seer/nn/optimizer.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "absl/strings/str_cat.h"
#include "nn/finite.h"
#include "nn/flush_denormals.h"

SEER_BEGIN_NAMESPACE
namespace {

absl::Status Wrong(const char* field, const char* fix) {
  return absl::InvalidArgumentError(absl::StrCat("optimizer: ", field, " is out of range: ", fix));
}
bool Within(float value, float low, float high) {
  return internal::IsFinite(value) && value >= low && value <= high;
}

struct Rates {
  float beta1, beta2, step_size, root_of_correction, epsilon, l2, decay, clip;
};
void Adam(std::size_t n, const Rates& rates, const float* gradient, float* mean, float* square,
          float* weights) {
  for (std::size_t i = 0; i < n; ++i) {
    const float g = gradient[i] * rates.clip + rates.l2 * weights[i];
    mean[i] = rates.beta1 * mean[i] + (1 - rates.beta1) * g;
    square[i] = rates.beta2 * square[i] + (1 - rates.beta2) * g * g;
    const float divisor = std::sqrt(square[i]) / rates.root_of_correction + rates.epsilon;
    weights[i] = weights[i] * rates.decay - rates.step_size * mean[i] / divisor;
  }
}

}  // namespace

absl::Status OptimizerOptions::Check() const {
  if (!Within(learning_rate, 0, 10)) return Wrong("learning_rate", "give 0 to 10, often 1e-3");
  if (!Within(beta1, 0, 0.99999f)) return Wrong("beta1", "give 0 to 0.99999, often 0.9");
  if (!Within(beta2, 0, 0.9999999f)) return Wrong("beta2", "give 0 to 0.9999999, often 0.999");
  if (!Within(epsilon, 1e-20f, 1)) return Wrong("epsilon", "give 1e-20 to 1, often 1e-8");
  if (!Within(l2, 0, 1)) return Wrong("l2", "give 0 to 1");
  if (!Within(clip_norm, 0, 1e30f)) return Wrong("clip_norm", "give 0 for none, often 1");
  if (!Within(final_share, 0, 1)) return Wrong("final_share", "give 0 to 1");
  if (!Within(decay_factor, 0, 1)) return Wrong("decay_factor", "give 0 to 1");
  if (decay_steps == 0) return Wrong("decay_steps", "give 1 or more");
  return absl::OkStatus();
}

float OptimizerOptions::RateAt(std::uint64_t step) const {
  if (step < warmup_steps) {
    return learning_rate * static_cast<float>(step + 1) / static_cast<float>(warmup_steps);
  }
  const auto since = static_cast<double>(step - warmup_steps);
  double share = 1;
  switch (schedule) {
    case Schedule::kConstant:
      break;
    case Schedule::kCosine: {
      const double all =
          std::max(1.0, static_cast<double>(total_steps) - static_cast<double>(warmup_steps));
      const double way = std::min(1.0, since / all);
      const auto last = static_cast<double>(final_share);
      share = last + (1 - last) * 0.5 * (1 + std::cos(3.14159265358979323846 * way));
      break;
    }
    case Schedule::kSteps:
      share = std::pow(static_cast<double>(decay_factor),
                       std::floor(since / static_cast<double>(decay_steps)));
      break;
  }
  return learning_rate * static_cast<float>(share);
}

double GradientNorm(absl::Span<const float> gradient) {
  double sum = 0;
  for (std::size_t i = 0; i < gradient.size();) {
    // Eight sums at a time; the order is fixed.
    double part[8] = {};
    const std::size_t end = std::min(gradient.size(), i + 4096);
    for (; i + 8 <= end; i += 8) {
      for (std::size_t j = 0; j < 8; ++j) {
        const auto g = static_cast<double>(gradient[i + j]);
        part[j] += g * g;
      }
    }
    for (; i < end; ++i)
      part[0] += static_cast<double>(gradient[i]) * static_cast<double>(gradient[i]);
    for (double value : part) sum += value;
  }
  return std::sqrt(sum);
}

absl::Status ApplyGradient(const Network& network, const OptimizerOptions& options,
                           absl::Span<const float> gradient, OptimizerState* state,
                           absl::Span<float> parameters, double norm) {
  SEER_DCHECK(gradient.size() == network.parameters() && parameters.size() == gradient.size());
  SEER_DCHECK(state->mean.size() == gradient.size() && state->square.size() == gradient.size());
  if (norm < 0) norm = GradientNorm(gradient);
  // The bits of the float: infinite where the double is not, and a NaN is seen under -ffast-math.
  if (!internal::IsFinite(static_cast<float>(norm))) {
    return absl::InternalError(absl::StrCat(
        "the gradient of step ", state->step,
        " is not finite: lower learning_rate, set clip_norm, or look for extreme inputs"));
  }
  const internal::FlushDenormals flush;  // moments of weights that are not used any more fade away
  const double t = static_cast<double>(state->step + 1);
  const float rate = options.RateAt(state->step);
  Rates rates{};
  rates.beta1 = options.beta1;
  rates.beta2 = options.beta2;
  rates.epsilon = options.epsilon;
  rates.step_size = static_cast<float>(static_cast<double>(rate) /
                                       (1 - std::pow(static_cast<double>(options.beta1), t)));
  rates.root_of_correction =
      static_cast<float>(std::sqrt(1 - std::pow(static_cast<double>(options.beta2), t)));
  rates.clip = 1;
  if (options.clip_norm > 0 && norm > static_cast<double>(options.clip_norm)) {
    rates.clip = static_cast<float>(static_cast<double>(options.clip_norm) / norm);
  }
  for (const Tensor& tensor : network.tensors()) {
    rates.l2 = 0;
    rates.decay = 1;
    if (!tensor.bias && options.kind == OptimizerOptions::Kind::kAdam) rates.l2 = options.l2;
    if (!tensor.bias && options.kind == OptimizerOptions::Kind::kAdamW) {
      rates.decay = 1 - rate * options.l2;
    }
    const std::size_t at = tensor.offset;
    Adam(tensor.size(), rates, gradient.data() + at, state->mean.data() + at,
         state->square.data() + at, parameters.data() + at);
  }
  ++state->step;
  return absl::OkStatus();
}

SEER_END_NAMESPACE
