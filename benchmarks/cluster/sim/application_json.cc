// The trees of a graph file, and back. Numbers and names are checked by Validate().
#include "benchmarks/cluster/sim/application_json.h"

#include <fstream>
#include <iterator>
#include <unordered_map>

namespace seer::cluster {
namespace {

using json::array;
using json::Bad;
using json::element;
using json::Fields;
using json::object;

using Names = std::unordered_map<std::string, std::uint32_t>;

absl::Status ReadService(const Fields& fields, ServiceSpec* service) {
  std::string kind = "logic";
  std::string server;
  SEER_CLUSTER_TRY(fields.Text("name", true, &service->name));
  SEER_CLUSTER_TRY(fields.Text("kind", false, &kind));
  SEER_CLUSTER_TRY(fields.Text("server", false, &server));
  constexpr Kind kKinds[] = {Kind::kFrontend, Kind::kLogic, Kind::kCache, Kind::kDatabase,
                             Kind::kQueue};
  bool known = false;
  for (Kind candidate : kKinds) {
    if (KindName(candidate) == kind) service->kind = candidate, known = true;
  }
  if (!known) return Bad(fields.Path("kind"), "give frontend, logic, cache, db or queue");
  SEER_CLUSTER_TRY(fields.Count("instances", &service->instances));
  SEER_CLUSTER_TRY(fields.Count("threads", &service->threads));
  SEER_CLUSTER_TRY(fields.Count("cores", &service->cores));
  SEER_CLUSTER_TRY(fields.Number("mean_service_us", &service->mean_service_us));
  SEER_CLUSTER_TRY(fields.Number("cv", &service->cv));
  FillDefaults(server, service);
  std::string model(ServerModelName(service->model));
  SEER_CLUSTER_TRY(fields.Text("model", false, &model));
  known = false;
  for (ServerModel candidate : kAllServerModels) {
    if (ServerModelName(candidate) == model) service->model = candidate, known = true;
  }
  if (!known) {
    return Bad(fields.Path("model"),
               "give thread-per-connection, workers, event-loop or goroutines");
  }
  SEER_CLUSTER_TRY(fields.Count("queue_limit", &service->queue_limit));
  SEER_CLUSTER_TRY(fields.Count("pool", &service->pool));
  SEER_CLUSTER_TRY(fields.Number("pool_timeout_ms", &service->pool_timeout_ms));
  SEER_CLUSTER_TRY(fields.Number("request_bytes", &service->request_bytes));
  SEER_CLUSTER_TRY(fields.Number("response_bytes", &service->response_bytes));
  SEER_CLUSTER_TRY(fields.Number("disk_p", &service->disk_p));
  SEER_CLUSTER_TRY(fields.Number("disk_us", &service->disk_us));
  array times;
  bool has_times = false;
  SEER_CLUSTER_TRY(fields.List("times_us", false, &times, &has_times));
  if (has_times) {
    service->times_us.clear();
    for (element time : times) {
      double us = 0;
      if (time.get(us) != simdjson::SUCCESS) return Bad(fields.Path("times_us"), "give numbers");
      service->times_us.push_back(us);
    }
  }
  object sensitivity;
  bool there = false;
  SEER_CLUSTER_TRY(fields.Object("sensitivity", &sensitivity, &there));
  if (there) {
    const Fields of(sensitivity, fields.Path("sensitivity"));
    for (Resource resource : kAllResources) {
      SEER_CLUSTER_TRY(of.Number(ResourceName(resource),
                                 &service->sensitivity[static_cast<std::size_t>(resource)]));
    }
  }
  return absl::OkStatus();
}

absl::Status ReadCall(const element& value, const std::string& where, const Names& names,
                      std::size_t depth, CallSpec* call) {
  if (depth > kMaxCallDepth) return Bad(where, "calls are nested too deeply: at most 64 levels");
  object node;
  if (value.get(node) != simdjson::SUCCESS) return Bad(where, "not an object: give {\"s\": ...}");
  const Fields fields(node, where);
  std::string service;
  SEER_CLUSTER_TRY(fields.Text("s", true, &service));
  const auto found = names.find(service);
  if (found == names.end()) return Bad(where + ".s", "no such service: name one of services");
  call->service = found->second;
  SEER_CLUSTER_TRY(fields.Text("op", false, &call->op));
  SEER_CLUSTER_TRY(fields.Number("us", &call->us));
  SEER_CLUSTER_TRY(fields.Number("p", &call->p));
  SEER_CLUSTER_TRY(fields.Count("n", &call->n));
  SEER_CLUSTER_TRY(fields.Flag("async", &call->async));
  array steps;
  bool there = false;
  SEER_CLUSTER_TRY(fields.List("then", false, &steps, &there));
  if (!there) return absl::OkStatus();
  std::size_t index = 0;
  for (element step : steps) {
    const std::string at = absl::StrCat(where, ".then[", index++, "]");
    object step_object;
    if (step.get(step_object) != simdjson::SUCCESS) return Bad(at, "not an object: give one");
    array parallel;
    bool is_parallel = false;
    SEER_CLUSTER_TRY(Fields(step_object, at).List("par", false, &parallel, &is_parallel));
    call->then.emplace_back();
    if (!is_parallel) {
      SEER_CLUSTER_TRY(ReadCall(step, at, names, depth + 1, &call->then.back().emplace_back()));
      continue;
    }
    std::size_t branch = 0;
    for (element child : parallel) {
      SEER_CLUSTER_TRY(ReadCall(child, absl::StrCat(at, ".par[", branch++, "]"), names, depth + 1,
                                &call->then.back().emplace_back()));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ReadApplication(const Fields& fields, Application* app) {
  SEER_CLUSTER_TRY(fields.Text("app", true, &app->name));
  object net;
  bool there = false;
  SEER_CLUSTER_TRY(fields.Object("net", &net, &there));
  if (there) {
    const Fields of(net, fields.Path("net"));
    SEER_CLUSTER_TRY(of.Number("one_way_us", &app->one_way_us));
    SEER_CLUSTER_TRY(of.Number("per_msg_cpu_us", &app->per_msg_cpu_us));
  }
  array services, requests;
  SEER_CLUSTER_TRY(fields.List("services", true, &services, &there));
  SEER_CLUSTER_TRY(fields.List("request_types", true, &requests, &there));
  Names names;
  for (element value : services) {
    const std::string where = absl::StrCat(fields.Path("services"), "[", app->services.size(), "]");
    if (app->services.size() >= kMaxServices) return Bad(where, "at most 20000 services");
    object service;
    if (value.get(service) != simdjson::SUCCESS) return Bad(where, "not an object: give one");
    ServiceSpec& spec = app->services.emplace_back();
    SEER_CLUSTER_TRY(ReadService(Fields(service, where), &spec));
    if (!names.emplace(spec.name, app->services.size() - 1).second) {
      return Bad(where + ".name", "that name is taken: rename one of the two");
    }
  }
  for (element value : requests) {
    const std::string where =
        absl::StrCat(fields.Path("request_types"), "[", app->requests.size(), "]");
    object request;
    if (value.get(request) != simdjson::SUCCESS) return Bad(where, "not an object: give one");
    const Fields of(request, where);
    RequestSpec& spec = app->requests.emplace_back();
    SEER_CLUSTER_TRY(of.Text("name", true, &spec.name));
    SEER_CLUSTER_TRY(of.Number("weight", &spec.weight));
    SEER_CLUSTER_TRY(of.Number("qos_p99_ms", &spec.qos_p99_ms));
    element calls;
    if (request["calls"].get(calls) != simdjson::SUCCESS) {
      return Bad(where + ".calls", "missing: add it");
    }
    SEER_CLUSTER_TRY(ReadCall(calls, where + ".calls", names, 1, &spec.calls));
  }
  return absl::OkStatus();
}

namespace {

void WriteCall(const Application& app, const CallSpec& call, json::Writer* out) {
  out->Open('{').Field("s", app.services[call.service].name);
  if (!call.op.empty()) out->Field("op", call.op);
  if (call.us >= 0) out->Field("us", call.us);
  if (call.p != 1) out->Field("p", call.p);
  if (call.n != 1) out->Field("n", call.n);
  if (call.async) out->Field("async", true);
  if (!call.then.empty()) {
    out->Key("then").Open('[');
    for (const auto& step : call.then) {
      if (step.size() == 1) {
        WriteCall(app, step[0], out);
        continue;
      }
      out->Open('{').Key("par").Open('[');
      for (const CallSpec& child : step) WriteCall(app, child, out);
      out->Close(']').Close('}');
    }
    out->Close(']');
  }
  out->Close('}');
}

}  // namespace

void WriteApplication(const Application& app, json::Writer* out) {
  out->Open('{').Field("app", app.name);
  out->Key("net").Open('{');
  out->Field("one_way_us", app.one_way_us).Field("per_msg_cpu_us", app.per_msg_cpu_us);
  out->Close('}').Key("services").Open('[');
  for (const ServiceSpec& s : app.services) {
    out->Open('{').Field("name", s.name).Field("kind", KindName(s.kind));
    out->Field("model", ServerModelName(s.model)).Field("instances", s.instances);
    out->Field("threads", s.threads).Field("cores", s.cores);
    out->Field("mean_service_us", s.mean_service_us).Field("cv", s.cv);
    out->Field("queue_limit", s.queue_limit).Field("pool", s.pool);
    out->Field("pool_timeout_ms", s.pool_timeout_ms).Field("request_bytes", s.request_bytes);
    out->Field("response_bytes", s.response_bytes).Field("disk_p", s.disk_p);
    out->Field("disk_us", s.disk_us);
    if (!s.times_us.empty()) {
      out->Key("times_us").Open('[');
      for (double us : s.times_us) out->Write(us);
      out->Close(']');
    }
    out->Key("sensitivity").Open('{');
    for (Resource resource : kAllResources) {
      out->Field(ResourceName(resource), s.sensitivity[static_cast<std::size_t>(resource)]);
    }
    out->Close('}').Close('}');
  }
  out->Close(']').Key("request_types").Open('[');
  for (const RequestSpec& request : app.requests) {
    out->Open('{').Field("name", request.name).Field("weight", request.weight);
    out->Field("qos_p99_ms", request.qos_p99_ms).Key("calls");
    WriteCall(app, request.calls, out);
    out->Close('}');
  }
  out->Close(']').Close('}');
}

std::string ApplicationToJson(const Application& application) {
  json::Writer out;
  WriteApplication(application, &out);
  return out.Take();
}

absl::StatusOr<Application> ApplicationFromJson(std::string_view json) {
  simdjson::dom::parser parser;
  const simdjson::padded_string padded(json);
  element root;
  if (const auto error = parser.parse(padded).get(root); error != simdjson::SUCCESS) {
    return absl::InvalidArgumentError(absl::StrCat("not JSON: ", simdjson::error_message(error)));
  }
  object fields;
  if (root.get(fields) != simdjson::SUCCESS) {
    return absl::InvalidArgumentError("not an application: give a JSON object");
  }
  Application app;
  SEER_CLUSTER_TRY(ReadApplication(Fields(fields, ""), &app));
  SEER_CLUSTER_TRY(Validate(app));
  return app;
}

absl::StatusOr<Application> LoadApplication(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return absl::NotFoundError(absl::StrCat(path, ": cannot be opened"));
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  absl::StatusOr<Application> app = ApplicationFromJson(text);
  if (!app.ok()) {
    return absl::Status(app.status().code(), absl::StrCat(path, ": ", app.status().message()));
  }
  return app;
}

}  // namespace seer::cluster
