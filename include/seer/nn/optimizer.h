// Flow: gradient -> [ApplyGradient: Adam, AdamW] -> weights
//
// One step of gradient descent: the norm is clipped, weights decay, Adam moves them.
//
//   seer::OptimizerOptions options;
//   options.learning_rate = 1e-3f;
//   seer::OptimizerState state(network);
//   absl::Status status =
//       seer::ApplyGradient(network, options, gradient, &state, absl::MakeSpan(weights));
//
// Adam as Kingma and Ba have it, with both moments corrected for their start. kAdam adds l2 * w to
// the gradient; kAdamW shrinks w by learning_rate * l2 instead. Biases do not decay.
//
// Threads: functions of their arguments.
// Cost: 5 reads and 3 writes of the size of the weights.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "seer/core/config.h"
#include "seer/nn/network.h"

SEER_BEGIN_NAMESPACE

struct OptimizerOptions {
  enum class Kind : std::uint8_t { kAdam, kAdamW };
  // After the warm-up, during which the rate grows from 0: constant; falling along half a cosine to
  // final_share; or times decay_factor after each decay_steps.
  enum class Schedule : std::uint8_t { kConstant, kCosine, kSteps };

  Kind kind = Kind::kAdam;
  float learning_rate = 1e-3f;
  float beta1 = 0.9f, beta2 = 0.999f, epsilon = 1e-8f;
  float l2 = 0;
  float clip_norm = 0;  // 0: not clipped
  Schedule schedule = Schedule::kConstant;
  std::uint64_t warmup_steps = 0;
  std::uint64_t total_steps = 0;  // kCosine: where final_share is reached; the trainer fills in 0
  float final_share = 0.01f;
  std::uint64_t decay_steps = 1000;
  float decay_factor = 0.5f;

  absl::Status Check() const;  // InvalidArgument names the field
  // Of step 0, 1, ...
  float RateAt(std::uint64_t step) const;
};

struct OptimizerState {
  OptimizerState() = default;
  explicit OptimizerState(const Network& network)
      : mean(network.parameters()), square(network.parameters()) {}
  std::uint64_t step = 0;  // taken so far
  std::vector<float> mean, square;
};

// The norm of all gradients; the same for any number of threads.
double GradientNorm(absl::Span<const float> gradient);

// Internal: the gradient is not finite; nothing was changed. `norm`: of the gradient, where the
// caller has it already; negative: computed here.
absl::Status ApplyGradient(const Network& network, const OptimizerOptions& options,
                           absl::Span<const float> gradient, OptimizerState* state,
                           absl::Span<float> parameters, double norm = -1);

SEER_END_NAMESPACE
