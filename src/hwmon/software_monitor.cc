#include "seer/hwmon/software_monitor.h"

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "hwmon/software_target.h"

SEER_BEGIN_NAMESPACE

using internal::NodeSource;
using internal::NodeTotals;
using internal::TargetSource;
using internal::TargetTotals;

namespace {

std::int64_t SteadyNs() {
  timespec t;
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<std::int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

HwSignal Unavailable(Reason reason, Scope scope) {
  HwSignal signal;
  signal.reason = reason == Reason::kNone ? Reason::kNotObserved : reason;
  signal.scope = scope;
  return signal;
}

HwSignal Value(double value, Scope scope) {
  HwSignal signal;
  signal.value = value;
  signal.quality = Quality::kOk;
  signal.reason = Reason::kNone;
  signal.scope = scope;
  return signal;
}

HwSignal ShareOf(double part, double whole, Scope scope) {
  if (!(whole > 0)) return Unavailable(Reason::kNotObserved, scope);
  return Value(std::clamp(part / whole, 0.0, 1.0), scope);
}

HwSignal Share(const Reading& part, const Reading& whole, Scope scope) {
  if (!part.ok()) return Unavailable(part.reason, scope);
  if (!whole.ok()) return Unavailable(whole.reason, scope);
  return ShareOf(static_cast<double>(part.value), static_cast<double>(whole.value), scope);
}

HwSignal ShareOfInterval(const Reading& us, double interval_us, Scope scope) {
  if (!us.ok()) return Unavailable(us.reason, scope);
  return ShareOf(static_cast<double>(us.value), interval_us, scope);
}

Reading InUs(const Reading& ns) { return ns.ok() ? Reading::Of(ns.value / 1000) : ns; }

// A stall time that is larger than the interval tells of another interval, or of nothing: PSI's
// totals are brought up to date every two seconds where nobody is there to do it.
Reading AtMost(const Reading& us, double interval_us) {
  if (!us.ok() || static_cast<double>(us.value) <= interval_us) return us;
  return Reading::Of(static_cast<std::uint64_t>(interval_us));
}

void FillCpu(const SoftwareDetail& detail, const Reading& used_us, double interval_us,
             double processors, Scope scope, ResourceReading* out) {
  out->delay_us = ToSignal(detail.run_delay_us, scope);
  double may_use = processors;
  const bool limited = detail.cpu_limit_millis.ok() && !detail.cpu_limit_millis.unlimited();
  if (limited) {
    may_use = std::min(may_use, static_cast<double>(detail.cpu_limit_millis.value) / 1000);
  }
  out->utilisation = ShareOfInterval(used_us, interval_us * may_use, scope);
  const bool counts_periods = detail.periods.ok() && detail.throttled_periods.ok();
  if (limited && counts_periods && detail.periods.value > 0) {
    out->saturation = Share(detail.throttled_periods, detail.periods, Scope::kCgroup);
  } else {
    out->saturation =
        Share(detail.run_delay_us, Sum(detail.run_delay_us, detail.run_us), Scope::kProcess);
    // It neither ran nor wanted to.
    if (detail.run_delay_us == Reading::Of(0) && detail.run_us == Reading::Of(0)) {
      out->saturation = Value(0, Scope::kProcess);
    }
  }
}

void FillMemoryAndStorage(const SoftwareDetail& detail, double interval_us,
                          ResourceReadings* instance) {
  ResourceReading& memory = (*instance)[Resource::kMemoryCapacity];
  ResourceReading& storage = (*instance)[Resource::kStorage];
  memory.delay_us = ToSignal(detail.memory_stall_us, Scope::kCgroup);
  memory.saturation = ShareOfInterval(detail.memory_stall_us, interval_us, Scope::kCgroup);
  storage.delay_us = ToSignal(detail.storage_stall_us, Scope::kCgroup);
  storage.saturation = ShareOfInterval(detail.storage_stall_us, interval_us, Scope::kCgroup);
  storage.utilisation = Unavailable(Reason::kNotSupported, Scope::kCgroup);
  const bool limited = detail.memory_limit_bytes.ok() && !detail.memory_limit_bytes.unlimited();
  memory.utilisation =
      limited ? Share(detail.memory_bytes, detail.memory_limit_bytes, Scope::kCgroup)
              : Unavailable(detail.memory_limit_bytes.ok() ? Reason::kNotSupported
                                                           : detail.memory_limit_bytes.reason,
                            Scope::kCgroup);
  constexpr double kFull = 0.9;
  if (!memory.utilisation.usable() || memory.utilisation.value < kFull || !detail.refaults.ok() ||
      detail.refaults.value == 0 || !memory.delay_us.usable() || !storage.delay_us.usable()) {
    return;
  }
  // A task that refaults waits for memory and for storage at the same time, and PSI counts it in
  // both: not their sum.
  memory.delay_us.value = std::max(memory.delay_us.value, storage.delay_us.value);
  memory.saturation.value = std::max(memory.saturation.value, storage.saturation.value);
  storage.delay_us = Unavailable(Reason::kNotObserved, Scope::kCgroup);
  storage.saturation = Unavailable(Reason::kNotObserved, Scope::kCgroup);
}

// Where nothing tells how long the instance itself waited (its cgroup is the root, as without
// privileges on some machines, or has no PSI): if hardly anybody on the node did, neither did it.
// So little that it is no rise by the default rules of attribution.h, of five requests in 100 ms.
void BoundByNode(const ResourceReadings& node, double interval_us, ResourceReadings* instance) {
  constexpr double kHardly = 0.002;
  for (const Resource resource : {Resource::kMemoryCapacity, Resource::kStorage}) {
    const ResourceReading& everybody = node[resource];
    ResourceReading& own = (*instance)[resource];
    if (own.delay_us.usable() || !everybody.delay_us.usable()) continue;
    if (everybody.delay_us.value > kHardly * interval_us) continue;
    own.delay_us = everybody.delay_us;
    own.saturation = everybody.saturation;
  }
}

void FillNetwork(const Reading& before, const Reading& now, const Reading& dropped,
                 double interval_us, Scope scope, ResourceReading* out) {
  out->utilisation = Unavailable(Reason::kNotSupported, scope);
  if (!before.ok() || !now.ok()) {
    const Reason reason = now.ok() ? before.reason : now.reason;
    out->delay_us = out->saturation = Unavailable(reason, scope);
    return;
  }
  const auto standing = static_cast<double>(std::min(before.value, now.value));
  out->delay_us = Value(standing * interval_us, scope);
  const bool drops = dropped.ok() && dropped.value > 0;
  out->saturation = Value(standing > 0 ? 1 : drops || now.value > 0 ? 0.5 : 0, scope);
}

void FillNode(const NodeTotals& before, const NodeTotals& now, std::size_t disks,
              SoftwareDetail* detail, ResourceReadings* node) {
  const double interval_us = static_cast<double>(now.at_ns - before.at_ns) / 1000;
  const auto pressure = [&](const Pressure& then, const Pressure& at, ResourceReading* out) {
    const Reading us = AtMost(Delta(then.some_us, at.some_us), interval_us);
    out->delay_us = ToSignal(us, Scope::kHost);
    out->saturation = ShareOfInterval(us, interval_us, Scope::kHost);
  };
  ResourceReading& cpu = (*node)[Resource::kCpu];
  pressure(before.pressure.cpu, now.pressure.cpu, &cpu);
  const Reading busy = Delta(before.cpu.busy_us, now.cpu.busy_us);
  detail->steal_us = Delta(before.cpu.steal_us, now.cpu.steal_us);
  const Reading wanted = detail->steal_us.ok() ? Sum(busy, detail->steal_us) : busy;
  cpu.utilisation = Share(wanted, Delta(before.cpu.total_us, now.cpu.total_us), Scope::kHost);
  // What the hypervisor gave to others was waited for, too, and PSI does not know.
  const HwSignal stolen = Share(detail->steal_us, wanted, Scope::kHost);
  if (stolen.usable() && cpu.saturation.usable() && stolen.value > cpu.saturation.value) {
    cpu.saturation = stolen;
  }

  ResourceReading& memory = (*node)[Resource::kMemoryCapacity];
  pressure(before.pressure.memory, now.pressure.memory, &memory);
  memory.utilisation = Unavailable(Reason::kNotObserved, Scope::kHost);

  ResourceReading& storage = (*node)[Resource::kStorage];
  pressure(before.pressure.io, now.pressure.io, &storage);
  Reading most_busy;
  for (std::size_t i = 0; i < disks; ++i) {
    const Reading disk_busy = Delta(before.disks[i].busy_ms, now.disks[i].busy_ms);
    if (!disk_busy.ok()) {
      if (!most_busy.ok()) most_busy = disk_busy;
      continue;
    }
    if (most_busy.ok() && disk_busy.value <= most_busy.value) continue;
    most_busy = disk_busy;
    detail->disk_in_flight = now.disks[i].in_flight;
    const Reading done = Delta(before.disks[i].completed, now.disks[i].completed);
    const Reading waited = Delta(before.disks[i].wait_ms, now.disks[i].wait_ms);
    if (done.ok() && waited.ok() && done.value > 0) {
      detail->disk_await_us = Reading::Of(waited.value * 1000 / done.value);
    } else {
      detail->disk_await_us = Reading::Not(Reason::kNotObserved);
    }
  }
  storage.utilisation = most_busy.ok() ? ShareOf(static_cast<double>(most_busy.value) * 1000,
                                                 interval_us, Scope::kHost)
                                       : Unavailable(most_busy.reason, Scope::kHost);

  ResourceReading& network = (*node)[Resource::kNetwork];
  detail->node_dropped_packets = Delta(before.softnet.dropped_packets, now.softnet.dropped_packets);
  FillNetwork(before.queue.backlog_packets, now.queue.backlog_packets, detail->node_dropped_packets,
              interval_us, Scope::kHost, &network);
  if (now.nic_limit_bytes.ok()) {
    network.utilisation = Share(now.nic_inflight_bytes, now.nic_limit_bytes, Scope::kHost);
  }
}

}  // namespace

struct SoftwareMonitor::State {
  explicit State(SoftwareMonitorOptions given) : options(std::move(given)), node(options) {
    if (options.max_targets == 0) options.max_targets = 1;
    processors = options.processors;
    if (processors <= 0) {
      const long online = ::sysconf(_SC_NPROCESSORS_ONLN);
      processors = online > 0 ? static_cast<int>(online) : 1;
    }
  }

  static bool IsSame(const HwTarget& a, const HwTarget& b) {
    return a.kind == b.kind && a.pid == b.pid && a.start_time == b.start_time &&
           a.cgroup == b.cgroup;
  }
  auto Find(const HwTarget& target) {
    return std::find_if(targets.begin(), targets.end(),
                        [&](const auto& source) { return IsSame(source->target(), target); });
  }
  absl::StatusOr<TargetSource*> FindOrOpen(const HwTarget& target) {
    if (const auto at = Find(target); at != targets.end()) return at->get();
    auto source = TargetSource::Open(target, options);
    if (!source.ok()) return source.status();
    if (targets.size() >= options.max_targets) {
      targets.erase(
          std::min_element(targets.begin(), targets.end(),
                           [](const auto& a, const auto& b) { return a->used < b->used; }));
    }
    targets.push_back(*std::move(source));
    return targets.back().get();
  }

  SoftwareMonitorOptions options;
  int processors = 1;
  NodeSource node;
  std::vector<std::unique_ptr<TargetSource>> targets;
  std::uint64_t uses = 0;
};

SoftwareMonitor::SoftwareMonitor(SoftwareMonitorOptions options)
    : state_(std::make_unique<State>(std::move(options))) {}
SoftwareMonitor::~SoftwareMonitor() = default;

std::size_t SoftwareMonitor::targets() const { return state_->targets.size(); }

void SoftwareMonitor::Forget(const HwTarget& target) {
  if (const auto at = state_->Find(target); at != state_->targets.end()) state_->targets.erase(at);
}

absl::Status SoftwareMonitor::Read(const HwTarget& target, HwReading* reading) {
  State& state = *state_;
  ClearReading(target, reading);
  last_ = SoftwareDetail();
  if (absl::Status status = CheckTarget(target); !status.ok()) return status;
  const Clock* const clock = state.options.clock;
  const std::int64_t steady_ns = clock != nullptr ? clock->NowNs() : SteadyNs();
  absl::StatusOr<TargetSource*> found = state.FindOrOpen(target);
  if (!found.ok()) return found.status();
  TargetSource& source = **found;
  source.used = ++state.uses;

  const NodeTotals& node = state.node.Sample(steady_ns);
  TargetTotals now;
  if (!source.Sample(steady_ns, node, &now)) {
    Forget(target);
    return absl::NotFoundError(ToString(target) + ": ended; name one that runs");
  }
  reading->end_ns = clock != nullptr ? steady_ns : SystemClock().NowNs();
  const std::int64_t interval_ns = steady_ns - source.at_ns;
  const bool first = source.at_ns == 0 || interval_ns <= 0;
  const TargetTotals& before = source.before;

  SoftwareDetail& detail = last_;
  detail.cpu_limit_millis = now.cgroup.cpu_limit_millis;
  detail.memory_bytes = now.cgroup.memory_bytes;
  detail.memory_limit_bytes = now.cgroup.memory_limit_bytes;
  detail.backlog_packets = now.queue.backlog_packets;
  detail.accept_backlog = now.sockets.accept_backlog;
  detail.accept_limit = now.sockets.accept_limit;
  detail.unread_bytes = now.sockets.unread_bytes;
  detail.unsent_bytes = now.sockets.unsent_bytes;
  detail.threads = now.threads;
  detail.processes = now.processes;
  if (!first) {
    reading->interval_ns = interval_ns;
    const double interval_us = static_cast<double>(interval_ns) / 1000;
    detail.run_us = InUs(Delta(before.run_ns, now.run_ns));
    detail.run_delay_us = InUs(Delta(before.run_delay_ns, now.run_delay_ns));
    detail.throttled_us = Delta(before.cgroup.throttled_us, now.cgroup.throttled_us);
    detail.periods = Delta(before.cgroup.periods, now.cgroup.periods);
    detail.throttled_periods = Delta(before.cgroup.throttled_periods, now.cgroup.throttled_periods);
    detail.refaults = Delta(before.cgroup.refaults, now.cgroup.refaults);
    detail.major_faults = Delta(before.major_faults, now.major_faults);
    detail.memory_stall_us =
        AtMost(Delta(before.cgroup.pressure.memory.some_us, now.cgroup.pressure.memory.some_us),
               interval_us);
    detail.storage_stall_us = AtMost(
        Delta(before.cgroup.pressure.io.some_us, now.cgroup.pressure.io.some_us), interval_us);
    detail.dropped_packets = Delta(before.queue.dropped_packets, now.queue.dropped_packets);
    if (target.kind != HwTarget::Kind::kHost) {
      int processors = state.processors;
      if (source.allowed_processors() > 0) {
        processors = std::min(processors, source.allowed_processors());
      }
      const bool whole_cgroup = target.kind == HwTarget::Kind::kCgroup;
      // Kernels differ in whether a thread that the quota stopped waits to run (6.18: it does not).
      // What kept the cgroup from running kept its threads from running.
      if (detail.throttled_us.ok() && detail.run_delay_us.ok() &&
          detail.throttled_us.value > detail.run_delay_us.value) {
        detail.run_delay_us = detail.throttled_us;
      }
      Reading used = detail.run_us;
      if (const Reading of_all = Delta(before.cgroup.cpu_usage_us, now.cgroup.cpu_usage_us);
          whole_cgroup && of_all.ok()) {
        used = of_all;
      }
      FillCpu(detail, used, interval_us, processors, source.cpu_scope(),
              &reading->instance[Resource::kCpu]);
      FillMemoryAndStorage(detail, interval_us, &reading->instance);
      FillNetwork(before.queue.backlog_packets, now.queue.backlog_packets, detail.dropped_packets,
                  interval_us, source.shares_network() ? Scope::kHost : source.cpu_scope(),
                  &reading->instance[Resource::kNetwork]);
    }
    if (node.at_ns > source.node_before.at_ns && source.node_before.at_ns != 0) {
      FillNode(source.node_before, node, state.node.disks(), &detail, &reading->node);
      if (target.kind != HwTarget::Kind::kHost && !detail.memory_stall_us.ok() &&
          !detail.storage_stall_us.ok()) {
        BoundByNode(reading->node, interval_us, &reading->instance);
      }
    }
  }
  source.before = now;
  source.node_before = node;
  source.at_ns = steady_ns;
  return absl::OkStatus();
}

SEER_END_NAMESPACE
