#include "seer/hwmon/perf_events.h"

#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "hwmon/files.h"
#include "seer/probe/reading.h"

SEER_BEGIN_NAMESPACE
namespace {

constexpr CounterEvent kCycles{PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES, "cycles",
                               "perf_event_open(2)"};
constexpr CounterEvent kInstructions{PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS, "instructions",
                                     "perf_event_open(2)"};
// Not PERF_COUNT_HW_CACHE_MISSES: on AMD the kernel maps that to misses of the second level, on Arm
// to refills of the first.
constexpr CounterEvent kIntelMisses{PERF_TYPE_RAW, 0x412e, "LONGEST_LAT_CACHE.MISS",
                                    "Intel SDM volume 3, architectural events"};
constexpr CounterEvent kIntelStalls{PERF_TYPE_RAW, 0x060006a3, "CYCLE_ACTIVITY.STALLS_L3_MISS",
                                    "Intel perfmon event lists, Skylake to Sapphire Rapids"};
constexpr CounterEvent kZenFills{PERF_TYPE_RAW, 0x4844, "ls_any_fills_from_sys.dram_io_all",
                                 "AMD PPR, PMCx044, Zen 3 and later"};
constexpr CounterEvent kZenDemandFills{PERF_TYPE_RAW, 0x4843, "ls_refills_from_sys.ls_mabresp_dram",
                                       "AMD PPR, PMCx043, Zen 1 and 2"};
constexpr CounterEvent kArmMisses{PERF_TYPE_RAW, 0x37, "LL_CACHE_MISS_RD",
                                  "Arm Architecture Reference Manual, common events"};
constexpr CounterEvent kArmStalls{PERF_TYPE_RAW, 0x4005, "STALL_BACKEND_MEM",
                                  "Arm Architecture Reference Manual, common events"};

class Kernel final : public PerfEvents {
 public:
  int Open(const CounterRequest& request) override {
    perf_event_attr attr;
    std::memset(&attr, 0, sizeof(attr));
    attr.size = sizeof(attr);
    attr.type = request.event.type;
    attr.config = request.event.config;
    attr.read_format =
        PERF_FORMAT_GROUP | PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING;
    // Counters outside the cores know no modes, and refuse to leave one out.
    attr.exclude_hv = request.uncore ? 0 : 1;
    unsigned long flags = PERF_FLAG_FD_CLOEXEC;
    if (request.cgroup) flags |= PERF_FLAG_PID_CGROUP;
    const auto open = [&] {
      return ::syscall(SYS_perf_event_open, &attr, request.pid, request.cpu, request.leader, flags);
    };
    long fd = open();
    if (fd < 0 && (errno == EACCES || errno == EPERM) && !request.uncore) {
      attr.exclude_kernel = 1;
      fd = open();
    }
    return fd < 0 ? -errno : static_cast<int>(fd);
  }
  std::ptrdiff_t Read(int file, absl::Span<std::uint64_t> words) override {
    const ssize_t got = ::read(file, words.data(), words.size() * sizeof(std::uint64_t));
    if (got < 0) return -errno;
    return got / static_cast<ssize_t>(sizeof(std::uint64_t));
  }
  void Close(int file) override { ::close(file); }
};

int NumberIn(std::string_view text) {
  int value = 0;
  const bool hex = text.substr(0, 2) == "0x";
  if (hex) text.remove_prefix(2);
  std::from_chars(text.data(), text.data() + text.size(), value, hex ? 16 : 10);
  return value;
}

// Work whose instructions the compiler cannot remove: at least three for each round.
constexpr std::uint64_t kRounds = 20'000;
void Work() {
  static std::atomic<std::uint64_t> sink{0};
  for (std::uint64_t i = 0; i < kRounds; ++i) sink.store(i, std::memory_order_relaxed);
}

// True where all say the same, and something that the work can have been.
bool Agree(absl::Span<std::uint64_t> counts) {
  std::sort(counts.begin(), counts.end());
  const std::uint64_t median = counts[counts.size() / 2];
  constexpr std::uint64_t kMostPlausible = kRounds * 1000;
  if (median < kRounds || median > kMostPlausible) return false;
  const std::uint64_t within = median / 50;  // 2 %
  return median - counts.front() <= within && counts.back() - median <= within;
}

}  // namespace

std::string_view CounterKindName(CounterKind kind) {
  switch (kind) {
    case CounterKind::kCycles:
      return "cycles";
    case CounterKind::kInstructions:
      return "instructions";
    case CounterKind::kMemoryFills:
      return "memory-fills";
    case CounterKind::kMemoryStalls:
      return "memory-stalls";
  }
  return "unknown";
}

EventTable EventTable::Of(std::string_view vendor, int family, int model) {
  EventTable table;
  table.processor = "any";
  table.events = {kCycles, kInstructions, CounterEvent(), CounterEvent()};
  auto& fills = table.events[static_cast<std::size_t>(CounterKind::kMemoryFills)];
  auto& stalls = table.events[static_cast<std::size_t>(CounterKind::kMemoryStalls)];
  if (vendor == "GenuineIntel" && family == 6) {
    table.processor = "Intel";
    fills = kIntelMisses;
    // Skylake, Kaby Lake to Comet Lake, Cannon and Ice Lake, Tiger and Rocket Lake, Sapphire and
    // Emerald Rapids. Atoms and older cores number their stalls otherwise.
    constexpr int kWithStalls[] = {0x4e, 0x5e, 0x55, 0x8e, 0x9e, 0xa5, 0xa6, 0x66, 0x7d,
                                   0x7e, 0x6a, 0x6c, 0x8c, 0x8d, 0xa7, 0x8f, 0xcf};
    if (std::find(std::begin(kWithStalls), std::end(kWithStalls), model) != std::end(kWithStalls)) {
      stalls = kIntelStalls;
    }
  } else if (vendor == "AuthenticAMD" && family >= 0x17) {
    table.processor = "AMD Zen";
    fills = family >= 0x19 ? kZenFills : kZenDemandFills;
  } else if (vendor == "arm64") {
    table.processor = "Arm";
    fills = kArmMisses;
    stalls = kArmStalls;
  }
  return table;
}

EventTable EventTable::OfThisMachine(const std::string& root) {
  // The first processor's lines.
  constexpr std::size_t kMost = 16384;
  std::string text;
  (void)internal::ReadFront(root + "/proc/cpuinfo", kMost, &text);
  std::string_view rest = text;
  std::string vendor;
  int family = 0, model = 0;
  std::string_view line;
  constexpr int kLinesOfOne = 64;
  for (int i = 0; i < kLinesOfOne && internal::TakeLine(&rest, &line) && !line.empty(); ++i) {
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    std::string_view key = line.substr(0, colon);
    while (!key.empty() && (key.back() == '\t' || key.back() == ' ')) key.remove_suffix(1);
    std::string_view value = line.substr(colon + 1);
    while (!value.empty() && value.front() == ' ') value.remove_prefix(1);
    if (key == "vendor_id") vendor = std::string(value);
    if (key == "cpu family") family = NumberIn(value);
    if (key == "model") model = NumberIn(value);
    if (key == "CPU implementer") vendor = "arm64";
  }
  return Of(vendor, family, model);
}

PerfEvents& KernelPerfEvents() {
  static Kernel kernel;
  return kernel;
}

CounterTrust TestCounters(PerfEvents& events, const EventTable& table) {
  CounterTrust trust;
  CounterRequest request;
  request.event = table[CounterKind::kInstructions];
  request.pid = 0;
  for (int k = 1; k <= kMostCounters; ++k) {
    // Each a group of its own: the processor must have room for all of them, or one does not run.
    std::array<int, kMostCounters> files;
    std::array<std::uint64_t, kMostCounters> counts = {};
    int opened = 0;
    int error = 0;
    for (; opened < k; ++opened) {
      files[opened] = events.Open(request);
      if (files[opened] < 0) {
        error = -files[opened];
        break;
      }
    }
    bool all_ran = true;
    if (error == 0) {
      std::array<std::uint64_t, 4> words;  // how many, enabled, running, value
      const auto read = [&](int i, std::uint64_t* count) {
        words = {};
        const bool whole = events.Read(files[i], absl::MakeSpan(words)) >= 4 && words[0] == 1;
        all_ran = all_ran && whole && words[1] == words[2];
        *count = words[3];
      };
      std::array<std::uint64_t, kMostCounters> before = {};
      for (int i = 0; i < k; ++i) read(i, &before[i]);
      Work();
      for (int i = 0; i < k; ++i) {
        read(i, &counts[i]);
        counts[i] -= std::min(counts[i], before[i]);
      }
    }
    for (int i = 0; i < opened; ++i) events.Close(files[i]);
    if (error != 0) {
      trust.reason = error == EINVAL || error == ENOSPC || error == EBUSY || error == EMFILE
                         ? (k == 1 ? Reason::kNotSupported : Reason::kNone)
                         : ReasonOfErrno(error);
      return trust;
    }
    trust.tried = k;
    // They took turns: the processor has no room for as many.
    if (!all_ran && k > 1) return trust;
    if (!all_ran || !Agree(absl::MakeSpan(counts.data(), k))) {
      // One lies. Which, nobody knows; with one less than was right there is one to spare.
      trust.at_once = std::max(0, trust.at_once - 1);
      trust.reason = Reason::kSelfTest;
      return trust;
    }
    trust.at_once = k;
  }
  return trust;
}

SEER_END_NAMESPACE
