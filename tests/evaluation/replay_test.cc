#include "benchmarks/evaluation/replay.h"

#include <chrono>
#include <string>

#include "benchmarks/evaluation/score.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "seer/predict/rivals.h"

namespace seer::evaluation {
namespace {

using std::chrono::milliseconds;

// Two minutes of client -> front -> store, in which the store's backlog grows for two seconds,
// twice, and requests of the class miss their target in the second of these.
RecordedRun Sample() {
  RecordedRun run;
  run.name = "sample";
  const ServiceId front = run.topology.AddService("front", "shop").value();
  const ServiceId store = run.topology.AddService("store", "shop").value();
  const EdgeId in = run.topology.AddEdge(ServiceId(), front).value();
  const EdgeId call = run.topology.AddEdge(front, store).value();
  const auto target = QosTarget::Percentile(0.9, milliseconds(100), milliseconds(1000));
  EXPECT_TRUE(run.topology.AddRequestClass("shop", "buy", target, front).ok());
  for (int i = 0; i < 1200; ++i) {
    ClusterTick tick;
    tick.tick = 100'000 + i;
    tick.Reset(2, 2, 1);
    const int growth = i % 600 - 400;
    const double backlog = growth >= 0 && growth < 20 ? 10 * growth : 0;
    tick.edges.SetDepth(call, 3 + backlog);
    tick.edges.SetDepth(in, 5 + backlog);
    tick.edges.SetMade(in, 10);
    tick.edges.SetMade(call, 10);
    ClassTick& row = tick.classes[0];
    row.seen = true;
    row.count = 10;
    const bool slow = backlog > 100;
    row.over_target = slow ? 8 : 0;
    row.latency.Record(slow ? 150'000'000 : 20'000'000, 10);
    run.ticks.push_back(std::move(tick));
  }
  return run;
}

TEST(Replay, TruthIsWhatTheTargetsTell) {
  Recording recording;
  AddTruth(Sample(), &recording);
  const auto& run = recording.Of("sample");
  ASSERT_EQ(run.violations.size(), 2u);
  EXPECT_EQ(run.violations[0].request_class, "shop/buy");
  // Over 100 from the 12th tick of the growth on; two in a hundred are enough for a breach of 10 %.
  EXPECT_EQ(run.violations[0].start_ms, (100'000 + 412 + 1) * 100);
  EXPECT_EQ(run.start_ms, 100'001 * 100);
  EXPECT_EQ(run.end_ms, 101'200 * 100);
  ASSERT_EQ(run.tails.size(), 1200u);
  EXPECT_NEAR(run.tails[10].tail_ms, 20, 1);
  EXPECT_NEAR(run.tails[415].tail_ms, 150, 5);
  EXPECT_EQ(run.tails[0].target_ms, 100);
}

TEST(Replay, TruthThatIsKnownIsKept) {
  Recording recording;
  ViolationRow row;
  row.start_ms = 5;
  recording.Of("sample").violations.push_back(row);
  AddTruth(Sample(), &recording);
  ASSERT_EQ(recording.Of("sample").violations.size(), 1u);
  EXPECT_EQ(recording.Of("sample").violations[0].start_ms, 5);
}

TEST(Replay, ATrapIsAViolationWhoseLongestQueueIsAnothers) {
  const RecordedRun run = Sample();
  Recording recording;
  AddTruth(run, &recording);
  auto& violations = recording.Of("sample").violations;
  violations[0].culprit = "store";
  violations[1].culprit = "front";
  MarkTraps(run, &recording);
  EXPECT_TRUE(violations[0].trap) << "requests that wait for the store stand at the front too";
  EXPECT_FALSE(violations[1].trap);
}

TEST(Replay, ARivalIsScoredFromTicksToFigures) {
  const RecordedRun run = Sample();
  Recording recording;
  AddTruth(run, &recording);
  for (ViolationRow& row : recording.Of("sample").violations) row.culprit = "store";
  MarkTraps(run, &recording);
  const auto rival = MakeRival(RivalKind::kSelfDepthZ).value();
  ASSERT_TRUE(AddForecasts(run, 300, rival.get(), &recording).ok());

  // Through the files, as score-forecasts does.
  Recording again;
  ASSERT_TRUE(ReadViolations("v", ViolationsCsv(recording), &again).ok());
  ASSERT_TRUE(ReadTails("t", TailsCsv(recording), &again).ok());
  ASSERT_TRUE(ReadRuns("r", RunsCsv(recording), &again).ok());
  ASSERT_TRUE(ReadForecasts("f", ForecastsCsv(recording), &again).ok());
  for (const Recording* r : {&recording, &again}) {
    const Score score = ScoreForecasts(*r, {}).value();
    EXPECT_EQ(score.hits, 2u);
    EXPECT_EQ(score.false_alarms, 0u);
    EXPECT_EQ(score.metric("culprit_traps").value, 1);
    EXPECT_GE(score.metric("lead_median_ms").value, 300);
  }
}

}  // namespace
}  // namespace seer::evaluation
