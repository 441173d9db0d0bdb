#include "benchmarks/evaluation/fit.h"

#include <memory>
#include <string>
#include <vector>

#include "benchmarks/evaluation/replay.h"
#include "benchmarks/evaluation/score.h"
#include "gtest/gtest.h"
#include "seer/predict/rivals.h"
#include "tests/evaluation/faulty_run.h"

namespace seer::evaluation {
namespace {

constexpr RivalKind kFitted[] = {RivalKind::kLargestDepth, RivalKind::kSelfDepthZ,
                                 RivalKind::kQueueSlope, RivalKind::kDeepestAbnormal};

Trace TraceOf(const RecordedRun& run, RivalKind kind, double threshold) {
  RivalOptions options;
  options.threshold = threshold;
  options.horizons_ns = {options.alarm_horizon_ns};
  const auto rival = MakeRival(kind, options).value();
  Trace trace;
  Forecast forecast;
  for (const ClusterTick& tick : run.ticks) {
    EXPECT_TRUE(rival->Observe(tick, run.topology, &forecast).ok());
    trace.Observe(forecast, 300, run.topology);
  }
  return trace;
}

struct Validation {
  RecordedRun run;
  Recording recording;
  const Run& truth() const { return recording.runs.front(); }
};

Validation Make(unsigned seed) {
  Validation v;
  std::vector<ViolationRow> violations;
  v.run = FaultyRun(seed, &violations);
  v.recording.Of(v.run.name).violations = violations;
  AddTruth(v.run, &v.recording);
  return v;
}

ProbeOptions Probe(RivalKind kind) {
  ProbeOptions probe;
  probe.scale = Scale::kRatio4;
  probe.probe = 400 * DefaultThreshold(kind);
  return probe;
}

// What was counted without the predictor is what the predictor then does.
TEST(Fit, CountsAreThoseOfThePredictorAtTheFittedThreshold) {
  const Validation v = Make(5);
  for (const RivalKind kind : kFitted) {
    SCOPED_TRACE(RivalName(kind));
    const ProbeOptions probe = Probe(kind);
    const Trace trace = TraceOf(v.run, kind, probe.probe);
    const TracedRun run{&v.truth(), &trace};
    const Fitted fitted = FitThreshold(v.recording.names, {run}, probe, 20);

    Recording recording = v.recording;
    TraceOf(v.run, kind, fitted.threshold).AddTo(v.run.name, 300, &recording);
    const Score score = ScoreForecasts(recording, {}).value();
    EXPECT_EQ(score.hits, fitted.hits);
    EXPECT_EQ(score.alarms, fitted.alarms);
    EXPECT_EQ(score.false_alarms, fitted.false_alarms);
    EXPECT_EQ(score.violations.size(), fitted.violations);
    EXPECT_NEAR(score.hours, fitted.hours, 1e-9);
  }
}

TEST(Fit, KeepsToTheRateAndGetsMoreWhereMoreIsAllowed) {
  const Validation v = Make(6);
  for (const RivalKind kind : kFitted) {
    SCOPED_TRACE(RivalName(kind));
    const ProbeOptions probe = Probe(kind);
    const Trace trace = TraceOf(v.run, kind, probe.probe);
    const TracedRun run{&v.truth(), &trace};
    std::uint64_t before = 0;
    for (const double rate : {0.0, 6.0, 60.0, 100'000.0}) {
      const Fitted fitted = FitThreshold(v.recording.names, {run}, probe, rate);
      EXPECT_LE(fitted.PerHour(fitted.false_alarms - fitted.near_misses), rate);
      EXPECT_GE(fitted.hits, before);
      before = fitted.hits;
    }
    EXPECT_GT(before, 0u) << "where everything is allowed, something is foreseen";
  }
}

TEST(Fit, WithoutAThresholdThatKeepsToTheRateThereIsNoAlarm) {
  Validation v = Make(7);
  v.recording.runs.front().violations.clear();  // now every alarm is false
  const ProbeOptions probe = Probe(RivalKind::kSelfDepthZ);
  const Trace trace = TraceOf(v.run, RivalKind::kSelfDepthZ, probe.probe);
  const TracedRun run{&v.truth(), &trace};
  const Fitted fitted = FitThreshold(v.recording.names, {run}, probe, 0);
  EXPECT_EQ(fitted.alarms, 0u);
  EXPECT_GT(fitted.threshold, 0);
  EXPECT_EQ(FitThreshold(v.recording.names, {}, probe, 1).violations, 0u);
}

TEST(Fit, KeepsToAPrecisionWhereOneIsAskedFor) {
  const Validation v = Make(9);
  const ProbeOptions usual = Probe(RivalKind::kQueueSlope);
  const Trace trace = TraceOf(v.run, RivalKind::kQueueSlope, usual.probe);
  const TracedRun run{&v.truth(), &trace};
  std::uint64_t before = 1'000'000;
  for (const double precision : {0.01, 0.5, 0.9}) {
    ProbeOptions probe = usual;
    probe.least_precision = precision;
    const Fitted fitted = FitThreshold(v.recording.names, {run}, probe, 0);
    EXPECT_GT(fitted.hits, 0u) << precision;
    EXPECT_GE(static_cast<double>(fitted.hits),
              precision * static_cast<double>(fitted.hits + fitted.false_alarms));
    EXPECT_LE(fitted.hits, before) << "more precision is no more recall";
    before = fitted.hits;
  }
}

TEST(Fit, APredictorWithAThresholdOfItsOwnIsOnlyCounted) {
  const Validation v = Make(8);
  const Trace trace = TraceOf(v.run, RivalKind::kSelfDepthZ, 4);
  const TracedRun run{&v.truth(), &trace};
  ProbeOptions probe;
  probe.scale = Scale::kOwn;
  const Fitted fitted = FitThreshold(v.recording.names, {run}, probe, 0);
  Recording recording = v.recording;
  trace.AddTo(v.run.name, 300, &recording);
  const Score score = ScoreForecasts(recording, {}).value();
  EXPECT_EQ(fitted.hits, score.hits);
  EXPECT_EQ(fitted.alarms, score.alarms);
  EXPECT_GT(fitted.alarms, 0u);
}

}  // namespace
}  // namespace seer::evaluation
