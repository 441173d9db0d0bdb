// What an executor looks at before it changes anything.
#pragma once

#include "absl/status/status.h"
#include "seer/act/actuator.h"
#include "seer/act/executor.h"
#include "seer/core/action_taken.h"
#include "seer/core/config.h"
#include "seer/core/recommendation.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// What an error means for the one who asked.
ActionOutcome OutcomeOf(const absl::Status& status);
// By itself: numbers, bounds, and that there is something to do.
absl::Status CheckRecommendation(const Recommendation& r);
// Against what is in place: precondition, bounds after rounding and on the way back, step.
absl::Status CheckPlan(const Recommendation& r, const ActionPlan& plan,
                       const ExecutorOptions& options);

}  // namespace internal
SEER_END_NAMESPACE
