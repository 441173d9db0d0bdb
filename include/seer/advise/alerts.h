// Flow: Forecast, Diagnosis -> [AlertsJson] -> Alertmanager, by the host
//
// The forecast's alarms as the body of Alertmanager's POST /api/v2/alerts, one alert for each
// request class in alarm:
//
//   http.Post("http://alertmanager:9093/api/v2/alerts", "application/json",
//             seer::AlertsJson(forecast, *predictor.topology(), diagnoses, options));
//
// Labels say what is the same as long as the alert is (alertname, application, request_class,
// culprit, and what the options add), annotations what changes (probability, cause, evidence). Post
// while there is alarm, more often than `resolve_after_ns`: Alertmanager resolves what it does not
// hear of.
//
// Threads: pure functions. Cost: 2 us for each alert.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "seer/core/config.h"
#include "seer/core/diagnosis.h"
#include "seer/core/forecast.h"
#include "seer/core/topology.h"

SEER_BEGIN_NAMESPACE

struct AlertOptions {
  std::string alert_name = "SeerViolationForeseen";
  std::string generator_url;                                // left out where empty
  std::vector<std::pair<std::string, std::string>> labels;  // more of them: severity, cluster
  std::int64_t resolve_after_ns = 10'000'000'000;
};

struct ClassDiagnosis {
  ClassId request_class;
  Diagnosis diagnosis;
};

// "[]" where there is no alarm. Of the diagnoses those of classes in alarm are used; none is
// needed.
std::string AlertsJson(const Forecast& forecast, const Topology& topology,
                       absl::Span<const ClassDiagnosis> diagnoses,
                       const AlertOptions& options = {});

SEER_END_NAMESPACE
