// Flow: Recommendation -> [MakeCgroupActuator] -> ActionPlan: limits of a cgroup
//
// The limits that the kernel keeps for a container, of cgroup version 1 and 2.
//
//   kCpuLimit     cores. Where a quota is set: cpu.cfs_quota_us, cpu.max. Where none is, what is
//                 guaranteed against others: cpu.shares, cpu.weight, 1024 shares being a core, as
//                 Kubernetes counts. With `widen_cpuset`, CPUs are added to a cpuset with fewer
//   kMemoryLimit  bytes: memory.limit_in_bytes, memory.max, in whole pages. Never below what is in
//                 use that cannot be reclaimed: version 2 would kill for it
//   kIoShare      bytes per second of `io_device`, each of reads and writes that is limited:
//                 blkio.throttle.*_bps_device, io.max
//
//   seer::CgroupOptions options;
//   options.granted = {"kubepods/burstable"};
//   auto actuator = seer::MakeCgroupActuator(options);                    // StatusOr
//
// The target's cgroup is a path below the hierarchy's root, as Instance::cgroup. It has to be one
// of the granted ones, or below one. Paths are followed component by component from the root, which
// is held open; "..", symbolic links and other file systems are refused wherever they stand.
//
// Hold() takes a flock on the cgroup's directory, which dies with the process.
//
// Threads: one at a time. Cost: a read or a write opens the path anew: a few system calls.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "seer/act/actuator.h"
#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE

struct CgroupOptions {
  std::string root = "/sys/fs/cgroup";
  std::vector<std::string> granted;  // paths below the root; nothing is, unless listed

  bool widen_cpuset = false;
  std::string io_device;  // "major:minor"; empty: kIoShare is refused

  // What the machine has: more is refused. 0: asks the kernel.
  double cores = 0;
  double memory_bytes = 0;
};

// InvalidArgument names the option; NotFound: there is no hierarchy at the root.
absl::StatusOr<std::unique_ptr<Actuator>> MakeCgroupActuator(const CgroupOptions& options);

SEER_END_NAMESPACE
