#include "seer/predict/tree_trainer.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/predict/faulty_cluster.h"

namespace seer {
namespace {

using testing::FaultyRun;
using ::testing::HasSubstr;
using testing::SmallTraining;

struct Runs {
  FaultyRun a{1}, b{2}, held{3};
  std::vector<LabelledRun> train = {a.Labelled(), b.Labelled()}, validation = {held.Labelled()};
};

TEST(TrainTrees, LearnsToForeseeAndToBlame) {
  const Runs runs;
  TreeTrainingOptions options = SmallTraining();
  options.view_stride = 3;
  TreeTrainingReport report;
  const auto model = TrainTrees(runs.train, runs.validation, options, &report);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(report.ticks, 12000u);
  EXPECT_EQ(report.violations, runs.a.violations.size() + runs.b.violations.size());
  EXPECT_GT(report.rows_ahead, 500u);
  EXPECT_GT(report.alarm.recall(), 0.9);
  EXPECT_LE(report.alarm.false_alarms - report.alarm.near_misses, 12 * report.alarm.hours);
  EXPECT_GT(report.culprits, 10u);
  EXPECT_GT(report.culprit_top1, 0.9);
  EXPECT_LT(report.alarm.error_after, 0.05);
  EXPECT_TRUE(model->Validate().ok());
}

TEST(TrainTreesConcurrency, TheNumberOfThreadsChangesNothing) {
  const Runs runs;
  TreeTrainingOptions options = SmallTraining();
  options.violations.rounds = options.initiators.rounds = 10;
  options.view_stride = 3;
  const auto one = TrainTrees(runs.train, runs.validation, options);
  options.threads = 3;
  const auto three = TrainTrees(runs.train, runs.validation, options);
  ASSERT_TRUE(one.ok() && three.ok());
  EXPECT_EQ(EncodeTreeModel(*one), EncodeTreeModel(*three));
}

TEST(TrainTrees, RowsAreBoundedAndWeighAsManyAsThereWere) {
  const Runs runs;
  TreeTrainingOptions options = SmallTraining();
  options.violations.rounds = options.initiators.rounds = 5;
  TreeTrainingReport all, few;
  options.stride = 1;
  options.view_stride = 0;
  ASSERT_TRUE(TrainTrees(runs.train, runs.validation, options, &all).ok());
  options.max_rows = 2000;
  ASSERT_TRUE(TrainTrees(runs.train, runs.validation, options, &few).ok());
  EXPECT_GT(all.rows, 8000u);
  EXPECT_LT(few.rows, 4000u);
  EXPECT_EQ(few.rows_ahead, all.rows_ahead);
  EXPECT_GT(all.rows_stirring, 0u);
  EXPECT_GT(few.rows_stirring * all.rows, all.rows_stirring * few.rows)
      << "those in which nothing stirs went first";
}

TEST(TrainTrees, WhatOthersWouldHaveSeenIsLearntFromToo) {
  const Runs runs;
  TreeTrainingOptions options = SmallTraining();
  options.violations.rounds = options.initiators.rounds = 5;
  options.view_stride = 3;
  TreeTrainingReport with, without;
  ASSERT_TRUE(TrainTrees(runs.train, runs.validation, options, &with).ok());
  options.view_stride = 0;
  ASSERT_TRUE(TrainTrees(runs.train, runs.validation, options, &without).ok());
  EXPECT_GT(with.rows, without.rows + without.rows / 4);
  EXPECT_GT(with.initiator_groups, without.initiator_groups);
  EXPECT_EQ(with.rows_ahead, without.rows_ahead) << "of the runs as they were";
  EXPECT_EQ(with.ticks, without.ticks);
}

TEST(TrainTrees, TellsHowWrongDepthsAreThatAreInferred) {
  Runs runs;
  TreeTrainingOptions options = SmallTraining();
  options.violations.rounds = options.initiators.rounds = 2;
  TreeTrainingReport report;
  ASSERT_TRUE(TrainTrees(runs.train, runs.validation, options, &report).ok());
  EXPECT_EQ(report.inferred, 0u) << "nobody tells what is queued";
  // What calls the store stands there, but for one request in ten that is on its way.
  const auto& cluster = runs.held.cluster;
  for (ClusterTick& tick : runs.held.all) {
    const double there = 0.9 * *tick.edges.depth(cluster.to_store);
    tick.services.SetDepth(cluster.store, Channel::kQueued, there / 2);
    tick.services.SetDepth(cluster.store, Channel::kRunning, there / 2);
  }
  ASSERT_TRUE(TrainTrees(runs.train, runs.validation, options, &report).ok());
  EXPECT_EQ(report.inferred, 375u) << "of the logic alone, each 16th tick";
  EXPECT_GT(report.inferred_error, 0.3);
  EXPECT_LT(report.inferred_error, 0.1 * report.inferred_depth + 1.5);
}

TEST(TrainTrees, SaysWhatIsMissing) {
  const Runs runs;
  const auto message = [](absl::Span<const LabelledRun> train,
                          absl::Span<const LabelledRun> validation) {
    return std::string(TrainTrees(train, validation, SmallTraining()).status().message());
  };
  EXPECT_THAT(message({}, runs.validation), HasSubstr("training runs"));
  EXPECT_THAT(message(runs.train, {}), HasSubstr("validation runs"));
  std::vector<LabelledRun> unlabelled = {runs.a.Labelled()};
  unlabelled[0].violations.clear();
  EXPECT_THAT(message(unlabelled, runs.validation), HasSubstr("label"));
  EXPECT_THAT(message(runs.train, unlabelled), HasSubstr("no violation"));
  std::vector<LabelledRun> empty = {runs.a.Labelled()};
  empty[0].for_each_tick = [](const auto&) { return absl::OkStatus(); };
  EXPECT_THAT(message(empty, runs.validation), HasSubstr("no ticks"));
  std::vector<LabelledRun> broken = {runs.a.Labelled(), runs.b.Labelled()};
  broken[1].for_each_tick = [](const auto&) { return absl::DataLossError("torn"); };
  EXPECT_THAT(message(broken, runs.validation), HasSubstr("torn"));
}

}  // namespace
}  // namespace seer
