#include "seer/predict/model_store.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>

#include "seer/nn/checkpoint.h"
#include "seer/nn/network.h"
#include "seer/predict/tree_model.h"

namespace seer {
namespace {

class ModelStoreTest : public ::testing::Test {
 protected:
  ModelStoreTest() {
    char name[] = "/tmp/seer-models-XXXXXX";
    folder = mkdtemp(name);
  }
  ~ModelStoreTest() override {
    for (int i = 0; i < 100; ++i) unlink((folder + "/model." + std::to_string(i)).c_str());
    unlink((folder + "/notes").c_str());
    rmdir(folder.c_str());
  }
  static Checkpoint Made(const std::string& reason) {
    Checkpoint checkpoint;
    checkpoint.config = *ModelConfig::Named("lstm", 2, 1, 4);
    const Network network = *Network::Create(checkpoint.config);
    checkpoint.parameters.assign(network.parameters(), 0.25f);
    checkpoint.provenance["retrain.stage"] = reason;
    return checkpoint;
  }
  static std::string Model(const std::string& reason) {
    return EncodeCheckpoint(Made(reason)).value();
  }
  static std::string Trees() {
    TreeRows rows;
    rows.columns = TreeModel::kClassColumns;
    for (int i = 0; i < 20; ++i) {
      rows.values.insert(rows.values.end(), rows.columns, static_cast<float>(i));
      rows.labels.push_back(i < 10 ? 0.0f : 1.0f);
    }
    TreeModel model;
    model.horizons_ns = {300'000'000};
    model.violations = BoostedTrees::Fit(rows, nullptr, {}).value();
    model.provenance["retrain.stage"] = "boost";
    return EncodeTreeModel(model);
  }
  std::string folder;
};

TEST_F(ModelStoreTest, KeepsEachModelWithWhereItComesFrom) {
  auto store = ModelStore::Open(folder).value();
  EXPECT_EQ(store->Put(Model("head")).value(), 1u);
  EXPECT_EQ(store->Put(Model("whole")).value(), 2u);
  EXPECT_EQ(ModelStore::Open(folder).value()->Put(Model("scratch")).value(), 3u);
  EXPECT_EQ(store->Get(2).value(), Model("whole"));
  EXPECT_TRUE(absl::IsNotFound(store->Get(9).status()));
  std::ofstream(folder + "/notes") << "not a model";
  const auto list = store->List().value();
  ASSERT_EQ(list.size(), 3u);
  EXPECT_EQ(list[2].provenance.at("retrain.stage"), "scratch");
}

TEST_F(ModelStoreTest, TreesAreModelsToo) {
  auto store = ModelStore::Open(folder).value();
  EXPECT_EQ(store->Put(Trees()).value(), 1u);
  ASSERT_EQ(store->Put(Model("head")).value(), 2u);
  EXPECT_EQ(store->Get(1).value(), Trees());
  EXPECT_EQ((*store->List())[0].provenance.at("retrain.stage"), "boost");
  EXPECT_EQ(MakeModelOf(store->Get(1).value()).value()->name(), "trees");
  EXPECT_FALSE(MakeModelOf(Trees().substr(0, 500)).ok());
  EXPECT_FALSE(MakeModelOf("nothing").ok());
  EXPECT_FALSE(store->Put("nothing").ok());
  EXPECT_FALSE(store->Put(Trees().substr(0, 500)).ok());
  EXPECT_EQ(store->List()->size(), 2u);
}

TEST_F(ModelStoreTest, TheOldestGoFirstButForThoseThatAreWanted) {
  ModelStoreOptions options;
  options.most = 3;
  options.never = {1};
  auto store = ModelStore::Open(folder, options).value();
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(store->Put(Model("head")).ok());
  const auto list = store->List().value();
  ASSERT_EQ(list.size(), 3u);
  EXPECT_EQ(list[0].number, 1u);
  EXPECT_EQ(list[1].number, 9u);
  EXPECT_EQ(list[2].number, 10u);
  // By size too; the newest stays whatever it has.
  options.bytes = 1;
  options.never.clear();
  ASSERT_TRUE(ModelStore::Open(folder, options).value()->Prune().ok());
  EXPECT_EQ(store->List()->size(), 1u);
}

TEST_F(ModelStoreTest, ADamagedModelIsSaidToBeOne) {
  auto store = ModelStore::Open(folder).value();
  ASSERT_TRUE(store->Put(Model("head")).ok());
  std::ofstream(folder + "/model.1", std::ios::binary) << "SEERNN\r\n nothing";
  EXPECT_TRUE(store->List()->front().damaged);
  EXPECT_FALSE(store->Get(1).ok());
  ModelStoreOptions options;
  options.most = 0;
  EXPECT_TRUE(absl::IsInvalidArgument(ModelStore::Open(folder, options).status()));
  EXPECT_FALSE(ModelStore::Open("/no/such/parent").ok());
}

}  // namespace
}  // namespace seer
