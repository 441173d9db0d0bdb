// Flow: memory controllers, resctrl -> [BandwidthMonitor] -> HwReading (cache, memory bandwidth) ->
// advise/
//
// How much passes between the caches and the memory, and whose it is: by the counters of the memory
// controllers (uncore: Intel's IMC, AMD's UMC) for the node, and where tasks were put into resctrl
// groups by those for one instance. Both are of bare metal; a guest has neither, and every signal
// then says kNotFound or kPermission.
//
//   seer::BandwidthMonitorOptions options;
//   options.peak_bytes_per_second = 180e9;            // as a stream benchmark reaches on this node
//   seer::BandwidthMonitor bandwidth(options);
//   seer::TieredMonitor monitor({&software, &counters, &bandwidth});
//
//   node       memory-bandwidth.utilisation: bytes read and written, of the peak. Where there are
//              no such counters: the sum of all resctrl groups, kScaled, as devices are not in it.
//   instance   memory-bandwidth.utilisation: those of its resctrl group, of the peak.
//              cache.utilisation: what the group holds of the last level, of its size.
//
// It tells of use, not of waiting: delays and saturation stay kNotObserved, and nobody is blamed on
// its word alone. A process that is in the root group, where everybody is whom nobody put anywhere,
// has no numbers of its own: kNotSupported. So has a cgroup, which resctrl does not know.
//
// Threads: one at a time.
// Cost:    a read of each controller's counter (6 us where it is of another socket) and of two
// files
//          for each group and cache; groups are looked up when a target is new, and every second.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "seer/core/clock.h"
#include "seer/core/config.h"
#include "seer/hwmon/monitor.h"
#include "seer/hwmon/perf_events.h"

SEER_BEGIN_NAMESPACE

struct BandwidthMonitorOptions {
  std::string root;                  // stands before /sys
  const Clock* clock = nullptr;      // outlives the monitor; null: the machine's
  PerfEvents* events = nullptr;      // outlives the monitor; null: the kernel's
  double peak_bytes_per_second = 0;  // of the node; 0: not known, there is no utilisation of it
  double cache_bytes = 0;            // of one last level; 0: as sysfs says
  std::size_t max_targets = 64;
  std::int64_t rescan_ns = 1'000'000'000;
};

// What stands behind the last reading; below 0: not known.
struct BandwidthDetail {
  double node_bytes_per_second = -1;       // of the controllers, else of all groups
  double group_bytes_per_second = -1;      // of the target's
  double group_cache_bytes = -1;           // now
  Reason controllers = Reason::kNotFound;  // why they say nothing
  Reason groups = Reason::kNotFound;
  std::string group;  // the target's, below the root of resctrl
};

class BandwidthMonitor final : public HwMonitor {
 public:
  explicit BandwidthMonitor(BandwidthMonitorOptions options = {});
  ~BandwidthMonitor() override;

  absl::Status Read(const HwTarget& target, HwReading* reading) override;
  const BandwidthDetail& last() const { return last_; }

 private:
  struct State;
  std::unique_ptr<State> state_;
  BandwidthDetail last_;
};

SEER_END_NAMESPACE
