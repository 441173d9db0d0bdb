// Flow: culprit -> [HwMonitor] -> HwReading -> advise/
//
// Who can say how the shared resources treat one service instance: the kernel's own accounts
// (software_monitor.h), hardware counters (counter_monitor.h), microbenchmarks (probe_monitor.h),
// another node's agent (remote_monitor.h), or a host's own class, for which this is all there is:
//
//   class GpuAwareMonitor final : public seer::HwMonitor {
//    public:
//     absl::Status Read(const seer::HwTarget& target, seer::HwReading* reading) override { ... }
//   };
//
//   seer::HwReading reading;
//   absl::Status status = seer::ReadGuarded(monitor, target, &reading);
//   reading.requests = handled_meanwhile;           // the caller knows; monitors do not
//
// A Read tells what happened to the target since the same monitor's last Read of it. The first one
// opens what there is to open: its interval is 0, and what accumulates over time is kNotObserved.
//
// What the signals of an instance mean, for every monitor of this room:
//
//   cpu                delay_us: ready to run, but not running, summed over threads; what a quota
//                      held back is part of it. utilisation: processor time used, of what the
//                      quota or the machine allows. saturation: where a quota is in force the share
//                      of its periods that ran out of it, scope kCgroup; else waiting / (waiting +
//                      running), scope kProcess. So IsQuota() can tell the two apart.
//   cache              delay_us: stalls on lines that came from memory at its idle latency
//   memory-bandwidth   delay_us: memory stalls beyond that: the same misses, but each took longer.
//                      A monitor that cannot tell the two apart says all of it under cache, and
//                      kNotObserved here.
//   memory-capacity    delay_us: stalls on reclaim and refaults, and on the storage that these
//                      caused. utilisation: memory in use, of the limit.
//   network            delay_us: packets' waiting time in the queueing discipline, added up
//   storage            delay_us: some task waited for storage
//
// Those of the node say the same of everybody on it; its delays are pressure stall times (PSI), in
// which at least one task stood still.
//
// Threads: a monitor is used by one thread at a time. Cost: each monitor's own. A Read may take
//          as long as a tick, not longer.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "seer/core/config.h"
#include "seer/core/hw_reading.h"
#include "seer/core/ids.h"
#include "seer/core/topology.h"

SEER_BEGIN_NAMESPACE

struct HwTarget {
  enum class Kind : std::uint8_t {
    kHost,     // the node alone: the instance's signals stay kNotObserved
    kProcess,  // all threads of a process, and the cgroup it lives in unless that is the root
    kCgroup,   // all that runs in a cgroup
  };
  Kind kind = Kind::kHost;
  std::int32_t pid = 0;          // kProcess
  std::uint64_t start_time = 0;  // kProcess: TaskProbe::start_time(), so that no later process with
                                 // the same pid is read; 0: any
  std::string cgroup;            // kCgroup: its path below the root of each hierarchy, "/pods/a1"
  InstanceId instance;           // copied into the reading
  Origin origin;                 // whose number that is; copied too

  static HwTarget OfHost() { return {}; }
  static HwTarget OfProcess(std::int32_t pid);
  static HwTarget OfCgroup(std::string path);
  // The instance's cgroup, or where none is known its first process. kFailedPrecondition where the
  // topology knows neither, kNotFound where it has no such instance.
  static absl::StatusOr<HwTarget> OfInstance(const Topology& topology, InstanceId instance);

  friend bool operator==(const HwTarget& a, const HwTarget& b) {
    return a.kind == b.kind && a.pid == b.pid && a.start_time == b.start_time &&
           a.cgroup == b.cgroup && a.instance == b.instance && a.origin == b.origin;
  }
  friend bool operator!=(const HwTarget& a, const HwTarget& b) { return !(a == b); }
};
// InvalidArgument where the kind lacks what it needs: a positive pid; a cgroup path that begins
// with '/', has no ".." and at most kMaxCgroupPath bytes.
inline constexpr std::size_t kMaxCgroupPath = 4096;
absl::Status CheckTarget(const HwTarget& target);
// "process 12", "cgroup /pods/a1", "host".
std::string ToString(const HwTarget& target);

class HwMonitor {
 public:
  virtual ~HwMonitor() = default;
  // OK: the reading has what could be had; each signal says what it is worth.
  //   kNotFound         the target ended, or is not there
  //   kUnavailable      no reading this time, try again
  //   kUnimplemented    stop asking
  //   kInvalidArgument  no such kind of target
  // After an error the reading is as if nothing were observed.
  virtual absl::Status Read(const HwTarget& target, HwReading* reading) = 0;
};

// Observes nothing: for hosts that want no hardware monitoring.
class NullMonitor final : public HwMonitor {
 public:
  absl::Status Read(const HwTarget& target, HwReading* reading) override;
};

// Read(), whatever the monitor does: an exception becomes a status, a number that is not finite or
// is negative becomes kUnavailable with kImplausible, a share above 1 is cut, and after an error
// nothing is observed. What calls monitors it did not write calls them by this.
absl::Status ReadGuarded(HwMonitor& monitor, const HwTarget& target, HwReading* reading);

// The quota holds the instance back: its limit is what to look at, not its neighbours.
bool IsQuota(const ResourceReading& instance_cpu);

// Nothing observed, of this target: what a Read starts from. Keeps the strings' memory.
void ClearReading(const HwTarget& target, HwReading* reading);

SEER_END_NAMESPACE
