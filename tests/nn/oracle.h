// The plain loops in double, and a backend held against them.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "nn/loss_math.h"
#include "nn/reference.h"
#include "seer/nn/backend.h"
#include "tests/nn/samples.h"

namespace seer::testing {

inline std::vector<float> Weights(const Network& network, std::uint64_t seed = 5) {
  std::vector<float> weights(network.parameters());
  network.Initialize(seed, absl::MakeSpan(weights));
  return weights;
}

struct Gradients {
  std::vector<double> gradient, logits;
  double loss = 0;
};

// Each window by itself, in double.
inline Gradients Oracle(const Network& network, const std::vector<float>& weights,
                        const TrainingBatch& batch, const StepContext& step) {
  Gradients result;
  const std::vector<double> p(weights.begin(), weights.end());
  const std::vector<double> inputs(batch.inputs.begin(), batch.inputs.end());
  result.gradient.assign(p.size(), 0);
  internal::Reference<double> reference(network);
  std::vector<double> z(network.outputs()), d(network.outputs());
  for (std::size_t w = 0; w < batch.windows; ++w) {
    internal::Reference<double>::Dropout dropout;
    dropout.on = step.dropout;
    dropout.seed = step.dropout_seed;
    dropout.step = step.step;
    dropout.window = w;
    reference.Forward(p.data(), inputs.data() + w * network.window_values(), dropout, z.data());
    const double weight = batch.weight.empty() ? 1 : double{batch.weight[w]};
    result.loss += weight * internal::WindowLoss(network, *step.loss, batch, w, z.data(), d.data());
    result.logits.insert(result.logits.end(), z.begin(), z.end());
    for (double& value : d) value *= weight * double{step.scale};
    reference.Backward(p.data(), d.data(), step.carried_ticks, result.gradient.data());
  }
  return result;
}

inline double Largest(const std::vector<double>& values, std::size_t from, std::size_t count) {
  double largest = 0;
  for (std::size_t i = from; i < from + count; ++i)
    largest = std::max(largest, std::abs(values[i]));
  return largest;
}

// Backends are held against double: outputs within 2e-6 of the largest, gradients within 1e-5 of
// the largest of their tensor.
inline void CompareWithOracle(const Backend& backend, const Network& network, std::size_t windows,
                              bool dropout, double output_tolerance = 2e-6,
                              double gradient_tolerance = 1e-5, std::size_t carried_ticks = 0) {
  const std::vector<float> weights = Weights(network);
  const TrainingBatch batch = MakeBatch(network, windows, 23);
  const LossOptions loss = MakeLoss(network, 1.5f);
  StepContext step;
  step.loss = &loss;
  step.scale = 0.125f;
  step.dropout = dropout;
  step.dropout_seed = 9;
  step.step = 1234567;
  step.carried_ticks = carried_ticks;
  const Gradients expected = Oracle(network, weights, batch, step);
  const double logit_scale = std::max(1.0, Largest(expected.logits, 0, expected.logits.size()));

  auto engine = backend.NewTraining(network, windows);
  ASSERT_TRUE(engine.ok()) << engine.status();
  std::vector<float> gradient(weights.size()), logits(windows * network.outputs());
  LossSum sum;
  // Twice: the second time must add, and depend on nothing that the first has left behind.
  for (int times = 1; times <= 2; ++times) {
    (*engine)->Gradient(weights, batch, 0, windows, step, absl::MakeSpan(gradient),
                        absl::MakeSpan(logits), &sum);
    EXPECT_NEAR(sum.loss, times * expected.loss, 1e-5 * (1 + std::abs(times * expected.loss)));
    for (std::size_t i = 0; i < logits.size(); ++i) {
      ASSERT_NEAR(double{logits[i]}, expected.logits[i], output_tolerance * logit_scale)
          << "logit " << i;
    }
    for (const Tensor& tensor : network.tensors()) {
      const double scale = times * Largest(expected.gradient, tensor.offset, tensor.size());
      for (std::size_t i = tensor.offset; i < tensor.offset + tensor.size(); ++i) {
        ASSERT_NEAR(double{gradient[i]}, times * expected.gradient[i],
                    gradient_tolerance * scale + 1e-7)
            << tensor.name << " value " << i - tensor.offset;
      }
    }
  }
  if (dropout) return;
  InferenceOptions options;
  options.logits = true;
  auto inference = backend.NewInference(network, weights, options);
  ASSERT_TRUE(inference.ok()) << inference.status();
  auto workspace = (*inference)->NewWorkspace(windows);
  ASSERT_TRUE(workspace.ok());
  std::vector<float> out(logits.size());
  ASSERT_TRUE((*inference)->Run(batch.inputs, windows, workspace->get(), absl::MakeSpan(out)).ok());
  for (std::size_t i = 0; i < out.size(); ++i) {
    ASSERT_NEAR(double{out[i]}, expected.logits[i], output_tolerance * logit_scale)
        << "logit " << i;
  }
}

}  // namespace seer::testing
