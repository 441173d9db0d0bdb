#include "benchmarks/evaluation/trace.h"

#include <string>
#include <vector>

#include "benchmarks/evaluation/csv.h"
#include "benchmarks/evaluation/replay.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "seer/predict/rivals.h"
#include "tests/evaluation/faulty_run.h"

namespace seer::evaluation {
namespace {

Trace TraceOf(const RecordedRun& run, TickPredictor* predictor) {
  Trace trace;
  Forecast forecast;
  predictor->Reset();
  for (const ClusterTick& tick : run.ticks) {
    EXPECT_TRUE(predictor->Observe(tick, run.topology, &forecast).ok());
    trace.Observe(forecast, 300, run.topology);
  }
  return trace;
}

bool Same(const ForecastRow& a, const Names& of_a, const ForecastRow& b, const Names& of_b) {
  return a.time_ms == b.time_ms && a.horizon_ms == b.horizon_ms &&
         of_a[a.request_class] == of_b[b.request_class] && of_a[a.culprit] == of_b[b.culprit] &&
         a.p_violation == b.p_violation && a.alarm == b.alarm;
}

TEST(Trace, GivesTheRowsThatThePredictorGave) {
  std::vector<ViolationRow> violations;
  const RecordedRun run = FaultyRun(3, &violations);
  const auto rival = MakeRival(RivalKind::kSelfDepthZ).value();
  const std::string path = ::testing::TempDir() + "/rows.trace";
  ASSERT_TRUE(TraceOf(run, rival.get()).Save(path).ok());
  const absl::StatusOr<Trace> trace = Trace::Load(path);
  ASSERT_TRUE(trace.ok()) << trace.status();
  EXPECT_EQ(trace->ticks(), run.ticks.size());

  Recording expected, got;
  ASSERT_TRUE(AddForecasts(run, 300, rival.get(), &expected).ok());
  trace->AddTo(run.name, 300, &got);
  const std::vector<ForecastRow>& a = expected.Of(run.name).forecasts;
  const std::vector<ForecastRow>& b = got.Of(run.name).forecasts;
  ASSERT_EQ(a.size(), b.size());
  ASSERT_GT(a.size(), 5000u);
  for (std::size_t i = 0; i < a.size(); ++i) {
    ASSERT_TRUE(Same(a[i], expected.names, b[i], got.names)) << i;
  }

  // The same as columns.
  std::size_t lines = 0;
  for (const ClassLines& own : trace->Lines()) {
    lines += own.p.size();
    std::size_t next = 0;
    for (const ForecastRow& row : a) {
      if (expected.names[row.request_class] != own.request_class) continue;
      ASSERT_LT(next, own.p.size());
      EXPECT_EQ(own.times_ms[next], row.time_ms);
      EXPECT_EQ(own.p[next], row.p_violation);
      EXPECT_EQ(own.alarms[next] != 0, row.alarm);
      EXPECT_EQ(trace->culprits()[own.culprits[next]], expected.names[row.culprit]);
      ++next;
    }
  }
  EXPECT_EQ(lines, a.size());
}

TEST(Trace, AFileThatIsNotWholeIsRefused) {
  std::vector<ViolationRow> violations;
  RecordedRun run = FaultyRun(3, &violations);
  run.ticks.resize(80);
  const auto rival = MakeRival(RivalKind::kLargestDepth).value();
  const std::string path = ::testing::TempDir() + "/torn.trace";
  ASSERT_TRUE(TraceOf(run, rival.get()).Save(path).ok());
  const std::string whole = ReadFile(path).value();
  ASSERT_TRUE(Trace::Load(path).ok());
  for (std::size_t size = 0; size < whole.size(); size += size < 200 ? 1 : 97) {
    ASSERT_TRUE(WriteFile(path, whole.substr(0, size)).ok());
    EXPECT_EQ(Trace::Load(path).status().code(), absl::StatusCode::kDataLoss) << size;
  }
  std::string wrong = whole;
  wrong[wrong.size() - 2] = '\x7f';  // a culprit that there is not
  wrong[wrong.size() - 1] = '\x7f';
  ASSERT_TRUE(WriteFile(path, wrong).ok());
  EXPECT_EQ(Trace::Load(path).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(Trace::Load(path + ".none").status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace seer::evaluation
