// Flow: kernel (probe/) -> [SoftwareMonitor] -> HwReading -> advise/
//
// What the kernel itself knows about waiting, of any process or cgroup and without its help: the
// run queue, the quota, memory pressure, storage pressure, the queueing discipline; and the same of
// the node. It cannot see caches and memory bandwidth: those signals are kNotObserved.
//
//   seer::SoftwareMonitor monitor;
//   seer::HwReading reading;
//   monitor.Read(seer::HwTarget::OfProcess(pid), &reading).IgnoreError();   // opens files
//   ... 100 ms later ...
//   absl::Status status = monitor.Read(seer::HwTarget::OfProcess(pid), &reading);
//
// Files are kept open for each target, up to max_targets of them; the one that was read longest ago
// makes room. A process is told from a later one with the same pid, a cgroup from a later one with
// the same name: both are kNotFound once they ended, and are opened anew by the next Read.
//
// Storage that is waited for because memory is too small counts as memory: where pages come back
// that had been pushed out (refaults) and the memory is full to nine tenths of its limit, the
// larger of the two stalls is the memory's (PSI counts such a wait in both), and the storage itself
// is kNotObserved for that time.
//
// Where the target's cgroup has no PSI, or it lives in the root, as processes do on some machines
// whose owner has no privileges: while the whole node waits for memory, or for storage, less than
// 0.2 % of the time, that is what the instance waited at most, and stands for it, with the scope
// kHost. Where the node waits longer, nobody knows who did: kNotObserved or the like, as ever.
//
// The wait of packets is estimated from what stands in the queue at either end of the interval:
// the shorter of the two, all the time. A single packet that is seen once is therefore no queue.
//
// Threads: one at a time.
// Cost:    see benchmarks/RESULTS.md, hwmon.sample_us; allocates only when a target is opened or
//          its threads and processes change. No privilege, but CAP_SYS_ADMIN for the queueing
//          disciplines of another network namespace.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "seer/core/clock.h"
#include "seer/core/config.h"
#include "seer/hwmon/monitor.h"
#include "seer/probe/reading.h"

SEER_BEGIN_NAMESPACE

struct SoftwareMonitorOptions {
  std::string root;              // stands before /proc and /sys
  const Clock* clock = nullptr;  // outlives the monitor; null: the machine's
  std::size_t max_targets = 256;
  std::size_t max_processes = 64;  // of one cgroup, whose threads are read
  int processors = 0;              // of the machine; 0: those that are online
  // The node's own files are read again only after so long: targets that are read one after the
  // other share them.
  std::int64_t node_max_age_ns = 5'000'000;
  // How often the processes of a cgroup, the processors of a process, what the network cards hold
  // and dropped packets are looked at; and refaults, while the memory is not full to three
  // quarters.
  std::int64_t rescan_ns = 1'000'000'000;
  bool network = true;  // ask the kernel's queueing disciplines
  // Ask for what waits in the target's TCP sockets, this often at most: the kernel walks all
  // connections of the network namespace for it (probe/socket_depths.h). The sockets are those of
  // its cgroup2 cgroup; without one, all of its network namespace, unless that is ours.
  bool sockets = false;
  std::int64_t sockets_every_ns = 1'000'000'000;
};

// What stands behind the last reading, for people and for other monitors. Everything but what says
// "now" is of the interval.
struct SoftwareDetail {
  Reading run_us;        // on a processor, all threads
  Reading run_delay_us;  // ready to run; the quota's share is part of it
  Reading throttled_us;  // held back by the quota
  Reading periods, throttled_periods;
  Reading cpu_limit_millis;                  // now; the quota's
  Reading memory_bytes, memory_limit_bytes;  // now
  Reading refaults, major_faults;
  Reading memory_stall_us, storage_stall_us;  // as PSI tells them
  Reading backlog_packets;                    // now
  Reading dropped_packets;
  Reading steal_us;              // of the node
  Reading node_dropped_packets;  // softnet
  Reading disk_await_us;         // of the node's busiest disk
  Reading disk_in_flight;        // now
  // Sockets: connections that nobody accepted yet, and how many may wait; bytes that nobody read,
  // bytes that nobody acknowledged. Of the last look, at most sockets_every_ns ago.
  Reading accept_backlog, accept_limit, unread_bytes, unsent_bytes;
  std::uint32_t threads = 0;    // now
  std::uint32_t processes = 0;  // now
};

class SoftwareMonitor final : public HwMonitor {
 public:
  explicit SoftwareMonitor(SoftwareMonitorOptions options = {});
  ~SoftwareMonitor() override;

  // kNotFound where the target ended, or never was; kInvalidArgument as CheckTarget().
  absl::Status Read(const HwTarget& target, HwReading* reading) override;

  const SoftwareDetail& last() const { return last_; }
  void Forget(const HwTarget& target);  // closes its files
  std::size_t targets() const;          // whose files are open

 private:
  struct State;
  std::unique_ptr<State> state_;
  SoftwareDetail last_;
};

SEER_END_NAMESPACE
