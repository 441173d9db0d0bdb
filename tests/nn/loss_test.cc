#include "seer/nn/loss.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "nn/loss_math.h"
#include "tests/nn/samples.h"

namespace seer {
namespace {

// Logits of 3 outputs, and a hazard of 2 horizons.
class Loss : public ::testing::Test {
 protected:
  Network network_ = testing::MakeNetwork(
      "last_tick\nhead output=softmax extras=1\nhazard classes=1 horizons=2\n", "2", 1, 1);
  LossOptions options_;
  TrainingBatch batch_;
  std::vector<double> logits_ = {0.5, -1.0, 2.0, 0.3, -0.7};
  std::vector<double> gradient_ = std::vector<double>(5);

  double Compute() {
    return internal::WindowLoss(network_, options_, batch_, 0, logits_.data(), gradient_.data());
  }
};

TEST_F(Loss, CrossEntropyIsMinusTheLogOfTheProbability) {
  batch_.initiator = {1};
  const double p = std::exp(-1.0) / (std::exp(0.5) + std::exp(-1.0) + std::exp(2.0));
  EXPECT_NEAR(Compute(), -std::log(p), 1e-12);
  EXPECT_NEAR(gradient_[1], p - 1, 1e-12);
  EXPECT_NEAR(gradient_[0] + gradient_[1] + gradient_[2], 0, 1e-12);
  options_.output_weights = {1, 3, 1};
  EXPECT_NEAR(Compute(), -3 * std::log(p), 1e-12);
  options_.focal_gamma = 2;
  EXPECT_NEAR(Compute(), -3 * (1 - p) * (1 - p) * std::log(p), 1e-12);
}

TEST_F(Loss, UnknownTruthCostsNothing) {
  batch_.initiator = {-1};
  batch_.hazard = {-1};
  EXPECT_EQ(Compute(), 0);
  for (double g : gradient_) EXPECT_EQ(g, 0);
}

TEST_F(Loss, HazardIsTheLikelihoodOfTheFirstViolation) {
  const double first = 1 / (1 + std::exp(-0.3)), second = 1 / (1 + std::exp(0.7));
  options_.hazard_weight = 2;
  batch_.hazard = {0};
  EXPECT_NEAR(Compute(), -2 * std::log(first), 1e-12);
  EXPECT_EQ(gradient_[4], 0) << "what comes after the violation is not known";
  batch_.hazard = {1};
  EXPECT_NEAR(Compute(), -2 * std::log((1 - first) * second), 1e-12);
  batch_.hazard = {2};
  EXPECT_NEAR(Compute(), -2 * std::log((1 - first) * (1 - second)), 1e-12);
}

TEST_F(Loss, OutputsAreProbabilitiesThatGrowWithTheHorizon) {
  const double first = 1 / (1 + std::exp(-0.3)), second = 1 / (1 + std::exp(0.7));
  internal::LogitsToOutputs(network_, logits_.data());
  EXPECT_NEAR(logits_[0] + logits_[1] + logits_[2], 1, 1e-12);
  EXPECT_NEAR(logits_[2] / logits_[0], std::exp(1.5), 1e-12);
  EXPECT_NEAR(logits_[3], first, 1e-12);
  EXPECT_NEAR(logits_[4], 1 - (1 - first) * (1 - second), 1e-12);
}

TEST_F(Loss, SigmoidOutputsStandForThemselves) {
  network_ = testing::MakeNetwork("last_tick\nhead output=sigmoid extras=1\n", "2", 1, 1);
  batch_.initiators = {1.0f, -1.0f, 0.25f};
  const double q0 = 1 / (1 + std::exp(-0.5)), q2 = 1 / (1 + std::exp(-2.0));
  EXPECT_NEAR(Compute(), -std::log(q0) - 0.25 * std::log(q2) - 0.75 * std::log(1 - q2), 1e-12);
  EXPECT_NEAR(gradient_[0], q0 - 1, 1e-12);
  EXPECT_EQ(gradient_[1], 0);
  EXPECT_NEAR(gradient_[2], q2 - 0.25, 1e-12);
}

TEST_F(Loss, HugeLogitsStayFinite) {
  batch_.initiator = {0};
  batch_.hazard = {1};
  for (float gamma : {0.0f, 0.5f, 2.0f}) {
    options_.focal_gamma = gamma;
    for (double huge : {1e4, -1e4, 1e30, -1e30}) {
      logits_ = {huge, 0, -huge, huge, -huge};
      EXPECT_TRUE(std::isfinite(Compute())) << huge;
      for (double g : gradient_) EXPECT_TRUE(std::isfinite(g)) << huge << " gamma " << gamma;
    }
  }
}

TEST_F(Loss, OptionsOutOfRangeAreNamed) {
  EXPECT_TRUE(options_.Check(network_).ok());
  LossOptions bad = options_;
  bad.output_weights = {1, 1};
  EXPECT_FALSE(bad.Check(network_).ok());
  bad.output_weights = {1, 1, -1};
  EXPECT_FALSE(bad.Check(network_).ok());
  bad = options_;
  bad.focal_gamma = std::numeric_limits<float>::quiet_NaN();
  EXPECT_FALSE(bad.Check(network_).ok());
  bad = options_;
  bad.hazard_weight = -1;
  EXPECT_FALSE(bad.Check(network_).ok());
}

}  // namespace
}  // namespace seer
