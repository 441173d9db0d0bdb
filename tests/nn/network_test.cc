#include "seer/nn/network.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "tests/nn/samples.h"

namespace seer {
namespace {

TEST(Network, TensorsCoverTheParametersWithoutGaps) {
  for (const testing::Sample& sample : testing::Samples()) {
    SCOPED_TRACE(sample.name);
    const Network network = testing::MakeNetwork(sample.layers, "6 1 3", 4, 2);
    std::size_t next = 0;
    for (const Tensor& tensor : network.tensors()) {
      EXPECT_EQ(tensor.offset, next) << tensor.name;
      EXPECT_GT(tensor.size(), 0u) << tensor.name;
      EXPECT_EQ(network.Find(tensor.name), &tensor);
      next += tensor.size();
    }
    EXPECT_EQ(next, network.parameters());
    EXPECT_EQ(network.Find("no.such"), nullptr);
  }
}

TEST(Network, ShapesAreThoseOfTheResearchModel) {
  const auto network = *Network::Create(*ModelConfig::Named("flat", 386));
  ASSERT_EQ(network.trunk().size(), 5u);
  EXPECT_EQ(network.trunk()[0].out_features, 193u * 8);
  EXPECT_EQ(network.trunk()[1].out_features, 65u * 16);
  EXPECT_EQ(network.trunk()[2].out_features, 64u);
  EXPECT_EQ(network.context(), 64u);
  EXPECT_EQ(network.outputs(), 387u);
  // 342,210 in the research's count, which has two biases in each LSTM and no extra output.
  EXPECT_EQ(network.parameters(), 342210u - 2 * 256 + 65);
}

TEST(Network, BlocksAreConvolvedByThemselves) {
  const auto network = testing::MakeNetwork(testing::Samples()[0].layers, "6 1 3", 1, 1);
  EXPECT_EQ(network.trunk()[0].out_positions, (std::vector<std::size_t>{3, 1, 2}));
  EXPECT_EQ(network.trunk()[1].out_positions, (std::vector<std::size_t>{1, 1, 1}));
  EXPECT_EQ(network.trunk()[2].in_features, 48u);
}

TEST(Network, InitialWeightsDependOnTheSeedAndStayInBounds) {
  const auto network = *Network::Create(*ModelConfig::Named("hybrid", 12));
  std::vector<float> a(network.parameters()), b(a), c(a);
  network.Initialize(1, absl::MakeSpan(a));
  network.Initialize(1, absl::MakeSpan(b));
  network.Initialize(2, absl::MakeSpan(c));
  EXPECT_EQ(a, b);
  EXPECT_NE(a, c);
  for (const Tensor& tensor : network.tensors()) {
    float largest = 0;
    for (std::size_t i = 0; i < tensor.size(); ++i) {
      largest = std::max(largest, std::abs(a[tensor.offset + i]));
    }
    const float forget = tensor.bias && tensor.columns == 4 * 32 ? 1 : 0;
    EXPECT_LE(largest, tensor.bound + forget) << tensor.name;
    EXPECT_GT(largest, tensor.bound / 2) << tensor.name;
  }
}

}  // namespace
}  // namespace seer
