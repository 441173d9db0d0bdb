// Alarms and violations of one run and class, matched: the rules, and nothing but the rules.
//
//   alarm      an episode of forecasts with alarm; one that lasts counts anew every 2 s
//   hit        alarm and violation matched one to one, the alarm 100 ms to 2 s before the violation
//              starts, both ends included; as many as possible, the earlier violation and its
//              earliest alarm first
//   late       an alarm that starts less than 100 ms before a violation or during it, its start and
//              end included, and is no hit: not false
//   after      so too in the 0.5 s after a violation
//   false      any other
//   near miss  a false one: the tail came within 20 % of its target, or over it, in the 2 s after
//              the alarm's start
//
// A violation that is not hit is missed; it is late if an alarm of the second kind was its.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "benchmarks/evaluation/rows.h"

namespace seer::evaluation {

struct Rules {
  std::int64_t action_lead_ms = 100;
  std::int64_t longest_lead_ms = 2000;
  std::int64_t recount_ms = 2000;      // an alarm that lasts counts anew
  std::int64_t after_ms = 500;         // behind a violation's end
  double near_share = 0.2;             // of the target
  std::int64_t near_within_ms = 2000;  // of the alarm's start
  // Forecasts further apart than this are not one episode; more where ticks are longer.
  std::int64_t gap_ms = 1000;
};

enum class AlarmKind : std::uint8_t { kHit, kLate, kAfter, kFalse };

struct Alarm {
  std::int64_t start_ms = 0;
  std::size_t forecast = 0;  // index of the line at which it starts
  AlarmKind kind = AlarmKind::kFalse;
  bool near_miss = false;       // with kFalse, where tails are known
  std::int32_t violation = -1;  // with kHit
};

struct ViolationOutcome {
  std::int32_t alarm = -1;  // that hit it
  bool late = false;        // missed, with an alarm that came too late
};

struct Matched {
  std::vector<Alarm> alarms;                 // by time
  std::vector<ViolationOutcome> violations;  // as handed over
};

struct Moment {
  std::int64_t time_ms;
  bool alarm;
};

// Forecasts further apart than this are not one episode.
std::int64_t EpisodeGapMs(absl::Span<const std::int64_t> times_ms, const Rules& rules);

// Tells line by line where alarms start.
class Episodes {
 public:
  Episodes(std::int64_t gap_ms, const Rules& rules)
      : gap_ms_(gap_ms), recount_ms_(rules.recount_ms) {}
  bool Observe(std::int64_t time_ms, bool alarm) {
    const bool goes_on = before_ && time_ms - last_ms_ <= gap_ms_;
    before_ = alarm;
    last_ms_ = time_ms;
    if (!alarm || (goes_on && time_ms - start_ms_ < recount_ms_)) return false;
    start_ms_ = time_ms;
    return true;
  }
  void PassOver() { before_ = false; }  // of lines without alarm

 private:
  const std::int64_t gap_ms_, recount_ms_;
  std::int64_t last_ms_ = 0, start_ms_ = 0;
  bool before_ = false;
};

// Where alarms start: indices of `moments`, which are in order.
std::vector<std::size_t> AlarmStarts(absl::Span<const Moment> moments, const Rules& rules);

struct Span {
  std::int64_t start_ms;
  std::int64_t end_ms;
};

// One to one: for each violation the index of its alarm, or -1. Both in order of their starts.
std::vector<std::int32_t> MatchAlarms(absl::Span<const std::int64_t> alarm_starts_ms,
                                      absl::Span<const Span> violations, std::int64_t least_lead_ms,
                                      std::int64_t most_lead_ms);

// `tails` are of the class, in order; empty: near misses are not known.
Matched Match(absl::Span<const Moment> moments, absl::Span<const Span> violations,
              absl::Span<const TailRow> tails, const Rules& rules);
// So too of alarms that start then; `forecast` counts them.
Matched Match(absl::Span<const std::int64_t> alarm_starts_ms, absl::Span<const Span> violations,
              absl::Span<const TailRow> tails, const Rules& rules);

}  // namespace seer::evaluation
