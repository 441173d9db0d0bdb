// The closed loop in the simulator: small runs with faults made by hand.
#include <gtest/gtest.h>

#include <algorithm>

#include "benchmarks/evaluation/csv.h"
#include "benchmarks/evaluation/loop_run.h"
#include "benchmarks/evaluation/loop_score.h"

namespace seer::evaluation {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

// The hotel for 25 s; neighbours take the processors of one service's server from 12 s on.
PreparedRun Hotel(std::int64_t ramp_ns) {
  const std::string folder = SEER_SOURCE "/benchmarks/evaluation/scenarios/tiny.json";
  const auto set = ParseScenarioSet(folder, ReadFile(folder).value()).value();
  RunPlan plan;
  for (const RunPlan& each : RunsOf(set)) {
    if (each.set == "test") plan = each;
  }
  PreparedRun run = Prepare(set, plan, SEER_SOURCE "/benchmarks/cluster/graphs").value();
  run.scenario.seconds = 25;
  cluster::Fault fault;
  fault.kind = cluster::FaultKind::kCpuContention;
  fault.service = run.model->FindService("hotel/reservation");
  EXPECT_NE(fault.service, cluster::kNone);
  fault.server = run.model->instances[run.model->services[fault.service].first_instance].server;
  fault.start_ns = 12 * kSecond;
  fault.end_ns = 18 * kSecond;
  fault.ramp_ns = ramp_ns;
  fault.magnitude = 30;
  run.scenario.simulator.faults = {fault};
  return run;
}

TEST(Loop, ForeseenInTimeAViolationIsAvoidedAndOtherwiseShortened) {
  LoopOptions options;
  options.futures = 4;
  std::size_t lines = 0;
  options.audit = [&](std::string_view) { ++lines; };
  for (const std::int64_t ramp_ns : {3 * kSecond, std::int64_t{0}}) {
    SCOPED_TRACE(ramp_ns);
    const PreparedRun run = Hotel(ramp_ns);
    const LoopResult base = RunLoop(run, LoopArm::kNone, {}, options).value();
    ASSERT_FALSE(base.truth.empty());
    EXPECT_EQ(base.actions, 0u);
    EXPECT_EQ(base.truth[0].cause, "cpu");
    // What comes at once nobody could have foreseen.
    EXPECT_EQ(base.foreseeable[0], ramp_ns > 0);
    const LoopResult with = RunLoop(run, LoopArm::kSeerTold, base, options).value();
    EXPECT_GT(with.actions, 0u);
    EXPECT_GT(with.extra_core_seconds, 0);
    EXPECT_EQ(with.said[0], Cause::kCpu);
    LoopScore score;
    score.Add(run, base, with);
    EXPECT_EQ(score.all.violations, base.truth.size());
    EXPECT_LT(score.all.left_seconds, 0.8 * score.all.base_seconds + (ramp_ns > 0 ? 0.1 : 0));
    if (ramp_ns > 0) {
      EXPECT_GT(score.all.avoided, 0u);
    }
  }
  EXPECT_GT(lines, 0u);
}

TEST(Loop, TheSameRunTwiceIsTheSame) {
  const PreparedRun run = Hotel(3 * kSecond);
  LoopOptions options;
  options.futures = 0;
  const LoopResult base = RunLoop(run, LoopArm::kNone, {}, options).value();
  for (const LoopArm arm : {LoopArm::kSeerTold300, LoopArm::kAutoscaler, LoopArm::kRateLimit}) {
    SCOPED_TRACE(LoopArmName(arm));
    const LoopResult one = RunLoop(run, arm, base, options).value();
    const LoopResult two = RunLoop(run, arm, base, options).value();
    EXPECT_EQ(one.actions, two.actions);
    EXPECT_GT(one.actions, 0u);
    EXPECT_EQ(one.extra_core_seconds, two.extra_core_seconds);
    EXPECT_EQ(one.refused, two.refused);
    EXPECT_EQ(one.refused > 0, arm == LoopArm::kRateLimit);
    ASSERT_EQ(one.truth.size(), two.truth.size());
    for (std::size_t i = 0; i < one.truth.size(); ++i) {
      EXPECT_EQ(one.truth[i].violation, two.truth[i].violation);
    }
  }
}

cluster::TruthRow Row(std::uint32_t request_class, std::int64_t start_s, std::int64_t end_s,
                      std::int32_t fault = -1) {
  cluster::TruthRow row;
  row.violation.request_class = ClassId(request_class);
  row.violation.start_ns = start_s * kSecond;
  row.violation.end_ns = end_s * kSecond;
  row.fault = fault;
  return row;
}

TEST(LoopScore, CountsWhatWasAvoidedLeftAndCaused) {
  PreparedRun run;
  run.scenario.simulator.faults.resize(2);
  run.scenario.simulator.faults[0].kind = cluster::FaultKind::kCpuContention;
  run.scenario.simulator.faults[1].kind = cluster::FaultKind::kLockConvoy;
  LoopResult base, with;
  base.truth = {Row(0, 10, 14, 0), Row(1, 10, 14, 0), Row(2, 30, 33, 1), Row(0, 50, 51)};
  base.foreseeable = {true, true, true, false};
  with.said = {Cause::kCpu, Cause::kCpu, Cause::kCpu, Cause::kLoad};
  // The first is avoided; the second shorter, in two parts; the third as it was. One is new: of
  // another class, at the time of the first.
  with.truth = {Row(1, 11, 12), Row(1, 13, 14), Row(2, 30, 33), Row(3, 10, 12), Row(0, 52, 53)};
  with.actions = 2;
  with.extra_core_seconds = 5;
  with.core_seconds = 100;
  LoopScore score;
  score.Add(run, base, with);
  EXPECT_EQ(score.all.violations, 4u);
  EXPECT_EQ(score.all.avoided, 1u);
  EXPECT_EQ(score.actionable.violations, 3u);  // not the lock
  EXPECT_EQ(score.goal.violations, 2u);
  EXPECT_EQ(score.goal.avoided, 1u);
  EXPECT_NEAR(score.goal.Avoided(), 50, 1e-9);
  EXPECT_NEAR(score.all.base_seconds, 4 + 3 + 1, 1e-9);
  EXPECT_NEAR(score.all.left_seconds, 2 + 3 + 1, 1e-9);
  EXPECT_FALSE(SecondsLeft(base.truth[0], with));
  EXPECT_NEAR(SecondsLeft(base.truth[1], with).value(), 2, 1e-9);
  EXPECT_NEAR(SecondsLeft(base.truth[3], with).value(), 1, 1e-9);
  EXPECT_EQ(score.caused, 1u);
  EXPECT_NEAR(score.CausedPercent(), 25, 1e-9);
  EXPECT_NEAR(score.ExtraCpuPercent(), 5, 1e-9);
  // cpu: 2 hits, 3 said, 2 there: 0.8; application: 0; load: 1.
  EXPECT_NEAR(score.CauseF1(), (0.8 + 0 + 1) / 3, 1e-9);
}

TEST(LoopScore, TheCauseToFindIsTheResourceThatIsShort) {
  const auto cause_of = [](cluster::FaultKind kind) {
    cluster::Fault fault;
    fault.kind = kind;
    return CauseToFind(&fault);
  };
  EXPECT_EQ(cause_of(cluster::FaultKind::kUnderProvisioned), Cause::kCpu);
  EXPECT_EQ(cause_of(cluster::FaultKind::kCacheFlush), Cause::kApplication);
  EXPECT_EQ(cause_of(cluster::FaultKind::kSwitchFailure), Cause::kNetwork);
  EXPECT_EQ(cause_of(cluster::FaultKind::kDiskContention), Cause::kStorage);
  EXPECT_EQ(CauseToFind(nullptr), Cause::kLoad);
  EXPECT_TRUE(IsActionable(nullptr));
}

}  // namespace
}  // namespace seer::evaluation
