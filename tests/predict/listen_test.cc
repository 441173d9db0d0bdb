#include "seer/predict/listen.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "seer/predict/rivals.h"
#include "tests/predict/faulty_cluster.h"

namespace seer {
namespace {

using testing::FaultyRun;

TEST(Listen, KeepsWhatWasSaidBesideWhatCame) {
  const FaultyRun run(21, 1000);
  const auto rival = MakeRival(RivalKind::kSelfDepthZ).value();
  const auto heard = Listen(run.Labelled(), rival.get(), {300'000'000, 1'000'000'000});
  ASSERT_TRUE(heard.ok()) << heard.status();
  ASSERT_EQ(heard->classes.size(), 1u);
  const HeardClass& one = heard->classes[0];
  EXPECT_EQ(one.request_class, run.cluster.buy);
  EXPECT_NEAR(heard->hours, 99.9 / 3600, 1e-9);
  EXPECT_EQ(one.alarms.times_ns, one.forecasts.times_ns);
  EXPECT_EQ(one.forecasts.probabilities.size(), 2 * one.alarms.times_ns.size());
  EXPECT_EQ(one.violations.size(), run.violations.size());
  ASSERT_GT(one.violations.size(), 0u);

  // The same as asking it by hand.
  rival->Reset();
  Forecast forecast;
  std::size_t i = 0, alarms = 0, near = 0;
  for (const ClusterTick& tick : run.all) {
    ASSERT_TRUE(rival->Observe(tick, run.cluster.topology, &forecast).ok());
    for (const ClassForecast& row : forecast.classes) {
      ASSERT_LT(i, one.alarms.times_ns.size());
      EXPECT_EQ(one.alarms.times_ns[i], tick.period.EndNs(tick.tick));
      EXPECT_EQ(one.alarms.alarms[i] != 0, row.alarm);
      EXPECT_EQ(one.forecasts.probabilities[2 * i], ProbabilityWithin(row, 300'000'000));
      EXPECT_EQ(one.blamed[i], row.initiators[0].service);
      alarms += row.alarm ? 1 : 0;
      near += one.alarms.near[i];
      ++i;
    }
  }
  EXPECT_EQ(i, one.alarms.times_ns.size());
  EXPECT_GT(alarms, 0u);
  EXPECT_GT(near, 0u);
  EXPECT_LT(near, i / 2);
}

TEST(Listen, TellsOfErrors) {
  const FaultyRun run(22, 50);
  const auto rival = MakeRival(RivalKind::kSelfDepthZ).value();
  LabelledRun torn = run.Labelled();
  torn.for_each_tick = [](const auto&) { return absl::DataLossError("torn"); };
  EXPECT_EQ(Listen(torn, rival.get(), {1}).status().code(), absl::StatusCode::kDataLoss);
  LabelledRun twice = run.Labelled();
  twice.for_each_tick = [&](const auto& handle) {
    const absl::Status first = handle(run.all[0]);
    return first.ok() ? handle(run.all[0]) : first;
  };
  EXPECT_EQ(Listen(twice, rival.get(), {1}).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(BlamedRightly, IsAboutHitsWhoseTruthIsKnown) {
  HeardClass heard;
  heard.blamed = {ServiceId(3), ServiceId()};
  heard.violations.resize(3);
  heard.violations[0].initiation = Initiation::kService;
  heard.violations[0].culprit = ServiceId(3);
  heard.violations[1].initiation = Initiation::kLoad;
  ScoredAlarm alarm;
  EXPECT_EQ(BlamedRightly(heard, alarm), -1) << "a false alarm";
  alarm.outcome = AlarmOutcome::kHit;
  EXPECT_EQ(BlamedRightly(heard, alarm), 1);
  alarm.violation = 1;
  EXPECT_EQ(BlamedRightly(heard, alarm), 0);
  alarm.tick = 1;
  EXPECT_EQ(BlamedRightly(heard, alarm), 1) << "load";
  alarm.violation = 0;
  EXPECT_EQ(BlamedRightly(heard, alarm), 0);
  alarm.violation = 2;
  EXPECT_EQ(BlamedRightly(heard, alarm), -1) << "nobody knows";
}

}  // namespace
}  // namespace seer
