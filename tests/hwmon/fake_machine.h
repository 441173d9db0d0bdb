// A machine of files: process 77 with one thread, in the cgroup /pods/a of a hierarchy of v1, v2 or
// both.
#pragma once

#include <cstdint>
#include <string>

#include "seer/core/clock.h"
#include "seer/hwmon/software_monitor.h"
#include "tests/probe/fake_root.h"

namespace seer::testing {

inline constexpr std::int64_t kTick = 100'000'000;

enum class Hierarchy { kV1, kV2, kHybrid };

struct Machine {
  explicit Machine(Hierarchy hierarchy) : kind(hierarchy) {
    std::string mounts, membership;
    if (kind != Hierarchy::kV2) {
      mounts +=
          "30 1 0:1 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
          "31 1 0:2 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
      membership += "4:memory:/pods/a\n1:cpu:/pods/a\n";
    }
    if (kind != Hierarchy::kV1) {
      mounts += "32 1 0:3 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
      membership += "0::/pods/a\n";
    }
    root.Write("/proc/1/mountinfo", mounts);
    root.Write("/proc/1/cgroup", "4:memory:/\n1:cpu:/\n0::/\n");
    root.Write("/proc/77/cgroup", membership);
    root.Write("/proc/77/stat",
               "77 (cart) S 1 77 77 0 -1 4194560 100 0 3 0 5 6 0 0 20 0 1 0 900 1000 200 1\n");
    Quota(-1, 100'000);
    Throttled(0, 0, 0);
    Memory(50'000'000, 100'000'000, 0);
    Thread(1'000'000, 2'000'000);
    Pressure(0, 0, 0);
    HostPressure(0, 0, 0);
    root.Write("/proc/stat", "cpu 100 0 100 800 0 0 0 0 0 0\n");
    root.Write("/proc/net/softnet_stat", "0a 0 0 0 0 0 0 0 0 0 0 0 0\n");
    Disk(0, 0, 0);
    if (kind != Hierarchy::kV2) root.Write("/sys/fs/cgroup/cpu/pods/a/cgroup.procs", "77\n");
    if (kind != Hierarchy::kV1) root.Write("/sys/fs/cgroup/unified/pods/a/cgroup.procs", "77\n");
  }

  std::string CpuDirectory() const {
    return kind == Hierarchy::kV2 ? "/sys/fs/cgroup/unified/pods/a" : "/sys/fs/cgroup/cpu/pods/a";
  }
  std::string MemoryDirectory() const {
    return kind == Hierarchy::kV2 ? "/sys/fs/cgroup/unified/pods/a"
                                  : "/sys/fs/cgroup/memory/pods/a";
  }
  void Quota(int quota_us, int period_us) {
    const std::string period = std::to_string(period_us);
    if (kind == Hierarchy::kV2) {
      root.Write(CpuDirectory() + "/cpu.max",
                 (quota_us < 0 ? "max" : std::to_string(quota_us)) + " " + period + "\n");
    } else {
      root.Write(CpuDirectory() + "/cpu.cfs_quota_us", std::to_string(quota_us) + "\n");
      root.Write(CpuDirectory() + "/cpu.cfs_period_us", period + "\n");
    }
  }
  void Throttled(int periods, int throttled, std::uint64_t us) {
    const std::string counts = "nr_periods " + std::to_string(periods) + "\nnr_throttled " +
                               std::to_string(throttled) + "\n";
    root.Write(CpuDirectory() + "/cpu.stat",
               kind == Hierarchy::kV2
                   ? "usage_usec 5000\n" + counts + "throttled_usec " + std::to_string(us) + "\n"
                   : counts + "throttled_time " + std::to_string(us * 1000) + "\n");
  }
  void Memory(std::uint64_t bytes, std::uint64_t limit, int refaults) {
    const bool v2 = kind == Hierarchy::kV2;
    const std::string d = MemoryDirectory(), plain = v2 ? "" : "total_";
    root.Write(d + (v2 ? "/memory.current" : "/memory.usage_in_bytes"),
               std::to_string(bytes) + "\n");
    root.Write(d + (v2 ? "/memory.max" : "/memory.limit_in_bytes"), std::to_string(limit) + "\n");
    root.Write(d + "/memory.stat", plain + "workingset_refault_anon 0\n" + plain +
                                       "workingset_refault_file " + std::to_string(refaults) +
                                       "\n" + plain + "pgmajfault 3\n");
  }
  void Thread(std::uint64_t run_ns, std::uint64_t delay_ns) {
    root.Write("/proc/77/task/77/schedstat",
               std::to_string(run_ns) + " " + std::to_string(delay_ns) + " 7\n");
  }
  static std::string Psi(std::uint64_t us) {
    return "some avg10=0.00 avg60=0.00 avg300=0.00 total=" + std::to_string(us) +
           "\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";
  }
  void Pressure(std::uint64_t cpu, std::uint64_t memory, std::uint64_t io) {
    if (kind == Hierarchy::kV1) return;
    const std::string d = "/sys/fs/cgroup/unified/pods/a/";
    root.Write(d + "cpu.pressure", Psi(cpu));
    root.Write(d + "memory.pressure", Psi(memory));
    root.Write(d + "io.pressure", Psi(io));
  }
  void HostPressure(std::uint64_t cpu, std::uint64_t memory, std::uint64_t io) {
    root.Write("/proc/pressure/cpu", Psi(cpu));
    root.Write("/proc/pressure/memory", Psi(memory));
    root.Write("/proc/pressure/io", Psi(io));
  }
  void Disk(int done, int wait_ms, int busy_ms) {
    root.Write("/sys/block/vda/stat", std::to_string(done) + " 0 0 " + std::to_string(wait_ms) +
                                          " 0 0 0 0 4 " + std::to_string(busy_ms) + " 0\n");
  }

  SoftwareMonitorOptions Options() {
    SoftwareMonitorOptions options;
    options.root = root.path();
    options.clock = &clock;
    options.processors = 2;
    options.network = false;  // netlink asks the real kernel
    return options;
  }

  const Hierarchy kind;
  FakeRoot root;
  ManualClock clock{1'700'000'000'000'000'000};
};

}  // namespace seer::testing
