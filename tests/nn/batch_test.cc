#include "seer/nn/batch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "tests/nn/samples.h"

namespace seer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const testing::Sample& Softmax() {
  static const testing::Sample sample = testing::Samples()[3];
  return sample;
}
const testing::Sample& Sigmoid() {
  static const testing::Sample sample = testing::Samples()[1];
  return sample;
}

TEST(TrainingBatch, SamplesAreAccepted) {
  for (const testing::Sample& sample : testing::Samples()) {
    const Network network = testing::MakeNetwork(sample.layers, "7", 3, 2);
    EXPECT_TRUE(testing::MakeBatch(network, 6, 1).Check(network).ok()) << sample.name;
  }
}

TEST(TrainingBatch, WhatDoesNotFitIsNamed) {
  const Network softmax = testing::MakeNetwork(Softmax().layers, "7", 3, 2);
  const Network sigmoid = testing::MakeNetwork(Sigmoid().layers, "7", 3, 2);
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  const auto error = [](const Network& network, void (*damage)(TrainingBatch*)) {
    TrainingBatch batch = testing::MakeBatch(network, 4, 1);
    damage(&batch);
    const absl::Status status = batch.Check(network);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  EXPECT_THAT(error(softmax, [](TrainingBatch* b) { b->windows = 0; }), HasSubstr("no windows"));
  EXPECT_THAT(error(softmax, [](TrainingBatch* b) { b->inputs.pop_back(); }),
              HasSubstr("inputs has"));
  EXPECT_THAT(error(softmax, [](TrainingBatch* b) { b->inputs[45] = kNan; }),
              HasSubstr("value 3 of window 1 is not finite"));
  EXPECT_THAT(error(softmax, [](TrainingBatch* b) { b->inputs[1] = -kInfinity; }),
              HasSubstr("value 1 of window 0"));
  EXPECT_THAT(error(softmax, [](TrainingBatch* b) { b->inputs[1] = 1e30f; }), HasSubstr("2^64"));
  EXPECT_THAT(error(softmax, [](TrainingBatch* b) { b->initiator[2] = 9; }),
              HasSubstr("initiator of window 2 is 9: give -1 to 8"));
  EXPECT_THAT(error(softmax, [](TrainingBatch* b) { b->initiator[2] = -2; }), HasSubstr("is -2"));
  EXPECT_THAT(error(softmax, [](TrainingBatch* b) { b->initiators = {0.5f}; }),
              HasSubstr("initiators has 1 values: 0"));
  EXPECT_THAT(error(softmax, [](TrainingBatch* b) { b->hazard[1] = 5; }),
              HasSubstr("give -1 to 4"));
  EXPECT_THAT(error(softmax, [](TrainingBatch* b) { b->weight[1] = kNan; }), HasSubstr("weight"));
  EXPECT_THAT(error(softmax, [](TrainingBatch* b) { b->weight[1] = -1; }), HasSubstr("weight"));
  EXPECT_THAT(error(sigmoid, [](TrainingBatch* b) { b->initiators[3] = kNan; }),
              HasSubstr("value 3 is not finite"));
  EXPECT_THAT(error(sigmoid, [](TrainingBatch* b) { b->initiators[3] = 1.5f; }),
              HasSubstr("value 3 is above 1"));
  EXPECT_THAT(error(sigmoid,
                    [](TrainingBatch* b) {
                      b->initiator = {1, 2, 3, 4};
                    }),
              HasSubstr("initiator has 4 values: 0"));
}

TEST(MemorySource, GivesWindowsInTheOrderAsked) {
  const Network network = testing::MakeNetwork(Softmax().layers, "2", 1, 1);
  MemorySource source(network);
  for (int i = 0; i < 4; ++i) {
    const float values[] = {static_cast<float>(i), static_cast<float>(10 * i)};
    MemorySource::Truth truth;
    truth.initiator = i == 3 ? -1 : i;
    const std::int32_t hazard[] = {i};
    if (i != 2) truth.hazard = hazard;
    truth.weight = static_cast<float>(1 + i);
    ASSERT_TRUE(source.Add(values, truth).ok());
  }
  EXPECT_EQ(source.windows(), 4u);
  TrainingBatch batch;
  ASSERT_TRUE(source.Fill({3, 0, 2}, &batch).ok());
  EXPECT_EQ(batch.windows, 3u);
  EXPECT_THAT(batch.inputs, ElementsAre(3, 30, 0, 0, 2, 20));
  EXPECT_THAT(batch.initiator, ElementsAre(-1, 0, 2));
  EXPECT_THAT(batch.hazard, ElementsAre(3, 0, -1));
  EXPECT_THAT(batch.weight, ElementsAre(4, 1, 3));
  EXPECT_TRUE(batch.Check(network).ok());
  EXPECT_EQ(source.Fill({4}, &batch).code(), absl::StatusCode::kOutOfRange);
  EXPECT_FALSE(source.Add({1.0f}, {}).ok());
}

TEST(MemorySource, UnknownTruthIsKeptAsSuch) {
  const Network network = testing::MakeNetwork(Sigmoid().layers, "2", 1, 1);
  MemorySource source(network);
  ASSERT_TRUE(source.Add({1.0f, 2.0f}, {}).ok());
  TrainingBatch batch;
  ASSERT_TRUE(source.Fill({0}, &batch).ok());
  EXPECT_THAT(batch.initiators, ElementsAre(-1, -1, -1, -1));
  EXPECT_TRUE(batch.Check(network).ok());
}

}  // namespace
}  // namespace seer
