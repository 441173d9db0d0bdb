// The counters of the memory controllers.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "seer/core/config.h"
#include "seer/hwmon/perf_events.h"
#include "seer/probe/reading.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// One event of one controller, by the processor that reads it.
struct UncoreEvent {
  std::uint32_t type = 0;
  std::uint64_t config = 0;
  int cpu = 0;
  double bytes = 64;  // of one count
};

// As sysfs below `root` describes them, reads and writes; at most kMostUncoreEvents.
inline constexpr std::size_t kMostUncoreEvents = 256;
std::vector<UncoreEvent> FindUncoreEvents(const std::string& root);

// "event=0x04,umask=0x03", each put where the directory of formats says ("config:8-15"). Nothing
// that is not understood: 0.
std::uint64_t UncoreConfig(std::string_view event, const std::string& format_directory);

class UncoreCounters {
 public:
  UncoreCounters(const std::string& root, PerfEvents* events);
  UncoreCounters(const UncoreCounters&) = delete;
  ~UncoreCounters();
  // Bytes that passed since it was made; never falls.
  Reading Bytes();

 private:
  struct Counter {
    int file = -1;
    double bytes = 0;
    std::uint64_t value = 0, enabled = 0, running = 0;  // as read last
  };
  PerfEvents& events_;
  std::vector<Counter> counters_;
  Reason reason_ = Reason::kNotFound;
  double total_ = 0;
};

}  // namespace internal
SEER_END_NAMESPACE
