// Flow: (hwmon/) the processor's counters -> [PerfEvents] -> counter_monitor.h
//
// Which event of which processor says what, and the system calls that count it. A class of its own
// so that tests can be a processor whose counters lie.
//
//   const seer::EventTable table = seer::EventTable::OfThisMachine();
//   const seer::CounterTrust trust = seer::TestCounters(seer::KernelPerfEvents(), table);
//   if (trust.at_once == 0) ...                         // see trust.reason
//
// Guests may see counters that stay at zero, or count something else, while the kernel says that
// all is well: the hypervisor, or a watchdog beneath it, uses them itself. So before anything is
// believed, the same event is counted by 1, 2, 3 ... counters at once, and all of them have to say
// the same.
//
// Threads: KernelPerfEvents() from any; TestCounters runs on the calling thread.
// Cost:    TestCounters 2 ms.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/types/span.h"
#include "seer/core/config.h"
#include "seer/core/hw_reading.h"

SEER_BEGIN_NAMESPACE

enum class CounterKind : std::uint8_t {
  kCycles,
  kInstructions,
  kMemoryFills,   // cache lines that came from memory
  kMemoryStalls,  // cycles in which the core stood still for one of them
};
inline constexpr std::size_t kCounterKinds = 4;
std::string_view CounterKindName(CounterKind kind);

struct CounterEvent {
  std::uint32_t type = 0;    // perf_event_attr::type
  std::uint64_t config = 0;  // perf_event_attr::config
  std::string_view name;     // the maker's; empty: this processor has none that is known
  std::string_view source;   // where it is described
  bool known() const { return !name.empty(); }
};

struct EventTable {
  std::string_view processor;
  std::array<CounterEvent, kCounterKinds> events;
  const CounterEvent& operator[](CounterKind kind) const {
    return events[static_cast<std::size_t>(kind)];
  }

  // As /proc/cpuinfo names them: "GenuineIntel", "AuthenticAMD"; "arm64" for Arm. Of a processor
  // that is not known: cycles and instructions only, which every kernel maps itself.
  static EventTable Of(std::string_view vendor, int family, int model);
  // `root` stands before /proc.
  static EventTable OfThisMachine(const std::string& root = "");
};

struct CounterRequest {
  CounterEvent event;
  std::int32_t pid =
      -1;           // a thread; 0: the calling one; -1: all, or with `cgroup` a directory's fd
  int cpu = -1;     // -1: any
  int leader = -1;  // of the group; -1: this one leads
  bool cgroup = false;
  bool uncore = false;  // a counter outside the cores: of all that happens, whoever runs
};

// What perf_event_open and its files do.
class PerfEvents {
 public:
  virtual ~PerfEvents() = default;
  // A file, or a negative errno. Counts user code only where more is not permitted.
  virtual int Open(const CounterRequest& request) = 0;
  // Of a group's leader: how many counters, time enabled, time running, then each value. How many
  // words there were, or a negative errno.
  virtual std::ptrdiff_t Read(int file, absl::Span<std::uint64_t> words) = 0;
  virtual void Close(int file) = 0;
};
PerfEvents& KernelPerfEvents();

struct CounterTrust {
  int at_once = 0;  // so many counters tell the truth together; 0: none is to be trusted
  Reason reason = Reason::kNone;  // why not more: kSelfTest, or why no further one could be opened
  int tried = 0;                  // counters at once, at most
};
inline constexpr int kMostCounters = 8;
CounterTrust TestCounters(PerfEvents& events, const EventTable& table);

SEER_END_NAMESPACE
