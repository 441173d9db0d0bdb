#include "benchmarks/evaluation/variants.h"

#include <cmath>
#include <map>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace seer::evaluation {
namespace {

using ::testing::HasSubstr;

Score Made(const std::string& name, int hits_of_ten) {
  Score score;
  score.name = name;
  score.metrics = {{"recall", {hits_of_ten / 10.0, 0, 1, 10}},
                   {"precision", {0.9, 0.8, 1, 10}},
                   {"ece_alarm", {0.04, 0.02, 0.06, 10}}};
  for (int i = 0; i < 10; ++i) {
    ScoredViolation v;
    v.hit = i < hits_of_ten;
    v.row.cause = i % 2 == 0 ? "cpu" : "network";
    v.row.groups = {{"onset", i < 5 ? "ramp" : "step"}};
    score.violations.push_back(v);
  }
  for (const char* cause : {"cpu", "network"}) {
    GroupScore group;
    group.column = "cause";
    group.value = cause;
    score.groups.push_back(group);
  }
  score.alarm_bins.resize(10);
  score.alarm_bins[6] = {100, 60, 64};
  return score;
}

TEST(Variants, FiguresAreOfTheViolationsAndComparisonsThatTheyAreAbout) {
  const Score whole = Made("seer", 8), second = Made("seer-1s", 4),
              blind = Made("seer-missing30", 7), nic = Made("seer-nic", 2),
              unseen = Made("seer-unseen-app", 6);
  const std::vector<Judged> variants = {{"seer-1s", &second, {}, true},
                                        {"seer-missing30", &blind, {}, false},
                                        {"seer-nic", &nic, {}, false},
                                        {"seer-unseen-app", &unseen, {}, false}};
  Comparison comparison;
  comparison.first = "seer";
  comparison.second = "seer-missing30";
  comparison.recall_difference = {-0.1, -0.2, -0.05, 5};
  Comparison other = comparison;  // of somebody else
  other.first = "trees";
  other.recall_difference = {0.5, 0.4, 0.6, 5};
  std::map<std::string, Metric> figures;
  for (const PredictFigure& f : VariantFigures(variants, {other, comparison})) {
    figures[f.id] = f.metric;
  }
  EXPECT_EQ(figures["predict.recall_1s"].value, 0.8) << "four of the five ramps";
  EXPECT_EQ(figures["predict.precision_1s"].value, 0.9);
  EXPECT_NEAR(figures["predict.missing30_loss"].value, 10, 1e-9);
  EXPECT_NEAR(figures["predict.missing30_loss"].low, 5, 1e-9);
  EXPECT_NEAR(figures["predict.missing30_loss"].high, 20, 1e-9);
  EXPECT_EQ(figures["predict.nic_only_recall"].value, 0.2);
  EXPECT_EQ(figures["predict.unseen_app_recall"].value, 0.6);
  for (const auto& [id, metric] : figures) EXPECT_GT(metric.of, 0u) << id;

  Report report;
  report.sections = VariantSections(whole, variants, {other, comparison});
  const std::string markdown = ToMarkdown(report);
  EXPECT_THAT(markdown, HasSubstr("## Whether seer's probabilities are true"));
  EXPECT_THAT(markdown, HasSubstr("| 0.6 to 0.7 | 100 | 0.64 | 0.6 ["));
  EXPECT_THAT(markdown, HasSubstr("| seer-nic | 20 % | 20 % |"));
  EXPECT_THAT(ToHtml(report), HasSubstr("Calibration in the alarm range"));
}

TEST(Variants, WithoutAnyTheCalibrationIsLeft) {
  EXPECT_EQ(VariantSections(Made("seer", 3), {}, {}).size(), 1u);
  EXPECT_TRUE(VariantFigures({}, {}).empty());
}

TEST(Variants, GoalsAreOfTheFiguresThatHaveOne) {
  EXPECT_EQ(GoalOf("predict.missing30_loss"), "<= 4");
  EXPECT_EQ(GoalOf("rival.trees.recall"), "");
}

}  // namespace
}  // namespace seer::evaluation
