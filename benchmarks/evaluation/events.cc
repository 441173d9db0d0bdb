#include "benchmarks/evaluation/events.h"

#include <algorithm>

namespace seer::evaluation {

std::int64_t EpisodeGapMs(absl::Span<const std::int64_t> times_ms, const Rules& rules) {
  std::int64_t tick_ms = 0;  // the ticks' distance: the smallest that occurs
  for (std::size_t i = 1; i < times_ms.size(); ++i) {
    const std::int64_t distance = times_ms[i] - times_ms[i - 1];
    if (distance > 0 && (tick_ms == 0 || distance < tick_ms)) tick_ms = distance;
  }
  return std::max(rules.gap_ms, tick_ms + tick_ms / 2);
}

std::vector<std::size_t> AlarmStarts(absl::Span<const Moment> moments, const Rules& rules) {
  std::vector<std::int64_t> times_ms;
  times_ms.reserve(moments.size());
  for (const Moment& moment : moments) times_ms.push_back(moment.time_ms);
  Episodes episodes(EpisodeGapMs(times_ms, rules), rules);
  std::vector<std::size_t> starts;
  for (std::size_t i = 0; i < moments.size(); ++i) {
    if (episodes.Observe(moments[i].time_ms, moments[i].alarm)) starts.push_back(i);
  }
  return starts;
}

std::vector<std::int32_t> MatchAlarms(absl::Span<const std::int64_t> alarm_starts_ms,
                                      absl::Span<const Span> violations, std::int64_t least_lead_ms,
                                      std::int64_t most_lead_ms) {
  // All intervals in which a violation's alarm may start are equally long, so that taking the
  // earliest free alarm for each violation in turn gives the most matches that there can be.
  std::vector<std::int32_t> matched(violations.size(), -1);
  std::size_t next = 0;
  for (std::size_t v = 0; v < violations.size(); ++v) {
    const std::int64_t from = violations[v].start_ms - most_lead_ms;
    const std::int64_t to = violations[v].start_ms - least_lead_ms;
    while (next < alarm_starts_ms.size() && alarm_starts_ms[next] < from) ++next;
    if (next < alarm_starts_ms.size() && alarm_starts_ms[next] <= to) {
      matched[v] = static_cast<std::int32_t>(next++);
    }
  }
  return matched;
}

Matched Match(absl::Span<const Moment> moments, absl::Span<const Span> violations,
              absl::Span<const TailRow> tails, const Rules& rules) {
  const std::vector<std::size_t> starts = AlarmStarts(moments, rules);
  std::vector<std::int64_t> starts_ms;
  for (const std::size_t i : starts) starts_ms.push_back(moments[i].time_ms);
  Matched result = Match(starts_ms, violations, tails, rules);
  for (Alarm& alarm : result.alarms) alarm.forecast = starts[alarm.forecast];
  return result;
}

Matched Match(absl::Span<const std::int64_t> starts_ms, absl::Span<const Span> violations,
              absl::Span<const TailRow> tails, const Rules& rules) {
  Matched result;
  for (std::size_t i = 0; i < starts_ms.size(); ++i) {
    Alarm alarm;
    alarm.start_ms = starts_ms[i];
    alarm.forecast = i;
    result.alarms.push_back(alarm);
  }
  result.violations.resize(violations.size());
  const std::vector<std::int32_t> matched =
      MatchAlarms(starts_ms, violations, rules.action_lead_ms, rules.longest_lead_ms);
  for (std::size_t v = 0; v < violations.size(); ++v) {
    if (matched[v] < 0) continue;
    result.violations[v].alarm = matched[v];
    Alarm& alarm = result.alarms[static_cast<std::size_t>(matched[v])];
    alarm.kind = AlarmKind::kHit;
    alarm.violation = static_cast<std::int32_t>(v);
  }

  for (Alarm& alarm : result.alarms) {
    const std::int64_t at = alarm.start_ms;
    bool after = false;
    bool late = false;
    for (std::size_t v = 0; v < violations.size(); ++v) {
      const Span& span = violations[v];
      if (at > span.start_ms - rules.action_lead_ms && at <= span.end_ms) {
        late = true;
        if (result.violations[v].alarm < 0) result.violations[v].late = true;
      }
      after = after || (at > span.end_ms && at <= span.end_ms + rules.after_ms);
    }
    if (alarm.kind == AlarmKind::kHit) continue;
    alarm.kind = late ? AlarmKind::kLate : after ? AlarmKind::kAfter : AlarmKind::kFalse;
    if (alarm.kind != AlarmKind::kFalse) continue;
    const auto from =
        std::upper_bound(tails.begin(), tails.end(), at,
                         [](std::int64_t time, const TailRow& row) { return time < row.time_ms; });
    for (auto row = from; row != tails.end() && row->time_ms <= at + rules.near_within_ms; ++row) {
      // With room for the rounding of a tail that is exactly at the limit.
      if (row->tail_ms >= (1 - rules.near_share) * row->target_ms * (1 - 1e-12)) {
        alarm.near_miss = true;
      }
    }
  }
  return result;
}

}  // namespace seer::evaluation
