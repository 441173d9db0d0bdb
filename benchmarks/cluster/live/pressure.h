// How much of the machine others took while we measured, and the rule by which a run counts. The
// rule was fixed before the first comparison was made.
//
// A run is discarded where
//   the hypervisor took more than 1 % of the machine's time (/proc/stat, steal), or
//   other processes took more than 10 % of it (/proc/stat less our own /proc/self), or
//   our threads waited for a core more than 0.5 ms for each request (/proc/self/task/*/schedstat).
// What the kernel does not tell counts as none.
//
// Threads: one at a time.
#pragma once

#include <cstdint>
#include <string>

namespace seer::cluster {

struct CpuTimes {
  double seconds = 0;  // of the machine: all cores
  double busy = 0;     // of those, not idle
  double steal = 0;
  double ours = 0;       // busy for this process
  double run_delay = 0;  // our threads were runnable and did not run; of threads that live
};
CpuTimes ReadCpuTimes();

struct Pressure {
  double steal_share = 0;
  double others_share = 0;
  double run_delay_ms = 0;  // for each request
  bool Discards() const { return steal_share > 0.01 || others_share > 0.10 || run_delay_ms > 0.5; }
  std::string Text() const;
};
Pressure Between(const CpuTimes& before, const CpuTimes& after, std::uint64_t requests);

}  // namespace seer::cluster
