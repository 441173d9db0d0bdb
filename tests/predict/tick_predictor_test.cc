#include "seer/predict/tick_predictor.h"

#include "gtest/gtest.h"

namespace seer {
namespace {

TEST(TickPredictor, AClassOfWhichNothingIsSaidHasNoRow) {
  Forecast forecast;
  forecast.classes.resize(2);
  forecast.classes[0].request_class = ClassId(4);
  forecast.classes[1].request_class = ClassId(7);
  EXPECT_EQ(FindClass(forecast, ClassId(7)), &forecast.classes[1]);
  EXPECT_EQ(FindClass(forecast, ClassId(0)), nullptr);
  EXPECT_EQ(FindClass(Forecast(), ClassId(0)), nullptr);
}

TEST(TickPredictor, TheProbabilityOfAHorizonIsThatOfTheLargestWithinIt) {
  ClassForecast row;
  EXPECT_EQ(ProbabilityWithin(row, 300), 0);
  row.horizons = {{100, 0.1f}, {300, 0.3f}, {1000, 0.6f}};
  EXPECT_EQ(ProbabilityWithin(row, 300), 0.3f);
  EXPECT_EQ(ProbabilityWithin(row, 999), 0.3f);
  EXPECT_EQ(ProbabilityWithin(row, 5000), 0.6f);
  EXPECT_EQ(ProbabilityWithin(row, 50), 0.1f) << "none is so short: the shortest";
}

}  // namespace
}  // namespace seer
