#include "seer/nn/topology_map.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "seer/nn/backend.h"
#include "tests/nn/samples.h"

namespace seer {
namespace {

using ::testing::HasSubstr;

Checkpoint Model(const std::string& layers, std::size_t services) {
  const Network network = testing::MakeNetwork(layers, std::to_string(services), 3, 2);
  Checkpoint checkpoint;
  checkpoint.config = network.config();
  checkpoint.parameters.resize(network.parameters());
  network.Initialize(3, absl::MakeSpan(checkpoint.parameters));
  for (std::size_t s = 0; s < services; ++s) {
    checkpoint.services.push_back({"s" + std::to_string(s), true});
  }
  checkpoint.training.emplace();
  checkpoint.training->epoch = 7;
  checkpoint.training->optimizer = OptimizerState(network);
  checkpoint.training->optimizer.step = 99;
  checkpoint.training->optimizer.mean = testing::Uniform(network.parameters(), 4, -1, 1);
  checkpoint.training->optimizer.square = testing::Uniform(network.parameters(), 5, 0, 1);
  return checkpoint;
}

std::vector<float> Logits(const Checkpoint& checkpoint, const std::vector<float>& inputs) {
  const Network network = *Network::Create(checkpoint.config);
  InferenceOptions options;
  options.logits = true;
  auto engine = *FindBackend("auto")->NewInference(network, checkpoint.parameters, options);
  auto workspace = *engine->NewWorkspace(1);
  std::vector<float> out(network.outputs());
  EXPECT_TRUE(engine->Run(inputs, 1, workspace.get(), absl::MakeSpan(out)).ok());
  return out;
}

// Windows of `to` services, whose first ones are those of the smaller window.
std::vector<float> Widen(const std::vector<float>& inputs, std::size_t from, std::size_t to,
                         std::uint64_t seed) {
  std::vector<float> wide = testing::Uniform(inputs.size() / from * to, seed, -1, 1);
  for (std::size_t t = 0; t < 3; ++t) {
    for (std::size_t i = 0; i < from * 2; ++i) wide[t * to * 2 + i] = inputs[t * from * 2 + i];
  }
  return wide;
}

TEST(MapOnto, OldLogitsAreTheSameWhateverNewServicesDo) {
  for (const testing::Sample& sample : testing::Samples()) {
    SCOPED_TRACE(sample.name);
    const bool pools = sample.layers.find("pool") != std::string::npos;  // sees all services
    const Checkpoint old = Model(sample.layers, 7);
    std::vector<std::string> services;
    for (int s = 0; s < 7; ++s) services.push_back("s" + std::to_string(s));
    services.insert(services.begin() + 2, {"new a", "new b"});
    services.push_back("new c");
    MapOptions options;
    options.prior = -2.5f;
    auto mapped = MapOnto(old, services, options);
    if (pools) {
      ASSERT_EQ(mapped.status().code(), absl::StatusCode::kFailedPrecondition);
      EXPECT_THAT(std::string(mapped.status().message()), HasSubstr("may_change_old_outputs"));
      EXPECT_TRUE(MapOnto(old, {"s1", "s0"}, options).ok());  // nothing new: nothing changes
      options.may_change_old_outputs = true;
      mapped = MapOnto(old, services, options);
    }
    ASSERT_TRUE(mapped.ok()) << mapped.status();
    EXPECT_EQ(mapped->config.blocks, (std::vector<std::uint32_t>{7, 3}));
    EXPECT_EQ(mapped->services[7].name, "new a");
    EXPECT_EQ(mapped->services[9].name, "new c");
    if (pools) continue;
    const auto inputs = testing::Uniform(3 * 7 * 2, 8, -1, 1);
    const std::vector<float> before = Logits(old, inputs);
    for (std::uint64_t seed : {1, 2}) {
      const std::vector<float> after = Logits(*mapped, Widen(inputs, 7, 10, seed));
      for (std::size_t s = 0; s < 7; ++s) EXPECT_NEAR(after[s], before[s], 1e-6) << s;
      for (std::size_t i = 7; i < before.size(); ++i) EXPECT_NEAR(after[i + 3], before[i], 1e-6);
      if (old.config.head == HeadKind::kDense) {
        for (std::size_t s = 7; s < 10; ++s) EXPECT_EQ(after[s], -2.5f);
      }
    }
  }
}

TEST(MapOnto, MomentsMoveWithTheirWeights) {
  const Checkpoint old = Model(testing::Samples()[0].layers, 7);
  auto mapped = *MapOnto(old, {"s0", "s1", "s2", "s3", "s4", "s5", "s6", "new"});
  const Network from = *Network::Create(old.config), to = *Network::Create(mapped.config);
  EXPECT_EQ(mapped.training->optimizer.step, 99u);
  EXPECT_EQ(mapped.training->epoch, 0u);
  const auto value = [](const Network& network, const std::vector<float>& all, const char* name,
                        std::size_t row, std::size_t column) {
    const Tensor& tensor = *network.Find(name);
    return all[tensor.offset + row * tensor.columns + column];
  };
  const auto& before = old.training->optimizer.mean;
  const auto& after = mapped.training->optimizer.mean;
  EXPECT_EQ(value(to, after, "head.weight", 3, 2), value(from, before, "head.weight", 3, 2));
  EXPECT_EQ(value(to, after, "head.weight", 3, 8), value(from, before, "head.weight", 3, 7));
  EXPECT_EQ(value(to, after, "head.weight", 3, 7), 0);
  EXPECT_EQ(value(to, after, "trunk.2.weight", 31, 9),
            value(from, before, "trunk.2.weight", 31, 9));
  EXPECT_EQ(value(to, after, "trunk.2.weight", 32, 9), 0);
  EXPECT_EQ(value(to, after, "trunk.1.weight", 5, 5), value(from, before, "trunk.1.weight", 5, 5));
  // Without a prior: the mean of the others' biases.
  float mean = 0;
  for (std::size_t s = 0; s < 7; ++s) mean += value(from, old.parameters, "head.bias", 0, s) / 7;
  EXPECT_NEAR(value(to, mapped.parameters, "head.bias", 0, 7), mean, 1e-6);
}

TEST(MapOnto, WhatIsGoneComesBackAsItWas) {
  const Checkpoint old = Model(testing::Samples()[0].layers, 7);
  const auto less = *MapOnto(old, {"s0", "s2", "s3", "s4", "s5", "s6"});
  EXPECT_EQ(less.parameters, old.parameters);
  EXPECT_FALSE(less.services[1].live);
  EXPECT_TRUE(less.services[0].live);
  const auto again = *MapOnto(less, {"s6", "s5", "s4", "s3", "s2", "s1", "s0"});
  EXPECT_EQ(again.parameters, old.parameters);
  EXPECT_EQ(again.services, old.services);
  EXPECT_TRUE(EncodeCheckpoint(less).ok());
}

TEST(MapOnto, ServicesThatAreNotLiveGetNoProbability) {
  const Checkpoint old = Model(testing::Samples()[0].layers, 7);
  const Network network = *Network::Create(old.config);
  InferenceOptions options;
  options.live = {true, false, true, true, true, true, false};
  auto engine = *FindBackend("auto")->NewInference(network, old.parameters, options);
  auto workspace = *engine->NewWorkspace(1);
  std::vector<float> out(network.outputs());
  ASSERT_TRUE(
      engine->Run(testing::Uniform(42, 8, -1, 1), 1, workspace.get(), absl::MakeSpan(out)).ok());
  EXPECT_EQ(out[1], 0);
  EXPECT_EQ(out[6], 0);
  float sum = 0;
  for (float p : out) sum += p;
  EXPECT_NEAR(sum, 1, 1e-6);
  options.live.pop_back();
  EXPECT_FALSE(FindBackend("auto")->NewInference(network, old.parameters, options).ok());
}

TEST(MapOnto, ErrorsAreNamed) {
  Checkpoint old = Model(testing::Samples()[0].layers, 7);
  EXPECT_THAT(std::string(MapOnto(old, {"a", "a"}).status().message()), HasSubstr("there twice"));
  EXPECT_THAT(std::string(MapOnto(old, {""}).status().message()), HasSubstr("0 bytes"));
  old.services.clear();
  EXPECT_EQ(MapOnto(old, {"a"}).status().code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace seer
