// Flow: culprit's node -> [Microbenchmarks] -> how each shared resource performs just now
//
// Ten small programs, each of which leans on one shared resource for about 10 ms, harder or more
// gently: for machines whose counters are off. As sensors: how much slower than when the machine
// was idle does the benchmark itself run? As weapons: does the victim get slower while it runs
// (contention_test.h)?
//
//   auto benchmarks = seer::Microbenchmarks::Create(options);
//   seer::Placement placement;
//   placement.processors = {2, 3};                               // where the victim runs
//   (*benchmarks)->Calibrate(placement).IgnoreError();           // when all is quiet; stored
//   const seer::MicrobenchmarkRun run =
//       (*benchmarks)->Run(seer::Microbenchmark::kLlc, 0.5, placement, victim_suffers);
//   if (run.ok() && (*benchmarks)->Slowdown(run) > 1.3) ...
//
// Ask for them from the core outwards, as their order is: a core that is throttled or shared makes
// all that comes after it look slow, so stop at the first that is (FirstSlow does all this).
//
// A run is bounded in time: it ends after `budget`, or after twice as long where it was not let run
// (SCHED_IDLE under load); then its thread is given back its priority and its cgroup, ends, and the
// run says `starved`. It is bounded in space by max_bytes and disk_bytes. `stop` is asked every
// millisecond; the run ends within another. What may disturb others beyond the core needs a word
// first: memory, network and disk are off unless asked for.
//
// Threads: one at a time. Each run has a thread of its own, which runs no signal handlers; `stop`
//          is called on the caller's.
// Cost:    a run takes its budget; Create() prepares the memory (0.3 ms for each MiB).
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "seer/core/config.h"
#include "seer/core/hw_reading.h"

SEER_BEGIN_NAMESPACE

// From the core outwards.
enum class Microbenchmark : std::uint8_t {
  kCpu,              // arithmetic
  kL1i,              // jumps over the first-level instruction cache
  kL1d,              // pointers through the first-level data cache
  kL2,               // pointers through the second level; as a sensor: what others leave of it
  kLlc,              // pointers through what the second level does not hold, and writes all over
  kMemoryBandwidth,  // reads and writes past all caches
  kMemoryCapacity,   // pages that are touched for the first time
  kNetwork,          // datagrams
  kDiskBandwidth,    // large reads, past the page cache
  kDiskCapacity,     // small reads all over a file
};
inline constexpr std::size_t kMicrobenchmarks = 10;
std::string_view MicrobenchmarkName(Microbenchmark benchmark);
Resource ResourceOf(Microbenchmark benchmark);
constexpr bool IsOfCore(Microbenchmark benchmark) { return benchmark <= Microbenchmark::kL2; }

struct CacheSizes {
  std::size_t line = 64, l1i = 32768, l1d = 32768, l2 = 1 << 20, llc = 32u << 20;
  // As sysfs tells them, of the first processor; what it does not tell keeps its value here.
  static CacheSizes OfThisMachine(const std::string& root = "");
};

struct MicrobenchmarkOptions {
  std::chrono::nanoseconds budget = std::chrono::milliseconds(10);
  bool memory = false;   // writes all over the cache, bandwidth, capacity
  bool network = false;  // datagrams to address:port
  bool disk = false;     // a file in `directory`
  std::size_t max_bytes = std::size_t{64} << 20;
  std::string directory;  // for a file without a name; of the file system that is meant
  std::size_t disk_bytes = std::size_t{16} << 20;
  std::string address = "127.0.0.1";
  std::uint16_t port = 9;
  std::uint32_t packets_per_second = 20'000;  // at full intensity
  CacheSizes caches = CacheSizes::OfThisMachine();
};

// Inside what the victim has, or the benchmark sees other resources than it does.
struct Placement {
  std::vector<int> processors;  // empty: wherever the caller runs
  // The files that a thread's id is written to: the victim's cgroup ("tasks" of v1,
  // "cgroup.threads" of v2), and the one to come back to where the run is starved.
  std::string tasks_file, home_tasks_file;
  std::string network_namespace;  // "/proc/12/ns/net"
  // SCHED_IDLE: whoever wants the processor has it at once. A processor that others want all the
  // time then leaves a benchmark starved, which says as much as slow.
  bool only_idle_time = true;
  std::size_t memory_room = 0;  // bytes that the victim's cgroup has left; 0: not known
};

struct MicrobenchmarkRun {
  Microbenchmark benchmark = Microbenchmark::kCpu;
  Reason reason = Reason::kNotObserved;  // why there is no number
  double ns_per_step = 0;
  std::uint64_t steps = 0;
  std::chrono::nanoseconds wall{0};  // from the caller's view, all in all
  std::chrono::nanoseconds processor{0};
  bool aborted = false;  // by `stop`
  bool starved = false;  // it was hardly let run
  bool ok() const { return reason == Reason::kNone; }
};

class Microbenchmarks {
 public:
  using Stop = std::function<bool()>;

  // InvalidArgument for a budget outside [1 ms, 100 ms], or sizes beyond reason.
  static absl::StatusOr<std::unique_ptr<Microbenchmarks>> Create(
      const MicrobenchmarkOptions& options = {});
  ~Microbenchmarks();

  // Intensity 0 to 1: of the time, or of the size of what it leans on. 0 senses only.
  MicrobenchmarkRun Run(Microbenchmark benchmark, double intensity, const Placement& placement,
                        const Stop& stop = nullptr);
  // The median of three runs that only sense.
  MicrobenchmarkRun Sense(Microbenchmark benchmark, const Placement& placement,
                          const Stop& stop = nullptr);

  // Senses with each that can run, and keeps what it says as the idle machine's. Unavailable where
  // one of them was hardly let run, three times: those that were stay calibrated, and slowdowns of
  // the others are not known.
  absl::Status Calibrate(const Placement& placement, const Stop& stop = nullptr);
  double idle_ns(Microbenchmark benchmark) const {
    return idle_ns_[static_cast<std::size_t>(benchmark)];
  }
  void set_idle_ns(Microbenchmark benchmark, double ns) {
    idle_ns_[static_cast<std::size_t>(benchmark)] = ns;
  }
  // How many times slower than idle; 0 where that is not known.
  double Slowdown(const MicrobenchmarkRun& run) const;

  struct Finding {
    bool any = false;  // one is slower than `threshold`
    Microbenchmark benchmark = Microbenchmark::kCpu;
    double slowdown = 0;
    std::array<MicrobenchmarkRun, kMicrobenchmarks> runs;  // those that were made
    std::chrono::nanoseconds probing{0};
    bool aborted = false;
  };
  // From the core outwards, up to the first core benchmark that is slow, or else to the worst of
  // the rest. Ends when `stop` says so, or after `most` of probing.
  Finding FirstSlow(double threshold, const Placement& placement, const Stop& stop = nullptr,
                    std::chrono::nanoseconds most = std::chrono::milliseconds(150));

 private:
  struct State;
  explicit Microbenchmarks(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
  std::array<double, kMicrobenchmarks> idle_ns_ = {};
};

SEER_END_NAMESPACE
