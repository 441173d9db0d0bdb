#include "benchmarks/evaluation/summary.h"

#include <cmath>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace seer::evaluation {
namespace {

using ::testing::HasSubstr;

OracleLook Look(const std::string& run, std::int64_t start_ms, std::int64_t lead_ms,
                std::vector<std::int64_t> after_ms, const std::string& cause) {
  OracleLook look;
  look.run = run;
  look.row.request_class = "shop/buy";
  look.row.start_ms = start_ms;
  look.row.time_ms = start_ms - lead_ms;
  look.row.futures = 2;
  look.row.after_ms = std::move(after_ms);
  look.cause = cause;
  look.onset = "step";
  return look;
}

double ValueOf(const std::vector<std::pair<std::int64_t, Metric>>& list, std::int64_t key) {
  for (const auto& [own, metric] : list) {
    if (own == key) return metric.value;
  }
  return NAN;
}

TEST(Summary, AViolationIsForeseenOnceHoweverOftenOneLooks) {
  std::vector<OracleLook> looks = {
      Look("a", 10'000, 100, {100, 100}, "cpu"), Look("a", 10'000, 1000, {900}, "cpu"),
      Look("a", 50'000, 100, {}, "network"),     Look("a", 50'000, 1000, {}, "network"),
      Look("b", 10'000, 100, {1500}, "cpu"),     Look("b", 10'000, 1000, {1900}, "cpu"),
      Look("b", 70'000, 100, {}, "application"),
  };
  looks[6].row.time_ms = 70'000 - 50;  // too late to count
  looks[6].row.after_ms = {50, 50};
  OracleLook quiet;
  quiet.row.quiet = true;
  quiet.row.futures = 2;
  looks.push_back(quiet);
  const OracleSummary summary = Summarize(looks, 2000);
  EXPECT_EQ(summary.recall.of, 4u);
  EXPECT_EQ(summary.recall.value, 0.5);  // both with cause cpu
  EXPECT_EQ(ValueOf(summary.by_lead, 1000), 0.5);
  EXPECT_EQ(ValueOf(summary.by_horizon, 2000), 0.5);
  EXPECT_EQ(ValueOf(summary.by_horizon, 300), 0.25);
  EXPECT_EQ(ValueOf(summary.by_horizon, 1000), 0.25);
  ASSERT_EQ(summary.by_cause.size(), 3u);
  EXPECT_EQ(summary.by_cause[1].first, "cpu");
  EXPECT_EQ(summary.by_cause[1].second.value, 1);
  ASSERT_EQ(summary.by_cause_and_lead.size(), 3u);
  EXPECT_EQ(summary.by_cause_and_lead[1].first, "cpu");
  EXPECT_EQ(ValueOf(summary.by_cause_and_lead[1].second, 1000), 1);
  EXPECT_EQ(ValueOf(summary.by_cause_and_lead[2].second, 1000), 0);
  EXPECT_EQ(OracleSections(summary)[1].table[2][0], "cpu");
  EXPECT_EQ(OracleSections(summary)[1].table[2][1], "2");
  EXPECT_EQ(summary.quiet_alarms.of, 1u);
  EXPECT_EQ(summary.quiet_alarms.value, 0);
  EXPECT_TRUE(std::isnan(Summarize({}, 2000).recall.value));
}

Score Sample(const std::string& name, bool foresees, const std::string& first = "cpu") {
  Recording recording;
  Run& run = recording.Of("run");
  for (int i = 0; i < 4; ++i) {
    ViolationRow v;
    v.start_ms = 10'000 + 10'000 * i;
    v.end_ms = v.start_ms + 1000;
    v.request_class = "shop/buy";
    v.culprit = "store";
    v.cause = i % 2 == 0 ? first : "network";
    v.groups = {{"onset", "step"}, {"foreseeable", "yes"}};
    run.violations.push_back(v);
  }
  const std::uint32_t buy = recording.names.Intern("shop/buy");
  const std::uint32_t store = recording.names.Intern("store");
  for (int t = 0; t < 60'000; t += 100) {
    ForecastRow row;
    row.time_ms = t;
    row.horizon_ms = 300;
    row.request_class = buy;
    row.culprit = store;
    row.alarm = foresees && (t % 10'000) == 9'500;
    row.p_violation = row.alarm ? 0.9f : 0.1f;
    run.forecasts.push_back(row);
  }
  ScoreOptions options;
  options.name = name;
  return ScoreForecasts(recording, options).value();
}

TEST(Summary, SectionsShowEverybodyByCauseAndByLead) {
  const Score good = Sample("good", true), bad = Sample("bad", false);
  const Score second = Sample("good@2", true);
  Fitted fitted;
  fitted.threshold = 3.25;
  fitted.hours = 1;
  const std::vector<Judged> judged = {
      {"good", &good, fitted, true}, {"bad", &bad, {}, false}, {"good@2", &second, fitted, true}};
  Report report;
  report.sections =
      Sections(judged, Summarize({Look("run", 10'000, 100, {100, 100}, "cpu")}, 2000));
  report.scores = {good, bad};
  const std::string markdown = ToMarkdown(report);
  EXPECT_THAT(markdown, HasSubstr("## Who foresees"));
  EXPECT_THAT(markdown, HasSubstr("cpu (2)"));
  EXPECT_THAT(markdown, HasSubstr("network (2)"));
  EXPECT_THAT(markdown, HasSubstr("| good | 100 % | 100 % |"));
  EXPECT_THAT(markdown, HasSubstr("| bad | 0 % | 0 % |"));
  EXPECT_THAT(markdown, HasSubstr("| oracle | 1 of 1 | not asked |"));
  EXPECT_THAT(markdown, HasSubstr("| good | 2 | 1 (1 to 1) |"));
  EXPECT_THAT(markdown, HasSubstr("3.25"));
  const std::string html = ToHtml(report);
  EXPECT_THAT(html, HasSubstr("Recall against false alarms"));
  EXPECT_THAT(html, HasSubstr("Recall by lead"));
  EXPECT_EQ(html.find("nan"), std::string::npos);
}

TEST(Summary, WhoMetNoneOfACauseHasAnEmptyCellThere) {
  const Score whole = Sample("whole", true), fewer = Sample("fewer", true, "network");
  const std::vector<Judged> judged = {{"whole", &whole, {}, true}, {"fewer", &fewer, {}, true}};
  Report report;
  report.sections = Sections(judged, Summarize({}, 2000));
  const std::string markdown = ToMarkdown(report);
  EXPECT_THAT(markdown, HasSubstr("| whole | 100 % | 100 % |"));
  EXPECT_THAT(markdown, HasSubstr("| fewer | - | 100 % |"));
}

TEST(Summary, NobodyIsNoCrash) {
  EXPECT_FALSE(Sections({}, Summarize({}, 2000)).empty());
  EXPECT_FALSE(BarsSvg("none", {}, {}).empty());
  EXPECT_FALSE(TradeOffSvg({}).empty());
}

}  // namespace
}  // namespace seer::evaluation
