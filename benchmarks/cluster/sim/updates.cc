// Deployments, and calls back: trees that are added to a model.
#include "benchmarks/cluster/sim/scenario.h"

#include <algorithm>
#include <functional>

#include "absl/strings/str_cat.h"
#include "benchmarks/cluster/sim/dice.h"

namespace seer::cluster {
namespace {

// An index as CallSpec::service has it: from the application's first service, modulo 2^32.
std::uint32_t Relative(const Model& model, std::uint32_t application, std::uint32_t service) {
  return service - model.applications[application].first_service;
}

class Deployment {
 public:
  Deployment(Model* model, Update::Kind kind, std::uint32_t application, std::int64_t at_ns,
             std::uint64_t seed)
      : model_(model),
        app_(&model->latest[application]),
        application_(application),
        kind_(kind),
        at_ns_(at_ns),
        seed_(seed),
        dice_(Sub(seed, KeyOf("update"))) {}

  absl::Status Make() {
    switch (kind_) {
      case Update::kNewService:
      case Update::kNoEffect: {
        const bool async = kind_ == Update::kNoEffect;
        ServiceSpec spec;
        spec.kind = Kind::kLogic;
        FillDefaults("TThreadedServer", &spec);
        spec.mean_service_us = dice_.Between(50, 400);
        CallSpec call;
        call.async = async;
        const absl::Status status = Add(async ? "audit" : "added", spec, &call.service);
        if (!status.ok()) return status;
        Insert(std::move(call));
        return absl::OkStatus();
      }
      case Update::kBackEnd:
        return Replace("cassandra", "mongod",
                       [&](const ServiceSpec& s) { return s.kind == Kind::kDatabase; });
      case Update::kFrontEnd: {
        const std::uint32_t busiest = BusiestFrontEnd();
        if (busiest == kNone) {
          return absl::InvalidArgumentError(
              "the application has no front end: choose another kind");
        }
        const std::string name = app_->services[busiest].name;
        return Replace("node", "node.js", [&](const ServiceSpec& s) { return s.name == name; });
      }
      case Update::kOtherApplication: {
        const std::size_t apps = model_->source.size();
        if (apps < 2) {
          return absl::InvalidArgumentError("there is no other application: add one");
        }
        const auto other =
            static_cast<std::uint32_t>((application_ + 1 + dice_.Below(apps - 1)) % apps);
        std::vector<const CallSpec*> nodes;
        for (const RequestSpec& request : model_->source[other].requests) {
          Collect(model_->source[other], request.calls, &nodes);
        }
        if (nodes.empty()) return absl::InvalidArgumentError("the other application has no logic");
        CallSpec call = *dice_.One(nodes);
        Shift(model_->applications[other].first_service -
                  model_->applications[application_].first_service,
              &call);
        call.p = 1;
        call.async = false;
        Insert(std::move(call));
        return absl::OkStatus();
      }
    }
    return absl::InvalidArgumentError("kind: there is no such update: give one of Update::Kind");
  }

  absl::StatusOr<std::vector<Update>> Rows() const {
    std::vector<Update> rows;
    const Model::ApplicationInfo& info = model_->applications[application_];
    for (std::uint32_t c : changed_) {
      const auto root = AddTree(model_, application_, kNone, app_->requests[c].calls);
      if (!root.ok()) return root.status();
      Update row;
      row.kind = kind_;
      row.at_ns = at_ns_;
      row.request_class = info.first_class + c;
      row.root = *root;
      rows.push_back(row);
    }
    return rows;
  }

 private:
  // Of the application's own services; none of those that updates added.
  const ServiceSpec* SpecOf(const CallSpec& call) const {
    return call.service < app_->services.size() ? &app_->services[call.service] : nullptr;
  }

  absl::Status Add(std::string_view name, ServiceSpec spec, std::uint32_t* index) {
    spec.name = absl::StrCat(std::string(name), "-", model_->services.size());
    const auto service = AddService(model_, application_, spec, seed_);
    if (!service.ok()) return service.status();
    *index = Relative(*model_, application_, *service);
    return absl::OkStatus();
  }

  // Nodes of logic that are waited for.
  static void Collect(const Application& app, const CallSpec& call,
                      std::vector<const CallSpec*>* nodes) {
    if (call.async) return;
    if (call.service < app.services.size() && app.services[call.service].kind == Kind::kLogic) {
      nodes->push_back(&call);
    }
    for (const auto& step : call.then) {
      for (const CallSpec& child : step) Collect(app, child, nodes);
    }
  }

  static void Shift(std::uint32_t by, CallSpec* call) {
    call->service += by;
    for (auto& step : call->then) {
      for (CallSpec& child : step) Shift(by, &child);
    }
  }

  // As the last step of a node of a class that is drawn by weight: a rare one changes nothing.
  void Insert(CallSpec call) {
    double weights = 0;
    for (const RequestSpec& request : app_->requests) weights += request.weight;
    double at = dice_.Unit() * weights;
    std::uint32_t chosen = 0;
    while (chosen + 1 < app_->requests.size() && at >= app_->requests[chosen].weight) {
      at -= app_->requests[chosen++].weight;
    }
    CallSpec& root = app_->requests[chosen].calls;
    std::vector<const CallSpec*> nodes;
    Collect(*app_, root, &nodes);
    const CallSpec* below = nodes.empty() ? &root : dice_.One(nodes);
    const_cast<CallSpec*>(below)->then.push_back({std::move(call)});  // a node of root
    changed_ = {chosen};
  }

  std::uint32_t BusiestFrontEnd() const {
    const std::vector<double> demand = MeanDemandUs(model_->source[application_]);
    std::uint32_t busiest = kNone;
    for (std::uint32_t s = 0; s < app_->services.size(); ++s) {
      if (app_->services[s].kind != Kind::kFrontend) continue;
      if (busiest == kNone || demand[s] > demand[busiest]) busiest = s;
    }
    return busiest;
  }

  // All services that match become one new service with their cores, and other times.
  absl::Status Replace(std::string_view name, std::string_view server,
                       const std::function<bool(const ServiceSpec&)>& matches) {
    ServiceSpec spec;
    std::uint32_t cores = 0;
    for (const ServiceSpec& service : app_->services) {
      if (!matches(service)) continue;
      spec.kind = service.kind;
      cores += service.cores * service.instances;
    }
    if (cores == 0) {
      return absl::InvalidArgumentError("the application has no such service: choose another kind");
    }
    FillDefaults(server, &spec);
    spec.instances = (cores + 15) / 16;
    spec.cores = std::max(1u, cores / spec.instances);
    spec.threads = 1024;
    CallSpec to;
    const absl::Status status = Add(name, spec, &to.service);
    if (!status.ok()) return status;
    const double factor = dice_.Between(0.6, 2);
    for (std::uint32_t c = 0; c < app_->requests.size(); ++c) {
      if (Exchange(matches, to.service, factor, &app_->requests[c].calls)) changed_.push_back(c);
    }
    if (changed_.empty()) {
      return absl::InvalidArgumentError(
          "no class calls that service any more: choose another kind");
    }
    return absl::OkStatus();
  }

  bool Exchange(const std::function<bool(const ServiceSpec&)>& matches, std::uint32_t service,
                double factor, CallSpec* call) const {
    bool changed = false;
    const ServiceSpec* spec = SpecOf(*call);
    if (spec != nullptr && matches(*spec)) {
      call->us = factor * MeanOwnUs(*app_, *call);
      call->service = service;
      changed = true;
    }
    for (auto& step : call->then) {
      for (CallSpec& child : step) changed = Exchange(matches, service, factor, &child) || changed;
    }
    return changed;
  }

  Model* model_;
  Application* app_;
  std::uint32_t application_;
  Update::Kind kind_;
  std::int64_t at_ns_;
  std::uint64_t seed_;
  Dice dice_;
  std::vector<std::uint32_t> changed_;  // classes
};

}  // namespace

std::string_view UpdateKindName(Update::Kind kind) {
  constexpr std::string_view kNames[kUpdateKinds] = {"new-service", "back-end", "front-end",
                                                     "other-application", "no-effect"};
  return kind < kUpdateKinds ? kNames[kind] : "?";
}

absl::StatusOr<std::uint32_t> AddCallBack(Model* model, std::uint32_t service, std::uint32_t callee,
                                          bool again) {
  const std::uint32_t application = model->services[service].application;
  const auto call_to = [&](std::uint32_t to) {
    CallSpec call;
    call.service = Relative(*model, application, to);
    return call;
  };
  const auto calls = [&](std::uint32_t from, std::uint32_t to) {
    return std::any_of(model->edges.begin(), model->edges.end(), [&](const Model::EdgeInfo& edge) {
      return edge.caller == from && edge.callee == to && !edge.async;
    });
  };
  CallSpec back = call_to(service);
  if (again) {
    CallSpec next = call_to(callee);
    for (const Model::EdgeInfo& edge : model->edges) {  // over one between them, where there is one
      if (edge.caller != service || edge.async || edge.callee == service) continue;
      if (edge.callee == callee || !calls(edge.callee, callee)) continue;
      CallSpec middle = call_to(edge.callee);
      middle.then = {{next}};
      next = middle;
      break;
    }
    back.then = {{next}};
  }
  return AddTree(model, application, callee, back);
}

absl::StatusOr<std::vector<Update>> MakeUpdate(Model* model, Update::Kind kind,
                                               std::uint32_t application, std::int64_t at_ns,
                                               std::uint64_t seed) {
  if (application >= model->latest.size()) {
    return absl::InvalidArgumentError("application: there is no such: give its index");
  }
  Deployment deployment(model, kind, application, at_ns, seed);
  const absl::Status status = deployment.Make();
  if (!status.ok()) return status;
  return deployment.Rows();
}

std::vector<Update> DrawUpdates(Model* model, std::uint64_t seed, double seconds,
                                std::uint32_t count) {
  Dice dice(Sub(seed, KeyOf("updates")));
  std::vector<Update> updates;
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto kind = static_cast<Update::Kind>(dice.Below(kUpdateKinds));
    const double at_s = seconds * (i + 0.5 + 0.4 * dice.Unit()) / count;
    const auto application = static_cast<std::uint32_t>(dice.Below(model->applications.size()));
    const auto at_ns = static_cast<std::int64_t>(at_s * 1e9);
    auto made = MakeUpdate(model, kind, application, at_ns, Sub(seed, i));
    // What cannot be (again) becomes the one that always can.
    if (!made.ok()) made = MakeUpdate(model, Update::kNewService, application, at_ns, Sub(seed, i));
    if (made.ok()) updates.insert(updates.end(), made->begin(), made->end());
  }
  return updates;
}

}  // namespace seer::cluster
