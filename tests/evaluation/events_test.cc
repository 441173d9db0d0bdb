// The rules, one by one, each with its boundary.
#include "benchmarks/evaluation/events.h"

#include <algorithm>
#include <random>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "seer/predict/alarm_score.h"

namespace seer::evaluation {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Forecasts every `step_ms` from 0 to 60 s, with alarm in the intervals [from, to).
std::vector<Moment> Moments(const std::vector<Span>& alarms, std::int64_t step_ms = 100) {
  std::vector<Moment> moments;
  for (std::int64_t t = 0; t <= 60'000; t += step_ms) {
    const bool alarm = std::any_of(alarms.begin(), alarms.end(),
                                   [&](const Span& s) { return t >= s.start_ms && t < s.end_ms; });
    moments.push_back({t, alarm});
  }
  return moments;
}

std::vector<std::int64_t> Starts(const std::vector<Moment>& moments) {
  std::vector<std::int64_t> times;
  for (const std::size_t i : AlarmStarts(moments, Rules())) times.push_back(moments[i].time_ms);
  return times;
}

// What becomes of one alarm of 100 ms at `alarm_ms`, with a violation from 20 to 25 s.
struct Outcome {
  AlarmKind kind;
  bool hit;
  bool late;
};
Outcome Of(std::int64_t alarm_ms) {
  const std::vector<Span> violations = {{20'000, 25'000}};
  const Matched m = Match(Moments({{alarm_ms, alarm_ms + 1}}, 1), violations, {}, Rules());
  EXPECT_EQ(m.alarms.size(), 1u);
  return {m.alarms[0].kind, m.violations[0].alarm == 0, m.violations[0].late};
}

TEST(Events, AnAlarmIsAnEpisode) {
  EXPECT_THAT(Starts(Moments({})), IsEmpty());
  EXPECT_THAT(Starts(Moments({{1000, 1100}})), ElementsAre(1000));
  EXPECT_THAT(Starts(Moments({{1000, 2900}})), ElementsAre(1000));
  EXPECT_THAT(Starts(Moments({{1000, 1500}, {1600, 2000}})), ElementsAre(1000, 1600))
      << "a tick without alarm ends it";
  EXPECT_THAT(Starts(Moments({{0, 100}})), ElementsAre(0)) << "at the first tick too";
}

TEST(Events, AnAlarmThatLastsCountsAnewEveryTwoSeconds) {
  EXPECT_THAT(Starts(Moments({{1000, 3000}})), ElementsAre(1000)) << "1,000 to 2,900";
  EXPECT_THAT(Starts(Moments({{1000, 3100}})), ElementsAre(1000, 3000));
  EXPECT_THAT(Starts(Moments({{1000, 8000}})), ElementsAre(1000, 3000, 5000, 7000));
  EXPECT_THAT(Starts(Moments({{900, 8000}}, 300)), ElementsAre(900, 3000, 5100, 7200))
      << "at the first tick that is 2 s later";
}

TEST(Events, ForecastsThatStopEndTheEpisode) {
  std::vector<Moment> moments = {{0, false}, {100, true}, {200, true}, {1200, true}, {2201, true}};
  EXPECT_THAT(Starts(moments), ElementsAre(100, 2201)) << "a gap of 1 s is bridged, more is not";
  // Ticks of 5 s are no gaps.
  moments = {{0, true}, {5000, true}, {10'000, true}};
  EXPECT_THAT(Starts(moments), ElementsAre(0, 5000, 10'000)) << "counted anew, as more than 2 s";
}

TEST(Events, AHitLeadsByOneHundredMillisecondsToTwoSeconds) {
  EXPECT_EQ(Of(17'999).kind, AlarmKind::kFalse);
  EXPECT_EQ(Of(18'000).kind, AlarmKind::kHit);
  EXPECT_EQ(Of(19'900).kind, AlarmKind::kHit);
  EXPECT_TRUE(Of(19'900).hit);
  EXPECT_FALSE(Of(19'900).late);
}

TEST(Events, AnAlarmLessThanTheActionLeadBeforeOrDuringIsLateAndNotFalse) {
  for (const std::int64_t at : {19'901, 19'999, 20'000, 20'001, 24'999, 25'000}) {
    SCOPED_TRACE(at);
    EXPECT_EQ(Of(at).kind, AlarmKind::kLate);
    EXPECT_FALSE(Of(at).hit);
    EXPECT_TRUE(Of(at).late);
  }
}

TEST(Events, InTheHalfSecondAfterAViolationNoAlarmIsFalse) {
  EXPECT_EQ(Of(25'001).kind, AlarmKind::kAfter);
  EXPECT_EQ(Of(25'500).kind, AlarmKind::kAfter);
  EXPECT_FALSE(Of(25'500).late);
  EXPECT_EQ(Of(25'501).kind, AlarmKind::kFalse);
}

TEST(Events, TwoViolationsAndOneAlarmAreOneHit) {
  const std::vector<Span> violations = {{20'000, 20'100}, {21'500, 22'000}};
  const Matched m = Match(Moments({{19'800, 19'900}}), violations, {}, Rules());
  EXPECT_EQ(m.violations[0].alarm, 0) << "the earlier one";
  EXPECT_EQ(m.violations[1].alarm, -1);
  EXPECT_FALSE(m.violations[1].late);
}

TEST(Events, TwoAlarmsAndOneViolationAreOneHitAndOneFalseAlarm) {
  const std::vector<Span> violations = {{20'000, 21'000}};
  const Matched m = Match(Moments({{18'500, 18'600}, {19'500, 19'600}}), violations, {}, Rules());
  ASSERT_EQ(m.alarms.size(), 2u);
  EXPECT_EQ(m.alarms[0].kind, AlarmKind::kHit) << "the earliest has the longest lead";
  EXPECT_EQ(m.alarms[1].kind, AlarmKind::kFalse);
}

TEST(Events, AnEpisodeFromLongBeforeIntoTheViolationIsFalseHitAndLate) {
  const std::vector<Span> violations = {{20'000, 23'000}};
  const Matched m = Match(Moments({{17'000, 22'000}}), violations, {}, Rules());
  std::vector<AlarmKind> kinds;
  for (const Alarm& alarm : m.alarms) kinds.push_back(alarm.kind);
  EXPECT_THAT(kinds, ElementsAre(AlarmKind::kFalse, AlarmKind::kHit, AlarmKind::kLate));
  EXPECT_FALSE(m.violations[0].late) << "it was hit";
}

TEST(Events, AnAlarmInOneViolationMayHitTheNext) {
  const std::vector<Span> violations = {{20'000, 20'500}, {21'800, 22'000}};
  const Matched m = Match(Moments({{20'300, 20'400}}), violations, {}, Rules());
  EXPECT_EQ(m.alarms[0].kind, AlarmKind::kHit);
  EXPECT_EQ(m.alarms[0].violation, 1);
  EXPECT_TRUE(m.violations[0].late) << "for the first it came too late";
}

TEST(Events, ANearMissIsAFalseAlarmWhoseTailCameWithinAFifthOfItsTarget) {
  struct Case {
    std::int64_t tail_at_ms;
    double tail_ms;
    bool near;
  };
  for (const Case& c : {Case{11'000, 80, true}, Case{11'000, 79.999, false}, Case{12'000, 80, true},
                        Case{12'001, 99, false}, Case{10'000, 99, false}, Case{10'001, 99, true},
                        Case{11'000, 140, true}}) {
    SCOPED_TRACE(c.tail_at_ms);
    SCOPED_TRACE(c.tail_ms);
    const std::vector<TailRow> tails = {
        {5000, 0, 99, 100}, {c.tail_at_ms, 0, c.tail_ms, 100}, {30'000, 0, 99, 100}};
    const Matched m = Match(Moments({{10'000, 10'100}}), {}, tails, Rules());
    ASSERT_EQ(m.alarms.size(), 1u);
    EXPECT_EQ(m.alarms[0].kind, AlarmKind::kFalse);
    EXPECT_EQ(m.alarms[0].near_miss, c.near);
  }
}

TEST(Events, AHitIsNoNearMiss) {
  const std::vector<Span> violations = {{20'000, 21'000}};
  const std::vector<TailRow> tails = {{19'500, 0, 99, 100}};
  const Matched m = Match(Moments({{19'000, 19'100}}), violations, tails, Rules());
  EXPECT_FALSE(m.alarms[0].near_miss);
}

// The largest number of pairs, by trying every choice.
std::size_t MostPairs(const std::vector<std::int64_t>& alarms, const std::vector<Span>& violations,
                      std::size_t v, unsigned used) {
  if (v == violations.size()) return 0;
  std::size_t best = MostPairs(alarms, violations, v + 1, used);
  for (std::size_t a = 0; a < alarms.size(); ++a) {
    const std::int64_t lead = violations[v].start_ms - alarms[a];
    if ((used >> a & 1) != 0 || lead < 100 || lead > 2000) continue;
    best = std::max(best, 1 + MostPairs(alarms, violations, v + 1, used | 1u << a));
  }
  return best;
}

TEST(Events, MatchesAreOneToOneAndAsManyAsPossible) {
  std::mt19937 random(5);
  const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  for (int round = 0; round < 2000; ++round) {
    std::vector<std::int64_t> alarms;
    std::vector<Span> violations;
    for (int i = below(7); i > 0; --i) alarms.push_back(below(60) * 100);
    for (int i = below(5); i > 0; --i) violations.push_back({below(60) * 100, 0});
    std::sort(alarms.begin(), alarms.end());
    std::sort(violations.begin(), violations.end(),
              [](const Span& a, const Span& b) { return a.start_ms < b.start_ms; });
    const std::vector<std::int32_t> matched = MatchAlarms(alarms, violations, 100, 2000);
    std::vector<std::int32_t> used;
    for (std::size_t v = 0; v < matched.size(); ++v) {
      if (matched[v] < 0) continue;
      const std::int64_t lead =
          violations[v].start_ms - alarms[static_cast<std::size_t>(matched[v])];
      EXPECT_GE(lead, 100);
      EXPECT_LE(lead, 2000);
      used.push_back(matched[v]);
    }
    EXPECT_EQ(used.size(), MostPairs(alarms, violations, 0, 0));
    std::sort(used.begin(), used.end());
    EXPECT_EQ(std::unique(used.begin(), used.end()), used.end());
  }
}

// The judge does not ask the library that it judges; both go by the same words.
TEST(Events, TheLibraryCountsAlike) {
  std::mt19937 random(6);
  const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  std::uint64_t hits = 0, late = 0, after = 0, near = 0, far = 0;
  for (int round = 0; round < 300; ++round) {
    std::vector<Moment> moments;
    std::vector<TailRow> tails;
    AlarmTrack track;
    bool alarm = false;
    for (std::int64_t t = 0; t < 60'000; t += below(50) == 0 ? 700 + 100 * below(8) : 100) {
      alarm = below(alarm ? 12 : 60) == 0 ? !alarm : alarm;
      const double share = below(20) == 0 ? 0.9 : 0.3;
      moments.push_back({t, alarm});
      tails.push_back({t, 0, share * 50, 50});
      track.times_ns.push_back(t * 1'000'000);
      track.alarms.push_back(alarm ? 1 : 0);
      track.near.push_back(share >= 0.8 ? 1 : 0);
    }
    std::vector<Span> violations;
    for (std::int64_t t = 100 * below(90); t < 60'000; t += 100 * (10 + below(90))) {
      const std::int64_t end = t + 100 * below(30);
      violations.push_back({t, end});
      track.violations.push_back({t * 1'000'000, end * 1'000'000});
      t = end;
    }
    const Matched matched = Match(moments, violations, tails, Rules());
    const AlarmScore score = ScoreAlarms(track);
    ASSERT_EQ(score.alarms.size(), matched.alarms.size());
    for (std::size_t i = 0; i < score.alarms.size(); ++i) {
      const Alarm& ours = matched.alarms[i];
      const ScoredAlarm& theirs = score.alarms[i];
      EXPECT_EQ(theirs.tick, ours.forecast);
      EXPECT_EQ(static_cast<int>(theirs.outcome), static_cast<int>(ours.kind)) << ours.start_ms;
      EXPECT_EQ(theirs.near_miss, ours.near_miss) << ours.start_ms;
      after += ours.kind == AlarmKind::kAfter ? 1 : 0;
    }
    for (std::size_t v = 0; v < violations.size(); ++v) {
      EXPECT_EQ(score.violation_hit[v], matched.violations[v].alarm);
    }
    hits += score.hits, late += score.late, near += score.near_misses;
    far += score.false_alarms - score.near_misses;
  }
  for (const std::uint64_t kind : {hits, late, after, near, far}) EXPECT_GT(kind, 100u);
}

}  // namespace
}  // namespace seer::evaluation
