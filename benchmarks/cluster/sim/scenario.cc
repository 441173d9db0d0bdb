#include "benchmarks/cluster/sim/scenario.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "benchmarks/cluster/sim/dice.h"
#include "benchmarks/cluster/sim/substream.h"

namespace seer::cluster {
namespace {

std::int64_t Ns(double seconds) { return static_cast<std::int64_t>(seconds * 1e9); }

// What a request asks of a service, on the path that its user waits for.
struct Demand {
  double visits = 0;     // per request of the application
  double us = 0;         // mean own time of a visit
  double target_us = 0;  // the tightest of the classes that pass
  bool waited_for = false;
};

void Walk(const Application& app, const CallSpec& call, double rate, double target_us, bool waited,
          std::vector<Demand>* demands) {
  const double visits = rate * call.p * call.n;
  Demand& d = (*demands)[call.service];
  const double us = MeanOwnUs(app, call);
  d.us = (d.us * d.visits + us * visits) / std::max(d.visits + visits, 1e-12);
  d.visits += visits;
  waited = waited && !call.async;
  // Only of classes that pass it often enough for their p99.
  if (waited && call.p >= 0.02) {
    d.target_us = d.waited_for ? std::min(d.target_us, target_us) : target_us;
    d.waited_for = true;
  }
  for (const auto& step : call.then) {
    for (const CallSpec& child : step) Walk(app, child, visits, target_us, waited, demands);
  }
}

// Bytes through a server's network card, per request of the application.
struct Traffic {
  double out = 0, in = 0;
};

// What the call and the calls below it send: `from` is who makes it, none for outside.
void Send(const Model& model, std::uint32_t first_service, const CallSpec& call, double visits,
          std::uint32_t from, std::vector<Traffic>* servers) {
  visits *= call.p * call.n;
  const std::uint32_t to = first_service + call.service;
  if (to >= model.services.size()) return;
  const Model::ServiceInfo& callee = model.services[to];
  const std::uint32_t callers = from == kNone ? 1 : model.services[from].instances;
  const double each = visits / (static_cast<double>(callers) * callee.instances);
  for (std::uint32_t i = 0; i < callers; ++i) {
    const std::uint32_t sender =
        from == kNone ? kNone : model.instances[model.services[from].first_instance + i].server;
    for (std::uint32_t k = 0; k < callee.instances; ++k) {
      const std::uint32_t receiver = model.instances[callee.first_instance + k].server;
      if (sender == receiver) continue;
      if (sender != kNone) {
        (*servers)[sender].out += each * callee.spec.request_bytes;
        (*servers)[sender].in += each * callee.spec.response_bytes;
      }
      (*servers)[receiver].in += each * callee.spec.request_bytes;
      (*servers)[receiver].out += each * callee.spec.response_bytes;
    }
  }
  for (const auto& step : call.then) {
    for (const CallSpec& child : step) Send(model, first_service, child, visits, to, servers);
  }
}

class Scheduler {
 public:
  Scheduler(Model* model, const ScheduleOptions& options)
      : model_(model),
        options_(options),
        dice_(Sub(options.seed, KeyOf("schedule"))),
        traffic_(model->cluster.servers.size()) {
    for (std::size_t a = 0; a < model->source.size(); ++a) {
      const Application& app = model->source[a];
      std::vector<Demand> demands(app.services.size());
      double weights = 0;
      for (const RequestSpec& request : app.requests) weights += request.weight;
      for (const RequestSpec& request : app.requests) {
        Walk(app, request.calls, request.weight / weights, request.qos_p99_ms * 1000, true,
             &demands);
        Send(*model, model->applications[a].first_service, request.calls, request.weight / weights,
             kNone, &traffic_);
      }
      demands_.insert(demands_.end(), demands.begin(), demands.end());
    }
    for (std::uint32_t s = 0; s < demands_.size(); ++s) {
      const Demand& d = demands_[s];
      const Kind kind = model->services[s].spec.kind;
      if (d.waited_for && d.visits * options.rate >= 10) {
        on_path_.push_back(s);
        if (kind == Kind::kLogic) logic_.push_back(s);
        if (kind == Kind::kCache) caches_.push_back(s);
        if (kind == Kind::kDatabase) databases_.push_back(s);
      } else if (d.visits > 0 && !d.waited_for) {
        off_path_.push_back(s);
      }
    }
    FindChains();
  }

  std::vector<Fault> Draw() {
    std::vector<Fault> faults;
    if (on_path_.empty()) return faults;
    const double per_hour = options_.severe_per_hour + options_.harmless_per_hour;
    if (!(per_hour > 0)) return faults;
    double at = 10;
    for (;;) {
      const double spare =
          std::max(1.0, 3600 / per_hour - options_.gap_seconds - options_.mean_seconds);
      at += options_.gap_seconds - spare * std::log(1 - dice_.Unit());
      if (at + 15 > options_.seconds || faults.size() > 100'000) return faults;
      const double length = 3 - (options_.mean_seconds - 3) * std::log(1 - dice_.Unit());
      const bool severe = dice_.Unit() * per_hour < options_.severe_per_hour;
      Fault fault = severe ? Severe() : Harmless();
      int again = 0;
      while (!Allowed(fault) && ++again < 500) fault = severe ? Severe() : Harmless();
      if (again == 500) continue;
      const bool calls_back =
          fault.kind == FaultKind::kCyclicSync || fault.kind == FaultKind::kPoolDeadlock;
      if (calls_back) {
        const auto tree =
            AddCallBack(model_, fault.service, callee_, fault.kind == FaultKind::kCyclicSync);
        if (!tree.ok()) continue;
        fault.tree = *tree;
      }
      fault.start_ns = Ns(at);
      fault.end_ns = Ns(at + std::min(length, 40.0));
      if (fault.kind == FaultKind::kSwitchFailure)
        fault.end_ns = fault.start_ns + Ns(fault.mild ? 0.01 : 0.3);
      if (fault.kind != FaultKind::kSwitchFailure && dice_.Unit() < 0.6)
        fault.ramp_ns = Ns(dice_.Between(0.5, 4));
      at = static_cast<double>(fault.end_ns) * 1e-9;
      faults.push_back(fault);
    }
  }

 private:
  double Use(std::uint32_t s) const {  // of its cores, at the usual load
    const Model::ServiceInfo& info = model_->services[s];
    return demands_[s].visits * options_.rate * demands_[s].us * 1e-6 /
           (info.spec.cores * info.instances);
  }
  // A factor on its time that breaks a service: overload, or a visit near the target.
  double Breaking(std::uint32_t s) const {
    return std::max(2.0, std::min(1.15 / std::max(Use(s), 1e-6),
                                  0.6 * demands_[s].target_us / std::max(demands_[s].us, 1.0)));
  }

  Fault Contention(FaultKind kind, const std::vector<std::uint32_t>& of) {
    Resource resource = Resource::kCpu;
    double knee = 0.75;
    switch (kind) {
      case FaultKind::kCacheContention:
        resource = Resource::kCache, knee = 0.6;
        break;
      case FaultKind::kMemoryBandwidth:
      case FaultKind::kMemoryPartition:
        resource = Resource::kMemoryBandwidth, knee = 0.6;
        break;
      case FaultKind::kMemoryCapacity:
        resource = Resource::kMemoryCapacity, knee = 0.9;
        break;
      case FaultKind::kDiskContention:
        resource = Resource::kStorage, knee = 0.8;
        break;
      default:
        break;
    }
    const std::uint32_t drawn = dice_.One(of);
    const auto r = static_cast<std::size_t>(resource);
    Fault fault;
    fault.kind = kind;
    fault.server = model_->instances[model_->services[drawn].first_instance].server;
    // On that server the one that breaks first.
    double least = 1e9;
    for (std::uint32_t s : on_path_) {
      const Model::ServiceInfo& info = model_->services[s];
      const double sensitivity = info.spec.sensitivity[r];
      if (sensitivity <= 0 || model_->instances[info.first_instance].server != fault.server)
        continue;
      const double pressure = (Breaking(s) - 1) / sensitivity;
      if (pressure < least) least = pressure, fault.service = s;
    }
    if (fault.service == kNone) fault.service = drawn, least = 5;
    fault.magnitude = knee + (1 - knee) * least * dice_.Between(1.1, 2.5);
    return fault;
  }

  bool Allowed(const Fault& fault) const {
    const auto has = [](const auto& list, auto value) {
      return std::find(list.begin(), list.end(), value) != list.end();
    };
    if (!options_.only_kinds.empty() && !has(options_.only_kinds, fault.kind)) return false;
    if (has(options_.not_kinds, fault.kind)) return false;
    if (!options_.only_services.empty() && !has(options_.only_services, fault.service)) {
      return false;
    }
    return !has(options_.not_services, fault.service);
  }

  // Synchronous chains of logic, for calls back: caller and callee; and the same over one between
  // them, the cyclic trio. Of the trees as they were: calls back that were drawn are none of them.
  void FindChains() {
    const auto logic = [&](std::uint32_t s) {
      return s != kNone && s < demands_.size() && demands_[s].waited_for &&
             model_->services[s].spec.kind == Kind::kLogic;
    };
    for (const Model::EdgeInfo& edge : model_->edges) {
      if (edge.async || edge.caller == edge.callee) continue;
      if (!logic(edge.caller) || !logic(edge.callee)) continue;
      pairs_.emplace_back(edge.caller, edge.callee);
    }
    for (const auto& [first, middle] : pairs_) {
      for (const auto& [other, last] : pairs_) {
        if (other == middle && last != first) trios_.emplace_back(first, last);
      }
    }
  }

  Fault ApplicationFault() {
    Fault fault;
    const std::vector<std::uint32_t>& from = logic_.empty() ? on_path_ : logic_;
    fault.service = dice_.One(from);
    const Demand& d = demands_[fault.service];
    switch (dice_.Below(7)) {
      case 0:
        fault.kind = FaultKind::kBlockingCall;
        fault.magnitude = d.target_us / 1000 * dice_.Between(0.5, 3);
        return fault;
      case 1:
      case 2: {
        if (pairs_.empty()) break;
        const bool deadlock = dice_.Unit() < 0.5;
        fault.kind = deadlock ? FaultKind::kPoolDeadlock : FaultKind::kCyclicSync;
        std::tie(fault.service, callee_) =
            dice_.One(deadlock || trios_.empty() || dice_.Unit() < 0.5 ? pairs_ : trios_);
        // As many threads as are busy now and then; and calls back that feed themselves.
        fault.magnitude = deadlock ? std::floor(dice_.Between(1, 3)) : dice_.Between(0.7, 0.95);
        return fault;
      }
      case 3: {
        fault.kind = FaultKind::kRetryStorm;
        fault.magnitude = std::max(0.15, d.us / 1000 * dice_.Between(0.5, 1.5));
        return fault;
      }
      case 4:
        fault.kind = FaultKind::kDropRule;
        fault.magnitude = dice_.Between(0.02, 0.3);
        return fault;
      case 5: {
        fault.kind = FaultKind::kUnderProvisioned;
        fault.magnitude = Use(fault.service) / dice_.Between(1.1, 1.6);
        return fault;
      }
      default:
        break;
    }
    fault.kind = FaultKind::kLockConvoy;
    const double alone = demands_[fault.service].visits * options_.rate * d.us * 1e-6 /
                         model_->services[fault.service].instances;
    fault.magnitude = std::max(1.5, dice_.Between(1.1, 1.6) / std::max(alone, 1e-6));
    return fault;
  }

  Fault NetworkFault() {
    Fault fault;
    fault.service = dice_.One(on_path_);
    switch (dice_.Below(8)) {
      case 0:
        fault.kind = FaultKind::kSwitchFailure;
        fault.service = kNone;
        break;
      case 1:
      case 2:
        fault.kind = FaultKind::kRouting;
        fault.magnitude = demands_[fault.service].target_us / 1000 * dice_.Between(0.2, 0.8);
        break;
      case 3:
      case 4: {
        fault.kind = FaultKind::kBandwidth;  // to about what the messages of its server need
        const std::uint32_t server =
            model_->instances[model_->services[fault.service].first_instance].server;
        const Traffic& traffic = traffic_[server];
        const double gbps = std::max(traffic.out, traffic.in) * options_.rate * 8e-9;
        const double left =
            gbps / model_->cluster.servers[server].nic_gbps / dice_.Between(0.95, 1.6);
        fault.magnitude = std::clamp(1 - left, 0.5, 0.999999);
        break;
      }
      default:
        fault.kind = FaultKind::kIncast;
        fault.magnitude = dice_.Between(0.01, 0.1);
    }
    return fault;
  }

  Fault Severe() {
    const double u = dice_.Unit();
    if (u < 0.31) return ApplicationFault();
    if (u < 0.62) {  // the paper: most often the in-memory caches
      return Contention(FaultKind::kCpuContention,
                        !caches_.empty() && dice_.Unit() < 0.5 ? caches_ : on_path_);
    }
    if (u < 0.77) return NetworkFault();
    if (u < 0.89) {
      switch (dice_.Below(5)) {
        case 0:
          return Contention(FaultKind::kMemoryBandwidth, on_path_);
        case 1:
          return Contention(FaultKind::kMemoryCapacity, on_path_);
        case 2: {
          Fault fault = Contention(FaultKind::kMemoryPartition, on_path_);
          return fault;
        }
        case 3:
          if (!caches_.empty()) {
            Fault fault;
            fault.kind = FaultKind::kCacheFlush;
            fault.service = dice_.One(caches_);
            fault.magnitude = 1;
            return fault;
          }
          [[fallthrough]];
        default:
          return Contention(FaultKind::kCacheContention, on_path_);
      }
    }
    if (u < 0.94 && !databases_.empty()) return Contention(FaultKind::kDiskContention, databases_);
    Fault fault;
    fault.kind = FaultKind::kLoadSpike;
    fault.application = static_cast<std::uint32_t>(dice_.Below(model_->applications.size()));
    double most = 0.05;  // of its services: how much of the load there is room for
    for (std::uint32_t s : on_path_) {
      if (model_->services[s].application == fault.application) most = std::max(most, Use(s));
    }
    fault.magnitude = dice_.Between(0.9, 1.6) / most;
    return fault;
  }

  Fault Harmless() {
    const double u = dice_.Unit();
    Fault fault;
    fault.mild = true;
    if (u < 0.3) {
      fault.kind = FaultKind::kNoisyNeighbour;
      fault.server = static_cast<std::uint32_t>(dice_.Below(model_->cluster.servers.size()));
      fault.magnitude = dice_.Between(0.2, 0.7);
      return fault;
    }
    if (u < 0.6 && !off_path_.empty()) {
      fault.kind = FaultKind::kOffPath;
      fault.service = dice_.One(off_path_);
      fault.magnitude = std::max(5.0, dice_.Between(1.1, 2) / std::max(Use(fault.service), 1e-6));
      return fault;
    }
    fault = Severe();  // the same, but weak
    fault.mild = true;
    if (fault.kind == FaultKind::kUnderProvisioned) {
      fault.magnitude = std::min(1.0, fault.magnitude * 4);
    } else if (fault.kind == FaultKind::kBandwidth) {
      fault.magnitude = 0.5;
    } else if (fault.kind == FaultKind::kLoadSpike) {
      fault.magnitude = 1.3;
    } else if (fault.kind == FaultKind::kPoolDeadlock) {
      fault.magnitude = 60;
    } else if (fault.kind == FaultKind::kRetryStorm) {
      fault.magnitude = 100;
    } else if (fault.kind == FaultKind::kDropRule || fault.kind == FaultKind::kIncast) {
      fault.magnitude = 0.0005;
    } else {
      fault.magnitude *= 0.15;
    }
    return fault;
  }

  Model* model_;
  ScheduleOptions options_;
  Dice dice_;
  std::vector<Demand> demands_;   // by service
  std::vector<Traffic> traffic_;  // by server
  std::vector<std::uint32_t> on_path_, logic_, caches_, databases_, off_path_;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> pairs_, trios_;
  std::uint32_t callee_ = kNone;  // of the last call back that was drawn
};

}  // namespace

std::vector<Fault> DrawFaults(Model* model, const ScheduleOptions& options) {
  return Scheduler(model, options).Draw();
}

}  // namespace seer::cluster
