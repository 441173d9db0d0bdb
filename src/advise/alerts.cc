#include "seer/advise/alerts.h"

#include <time.h>

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "advise/json_text.h"
#include "seer/core/internal/strings.h"

SEER_BEGIN_NAMESPACE
namespace {

using internal::JsonText;

// RFC 3339 in UTC, with milliseconds. Times outside the years 0 to 9999 are cut to those.
std::string Rfc3339(std::int64_t unix_ns) {
  std::int64_t seconds = unix_ns / 1'000'000'000;
  std::int64_t rest = unix_ns % 1'000'000'000;
  if (rest < 0) {
    rest += 1'000'000'000;
    --seconds;
  }
  const auto time = static_cast<time_t>(seconds);
  tm parts = {};
  if (gmtime_r(&time, &parts) == nullptr) return "1970-01-01T00:00:00.000Z";
  return absl::StrFormat("%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", parts.tm_year + 1900,
                         parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                         rest / 1'000'000);
}

std::string ServiceName(const Topology& topology, ServiceId service) {
  if (!service.valid()) return "load";
  return topology.Has(service) ? topology.service(service).name
                               : absl::StrCat("service ", service.value());
}

void AppendAlert(const ClassForecast& row, const Forecast& forecast, const Topology& topology,
                 const Diagnosis* diagnosis, const AlertOptions& options, JsonText* json) {
  std::string application, name = absl::StrCat("class ", row.request_class.value());
  if (topology.Has(row.request_class)) {
    application = topology.request_class(row.request_class).application;
    name = topology.request_class(row.request_class).name;
  }
  const std::string culprit =
      row.initiators.empty() ? "unknown" : ServiceName(topology, row.initiators.front().service);
  // The horizon that says most about the near future: the first that is more likely than not.
  HorizonProbability told;
  for (const HorizonProbability& horizon : row.horizons) {
    told = horizon;
    if (horizon.probability >= 0.5f) break;
  }

  json->Open('{').Key("labels").Open('{');
  json->Key("alertname").String(options.alert_name);
  if (!application.empty()) json->Key("application").String(application);
  json->Key("request_class").String(name).Key("culprit").String(culprit);
  for (const auto& [key, value] : options.labels) {
    const bool ours =
        key == "alertname" || key == "application" || key == "request_class" || key == "culprit";
    if (!ours && !key.empty()) json->Key(key).String(value);
  }
  json->Close('}').Key("annotations").Open('{');
  json->Key("summary").String(
      absl::StrCat("A violation of ", name, " is foreseen; ", culprit, " would initiate it"));
  json->Key("probability").String(absl::StrCat(told.probability));
  json->Key("horizon_ms").String(absl::StrCat(told.horizon_ns / 1'000'000));
  if (!row.initiators.empty()) {
    json->Key("culprit_probability").String(absl::StrCat(row.initiators.front().probability));
  }
  if (diagnosis != nullptr) {
    json->Key("cause").String(CauseName(diagnosis->cause));
    json->Key("confidence").String(absl::StrCat(diagnosis->confidence));
    if (topology.Has(diagnosis->instance)) {
      json->Key("instance").String(topology.instance(diagnosis->instance).name);
    }
    for (const DiagnosisEvidence& evidence : diagnosis->evidence) {
      json->Key(absl::StrCat("evidence_", internal::ToAbsl(ResourceName(evidence.resource))))
          .String(
              absl::StrCat(evidence.signal, ": ", evidence.value, ", healthy ", evidence.healthy));
    }
  }
  json->Close('}');
  const std::int64_t now_ns =
      forecast.period.Contains(forecast.tick) ? forecast.period.EndNs(forecast.tick) : 0;
  json->Key("startsAt").String(Rfc3339(now_ns));
  json->Key("endsAt").String(Rfc3339(
      now_ns + std::clamp<std::int64_t>(options.resolve_after_ns, 0, std::int64_t{1} << 56)));
  if (!options.generator_url.empty()) json->Key("generatorURL").String(options.generator_url);
  json->Close('}');
}

}  // namespace

std::string AlertsJson(const Forecast& forecast, const Topology& topology,
                       absl::Span<const ClassDiagnosis> diagnoses, const AlertOptions& options) {
  JsonText json;
  json.Open('[');
  for (const ClassForecast& row : forecast.classes) {
    if (!row.alarm) continue;
    const auto found =
        std::find_if(diagnoses.begin(), diagnoses.end(),
                     [&](const ClassDiagnosis& d) { return d.request_class == row.request_class; });
    AppendAlert(row, forecast, topology, found == diagnoses.end() ? nullptr : &found->diagnosis,
                options, &json);
  }
  return json.Close(']').Take();
}

SEER_END_NAMESPACE
