#include "seer/predict/fit_alarm.h"

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace seer {
namespace {

using ::testing::HasSubstr;

constexpr std::int64_t kMs = 1'000'000;

TEST(FitLogOdds, UndoesTemperatureAndPrior) {
  // What is said is too sure by a factor of two, and twenty times too high in odds.
  std::mt19937 random(1);
  std::normal_distribution<double> normal(-2, 2);
  std::uniform_real_distribution<double> uniform(0, 1);
  std::vector<SaidAndCame> said;
  for (int i = 0; i < 40000; ++i) {
    const double z = normal(random);
    const double truth = 1 / (1 + std::exp(-z));
    const double told = 1 / (1 + std::exp(-(2 * z + std::log(20.0))));
    said.push_back({static_cast<float>(told), uniform(random) < truth});
  }
  const ModelCalibration calibration = FitLogOdds(said);
  EXPECT_NEAR(calibration.slope, 0.5, 0.03);
  EXPECT_NEAR(calibration.shift, -0.5 * std::log(20.0), 0.1);
  EXPECT_GT(CalibrationError(said), 0.1);
  for (SaidAndCame& one : said) {
    one.probability = static_cast<float>(calibration.Apply(static_cast<double>(one.probability)));
  }
  EXPECT_LT(CalibrationError(said), 0.01);
}

TEST(FitLogOdds, LeavesAloneWhatTellsNothing) {
  const std::vector<SaidAndCame> never = {{0.1f, false}, {0.9f, false}};
  EXPECT_EQ(FitLogOdds(never).slope, 1);
  EXPECT_EQ(FitLogOdds({}).shift, 0);
  // Perfectly told apart: the slope stays finite.
  std::vector<SaidAndCame> perfect;
  for (int i = 0; i < 100; ++i) perfect.push_back({i < 50 ? 0.01f : 0.99f, i >= 50});
  EXPECT_TRUE(FitLogOdds(perfect).Validate().ok());
}

TEST(CalibrationError, IsWhatIsSaidTooMuchOrTooLittle) {
  std::vector<SaidAndCame> said;
  for (int i = 0; i < 1000; ++i) said.push_back({0.3f, i % 10 == 0});
  EXPECT_NEAR(CalibrationError(said, 0, 1), 0.2, 1e-6);
  EXPECT_EQ(CalibrationError(said, 0.5), 0);
}

// A class for 20 minutes: a violation every 60 s, told from 400 ms ahead with 0.9, and 0.8 in vain
// every 90 s. The second horizon is noise.
ForecastTrack MakeTrack() {
  ForecastTrack track;
  std::mt19937 random(3);
  for (int i = 0; i < 12000; ++i) {
    track.times_ns.push_back(i * 100 * kMs);
    float p = 0.02f;
    if (i % 600 >= 596) p = 0.9f;
    if (i % 900 == 450) p = 0.8f;
    track.probabilities.push_back(p);
    track.probabilities.push_back(static_cast<float>(random() % 1000) / 1000);
  }
  for (int v = 1; v <= 20; ++v)
    track.violations.push_back({v * 60000 * kMs, (v * 60000 + 1000) * kMs});
  return track;
}

TEST(FitAlarm, KeepsToTheRateAndFindsTheHorizonThatTells) {
  const std::vector<ForecastTrack> tracks = {MakeTrack()};
  const std::vector<std::int64_t> horizons = {300 * kMs, 500 * kMs};
  const double hours = 1.0 / 3;
  FitAlarmOptions options;
  options.false_alarms_per_hour = 1;
  auto fitted = FitAlarm(tracks, horizons, hours, options);
  ASSERT_TRUE(fitted.ok()) << fitted.status();
  EXPECT_EQ(fitted->calibration.alarm_horizon_ns, 300 * kMs);
  EXPECT_EQ(fitted->violations, 20u);
  EXPECT_EQ(fitted->hits, 20u);
  EXPECT_EQ(fitted->false_alarms, 0u) << "0.8 is below the threshold";
  EXPECT_GT(fitted->calibration.threshold, fitted->calibration.Apply(0.8));
  EXPECT_LE(fitted->calibration.threshold, fitted->calibration.Apply(0.9));
  EXPECT_LE(fitted->error_after, fitted->error_before + 1e-9);
  EXPECT_TRUE(fitted->calibration.Validate().ok());

  // The horizon that tells is not allowed: nothing that keeps to the rate foresees much.
  options.least_horizon_ns = 400 * kMs;
  fitted = FitAlarm(tracks, horizons, hours, options);
  ASSERT_TRUE(fitted.ok());
  EXPECT_EQ(fitted->calibration.alarm_horizon_ns, 500 * kMs);
  EXPECT_LE(static_cast<double>(fitted->false_alarms), hours);
  EXPECT_LT(fitted->hits, 5u);
}

TEST(FitAlarm, NearMissesDoNotCountAgainstTheRate) {
  std::vector<ForecastTrack> tracks = {MakeTrack()};
  ForecastTrack& track = tracks[0];
  for (float& p : track.probabilities) p = p > 0.7f ? 0.85f : p;  // hits and false ones alike
  const std::vector<std::int64_t> horizons = {300 * kMs, 500 * kMs};
  FitAlarmOptions options;
  options.most_horizon_ns = 300 * kMs;
  auto fitted = FitAlarm(tracks, horizons, 1.0 / 3, options);
  ASSERT_TRUE(fitted.ok());
  EXPECT_EQ(fitted->hits, 0u) << "all or nothing, and all is too much";
  track.near.assign(track.times_ns.size(), 1);
  fitted = FitAlarm(tracks, horizons, 1.0 / 3, options);
  ASSERT_TRUE(fitted.ok());
  EXPECT_EQ(fitted->hits, 20u);
  EXPECT_EQ(fitted->false_alarms, fitted->near_misses);
}

TEST(FitAlarm, SaysWhatIsMissing) {
  std::vector<ForecastTrack> tracks = {MakeTrack()};
  const std::vector<std::int64_t> horizons = {300 * kMs, 500 * kMs};
  const auto message = [&](double hours, const FitAlarmOptions& options) {
    return std::string(FitAlarm(tracks, horizons, hours, options).status().message());
  };
  EXPECT_THAT(message(0, {}), HasSubstr("nothing was said"));
  FitAlarmOptions none;
  none.least_horizon_ns = 900 * kMs;
  EXPECT_THAT(message(1, none), HasSubstr("no horizon"));
  tracks[0].violations.clear();
  EXPECT_THAT(message(1, {}), HasSubstr("no violation"));
  tracks[0].probabilities.pop_back();
  EXPECT_THAT(message(1, {}), HasSubstr("probabilities"));
}

// All false alarms are near misses, of which the rate knows nothing.
TEST(FitAlarm, KeepsToAPrecisionWhereThereIsOne) {
  ForecastTrack track = MakeTrack();
  track.near.assign(track.times_ns.size(), 1);
  for (std::size_t i = 0; i < track.times_ns.size(); ++i) {
    float& p = track.probabilities[2 * i];
    // Every second violation is told with 0.5 only, as is what comes to nothing every 10 s.
    if (p > 0.85f && (i / 600) % 2 == 0) p = 0.5f;
    if (i % 100 == 50 && p < 0.5f) p = 0.5f;
  }
  const std::vector<std::int64_t> horizons = {300 * kMs, 500 * kMs};
  std::uint64_t before = 21;
  for (const double precision : {0.0, 0.3, 0.6, 0.999}) {
    SCOPED_TRACE(precision);
    FitAlarmOptions options;
    options.most_horizon_ns = 300 * kMs;
    options.least_precision = precision;
    const FittedAlarm fitted = FitAlarm({track}, horizons, 1.0 / 3, options).value();
    EXPECT_GT(fitted.hits, 0u);
    EXPECT_LE(fitted.hits, before) << "more precision is no more recall";
    before = fitted.hits;
    EXPECT_EQ(fitted.near_misses, fitted.false_alarms);
    EXPECT_GE(static_cast<double>(fitted.hits),
              precision * static_cast<double>(fitted.hits + fitted.false_alarms));
  }
}

}  // namespace
}  // namespace seer
