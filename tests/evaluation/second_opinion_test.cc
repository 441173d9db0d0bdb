#include "benchmarks/evaluation/second_opinion.h"

#include <algorithm>
#include <string>
#include <vector>

#include "benchmarks/cluster/sim/scenario.h"
#include "gtest/gtest.h"

namespace seer::evaluation {
namespace {

constexpr std::int64_t kMs = 1'000'000;
constexpr std::int64_t kSecond = 1000 * kMs;

// One request at a time, and slowly, for four seconds of a run of 16 s.
PreparedRun Convoy() {
  auto app =
      cluster::LoadApplication(std::string(SEER_SOURCE) + "/benchmarks/cluster/graphs/hotel.json");
  EXPECT_TRUE(app.ok()) << app.status();
  auto model = cluster::BuildModel({*app}, cluster::UniformCluster(4), {});
  EXPECT_TRUE(model.ok()) << model.status();
  cluster::Fault fault;
  fault.kind = cluster::FaultKind::kLockConvoy;
  fault.service = (*model)->FindService("hotel/frontend");
  fault.magnitude = 60;
  fault.start_ns = 10 * kSecond;
  fault.end_ns = 14 * kSecond;
  PreparedRun run;
  run.plan = {"test", "test-1", 7, 0.25};
  run.model = *model;
  run.scenario.seconds = 16;
  run.scenario.simulator.loads = {{500, 0, 3600, 0}};
  run.scenario.simulator.faults = {fault};
  return run;
}

TEST(SecondOpinion, ItIsRaisedWhereTheFaultHasBegunAndNotBefore) {
  const PreparedRun run = Convoy();
  const auto truth = cluster::RunScenario(run.model, run.scenario, nullptr);
  ASSERT_FALSE(truth.empty());
  const Violation& violation = truth.front().violation;
  const std::int64_t fault_ns =
      cluster::SimulatorOptions().start_ns + run.scenario.simulator.faults[0].start_ns;
  ASSERT_GT(violation.start_ns, fault_ns + 100 * kMs);
  std::vector<AskedAlarm> alarms(3);
  for (AskedAlarm& alarm : alarms) alarm.request_class = violation.request_class;
  alarms[0].time_ns = fault_ns - 5 * kSecond;
  alarms[1].time_ns = fault_ns;  // nothing tells of it yet
  alarms[2].time_ns = violation.start_ns - 100 * kMs;
  const auto violations = AskAgain(run, 8, 2000, &alarms);
  ASSERT_TRUE(violations.ok()) << violations.status();
  EXPECT_EQ(*violations, truth.size()) << "the same run once more";
  for (const AskedAlarm& alarm : alarms) EXPECT_EQ(alarm.futures, 8u);
  EXPECT_FALSE(alarms[0].raised());
  EXPECT_FALSE(alarms[1].raised());
  EXPECT_TRUE(alarms[2].raised());
  alarms[0].time_ns += 1;
  EXPECT_FALSE(AskAgain(run, 1, 100, &alarms).ok()) << "no tick ends then";
}

// A tick each 100 ms; alarms at some of them, one violation from 5 s to 6 s.
HeardRun Heard(const std::vector<std::int64_t>& alarms_ms) {
  HeardRun heard;
  HeardClass& one = heard.classes.emplace_back();
  one.request_class = ClassId(3);
  for (std::int64_t ms = 100; ms <= 10'000; ms += 100) {
    one.alarms.times_ns.push_back(ms * kMs);
    one.alarms.near.push_back(ms == 8500 ? 1 : 0);
    const bool raised = std::find(alarms_ms.begin(), alarms_ms.end(), ms) != alarms_ms.end();
    one.alarms.alarms.push_back(raised ? 1 : 0);
  }
  one.alarms.violations = {{5000 * kMs, 6000 * kMs}};
  return heard;
}

TEST(SecondOpinion, AlarmsAreHitsInVainOrOfWhatWasToldBefore) {
  // In vain; hit; told before; late, which nobody is asked about; a near miss.
  const auto asked = AlarmsOf(Heard({2000, 4000, 4500, 5500, 8000}), 1);
  ASSERT_EQ(asked.size(), 4u);
  EXPECT_TRUE(!asked[0].hit && !asked[0].again && !asked[0].near_miss);
  EXPECT_TRUE(asked[1].hit && !asked[1].again);
  EXPECT_TRUE(!asked[2].hit && asked[2].again);
  EXPECT_TRUE(!asked[3].hit && !asked[3].again && asked[3].near_miss);
  EXPECT_EQ(asked[0].time_ns, 2000 * kMs);
  EXPECT_EQ(asked[0].request_class, ClassId(3));
  // Of three false ones the first and the last; the one hit comes first too.
  EXPECT_EQ(AlarmsOf(Heard({2000, 4000, 4500, 8000}), 2).size(), 3u);
  EXPECT_EQ(AlarmsOf(Heard({2000, 4000, 4500, 8000}), 2, 1).size(), 1u) << "others, in turn";
}

TEST(SecondOpinion, PrecisionIsWhatTheDiceLeave) {
  const auto alarm = [](bool hit, bool again, std::uint32_t violate) {
    AskedAlarm one;
    one.hit = hit;
    one.again = again;
    one.futures = 8;
    one.violate = violate;
    return one;
  };
  const SecondOpinion opinion =
      Summarize({alarm(true, false, 8), alarm(true, false, 4), alarm(true, false, 2),
                 alarm(false, false, 4), alarm(false, true, 6)});
  EXPECT_DOUBLE_EQ(opinion.precision, 0.6);
  EXPECT_DOUBLE_EQ(opinion.precision_expected, 24.0 / 40);
  EXPECT_DOUBLE_EQ(opinion.precision_agreed, 0.5) << "two hits of four";
  EXPECT_DOUBLE_EQ(opinion.hits.value, 2.0 / 3);
  EXPECT_EQ(opinion.hits.of, 3u);
  EXPECT_DOUBLE_EQ(opinion.false_alarms.value, 1);
  EXPECT_EQ(opinion.in_vain.of, 1u);
  EXPECT_EQ(opinion.again.of, 1u);
  EXPECT_DOUBLE_EQ(opinion.share_of_false, 10.0 / 16);
  EXPECT_FALSE(AskedAlarm().raised());
}

}  // namespace
}  // namespace seer::evaluation
