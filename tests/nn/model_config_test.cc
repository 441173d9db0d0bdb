#include "seer/nn/model_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "seer/nn/network.h"
#include "tests/nn/samples.h"

namespace seer {
namespace {

using ::testing::HasSubstr;

TEST(ModelConfig, TextGivesTheSameConfigurationAgain) {
  for (const std::string& name : ModelConfig::Names()) {
    SCOPED_TRACE(name);
    const auto config = ModelConfig::Named(name, 158, 3, 10);
    ASSERT_TRUE(config.ok()) << config.status();
    const auto again = ModelConfig::Parse(config->ToText());
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(*again, *config);
    EXPECT_EQ(again->ToText(), config->ToText());
  }
  for (const testing::Sample& sample : testing::Samples()) {
    SCOPED_TRACE(sample.name);
    const ModelConfig config = testing::MakeNetwork(sample.layers, "6 1 3", 4, 2).config();
    const auto again = ModelConfig::Parse(config.ToText());
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(*again, config);
  }
}

TEST(ModelConfig, CommentsSpacesAndWindowsLineEndsAreFine) {
  const auto config = ModelConfig::Parse(
      "\n  # a comment\r\n seer-nn 1\r\n\tservices 4 # four\r\nlast_tick\r\nhead kind=dense");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->services(), 4u);
  EXPECT_EQ(config->trunk.size(), 1u);
}

TEST(ModelConfig, ErrorsNameTheLineAndWhatWouldBeRight) {
  struct Case {
    const char* text;
    const char* message;
  };
  for (const Case& c : {
           Case{"", "begin with 'seer-nn 1'"},
           Case{"seer-nn 2\n", "line 1: not a model configuration of this version"},
           Case{"seer-nn 1\nlast_tick", "add the line 'services N'"},
           Case{"seer-nn 1\nservices x", "line 2: 'services' needs numbers"},
           Case{"seer-nn 1\nservices 0\nlast_tick", "services of a block is 0: give 1 to"},
           Case{"seer-nn 1\nservices 4 -1", "line 2: 'services' needs numbers"},
           Case{"seer-nn 1\nservices 99999999999", "line 2: 'services' needs numbers"},
           Case{"seer-nn 1\nservices 4\nservices 4", "line 3: a second 'services'"},
           Case{"seer-nn 1\nservices 4\nticks 4 5\n", "line 3: 'ticks' needs one number"},
           Case{"seer-nn 1\nservices 4\nticks 0\nlast_tick", "ticks is 0: give 1 to"},
           Case{"seer-nn 1\nservices 4\nwombat 3", "line 3: 'wombat' is unknown: one of name"},
           Case{"seer-nn 1\nservices 4\nconv units=x\n", "line 3: units=x is not a number"},
           Case{"seer-nn 1\nservices 4\nconv units=4 colour=red\n",
                "line 3: 'colour=red' is unknown"},
           Case{"seer-nn 1\nservices 4\nconv units=4 activation=elu\n", "one of none, relu"},
           Case{"seer-nn 1\nservices 4\nconv units=4 kernel=3 padding=3\nlast_tick",
                "padding is 3"},
           Case{"seer-nn 1\nservices 4\nconv units=4 kernel=5\nlast_tick",
                "kernel 5 over 4 positions"},
           Case{"seer-nn 1\nservices 4\nlstm units=0\nlast_tick", "units is 0: give 1 to"},
           Case{"seer-nn 1\nservices 4\nlstm units=8\n", "no last_tick"},
           Case{"seer-nn 1\nservices 4\nlast_tick\nlstm units=8", "lstm behind last_tick"},
           Case{"seer-nn 1\nservices 4\nlast_tick\nlast_tick", "a second last_tick"},
           Case{"seer-nn 1\nservices 4\nlstm units=8\nconv units=8", "conv behind another kind"},
           Case{"seer-nn 1\nservices 4\ndropout rate=1\nlast_tick", "outside [0, 1)"},
           Case{"seer-nn 1\nservices 4\ndropout rate=nan\nlast_tick", "outside [0, 1)"},
           Case{"seer-nn 1\nservices 4\nhead kind=dense", "a dense head needs trunk layers"},
           Case{"seer-nn 1\nservices 4\nhead kind=shared", "needs local layers"},
           Case{"seer-nn 1\nservices 4\nlocal lstm units=3\nhead kind=shared", "only conv"},
           Case{"seer-nn 1\nservices 4\nlocal conv units=3 kernel=2\nhead kind=shared",
                "keep the positions"},
           Case{"seer-nn 1\nservices 4\nlast_tick\nhazard classes=2", "both classes and horizons"},
           Case{"seer-nn 1\nname a/b\nservices 4\nlast_tick", "name is not"},
           Case{"seer-nn 1\nservices 100000\ndense units=4096\nlast_tick\n", "weights, above"},
           Case{"seer-nn 1\nservices 100000\nticks 1024\nconv units=4096\nlast_tick\nhead extras=0",
                "together above"},
       }) {
    SCOPED_TRACE(c.text);
    const auto config = ModelConfig::Parse(c.text);
    ASSERT_FALSE(config.ok());
    EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(config.status().message()), HasSubstr(c.message));
  }
}

TEST(ModelConfig, FieldsThatAKindDoesNotHaveAreRefused) {
  auto config = *ModelConfig::Named("flat", 6);
  config.trunk.back().units = 3;  // of last_tick: would be lost in the text
  EXPECT_FALSE(config.Validate().ok());
}

// Table 2 of the paper: layers and weights, at the 158 services of its local cluster.
TEST(ModelConfig, NamedOnesHaveThePapersLayersAndWeights) {
  struct Case {
    const char* name;
    std::size_t convolution, dense, element_wise;
    double weights;
    std::uint32_t batch;
  };
  for (const Case& c : {Case{"cnn", 8, 0, 0, 30e3, 4}, Case{"lstm", 0, 12, 6, 52e3, 32},
                        Case{"hybrid", 7, 10, 5, 80e3, 32}}) {
    SCOPED_TRACE(c.name);
    const auto network = Network::Create(*ModelConfig::Named(c.name, 158));
    ASSERT_TRUE(network.ok());
    const Network::LayerCounts counts = network->CountLayers();
    EXPECT_EQ(counts.convolution, c.convolution);
    EXPECT_EQ(counts.dense, c.dense);
    EXPECT_EQ(counts.element_wise, c.element_wise);
    EXPECT_NEAR(static_cast<double>(network->parameters()), c.weights, 0.03 * c.weights);
    EXPECT_EQ(network->config().batch, c.batch);
  }
}

TEST(ModelConfig, PositionWiseWeightsDoNotDependOnTheServices) {
  const auto weights = [](const char* name, std::size_t services) {
    return Network::Create(*ModelConfig::Named(name, services))->parameters();
  };
  EXPECT_EQ(weights("position_wise", 6), weights("position_wise", 10000));
  EXPECT_EQ(weights("cnn", 6), weights("cnn", 10000));
  // Of a pyramid little more than the head's rows grows.
  EXPECT_LT(weights("pyramid", 10000), weights("pyramid", 36) + 10000 * 66);
  EXPECT_EQ(Network::Create(*ModelConfig::Named("pyramid", 10000))->CountLayers().convolution, 7u);
}

TEST(ModelConfig, EveryNamedOneWorksForEverySize) {
  for (const std::string& name : ModelConfig::Names()) {
    for (std::size_t services : {1, 2, 3, 5, 6, 7, 36, 386, 10000}) {
      EXPECT_TRUE(ModelConfig::Named(name, services, 5, 1).ok()) << name << " " << services;
    }
    EXPECT_FALSE(ModelConfig::Named(name, 0).ok());
    EXPECT_FALSE(ModelConfig::Named(name, 200000).ok());
    EXPECT_FALSE(ModelConfig::Named(name, std::size_t{1} << 40).ok());
  }
  const auto unknown = ModelConfig::Named("transformer", 6);
  EXPECT_EQ(unknown.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(unknown.status().message()), HasSubstr("cnn, lstm, hybrid"));
}

}  // namespace
}  // namespace seer
