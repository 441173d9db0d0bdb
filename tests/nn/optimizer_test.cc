#include "seer/nn/optimizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "tests/nn/samples.h"

namespace seer {
namespace {

using ::testing::HasSubstr;

Network Small() { return testing::MakeNetwork(testing::Samples()[0].layers, "7", 2, 1); }

// Adam as in the paper, in double, one weight at a time.
TEST(ApplyGradient, IsAdamWithBothMomentsCorrected) {
  for (const auto kind : {OptimizerOptions::Kind::kAdam, OptimizerOptions::Kind::kAdamW}) {
    const Network network = Small();
    OptimizerOptions options;
    options.kind = kind;
    options.learning_rate = 0.01f;
    options.l2 = 0.1f;
    OptimizerState state(network);
    std::vector<float> weights(network.parameters());
    network.Initialize(1, absl::MakeSpan(weights));
    std::vector<double> w(weights.begin(), weights.end()), m(w.size()), v(w.size());
    for (int step = 1; step <= 5; ++step) {
      const auto gradient =
          testing::Uniform(weights.size(), static_cast<std::uint64_t>(step), -1, 1);
      ASSERT_TRUE(ApplyGradient(network, options, gradient, &state, absl::MakeSpan(weights)).ok());
      for (const Tensor& tensor : network.tensors()) {
        const double l2 = tensor.bias ? 0 : 0.1;
        for (std::size_t i = tensor.offset; i < tensor.offset + tensor.size(); ++i) {
          double g = double{gradient[i]};
          if (kind == OptimizerOptions::Kind::kAdam) g += l2 * w[i];
          if (kind == OptimizerOptions::Kind::kAdamW) w[i] -= 0.01 * l2 * w[i];
          m[i] = 0.9 * m[i] + 0.1 * g;
          v[i] = 0.999 * v[i] + 0.001 * g * g;
          w[i] -= 0.01 * (m[i] / (1 - std::pow(0.9, step))) /
                  (std::sqrt(v[i] / (1 - std::pow(0.999, step))) + 1e-8);
        }
      }
    }
    EXPECT_EQ(state.step, 5u);
    for (std::size_t i = 0; i < w.size(); ++i) EXPECT_NEAR(double{weights[i]}, w[i], 2e-6) << i;
  }
}

TEST(ApplyGradient, ClipsTheNormOfAllTensorsTogether) {
  const Network network = Small();
  OptimizerOptions options;
  options.clip_norm = 0.5f;
  const std::vector<float> gradient(network.parameters(), 2.0f);
  const double norm = 2 * std::sqrt(static_cast<double>(gradient.size()));
  EXPECT_NEAR(GradientNorm(gradient), norm, 1e-9 * norm);
  OptimizerState state(network);
  std::vector<float> weights(network.parameters());
  ASSERT_TRUE(ApplyGradient(network, options, gradient, &state, absl::MakeSpan(weights)).ok());
  EXPECT_NEAR(double{state.mean[0]}, 0.1 * 2 * 0.5 / norm, 1e-8);
  options.clip_norm = 1e6f;
  OptimizerState unclipped(network);
  ASSERT_TRUE(ApplyGradient(network, options, gradient, &unclipped, absl::MakeSpan(weights)).ok());
  EXPECT_NEAR(double{unclipped.mean[0]}, 0.2, 1e-7);
}

TEST(ApplyGradient, RefusesWhatIsNotFiniteAndChangesNothing) {
  const Network network = Small();
  std::vector<float> weights(network.parameters(), 1.0f), gradient(weights.size());
  OptimizerState state(network);
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), 3e38f}) {
    gradient.back() = bad;
    const absl::Status status =
        ApplyGradient(network, {}, gradient, &state, absl::MakeSpan(weights));
    if (bad == 3e38f) continue;  // its square fits a double
    EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
    EXPECT_THAT(std::string(status.message()), HasSubstr("lower learning_rate"));
    EXPECT_EQ(weights, std::vector<float>(weights.size(), 1.0f));
    EXPECT_EQ(state.step, 0u);
  }
}

TEST(OptimizerOptions, SchedulesWarmUpAndFall) {
  OptimizerOptions options;
  options.learning_rate = 1;
  EXPECT_EQ(options.RateAt(0), 1);
  EXPECT_EQ(options.RateAt(1000000), 1);
  options.warmup_steps = 10;
  EXPECT_FLOAT_EQ(options.RateAt(0), 0.1f);
  EXPECT_FLOAT_EQ(options.RateAt(9), 1);
  options.schedule = OptimizerOptions::Schedule::kCosine;
  options.total_steps = 110;
  options.final_share = 0.2f;
  EXPECT_FLOAT_EQ(options.RateAt(10), 1);
  EXPECT_FLOAT_EQ(options.RateAt(60), 0.6f);
  EXPECT_FLOAT_EQ(options.RateAt(110), 0.2f);
  EXPECT_FLOAT_EQ(options.RateAt(100000), 0.2f);
  options.schedule = OptimizerOptions::Schedule::kSteps;
  options.decay_steps = 100;
  options.decay_factor = 0.5f;
  EXPECT_FLOAT_EQ(options.RateAt(109), 1);
  EXPECT_FLOAT_EQ(options.RateAt(110), 0.5f);
  EXPECT_FLOAT_EQ(options.RateAt(310), 0.125f);
}

TEST(OptimizerOptions, OutOfRangeIsNamed) {
  const auto error = [](void (*damage)(OptimizerOptions*)) {
    OptimizerOptions options;
    EXPECT_TRUE(options.Check().ok());
    damage(&options);
    return std::string(options.Check().message());
  };
  EXPECT_THAT(error([](OptimizerOptions* o) { o->learning_rate = -1; }),
              HasSubstr("learning_rate"));
  EXPECT_THAT(error([](OptimizerOptions* o) { o->beta1 = 1; }), HasSubstr("beta1"));
  EXPECT_THAT(error([](OptimizerOptions* o) { o->beta2 = 1; }), HasSubstr("beta2"));
  EXPECT_THAT(error([](OptimizerOptions* o) { o->epsilon = 0; }), HasSubstr("epsilon"));
  EXPECT_THAT(error([](OptimizerOptions* o) { o->l2 = std::nanf(""); }), HasSubstr("l2"));
  EXPECT_THAT(error([](OptimizerOptions* o) { o->clip_norm = -1; }), HasSubstr("clip_norm"));
  EXPECT_THAT(error([](OptimizerOptions* o) { o->final_share = 2; }), HasSubstr("final_share"));
  EXPECT_THAT(error([](OptimizerOptions* o) { o->decay_factor = 2; }), HasSubstr("decay_factor"));
  EXPECT_THAT(error([](OptimizerOptions* o) { o->decay_steps = 0; }), HasSubstr("decay_steps"));
}

}  // namespace
}  // namespace seer
