#include "benchmarks/cluster/sim/application.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "benchmarks/cluster/sim/substream.h"

namespace seer::cluster {
namespace {

absl::Status Bad(std::string_view where, std::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(absl::string_view(where.data(), where.size()),
                                                 ": ",
                                                 absl::string_view(what.data(), what.size())));
}

bool In(double value, double low, double high) { return value >= low && value <= high; }

absl::Status ValidateCall(const CallSpec& call, std::size_t services, std::size_t depth,
                          const std::string& where, std::size_t* count) {
  if (depth > kMaxCallDepth) return Bad(where, "calls are nested too deeply: at most 64 levels");
  if (++*count > kMaxCalls) return Bad(where, "too many calls: at most 200000 in an application");
  if (call.service >= services) return Bad(where + ".s", "no such service: name one of services");
  if (!In(call.p, 0, 1)) return Bad(where + ".p", "not a probability: give 0 to 1");
  if (call.n < 1 || call.n > 1000) return Bad(where + ".n", "give 1 to 1000 copies");
  if (!(call.us < 1e9)) return Bad(where + ".us", "too long: give less than 1e9 us");
  for (std::size_t s = 0; s < call.then.size(); ++s) {
    if (call.then[s].empty()) return Bad(where, "an empty step: leave it out");
    for (std::size_t c = 0; c < call.then[s].size(); ++c) {
      const absl::Status status =
          ValidateCall(call.then[s][c], services, depth + 1,
                       absl::StrCat(where, ".then[", s, "][", c, "]"), count);
      if (!status.ok()) return status;
    }
  }
  return absl::OkStatus();
}

absl::Status ValidateService(const ServiceSpec& s, const std::string& where) {
  if (s.name.empty() || s.name.size() > 200) return Bad(where + ".name", "give 1 to 200 bytes");
  if (s.instances < 1 || s.instances > kMaxInstances) {
    return Bad(where + ".instances", "give 1 to 1000");
  }
  if (s.threads < 1 || s.threads > 1'000'000) return Bad(where + ".threads", "give 1 to 1000000");
  if (s.cores < 1 || s.cores > 4096) return Bad(where + ".cores", "give 1 to 4096");
  if (!In(s.mean_service_us, 0, 1e9)) return Bad(where + ".mean_service_us", "give 0 to 1e9");
  if (!In(s.cv, 0, 20)) return Bad(where + ".cv", "give 0 to 20");
  if (s.times_us.size() > 1'000'000) return Bad(where + ".times_us", "give at most 1000000");
  for (double us : s.times_us) {
    if (!In(us, 0, 1e9)) return Bad(where + ".times_us", "give 0 to 1e9");
  }
  if (!In(s.pool_timeout_ms, 0.001, 1e6)) {
    return Bad(where + ".pool_timeout_ms", "give 0.001 to 1e6");
  }
  if (!In(s.request_bytes, 0, 1e9)) return Bad(where + ".request_bytes", "give 0 to 1e9");
  if (!In(s.response_bytes, 0, 1e9)) return Bad(where + ".response_bytes", "give 0 to 1e9");
  if (!In(s.disk_p, 0, 1)) return Bad(where + ".disk_p", "give 0 to 1");
  if (!In(s.disk_us, 0, 1e9)) return Bad(where + ".disk_us", "give 0 to 1e9");
  for (double value : s.sensitivity) {
    if (!In(value, 0, 100)) return Bad(where + ".sensitivity", "give 0 to 100 for each resource");
  }
  return absl::OkStatus();
}

void AddDemand(const Application& app, const CallSpec& call, double rate, double* visits,
               std::vector<double>* demand) {
  const double calls = rate * call.p * call.n;
  *visits += calls;
  (*demand)[call.service] += calls * MeanOwnUs(app, call);
  for (const auto& step : call.then) {
    for (const CallSpec& child : step) AddDemand(app, child, calls, visits, demand);
  }
}

double Totals(const Application& app, std::vector<double>* demand) {
  demand->assign(app.services.size(), 0);
  double visits = 0;
  double weights = 0;
  for (const RequestSpec& request : app.requests) weights += request.weight;
  for (const RequestSpec& request : app.requests) {
    AddDemand(app, request.calls, request.weight / weights, &visits, demand);
  }
  return visits;
}

bool Has(std::string_view text, std::string_view word) {
  return text.find(word) != std::string_view::npos;
}

}  // namespace

std::string_view KindName(Kind kind) {
  switch (kind) {
    case Kind::kFrontend:
      return "frontend";
    case Kind::kLogic:
      return "logic";
    case Kind::kCache:
      return "cache";
    case Kind::kDatabase:
      return "db";
    case Kind::kQueue:
      return "queue";
  }
  return "?";
}

std::string_view ServerModelName(ServerModel model) {
  switch (model) {
    case ServerModel::kThreadPerConnection:
      return "thread-per-connection";
    case ServerModel::kWorkers:
      return "workers";
    case ServerModel::kEventLoop:
      return "event-loop";
    case ServerModel::kGoroutines:
      return "goroutines";
  }
  return "?";
}

absl::Status Validate(const Application& application) {
  if (application.name.empty() || application.name.size() > 40) {
    return Bad("app", "give a name of 1 to 40 bytes");
  }
  if (!In(application.one_way_us, 0, 1e6)) return Bad("net.one_way_us", "give 0 to 1e6");
  if (!In(application.per_msg_cpu_us, 0, 1e6)) return Bad("net.per_msg_cpu_us", "give 0 to 1e6");
  if (application.services.empty() || application.services.size() > kMaxServices) {
    return Bad("services", "give 1 to 20000");
  }
  for (std::size_t i = 0; i < application.services.size(); ++i) {
    const absl::Status status =
        ValidateService(application.services[i], absl::StrCat("services[", i, "]"));
    if (!status.ok()) return status;
  }
  std::vector<std::string_view> names;
  for (const ServiceSpec& service : application.services) names.push_back(service.name);
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end()) {
    return Bad("services", "two are named '" + std::string(*twice) + "': rename one");
  }
  if (application.requests.empty() || application.requests.size() > 1000) {
    return Bad("request_types", "give 1 to 1000");
  }
  std::size_t calls = 0;
  double weights = 0;
  for (std::size_t i = 0; i < application.requests.size(); ++i) {
    const RequestSpec& request = application.requests[i];
    const std::string where = absl::StrCat("request_types[", i, "]");
    if (request.name.empty() || request.name.size() > 200) {
      return Bad(where + ".name", "give 1 to 200 bytes");
    }
    if (!In(request.weight, 0, 1e9)) return Bad(where + ".weight", "give 0 to 1e9");
    if (!In(request.qos_p99_ms, 0.001, 3.6e6)) return Bad(where + ".qos_p99_ms", "give 0.001 ...");
    weights += request.weight;
    const absl::Status status =
        ValidateCall(request.calls, application.services.size(), 1, where + ".calls", &calls);
    if (!status.ok()) return status;
  }
  if (!(weights > 0)) return Bad("request_types", "all weights are zero: raise one");
  return absl::OkStatus();
}

void FillDefaults(std::string_view server, ServiceSpec* service) {
  const bool memcached = Has(server, "memcached");
  if (Has(server, "TThreadedServer")) {
    service->model = ServerModel::kThreadPerConnection;
    service->pool = 128;  // the client pools of DeathStarBench 2019, and their time-out
  } else if (memcached || Has(server, "event loop") || Has(server, "nginx") ||
             Has(server, "redis") || Has(server, "node.js") || Has(server, "rabbitmq")) {
    service->model = ServerModel::kEventLoop;
  } else if (Has(server, "Go")) {
    service->model = ServerModel::kGoroutines;
  }
  // An event loop's "threads" are its loops where they equal its cores: it holds connections.
  if (service->model == ServerModel::kEventLoop && service->threads <= service->cores) {
    service->threads = 10'000;
  }
  auto& sensitivity = service->sensitivity;
  //            cpu  cache memory-bw memory-cap net  disk
  switch (service->kind) {
    case Kind::kFrontend:
      sensitivity = {1.0, 0.3, 0.2, 0.3, 1, 0};
      break;
    case Kind::kLogic:
      sensitivity = {1.0, 0.4, 0.3, 0.4, 0, 0};
      break;
    case Kind::kCache:
      sensitivity = {2.5, 0.8, 0.8, 1.0, 1, 0};
      break;
    case Kind::kDatabase:
      sensitivity = {0.7, 0.6, 0.6, 1.5, 0, 2.0};
      break;
    case Kind::kQueue:
      sensitivity = {0.8, 0.2, 0.2, 0.5, 1, 0.5};
      break;
  }
  if (service->kind == Kind::kFrontend) service->response_bytes = 8000;
  if (service->kind == Kind::kCache) service->response_bytes = 1000;
  // UQSIM: a miss of MongoDB's own cache costs 5 ms of disk. How often is assumed.
  if (service->kind == Kind::kDatabase && !Has(server, "NFS")) {
    service->disk_p = 0.004;
    service->disk_us = 5000;
  }
  if (Has(server, "NFS")) service->response_bytes = 64'000;
}

Application RandomApplication(std::uint32_t services, std::uint64_t seed) {
  services = std::clamp<std::uint32_t>(services, 4, 10'000);
  Application app;
  app.name = absl::StrCat("random-", services, "-", seed);
  std::uint64_t draws = 0;
  auto uniform = [&] { return Uniform(Mix(seed + 0x9e3779b97f4a7c15u * ++draws)); };
  auto below = [&](std::size_t n) {
    return std::min(n - 1, static_cast<std::size_t>(uniform() * static_cast<double>(n)));
  };
  // A tenth front ends, half logic, a fifth each caches and databases.
  const std::uint32_t fronts = std::max(1u, services / 10);
  const std::uint32_t stores = std::max(1u, services / 5);
  for (std::uint32_t i = 0; i < services; ++i) {
    ServiceSpec s;
    std::string_view server = "TThreadedServer";
    if (i < fronts) {
      s.kind = Kind::kFrontend, s.threads = 1024, s.cores = 8, s.mean_service_us = 100;
      server = "nginx";
    } else if (i >= services - stores) {
      s.kind = Kind::kDatabase, s.cores = 4, s.mean_service_us = 60 + 60 * uniform();
      server = "mongod";
    } else if (i >= services - 2 * stores) {
      s.kind = Kind::kCache, s.threads = 4, s.cores = 4, s.mean_service_us = 11;
      server = "memcached";
    } else {
      s.cv = 0.5 + 0.6 * uniform(), s.mean_service_us = 20 + 280 * uniform();
    }
    FillDefaults(server, &s);
    s.name = absl::StrCat(std::string(KindName(s.kind)), "-", i);
    app.services.push_back(std::move(s));
  }
  const std::uint32_t logic_end = services - 2 * stores;
  std::function<CallSpec(std::uint32_t, int)> grow = [&](std::uint32_t from, int depth) {
    CallSpec call;
    call.service = from;
    const std::size_t steps = depth > 3 ? 0 : 1 + below(2);
    for (std::size_t s = 0; s < steps && from + 1 < logic_end; ++s) {
      std::vector<CallSpec> step;
      const std::size_t width = 1 + (uniform() < 0.3 ? below(3) : 0);
      for (std::size_t w = 0; w < width; ++w) {  // only to services further down: no cycles
        const std::size_t to = from + 1 + below(logic_end - from - 1);
        step.push_back(grow(static_cast<std::uint32_t>(to), depth + 1));
        if (step.back().service < fronts) step.pop_back();
      }
      if (!step.empty()) call.then.push_back(std::move(step));
    }
    if (uniform() < 0.6) {
      const auto store = static_cast<std::uint32_t>(below(stores));
      CallSpec cache, database;
      cache.service = logic_end + store;
      database.service = services - stores + store;
      database.p = 0.1;
      if (cache.service < services - stores) call.then.push_back({cache});
      call.then.push_back({database});
    }
    return call;
  };
  // Of a large graph each class reaches some hundred services: more classes then.
  const std::uint32_t classes = std::clamp(services / 50, 1u, 100u);
  for (std::uint32_t c = 0; c < classes; ++c) {
    RequestSpec request;
    request.name = absl::StrCat("class-", c);
    request.weight = 0.2 + uniform();
    request.qos_p99_ms = 100;
    request.calls = grow(static_cast<std::uint32_t>(below(fronts)), 0);
    app.requests.push_back(std::move(request));
  }
  return app;
}

namespace {

// Folds the trees into tiers: calls within a tier become time of the caller.
struct Folder {
  const Application& from;
  std::vector<std::uint32_t> tier;  // of each service

  // Own time of `call` with everything of its tier below; calls that leave the tier go to `out`,
  // with the probability that they are reached.
  void Fold(const CallSpec& call, double p, std::uint32_t at, double* us,
            std::vector<std::vector<CallSpec>>* out) const {
    *us += MeanOwnUs(from, call) * p;
    for (const auto& step : call.then) {
      std::vector<CallSpec> leaving;
      for (const CallSpec& child : step) {
        const double reach = p * child.p * child.n;
        if (tier[child.service] == at) {
          Fold(child, reach, at, us, out);
        } else {
          CallSpec call_out = FoldRoot(child);
          call_out.p = std::min(1.0, p * child.p);
          call_out.n = child.n;
          leaving.push_back(std::move(call_out));
        }
      }
      if (!leaving.empty()) out->push_back(std::move(leaving));
    }
  }
  CallSpec FoldRoot(const CallSpec& call) const {
    CallSpec folded;
    folded.service = tier[call.service];
    folded.op = call.op;
    folded.async = call.async;
    double us = 0;
    Fold(call, 1, folded.service, &us, &folded.then);
    folded.us = us;
    return folded;
  }
};

Application Fold(const Application& app, std::vector<ServiceSpec> tiers,
                 const std::function<std::uint32_t(const ServiceSpec&)>& tier_of,
                 std::string_view suffix) {
  Application folded;
  folded.name = app.name.substr(0, 30) + std::string(suffix);
  folded.one_way_us = app.one_way_us;
  folded.per_msg_cpu_us = app.per_msg_cpu_us;
  Folder folder{app, {}};
  for (const ServiceSpec& service : app.services) folder.tier.push_back(tier_of(service));
  // The cores of all services that a tier replaces: the same hardware.
  for (std::size_t t = 0; t < tiers.size(); ++t) {
    std::uint32_t cores = 0;
    for (std::size_t s = 0; s < app.services.size(); ++s) {
      if (folder.tier[s] == t) cores += app.services[s].cores * app.services[s].instances;
    }
    tiers[t].instances = std::max(1u, (cores + 39) / 40);
    tiers[t].cores = std::clamp(cores / tiers[t].instances, 1u, 40u);
    tiers[t].threads = 1024;
  }
  folded.services = std::move(tiers);
  for (const RequestSpec& request : app.requests) {
    RequestSpec copy{request.name, request.weight, request.qos_p99_ms, {}};
    copy.calls = folder.FoldRoot(request.calls);
    folded.requests.push_back(std::move(copy));
  }
  return folded;
}

ServiceSpec Tier(std::string name, Kind kind, std::string_view server) {
  ServiceSpec spec;
  spec.name = std::move(name);
  spec.kind = kind;
  FillDefaults(server, &spec);
  return spec;
}

}  // namespace

Application Monolith(const Application& application) {
  return Fold(
      application,
      {Tier("monolith", Kind::kLogic, ""), Tier("database", Kind::kDatabase, "mongod")},
      [](const ServiceSpec& s) { return s.kind == Kind::kDatabase ? 1u : 0u; }, "-monolith");
}

Application ThreeTier(const Application& application) {
  return Fold(
      application,
      {Tier("web", Kind::kFrontend, "nginx"), Tier("logic", Kind::kLogic, ""),
       Tier("database", Kind::kDatabase, "mongod")},
      [](const ServiceSpec& s) {
        return s.kind == Kind::kFrontend ? 0u : s.kind == Kind::kDatabase ? 2u : 1u;
      },
      "-3tier");
}

double MeanOwnUs(const Application& application, const CallSpec& call) {
  if (call.us >= 0) return call.us;
  const ServiceSpec& service = application.services[call.service];
  if (service.times_us.empty()) return service.mean_service_us;
  return std::accumulate(service.times_us.begin(), service.times_us.end(), 0.0) /
         static_cast<double>(service.times_us.size());
}

double MeanVisits(const Application& application) {
  std::vector<double> demand;
  return Totals(application, &demand);
}

std::vector<double> MeanDemandUs(const Application& application) {
  std::vector<double> demand;
  Totals(application, &demand);
  return demand;
}

}  // namespace seer::cluster
