// What changes slowly, every 20 ms: contention on servers, and faults.
#include <algorithm>
#include <cmath>
#include <utility>

#include "benchmarks/cluster/sim/simulator.h"
#include "benchmarks/cluster/sim/substream.h"

namespace seer::cluster {
namespace {

// Use of a resource beyond which it gets tight. By seer::Resource. Assumed.
constexpr double kKnee[kResources] = {0.75, 0.6, 0.6, 0.9, 0.8, 0.8};
constexpr double kMaxPressure = 1000;

std::size_t At(Resource resource) { return static_cast<std::size_t>(resource); }

}  // namespace

void Simulator::Epoch() {
  if (model_->ideal && options_.faults.empty() && !faults_applied_) return;
  BookStalls();
  ApplyFaults();
  if (!model_->ideal) {
    LookAtServers();
  } else {
    for (std::uint32_t i = 0; i < stations_.size(); ++i) stations_[i].slow = SlowOf(i);
  }
}

void Simulator::LookAtServers() {
  for (Server& server : servers_) server.used = {};
  ForEachBusy([this](std::uint32_t i) {
    Station& station = stations_[i];
    const std::uint64_t area = station.core_area + static_cast<std::uint64_t>(station.cores) *
                                                       static_cast<std::uint64_t>(now_);
    if (area != station.epoch_core_area) {
      const double busy = static_cast<double>(area - station.epoch_core_area) / kEpochNs;
      station.epoch_core_area = area;
      const Model::InstanceInfo& info = model_->instances[i];
      Server& server = servers_[info.server];
      server.used[At(Resource::kCpu)] += busy * info.cpu_part;
      server.used[At(Resource::kCache)] += busy * info.cache_part;
      server.used[At(Resource::kMemoryBandwidth)] += busy * info.bandwidth_part;
    }
    if (station.cores == 0 && station.waiting_core == 0) {
      busy_[i / 64] &= ~(std::uint64_t{1} << (i % 64));
    }
  });
  if (!actions_.empty()) {
    for (const Station& station : stations_) {
      if (station.plan_cores <= station.initial_cores) continue;
      cost_.core_seconds += (station.plan_cores - station.initial_cores) * kEpochNs * 1e-9;
    }
  }
  // Neighbours come and go: between two levels drawn for whole seconds.
  const std::int64_t second = now_ / 1'000'000'000;
  const double part = static_cast<double>(now_ % 1'000'000'000) * 1e-9;
  const bool fresh = second != level_second_;
  level_second_ = second;
  for (std::size_t v = 0; v < servers_.size(); ++v) {
    Server& server = servers_[v];
    server.used[At(Resource::kMemoryCapacity)] = server.memory_used;
    server.used[At(Resource::kNetwork)] =
        server.bytes_out * server.out.ns_per_byte / static_cast<double>(kEpochNs);
    server.bytes_out = 0;
    const std::int64_t disk_busy =
        std::min(server.disk_free_at, now_) - std::min(server.epoch_disk_free_at, now_);
    server.used[At(Resource::kStorage)] =
        std::min(1.0, static_cast<double>(std::max<std::int64_t>(0, disk_busy)) / kEpochNs);
    server.epoch_disk_free_at = std::max(server.disk_free_at, now_);
    server.was_pressed = std::exchange(server.pressed, false);
    for (std::size_t r = 0; r < kResources; ++r) {
      if (fresh) {
        const std::uint64_t key =
            Sub(Sub(options_.seed ^ salt_, KeyOf("neighbours")), v * kResources + r);
        server.level[r] = Exponential(Sub(key, static_cast<std::uint64_t>(second)));
        server.next_level[r] = Exponential(Sub(key, static_cast<std::uint64_t>(second) + 1));
      }
      const double from = server.level[r];
      const double to = server.next_level[r];
      server.background[r] = options_.background * (from + (to - from) * part);
      const double use = server.used[r] + server.background[r] + server.injected[r];
      server.pressure[r] =
          use > kKnee[r] ? std::min((use - kKnee[r]) / (1 - kKnee[r]), kMaxPressure) : 0;
      server.pressed = server.pressed || server.pressure[r] > 0;
    }
    // The disk itself is slower, for all who read it.
    server.disk_slow = 1 + 3 * server.injected[At(Resource::kStorage)];
  }
  // Where nothing presses, nor did before, a station is as fast as it was.
  const bool changed = faults_applied_ || !actions_.empty();
  const bool all = std::exchange(look_at_all_, changed) || changed;
  for (std::size_t v = 0; v < servers_.size(); ++v) {
    if (!all && !servers_[v].pressed && !servers_[v].was_pressed) continue;
    const Places::Range range = places_->of_server[v];
    for (std::uint32_t i = range.first; i < range.first + range.count; ++i) {
      stations_[places_->stations[i]].slow = SlowOf(places_->stations[i]);
    }
  }
}

void Simulator::Disable(std::size_t fault) {
  if (fault < options_.faults.size()) options_.faults[fault].enabled = false;
}

void Simulator::ApplyFaults() {
  bool any = false;
  for (const Fault& fault : options_.faults) {
    any = any || fault.IntensityAt(now_) > 0 ||
          (fault.kind == FaultKind::kCacheFlush && fault.enabled && now_ >= fault.start_ns &&
           now_ < fault.end_ns);
  }
  if (!any && !faults_applied_) return;
  // From the plan, anew: faults that overlap add up, and what ends leaves nothing behind.
  for (Station& station : stations_) {
    station.thread_limit = station.plan_threads;
    station.core_limit = station.plan_cores;
    station.fault_slow = station.quota_slow = 1;
    station.locked = false;
    station.stall_p = station.drop_p = station.extra_p = 0;
    station.extra = kNone;
  }
  for (EdgeState& edge : edges_) {
    edge.pool_limit = edge.plan_pool;
    edge.timeout_ns = 0;
    edge.attempts = 1;
  }
  for (Server& server : servers_) {
    server.injected = {};
    server.loss = server.incast = 0;
    server.detour_ns = 0;
    server.slower = 1;
  }
  std::fill(cold_.begin(), cold_.end(), 0.0);
  switch_down_ = false;
  for (const Fault& fault : options_.faults) {
    const double intensity = fault.IntensityAt(now_);
    if (intensity > 0) ApplyFault(fault, intensity);
  }
  faults_applied_ = any;
  for (Server& server : servers_) {
    const double ns_per_byte = server.ns_per_byte * server.slower;
    if (server.out.ns_per_byte == ns_per_byte) continue;
    server.out.SetRate(now_, ns_per_byte);
    server.port.SetRate(now_, ns_per_byte);
  }
  for (std::uint32_t i = 0; i < stations_.size(); ++i) {  // limits may have risen
    if (stations_[i].core_wait.head != kNone) KickCores(i);
    if (stations_[i].thread_wait.head != kNone) KickThreads(i);
  }
}

void Simulator::ApplyFault(const Fault& fault, double intensity) {
  const double m = fault.magnitude;
  const double growing = 1 + (m - 1) * intensity;  // of a factor
  std::uint32_t first = 0, count = 0;
  if (fault.service < model_->services.size()) {
    first = model_->services[fault.service].first_instance;
    count = model_->services[fault.service].instances;
  }
  // The stations that make the call back.
  if ((fault.kind == FaultKind::kCyclicSync || fault.kind == FaultKind::kPoolDeadlock) &&
      fault.tree < model_->nodes.size()) {
    const std::uint32_t edge = model_->nodes[fault.tree].edge;
    const Model::ServiceInfo& caller = model_->services[model_->edges[edge].caller];
    const bool deadlock = fault.kind == FaultKind::kPoolDeadlock;
    for (std::uint32_t i = caller.first_instance; i < caller.first_instance + caller.instances;
         ++i) {
      stations_[i].extra = fault.tree;
      stations_[i].extra_p = deadlock ? intensity : std::min(0.95, m * intensity);
    }
    edges_[edge].timeout_ns = 1'000'000'000;  // what ends a deadlock
  }
  for (std::uint32_t i = first; i < first + count; ++i) {
    Station& station = stations_[i];
    Server& server = servers_[station.server];
    switch (fault.kind) {
      case FaultKind::kBlockingCall:
        station.stall_p = intensity;
        station.stall_ns = m * 1e6;
        break;
      case FaultKind::kLockConvoy: {
        // Replicas have a lock each.
        const double copies = granted_[station.service].replicas / count;
        station.core_limit = std::max(1, static_cast<std::int32_t>(copies));
        station.locked = true;
        station.fault_slow *= growing;
        break;
      }
      case FaultKind::kPoolDeadlock:
        if (granted_[station.service].threads > 0) break;  // its size was set since
        station.thread_limit = std::max(1, static_cast<std::int32_t>(m));
        break;
      case FaultKind::kDropRule:
        if (!station.elsewhere) station.drop_p = m * intensity;  // it is the server's
        break;
      case FaultKind::kUnderProvisioned: {
        const double cores = station.plan_cores * (1 - (1 - m) * intensity);
        station.core_limit = std::max(1, static_cast<std::int32_t>(cores));
        if (cores < station.core_limit) {
          station.quota_slow = station.core_limit / cores;
          station.fault_slow *= station.quota_slow;
        }
        break;
      }
      case FaultKind::kCpuContention:
        server.injected[At(Resource::kCpu)] += m * intensity;
        break;
      case FaultKind::kCacheContention:
        server.injected[At(Resource::kCache)] += m * intensity;
        break;
      case FaultKind::kMemoryBandwidth:
        server.injected[At(Resource::kMemoryBandwidth)] += m * intensity;
        break;
      case FaultKind::kMemoryCapacity:
        server.injected[At(Resource::kMemoryCapacity)] += m * intensity;
        break;
      case FaultKind::kDiskContention:
        server.injected[At(Resource::kStorage)] += m * intensity;
        break;
      case FaultKind::kIncast:
        server.incast = std::min(0.9, server.incast + m * intensity);
        server.injected[At(Resource::kNetwork)] += 0.5 * intensity;
        break;
      case FaultKind::kBandwidth: {
        server.slower = std::max(server.slower, 1 / std::max(1e-6, 1 - m * intensity));
        break;
      }
      case FaultKind::kRouting:
        server.detour_ns += static_cast<std::int64_t>(m * 1e6 * intensity);
        server.loss += 0.002 * intensity;
        break;
      case FaultKind::kCacheFlush: {  // fills up again, by the tenth of its time to a half
        const double age =
            static_cast<double>(now_ - fault.start_ns) /
            static_cast<double>(std::max<std::int64_t>(1, fault.end_ns - fault.start_ns));
        cold_[fault.service] = std::min(1.0, m * intensity * std::exp2(-age * 3));
        break;
      }
      case FaultKind::kOffPath:
        station.fault_slow *= growing;
        break;
      default:
        break;
    }
  }
  switch (fault.kind) {
    case FaultKind::kRetryStorm:
      for (std::size_t e = 0; e < edges_.size(); ++e) {
        if (model_->edges[e].caller != fault.service || model_->edges[e].async) continue;
        edges_[e].timeout_ns = std::max<std::int64_t>(1000, static_cast<std::int64_t>(m * 1e6));
        edges_[e].attempts = 3;
      }
      break;
    case FaultKind::kSwitchFailure:
      switch_down_ = true;
      break;
    case FaultKind::kMemoryPartition:
      if (fault.server < servers_.size()) {
        servers_[fault.server].injected[At(Resource::kMemoryBandwidth)] += m * intensity;
      }
      break;
    case FaultKind::kNoisyNeighbour:
      if (fault.server < servers_.size()) {
        for (double& injected : servers_[fault.server].injected) injected += m * intensity;
      }
      break;
    default:
      break;
  }
}

// ---- Names.

std::string_view FaultKindName(FaultKind kind) {
  constexpr std::string_view kNames[kFaultKinds] = {
      "blocking-call",    "cyclic-sync",      "lock-convoy",       "pool-deadlock",
      "retry-storm",      "drop-rule",        "under-provisioned", "cpu-contention",
      "cache-contention", "memory-bandwidth", "memory-capacity",   "disk-contention",
      "memory-partition", "incast",           "bandwidth",         "routing",
      "switch-failure",   "cache-flush",      "load-spike",        "noisy-neighbour",
      "off-path"};
  const auto index = static_cast<std::size_t>(kind);
  return index < kFaultKinds ? kNames[index] : "?";
}

CauseGroup GroupOf(FaultKind kind) {
  switch (kind) {
    case FaultKind::kCpuContention:
      return CauseGroup::kCompute;
    case FaultKind::kCacheContention:
    case FaultKind::kMemoryBandwidth:
    case FaultKind::kMemoryCapacity:
    case FaultKind::kMemoryPartition:
    case FaultKind::kCacheFlush:
      return CauseGroup::kCacheMemory;
    case FaultKind::kDiskContention:
      return CauseGroup::kDisk;
    case FaultKind::kIncast:
    case FaultKind::kBandwidth:
    case FaultKind::kRouting:
    case FaultKind::kSwitchFailure:
      return CauseGroup::kNetwork;
    case FaultKind::kLoadSpike:
      return CauseGroup::kLoad;
    case FaultKind::kNoisyNeighbour:
    case FaultKind::kOffPath:
      return CauseGroup::kHarmless;
    default:
      return CauseGroup::kApplication;
  }
}

std::string_view CauseGroupName(CauseGroup group) {
  constexpr std::string_view kNames[kCauseGroups] = {
      "application", "compute", "network", "cache-memory", "disk", "load", "harmless"};
  const auto index = static_cast<std::size_t>(group);
  return index < kCauseGroups ? kNames[index] : "?";
}

std::string_view CauseOf(FaultKind kind) {
  switch (kind) {
    case FaultKind::kCpuContention:
      return "cpu";
    case FaultKind::kCacheContention:
    case FaultKind::kCacheFlush:
      return "cache";
    case FaultKind::kMemoryBandwidth:
    case FaultKind::kMemoryPartition:
      return "memory-bandwidth";
    case FaultKind::kMemoryCapacity:
      return "memory-capacity";
    case FaultKind::kDiskContention:
      return "storage";
    case FaultKind::kIncast:
    case FaultKind::kBandwidth:
    case FaultKind::kRouting:
    case FaultKind::kSwitchFailure:
      return "network";
    case FaultKind::kLoadSpike:
      return "load";
    case FaultKind::kNoisyNeighbour:
      return "cpu";
    default:
      return "application";
  }
}

}  // namespace seer::cluster
