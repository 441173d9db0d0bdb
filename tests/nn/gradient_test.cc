// The gradients of every tensor against central differences, in double.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "nn/loss_math.h"
#include "nn/reference.h"
#include "tests/nn/samples.h"

namespace seer {
namespace {

using testing::Sample;

class Problem {
 public:
  Problem(const Network& network, std::size_t windows, float gamma, std::uint64_t seed)
      : network_(network),
        batch_(testing::MakeBatch(network, windows, seed)),
        loss_(testing::MakeLoss(network, gamma)),
        inputs_(batch_.inputs.begin(), batch_.inputs.end()),
        reference_(network) {}

  double Loss(const std::vector<double>& p) {
    double sum = 0;
    for (std::size_t w = 0; w < batch_.windows; ++w) sum += Forward(p, w, nullptr);
    return sum;
  }
  std::vector<double> Gradient(const std::vector<double>& p) {
    std::vector<double> gradient(p.size()), d(network_.outputs());
    for (std::size_t w = 0; w < batch_.windows; ++w) {
      Forward(p, w, d.data());
      for (double& value : d) value *= double{batch_.weight[w]};
      reference_.Backward(p.data(), d.data(), 0, gradient.data());
    }
    return gradient;
  }

 private:
  double Forward(const std::vector<double>& p, std::size_t w, double* d) {
    internal::Reference<double>::Dropout dropout;
    dropout.on = true;
    dropout.seed = 3;
    dropout.step = 11;
    dropout.window = w;
    std::vector<double> logits(network_.outputs());
    reference_.Forward(p.data(), inputs_.data() + w * network_.window_values(), dropout,
                       logits.data());
    return double{batch_.weight[w]} *
           internal::WindowLoss(network_, loss_, batch_, w, logits.data(), d);
  }

  const Network& network_;
  const TrainingBatch batch_;
  const LossOptions loss_;
  const std::vector<double> inputs_;
  internal::Reference<double> reference_;
};

void CheckGradients(const Network& network, std::size_t windows, float gamma, bool reached) {
  std::vector<float> initial(network.parameters());
  network.Initialize(5, absl::MakeSpan(initial));
  std::vector<double> p(initial.begin(), initial.end());
  Problem problem(network, windows, gamma, 17);
  const std::vector<double> gradient = problem.Gradient(p);
  for (const Tensor& tensor : network.tensors()) {
    SCOPED_TRACE(tensor.name);
    double largest = 0;
    // All of the small tensors, a sample of the large ones that has their first and last values.
    const std::size_t step = std::max<std::size_t>(1, tensor.size() / 60);
    for (std::size_t at = 0; at < tensor.size() + step - 1; at += step) {
      const std::size_t i = std::min(at, tensor.size() - 1);
      double& value = p[tensor.offset + i];
      const double before = value;
      constexpr double kStep = 1e-5;
      value = before + kStep;
      const double above = problem.Loss(p);
      value = before - kStep;
      const double below = problem.Loss(p);
      value = before;
      const double expected = (above - below) / (2 * kStep);
      const double ours = gradient[tensor.offset + i];
      EXPECT_NEAR(ours, expected, std::max(1e-6, 1e-4 * std::abs(expected))) << "value " << i;
      largest = std::max(largest, std::abs(ours));
    }
    if (reached) {
      EXPECT_GT(largest, 0) << "nothing reaches this tensor";
    }
  }
}

// ReLUs and pools have kinks; what is near one by chance would fail. The seeds are such that none
// is.
TEST(Gradient, OfEveryTensorEqualsTheDifferences) {
  for (const Sample& sample : testing::Samples()) {
    for (const std::uint32_t ticks : {1u, 2u, 20u}) {
      for (const std::size_t windows : {std::size_t{1}, std::size_t{3}}) {
        SCOPED_TRACE(sample.name + ", T " + std::to_string(ticks) + ", B " +
                     std::to_string(windows));
        const std::uint32_t inputs = ticks == 20 ? 1 : 2;
        const Network network = testing::MakeNetwork(sample.layers, "7", ticks, inputs);
        // With one window some truth is unknown, with one tick nothing recurs: then 0 is right.
        CheckGradients(network, windows, 0, windows == 3 && ticks > 1);
      }
    }
  }
}

TEST(Gradient, OfTheFocalLossEqualsTheDifferences) {
  for (const Sample& sample : testing::Samples()) {
    for (const float gamma : {0.5f, 2.0f}) {
      SCOPED_TRACE(sample.name + ", gamma " + std::to_string(gamma));
      CheckGradients(testing::MakeNetwork(sample.layers, "7", 3, 1), 3, gamma, true);
    }
  }
}

TEST(Gradient, HoldsForAnyNumberOfServicesAndForBlocks) {
  for (const Sample& sample : testing::Samples()) {
    for (const char* services : {"1", "2", "5", "13", "6 1 3"}) {
      SCOPED_TRACE(sample.name + ", services " + services);
      CheckGradients(testing::MakeNetwork(sample.layers, services, 2, 1), 2, 0, false);
    }
  }
}

// A stream: the state after the first ticks is a constant, wherever it came from.
TEST(Gradient, OfCarriedTicksEqualsTheDifferencesFromAStateThatStays) {
  constexpr std::uint32_t kTicks = 7;
  const std::vector<std::string> layers = {
      "conv units=3 kernel=3 stride=2 padding=1 activation=tanh\ndense units=4 activation=tanh\n"
      "lstm units=5\ndense units=3 activation=sigmoid\nlstm units=4\nlast_tick\n"
      "dense units=6 activation=tanh\nhead kind=dense output=softmax extras=1\n",
      "lstm units=3\nlast_tick\nhead kind=dense output=softmax extras=1\n"
      "hazard classes=1 horizons=2\n"};
  for (const std::string& text : layers) {
    for (const std::uint32_t carried : {1u, 4u, 6u}) {
      SCOPED_TRACE(text + std::to_string(carried));
      const Network whole = testing::MakeNetwork(text, "5", kTicks, 2);
      const Network first = testing::MakeNetwork(text, "5", carried, 2);
      const Network rest = testing::MakeNetwork(text, "5", kTicks - carried, 2);
      const TrainingBatch batch = testing::MakeBatch(whole, 1, 3);
      const LossOptions loss = testing::MakeLoss(whole, 0);
      std::vector<float> initial(whole.parameters());
      whole.Initialize(5, absl::MakeSpan(initial));
      std::vector<double> p(initial.begin(), initial.end()), gradient(p.size());
      const std::vector<double> x(batch.inputs.begin(), batch.inputs.end());
      std::vector<double> z(whole.outputs()), d(whole.outputs());

      internal::Reference<double> all(whole), before(first), after(rest);
      all.Forward(p.data(), x.data(), {}, z.data());
      internal::WindowLoss(whole, loss, batch, 0, z.data(), d.data());
      all.Backward(p.data(), d.data(), carried, gradient.data());
      before.Forward(p.data(), x.data(), {}, z.data());
      after.GoOnFrom(before);
      const auto value = [&] {
        after.Forward(p.data(), x.data() + carried * 10, {}, z.data());
        return internal::WindowLoss(whole, loss, batch, 0, z.data(), static_cast<double*>(nullptr));
      };
      for (std::size_t i = 0; i < p.size(); ++i) {
        constexpr double kStep = 1e-5;
        p[i] += kStep;
        const double above = value();
        p[i] -= 2 * kStep;
        const double below = value();
        p[i] += kStep;
        const double expected = (above - below) / (2 * kStep);
        ASSERT_NEAR(gradient[i], expected, std::max(1e-7, 1e-4 * std::abs(expected))) << i;
      }
    }
  }
}

}  // namespace
}  // namespace seer
