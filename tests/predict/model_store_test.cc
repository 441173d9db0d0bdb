#include "seer/predict/model_store.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>

#include "seer/nn/network.h"

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
  static Checkpoint Model(const std::string& reason) {
    Checkpoint checkpoint;
    checkpoint.config = *ModelConfig::Named("lstm", 2, 1, 4);
    const Network network = *Network::Create(checkpoint.config);
    checkpoint.parameters.assign(network.parameters(), 0.25f);
    checkpoint.provenance["retrain.stage"] = reason;
    return checkpoint;
  }
  std::string folder;
};

TEST_F(ModelStoreTest, KeepsEachModelWithWhereItComesFrom) {
  auto store = ModelStore::Open(folder).value();
  EXPECT_EQ(store->Put(Model("head")).value(), 1u);
  EXPECT_EQ(store->Put(Model("whole")).value(), 2u);
  EXPECT_EQ(ModelStore::Open(folder).value()->Put(Model("scratch")).value(), 3u);
  EXPECT_EQ(store->Get(2)->provenance.at("retrain.stage"), "whole");
  EXPECT_TRUE(store->Get(2)->parameters == Model("").parameters);
  EXPECT_TRUE(absl::IsNotFound(store->Get(9).status()));
  std::ofstream(folder + "/notes") << "not a model";
  const auto list = store->List().value();
  ASSERT_EQ(list.size(), 3u);
  EXPECT_EQ(list[2].provenance.at("retrain.stage"), "scratch");
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
