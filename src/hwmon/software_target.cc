#include "hwmon/software_target.h"

#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "hwmon/files.h"
#include "seer/core/internal/strings.h"

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

constexpr std::size_t kMaxNics = 4;

QueueTotals QueueOf(const std::vector<DeviceDepths>& devices) {
  QueueTotals totals;
  totals.backlog_packets = PacketsWaitingIn(devices, /*exclusive=*/false).packets;
  totals.dropped_packets = Reading::Of(0);
  for (const DeviceDepths& device : devices) {
    totals.dropped_packets = Sum(totals.dropped_packets, device.dropped_packets);
  }
  return totals;
}

QueueTotals NoQueue(Reason reason) { return {Reading::Not(reason), Reading::Not(reason)}; }

// The whole hierarchy's own directory says nothing about one of its processes.
void DropRoot(CgroupPaths::Directory* directory) {
  const std::string_view path = directory->path, mount = directory->mount;
  if (path == mount || (path.size() == mount.size() + 1 && path.back() == '/')) *directory = {};
}

}  // namespace

NodeSource::NodeSource(const SoftwareMonitorOptions& options)
    : max_age_ns_(options.node_max_age_ns),
      nics_every_ns_(options.rescan_ns),
      cpu_(options.root),
      pressure_(PressureProbe::OfHost(options.root)),
      softnet_(options.root) {
  for (const std::string& disk : DiskProbe::Disks(options.root)) {
    if (disks_.size() == kMaxNodeDisks) break;
    disks_.emplace_back(disk, options.root);
  }
  if (!options.network) return;
  absl::StatusOr<NetProbe> net = NetProbe::Open();
  if (!net.ok()) {
    net_reason_ = ReasonOfStatus(net.status());
    return;
  }
  net_ = *std::move(net);
  if (!net_->Sample(&devices_).ok()) return;
  for (const DeviceDepths& device : devices_) {
    if (nics_.size() == kMaxNics) break;
    if (device.name().empty() || device.name() == "lo") continue;
    nics_.emplace_back(std::string(device.name()), options.root);
  }
  net_->set_names(false);
}

const NodeTotals& NodeSource::Sample(std::int64_t steady_ns) {
  if (totals_.at_ns != 0 && steady_ns - totals_.at_ns < max_age_ns_ && steady_ns >= totals_.at_ns) {
    return totals_;
  }
  totals_.at_ns = steady_ns;
  totals_.cpu = cpu_.Sample();
  totals_.pressure = pressure_.Sample();
  totals_.queue = NoQueue(net_reason_);
  if (net_.has_value()) {
    const absl::Status status = net_->Sample(&devices_);
    totals_.queue = status.ok() ? QueueOf(devices_) : NoQueue(ReasonOfStatus(status));
  }
  for (std::size_t i = 0; i < disks_.size(); ++i) totals_.disks[i] = disks_[i].Sample();
  // What a card holds is known by its driver, which may take its time: not at every tick.
  if (nics_at_ns_ != 0 && steady_ns - nics_at_ns_ < nics_every_ns_ && steady_ns >= nics_at_ns_) {
    return totals_;
  }
  nics_at_ns_ = steady_ns;
  totals_.softnet = softnet_.Sample();  // only its drops are looked at, which are counted
  totals_.nic_inflight_bytes = totals_.nic_limit_bytes = Reading::Not(Reason::kNotSupported);
  for (NicProbe& nic : nics_) {
    const NicDepths depths = nic.Sample();
    if (!depths.inflight_bytes.ok() || !depths.inflight_limit_bytes.ok()) continue;
    const auto add = [](const Reading& more, Reading* total) {
      *total = total->ok() ? Sum(*total, more) : more;
    };
    add(depths.inflight_bytes, &totals_.nic_inflight_bytes);
    add(depths.inflight_limit_bytes, &totals_.nic_limit_bytes);
  }
  return totals_;
}

absl::StatusOr<std::unique_ptr<TargetSource>> TargetSource::Open(
    const HwTarget& target, const SoftwareMonitorOptions& options) {
  std::unique_ptr<TargetSource> source(new TargetSource(target, options));
  absl::Status status;
  if (target.kind == HwTarget::Kind::kProcess) status = source->OpenProcess();
  if (target.kind == HwTarget::Kind::kCgroup) status = source->OpenCgroup();
  if (!status.ok()) return status;
  return source;
}

bool TargetSource::AddProcess(pid_t pid, std::uint64_t start_time) {
  TaskProbeOptions options;
  options.root = options_.root;
  options.start_time = start_time;
  absl::StatusOr<TaskProbe> probe = TaskProbe::Open(pid, options);
  if (!probe.ok()) {
    if (tasks_reason_ != Reason::kNone) tasks_reason_ = ReasonOfStatus(probe.status());
    return false;
  }
  tasks_reason_ = Reason::kNone;
  processes_.push_back({pid, *std::move(probe)});
  // What it did before is not of our time: the counters of the threads start now, those of the
  // process must be told apart.
  Process& process = processes_.back();
  const TaskTimes times = process.probe.Sample();
  process.run_ns = times.run_ns.value;
  process.run_delay_ns = times.run_delay_ns.value;
  process.major_faults = times.major_faults.value;
  return true;
}

absl::Status TargetSource::OpenProcess() {
  if (!AddProcess(target_.pid, target_.start_time)) {
    return absl::NotFoundError(
        absl::StrCat("target.pid: no process ", target_.pid, " is to be read here (",
                     ToAbsl(ReasonName(tasks_reason_)), "): name one that runs"));
  }
  if (absl::StatusOr<CgroupPaths> paths = FindCgroups(target_.pid, options_.root); paths.ok()) {
    for (CgroupPaths::Directory* d :
         {&paths->unified, &paths->cpu, &paths->cpuacct, &paths->memory}) {
      DropRoot(d);
    }
    cgroup_.emplace(*paths);
    cgroup2_id_ = CgroupId(paths->unified.path).value;
  }
  LookAtAffinity(target_.pid);
  OpenNetwork(target_.pid);
  return absl::OkStatus();
}

absl::Status TargetSource::OpenCgroup() {
  absl::StatusOr<CgroupPaths> paths =
      FindCgroups(options_.root.empty() ? ::getpid() : 1, options_.root);
  if (!paths.ok()) return paths.status();
  for (CgroupPaths::Directory* d :
       {&paths->cpu, &paths->cpuacct, &paths->memory, &paths->unified}) {
    if (d->mount.empty()) continue;
    d->path = d->mount + target_.cgroup;
    const Reading id = CgroupId(d->path);
    if (!id.ok()) {
      *d = {};
    } else if (first_directory_.empty()) {
      first_directory_ = d->path;
      directory_id_ = id.value;
    }
  }
  if (first_directory_.empty()) {
    return absl::NotFoundError(absl::StrCat("target.cgroup: no hierarchy that is mounted here has ",
                                            target_.cgroup, ": name one that exists"));
  }
  members_ = first_directory_ + "/cgroup.procs";
  cgroup_.emplace(*paths);
  cgroup2_id_ = CgroupId(paths->unified.path).value;
  Rescan(1);
  return absl::OkStatus();
}

void TargetSource::OpenNetwork(pid_t pid) {
  network_known_ = true;
  if (!options_.network) {
    net_reason_ = Reason::kNotObserved;
    return;
  }
  struct stat ours, theirs;
  const std::string path = absl::StrCat(options_.root, "/proc/", pid, "/ns/net");
  if (::stat(path.c_str(), &theirs) != 0 || ::stat("/proc/self/ns/net", &ours) != 0) {
    // It may have one of its own: what is in ours then says nothing.
    net_reason_ = options_.root.empty() ? Reason::kPermission : Reason::kNone;
    return;
  }
  if (ours.st_ino == theirs.st_ino && ours.st_dev == theirs.st_dev) return OpenSockets("");
  OpenSockets(path);
  absl::StatusOr<NetProbe> net = NetProbe::OpenInNamespace(path);
  if (net.ok()) {
    net_ = *std::move(net);
    net_->set_names(false);
  } else {
    net_reason_ = ReasonOfStatus(net.status());
  }
}

// `space` is empty where it lives in our network namespace.
void TargetSource::OpenSockets(const std::string& space) {
  if (!options_.sockets) return;
  if (cgroup2_id_ == 0 && space.empty()) {
    sockets_reason_ = Reason::kNotSupported;  // nothing tells its sockets from those of others
    return;
  }
  SocketProbeOptions wanted;
  if (cgroup2_id_ != 0) wanted.cgroups = {cgroup2_id_};
  absl::StatusOr<SocketProbe> probe =
      space.empty() ? SocketProbe::Open(wanted) : SocketProbe::OpenInNamespace(space, wanted);
  sockets_reason_ = ReasonOfStatus(probe.status());
  if (probe.ok()) sockets_ = *std::move(probe);
}

void TargetSource::SampleSockets(std::int64_t steady_ns) {
  if (sockets_ns_ != 0 && steady_ns - sockets_ns_ < options_.sockets_every_ns &&
      steady_ns >= sockets_ns_) {
    return;
  }
  sockets_ns_ = steady_ns;
  Reason reason = sockets_reason_;
  if (sockets_.has_value()) reason = ReasonOfStatus(sockets_->Sample(&ports_));
  if (reason != Reason::kNone) {
    const Reading none = Reading::Not(reason);
    socket_totals_ = {none, none, none, none};
    return;
  }
  const Reading zero = Reading::Of(0);
  socket_totals_ = {zero, zero, zero, zero};
  const auto add = [](std::uint64_t more, Reading* to) { *to = Sum(*to, Reading::Of(more)); };
  for (const PortDepths& port : ports_) {
    add(port.accept_backlog, &socket_totals_.accept_backlog);
    add(port.accept_limit, &socket_totals_.accept_limit);
    add(port.unread_bytes, &socket_totals_.unread_bytes);
    add(port.unsent_bytes, &socket_totals_.unsent_bytes);
  }
}

void TargetSource::LookAtAffinity(pid_t pid) {
  if (!options_.root.empty()) return;
  // Sized for machines with more processors than a cpu_set_t has.
  std::array<unsigned long, 128> mask = {};
  if (::sched_getaffinity(pid, sizeof(mask), reinterpret_cast<cpu_set_t*>(mask.data())) != 0)
    return;
  allowed_ = CPU_COUNT_S(sizeof(mask), reinterpret_cast<const cpu_set_t*>(mask.data()));
}

void TargetSource::Rescan(std::int64_t steady_ns) {
  scanned_ns_ = steady_ns;
  constexpr std::size_t kMost = 65536;
  std::string text;
  const Reason reason = ReadFront(members_, kMost, &text);
  std::string_view rest = text, line;
  std::vector<pid_t> pids;
  while (pids.size() < options_.max_processes && TakeLine(&rest, &line)) {
    pid_t pid = 0;
    const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), pid);
    if (error == std::errc() && end == line.data() + line.size() && pid > 0) pids.push_back(pid);
  }
  if (reason != Reason::kNone) {
    if (processes_.empty()) tasks_reason_ = reason;
    return;
  }
  // An empty cgroup uses no processor: that is known, not missing.
  if (pids.empty()) tasks_reason_ = Reason::kNone;
  processes_.erase(std::remove_if(processes_.begin(), processes_.end(),
                                  [&](const Process& process) {
                                    return std::find(pids.begin(), pids.end(), process.pid) ==
                                           pids.end();
                                  }),
                   processes_.end());
  for (const pid_t pid : pids) {
    const auto is_it = [pid](const Process& process) { return process.pid == pid; };
    if (std::none_of(processes_.begin(), processes_.end(), is_it)) AddProcess(pid, 0);
  }
  if (processes_.empty()) return;
  LookAtAffinity(processes_.front().pid);
  if (!network_known_) OpenNetwork(processes_.front().pid);
}

bool TargetSource::Sample(std::int64_t steady_ns, const NodeTotals& node, TargetTotals* totals) {
  *totals = TargetTotals();
  if (target_.kind == HwTarget::Kind::kHost) return true;
  if (target_.kind == HwTarget::Kind::kCgroup) {
    const Reading id = CgroupId(first_directory_);
    if (!id.ok() || id.value != directory_id_) return false;
    if (steady_ns - scanned_ns_ >= options_.rescan_ns || steady_ns < scanned_ns_) {
      Rescan(steady_ns);
    }
  }
  if (target_.kind == HwTarget::Kind::kProcess &&
      (steady_ns - scanned_ns_ >= options_.rescan_ns || steady_ns < scanned_ns_)) {
    scanned_ns_ = steady_ns;
    LookAtAffinity(target_.pid);  // its cpuset may have changed
  }
  Reason reason = tasks_reason_;
  bool any_gone = false;
  for (Process& process : processes_) {
    const TaskTimes times = process.probe.Sample();
    if (!times.run_ns.ok() || !times.run_delay_ns.ok()) {
      if (times.run_ns.reason == Reason::kVanished) {
        any_gone = true;
      } else {
        reason = times.run_ns.reason;
      }
      continue;
    }
    const auto more = [](const Reading& now, std::uint64_t* then) {
      const std::uint64_t delta = now.ok() && now.value > *then ? now.value - *then : 0;
      if (now.ok()) *then = now.value;
      return delta;
    };
    run_ns_ += more(times.run_ns, &process.run_ns);
    run_delay_ns_ += more(times.run_delay_ns, &process.run_delay_ns);
    major_faults_ += more(times.major_faults, &process.major_faults);
    totals->threads += times.threads;
    ++totals->processes;
  }
  if (any_gone) {
    if (target_.kind == HwTarget::Kind::kProcess) return false;
    scanned_ns_ = std::numeric_limits<std::int64_t>::min() / 2;  // look again the next time
  }
  const auto total = [&](std::uint64_t value) {
    return reason == Reason::kNone ? Reading::Of(value) : Reading::Not(reason);
  };
  totals->run_ns = total(run_ns_);
  totals->run_delay_ns = total(run_delay_ns_);
  totals->major_faults = total(major_faults_);
  if (cgroup_.has_value()) {
    const bool all =
        detail_ns_ == 0 || steady_ns - detail_ns_ >= options_.rescan_ns || steady_ns < detail_ns_;
    if (all) detail_ns_ = steady_ns;
    totals->cgroup = all ? cgroup_->Sample() : cgroup_->SampleQuickly();
  }
  if (net_reason_ != Reason::kNone) {
    totals->queue = NoQueue(net_reason_);
  } else if (net_.has_value()) {
    const absl::Status status = net_->Sample(&devices_);
    totals->queue = status.ok() ? QueueOf(devices_) : NoQueue(ReasonOfStatus(status));
  } else {
    totals->queue = node.queue;
  }
  SampleSockets(steady_ns);
  totals->sockets = socket_totals_;
  return true;
}

}  // namespace internal
SEER_END_NAMESPACE
