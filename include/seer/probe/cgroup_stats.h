// Flow: kernel -> [FindCgroups, CgroupProbe] -> hwmon/, queue/ (socket_depths.h by cgroup)
//
// What a container used, what it may use, and how often it was held back: cgroup v1, v2, or both
// side by side (hybrid), under the same names.
//
//   absl::StatusOr<seer::CgroupPaths> cgroups = seer::FindCgroups(pid);    // once
//   seer::CgroupProbe probe(*cgroups);
//   options.cgroups = {seer::CgroupId(cgroups->unified.path).value};            // for SocketProbe
//   const seer::CgroupStats now = probe.Sample();                          // every tick
//
// The files stay open, so they stay this cgroup's: once it was removed, and even if another one has
// its name by then, every reading is kVanished. A reading that this hierarchy does not have is
// kNotSupported, or kNotFound where its file is not there.
//
// Threads: one at a time.
// Cost:    22 us on a 2.6 GHz EPYC guest, and 1 us for each ancestor that may have a limit;
// allocates
//          only when constructed. No privilege.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "seer/core/config.h"
#include "seer/probe/internal/proc_file.h"
#include "seer/probe/pressure.h"
#include "seer/probe/reading.h"

SEER_BEGIN_NAMESPACE

// The directories of one process's cgroups, and where their hierarchies are mounted. Empty where
// there is no such hierarchy, or the process is in a part of it that we cannot see.
struct CgroupPaths {
  struct Directory {
    std::string path;
    std::string mount;  // the beginning of `path`
  };
  Directory unified;               // v2
  Directory cpu, cpuacct, memory;  // v1
};

// kNotFound where the process ended, or no cgroup of it is visible from here. `root` stands before
// /proc and before every mount point: with "/host", the mounts are those of the pid 1 in there.
absl::StatusOr<CgroupPaths> FindCgroups(pid_t pid, const std::string& root = "");

// The id by which the kernel's filters know a v2 cgroup: its directory's inode.
Reading CgroupId(const std::string& directory);

struct CgroupStats {
  // Counters since the cgroup was made.
  Reading cpu_usage_us;
  Reading periods;            // of its processor quota, in which it wanted to run
  Reading throttled_periods;  // of those: in which it used the quota up and had to wait
  Reading throttled_us;       // how long each of its run queues waited, added up
  Reading refaults;           // pages that were pushed out and had to be fetched again
  Reading major_faults;
  Pressures pressure;

  // Now. A limit is the smallest of the cgroup's own and its ancestors'; unlimited() where none is.
  Reading cpu_limit_millis;  // thousandths of one processor
  Reading memory_bytes;      // with the page cache
  Reading memory_limit_bytes;
};

class CgroupProbe {
 public:
  static constexpr std::size_t kMaxAncestors = 16;

  explicit CgroupProbe(const CgroupPaths& paths);
  CgroupStats Sample() noexcept { return Sample(/*quick=*/false); }
  // For who asks often: leaves out the processor's pressure (kNotObserved), and keeps refaults and
  // major faults as they were, unless the memory is full to three quarters of its limit. 12 us.
  CgroupStats SampleQuickly() noexcept { return Sample(/*quick=*/true); }

 private:
  struct CpuLimit {
    internal::ProcFile quota, period;  // v2: both are in `quota`
  };
  CgroupStats Sample(bool quick) noexcept;
  void SampleCpu(CgroupStats* stats) noexcept;
  void SampleMemory(bool quick, CgroupStats* stats) noexcept;

  bool cpu_v2_ = false;     // where the quota's files are from
  bool memory_v2_ = false;  // where the memory's files are from
  internal::ProcFile cpu_stat_, cpuacct_usage_, unified_cpu_stat_;
  internal::ProcFile memory_usage_, memory_stat_;
  // The cgroup's own, its parent's, and so on; or why not even it is there.
  std::vector<CpuLimit> cpu_limits_;
  std::vector<internal::ProcFile> memory_limits_;
  Reason cpu_limits_reason_ = Reason::kNotObserved;
  Reason memory_limits_reason_ = Reason::kNotObserved;
  PressureProbe pressure_;
  Reading refaults_, major_faults_;  // as read last
};

SEER_END_NAMESPACE
