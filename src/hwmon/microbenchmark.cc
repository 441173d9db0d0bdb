#include "seer/hwmon/microbenchmark.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <condition_variable>
#include <csignal>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "hwmon/files.h"
#include "hwmon/microbenchmark_kernels.h"
#include "seer/probe/reading.h"

SEER_BEGIN_NAMESPACE

using internal::KernelJob;
using internal::OwnedFd;

namespace {

using SteadyClock = std::chrono::steady_clock;

// "32K", "105M" of sysfs.
std::size_t BytesIn(std::string_view text, std::size_t otherwise) {
  std::size_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || value == 0) return otherwise;
  std::size_t unit = 1;
  if (end != text.data() + text.size()) {
    if (*end == 'K') unit = std::size_t{1} << 10;
    if (*end == 'M') unit = std::size_t{1} << 20;
    if (*end == 'G') unit = std::size_t{1} << 30;
  }
  constexpr std::size_t kMost = std::size_t{1} << 34;
  return value > kMost / unit ? otherwise : value * unit;
}

std::string FirstLineOf(const std::string& path) {
  constexpr std::size_t kMost = 128;
  std::string text;
  (void)internal::ReadFront(path, kMost, &text);
  return text.substr(0, text.find('\n'));
}

Reason WriteThreadId(const std::string& path, int tid) {
  const OwnedFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file) return ReasonOfErrno(errno);
  const std::string text = std::to_string(tid);
  if (::write(file.get(), text.data(), text.size()) < 0) return ReasonOfErrno(errno);
  return Reason::kNone;
}

cpu_set_t* HomeSet(std::array<unsigned long, 128>& mask) {
  return reinterpret_cast<cpu_set_t*>(mask.data());
}

// On the benchmark's own thread.
Reason Settle(const Placement& placement, bool idle_time) {
  if (!placement.processors.empty()) {
    std::array<unsigned long, 128> mask = {};
    constexpr int kBits = static_cast<int>(sizeof(unsigned long) * 8);
    for (const int cpu : placement.processors) {
      if (cpu < 0 || cpu >= static_cast<int>(mask.size()) * kBits) return Reason::kNotFound;
      mask[static_cast<std::size_t>(cpu / kBits)] |= 1ul << (cpu % kBits);
    }
    if (::sched_setaffinity(0, sizeof(mask), reinterpret_cast<const cpu_set_t*>(mask.data())) !=
        0) {
      return errno == EINVAL ? Reason::kNotFound : ReasonOfErrno(errno);  // offline, or not ours
    }
  }
  if (!placement.tasks_file.empty()) {
    const auto tid = static_cast<int>(::syscall(SYS_gettid));
    if (const Reason r = WriteThreadId(placement.tasks_file, tid); r != Reason::kNone) return r;
  }
  if (!placement.network_namespace.empty()) {
    const OwnedFd space(::open(placement.network_namespace.c_str(), O_RDONLY | O_CLOEXEC));
    if (!space || ::setns(space.get(), CLONE_NEWNET) != 0) return ReasonOfErrno(errno);
  }
  if (idle_time) {
    const sched_param param = {};
    // Where it is refused the benchmark runs as everybody does: it is short.
    (void)::sched_setscheduler(0, SCHED_IDLE, &param);
  }
  return Reason::kNone;
}

}  // namespace

std::string_view MicrobenchmarkName(Microbenchmark benchmark) {
  constexpr std::string_view kNames[kMicrobenchmarks] = {
      "cpu", "l1i", "l1d", "l2", "llc", "membw", "memcap", "netbw", "diskbw", "diskcap"};
  const auto i = static_cast<std::size_t>(benchmark);
  return i < kMicrobenchmarks ? kNames[i] : "unknown";
}

Resource ResourceOf(Microbenchmark benchmark) {
  switch (benchmark) {
    case Microbenchmark::kCpu:
      return Resource::kCpu;
    case Microbenchmark::kL1i:
    case Microbenchmark::kL1d:
    case Microbenchmark::kL2:
    case Microbenchmark::kLlc:
      return Resource::kCache;
    case Microbenchmark::kMemoryBandwidth:
      return Resource::kMemoryBandwidth;
    case Microbenchmark::kMemoryCapacity:
      return Resource::kMemoryCapacity;
    case Microbenchmark::kNetwork:
      return Resource::kNetwork;
    case Microbenchmark::kDiskBandwidth:
    case Microbenchmark::kDiskCapacity:
      break;
  }
  return Resource::kStorage;
}

CacheSizes CacheSizes::OfThisMachine(const std::string& root) {
  CacheSizes sizes;
  constexpr int kMostCaches = 16;
  for (int i = 0; i < kMostCaches; ++i) {
    const std::string at = absl::StrCat(root, "/sys/devices/system/cpu/cpu0/cache/index", i, "/");
    const std::string level = FirstLineOf(at + "level"), type = FirstLineOf(at + "type");
    if (level.empty()) break;
    std::size_t* to = nullptr;
    if (level == "1") to = type == "Instruction" ? &sizes.l1i : &sizes.l1d;
    if (level == "2") to = &sizes.l2;
    if (level == "3") to = &sizes.llc;
    if (to != nullptr) *to = BytesIn(FirstLineOf(at + "size"), *to);
    const std::size_t line = BytesIn(FirstLineOf(at + "coherency_line_size"), sizes.line);
    if (line >= 16 && line <= 1024) sizes.line = line;
  }
  return sizes;
}

struct Microbenchmarks::State {
  internal::KernelResources resources;
};

Microbenchmarks::Microbenchmarks(std::unique_ptr<State> state) : state_(std::move(state)) {}
Microbenchmarks::~Microbenchmarks() = default;

absl::StatusOr<std::unique_ptr<Microbenchmarks>> Microbenchmarks::Create(
    const MicrobenchmarkOptions& options) {
  const auto wrong = [](const char* field, const char* what) {
    return absl::InvalidArgumentError(absl::StrCat("options.", field, ": ", what));
  };
  if (options.budget < std::chrono::milliseconds(1) ||
      options.budget > std::chrono::milliseconds(100)) {
    return wrong("budget", "a run takes 1 to 100 ms: choose one in between");
  }
  constexpr std::size_t kLeast = 1 << 20, kMost = std::size_t{4} << 30;
  if (options.max_bytes < kLeast || options.max_bytes > kMost) {
    return wrong("max_bytes", "give 1 MiB to 4 GiB");
  }
  if (options.disk && (options.disk_bytes < kLeast || options.disk_bytes > kMost)) {
    return wrong("disk_bytes", "give 1 MiB to 4 GiB");
  }
  const CacheSizes& caches = options.caches;
  if (caches.line < 16 || caches.line > 1024 || (caches.line & (caches.line - 1)) != 0 ||
      caches.l1i < caches.line || caches.l1i > kMost || caches.l1d < caches.line ||
      caches.l2 < caches.line || caches.l2 > kMost || caches.llc < caches.line ||
      caches.llc > (std::size_t{1} << 34)) {
    return wrong("caches", "no machine has such sizes: take CacheSizes::OfThisMachine()");
  }
  auto state = std::make_unique<State>();
  state->resources.options = options;
  state->resources.options.disk_bytes &= ~std::size_t{(1 << 20) - 1};
  state->resources.options.caches.l1i = std::min<std::size_t>(caches.l1i, 1 << 20);
  internal::PrepareKernels(&state->resources);
  if (state->resources.chase.data() == nullptr || state->resources.near[0].data() == nullptr ||
      state->resources.near[1].data() == nullptr) {
    return absl::ResourceExhaustedError(
        "options.max_bytes: there is not as much memory: give less");
  }
  return std::unique_ptr<Microbenchmarks>(new Microbenchmarks(std::move(state)));
}

MicrobenchmarkRun Microbenchmarks::Run(Microbenchmark benchmark, double intensity,
                                       const Placement& placement, const Stop& stop) {
  MicrobenchmarkRun run;
  run.benchmark = benchmark;
  std::atomic<bool> stopped{false};
  KernelJob job;
  job.benchmark = benchmark;
  // NaN is 0.
  job.intensity = intensity > 0 ? std::min(intensity, 1.0) : 0;
  job.memory_room = placement.memory_room;
  job.stop = &stopped;
  job.gives_way = placement.only_idle_time;
  internal::PrepareKernel(&state_->resources, job);
  const auto began = SteadyClock::now();

  std::mutex mutex;
  std::condition_variable changed;
  bool done = false;  // under mutex
  std::atomic<int> tid{0};
  std::thread thread;
  // The thread inherits what is blocked here: it runs no handler of the host's.
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    thread = std::thread([&] {
      tid.store(static_cast<int>(::syscall(SYS_gettid)), std::memory_order_relaxed);  // a number
      job.reason = Settle(placement, placement.only_idle_time);
      if (job.reason == Reason::kNone) internal::RunKernel(&state_->resources, &job);
      const std::lock_guard<std::mutex> lock(mutex);
      done = true;
      changed.notify_one();
    });
  } catch (const std::system_error&) {
    run.reason = Reason::kFailed;
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (!thread.joinable()) return run;

  // Sized for machines with more processors than a cpu_set_t has.
  std::array<unsigned long, 128> home = {};
  const bool home_known = ::sched_getaffinity(0, sizeof(home), HomeSet(home)) == 0;
  const auto deadline = began + 2 * state_->resources.options.budget;
  std::unique_lock<std::mutex> lock(mutex);
  while (!changed.wait_for(lock, std::chrono::milliseconds(1), [&] { return done; })) {
    lock.unlock();
    const bool late = SteadyClock::now() > deadline;
    if (!run.aborted && !late && stop != nullptr && stop()) {
      run.aborted = true;
      stopped.store(true, std::memory_order_relaxed);  // a wish; orders nothing
    }
    run.starved = run.starved || (late && !run.aborted);
    if (late || run.aborted) {
      // It may not get to its own look at the clock: back to where we are, to end at once. And
      // again until it has: it may not even have begun, and would turn to idle time only then.
      stopped.store(true, std::memory_order_relaxed);
      const int id = tid.load(std::memory_order_relaxed);
      const sched_param param = {};
      if (id != 0) {
        // First away from the victim, then to everybody's priority.
        if (home_known) (void)::sched_setaffinity(id, sizeof(home), HomeSet(home));
        (void)::sched_setscheduler(id, SCHED_OTHER, &param);
        if (!placement.home_tasks_file.empty()) (void)WriteThreadId(placement.home_tasks_file, id);
      }
    }
    lock.lock();
  }
  lock.unlock();
  thread.join();

  run.reason = job.reason;
  run.steps = job.steps;
  run.processor = std::chrono::nanoseconds(job.processor_ns);
  run.wall = std::chrono::duration_cast<std::chrono::nanoseconds>(SteadyClock::now() - began);
  if (run.reason == Reason::kNone) {
    if (job.steps > 0) {
      run.ns_per_step = static_cast<double>(job.step_ns) / static_cast<double>(job.steps);
    } else {
      run.reason = Reason::kFailed;  // aborted, or starved, before the first piece
    }
  }
  return run;
}

MicrobenchmarkRun Microbenchmarks::Sense(Microbenchmark benchmark, const Placement& placement,
                                         const Stop& stop) {
  constexpr int kRuns = 3;
  std::array<MicrobenchmarkRun, kRuns> runs;
  std::chrono::nanoseconds wall{0}, processor{0};
  int made = 0;
  for (; made < kRuns; ++made) {
    runs[made] = Run(benchmark, 0, placement, stop);
    wall += runs[made].wall;
    processor += runs[made].processor;
    if (!runs[made].ok() || runs[made].aborted || runs[made].starved) break;
  }
  // What went wrong is what there is to say.
  MicrobenchmarkRun result;
  if (made < kRuns) {
    result = runs[made];
  } else {
    std::sort(runs.begin(), runs.end(),
              [](const auto& a, const auto& b) { return a.ns_per_step < b.ns_per_step; });
    result = runs[kRuns / 2];
  }
  result.wall = wall;
  result.processor = processor;
  return result;
}

absl::Status Microbenchmarks::Calibrate(const Placement& placement, const Stop& stop) {
  constexpr int kTries = 3;  // a neighbour that passes by is no reason to go blind
  std::string_view starved;
  for (std::size_t i = 0; i < kMicrobenchmarks; ++i) {
    const auto benchmark = static_cast<Microbenchmark>(i);
    MicrobenchmarkRun run;
    for (int made = 0; made < kTries && (made == 0 || run.starved); ++made) {
      run = Sense(benchmark, placement, stop);
      if (run.aborted) {
        return absl::AbortedError("calibration was stopped: calibrate again when all is quiet");
      }
    }
    if (run.starved) {
      if (starved.empty()) starved = MicrobenchmarkName(benchmark);
    } else if (run.ok()) {
      idle_ns_[i] = run.ns_per_step;
    }
  }
  if (!starved.empty()) {
    return absl::UnavailableError(absl::StrCat(
        "calibration: ", absl::string_view(starved.data(), starved.size()),
        " was hardly let run: check the placement, and calibrate again when a processor is free"));
  }
  if (idle_ns_[0] > 0) return absl::OkStatus();
  return absl::UnavailableError(
      "calibration: not even arithmetic could run: check the placement, and that a processor is "
      "free");
}

double Microbenchmarks::Slowdown(const MicrobenchmarkRun& run) const {
  const double idle = idle_ns(run.benchmark);
  return run.ok() && idle > 0 ? run.ns_per_step / idle : 0;
}

Microbenchmarks::Finding Microbenchmarks::FirstSlow(double threshold, const Placement& placement,
                                                    const Stop& stop,
                                                    std::chrono::nanoseconds most) {
  Finding finding;
  for (std::size_t i = 0; i < kMicrobenchmarks; ++i) {
    const auto benchmark = static_cast<Microbenchmark>(i);
    // One that is starved takes twice its budget.
    const std::chrono::nanoseconds budget = state_->resources.options.budget;
    if (finding.probing + 2 * budget > most) break;
    MicrobenchmarkRun& run = finding.runs[i];
    run = Run(benchmark, 0, placement, stop);
    finding.probing += run.wall;
    // Nothing makes a benchmark look faster than it is: only one that looks slow is asked again.
    if (!run.aborted && !run.starved && Slowdown(run) >= threshold &&
        finding.probing + 4 * budget <= most) {
      run = Sense(benchmark, placement, stop);
      finding.probing += run.wall;
    }
    if (run.aborted) {
      finding.aborted = true;
      return finding;
    }
    const double slowdown = Slowdown(run);
    if (slowdown > finding.slowdown && (slowdown >= threshold || !finding.any)) {
      finding.slowdown = slowdown;
      finding.benchmark = benchmark;
      finding.any = slowdown >= threshold;
    }
    // What lies farther out would look slow, too.
    if (finding.any && IsOfCore(benchmark)) return finding;
    if (run.starved && IsOfCore(benchmark)) {
      finding.any = true;
      finding.benchmark = benchmark;
      return finding;
    }
  }
  return finding;
}

SEER_END_NAMESPACE
