#include "benchmarks/evaluation/contenders.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace seer::evaluation {
namespace {

TEST(ForEachInParallelConcurrency, EveryIndexOnceWhateverTheNumberOfThreads) {
  for (const std::size_t jobs : {0u, 1u, 2u, 7u}) {
    std::vector<int> done(100, 0);
    const absl::Status status = ForEachInParallel(jobs, done.size(), [&](std::size_t i) {
      ++done[i];
      return absl::OkStatus();
    });
    EXPECT_TRUE(status.ok());
    EXPECT_EQ(std::count(done.begin(), done.end(), 1), 100) << jobs;
  }
  EXPECT_TRUE(ForEachInParallel(3, 0, [](std::size_t) { return absl::OkStatus(); }).ok());
}

TEST(ForEachInParallelConcurrency, AnErrorIsTold) {
  const absl::Status status = ForEachInParallel(3, 50, [](std::size_t i) {
    return i == 20 ? absl::DataLossError("twenty") : absl::OkStatus();
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
}

TEST(Contenders, HaveNamesThatFiguresAndFoldersCanHave) {
  ScenarioSet set;
  set.training.seeds = 3;
  std::vector<Contender> all = AllContenders(set);
  all.push_back(RandomContender(set, 3));
  std::set<std::string> names;
  for (const Contender& contender : all) {
    EXPECT_TRUE(names.insert(contender.name).second) << contender.name;
    EXPECT_EQ(contender.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-@"),
              std::string::npos);
    EXPECT_TRUE(contender.prepare != nullptr);
    if (contender.trained) continue;
    const auto make = contender.prepare(nullptr);
    ASSERT_TRUE(make.ok());
    const auto predictor = (*make)(contender.probe);
    ASSERT_TRUE(predictor.ok()) << contender.name << ": " << predictor.status();
    const std::string& form = contender.form_of;
    EXPECT_EQ((*predictor)->name(), form.empty() ? contender.name : form);
  }
  EXPECT_TRUE(names.count("self-depth-z") == 1 && names.count("trees@3") == 1);
}

// What takes long is begun first: whoever is said to train a model does, and nobody twice.
TEST(Contenders, ModelsAreOfWhoTrainsThem) {
  ScenarioSet set;
  set.apps = {"hotel", "media"};
  set.training.seeds = 2;
  std::map<std::string, int> models;
  for (const Contender& contender : AllContenders(set)) {
    if (contender.models > 0) models[contender.name] = contender.models;
  }
  const std::map<std::string, int> expected = {{"seer", 1},     {"seer@2", 1},
                                               {"seer-nic", 1}, {"seer-kernel", 1},
                                               {"seer-app", 1}, {"seer-unseen-app", 2}};
  EXPECT_EQ(models, expected);
}

}  // namespace
}  // namespace seer::evaluation
