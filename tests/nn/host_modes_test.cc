// This file is compiled with -ffast-math, as some hosts are.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "seer/nn/backend.h"
#include "seer/nn/batch.h"
#include "seer/nn/optimizer.h"
#include "tests/nn/samples.h"

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace seer {
namespace {

float FromBits(std::uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

constexpr std::uint32_t kBad[] = {0x7fc00000u, 0xffa00000u, 0x7f800000u, 0xff800000u};

TEST(HostModes, FastMathDoesNotHideNanAndInfinity) {
#ifndef __FAST_MATH__
  GTEST_FAIL() << "this file has to be compiled with -ffast-math";
#endif
  const Network network = testing::MakeNetwork(testing::Samples()[0].layers, "9", 4, 2);
  std::vector<float> weights(network.parameters());
  network.Initialize(5, absl::MakeSpan(weights));
  for (const Backend* backend : Backends()) {
    SCOPED_TRACE(std::string(backend->name()));
    auto engine = *backend->NewInference(network, weights);
    auto workspace = *engine->NewWorkspace(1);
    auto session = *engine->NewSession(RunMode::kSlide);
    std::vector<float> out(network.outputs());
    for (const std::uint32_t bits : kBad) {
      std::vector<float> inputs(network.window_values(), 0.5f), spoilt = weights;
      inputs[11] = FromBits(bits);
      EXPECT_EQ(engine->Run(inputs, 1, workspace.get(), absl::MakeSpan(out)).code(),
                absl::StatusCode::kInvalidArgument);
      EXPECT_EQ(
          session->Push(absl::MakeConstSpan(inputs).subspan(0, 18), absl::MakeSpan(out)).code(),
          absl::StatusCode::kInvalidArgument);
      spoilt[7] = FromBits(bits);
      EXPECT_EQ(backend->NewInference(network, spoilt).status().code(),
                absl::StatusCode::kInvalidArgument);
      TrainingBatch batch = testing::MakeBatch(network, 2, 3);
      batch.inputs[5] = FromBits(bits);
      EXPECT_EQ(batch.Check(network).code(), absl::StatusCode::kInvalidArgument);
      OptimizerState state(network);
      EXPECT_EQ(ApplyGradient(network, {}, spoilt, &state, absl::MakeSpan(weights)).code(),
                absl::StatusCode::kInternal);
    }
  }
}

#if defined(__SSE2__)
TEST(HostModes, TrainingLeavesTheModeOfTheProcessorAsItWas) {
  const Network network = testing::MakeNetwork(testing::Samples()[0].layers, "9", 4, 2);
  std::vector<float> weights(network.parameters()), gradient(weights.size());
  network.Initialize(5, absl::MakeSpan(weights));
  const TrainingBatch batch = testing::MakeBatch(network, 2, 3);
  const LossOptions loss;
  StepContext step;
  step.loss = &loss;
  LossSum sum;
  OptimizerState state(network);
  auto engine = *FindBackend("auto")->NewTraining(network, 2);
  const unsigned before = _mm_getcsr();
  for (const unsigned mode : {0x1f80u, 0x9fc0u, 0x5f80u}) {  // plain, flushing, another rounding
    _mm_setcsr(mode);
    engine->Gradient(weights, batch, 0, 2, step, absl::MakeSpan(gradient), {}, &sum);
    const bool ok = ApplyGradient(network, {}, gradient, &state, absl::MakeSpan(weights)).ok();
    const unsigned after = _mm_getcsr();
    _mm_setcsr(before);
    EXPECT_TRUE(ok);
    EXPECT_EQ(after & ~0x3fu, mode & ~0x3fu);  // the lowest bits tell what has happened
  }
}
#endif

TEST(HostModes, MomentsThatFadeAwayEndAsZeros) {
  const Network network = testing::MakeNetwork(testing::Samples()[0].layers, "9", 4, 2);
  std::vector<float> weights(network.parameters(), 0.5f), gradient(weights.size(), 0.0f);
  OptimizerState state(network);
  for (float& value : state.mean) value = 1e-37f;
  for (float& value : state.square) value = 2e-38f;
  for (int i = 0; i < 1500; ++i) {
    ASSERT_TRUE(ApplyGradient(network, {}, gradient, &state, absl::MakeSpan(weights)).ok());
  }
  for (std::size_t i = 0; i < weights.size(); ++i) {
    std::uint32_t mean, square;
    std::memcpy(&mean, &state.mean[i], 4);
    std::memcpy(&square, &state.square[i], 4);
    ASSERT_EQ(mean, 0u);
    ASSERT_EQ(square, 0u);
  }
}

}  // namespace
}  // namespace seer
