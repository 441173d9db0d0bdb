// Flow: act/ or the host -> ActionTaken -> predict/ (the retrainer), audit
//
// What became of a recommendation. The host hands it back to the retrainer, so that a violation
// that was avoided is not learnt as a false alarm.
//
// Threads: a plain value.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "seer/core/config.h"
#include "seer/core/recommendation.h"

SEER_BEGIN_NAMESPACE

enum class ActionOutcome : std::uint8_t {
  kApplied,    // and read back
  kUnchanged,  // the wanted value was in place already
  kRefused,    // outside the bounds or the authority; or the precondition did not hold
  kFailed,     // tried; nothing was changed
  kUndone,     // put back on request, or because it did not help
  kExpired,    // put back because its time was over
  kShadow,     // would have been applied; nobody was allowed to
};
inline constexpr std::size_t kActionOutcomes = 7;
// "applied", ...
std::string_view ActionOutcomeName(ActionOutcome outcome);

struct ActionTaken {
  std::uint64_t recommendation_id = 0;
  ActionTarget target;
  Action action = Action::kReport;
  ActionOutcome outcome = ActionOutcome::kRefused;
  double value_before = 0;  // in the action's unit
  double value_after = 0;
  std::int64_t time_ns = 0;  // unix time of the outcome
  std::string detail;        // for people: which file, which error

  friend bool operator==(const ActionTaken& a, const ActionTaken& b) {
    return a.recommendation_id == b.recommendation_id && a.target == b.target &&
           a.action == b.action && a.outcome == b.outcome && a.value_before == b.value_before &&
           a.value_after == b.value_after && a.time_ns == b.time_ns && a.detail == b.detail;
  }
  friend bool operator!=(const ActionTaken& a, const ActionTaken& b) { return !(a == b); }
};

SEER_END_NAMESPACE
