#include "benchmarks/cluster/sim/act.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "benchmarks/cluster/sim/simulator.h"

namespace seer::cluster {
namespace {

std::size_t At(Resource resource) { return static_cast<std::size_t>(resource); }

std::int64_t DelayOf(Action action) {
  switch (action) {
    case Action::kReplicas:
    case Action::kMemoryLimit:
      return 3'000'000'000;
    case Action::kCachePartition:
    case Action::kMemoryBandwidthShare:
      return 150'000'000;
    case Action::kCpuLimit:
      return 30'000'000;
    case Action::kPoolSize:
    case Action::kNetworkShare:
    case Action::kIoShare:
      return 50'000'000;
    default:
      return 100'000'000;
  }
}

std::int32_t Whole(double value) {
  return static_cast<std::int32_t>(std::clamp(std::round(value), 1.0, 1e6));
}

}  // namespace

absl::Status Simulator::Act(const Recommendation& recommendation) {
  if (recommendation.action == Action::kReport) return absl::OkStatus();
  const std::uint32_t service = model_->FindService(recommendation.target.service);
  if (service == kNone) {
    return absl::NotFoundError(absl::StrCat("target.service: there is no service '",
                                            recommendation.target.service, "': name a live one"));
  }
  if (!(recommendation.to >= 0 && recommendation.to < 1e12)) {
    return absl::InvalidArgumentError("to: not a number of at least 0: give one");
  }
  if (recommendation.to < recommendation.lower || recommendation.to > recommendation.upper) {
    return absl::OutOfRangeError("to: outside [lower, upper]: give a value within");
  }
  ActionInForce action;
  action.action = recommendation.action;
  action.service = service;
  action.id = recommendation.id;
  action.to = recommendation.to;
  action.back_to = recommendation.undo.value_or(recommendation.from);
  if (recommendation.expires_ns > 0) {
    action.end_ns = std::max(now_, recommendation.expires_ns - options_.start_ns);
  }
  ++cost_.actions;
  actions_.push_back(action);
  Push(now_ + DelayOf(action.action), kActionDue, static_cast<std::uint32_t>(actions_.size() - 1));
  return absl::OkStatus();
}

absl::Status Simulator::Undo(std::uint64_t recommendation_id) {
  for (std::size_t i = actions_.size(); i-- > 0;) {
    ActionInForce& action = actions_[i];
    if (action.id != recommendation_id || action.state == ActionInForce::kOver) continue;
    if (action.state == ActionInForce::kComing) {
      action.state = ActionInForce::kOver;
    } else {  // the event of its expiry will find it over
      Push(now_ + DelayOf(action.action), kActionDue, static_cast<std::uint32_t>(i));
    }
    return absl::OkStatus();
  }
  return absl::NotFoundError("no such action is in force: name one that is");
}

void Simulator::ApplyAction(std::uint32_t index) {
  ActionInForce& action = actions_[index];
  if (action.state == ActionInForce::kOver) return;
  BookStalls();  // of the time in which all was as before
  if (action.state == ActionInForce::kThere) {
    action.state = ActionInForce::kOver;
    Set(action.service, action.action, action.back_to);
    TakeEffect(action.service);
    return;
  }
  for (ActionInForce& other : actions_) {
    if (other.state != ActionInForce::kThere || other.service != action.service ||
        other.action != action.action) {
      continue;
    }
    other.state = ActionInForce::kOver;
    if (other.end_ns > 0) action.back_to = other.back_to;
  }
  action.state = ActionInForce::kThere;
  Set(action.service, action.action, action.to);
  const std::int64_t end_ns = action.end_ns;
  TakeEffect(action.service);
  if (end_ns > 0) Push(std::max(now_, end_ns), kActionDue, index);
}

// Limits and speed change now, and whoever is being served goes on at the new speed.
void Simulator::TakeEffect(std::uint32_t service_index) {
  ApplyFaults();  // takes the limits over from the plan
  const Model::ServiceInfo& service = model_->services[service_index];
  std::vector<double> factors(service.instances, 1);
  bool any = false;
  for (std::uint32_t i = 0; i < service.instances; ++i) {
    Station& station = stations_[service.first_instance + i];
    const double slow = SlowOf(service.first_instance + i);
    if (!(station.slow > 0) || slow == station.slow) continue;
    factors[i] = slow / station.slow;
    station.slow = slow;
    any = true;
  }
  if (!any) return;
  EventQueue before;
  std::swap(before, queue_);
  Event event;
  while (before.PopBefore(std::numeric_limits<std::int64_t>::max(), &event)) {
    if ((event.what & 0xff) == kServiceEnd) {
      const std::uint32_t at = visits_[event.index].instance - service.first_instance;
      if (at < service.instances) {
        event.time_ns = now_ + static_cast<std::int64_t>(static_cast<double>(event.time_ns - now_) *
                                                         factors[at]);
      }
    }
    queue_.Push(event);
  }
}

double Simulator::SlowOf(std::uint32_t index) const {
  const Station& station = stations_[index];
  if (model_->ideal) return station.fault_slow;
  if (station.elsewhere) return station.fault_slow * model_->instances[index].slowness;
  const Model::InstanceInfo& info = model_->instances[index];
  const Server& server = servers_[info.server];
  double factor = 1;
  for (std::size_t r = 0; server.pressed && r < kResources; ++r) {
    factor += info.sensitivity[r] * server.pressure[r] * station.exposure[r];
  }
  return factor * station.fault_slow * info.slowness;
}

void Simulator::Set(std::uint32_t service_index, Action action, double to) {
  const Model::ServiceInfo& service = model_->services[service_index];
  Granted& granted = granted_[service_index];
  const double share = to > 0 ? 0 : 1;
  if (action == Action::kCpuLimit) granted.cores = to;
  if (action == Action::kPoolSize) granted.threads = to;
  if (action == Action::kReplicas) granted.replicas = to;
  const double planned_cores = service.spec.cores;
  const double cores = granted.cores > 0 ? granted.cores : planned_cores;
  const double threads = granted.threads > 0 ? granted.threads : service.spec.threads;
  const double replicas = std::max(1.0, granted.replicas / service.instances);
  for (std::uint32_t i = service.first_instance; i < service.first_instance + service.instances;
       ++i) {
    Station& station = stations_[i];
    switch (action) {
      case Action::kCpuLimit:
        station.exposure[At(Resource::kCpu)] = std::min(1.0, planned_cores / cores);
        [[fallthrough]];
      case Action::kPoolSize:
      case Action::kReplicas:
        station.elsewhere = replicas >= 2;
        station.plan_cores = Whole(cores * replicas);
        station.plan_threads = Whole(threads * replicas);
        break;
      case Action::kCachePartition:
        station.exposure[At(Resource::kCache)] = 1 - std::min(1.0, to / 10);
        break;
      case Action::kMemoryBandwidthShare:
        station.exposure[At(Resource::kMemoryBandwidth)] = 1 - std::min(1.0, to / 50);
        break;
      case Action::kMemoryLimit:
        station.exposure[At(Resource::kMemoryCapacity)] = share;
        break;
      case Action::kNetworkShare:
        station.exposure[At(Resource::kNetwork)] = share;
        station.own_network = to > 0;
        break;
      case Action::kIoShare:
        station.exposure[At(Resource::kStorage)] = share;
        break;
      case Action::kRateLimit:
        station.rate_limit_per_ns = to * 1e-9 / service.instances;
        break;
      case Action::kReport:
        break;
    }
  }
  faults_applied_ = true;  // the next epoch takes the limits over from the plan
}

}  // namespace seer::cluster
