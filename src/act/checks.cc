#include "act/checks.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

// Values went through decimal text and back.
bool Same(double a, double b) {
  return std::abs(a - b) <= 1e-9 * std::max({1.0, std::abs(a), std::abs(b)});
}
bool AtMost(double a, double b) { return a <= b || Same(a, b); }

}  // namespace

ActionOutcome OutcomeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kUnavailable:
      return ActionOutcome::kRefused;
    default:
      return ActionOutcome::kFailed;
  }
}

absl::Status CheckRecommendation(const Recommendation& r) {
  if (r.action == Action::kReport) {
    return absl::InvalidArgumentError("action: a report is for people, there is nothing to do");
  }
  for (const double value : {r.from, r.to, r.lower, r.upper, r.precondition.value_or(0)}) {
    if (!std::isfinite(value)) {
      return absl::InvalidArgumentError("from, to, lower, upper: give finite numbers");
    }
  }
  if (!(r.lower <= r.to && r.to <= r.upper)) {
    return absl::OutOfRangeError(absl::StrCat("to: ", r.to, " is outside the bounds [", r.lower,
                                              ", ", r.upper, "]: give a value within"));
  }
  return absl::OkStatus();
}

absl::Status CheckPlan(const Recommendation& r, const ActionPlan& plan,
                       const ExecutorOptions& options) {
  if (!AtMost(r.lower, plan.to) || !AtMost(plan.to, r.upper)) {
    return absl::OutOfRangeError(absl::StrCat("to: ", r.to, " can only be set as ", plan.to,
                                              ", which is outside the bounds"));
  }
  if (plan.unlimited) {
    if (r.precondition) return absl::AbortedError("precondition: no limit is in place");
    if (!options.may_limit_unlimited) {
      return absl::FailedPreconditionError(
          "no limit is in place, and may_limit_unlimited is not set: nothing is changed");
    }
    return absl::OkStatus();
  }
  if (r.precondition && !Same(*r.precondition, plan.from)) {
    return absl::AbortedError(absl::StrCat("precondition: ", *r.precondition, " is wanted and ",
                                           plan.from, " is in place: somebody moved it"));
  }
  if (plan.changes.empty()) return absl::OkStatus();
  // Undoing sets it again.
  if (!AtMost(r.lower, plan.from) || !AtMost(plan.from, r.upper)) {
    return absl::OutOfRangeError(absl::StrCat("bounds: ", plan.from,
                                              ", which is in place, is outside [", r.lower, ", ",
                                              r.upper, "], and undoing would set it"));
  }
  if (!AtMost(plan.to, plan.from * options.max_step_up) ||
      !AtMost(plan.from * options.max_step_down, plan.to)) {
    return absl::OutOfRangeError(
        absl::StrCat("to: from ", plan.from, " to ", plan.to,
                     " is a larger step than this executor takes at once"));
  }
  return absl::OkStatus();
}

}  // namespace internal
SEER_END_NAMESPACE
