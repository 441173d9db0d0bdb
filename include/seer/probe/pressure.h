// Flow: kernel -> [PressureProbe] -> hwmon/
//
// How long tasks stood still for want of a processor, of memory or of storage (PSI), of one cgroup
// or of the whole host. A time that was lost is comparable across resources; a utilisation is not.
//
//   seer::PressureProbe probe = seer::PressureProbe::OfCgroup(cgroups->unified.path);  // once
//   const seer::Pressures now = probe.Sample();                                   // every tick
//   const seer::Reading stalled = Delta(before.memory.some_us, now.memory.some_us);
//
// Needs Linux 4.20 with PSI on (psi=1); a cgroup's files are in its v2 directory, also where that
// hierarchy has no controllers (hybrid). They are there even where no limit is set.
//
// Threads: one at a time.
// Cost:    6 us for all three on a 2.6 GHz EPYC guest; allocates only when constructed.
#pragma once

#include <string>

#include "seer/core/config.h"
#include "seer/probe/internal/proc_file.h"
#include "seer/probe/reading.h"

SEER_BEGIN_NAMESPACE

// Since boot, or since the cgroup was made.
struct Pressure {
  Reading some_us;  // at least one task stood still
  Reading full_us;  // all that were not idle did; not told for a host's processors before 5.13
};

struct Pressures {
  Pressure cpu, memory, io;
};

class PressureProbe {
 public:
  PressureProbe() = default;  // nothing is observed
  // Of the host; `root` stands before /proc.
  static PressureProbe OfHost(const std::string& root = "");
  // Of a cgroup's v2 directory, as FindCgroups() gives it.
  static PressureProbe OfCgroup(const std::string& directory);

  Pressures Sample() noexcept;
  Pressures SampleMemoryAndIo() noexcept;  // the processor's is kNotObserved

 private:
  internal::ProcFile cpu_, memory_, io_;
};

SEER_END_NAMESPACE
