// Flow: alarms, Violation -> [ScoreAlarms] -> hits, false alarms, leads
//
// How good alarms were, by the words of include/seer/README.md: alarms and violations of one class
// matched one to one.
//
//   hit    the alarm starts 100 ms to 2 s before the violation does, both ends included
//   late   less than 100 ms before, or while one lasts: the violation is missed, yet it is not
//          false
//   after  in the 0.5 s after a violation: not false either
//   false  any other; a near miss is one after which the tail came within 20 % of its target
//
//   seer::AlarmScore score = seer::ScoreAlarms(track, seer::AlarmRules());
//   for (const seer::ScoredAlarm& alarm : score.alarms) ...
//
// Threads: functions of their arguments. Cost: one pass over the ticks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE

struct AlarmRules {
  std::int64_t action_lead_ns = 100'000'000;
  std::int64_t longest_lead_ns = 2'000'000'000;
  std::int64_t recount_ns = 2'000'000'000;      // an alarm that lasts counts anew
  std::int64_t after_ns = 500'000'000;          // behind a violation's end
  std::int64_t near_within_ns = 2'000'000'000;  // of the alarm's start
  // Ticks further apart than this, and than one and a half ticks, are not one episode.
  std::int64_t gap_ns = 1'000'000'000;
};

struct ViolationSpan {
  std::int64_t start_ns = 0, end_ns = 0;
};

// One class of one run: what was said, tick by tick, and what was true.
struct AlarmTrack {
  std::vector<std::int64_t> times_ns;     // ticks' ends, growing
  std::vector<std::uint8_t> alarms;       // of each
  std::vector<std::uint8_t> near;         // the tail is near its target; empty: not known
  std::vector<ViolationSpan> violations;  // by start
};

enum class AlarmOutcome : std::uint8_t { kHit, kLate, kAfter, kFalse };

struct ScoredAlarm {
  std::size_t tick = 0;  // where it starts: a place in times_ns
  AlarmOutcome outcome = AlarmOutcome::kFalse;
  bool near_miss = false;     // with kFalse
  std::size_t violation = 0;  // with kHit
};

struct AlarmScore {
  std::vector<ScoredAlarm> alarms;          // by time
  std::vector<std::int32_t> violation_hit;  // of each violation its alarm, or -1
  std::uint64_t hits = 0, late = 0, false_alarms = 0, near_misses = 0;
};

AlarmScore ScoreAlarms(const AlarmTrack& track, const AlarmRules& rules = {});

SEER_END_NAMESPACE
