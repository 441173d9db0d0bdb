#include "seer/nn/optimizer.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "absl/strings/str_cat.h"
#include "nn/finite.h"
#include "nn/flush_denormals.h"
#include "nn/kernels.h"
#include "nn/optimizer_step.h"
#include "seer/core/internal/status_macros.h"

SEER_BEGIN_NAMESPACE
namespace {

absl::Status Wrong(const char* field, const char* fix) {
  return absl::InvalidArgumentError(absl::StrCat("optimizer: ", field, " is out of range: ", fix));
}
bool Within(float value, float low, float high) {
  return internal::IsFinite(value) && value >= low && value <= high;
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

namespace internal {

void SquareSums::Add(absl::Span<const float> gradient, std::size_t first, std::size_t last) {
  SEER_DCHECK(gradient.size() == values_ && last <= sums_.size());
  for (std::size_t block = first; block < last; ++block) {
    double part[8] = {};
    std::size_t i = BeginOf(block);
    const std::size_t end = BeginOf(block + 1);
    for (; i + 8 <= end; i += 8) {
      for (std::size_t j = 0; j < 8; ++j) {
        const auto g = static_cast<double>(gradient[i + j]);
        part[j] += g * g;
      }
    }
    for (; i < end; ++i) {
      part[0] += static_cast<double>(gradient[i]) * static_cast<double>(gradient[i]);
    }
    sums_[block] = 0;
    for (double value : part) sums_[block] += value;
  }
}

double SquareSums::Norm() const {
  double sum = 0;
  for (double value : sums_) sum += value;
  return std::sqrt(sum);
}

absl::StatusOr<OptimizerStep> OptimizerStep::Create(const OptimizerOptions& options,
                                                    const OptimizerState& state, double norm) {
  // The bits of the float: infinite where the double is not, and a NaN is seen under -ffast-math.
  if (!IsFinite(static_cast<float>(norm))) {
    return absl::InternalError(absl::StrCat(
        "the gradient of step ", state.step,
        " is not finite: lower learning_rate, set clip_norm, or look for extreme inputs"));
  }
  const double t = static_cast<double>(state.step + 1);
  const float rate = options.RateAt(state.step);
  OptimizerStep step{};
  step.kind_ = options.kind;
  step.beta1_ = options.beta1;
  step.beta2_ = options.beta2;
  step.epsilon_ = options.epsilon;
  step.l2_ = options.l2;
  step.shrink_ = 1 - rate * options.l2;
  step.step_size_ = static_cast<float>(static_cast<double>(rate) /
                                       (1 - std::pow(static_cast<double>(options.beta1), t)));
  step.root_of_correction_ =
      static_cast<float>(std::sqrt(1 - std::pow(static_cast<double>(options.beta2), t)));
  step.clip_ = 1;
  if (options.clip_norm > 0 && norm > static_cast<double>(options.clip_norm)) {
    step.clip_ = static_cast<float>(static_cast<double>(options.clip_norm) / norm);
  }
  return step;
}

void OptimizerStep::Apply(const Network& network, absl::Span<const float> gradient,
                          std::size_t begin, std::size_t end, OptimizerState* state,
                          absl::Span<float> parameters) const {
  const FlushDenormals flush;  // moments of weights that are not used any more fade away
  std::size_t count;
  const Kernels& kernels = *UsableKernels(&count)[0];
  const bool adam = kind_ == OptimizerOptions::Kind::kAdam;
  for (const Tensor& tensor : network.tensors()) {
    const std::size_t from = std::max(begin, tensor.offset);
    const std::size_t to = std::min(end, tensor.offset + tensor.size());
    if (from >= to) continue;
    AdamRates rates = {beta1_, beta2_, step_size_, root_of_correction_, epsilon_, 0, 1, clip_};
    if (!tensor.bias && adam) rates.l2 = l2_;
    if (!tensor.bias && !adam) rates.shrink = shrink_;
    kernels.adam(rates, to - from, gradient.data() + from, state->mean.data() + from,
                 state->square.data() + from, parameters.data() + from);
  }
}

}  // namespace internal

double GradientNorm(absl::Span<const float> gradient) {
  internal::SquareSums sums(gradient.size());
  sums.Add(gradient, 0, sums.blocks());
  return sums.Norm();
}

absl::Status ApplyGradient(const Network& network, const OptimizerOptions& options,
                           absl::Span<const float> gradient, OptimizerState* state,
                           absl::Span<float> parameters, double norm) {
  SEER_DCHECK(gradient.size() == network.parameters() && parameters.size() == gradient.size());
  SEER_DCHECK(state->mean.size() == gradient.size() && state->square.size() == gradient.size());
  if (norm < 0) norm = GradientNorm(gradient);
  SEER_ASSIGN_OR_RETURN(const internal::OptimizerStep step,
                        internal::OptimizerStep::Create(options, *state, norm));
  step.Apply(network, gradient, 0, gradient.size(), state, parameters);
  ++state->step;
  return absl::OkStatus();
}

SEER_END_NAMESPACE
