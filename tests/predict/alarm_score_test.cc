#include "seer/predict/alarm_score.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace seer {
namespace {

constexpr std::int64_t kMs = 1'000'000;

// A tick of 100 ms for each character: '#' alarm.
AlarmTrack Track(const std::string& alarms, std::vector<ViolationSpan> violations_ms,
                 const std::string& near = "") {
  AlarmTrack track;
  for (std::size_t i = 0; i < alarms.size(); ++i) {
    track.times_ns.push_back(static_cast<std::int64_t>(i) * 100 * kMs);
    track.alarms.push_back(alarms[i] == '#' ? 1 : 0);
    if (!near.empty()) track.near.push_back(near[i] == '!' ? 1 : 0);
  }
  for (const ViolationSpan& span : violations_ms) {
    track.violations.push_back({span.start_ns * kMs, span.end_ns * kMs});
  }
  return track;
}

TEST(ScoreAlarms, AHitIsAtLeastTheActionLeadAhead) {
  for (const int lead : {0, 1, 3, 20, 21}) {
    SCOPED_TRACE(lead);
    std::string alarms(40, '.');
    alarms[static_cast<std::size_t>(30 - lead)] = '#';
    const AlarmScore score = ScoreAlarms(Track(alarms, {{3000, 3500}}));
    ASSERT_EQ(score.alarms.size(), 1u);
    const bool hit = lead >= 1 && lead <= 20;
    EXPECT_EQ(score.hits, hit ? 1u : 0u);
    EXPECT_EQ(score.late, lead == 0 ? 1u : 0u);
    EXPECT_EQ(score.false_alarms, lead == 21 ? 1u : 0u);
    EXPECT_EQ(score.violation_hit[0], hit ? 0 : -1);
  }
}

TEST(ScoreAlarms, DuringAndSoonAfterIsNotFalse) {
  // A violation from 0.5 to 1.5 s; alarms at 1 s, 2 s and 2.1 s.
  EXPECT_EQ(ScoreAlarms(Track("..........#...", {{500, 1500}})).late, 1u);
  const AlarmScore after = ScoreAlarms(Track("....................#...", {{500, 1500}}));
  EXPECT_EQ(after.alarms[0].outcome, AlarmOutcome::kAfter);
  EXPECT_EQ(after.false_alarms, 0u);
  EXPECT_EQ(ScoreAlarms(Track(".....................#..", {{500, 1500}})).false_alarms, 1u);
}

TEST(ScoreAlarms, AnAlarmThatLastsCountsAnewEveryTwoSeconds) {
  const AlarmScore score = ScoreAlarms(Track(std::string(45, '#'), {}));
  ASSERT_EQ(score.alarms.size(), 3u);
  EXPECT_EQ(score.alarms[1].tick, 20u);
  EXPECT_EQ(score.false_alarms, 3u);
}

TEST(ScoreAlarms, OneToOne) {
  // One alarm, two violations; and two alarms, one violation.
  EXPECT_EQ(ScoreAlarms(Track("....#...........", {{800, 900}, {1000, 1100}})).hits, 1u);
  const AlarmScore score = ScoreAlarms(Track("#.#.............", {{1000, 1100}}));
  EXPECT_EQ(score.hits, 1u);
  EXPECT_EQ(score.violation_hit[0], 0);
  EXPECT_EQ(score.false_alarms, 1u);
}

TEST(ScoreAlarms, NearMissesAreThoseWhoseTailCameNear) {
  const std::string alarms = ".#......................";
  EXPECT_EQ(ScoreAlarms(Track(alarms, {}, "....................!...")).near_misses, 1u);
  EXPECT_EQ(ScoreAlarms(Track(alarms, {}, "!.....................!.")).near_misses, 0u);
  EXPECT_EQ(ScoreAlarms(Track(alarms, {})).near_misses, 0u);
}

TEST(ScoreAlarms, NothingIsNothing) {
  const AlarmScore score = ScoreAlarms(AlarmTrack());
  EXPECT_TRUE(score.alarms.empty());
  EXPECT_EQ(score.hits + score.late + score.false_alarms, 0u);
}

}  // namespace
}  // namespace seer
