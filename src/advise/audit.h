// The lines of the audit trail (include/seer/advise/README.md).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "advise/json_text.h"
#include "seer/core/action_taken.h"
#include "seer/core/config.h"
#include "seer/core/diagnosis.h"
#include "seer/core/forecast.h"
#include "seer/core/recommendation.h"
#include "seer/core/topology.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// "stale", "clock-jumped", "killed", "resumed".
std::string AuditEvent(std::int64_t now_ns, std::string_view event, std::string_view why);
// A case that came to its end; `recommendation` null where nothing is recommended.
std::string AuditDecision(std::int64_t now_ns, const Topology& topology, Tick tick,
                          const ClassForecast& forecast, const Diagnosis& diagnosis,
                          const Recommendation* recommendation, std::string_view verdict,
                          std::string_view why);
// "sent", "not-sent", "undo", "undo-not-sent", "no-report", "helped", "did-not-help", "renewed",
// "ended".
std::string AuditAction(std::int64_t now_ns, std::string_view event, const Recommendation& r,
                        std::string_view why);
std::string AuditReport(std::int64_t now_ns, const ActionTaken& taken, bool known);

}  // namespace internal
SEER_END_NAMESPACE
