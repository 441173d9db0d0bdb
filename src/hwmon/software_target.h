// The kernel's accounts of one target and of the node, as totals: software_monitor.cc takes their
// differences.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "seer/core/config.h"
#include "seer/hwmon/software_monitor.h"
#include "seer/probe/cgroup_stats.h"
#include "seer/probe/disk_times.h"
#include "seer/probe/net_depths.h"
#include "seer/probe/nic_depths.h"
#include "seer/probe/pressure.h"
#include "seer/probe/schedstat.h"
#include "seer/probe/socket_depths.h"
#include "seer/probe/softnet.h"

SEER_BEGIN_NAMESPACE
namespace internal {

inline constexpr std::size_t kMaxNodeDisks = 8;

struct QueueTotals {
  Reading backlog_packets;  // now
  Reading dropped_packets;
};

// The node's, all of them since boot.
struct NodeTotals {
  std::int64_t at_ns = 0;  // steady time; 0: never read
  HostCpuTimes cpu;
  Pressures pressure;
  SoftnetDepths softnet;
  QueueTotals queue;
  Reading nic_inflight_bytes, nic_limit_bytes;  // now
  std::array<DiskTimes, kMaxNodeDisks> disks;
};

class NodeSource {
 public:
  explicit NodeSource(const SoftwareMonitorOptions& options);
  // Reads the files unless that was done less than node_max_age_ns ago.
  const NodeTotals& Sample(std::int64_t steady_ns);
  std::size_t disks() const { return disks_.size(); }

 private:
  const std::int64_t max_age_ns_, nics_every_ns_;
  std::int64_t nics_at_ns_ = 0;
  HostCpuProbe cpu_;
  PressureProbe pressure_;
  SoftnetProbe softnet_;
  std::optional<NetProbe> net_;
  Reason net_reason_ = Reason::kNotObserved;
  std::vector<DeviceDepths> devices_;
  std::vector<NicProbe> nics_;
  std::vector<DiskProbe> disks_;
  NodeTotals totals_;
};

// Of the target's sockets, now.
struct SocketTotals {
  Reading accept_backlog, accept_limit, unread_bytes, unsent_bytes;
};

// The target's, since it was opened.
struct TargetTotals {
  Reading run_ns, run_delay_ns, major_faults;
  std::uint32_t threads = 0, processes = 0;
  CgroupStats cgroup;
  QueueTotals queue;
  SocketTotals sockets;
};

class TargetSource {
 public:
  // kNotFound where it is not there.
  static absl::StatusOr<std::unique_ptr<TargetSource>> Open(const HwTarget& target,
                                                            const SoftwareMonitorOptions& options);
  // False where the target ended.
  bool Sample(std::int64_t steady_ns, const NodeTotals& node, TargetTotals* totals);

  const HwTarget& target() const { return target_; }
  // Processors that it may run on, by affinity; 0: not known.
  int allowed_processors() const { return allowed_; }
  // Its packets wait in a queue that others use, too.
  bool shares_network() const { return !net_.has_value(); }
  Scope cpu_scope() const {
    return target_.kind == HwTarget::Kind::kCgroup ? Scope::kCgroup : Scope::kProcess;
  }

  // Of the sample before; at_ns 0: there is none.
  std::int64_t at_ns = 0;
  TargetTotals before;
  NodeTotals node_before;
  std::uint64_t used = 0;  // when it was read last, for who makes room

 private:
  struct Process {
    pid_t pid = 0;
    TaskProbe probe;
    std::uint64_t run_ns = 0, run_delay_ns = 0, major_faults = 0;  // as read last
  };
  TargetSource(const HwTarget& target, const SoftwareMonitorOptions& options)
      : target_(target), options_(options) {}
  absl::Status OpenProcess();
  absl::Status OpenCgroup();
  void OpenNetwork(pid_t pid);
  void OpenSockets(const std::string& space);
  void SampleSockets(std::int64_t steady_ns);
  void Rescan(std::int64_t steady_ns);
  void LookAtAffinity(pid_t pid);
  bool AddProcess(pid_t pid, std::uint64_t start_time);

  const HwTarget target_;
  const SoftwareMonitorOptions& options_;
  std::vector<Process> processes_;
  std::uint64_t run_ns_ = 0, run_delay_ns_ = 0, major_faults_ = 0;
  Reason tasks_reason_ = Reason::kNotObserved;
  std::string members_;  // the file with the cgroup's processes
  std::string first_directory_;
  std::uint64_t directory_id_ = 0;
  std::int64_t scanned_ns_ = 0;
  std::optional<CgroupProbe> cgroup_;
  std::int64_t detail_ns_ = 0;  // when all of it was read
  std::optional<NetProbe> net_;
  Reason net_reason_ = Reason::kNone;  // why the target's own network cannot be read
  bool network_known_ = false;
  std::vector<DeviceDepths> devices_;
  std::uint64_t cgroup2_id_ = 0;  // 0: it is in none but the root
  std::optional<SocketProbe> sockets_;
  Reason sockets_reason_ = Reason::kNotObserved;
  std::int64_t sockets_ns_ = 0;  // 0: never looked at
  std::vector<PortDepths> ports_;
  SocketTotals socket_totals_;
  int allowed_ = 0;
};

}  // namespace internal
SEER_END_NAMESPACE
