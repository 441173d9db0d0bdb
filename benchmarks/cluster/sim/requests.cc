// The beginning of a simulation, and the requests that come from outside.
#include <algorithm>
#include <cmath>
#include <utility>

#include "benchmarks/cluster/sim/simulator.h"
#include "benchmarks/cluster/sim/substream.h"

namespace seer::cluster {
namespace {

constexpr double kTwoPi = 6.283185307179586;
constexpr double kReceiveNsPerMessage = 300;  // softirq, on one core of the receiver

std::shared_ptr<const Places> PlacesOf(const Model& model) {
  auto places = std::make_shared<Places>();
  for (const Model::ServiceInfo& service : model.services) {
    places->instances.push_back({service.first_instance, service.instances});
  }
  places->of_server.resize(model.cluster.servers.size());
  for (const Model::InstanceInfo& instance : model.instances) {
    ++places->of_server[instance.server].count;
  }
  std::uint32_t first = 0;
  for (Places::Range& range : places->of_server) {
    range.first = first;
    first += std::exchange(range.count, 0);
  }
  places->stations.resize(model.instances.size());
  for (std::uint32_t i = 0; i < model.instances.size(); ++i) {
    Places::Range& range = places->of_server[model.instances[i].server];
    places->stations[range.first + range.count++] = i;
  }
  return places;
}

}  // namespace

Simulator::Simulator(std::shared_ptr<const Model> model, SimulatorOptions options)
    : model_(std::move(model)), places_(PlacesOf(*model_)), options_(std::move(options)) {
  options_.loads.resize(model_->applications.size(), Load{0, 0, 3600, 0});
  stations_.resize(model_->instances.size());
  busy_.resize((stations_.size() + 63) / 64);
  for (std::size_t i = 0; i < stations_.size(); ++i) {
    Station& station = stations_[i];
    station.service = model_->instances[i].service;
    station.server = model_->instances[i].server;
    const ServiceSpec& spec = model_->services[station.service].spec;
    station.model = spec.model;
    station.thread_limit = static_cast<std::int32_t>(spec.threads);
    station.queue_limit = static_cast<std::int32_t>(spec.queue_limit);
    station.core_limit = static_cast<std::int32_t>(spec.cores);
    station.plan_threads = station.thread_limit;
    station.plan_cores = station.core_limit;
    station.initial_cores = station.core_limit;
    station.disk_p = spec.disk_p;
    station.disk_ns = spec.disk_us * 1000;
    if (!model_->ideal) station.slow = 1 / model_->cluster.servers[station.server].speed;
  }
  pools_.resize(model_->pools);
  edges_.resize(model_->edges.size());
  for (std::size_t e = 0; e < edges_.size(); ++e) {
    const Model::EdgeInfo& edge = model_->edges[e];
    edges_[e].pool_limit = edges_[e].plan_pool = edge.pool_limit;
    const std::size_t end = e + 1 < edges_.size() ? model_->edges[e + 1].first_pool : pools_.size();
    for (std::size_t p = edge.first_pool; p < end; ++p) {
      pools_[p].edge = static_cast<std::uint32_t>(e);
    }
  }
  servers_.resize(model_->cluster.servers.size());
  for (std::size_t v = 0; v < servers_.size(); ++v) {
    const double ns_per_byte = 8 / model_->cluster.servers[v].nic_gbps;
    servers_[v].ns_per_byte = ns_per_byte;
    servers_[v].out = {0, ns_per_byte, 1.5e6};  // a queue of 1000 full packets
    servers_[v].own_out = servers_[v].out;
    servers_[v].own_port = {0, ns_per_byte, 1e6};
    servers_[v].port = {0, ns_per_byte, 1e6};         // the switch's buffer for one port
    servers_[v].receive = {0, ns_per_byte / 4, 6e6};  // 4096 descriptors
    servers_[v].receive_message_bytes = kReceiveNsPerMessage / servers_[v].receive.ns_per_byte;
  }
  switch_ = {0, 8 / model_->cluster.switch_gbps, 12e6};
  for (const Station& station : stations_) {  // 1 GB a container, stores 4: assumed
    const Kind kind = model_->services[station.service].spec.kind;
    const double gb = kind == Kind::kDatabase || kind == Kind::kCache ? 4 : 1;
    servers_[station.server].memory_used += gb / model_->cluster.servers[station.server].memory_gb;
  }
  cold_.resize(model_->services.size(), 0);
  classes_.resize(model_->classes.size());
  for (const Model::ClassInfo& info : model_->classes) class_roots_.push_back(info.root);
  hardware_.resize(stations_.size());
  granted_.resize(model_->services.size());
  hardware_then_.resize(stations_.size());
  hardware_now_.resize(stations_.size());

  for (std::size_t a = 0; a < model_->applications.size(); ++a) {
    Stream stream;
    stream.application = static_cast<std::uint32_t>(a);
    stream.key = Sub(options_.seed, KeyOf(model_->source[a].name));
    stream.peak_per_ns = options_.loads[a].rate * (1 + options_.loads[a].amplitude) * 1e-9;
    streams_.push_back(stream);
  }
  for (std::size_t f = 0; f < options_.faults.size(); ++f) {
    const Fault& fault = options_.faults[f];
    if (fault.kind != FaultKind::kLoadSpike || fault.application >= streams_.size()) continue;
    Stream stream = streams_[fault.application];
    stream.key = Sub(stream.key, f + 1);
    stream.fault = static_cast<std::uint32_t>(f);
    stream.peak_per_ns *= std::max(0.0, fault.magnitude - 1);
    streams_.push_back(stream);
  }
  for (std::uint32_t s = 0; s < streams_.size(); ++s) {
    if (streams_[s].fault != kNone) now_ = options_.faults[streams_[s].fault].start_ns;
    ScheduleArrival(s);
    now_ = 0;
  }
}

// ---- Requests.

double Simulator::RateOf(const Stream& stream) const {
  const Load& load = options_.loads[stream.application];
  double rate = load.rate * 1e-9;
  if (load.amplitude > 0) {
    const double seconds = static_cast<double>(now_) * 1e-9 + load.phase_s;
    rate *= 1 + load.amplitude * std::sin(kTwoPi * seconds / load.period_s);
  }
  if (stream.fault == kNone) return rate;
  const Fault& fault = options_.faults[stream.fault];
  return rate * std::max(0.0, fault.magnitude - 1) * fault.IntensityAt(now_);
}

void Simulator::ScheduleArrival(std::uint32_t index) {
  Stream& stream = streams_[index];
  if (const auto* times = GivenTimes(index)) {
    if (stream.drawn < times->size()) {
      Push(std::max(now_, (*times)[stream.drawn++]), kArrival, index);
    }
    return;
  }
  if (!(stream.peak_per_ns > 0)) return;
  const double gap = Exponential(Sub(stream.key ^ salt_, stream.drawn++)) / stream.peak_per_ns;
  if (gap > 1e18) return;
  Push(now_ + static_cast<std::int64_t>(gap), kArrival, index);
}

void Simulator::Arrive(std::uint32_t index) {
  const Stream& stream = streams_[index];
  if (stream.fault != kNone && now_ >= options_.faults[stream.fault].end_ns) return;
  const std::uint64_t key = Sub(stream.key ^ salt_ ^ kClass, stream.drawn);
  const std::uint32_t application = stream.application;
  const bool take = GivenTimes(index) != nullptr ||
                    Uniform(Mix(key ^ kChance)) * stream.peak_per_ns < RateOf(stream);
  ScheduleArrival(index);
  if (take) StartRequest(application, key);
}

void Simulator::StartRequest(std::uint32_t application, std::uint64_t key) {
  const Model::ApplicationInfo& app = model_->applications[application];
  const double u = Uniform(Mix(key ^ kClass));
  std::uint32_t request_class = app.first_class;
  while (u >= model_->classes[request_class].upto) ++request_class;  // the last is 1

  std::uint32_t id;
  if (free_requests_.empty()) {
    id = static_cast<std::uint32_t>(requests_.size());
    requests_.emplace_back();
  } else {
    id = free_requests_.back();
    free_requests_.pop_back();
  }
  ClassState& state = classes_[request_class];
  Request& request = requests_[id];
  request = {now_, request_class, state.newest, kNone};
  (state.newest == kNone ? state.oldest : requests_[state.newest].newer) = id;
  state.newest = id;
  ++open_requests_;
  if (span_share_ > 0) root_trace_ = TraceOf(request_class, key);
  const std::uint32_t root = Call(kNone, class_roots_[request_class], key, 1);
  visits_[root].request = id;
}

void Simulator::EndRequest(std::uint32_t id, bool failed) {
  const Request request = requests_[id];
  ClassState& state = classes_[request.request_class];
  (request.older == kNone ? state.oldest : requests_[request.older].newer) = request.newer;
  (request.newer == kNone ? state.newest : requests_[request.newer].older) = request.older;
  free_requests_.push_back(id);
  --open_requests_;
  const std::int64_t target = model_->classes[request.request_class].target_ns;
  std::int64_t latency = now_ - request.start;
  ++state.count;
  if (failed) {  // for its user worse than a late answer
    ++state.failed;
    latency = std::max(latency, 2 * target);
  }
  if (latency > target) ++state.over;
  state.latency.Record(latency);
  if (keep_finished_) finished_.push_back({request.request_class, failed, request.start, now_});
}

}  // namespace seer::cluster
