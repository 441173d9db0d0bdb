// Flow: kernel -> [DiskProbe] -> hwmon/
//
// How long the requests to one disk took, how many are on their way, and how much of the time the
// disk had something to do.
//
//   seer::DiskProbe disk("vda");                            // once
//   const seer::DiskTimes now = disk.Sample();              // every tick
//   const seer::Reading waited = Delta(before.wait_ms, now.wait_ms);   // await: by `completed`
//
// These are the whole disk's, of everybody on the host.
//
// Threads: one at a time.
// Cost:    a pread (0.6 us); allocates only when constructed. No privilege.
#pragma once

#include <string>
#include <vector>

#include "seer/core/config.h"
#include "seer/probe/internal/proc_file.h"
#include "seer/probe/reading.h"

SEER_BEGIN_NAMESPACE

struct DiskTimes {
  // Counters since the disk was found.
  Reading completed;  // reads, writes, discards and flushes
  Reading wait_ms;    // from their submission to their end, added up
  Reading busy_ms;    // in which at least one was on its way
  Reading queue_ms;   // requests on their way, times how long they were
  Reading in_flight;  // now
};

class DiskProbe {
 public:
  static constexpr std::size_t kMaxDisks = 64;

  // `root` stands before /sys.
  explicit DiskProbe(const std::string& disk, const std::string& root = "");
  DiskTimes Sample() noexcept;

  // The disks of this host, sorted, at most kMaxDisks: no RAM disks, no loop devices, and nothing
  // that is made of other disks.
  static std::vector<std::string> Disks(const std::string& root = "");

 private:
  internal::ProcFile file_;
};

SEER_END_NAMESPACE
