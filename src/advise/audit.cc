#include "advise/audit.h"

#include <utility>

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

JsonText Begin(std::int64_t now_ns, std::string_view event) {
  JsonText json;
  json.Open('{').Key("time_ns").Integer(now_ns).Key("event").String(event);
  return json;
}

std::string End(JsonText json) { return json.Close('}').Take(); }

void AppendTarget(const ActionTarget& target, JsonText* json) {
  json->Key("service").String(target.service);
  if (!target.instance.empty()) json->Key("instance").String(target.instance);
  if (!target.node.empty()) json->Key("node").String(target.node);
  if (!target.cgroup.empty()) json->Key("cgroup").String(target.cgroup);
}

void AppendRecommendation(const Recommendation& r, JsonText* json) {
  json->Open('{').Key("id").Unsigned(r.id);
  AppendTarget(r.target, json);
  json->Key("action").String(ActionName(r.action)).Key("unit").String(ActionUnit(r.action));
  json->Key("from").Number(r.from).Key("to").Number(r.to);
  json->Key("lower").Number(r.lower).Key("upper").Number(r.upper);
  json->Key("settle_ns").Integer(r.settle_ns).Key("expires_ns").Integer(r.expires_ns);
  json->Key("reason").String(r.reason);
  json->Close('}');
}

void AppendForecast(const Topology& topology, Tick tick, const ClassForecast& forecast,
                    JsonText* json) {
  const auto service = [&](ServiceId id) -> std::string_view {
    if (!id.valid()) return "load";
    return topology.Has(id) ? std::string_view(topology.service(id).name) : "?";
  };
  json->Key("tick").Integer(tick);
  if (topology.Has(forecast.request_class)) {
    const RequestClass& row = topology.request_class(forecast.request_class);
    json->Key("application").String(row.application).Key("class").String(row.name);
  }
  json->Key("horizons").Open('[');
  for (const HorizonProbability& horizon : forecast.horizons) {
    json->Open('{').Key("horizon_ns").Integer(horizon.horizon_ns);
    json->Key("p").Number(static_cast<double>(horizon.probability)).Close('}');
  }
  json->Close(']').Key("initiators").Open('[');
  for (const Initiator& initiator : forecast.initiators) {
    json->Open('{').Key("service").String(service(initiator.service));
    json->Key("p").Number(static_cast<double>(initiator.probability)).Close('}');
  }
  json->Close(']').Key("rests_on").Open('[');
  for (const ForecastEvidence& evidence : forecast.evidence) {
    json->Open('{');
    if (evidence.edge.valid() && topology.Has(evidence.edge)) {
      const Edge& edge = topology.edge(evidence.edge);
      json->Key("caller").String(edge.caller.valid() ? service(edge.caller) : "client");
      json->Key("service").String(service(edge.callee)).Key("channel").String("outbound");
    } else {
      json->Key("service").String(service(evidence.service));
      json->Key("channel").String(ChannelName(evidence.channel));
    }
    json->Key("weight").Number(static_cast<double>(evidence.weight)).Close('}');
  }
  json->Close(']');
}

void AppendDiagnosis(const Topology& topology, const Diagnosis& diagnosis, JsonText* json) {
  json->Key("culprit").String(!diagnosis.culprit.valid() ? "load"
                              : topology.Has(diagnosis.culprit)
                                  ? std::string_view(topology.service(diagnosis.culprit).name)
                                  : "?");
  if (topology.Has(diagnosis.instance)) {
    json->Key("culprit_instance").String(topology.instance(diagnosis.instance).name);
  }
  json->Key("cause").String(CauseName(diagnosis.cause));
  json->Key("confidence").Number(static_cast<double>(diagnosis.confidence));
  json->Key("evidence").Open('[');
  for (const DiagnosisEvidence& evidence : diagnosis.evidence) {
    json->Open('{').Key("resource").String(ResourceName(evidence.resource));
    json->Key("signal").String(evidence.signal).Key("value").Number(evidence.value);
    json->Key("healthy").Number(evidence.healthy).Close('}');
  }
  json->Close(']');
}

}  // namespace

std::string AuditEvent(std::int64_t now_ns, std::string_view event, std::string_view why) {
  JsonText json = Begin(now_ns, event);
  json.Key("why").String(why);
  return End(std::move(json));
}

std::string AuditDecision(std::int64_t now_ns, const Topology& topology, Tick tick,
                          const ClassForecast& forecast, const Diagnosis& diagnosis,
                          const Recommendation* recommendation, std::string_view verdict,
                          std::string_view why) {
  JsonText json = Begin(now_ns, "decision");
  json.Key("verdict").String(verdict);
  if (!why.empty()) json.Key("why").String(why);
  AppendForecast(topology, tick, forecast, &json);
  AppendDiagnosis(topology, diagnosis, &json);
  if (recommendation != nullptr) {
    json.Key("recommendation");
    AppendRecommendation(*recommendation, &json);
  }
  return End(std::move(json));
}

std::string AuditAction(std::int64_t now_ns, std::string_view event, const Recommendation& r,
                        std::string_view why) {
  JsonText json = Begin(now_ns, event);
  if (!why.empty()) json.Key("why").String(why);
  json.Key("id").Unsigned(r.id);
  AppendTarget(r.target, &json);
  json.Key("action").String(ActionName(r.action));
  return End(std::move(json));
}

std::string AuditReport(std::int64_t now_ns, const ActionTaken& taken, bool known) {
  JsonText json = Begin(now_ns, "report");
  json.Key("id").Unsigned(taken.recommendation_id).Key("known").Bool(known);
  json.Key("outcome").String(ActionOutcomeName(taken.outcome));
  AppendTarget(taken.target, &json);
  json.Key("action").String(ActionName(taken.action));
  json.Key("before").Number(taken.value_before).Key("after").Number(taken.value_after);
  json.Key("taken_ns").Integer(taken.time_ns).Key("detail").String(taken.detail);
  return End(std::move(json));
}

}  // namespace internal
SEER_END_NAMESPACE
