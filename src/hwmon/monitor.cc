#include "seer/hwmon/monitor.h"

#include <cmath>
#include <cstring>
#include <exception>
#include <utility>

#include "absl/strings/str_cat.h"

SEER_BEGIN_NAMESPACE
namespace {

// By its bits: a host may compile us with -ffast-math, which makes std::isfinite() always true.
bool IsFinite(double value) {
  constexpr std::uint64_t kExponent = 0x7ff0000000000000u;
  std::uint64_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return (bits & kExponent) != kExponent;
}

void Mend(HwSignal* signal, bool is_share) {
  if (static_cast<std::size_t>(signal->quality) >= kQualities ||
      static_cast<std::size_t>(signal->reason) >= kReasons ||
      static_cast<std::size_t>(signal->scope) >= kScopes) {
    *signal = HwSignal();
    signal->reason = Reason::kMalformed;
    return;
  }
  if (signal->quality == Quality::kUnavailable) {
    signal->value = 0;
    if (signal->reason == Reason::kNone) signal->reason = Reason::kNotObserved;
    return;
  }
  if (!IsFinite(signal->value) || signal->value < 0) {
    signal->value = 0;
    signal->quality = Quality::kUnavailable;
    signal->reason = Reason::kImplausible;
  } else if (is_share && signal->value > 1) {
    signal->value = 1;
  }
}

void Mend(HwReading* reading) {
  for (ResourceReadings* readings : {&reading->instance, &reading->node}) {
    for (ResourceReading& resource : readings->by_resource) {
      Mend(&resource.delay_us, /*is_share=*/false);
      Mend(&resource.utilisation, /*is_share=*/true);
      Mend(&resource.saturation, /*is_share=*/true);
    }
  }
  if (reading->interval_ns < 0) reading->interval_ns = 0;
}

}  // namespace

HwTarget HwTarget::OfProcess(std::int32_t pid) {
  HwTarget target;
  target.kind = Kind::kProcess;
  target.pid = pid;
  return target;
}

HwTarget HwTarget::OfCgroup(std::string path) {
  HwTarget target;
  target.kind = Kind::kCgroup;
  target.cgroup = std::move(path);
  return target;
}

absl::StatusOr<HwTarget> HwTarget::OfInstance(const Topology& topology, InstanceId instance) {
  if (!instance.valid() || instance.index() >= topology.instances().size() ||
      topology.instance(instance).removed) {
    return absl::NotFoundError("instance: the topology has no such instance; take one of its own");
  }
  const Instance& of = topology.instance(instance);
  HwTarget target;
  if (!of.cgroup.empty() && of.cgroup != "/") {
    target = OfCgroup(of.cgroup.front() == '/' ? of.cgroup : "/" + of.cgroup);
  } else if (!of.pids.empty()) {
    target = OfProcess(of.pids.front());
  } else {
    return absl::FailedPreconditionError(
        absl::StrCat("instance ", of.name,
                     ": neither its cgroup nor a process of it is known: set one in the topology"));
  }
  target.instance = instance;
  target.origin = topology.origin();
  if (absl::Status status = CheckTarget(target); !status.ok()) return status;
  return target;
}

absl::Status CheckTarget(const HwTarget& target) {
  switch (target.kind) {
    case HwTarget::Kind::kHost:
      return absl::OkStatus();
    case HwTarget::Kind::kProcess:
      if (target.pid > 0) return absl::OkStatus();
      return absl::InvalidArgumentError(
          absl::StrCat("target.pid: no process has the pid ", target.pid, ": give a positive one"));
    case HwTarget::Kind::kCgroup: {
      const std::string& path = target.cgroup;
      if (path.empty() || path.front() != '/' || path.size() > kMaxCgroupPath ||
          path.find('\0') != std::string::npos || (path + "/").find("/../") != std::string::npos) {
        return absl::InvalidArgumentError(
            "target.cgroup: not a path below the root of the hierarchy: begin with '/', without "
            "'..', as /proc/PID/cgroup shows it");
      }
      return absl::OkStatus();
    }
  }
  return absl::InvalidArgumentError("target.kind: unknown: use one of HwTarget::Kind");
}

std::string ToString(const HwTarget& target) {
  switch (target.kind) {
    case HwTarget::Kind::kProcess:
      return absl::StrCat("process ", target.pid);
    case HwTarget::Kind::kCgroup:
      return absl::StrCat("cgroup ", target.cgroup);
    case HwTarget::Kind::kHost:
      break;
  }
  return "host";
}

void ClearReading(const HwTarget& target, HwReading* reading) {
  reading->origin = target.origin;
  reading->target = target.instance;
  reading->end_ns = 0;
  reading->interval_ns = 0;
  reading->requests = 0;
  reading->instance = ResourceReadings();
  reading->node = ResourceReadings();
  for (ResourceReading& resource : reading->node.by_resource) {
    resource.delay_us.scope = Scope::kHost;
    resource.utilisation.scope = Scope::kHost;
    resource.saturation.scope = Scope::kHost;
  }
}

absl::Status NullMonitor::Read(const HwTarget& target, HwReading* reading) {
  ClearReading(target, reading);
  return absl::OkStatus();
}

absl::Status ReadGuarded(HwMonitor& monitor, const HwTarget& target, HwReading* reading) {
  absl::Status status = CheckTarget(target);
  if (status.ok()) {
    try {
      status = monitor.Read(target, reading);
    } catch (const std::exception& e) {
      status = absl::UnknownError(absl::StrCat("HwMonitor::Read threw: ", e.what()));
    } catch (...) {
      status = absl::UnknownError("HwMonitor::Read threw something that is no std::exception");
    }
  }
  if (!status.ok()) {
    ClearReading(target, reading);
    return status;
  }
  Mend(reading);
  return status;
}

bool IsQuota(const ResourceReading& instance_cpu) {
  constexpr double kShareOfPeriods = 0.1;
  return instance_cpu.saturation.usable() && instance_cpu.saturation.scope == Scope::kCgroup &&
         instance_cpu.saturation.value > kShareOfPeriods;
}

SEER_END_NAMESPACE
