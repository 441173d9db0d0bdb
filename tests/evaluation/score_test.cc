#include "benchmarks/evaluation/score.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace seer::evaluation {
namespace {

using ::testing::HasSubstr;

// Runs of ten minutes with a violation each minute (20 s to 22 s of it), and forecasts each 100 ms.
class ScoreTest : public ::testing::Test {
 protected:
  void AddRun(const std::string& name, int minutes = 10) {
    auto& run = recording.Of(name);
    for (int i = 0; i < minutes; ++i) {
      ViolationRow row;
      row.start_ms = i * 60'000 + 20'000;
      row.end_ms = row.start_ms + 2000;
      row.request_class = "buy";
      row.culprit = i % 2 == 0 ? "store" : "load";
      row.cause = i % 2 == 0 ? "cpu" : "load";
      row.trap = i % 5 == 0;
      row.groups = {{"onset", i % 3 == 0 ? "ramp" : "step"}};
      run.violations.push_back(row);
    }
    for (std::int64_t t = 0; t <= minutes * 60'000; t += 100) {
      ForecastRow row;
      row.time_ms = t;
      row.horizon_ms = 300;
      row.request_class = recording.names.Intern("buy");
      row.culprit = recording.names.Intern("");
      run.forecasts.push_back(row);
    }
    auto& again = recording.Of(name);
    again.end_ms = minutes * 60'000;
  }

  // An alarm of one tick.
  void AddAlarm(const std::string& run, std::int64_t time_ms, std::string_view culprit,
                float p = 0.9f) {
    ForecastRow& row = recording.Of(run).forecasts.at(static_cast<std::size_t>(time_ms / 100));
    ASSERT_EQ(row.time_ms, time_ms);
    row.alarm = true;
    row.p_violation = p;
    row.culprit = recording.names.Intern(culprit);
  }

  Score Of(const ScoreOptions& options = {}) { return ScoreForecasts(recording, options).value(); }

  Recording recording;
};

TEST_F(ScoreTest, APredictorThatSaysNothingMissesEverything) {
  AddRun("a");
  const Score score = Of();
  EXPECT_EQ(score.metric("recall").value, 0);
  EXPECT_EQ(score.metric("recall").of, 10u);
  EXPECT_TRUE(std::isnan(score.metric("precision").value)) << "of no alarm";
  EXPECT_EQ(score.metric("false_alarms_per_hour").value, 0);
  EXPECT_NEAR(score.metric("false_alarms_per_hour").high, 3.689 * 6, 0.1) << "Poisson, 1/6 h";
  EXPECT_TRUE(std::isnan(score.metric("near_misses_per_hour").value)) << "no tails are known";
  EXPECT_TRUE(std::isnan(score.metric("lead_median_ms").value));
  EXPECT_EQ(score.metric("pr_auc").value, 0);
}

TEST_F(ScoreTest, CountsWhatTheRulesSay) {
  AddRun("a");
  AddAlarm("a", 19'500, "store");            // hit, right
  AddAlarm("a", 60'000 + 19'900, "store");   // hit, wrong: it was the load
  AddAlarm("a", 120'000 + 19'700, "store");  // hit, right
  AddAlarm("a", 180'000 + 20'000, "load");   // late
  AddAlarm("a", 240'000 + 22'300, "store");  // after
  AddAlarm("a", 300'000 + 40'000, "store");  // false
  AddAlarm("a", 360'000 + 40'000, "store");  // near miss
  recording.Of("a").tails = {{360'000 + 41'000, recording.names.Intern("buy"), 85, 100}};
  const Score score = Of();
  EXPECT_EQ(score.hits, 3u);
  EXPECT_EQ(score.late, 1u);
  EXPECT_EQ(score.after, 1u);
  EXPECT_EQ(score.false_alarms, 2u);
  EXPECT_EQ(score.near_misses, 1u);
  EXPECT_DOUBLE_EQ(score.metric("recall").value, 0.3);
  EXPECT_DOUBLE_EQ(score.metric("precision").value, 0.6);
  EXPECT_DOUBLE_EQ(score.metric("precision_besides_near_misses").value, 0.75);
  EXPECT_DOUBLE_EQ(score.metric("false_alarms_per_hour").value, 12);
  EXPECT_DOUBLE_EQ(score.metric("near_misses_per_hour").value, 6);
  EXPECT_DOUBLE_EQ(score.metric("false_alarms_besides_near_misses_per_hour").value, 6);
  EXPECT_DOUBLE_EQ(score.metric("culprit_top1").value, 2.0 / 3);
  EXPECT_DOUBLE_EQ(score.metric("culprit_top1_all").value, 0.2);
  EXPECT_EQ(score.metric("culprit_traps").of, 1u);
  EXPECT_EQ(score.metric("culprit_traps").value, 1);
  EXPECT_EQ(score.metric("culprit_traps_all").value, 0.5);
  EXPECT_EQ(score.metric("lead_median_ms").value, 300);
  EXPECT_DOUBLE_EQ(score.metric("recall_lead_0").value, 0.4) << "the late one led by 0 ms";
  EXPECT_DOUBLE_EQ(score.metric("recall_lead_100").value, 0.3);
  EXPECT_DOUBLE_EQ(score.metric("recall_lead_300").value, 0.2);
  EXPECT_DOUBLE_EQ(score.metric("recall_lead_1000").value, 0);
}

TEST_F(ScoreTest, AnUnknownCulpritIsNobodysMistake) {
  AddRun("a", 2);
  recording.Of("a").violations[0].culprit = "";
  AddAlarm("a", 19'500, "store");
  AddAlarm("a", 79'500, "load");
  const Score score = Of();
  EXPECT_EQ(score.metric("culprit_top1").of, 1u);
  EXPECT_EQ(score.metric("culprit_top1").value, 1);
}

TEST_F(ScoreTest, BreaksDownByEveryColumn) {
  AddRun("a");
  AddAlarm("a", 19'500, "store");
  const Score score = Of();
  const auto find = [&](const std::string& column, const std::string& value) {
    for (const GroupScore& group : score.groups) {
      if (group.column == column && group.value == value) return group;
    }
    ADD_FAILURE() << column << " " << value;
    return GroupScore();
  };
  EXPECT_EQ(find("cause", "cpu").violations, 5u);
  EXPECT_EQ(find("cause", "cpu").hits, 1u);
  EXPECT_EQ(find("cause", "load").hits, 0u);
  EXPECT_EQ(find("onset", "ramp").violations, 4u);
  EXPECT_EQ(find("onset", "ramp").culprits_right, 1u);
  EXPECT_EQ(find("class", "buy").violations, 10u);
  EXPECT_EQ(find("culprit", "load").violations, 5u);
}

TEST_F(ScoreTest, APerfectRankingHasAnAreaOfOne) {
  AddRun("a");
  for (int i = 0; i < 10; ++i) {
    AddAlarm("a", i * 60'000 + 19'500, "store", 0.5f + 0.04f * static_cast<float>(i));
  }
  EXPECT_DOUBLE_EQ(Of().metric("pr_auc").value, 1);
  // With as many false alarms above all of them, the best precision is one half.
  for (int i = 0; i < 10; ++i) AddAlarm("a", i * 60'000 + 40'000, "store", 0.95f);
  EXPECT_NEAR(Of().metric("pr_auc").value, 0.5, 1e-9);
}

TEST_F(ScoreTest, CalibrationComparesWithWhatStarted) {
  AddRun("a");
  // Of the lines 20 s and 19.8 s into a minute: a violation starts within 300 ms in one of two.
  for (ForecastRow& row : recording.Of("a").forecasts) {
    const std::int64_t into = row.time_ms % 60'000;
    row.p_violation = into == 19'800 || into == 30'000 ? 0.75f : 0.0f;
  }
  const Score score = Of();
  ASSERT_EQ(score.bins.size(), 10u);
  EXPECT_EQ(score.bins[7].lines, 20u);
  EXPECT_EQ(score.bins[7].starts, 10u);
  // In bin 0: 20 starts (19.7 and 19.9 s) that nobody foresaw, and 20 lines in bin 7 off by 0.25.
  const double lines = static_cast<double>(score.metric("ece").of);
  EXPECT_NEAR(score.metric("ece").value, (20 + 20 * 0.25) / lines, 1e-6);
  // In a violation (21 lines of each) no line counts, nor where the run ends too early to know.
  EXPECT_EQ(score.metric("ece").of, 6001u - 10 * 21 - 3);
}

TEST_F(ScoreTest, TheAlarmRangeIsCalibratedByItself) {
  AddRun("a");
  AddAlarm("a", 19'800, "store", 0.6f);
  AddAlarm("a", 40'000, "store", 0.8f);
  const Score score = Of();
  EXPECT_EQ(score.metric("ece_alarm").of, 2u);
  EXPECT_NEAR(score.metric("ece_alarm").value, (0.4 + 0.8) / 2, 1e-6);
}

TEST_F(ScoreTest, ViolationsOfARunWithoutForecastsAreMissed) {
  AddRun("a");
  AddRun("silent");
  recording.Of("silent").forecasts.clear();
  const Score score = Of();
  EXPECT_EQ(score.metric("recall").of, 20u);
  EXPECT_NEAR(score.hours, 1.0 / 3, 1e-9);
}

TEST_F(ScoreTest, AnAlarmOfAnotherClassIsNoHit) {
  AddRun("a");
  AddAlarm("a", 19'500, "store");
  recording.Of("a").forecasts[195].request_class = recording.names.Intern("sell");
  const Score score = Of();
  EXPECT_EQ(score.hits, 0u);
  EXPECT_EQ(score.false_alarms, 1u);
}

TEST_F(ScoreTest, OneOfSeveralHorizonsHasToBeChosen) {
  AddRun("a", 1);
  ForecastRow row = recording.Of("a").forecasts[0];
  row.horizon_ms = 1000;
  recording.Of("a").forecasts.push_back(row);
  EXPECT_THAT(std::string(ScoreForecasts(recording, {}).status().message()),
              HasSubstr("choose one of: 300 1000"));
  ScoreOptions options;
  options.horizon_ms = 1000;
  EXPECT_EQ(Of(options).lines, 1u);
  options.horizon_ms = 500;
  EXPECT_FALSE(ScoreForecasts(recording, options).ok());
}

TEST_F(ScoreTest, IntervalsOverRunsAreDeterministicAndHoldTheValue) {
  std::mt19937 random(3);
  for (const char* run : {"a", "b", "c", "d", "e", "f"}) {
    AddRun(run);
    for (int i = 0; i < 10; ++i) {
      if (random() % 3 != 0)
        AddAlarm(run, i * 60'000 + 19'000 + static_cast<int>(random() % 9) * 100, "store");
      if (random() % 3 == 0) AddAlarm(run, i * 60'000 + 40'000, "store", 0.7f);
    }
  }
  const Score score = Of();
  const Score again = Of();
  for (const char* id : {"false_alarms_per_hour", "lead_median_ms", "pr_auc", "ece"}) {
    SCOPED_TRACE(id);
    const Metric& m = score.metric(id);
    EXPECT_LE(m.low, m.value);
    EXPECT_GE(m.high, m.value);
    EXPECT_LT(m.low, m.high);
    EXPECT_EQ(m.low, again.metric(id).low);
    EXPECT_EQ(m.high, again.metric(id).high);
  }
}

TEST_F(ScoreTest, PairedTestsSeeWhatIntervalsDoNot) {
  for (const char* run : {"a", "b", "c", "d"}) AddRun(run);
  Recording better = recording;
  std::swap(better, recording);
  for (const char* run : {"a", "b", "c", "d"}) {
    for (int i = 0; i < 10; ++i) AddAlarm(run, i * 60'000 + 19'500, i % 2 == 0 ? "store" : "load");
  }
  std::swap(better, recording);
  for (const char* run : {"a", "b", "c", "d"}) {
    for (int i = 0; i < 8; ++i) AddAlarm(run, i * 60'000 + 19'500, i % 2 == 0 ? "store" : "load");
    AddAlarm(run, 40'000, "store");
  }
  ScoreOptions options;
  const Score worse_score = ScoreForecasts(recording, options).value();
  const Score better_score = ScoreForecasts(better, options).value();
  const Comparison c = Compare(worse_score, better_score, options).value();
  EXPECT_EQ(c.both, 32u);
  EXPECT_EQ(c.only_second, 8u);
  EXPECT_EQ(c.only_first, 0u);
  EXPECT_NEAR(c.recall_p, 2.0 / 256, 1e-9);
  EXPECT_NEAR(c.culprit_p, 2.0 / 256, 1e-9);
  EXPECT_NEAR(c.recall_difference.value, 0.2, 1e-9);
  EXPECT_GT(c.recall_difference.low, 0);
  EXPECT_NEAR(c.false_alarms_per_hour_difference.value, -6, 1e-9);
  EXPECT_NEAR(c.false_alarms_p, 2.0 / 16, 1e-9);

  recording.Of("a").violations.pop_back();
  const Score other = ScoreForecasts(recording, options).value();
  EXPECT_FALSE(Compare(other, better_score, options).ok());
}

// A run at a time is the same score as all at once.
TEST_F(ScoreTest, RunsThatAreLoadedOneByOneGiveTheSameScore) {
  for (const char* name : {"a", "b", "c"}) AddRun(name);
  AddAlarm("a", 19'000, "store", 0.8f);
  AddAlarm("b", 79'500, "load", 0.6f);
  AddAlarm("c", 40'000, "store", 0.7f);
  ScoreOptions options;
  options.horizon_ms = 300;
  std::size_t loaded = 0;
  const auto one_by_one = ScoreRuns(
      recording.runs.size(),
      [&](std::size_t i) -> absl::StatusOr<RunToScore> {
        ++loaded;
        auto own = std::make_shared<Recording>();
        own->names = recording.names;
        own->runs = {recording.runs[i]};
        return RunToScore{own, &own->names, &own->runs[0]};
      },
      options);
  ASSERT_TRUE(one_by_one.ok());
  EXPECT_EQ(loaded, 6u);
  const Score whole = ScoreForecasts(recording, options).value();
  ASSERT_EQ(one_by_one->metrics.size(), whole.metrics.size());
  for (std::size_t i = 0; i < whole.metrics.size(); ++i) {
    const auto& [id, metric] = whole.metrics[i];
    SCOPED_TRACE(id);
    EXPECT_EQ(one_by_one->metrics[i].first, id);
    const Metric& other = one_by_one->metrics[i].second;
    const auto same = [](double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); };
    EXPECT_TRUE(same(other.value, metric.value) && same(other.low, metric.low) &&
                same(other.high, metric.high) && other.of == metric.of);
  }
  EXPECT_EQ(one_by_one->hits, 2u);
  EXPECT_EQ(one_by_one->pr.size(), whole.pr.size());
  const auto fails = ScoreRuns(
      1, [](std::size_t) -> absl::StatusOr<RunToScore> { return absl::DataLossError("torn"); },
      options);
  EXPECT_EQ(fails.status().code(), absl::StatusCode::kDataLoss);
}

// Thresholds are at ranks of what was said, and what is counted at each is what Match() finds.
TEST_F(ScoreTest, TheCurveIsThatOfAPlainCountAtPlainRanks) {
  AddRun("a");
  AddRun("b");
  std::mt19937 random(6);
  std::vector<float> values;
  for (seer::evaluation::Run& run : recording.runs) {
    float p = 0;
    for (ForecastRow& row : run.forecasts) {
      // Long stretches without anything, and such of much; some values twice.
      if (random() % 50 == 0) p = static_cast<float>(random() % 1000) / 1000;
      row.p_violation = row.time_ms % 200'000 < 90'000 ? 0 : p;
      values.push_back(row.p_violation);
    }
  }
  ScoreOptions options;
  options.thresholds = 40;
  const Score score = Of(options);
  std::sort(values.begin(), values.end(), std::greater<>());
  const auto last = static_cast<double>(values.size() - 1);
  for (int i = 0; i < 40; ++i) {
    const double rank = std::floor(std::exp2(i / 39.0 * std::log2(last + 1)) - 1);
    const double threshold = values[static_cast<std::size_t>(std::clamp(rank, 0.0, last))];
    if (threshold <= 0) continue;
    EXPECT_TRUE(std::any_of(score.pr.begin(), score.pr.end(), [&](const PrPoint& point) {
      return point.threshold == threshold;
    })) << threshold;
  }
  ASSERT_GT(score.pr.size(), 20u);
  for (const PrPoint& point : score.pr) {
    double hits = 0, wrong = 0;
    for (const seer::evaluation::Run& run : recording.runs) {
      std::vector<Moment> moments;
      for (const ForecastRow& row : run.forecasts) {
        moments.push_back({row.time_ms, row.p_violation >= point.threshold});
      }
      std::vector<Span> spans;
      for (const ViolationRow& row : run.violations) spans.push_back({row.start_ms, row.end_ms});
      for (const Alarm& alarm : Match(moments, spans, {}, Rules()).alarms) {
        hits += alarm.kind == AlarmKind::kHit;
        wrong += alarm.kind == AlarmKind::kFalse;
      }
    }
    EXPECT_EQ(point.recall, hits / 20) << point.threshold;
    EXPECT_NEAR(point.false_alarms_per_hour, wrong * 3, 1e-9) << point.threshold;
  }
}

}  // namespace
}  // namespace seer::evaluation
