#include "benchmarks/evaluation/trained_predictor.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace seer::evaluation {
namespace {

TEST(TrainedPredictor, ClassesOfOneApplicationOrOfTheOthersAreLeft) {
  using namespace std::chrono_literals;
  Topology topology;
  const ServiceId entry = topology.AddService("entry").value();
  const auto target = QosTarget::Percentile(0.99, 20ms, 1s);
  for (const char* application : {"shop", "bank", "shop"}) {
    const std::string name = "class-" + std::to_string(topology.classes().size());
    ASSERT_TRUE(topology.AddRequestClass(application, name, target, entry).ok());
  }
  const Topology shop = WithClassesOf(topology, "shop", false).value();
  EXPECT_TRUE(shop.IsLive(ClassId(0)) && !shop.IsLive(ClassId(1)) && shop.IsLive(ClassId(2)));
  const Topology others = WithClassesOf(topology, "shop", true).value();
  EXPECT_TRUE(!others.IsLive(ClassId(0)) && others.IsLive(ClassId(1)) &&
              !others.IsLive(ClassId(2)));
  EXPECT_EQ(others.classes().size(), topology.classes().size()) << "ids stay";
}

TEST(TrainedPredictor, EverySeedIsAContenderAndVariantsAreMarked) {
  ScenarioSet set;
  set.apps = {"hotel", "media"};
  set.training.seeds = 3;
  std::vector<std::string> seeds, variants;
  for (const Contender& contender : TrainedPredictors(set)) {
    EXPECT_TRUE(contender.trained);
    EXPECT_FALSE(contender.rows) << "the library reads the runs itself";
    (contender.variant ? variants : seeds).push_back(contender.name);
  }
  EXPECT_EQ(seeds, (std::vector<std::string>{"seer", "seer@2", "seer@3"}));
  EXPECT_EQ(std::count(variants.begin(), variants.end(), "seer-unseen-app"), 1);
  set.apps = {"hotel"};
  for (const Contender& contender : TrainedPredictors(set)) {
    EXPECT_NE(contender.name, "seer-unseen-app") << "there are no others to learn from";
  }
}

TEST(TrainedPredictor, OfRunsThatAreNotThereTheErrorIsTold) {
  ScenarioSet set;
  set.apps = {"hotel"};
  TrainingData data;
  data.folder = "/nowhere";
  data.train = data.validation = {"train-1"};
  EXPECT_FALSE(TheTrainedModel(set, data).ok());
}

}  // namespace
}  // namespace seer::evaluation
