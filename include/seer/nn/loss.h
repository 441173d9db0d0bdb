// Flow: (outputs, truth) -> [LossOptions] -> TrainingEngine
//
// What training makes small. For each window the sum of
//
//   softmax    w[y] * (1 - p[y])^gamma * -log p[y], y the right output
//   sigmoid    over the outputs whose truth t is known, w[i] * (1 - q)^gamma * -log q, where q is
//   the
//              probability of what is true (for t between 0 and 1 both terms, by their share)
//   hazard     hazard_weight * the negative log-likelihood of a discrete survival model:
//   sigmoid(z_k)
//              is the probability that a violation starts within horizon k given none within k - 1
//
// times the window's weight. A batch's loss is the sum over its windows divided by the sum of their
// weights. gamma = 0 is cross-entropy; the focal loss (gamma about 2) spends less on what is easy.
//
// Threads: a plain value.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "seer/core/config.h"
#include "seer/nn/network.h"

SEER_BEGIN_NAMESPACE

struct LossOptions {
  std::vector<float> output_weights;  // w, for each of N + extras; empty: 1 each
  float focal_gamma = 0;              // 0 to 10
  float hazard_weight = 1;

  // InvalidArgument names the field.
  absl::Status Check(const Network& network) const;
};

// What a batch cost; windows whose truth is unknown everywhere count with their weight only.
struct LossSum {
  double loss = 0;    // not yet divided
  double weight = 0;  // of the windows
  double mean() const { return weight > 0 ? loss / weight : 0; }
};

SEER_END_NAMESPACE
