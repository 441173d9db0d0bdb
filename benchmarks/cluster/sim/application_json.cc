// ApplicationFromJson: the trees of a graph file. Numbers and names are checked by Validate().
#include <simdjson.h>

#include <fstream>
#include <iterator>
#include <unordered_map>

#include "absl/strings/str_cat.h"
#include "benchmarks/cluster/sim/application.h"

namespace seer::cluster {
namespace {

using simdjson::dom::array;
using simdjson::dom::element;
using simdjson::dom::object;

absl::Status Bad(const std::string& where, const char* what) {
  return absl::InvalidArgumentError(absl::StrCat(where, ": ", what));
}

// One object of the file and where it stands.
class Fields {
 public:
  Fields(object fields, std::string where) : fields_(fields), where_(std::move(where)) {}

  std::string Path(const char* name) const {
    return where_.empty() ? std::string(name) : absl::StrCat(where_, ".", name);
  }
  absl::Status Number(const char* name, double* value) const {
    element field;
    if (fields_[name].get(field) != simdjson::SUCCESS) return absl::OkStatus();  // stays
    if (field.get(*value) != simdjson::SUCCESS) return Bad(Path(name), "not a number: give one");
    return absl::OkStatus();
  }
  absl::Status Count(const char* name, std::uint32_t* value) const {
    double number = *value;
    const absl::Status status = Number(name, &number);
    if (!status.ok()) return status;
    if (!(number >= 0 && number <= 4e9) || number != static_cast<std::uint32_t>(number)) {
      return Bad(Path(name), "not a count: give a whole number of at least 0");
    }
    *value = static_cast<std::uint32_t>(number);
    return absl::OkStatus();
  }
  absl::Status Text(const char* name, bool needed, std::string* value) const {
    element field;
    if (fields_[name].get(field) != simdjson::SUCCESS) {
      return needed ? Bad(Path(name), "missing: add it") : absl::OkStatus();
    }
    std::string_view text;
    if (field.get(text) != simdjson::SUCCESS) return Bad(Path(name), "not a string: give one");
    *value = std::string(text);
    return absl::OkStatus();
  }
  absl::Status Flag(const char* name, bool* value) const {
    element field;
    if (fields_[name].get(field) != simdjson::SUCCESS) return absl::OkStatus();
    if (field.get(*value) != simdjson::SUCCESS) return Bad(Path(name), "give true or false");
    return absl::OkStatus();
  }
  absl::Status List(const char* name, bool needed, array* value, bool* there) const {
    element field;
    *there = fields_[name].get(field) == simdjson::SUCCESS;
    if (!*there) return needed ? Bad(Path(name), "missing: add it") : absl::OkStatus();
    if (field.get(*value) != simdjson::SUCCESS) return Bad(Path(name), "not a list: give one");
    return absl::OkStatus();
  }
  absl::Status Object(const char* name, object* value, bool* there) const {
    element field;
    *there = fields_[name].get(field) == simdjson::SUCCESS;
    if (!*there) return absl::OkStatus();
    if (field.get(*value) != simdjson::SUCCESS) return Bad(Path(name), "not an object: give one");
    return absl::OkStatus();
  }

 private:
  object fields_;
  std::string where_;
};

#define SEER_CLUSTER_TRY(expression) \
  if (absl::Status try_status = (expression); !try_status.ok()) return try_status

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
  SEER_CLUSTER_TRY(fields.Count("queue_limit", &service->queue_limit));
  SEER_CLUSTER_TRY(fields.Count("pool", &service->pool));
  SEER_CLUSTER_TRY(fields.Number("pool_timeout_ms", &service->pool_timeout_ms));
  SEER_CLUSTER_TRY(fields.Number("request_bytes", &service->request_bytes));
  SEER_CLUSTER_TRY(fields.Number("response_bytes", &service->response_bytes));
  SEER_CLUSTER_TRY(fields.Number("disk_p", &service->disk_p));
  SEER_CLUSTER_TRY(fields.Number("disk_us", &service->disk_us));
  object sensitivity;
  bool there = false;
  SEER_CLUSTER_TRY(fields.Object("sensitivity", &sensitivity, &there));
  if (there) {
    const Fields of(sensitivity, fields.Path("sensitivity"));
    for (Resource resource : kAllResources) {
      SEER_CLUSTER_TRY(of.Number(std::string(ResourceName(resource)).c_str(),
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

absl::Status ReadApplication(const object& root, Application* app) {
  const Fields fields(root, "");
  SEER_CLUSTER_TRY(fields.Text("app", true, &app->name));
  object net;
  bool there = false;
  SEER_CLUSTER_TRY(fields.Object("net", &net, &there));
  if (there) {
    const Fields of(net, "net");
    SEER_CLUSTER_TRY(of.Number("one_way_us", &app->one_way_us));
    SEER_CLUSTER_TRY(of.Number("per_msg_cpu_us", &app->per_msg_cpu_us));
  }
  array services, requests;
  SEER_CLUSTER_TRY(fields.List("services", true, &services, &there));
  SEER_CLUSTER_TRY(fields.List("request_types", true, &requests, &there));
  Names names;
  for (element value : services) {
    const std::string where = absl::StrCat("services[", app->services.size(), "]");
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
    const std::string where = absl::StrCat("request_types[", app->requests.size(), "]");
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

}  // namespace

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
  SEER_CLUSTER_TRY(ReadApplication(fields, &app));
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
