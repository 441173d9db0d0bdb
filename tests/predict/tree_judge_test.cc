// What is made of what trees said of held-back time, by looks whose log-odds are given.
#include "predict/tree_judge.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <random>
#include <vector>

#include "predict/judged_score.h"
#include "predict/tree_replay.h"

namespace seer {
namespace {

using internal::TreeHeldBack;
using internal::TreeLook;
using internal::TreeSaid;
using internal::TreeScore;
using internal::TreeVerdict;

constexpr std::int64_t kTick = 100'000'000, kBlock = 30'000'000'000;
constexpr int kLooks = 300;  // of a block
const std::vector<std::int64_t> kHorizons = {300'000'000, 1'000'000'000};

// Blocks that are all alike: a violation in each from its look `start` to `end`, and what was said.
struct Blocks {
  Blocks(int count, int start, int end, const std::function<float(int)>& odds) {
    for (int b = 0; b < count; ++b) {
      for (int i = 0; i < kLooks; ++i) {
        TreeLook look;
        look.end_ns = (100 + 2 * b) * kBlock + i * kTick;
        if (i < start && (start - i) * kTick <= 2'000'000'000) look.ahead_ns = (start - i) * kTick;
        look.in_violation = i >= start && i < end;
        held.Add(look);
      }
    }
    tracks = held.Recent(0, 1'000'000, 1);
    said.resize(tracks.size());
    std::vector<const TreeSaid*> pointers;
    for (TreeSaid& one : said) {
      one.looks = kLooks;
      for (int i = 0; i < kLooks; ++i) one.scores.insert(one.scores.end(), 2, odds(i));
      pointers.push_back(&one);
    }
    verdict.emplace(kHorizons, kHorizons[0], tracks, pointers);
  }

  TreeHeldBack held{std::size_t{64} << 20, kBlock};
  TreeVerdict::Tracks tracks;
  std::vector<TreeSaid> said;
  std::optional<TreeVerdict> verdict;
};

TEST(TreeJudge, TheAreaUnderTheCurveIsHowOftenOneAheadLooksMoreLikeIt) {
  std::mt19937 random(1);
  for (const std::size_t count : {1u, 7u, 300u}) {
    std::vector<float> ahead, calm;
    for (std::size_t i = 0; i < count; ++i) ahead.push_back(static_cast<float>(random() % 20));
    for (std::size_t i = 0; i < 2 * count; ++i) {
      calm.push_back(static_cast<float>(random() % 20) - 5);
    }
    double won = 0;
    for (const float a : ahead) {
      for (const float c : calm) won += a > c ? 1 : (a == c ? 0.5 : 0);
    }
    const double pairs = static_cast<double>(ahead.size()) * static_cast<double>(calm.size());
    EXPECT_DOUBLE_EQ(internal::AreaUnderCurve(ahead, calm), won / pairs);
  }
  EXPECT_EQ(internal::AreaUnderCurve({}, {1}), 0.5);
  EXPECT_EQ(internal::AreaUnderCurve({1}, {}), 0.5);
}

TEST(TreeReplay, AMillionLooksAreBoundedAndTheRareAmongThemStay) {
  constexpr int kAll = 1'000'000, kEach = 1000;
  ReplayOptions options;
  options.bytes = 1 << 20;
  internal::TreeReplay replay(options);
  TreeHeldBack held(1 << 20, kBlock);
  for (int i = 0; i < kAll; ++i) {
    TreeLook look;
    look.end_ns = (i + 1) * kTick;
    look.stirs = i % 10 == 0;
    look.row[0] = static_cast<float>(i);
    if (i % kEach == 7) look.ahead_ns = 500'000'000;
    held.Add(look);
    replay.Add(look);
  }
  EXPECT_LE(replay.bytes(), options.bytes);
  EXPECT_LE(held.looks() * sizeof(TreeLook), std::size_t{1} << 20);
  EXPECT_EQ(replay.ahead(), 1000u) << "there is room for them";
  EXPECT_EQ(replay.AheadSince(kAll / 2 * kTick), 500u);
  EXPECT_GT(replay.looks(), 2000u);
  const std::int64_t fresh_ns = (kAll - 100'000) * kTick;
  const TreeRows rows = replay.Rows(kHorizons, 800, 0, fresh_ns, 1);
  EXPECT_GT(rows.rows(), 600u);
  EXPECT_LT(rows.rows(), 1000u);
  double weight = 0, weight_ahead = 0;
  std::size_t fresh = 0, ahead = 0;
  for (std::size_t r = 0; r < rows.rows(); ++r) {
    EXPECT_EQ(rows.labels[2 * r], 0) << "half a second is more than 300 ms";
    const bool is_ahead = rows.labels[2 * r + 1] > 0;
    weight += static_cast<double>(rows.weights[r]);
    weight_ahead += is_ahead ? static_cast<double>(rows.weights[r]) : 0;
    ahead += is_ahead ? 1 : 0;
    fresh += static_cast<std::int64_t>(rows.values[r * rows.columns] + 1) * kTick > fresh_ns;
  }
  // What is drawn stands for all that came.
  EXPECT_NEAR(weight, kAll, 0.25 * kAll);
  EXPECT_NEAR(weight_ahead, kAll / kEach, 0.25 * kAll / kEach);
  EXPECT_NEAR(static_cast<double>(ahead), 400, 80);
  EXPECT_GT(fresh, rows.rows() / 5) << "of a tenth of the time";
  EXPECT_EQ(replay.Rows(kHorizons, 800, kAll * kTick, fresh_ns, 1).rows(), 0u);
}

TEST(TreeJudge, AnAlarmAheadOfWhatStartsBehindTheBlockIsNoFalseOne) {
  const auto odds = [](int i) { return i < 290 ? -8.0f : 3.0f; };
  const TreeScore ahead = Blocks(3, kLooks + 5, kLooks + 9, odds).verdict->With({});
  EXPECT_EQ(ahead.violations, 3u);
  EXPECT_EQ(ahead.hits, 3u);
  EXPECT_EQ(ahead.false_alarms, 0u);
  const TreeScore nothing = Blocks(3, kLooks + 50, kLooks + 60, odds).verdict->With({});
  EXPECT_EQ(nothing.violations, 0u);
  EXPECT_EQ(nothing.hits, 0u);
  EXPECT_EQ(nothing.false_alarms, 3u);
}

TEST(TreeJudge, ALongerHorizonIsNoLessLikely) {
  Blocks blocks(1, 200, 250, [](int i) { return i >= 195 && i < 200 ? 3.0f : -8.0f; });
  for (TreeSaid& one : blocks.said) {
    for (int i = 0; i < kLooks; ++i) one.scores[static_cast<std::size_t>(2 * i + 1)] = -9;
  }
  const TreeVerdict verdict(kHorizons, kHorizons[0], blocks.tracks, {&blocks.said[0]});
  ModelCalibration later;
  later.alarm_horizon_ns = kHorizons[1];
  EXPECT_EQ(verdict.With(later).hits, 1u);
}

TEST(TreeJudge, LogOddsAreFittedAsFarAsThereAreViolations) {
  // Of thirty looks that seem likely three are ahead of a violation by at most 300 ms.
  const auto odds = [](int i) { return i >= 170 && i < 200 ? 1.0f : -4.0f; };
  const double right = std::log(0.1 / 0.9);
  ModelCalibration from;
  from.threshold = 0.2;
  for (const int count : {4, 40}) {
    SCOPED_TRACE(count);
    const Blocks blocks(count, 200, 250, odds);
    const ModelCalibration fitted = blocks.verdict->Fit(from, nullptr).value();
    const double trust = count / (count + 20.0);
    EXPECT_NEAR(fitted.slope + fitted.shift, 1 + trust * (right - 1), 0.15);
    EXPECT_EQ(fitted.threshold, from.threshold);
    EXPECT_EQ(fitted.alarm_horizon_ns, from.alarm_horizon_ns);
    EXPECT_LT(blocks.verdict->With(fitted).loss, blocks.verdict->With(from).loss);
    const TreeScore halves = blocks.verdict->ByHalves(from, nullptr).value();
    EXPECT_LT(halves.loss, blocks.verdict->With(from).loss);
    EXPECT_GE(halves.loss, blocks.verdict->With(fitted).loss) << "each half alone is less";
  }
}

TEST(TreeJudge, FewViolationsMoveTheAlarmALittle) {
  // Something stirs in each block, but less than ahead of its violation.
  const auto odds = [](int i) {
    return i >= 190 && i < 200 ? 3.0f : i >= 50 && i < 60 ? 1.0f : -6.0f;
  };
  FitAlarmOptions alarm;
  alarm.false_alarms_per_hour = 12;
  for (const int count : {4, 40}) {
    SCOPED_TRACE(count);
    const Blocks blocks(count, 200, 250, odds);
    const auto n = static_cast<std::uint64_t>(count);
    EXPECT_EQ(blocks.verdict->With({}).false_alarms, n);
    const ModelCalibration fitted = blocks.verdict->Fit({}, &alarm).value();
    const TreeScore score = blocks.verdict->With(fitted);
    EXPECT_EQ(score.hits, n);
    EXPECT_EQ(score.false_alarms, count == 4 ? n : 0u);
  }
  EXPECT_TRUE(absl::IsInvalidArgument(
      Blocks(4, kLooks + 50, kLooks + 60, odds).verdict->Fit({}, &alarm).status()));
}

TEST(TreeJudge, HitsPayForFalseAlarmsOnlyWhereThoseAreClearlyTooMany) {
  const auto score = [](std::uint64_t hits, std::uint64_t false_alarms) {
    TreeScore one;
    one.ahead = 100;
    one.calm = 1000;
    one.violations = 40;
    one.auc = 0.9;
    one.loss = 0.05;
    one.hits = hits;
    one.false_alarms = false_alarms;
    one.hours = 0.05;  // two are allowed at 40 an hour
    return one;
  };
  const auto refused = [&](const TreeScore& serving, const TreeScore& candidate) {
    return !WhyWorse(serving, candidate, 4, 40).empty();
  };
  EXPECT_FALSE(TooManyFalseAlarms(score(30, 3), 40)) << "chance";
  EXPECT_TRUE(refused(score(30, 3), score(28, 0)));
  EXPECT_FALSE(refused(score(30, 3), score(30, 0)));
  EXPECT_FALSE(refused(score(30, 3), score(32, 3)));
  EXPECT_TRUE(refused(score(30, 3), score(32, 4)));
  EXPECT_TRUE(TooManyFalseAlarms(score(30, 9), 40));
  EXPECT_FALSE(refused(score(30, 9), score(28, 6)));
  EXPECT_TRUE(refused(score(30, 9), score(28, 8))) << "two hits for one";
  EXPECT_TRUE(refused(score(30, 9), score(20, 0))) << "a third of them at once";
}

}  // namespace
}  // namespace seer
