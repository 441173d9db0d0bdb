#include "seer/predict/model_inputs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "seer/nn/counter_rng.h"

namespace seer {
namespace {

using ::testing::HasSubstr;

ModelInputs Sample() {
  ModelInputs inputs;
  inputs.period = *TickPeriod::FromNs(50'000'000);
  inputs.inputs = WindowInputs::OfTraces(true);
  inputs.horizons_ns = {100'000'000, 1'000'000'000};
  inputs.initiator_horizon_ns = 200'000'000;
  inputs.classes = {"GET /cart", "check out"};
  for (const WindowInput& input : inputs.inputs.list()) {
    inputs.normalizer.inputs.push_back(WindowInputName(input));
    inputs.normalizer.common.push_back({0.1f, 1.0f / 3});
  }
  inputs.normalizer.services = {"nginx", "cart of two words"};
  for (std::size_t i = 0; i < 2 * inputs.inputs.size(); ++i) {
    inputs.normalizer.scales.push_back({-1e-7f * static_cast<float>(i), 0.05f});
  }
  return inputs;
}

TEST(ModelInputs, ComeBackAsTheyWere) {
  const ModelInputs inputs = Sample();
  ASSERT_TRUE(inputs.Validate().ok()) << inputs.Validate();
  const std::string text = EncodeModelInputs(inputs);
  const auto again = DecodeModelInputs(text);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(*again, inputs);
  EXPECT_EQ(EncodeModelInputs(*again), text);

  ModelInputs plain;
  plain.inputs = WindowInputs::OfTraces();
  EXPECT_EQ(*DecodeModelInputs(EncodeModelInputs(plain)), plain);
}

TEST(ModelInputs, ErrorsNameTheField) {
  const auto message = [](void (*spoil)(ModelInputs*)) {
    ModelInputs inputs = Sample();
    spoil(&inputs);
    return std::string(inputs.Validate().message());
  };
  EXPECT_THAT(message([](ModelInputs* i) { i->horizons_ns = {2, 1}; }), HasSubstr("horizon_ns 1"));
  EXPECT_THAT(message([](ModelInputs* i) { i->horizons_ns = {0}; }), HasSubstr("horizon_ns 0"));
  EXPECT_THAT(message([](ModelInputs* i) { i->initiator_horizon_ns = 0; }),
              HasSubstr("initiator_horizon_ns"));
  EXPECT_THAT(message([](ModelInputs* i) { i->normalizer.scales.pop_back(); }),
              HasSubstr("normalizer.scales"));
  EXPECT_THAT(message([](ModelInputs* i) {
                i->normalizer.common[0].spread = std::numeric_limits<float>::infinity();
              }),
              HasSubstr("normalizer.common[0]"));
  EXPECT_THAT(message([](ModelInputs* i) { i->classes.resize(2000, "x"); }),
              HasSubstr("2000 classes"));
  ModelInputs spoilt = Sample();
  spoilt.horizons_ns = {2, 1};
  EXPECT_FALSE(DecodeModelInputs(EncodeModelInputs(spoilt)).ok());
}

TEST(ModelInputs, ErrorsNameTheLine) {
  const auto message = [](const std::string& text) {
    return std::string(DecodeModelInputs(text).status().message());
  };
  EXPECT_THAT(message(""), HasSubstr("empty"));
  EXPECT_THAT(message("hello"), HasSubstr("line 1"));
  EXPECT_THAT(message("seer-model 1\nperiod_ns x\n"), HasSubstr("line 2"));
  EXPECT_THAT(message("seer-model 1\ninput depth(queued)\nnew 3\n"), HasSubstr("line 3"));
  EXPECT_THAT(message("seer-model 1\ninput nothing\n"), HasSubstr("no such input"));
  EXPECT_THAT(message("seer-model 1\ncommon 1\n"), HasSubstr("two numbers"));
  EXPECT_THAT(message("seer-model 1\nperiod_ns 1\n"), HasSubstr("10 ms"));
  EXPECT_THAT(message("seer-model 1\n"), HasSubstr("no input"));
}

TEST(ModelInputs, AnyBytesAreAnErrorOrValid) {
  const std::string good = EncodeModelInputs(Sample());
  const CounterRng rng(1, 2);
  for (std::uint64_t i = 0; i < 3000; ++i) {
    std::string text = good;
    for (std::uint64_t k = 0; k < 1 + i % 4; ++k) {
      text[rng.Below(8 * i + 2 * k, text.size())] =
          static_cast<char>(rng.Below(8 * i + 2 * k + 1, 256));
    }
    if (i % 3 == 0) text.resize(rng.Below(8 * i + 7, text.size()));
    const auto decoded = DecodeModelInputs(text);
    if (decoded.ok()) {
      EXPECT_TRUE(decoded->Validate().ok());
      EXPECT_EQ(*DecodeModelInputs(EncodeModelInputs(*decoded)), *decoded);
    } else {
      EXPECT_EQ(decoded.status().code(), absl::StatusCode::kInvalidArgument);
    }
  }
}

}  // namespace
}  // namespace seer
