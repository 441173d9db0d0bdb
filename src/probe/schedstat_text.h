// What /proc says about a process and its threads.
#pragma once

#include <sys/types.h>

#include <charconv>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>

#include "absl/types/span.h"
#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE
namespace internal {

struct TaskStat {  // /proc/PID/stat
  std::uint64_t major_faults = 0;
  std::uint64_t cpu_ticks = 0;
  std::uint64_t threads = 0;
  std::uint64_t start_time = 0;
};
std::optional<TaskStat> ParseTaskStat(std::string_view line);

struct SchedStat {  // /proc/PID/task/TID/schedstat
  std::uint64_t run_ns = 0;
  std::uint64_t run_delay_ns = 0;
};
std::optional<SchedStat> ParseSchedStat(std::string_view line);

// "12/schedstat", in `buffer`, which has room for it.
inline const char* SchedStatPath(pid_t tid, absl::Span<char> buffer) {
  constexpr std::string_view kName = "/schedstat";
  char* const end =
      std::to_chars(buffer.data(), buffer.data() + buffer.size() - kName.size() - 1, tid).ptr;
  std::memcpy(end, kName.data(), kName.size());
  end[kName.size()] = '\0';
  return buffer.data();
}

}  // namespace internal
SEER_END_NAMESPACE
