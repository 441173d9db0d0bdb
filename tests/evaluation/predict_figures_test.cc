#include "benchmarks/evaluation/predict_figures.h"

#include <cmath>
#include <limits>
#include <map>
#include <string>

#include "gtest/gtest.h"

namespace seer::evaluation {
namespace {

ScoredViolation Violation(const char* onset, const char* foreseeable, bool hit,
                          std::int64_t lead_ms) {
  ScoredViolation violation;
  violation.row.groups = {{"onset", onset}, {"foreseeable", foreseeable}, {"unseen_cause", "no"}};
  violation.hit = hit;
  violation.lead_ms = lead_ms;
  return violation;
}

std::map<std::string, Metric> FiguresOf(const Score& score) {
  std::map<std::string, Metric> figures;
  for (const PredictFigure& figure : PredictFigures(score)) figures[figure.id] = figure.metric;
  return figures;
}

TEST(PredictFigures, AreOfTheViolationsThatTheyAreAbout) {
  Score score;
  score.metrics = {{"recall", {0.5, 0.4, 0.6, 100}},
                   {"ece_alarm", {0.03, 0.01, 0.05, 100}},
                   {"false_alarms_besides_near_misses_per_hour", {2, 1, 3, 4}}};
  for (int i = 0; i < 10; ++i) {
    score.violations.push_back(Violation("ramp", i < 4 ? "yes" : "not asked", i != 3, 100 * i));
  }
  score.violations.push_back(Violation("step", "no", true, 1900));
  auto figures = FiguresOf(score);
  EXPECT_EQ(figures["predict.recall"].value, 0.5);
  EXPECT_EQ(figures["predict.ece"].value, 0.03);
  EXPECT_EQ(figures["predict.false_alarms_per_hour"].value, 2);
  EXPECT_EQ(figures["predict.recall_of_oracle"].value, 0.75);
  EXPECT_EQ(figures["predict.recall_of_oracle"].of, 4u);
  EXPECT_EQ(figures["predict.lead_ramp_ms"].value, 500) << "0 to 900 ms without 300";
  EXPECT_EQ(figures["predict.lead_ramp_ms"].of, 9u);
  EXPECT_EQ(figures.count("predict.unseen_cause_recall"), 0u) << "there is none";
}

TEST(PredictFigures, OfNothingTellNothing) {
  const auto figures = FiguresOf(Score());
  EXPECT_EQ(figures.count("predict.recall_of_oracle"), 0u);
  EXPECT_EQ(figures.count("predict.lead_ramp_ms"), 0u);
}

}  // namespace
}  // namespace seer::evaluation
