#include "seer/probe/schedstat.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "probe/first_line.h"
#include "probe/schedstat_text.h"
#include "probe/text.h"
#include "seer/core/internal/strings.h"

SEER_BEGIN_NAMESPACE
namespace internal {

std::optional<TaskStat> ParseTaskStat(std::string_view line) {
  // "12 (any name) S ...": the name may hold blanks and parentheses, so the last one ends it.
  const std::size_t name_end = line.rfind(')');
  if (name_end == std::string_view::npos) return std::nullopt;
  line.remove_prefix(name_end + 1);
  // Numbered as in proc(5), where the state is field 3.
  constexpr std::size_t kMajorFaults = 12, kUserTicks = 14, kSystemTicks = 15, kThreads = 20,
                        kStartTime = 22;
  TaskStat stat;
  std::uint64_t system_ticks = 0;
  for (std::size_t field = 3; field <= kStartTime; ++field) {
    const std::string_view word = TakeWord(&line);
    std::uint64_t* to = nullptr;
    if (field == kMajorFaults) to = &stat.major_faults;
    if (field == kUserTicks) to = &stat.cpu_ticks;
    if (field == kSystemTicks) to = &system_ticks;
    if (field == kThreads) to = &stat.threads;
    if (field == kStartTime) to = &stat.start_time;
    if (to == nullptr) continue;
    const auto number = ParseNumber(word);
    if (!number.has_value()) return std::nullopt;
    *to = *number;
  }
  stat.cpu_ticks = Sum(Reading::Of(stat.cpu_ticks), Reading::Of(system_ticks)).value;
  return stat;
}

std::optional<SchedStat> ParseSchedStat(std::string_view line) {
  const auto run = ParseNumber(TakeWord(&line));
  const auto delay = ParseNumber(TakeWord(&line));
  if (!run.has_value() || !delay.has_value()) return std::nullopt;
  return SchedStat{*run, *delay};
}

}  // namespace internal

namespace {

using internal::FirstLine;
using internal::ProcFile;

}  // namespace

absl::StatusOr<TaskProbe> TaskProbe::Open(pid_t pid, const TaskProbeOptions& options) {
  if (pid <= 0) return absl::InvalidArgumentError(absl::StrCat("no process has the pid ", pid));
  TaskProbe probe;
  probe.options_ = options;
  const std::string process = absl::StrCat(options.root, "/proc/", pid);
  // From here on relative to this directory: it stays the process's, also when the pid is used
  // again.
  const internal::OwnedFd directory(::open(process.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) return absl::ErrnoToStatus(errno, process);
  probe.stat_ = ProcFile(directory.get(), "stat");
  ProcessStat stat;
  if (const Reason reason = probe.ReadStat(&stat); reason != Reason::kNone) {
    const std::string why = absl::StrCat(process, "/stat: ", internal::ToAbsl(ReasonName(reason)));
    if (reason == Reason::kPermission) return absl::PermissionDeniedError(why);
    if (reason == Reason::kMalformed || reason == Reason::kFailed) {
      return absl::UnavailableError(why);
    }
    return absl::NotFoundError(why);
  }
  if (options.start_time != 0 && options.start_time != stat.start_time) {
    return absl::NotFoundError(
        absl::StrCat("the process with the pid ", pid, " that began at ", options.start_time,
                     " ended; the one there now began at ", stat.start_time));
  }
  probe.start_time_ = stat.start_time;
  internal::OwnedFd tasks(::openat(directory.get(), "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!tasks) return absl::ErrnoToStatus(errno, absl::StrCat(process, "/task"));
  probe.tasks_.reset(::fdopendir(tasks.get()));
  if (probe.tasks_ == nullptr) return absl::ErrnoToStatus(errno, absl::StrCat(process, "/task"));
  tasks.release();  // the DIR's now
  probe.FindThreads(/*began=*/false);
  return probe;
}

Reason TaskProbe::ReadStat(ProcessStat* stat) const {
  std::array<char, 2048> buffer;
  std::string_view line;
  if (const Reason reason = FirstLine(stat_, absl::MakeSpan(buffer), &line);
      reason != Reason::kNone) {
    return reason;
  }
  const auto parsed = internal::ParseTaskStat(line);
  if (!parsed.has_value()) return Reason::kMalformed;
  *stat = {parsed->major_faults, parsed->cpu_ticks, parsed->threads, parsed->start_time};
  return Reason::kNone;
}

bool TaskProbe::Account(Thread* thread, bool began) {
  std::array<char, 128> buffer;
  std::string_view line;
  ProcFile opened;
  const ProcFile* file = &thread->file;
  if (!file->is_open()) {
    std::array<char, 64> path;
    const absl::Span<char> to = absl::MakeSpan(path);
    opened = ProcFile(::dirfd(tasks_.get()), internal::SchedStatPath(thread->tid, to));
    file = &opened;
  }
  const Reason reason = FirstLine(*file, absl::MakeSpan(buffer), &line);
  if (reason == Reason::kVanished || reason == Reason::kNotFound) return false;
  const auto parsed = reason == Reason::kNone ? internal::ParseSchedStat(line) : std::nullopt;
  if (!parsed.has_value()) {
    reason_ = reason == Reason::kNone ? Reason::kMalformed : reason;
    return true;
  }
  // A smaller number is another thread's that has the same tid: all of it is new.
  if (parsed->run_ns < thread->run_ns || parsed->run_delay_ns < thread->run_delay_ns) {
    thread->run_ns = thread->run_delay_ns = 0;
  }
  if (began || thread->was_read) {
    const auto add = [](std::uint64_t more, std::uint64_t* to) {
      *to = Sum(Reading::Of(*to), Reading::Of(more)).value;
    };
    add(parsed->run_ns - thread->run_ns, &run_ns_);
    add(parsed->run_delay_ns - thread->run_delay_ns, &run_delay_ns_);
  }
  thread->run_ns = parsed->run_ns;
  thread->run_delay_ns = parsed->run_delay_ns;
  thread->was_read = true;
  any_time_ |= parsed->run_ns > 0;
  return true;
}

void TaskProbe::FindThreads(bool began) {
  // A thread that was there but beyond the limit did not begin just now.
  began &= uncounted_ == 0;
  uncounted_ = 0;
  ::rewinddir(tasks_.get());
  const auto before = [](const Thread& thread, pid_t tid) { return thread.tid < tid; };
  const std::size_t known = threads_.size();
  // As many as there can be pids (PID_MAX_LIMIT), and "." and "..".
  constexpr std::size_t kMaxEntries = (std::size_t{1} << 22) + 2;
  for (std::size_t entries = 0; entries < kMaxEntries; ++entries) {
    const dirent* const entry = ::readdir(tasks_.get());
    if (entry == nullptr) break;
    const auto tid = internal::ParseNumber<pid_t>(entry->d_name);
    if (!tid.has_value()) continue;
    const auto end = threads_.begin() + static_cast<std::ptrdiff_t>(known);
    const auto it = std::lower_bound(threads_.begin(), end, *tid, before);
    if (it != end && it->tid == *tid) continue;
    if (threads_.size() >= options_.max_threads) {
      ++uncounted_;
      continue;
    }
    Thread thread;
    thread.tid = *tid;
    if (open_ < options_.max_open) {
      std::array<char, 64> path;
      thread.file = ProcFile(::dirfd(tasks_.get()),
                             internal::SchedStatPath(thread.tid, absl::MakeSpan(path)));
    }
    if (!Account(&thread, began)) continue;  // it ended already
    open_ += thread.file.is_open() ? 1 : 0;
    threads_.push_back(std::move(thread));
  }
  std::sort(threads_.begin(), threads_.end(),
            [](const Thread& a, const Thread& b) { return a.tid < b.tid; });
}

TaskTimes TaskProbe::Sample() {
  TaskTimes times;
  ProcessStat stat;
  Reason reason = ReadStat(&stat);
  if (reason == Reason::kNone && stat.start_time != start_time_) reason = Reason::kVanished;
  if (reason != Reason::kNone) {
    times.run_ns = times.run_delay_ns = times.major_faults = Reading::Not(reason);
    return times;
  }
  reason_ = Reason::kNone;
  const std::size_t known = threads_.size();
  std::size_t kept = 0;
  for (std::size_t i = 0; i < known; ++i) {
    if (Account(&threads_[i], /*began=*/false)) {
      if (kept != i) threads_[kept] = std::move(threads_[i]);
      ++kept;
    } else {
      ++ended_;
      open_ -= threads_[i].file.is_open() ? 1 : 0;
    }
  }
  threads_.resize(kept);
  if (threads_.size() != known || stat.threads != threads_.size() + uncounted_) {
    FindThreads(/*began=*/true);
  }

  times.major_faults = Reading::Of(stat.major_faults);
  times.threads = static_cast<std::uint32_t>(threads_.size());
  times.ended = ended_;
  times.uncounted = uncounted_;
  // Without CONFIG_SCHED_INFO the kernel writes zeros.
  reason = reason_;
  if (reason == Reason::kNone && !any_time_ && stat.cpu_ticks > 0) reason = Reason::kNotSupported;
  // Alive, but no thread has the file.
  if (reason == Reason::kNone && threads_.empty()) reason = Reason::kNotSupported;
  times.run_ns = reason == Reason::kNone ? Reading::Of(run_ns_) : Reading::Not(reason);
  times.run_delay_ns = reason == Reason::kNone ? Reading::Of(run_delay_ns_) : Reading::Not(reason);
  return times;
}

HostCpuProbe::HostCpuProbe(const std::string& root) : file_(root + "/proc/stat") {
  const long ticks_per_second = ::sysconf(_SC_CLK_TCK);
  if (ticks_per_second > 0 && ticks_per_second <= 1'000'000) {
    us_per_tick_ = 1'000'000 / static_cast<std::uint64_t>(ticks_per_second);
  }
}

HostCpuTimes HostCpuProbe::Sample() noexcept {
  const auto nothing = [](Reason reason) {
    return HostCpuTimes{Reading::Not(reason), Reading::Not(reason), Reading::Not(reason)};
  };
  std::array<char, 1024> buffer;
  std::string_view line;
  if (const Reason reason = FirstLine(file_, absl::MakeSpan(buffer), &line);
      reason != Reason::kNone) {
    return nothing(reason);
  }
  if (internal::TakeWord(&line) != "cpu") return nothing(Reason::kMalformed);
  // user nice system idle iowait irq softirq steal; guest time, behind them, is in user already.
  constexpr std::size_t kIdle = 3, kIowait = 4, kSteal = 7;
  Reading busy = Reading::Of(0), steal = Reading::Not(Reason::kNotSupported),
          total = Reading::Of(0);
  for (std::size_t i = 0; i <= kSteal; ++i) {
    const std::string_view word = internal::TakeWord(&line);
    if (word.empty() && i > kIdle) break;  // kernels before 2.6.11 tell less
    const auto ticks = internal::ParseNumber(word);
    if (!ticks.has_value() || *ticks > Reading::kUnlimited / us_per_tick_) {
      return nothing(Reason::kMalformed);
    }
    const Reading us = Reading::Of(*ticks * us_per_tick_);
    total = Sum(total, us);
    if (i == kSteal) {
      steal = us;
    } else if (i != kIdle && i != kIowait) {
      busy = Sum(busy, us);
    }
  }
  return {busy, steal, total};
}

SEER_END_NAMESPACE
