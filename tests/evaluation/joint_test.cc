#include "benchmarks/evaluation/joint.h"

#include <memory>
#include <vector>

#include "benchmarks/evaluation/replay.h"
#include "benchmarks/evaluation/score.h"
#include "gtest/gtest.h"
#include "tests/evaluation/faulty_run.h"

namespace seer::evaluation {
namespace {

JointRows Collect(const std::vector<unsigned>& seeds) {
  JointRows all(500, 10);
  for (const unsigned seed : seeds) {
    std::vector<ViolationRow> violations;
    const RecordedRun run = FaultyRun(seed, &violations);
    JointRows rows(500, 10);
    rows.Begin();
    for (const ClusterTick& tick : run.ticks) rows.Observe(tick, run.topology, violations);
    all.Append(rows);
  }
  return all;
}

TEST(Joint, RowsSaySoonWhatAndWhose) {
  const JointRows rows = Collect({1});
  ASSERT_EQ(rows.parts().size(), 1u);
  const JointPart& part = rows.parts()[0];
  EXPECT_EQ(part.services.size(), 3u);
  // Five ticks before each of ten violations.
  double soon = 0;
  for (const float label : part.alarms.labels) soon += label;
  EXPECT_EQ(soon, 50);
  EXPECT_EQ(part.culprits.size(), 50u);
  EXPECT_EQ(part.alarms.values.size(), part.alarms.rows() * part.alarms.columns);
  EXPECT_EQ(part.blames.values.size(), part.culprits.size() * part.blames.columns);
  for (const std::string& culprit : part.culprits)
    EXPECT_TRUE(culprit == "cache" || culprit == "store");
}

TEST(Joint, ForeseesOnARunItHasNotSeen) {
  TreeOptions options;
  options.rounds = 60;
  options.least_child_weight = 3;
  auto model = TrainJoint(Collect({1, 2, 3, 4}), options);
  if (model.status().code() == absl::StatusCode::kUnimplemented) GTEST_SKIP() << model.status();
  ASSERT_TRUE(model.ok()) << model.status();
  std::vector<ViolationRow> violations;
  const RecordedRun run = FaultyRun(99, &violations);
  Recording recording;
  recording.Of(run.name).violations = violations;
  recording.Of(run.name).end_ms = 600'000;
  const auto rival = MakeJointRival("trees-joint", std::make_shared<JointModel>(*model), 500, 0.5);
  ASSERT_TRUE(AddForecasts(run, 500, rival.get(), &recording).ok());
  const Score score = ScoreForecasts(recording, {}).value();
  EXPECT_EQ(score.metric("recall").value, 1);
  EXPECT_GE(score.metric("precision").value, 0.8);
  EXPECT_GE(score.metric("culprit_top1").value, 0.7);
}

TEST(Joint, WithoutViolationsItNeverAlarmsAndOtherTopologiesAreRefused) {
  std::vector<ViolationRow> violations;
  const RecordedRun run = FaultyRun(1, &violations);
  JointRows rows(500, 10);
  rows.Begin();
  for (const ClusterTick& tick : run.ticks) rows.Observe(tick, run.topology, {});
  auto model = TrainJoint(rows, TreeOptions());
  ASSERT_TRUE(model.ok()) << model.status();  // no violation, no trees
  const auto rival = MakeJointRival("never", std::make_shared<JointModel>(*model), 500, 0.5);
  Forecast forecast;
  for (const ClusterTick& tick : run.ticks) {
    ASSERT_TRUE(rival->Observe(tick, run.topology, &forecast).ok());
    EXPECT_FALSE(forecast.alarm());
  }
  EXPECT_EQ(forecast.classes.size(), 1u);
  EXPECT_FALSE(rival->Observe(run.ticks[0], run.topology, &forecast).ok()) << "not in order";
  rival->Reset();
  EXPECT_FALSE(rival->Observe(run.ticks[0], Topology(), &forecast).ok());
  EXPECT_TRUE(rival->Observe(run.ticks[0], run.topology, &forecast).ok());
}

}  // namespace
}  // namespace seer::evaluation
