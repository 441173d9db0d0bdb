#include "seer/predict/alarm_score.h"

#include <algorithm>
#include <limits>

SEER_BEGIN_NAMESPACE

AlarmScore ScoreAlarms(const AlarmTrack& track, const AlarmRules& rules) {
  const std::vector<std::int64_t>& times = track.times_ns;
  const std::size_t ticks = std::min(times.size(), track.alarms.size());
  std::int64_t tick_ns = std::numeric_limits<std::int64_t>::max();  // the smallest that occurs
  for (std::size_t i = 1; i < ticks; ++i) tick_ns = std::min(tick_ns, times[i] - times[i - 1]);
  const std::int64_t gap_ns =
      ticks < 2 ? rules.gap_ns : std::max(rules.gap_ns, tick_ns + tick_ns / 2);

  AlarmScore score;
  for (std::size_t i = 0; i < ticks; ++i) {
    if (track.alarms[i] == 0) continue;
    const bool goes_on = i > 0 && track.alarms[i - 1] != 0 && times[i] - times[i - 1] <= gap_ns;
    if (goes_on && times[i] - times[score.alarms.back().tick] < rules.recount_ns) continue;
    ScoredAlarm alarm;
    alarm.tick = i;
    score.alarms.push_back(alarm);
  }

  // All intervals in which a violation's alarm may start are equally long, so that the earliest
  // free alarm for each violation in turn gives the most matches that there can be.
  const std::vector<ViolationSpan>& violations = track.violations;
  score.violation_hit.assign(violations.size(), -1);
  std::size_t next = 0;
  for (std::size_t v = 0; v < violations.size(); ++v) {
    const auto start_of = [&](std::size_t a) { return times[score.alarms[a].tick]; };
    const std::int64_t start_ns = violations[v].start_ns;
    while (next < score.alarms.size() && start_of(next) < start_ns - rules.longest_lead_ns) ++next;
    if (next == score.alarms.size() || start_of(next) > start_ns - rules.action_lead_ns) continue;
    score.violation_hit[v] = static_cast<std::int32_t>(next);
    score.alarms[next].outcome = AlarmOutcome::kHit;
    score.alarms[next].violation = v;
    ++next;
  }

  for (ScoredAlarm& alarm : score.alarms) {
    if (alarm.outcome == AlarmOutcome::kHit) {
      ++score.hits;
      continue;
    }
    const std::int64_t at_ns = times[alarm.tick];
    bool late = false, after = false;
    for (const ViolationSpan& span : violations) {
      late = late || (at_ns > span.start_ns - rules.action_lead_ns && at_ns <= span.end_ns);
      after = after || (at_ns > span.end_ns && at_ns <= span.end_ns + rules.after_ns);
    }
    alarm.outcome = late    ? AlarmOutcome::kLate
                    : after ? AlarmOutcome::kAfter
                            : AlarmOutcome::kFalse;
    score.late += late ? 1 : 0;
    if (alarm.outcome != AlarmOutcome::kFalse) continue;
    ++score.false_alarms;
    for (std::size_t i = alarm.tick + 1; i < ticks && i < track.near.size(); ++i) {
      if (times[i] > at_ns + rules.near_within_ns) break;
      alarm.near_miss = alarm.near_miss || track.near[i] != 0;
    }
    score.near_misses += alarm.near_miss ? 1 : 0;
  }
  return score;
}

SEER_END_NAMESPACE
