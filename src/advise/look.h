// What one instance's readings say, as Diagnose() judges them: attribution.h, and what is to be
// made of few requests, of chance, and of waiting that has another waiting behind it.
#pragma once

#include "seer/advise/diagnose.h"
#include "seer/core/config.h"
#include "seer/hwmon/attribution.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// With what a request takes at the instance when all is well, as far as its baseline tells (what it
// works and what it waits), unless the host knows it.
AttributionRules RulesFor(const StallBaseline& baseline, const AttributionRules& rules);

// The evidence has a baseline.
StallAttribution Look(const InstanceEvidence& evidence, const AttributionRules& rules);

}  // namespace internal
SEER_END_NAMESPACE
