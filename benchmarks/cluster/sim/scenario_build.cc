// What a scenario file says, made: applications, cluster, faults, updates.
#include <algorithm>
#include <cmath>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "benchmarks/cluster/sim/scenario_file.h"
#include "benchmarks/cluster/sim/substream.h"

#define SEER_CLUSTER_TRY(expression) \
  if (absl::Status try_status = (expression); !try_status.ok()) return try_status

namespace seer::cluster {
namespace {

absl::StatusOr<Application> Make(const ApplicationChoice& choice, const std::string& graphs,
                                 const std::string& folder) {
  absl::StatusOr<Application> app = absl::InternalError("unreachable");
  if (choice.application.has_value()) {
    app = *choice.application;
  } else if (choice.graph.empty()) {
    app = RandomApplication(choice.random_services, choice.random_seed);
  } else if (absl::EndsWith(choice.graph, ".json")) {
    app = LoadApplication((std::filesystem::path(folder) / choice.graph).string());
  } else {
    app = LoadApplication(graphs + "/" + choice.graph + ".json");
  }
  if (!app.ok()) return app;
  if (choice.variant == ApplicationChoice::kMonolith) return Monolith(*app);
  if (choice.variant == ApplicationChoice::kThreeTier) return ThreeTier(*app);
  return app;
}

void Scale(const std::vector<double>& factors, CallSpec* call) {
  if (call->us >= 0) call->us *= factors[call->service];
  for (auto& step : call->then) {
    for (CallSpec& child : step) Scale(factors, &child);
  }
}

absl::Status ChangeTimes(const std::vector<ServiceTimeChange>& changes,
                         std::vector<Application>* apps) {
  for (std::size_t c = 0; c < changes.size(); ++c) {
    bool any = false;
    for (Application& app : *apps) {
      std::vector<double> factors(app.services.size(), 1);
      for (std::size_t s = 0; s < app.services.size(); ++s) {
        const std::string& name = changes[c].service;
        if (name != "*" && name != app.name + "/*" &&
            name != app.name + "/" + app.services[s].name) {
          continue;
        }
        factors[s] = changes[c].factor;
        any = true;
        app.services[s].mean_service_us *= factors[s];
        for (double& us : app.services[s].times_us) us *= factors[s];
      }
      for (RequestSpec& request : app.requests) Scale(factors, &request.calls);
    }
    if (!any) {
      return absl::NotFoundError(absl::StrCat("service_times[", c, "].service: there is no '",
                                              changes[c].service, "': name one of the topology"));
    }
  }
  return absl::OkStatus();
}

class Resolver {
 public:
  explicit Resolver(const Model& model) : model_(model) {}

  absl::StatusOr<std::uint32_t> Service(const std::string& name, const std::string& path) const {
    const std::uint32_t service = model_.FindService(name);
    if (service != kNone) return service;
    return absl::NotFoundError(
        absl::StrCat(path, ": there is no service '", name, "': name one of the topology"));
  }
  absl::StatusOr<std::uint32_t> Application(const std::string& name,
                                            const std::string& path) const {
    for (std::uint32_t a = 0; a < model_.source.size(); ++a) {
      if (model_.source[a].name == name) return a;
    }
    return absl::NotFoundError(
        absl::StrCat(path, ": there is no application '", name, "': name one of applications"));
  }
  absl::Status Services(const std::vector<std::string>& names, const std::string& path,
                        std::vector<std::uint32_t>* services) const {
    for (const std::string& name : names) {
      const auto service = Service(name, path);
      if (!service.ok()) return service.status();
      services->push_back(*service);
    }
    return absl::OkStatus();
  }

 private:
  const Model& model_;
};

absl::Status Resolve(const FaultChoice& choice, const std::string& at, Model* model, Fault* fault) {
  const Resolver resolver(*model);
  *fault = choice.fault;
  if (fault->server != kNone && fault->server >= model->cluster.servers.size()) {
    return absl::InvalidArgumentError(absl::StrCat(
        at, ".server: there are ", model->cluster.servers.size(), ": give a smaller one"));
  }
  if (!choice.application.empty()) {
    const auto application = resolver.Application(choice.application, at + ".application");
    if (!application.ok()) return application.status();
    fault->application = *application;
  }
  if (!choice.service.empty()) {
    const auto service = resolver.Service(choice.service, at + ".service");
    if (!service.ok()) return service.status();
    fault->service = *service;
  }
  if (choice.callee.empty()) return absl::OkStatus();
  const auto callee = resolver.Service(choice.callee, at + ".callee");
  if (!callee.ok()) return callee.status();
  const auto tree =
      AddCallBack(model, fault->service, *callee, fault->kind == FaultKind::kCyclicSync);
  if (!tree.ok()) {
    return absl::Status(tree.status().code(),
                        absl::StrCat(at, ".callee: ", tree.status().message()));
  }
  fault->tree = *tree;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<BuiltScenario> BuildScenario(const ScenarioSpec& spec, const std::string& graphs) {
  std::vector<Application> apps;
  BuiltScenario built;
  SimulatorOptions& simulator = built.options.simulator;
  double rate = 0;
  for (const ApplicationChoice& choice : spec.applications) {
    absl::StatusOr<Application> app = Make(choice, graphs, spec.folder);
    if (!app.ok()) {
      return absl::Status(app.status().code(), absl::StrCat("applications[", apps.size(),
                                                            "]: ", app.status().message()));
    }
    apps.push_back(*std::move(app));
    simulator.loads.push_back(choice.load);
    rate = std::max(rate, choice.load.rate);
  }
  SEER_CLUSTER_TRY(ChangeTimes(spec.service_times, &apps));
  if (spec.containers > 0) AddReplicas(spec.containers, &apps);
  auto model = BuildModel(apps, spec.cluster, spec.placement);
  if (!model.ok()) return model.status();
  built.model = *model;
  const auto period = TickPeriod::FromNs(std::llround(spec.tick_ms * 1e6));
  if (!period.ok()) {
    return absl::Status(period.status().code(),
                        absl::StrCat("tick_ms: ", period.status().message()));
  }
  simulator.period = *period;
  simulator.seed = spec.seed;
  simulator.start_ns = spec.start_unix_ms * 1'000'000;
  simulator.background = spec.background;
  built.options.seconds = spec.seconds;
  built.options.truth = spec.truth;

  if (spec.schedule.has_value()) {
    ScheduleOptions schedule = spec.schedule->options;
    schedule.seconds = spec.seconds;
    if (schedule.rate <= 0) schedule.rate = rate;
    const Resolver resolver(*built.model);
    SEER_CLUSTER_TRY(resolver.Services(spec.schedule->only_services, "schedule.only_services",
                                       &schedule.only_services));
    SEER_CLUSTER_TRY(resolver.Services(spec.schedule->not_services, "schedule.not_services",
                                       &schedule.not_services));
    simulator.faults = DrawFaults(built.model.get(), schedule);
  }
  for (std::size_t f = 0; f < spec.faults.size(); ++f) {
    Fault fault;
    SEER_CLUSTER_TRY(
        Resolve(spec.faults[f], absl::StrCat("faults[", f, "]"), built.model.get(), &fault));
    simulator.faults.push_back(fault);
  }
  built.options.updates =
      DrawUpdates(built.model.get(), spec.update_seed, spec.seconds, spec.update_count);
  for (std::size_t u = 0; u < spec.updates.size(); ++u) {
    const UpdateChoice& choice = spec.updates[u];
    const std::string at = absl::StrCat("updates[", u, "]");
    const auto application =
        Resolver(*built.model).Application(choice.application, at + ".application");
    if (!application.ok()) return application.status();
    auto updates = MakeUpdate(built.model.get(), choice.kind, *application,
                              static_cast<std::int64_t>(choice.at_s * 1e9), choice.seed);
    if (!updates.ok()) {
      return absl::Status(updates.status().code(),
                          absl::StrCat(at, ": ", updates.status().message()));
    }
    built.options.updates.insert(built.options.updates.end(), updates->begin(), updates->end());
  }
  std::stable_sort(built.options.updates.begin(), built.options.updates.end(),
                   [](const Update& a, const Update& b) { return a.at_ns < b.at_ns; });
  return built;
}

}  // namespace seer::cluster
