// What can be seen from outside: the cluster's ticks and the hardware's readings.
#include <algorithm>
#include <cmath>

#include "benchmarks/cluster/sim/simulator.h"

namespace seer::cluster {
namespace {

constexpr double kPacketBytes = 1500;

// The channel in which a request stands that waits for a thread, and for its first core.
Channel ThreadChannel(ServerModel model) {
  return model == ServerModel::kWorkers || model == ServerModel::kGoroutines ? Channel::kQueued
                                                                             : Channel::kAccept;
}
Channel CoreChannel(ServerModel model) {
  return model == ServerModel::kWorkers || model == ServerModel::kGoroutines ? Channel::kRunning
                                                                             : Channel::kSocket;
}

}  // namespace

void Simulator::Observe(ClusterTick* tick) {
  tick->Reset(model_->services.size(), edges_.size(), classes_.size());
  tick->period = options_.period;
  tick->tick = options_.period.TickAt(options_.start_ns + now_ - 1);
  tick->topology_version = model_->topology.version();
  tick->nodes_seen = tick->nodes_expected = static_cast<std::uint32_t>(servers_.size());
  for (Server& server : servers_) {
    server.unsent.erase(std::remove_if(server.unsent.begin(), server.unsent.end(),
                                       [&](const Unsent& u) { return u.gone_at <= now_; }),
                        server.unsent.end());
    for (const Unsent& unsent : server.unsent) ++stations_[unsent.station].unsent;
  }
  for (std::size_t s = 0; s < places_->instances.size(); ++s) {
    const Places::Range range = places_->instances[s];
    double depth[kChannels] = {};
    std::uint64_t arrived = 0, started = 0, finished = 0, wait = 0;
    ServerModel model = ServerModel::kWorkers;
    for (std::uint32_t i = range.first; i < range.first + range.count; ++i) {
      Station& station = stations_[i];
      const Server& server = servers_[station.server];
      model = station.model;
      depth[static_cast<std::size_t>(ThreadChannel(model))] += station.waiting_thread;
      depth[static_cast<std::size_t>(CoreChannel(model))] += station.waiting_core;
      depth[static_cast<std::size_t>(Channel::kRunning)] += station.threads - station.waiting_core;
      depth[static_cast<std::size_t>(Channel::kBlocked)] += station.blocked;
      depth[static_cast<std::size_t>(Channel::kSend)] += station.unsent;
      // Of the whole card, which instances share.
      depth[static_cast<std::size_t>(Channel::kNic)] += std::floor(
          (server.out.BacklogBytes(now_) + server.receive.BacklogBytes(now_)) / kPacketBytes);
      arrived += station.arrived - station.arrived_then;
      started += station.started - station.started_then;
      finished += station.finished - station.finished_then;
      wait += station.wait_ns - station.wait_then;
      station.arrived_then = station.arrived;
      station.started_then = station.started;
      station.finished_then = station.finished;
      station.wait_then = station.wait_ns;
    }
    const ServiceId id(static_cast<std::uint32_t>(s));
    for (Channel channel : kAllChannels) {
      if (model_->ideal && channel == Channel::kNic) continue;
      tick->services.SetDepth(id, channel, depth[static_cast<std::size_t>(channel)]);
    }
    const Channel before =
        model == ServerModel::kThreadPerConnection || model == ServerModel::kEventLoop
            ? Channel::kSocket
            : Channel::kQueued;
    tick->services.SetFlow(id, before, static_cast<std::uint32_t>(arrived),
                           static_cast<std::uint32_t>(started));
    tick->services.SetFlow(id, Channel::kRunning, static_cast<std::uint32_t>(started),
                           static_cast<std::uint32_t>(finished));
    tick->services.SetMeanWait(
        id, before,
        started > 0 ? static_cast<double>(wait) / static_cast<double>(started) / 1000 : 0);
  }
  for (Server& server : servers_) {
    for (const Unsent& unsent : server.unsent) --stations_[unsent.station].unsent;
  }
  for (std::size_t e = 0; e < edges_.size(); ++e) {
    const EdgeId id(static_cast<std::uint32_t>(e));
    tick->edges.SetDepth(id, edges_[e].outstanding);
    tick->edges.SetMade(id, edges_[e].made);
    edges_[e].made = 0;
  }
  for (std::size_t c = 0; c < classes_.size(); ++c) {
    ClassState& state = classes_[c];
    ClassTick& out = tick->classes[c];
    out.seen = true;
    out.count = state.count;
    out.over_target = state.over;
    out.oldest_open_ns = state.oldest == kNone ? 0 : now_ - requests_[state.oldest].start;
    std::swap(out.latency, state.latency);
    state.latency.Clear();
    state.count = state.over = state.failed = 0;
  }
  observed_ns_ = now_;
}

double Simulator::CoreSeconds(std::uint32_t instance) const {
  const Station& s = stations_[instance];
  return static_cast<double>(s.core_area + static_cast<std::uint64_t>(s.cores) *
                                               static_cast<std::uint64_t>(now_)) *
         1e-9;
}

double Simulator::RequestSeconds(std::uint32_t instance) const {
  const Station& s = stations_[instance];
  return static_cast<double>(s.area + static_cast<std::uint64_t>(s.threads + s.waiting_thread) *
                                          static_cast<std::uint64_t>(now_)) *
         1e-9;
}

// Pressure and faults have been the same since the last time.
void Simulator::BookStalls() {
  constexpr auto kCpu = static_cast<std::size_t>(Resource::kCpu);
  ForEachBusy([this](std::uint32_t i) {
    Station& station = stations_[i];
    std::array<double, kResources>& stalls = hardware_[i].stall_ns;
    const std::uint64_t waited =
        station.core_wait_area +
        static_cast<std::uint64_t>(station.waiting_core) * static_cast<std::uint64_t>(now_);
    // Who waits for a lock sleeps; the run queue is empty.
    if (!station.locked) stalls[kCpu] += static_cast<double>(waited - station.booked_core_wait);
    station.booked_core_wait = waited;
    const auto slower = static_cast<double>(station.slow_ns - station.booked_slow);
    station.booked_slow = station.slow_ns;
    if (!(slower > 0) || !(station.slow > 1)) return;
    const Model::InstanceInfo& info = model_->instances[i];
    const Server& server = servers_[station.server];
    // Of the time that it took beyond its own, what each resource added, as perfect counters would
    // tell; the application's own slowness none of them did.
    const double usual = slower / (station.slow - 1) * info.slowness * station.fault_slow;
    double factor = 1;
    for (std::size_t r = 0; r < kResources; ++r) {
      const double mine = info.sensitivity[r] * server.pressure[r] * station.exposure[r];
      factor += mine;
      stalls[r] += usual * mine;
      if (r == kCpu) hardware_[i].pressed_ns += usual * mine;
    }
    stalls[kCpu] += usual * factor * (1 - 1 / station.quota_slow);
  });
}

void Simulator::ReadHardware() {
  BookStalls();
  hardware_then_.swap(hardware_now_);
  hardware_then_ns_ = hardware_now_ns_;
  hardware_now_ns_ = now_;
  for (std::size_t i = 0; i < stations_.size(); ++i) {
    const Station& s = stations_[i];
    hardware_now_[i] = hardware_[i];
    hardware_now_[i].core_area =
        s.core_area + static_cast<std::uint64_t>(s.cores) * static_cast<std::uint64_t>(now_);
    hardware_now_[i].started = s.started;
  }
}

HwReading Simulator::Hardware(std::uint32_t instance) const {
  HwReading reading;
  reading.target = InstanceId(instance);
  reading.origin = model_->topology.origin();
  reading.end_ns = options_.start_ns + hardware_now_ns_;
  reading.interval_ns = hardware_now_ns_ - hardware_then_ns_;
  const HardwareTotals& then = hardware_then_[instance];
  const HardwareTotals& now = hardware_now_[instance];
  reading.requests = now.started - then.started;
  const Station& station = stations_[instance];
  const Server& server = servers_[station.server];
  const double interval = static_cast<double>(std::max<std::int64_t>(1, reading.interval_ns));
  auto signal = [](double value, Scope scope) {
    HwSignal s;
    s.value = value;
    s.quality = Quality::kOk;
    s.reason = Reason::kNone;
    s.scope = scope;
    return s;
  };
  for (Resource resource : kAllResources) {
    const auto r = static_cast<std::size_t>(resource);
    const double delay_ns = now.stall_ns[r] - then.stall_ns[r];
    const double use = server.used[r] + server.background[r] + server.injected[r];
    double own = use;
    if (resource == Resource::kCpu) {
      // Cores that are held, without the time in which neighbours have the processor.
      const double pressed = now.pressed_ns - then.pressed_ns;
      own = std::max(0.0, static_cast<double>(now.core_area - then.core_area) - pressed) /
            interval / std::max(1, station.locked ? station.plan_cores : station.core_limit);
    }
    const double saturation = std::min(1.0, server.pressure[r] / (1 + server.pressure[r]));
    reading.instance[resource].delay_us = signal(delay_ns / 1000, Scope::kCgroup);
    reading.instance[resource].utilisation = signal(std::min(1.0, own), Scope::kCgroup);
    reading.instance[resource].saturation =
        signal(std::min(1.0, delay_ns / interval), Scope::kCgroup);
    reading.node[resource].delay_us = signal(0, Scope::kHost);
    reading.node[resource].utilisation = signal(std::min(1.0, use), Scope::kHost);
    reading.node[resource].saturation = signal(saturation, Scope::kHost);
  }
  return reading;
}

}  // namespace seer::cluster
