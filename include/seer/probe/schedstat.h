// Flow: kernel -> [TaskProbe, HostCpuProbe] -> hwmon/
//
// How long the threads of one process ran, and how long they stood ready to run while others did:
// the queue for the processor. And how much of its time the host itself got from a hypervisor.
//
//   absl::StatusOr<seer::TaskProbe> probe = seer::TaskProbe::Open(pid);  // once
//   const seer::TaskTimes now = probe->Sample();                         // every tick
//   const seer::Reading waited = Delta(before.run_delay_ns, now.run_delay_ns);
//
// The kernel counts for each thread, and forgets a thread that ends. The totals here are of all
// threads since the probe was opened and never fall; of a thread that ended between two samples
// the time after the first of them is lost (`ended` says how often), and so is one that lived only
// in between.
//
// A process is told from a later one with the same pid: once it ended, every reading is kVanished.
// run_delay_ns includes the time that a processor quota kept the threads from running; see
// CgroupStats::throttled_us.
//
// Threads: one at a time.
// Cost:    on a 2.6 GHz EPYC guest 4.5 us for one thread and 61 us for 64, while none begins or
// ends.
//          Keeps a file open for each thread, up to TaskProbeOptions::max_open. Allocates when
//          threads begin. HostCpuProbe 6 us on two processors: the kernel counts every interrupt of
//          each of them for it.
#pragma once

#include <dirent.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "seer/core/config.h"
#include "seer/core/internal/owned_fd.h"
#include "seer/probe/internal/proc_file.h"
#include "seer/probe/reading.h"

SEER_BEGIN_NAMESPACE

struct TaskTimes {
  Reading run_ns;             // on a processor
  Reading run_delay_ns;       // ready to run, but not on a processor
  Reading major_faults;       // of the process since it began: pages that had to come from storage
  std::uint32_t threads = 0;  // alive, and counted
  std::uint64_t ended = 0;    // threads whose last bit of time was lost, since the probe was opened
  std::uint32_t uncounted = 0;  // threads beyond TaskProbeOptions::max_threads
};

struct TaskProbeOptions {
  std::string root;                // stands before /proc
  std::uint64_t start_time = 0;    // of the process that is meant, see start_time(); 0: any
  std::size_t max_threads = 4096;  // more are not counted
  std::size_t max_open = 256;      // files kept open; those of further threads are opened each time
};

class TaskProbe {
 public:
  // kNotFound where the process ended, or another one has its pid by now.
  static absl::StatusOr<TaskProbe> Open(pid_t pid, const TaskProbeOptions& options = {});

  TaskTimes Sample();

  // When the process began, in clock ticks since boot: with the pid it names the process.
  std::uint64_t start_time() const { return start_time_; }

 private:
  struct Thread {
    pid_t tid = 0;
    internal::ProcFile file;  // not open: beyond max_open
    bool was_read = false;
    std::uint64_t run_ns = 0, run_delay_ns = 0;  // as they were then
  };
  struct CloseDirectory {
    void operator()(DIR* directory) const { ::closedir(directory); }
  };
  struct ProcessStat {
    std::uint64_t major_faults = 0, cpu_ticks = 0, threads = 0, start_time = 0;
  };
  TaskProbe() = default;
  Reason ReadStat(ProcessStat* stat) const;
  // Adds what a thread ran and waited since it was last read, or all of it if it `began` since the
  // last sample; false where it ended.
  bool Account(Thread* thread, bool began);
  // Adds the threads that are not known yet.
  void FindThreads(bool began);

  TaskProbeOptions options_;
  std::unique_ptr<DIR, CloseDirectory> tasks_;
  internal::ProcFile stat_;
  std::uint64_t start_time_ = 0;
  std::vector<Thread> threads_;  // sorted by tid
  std::size_t open_ = 0;
  std::uint64_t run_ns_ = 0, run_delay_ns_ = 0, ended_ = 0;
  std::uint32_t uncounted_ = 0;
  Reason reason_ = Reason::kNone;  // why the threads' files cannot be read
  bool any_time_ = false;          // the kernel keeps these statistics
};

// Of all processors together, since boot.
struct HostCpuTimes {
  Reading busy_us;   // running something here
  Reading steal_us;  // ready to run, but the hypervisor ran somebody else
  Reading total_us;  // these and idle
};

class HostCpuProbe {
 public:
  explicit HostCpuProbe(const std::string& root = "");  // stands before /proc
  HostCpuTimes Sample() noexcept;

 private:
  internal::ProcFile file_;
  std::uint64_t us_per_tick_ = 10'000;
};

SEER_END_NAMESPACE
