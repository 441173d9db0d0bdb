// Losses, their gradients and the last non-linearities, of one window: for every backend and
// scalar.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "seer/core/config.h"
#include "seer/nn/batch.h"
#include "seer/nn/loss.h"
#include "seer/nn/network.h"

SEER_BEGIN_NAMESPACE
namespace internal {

template <typename Scalar>
Scalar LogSumExp(const Scalar* z, std::size_t n) {
  const Scalar top = *std::max_element(z, z + n);
  Scalar sum = 0;
  for (std::size_t i = 0; i < n; ++i) sum += std::exp(z[i] - top);
  return top + std::log(sum);
}
// log(1 + exp(z)), without overflow.
template <typename Scalar>
Scalar Softplus(Scalar z) {
  return std::max(z, Scalar(0)) + std::log1p(std::exp(-std::abs(z)));
}
template <typename Scalar>
Scalar Logistic(Scalar z) {
  return Scalar(1) / (Scalar(1) + std::exp(-z));
}

// (1 - p)^gamma * -log p, given log p; *slope is its derivative by log p.
template <typename Scalar>
Scalar Focal(Scalar log_p, Scalar gamma, Scalar* slope) {
  if (gamma == 0) {
    *slope = -1;
    return -log_p;
  }
  // 1 - p; at p = 1 the loss and its slope are 0 for gamma >= 1, and for smaller gamma close to it.
  const Scalar rest = std::max(-std::expm1(log_p), Scalar(1e-30));
  const Scalar factor = std::pow(rest, gamma);
  *slope = factor * (gamma * std::exp(log_p) * log_p / rest - 1);
  return -factor * log_p;
}

// The loss of one window from its logits. `gradient`, where not null, becomes the loss's
// derivative.
template <typename Scalar>
Scalar WindowLoss(const Network& network, const LossOptions& options, const TrainingBatch& batch,
                  std::size_t window, const Scalar* logits, Scalar* gradient) {
  const std::size_t n = network.initiators();
  const Scalar gamma = static_cast<Scalar>(options.focal_gamma);
  const auto weight = [&](std::size_t i) {
    return options.output_weights.empty() ? Scalar(1)
                                          : static_cast<Scalar>(options.output_weights[i]);
  };
  if (gradient != nullptr) std::fill(gradient, gradient + network.outputs(), Scalar(0));
  Scalar loss = 0, slope = 0;
  if (!batch.initiator.empty() && batch.initiator[window] >= 0) {
    const auto right = static_cast<std::size_t>(batch.initiator[window]);
    const Scalar all = LogSumExp(logits, n);
    loss += weight(right) * Focal(logits[right] - all, gamma, &slope);
    if (gradient != nullptr) {
      slope *= weight(right);
      for (std::size_t i = 0; i < n; ++i) gradient[i] = -slope * std::exp(logits[i] - all);
      gradient[right] += slope;
    }
  }
  if (!batch.initiators.empty()) {
    for (std::size_t i = 0; i < n; ++i) {
      const auto truth = static_cast<Scalar>(batch.initiators[window * n + i]);
      if (truth < 0) continue;
      const Scalar z = logits[i], p = Logistic(z);
      loss += weight(i) * truth * Focal(-Softplus(-z), gamma, &slope);
      Scalar derivative = truth * slope * (1 - p);
      loss += weight(i) * (1 - truth) * Focal(-Softplus(z), gamma, &slope);
      derivative -= (1 - truth) * slope * p;
      if (gradient != nullptr) gradient[i] = weight(i) * derivative;
    }
  }
  if (!batch.hazard.empty()) {
    const std::size_t classes = network.config().hazard_classes;
    const std::size_t horizons = network.config().hazard_horizons;
    const auto hazard_weight = static_cast<Scalar>(options.hazard_weight);
    for (std::size_t c = 0; c < classes; ++c) {
      const std::int32_t truth = batch.hazard[window * classes + c];
      if (truth < 0) continue;
      const auto first = static_cast<std::size_t>(truth);
      for (std::size_t k = 0; k < std::min(first + 1, horizons); ++k) {
        const std::size_t i = n + c * horizons + k;
        const Scalar z = logits[i];
        loss += hazard_weight * Softplus(k == first ? -z : z);
        if (gradient != nullptr) {
          gradient[i] = hazard_weight * (Logistic(z) - (k == first ? Scalar(1) : Scalar(0)));
        }
      }
    }
  }
  return loss;
}

// Those of the hazards, in place.
template <typename Scalar>
void HazardsToOutputs(const Network& network, Scalar* z) {
  for (std::size_t c = 0; c < network.config().hazard_classes; ++c) {
    Scalar log_none = 0;  // of the probability that nothing has started so far
    for (std::size_t k = 0; k < network.config().hazard_horizons; ++k) {
      Scalar& out = z[c * network.config().hazard_horizons + k];
      log_none -= Softplus(out);
      out = -std::expm1(log_none);
    }
  }
}

// Logits of one window to what InferenceEngine promises, in place.
template <typename Scalar>
void LogitsToOutputs(const Network& network, Scalar* z) {
  const std::size_t n = network.initiators();
  if (network.config().output == OutputKind::kSoftmax) {
    const Scalar top = *std::max_element(z, z + n);
    Scalar sum = 0;
    for (std::size_t i = 0; i < n; ++i) sum += z[i] = std::exp(z[i] - top);
    for (std::size_t i = 0; i < n; ++i) z[i] /= sum;
  } else {
    for (std::size_t i = 0; i < n; ++i) z[i] = Logistic(z[i]);
  }
  HazardsToOutputs(network, z + n);
}

}  // namespace internal
SEER_END_NAMESPACE
