#include "seer/probe/cgroup_stats.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <initializer_list>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "probe/cgroup_text.h"
#include "probe/first_line.h"
#include "probe/text.h"
#include "seer/core/internal/strings.h"

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

// mountinfo writes a blank as \040, and so on.
std::string Unescape(std::string_view text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      if (const auto code = ParseNumber<std::uint8_t>(text.substr(i + 1, 3), 8)) {
        result += static_cast<char>(*code);
        i += 3;
        continue;
      }
    }
    result += text[i];
  }
  return result;
}

}  // namespace

bool ParseCgroupMount(std::string_view line, CgroupMount* mount) {
  // "35 31 0:32 /root /mount/point rw,relatime shared:9 - cgroup cgroup rw,memory"
  for (int i = 0; i < 3; ++i) (void)TakeWord(&line);
  mount->root = Unescape(TakeWord(&line));
  mount->mount_point = Unescape(TakeWord(&line));
  const std::size_t dash = line.find(" - ");
  if (mount->mount_point.empty() || dash == std::string_view::npos) return false;
  line.remove_prefix(dash + 3);
  const std::string_view type = TakeWord(&line);
  (void)TakeWord(&line);  // the source
  mount->unified = type == "cgroup2";
  mount->options = absl::StrCat(",", ToAbsl(TakeWord(&line)), ",");
  return mount->unified || type == "cgroup";
}

bool ParseCgroupMembership(std::string_view line, CgroupMembership* membership) {
  const std::size_t first = line.find(':');
  if (first == std::string_view::npos) return false;
  const std::size_t second = line.find(':', first + 1);
  if (second == std::string_view::npos) return false;
  membership->controllers = line.substr(first + 1, second - first - 1);
  membership->path = line.substr(second + 1);
  return StartsWith(membership->path, "/");
}

std::string CgroupDirectory(const CgroupMount& mount, std::string_view path) {
  // What lies outside our cgroup namespace is shown as a way up.
  const auto leads_up = [](std::string_view p) {
    return absl::StrCat(ToAbsl(p), "/").find("/../") != std::string::npos;
  };
  if (leads_up(path) || leads_up(mount.root)) return "";
  if (mount.root != "/") {
    if (!StartsWith(path, mount.root)) return "";
    path.remove_prefix(mount.root.size());
    if (!path.empty() && path[0] != '/') return "";
  }
  if (path == "/") path = {};
  return absl::StrCat(mount.mount_point, ToAbsl(path));
}

Reading ParseLimit(std::string_view word) {
  if (word == "max" || word == "-1") return Reading::Of(Reading::kUnlimited);
  const auto number = ParseNumber(word);
  if (!number.has_value()) return Reading::Not(Reason::kMalformed);
  // v1 writes the largest number of whole pages, which depends on the page's size.
  constexpr std::uint64_t kNoMachineHasMore = std::uint64_t{1} << 62;
  return Reading::Of(*number >= kNoMachineHasMore ? Reading::kUnlimited : *number);
}

Reading LimitInMillis(const Reading& quota, const Reading& period) {
  if (!quota.ok() || quota.unlimited()) return quota;
  if (!period.ok()) return period;
  if (period.value == 0 || quota.value > Reading::kUnlimited / 1000) {
    return Reading::Not(Reason::kMalformed);
  }
  return Reading::Of(quota.value * 1000 / period.value);
}

}  // namespace internal

namespace {

using internal::LineReader;
using internal::ProcFile;

// Of the file's first line: its first word, or with `second` the one behind it.
Reading ReadLimit(const ProcFile& file, Reading* second = nullptr) {
  std::array<char, 128> buffer;
  std::string_view line;
  if (const Reason reason = internal::FirstLine(file, absl::MakeSpan(buffer), &line);
      reason != Reason::kNone) {
    if (second != nullptr) *second = Reading::Not(reason);
    return Reading::Not(reason);
  }
  const Reading first = internal::ParseLimit(internal::TakeWord(&line));
  if (second != nullptr) *second = internal::ParseLimit(internal::TakeWord(&line));
  return first;
}

struct Wanted {
  std::string_view key;
  Reading* reading;
};

// Lines "key number". What the file does not have is kNotSupported. After `enough` of the keys
// there is no further one to be found.
void ReadKeys(const ProcFile& file, std::initializer_list<Wanted> wanted,
              std::size_t enough = ~std::size_t{0}) {
  for (const Wanted& w : wanted) *w.reading = Reading::Not(Reason::kNotSupported);
  std::array<char, 4096> buffer;
  LineReader lines(file, absl::MakeSpan(buffer));
  std::string_view line;
  std::size_t missing = std::min(wanted.size(), enough);
  // All found: that saves the look for the end of the file.
  while (missing > 0 && lines.Next(&line)) {
    const std::string_view key = internal::TakeWord(&line);
    for (const Wanted& w : wanted) {
      if (w.key != key) continue;
      --missing;
      const auto number = internal::ParseNumber(internal::TakeWord(&line));
      *w.reading = number.has_value() ? Reading::Of(*number) : Reading::Not(Reason::kMalformed);
    }
  }
  if (lines.reason() == Reason::kNone) return;
  for (const Wanted& w : wanted) *w.reading = Reading::Not(lines.reason());
}

Reading InUs(const Reading& ns) { return ns.ok() ? Reading::Of(ns.value / 1000) : ns; }

// Before the first limit is looked at, or where there is nothing to look at.
Reading NoLimit(Reason reason) {
  return reason == Reason::kNone ? Reading::Of(Reading::kUnlimited) : Reading::Not(reason);
}

// The tighter of two limits. One that is not there (the root of a hierarchy has no files for
// limits, nor has a cgroup whose parent did not turn the controller on) limits nothing.
Reading Tighter(const Reading& a, const Reading& b) {
  if (b.reason == Reason::kNotFound) return a;
  if (!a.ok()) return a;
  if (!b.ok()) return b;
  return Reading::Of(std::min(a.value, b.value));
}

// The cgroup's directory, its parent's, and so on up to where the hierarchy is mounted; nothing and
// why where it is not there.
std::vector<std::string> WithAncestors(const CgroupPaths::Directory& directory, Reason* reason) {
  std::vector<std::string> result;
  *reason = CgroupId(directory.path).reason;
  if (*reason != Reason::kNone) return result;
  std::string at = directory.path;
  while (!at.empty() && result.size() <= CgroupProbe::kMaxAncestors) {
    result.push_back(at);
    if (at.size() <= directory.mount.size()) break;
    at.resize(at.rfind('/'));  // there is one: the path begins with the mount point and a slash
  }
  return result;
}

}  // namespace

absl::StatusOr<CgroupPaths> FindCgroups(pid_t pid, const std::string& root) {
  if (pid <= 0) return absl::InvalidArgumentError(absl::StrCat("no process has the pid ", pid));
  // Any of these lines may be some pages long: an overlay names all of its layers.
  std::vector<char> buffer(65536);
  std::string_view line;

  std::vector<internal::CgroupMount> mounts;
  const std::string mounts_path =
      root + (root.empty() ? "/proc/self/mountinfo" : "/proc/1/mountinfo");
  const ProcFile mounts_file(mounts_path);
  LineReader mount_lines(mounts_file, absl::MakeSpan(buffer));
  while (mount_lines.Next(&line)) {
    internal::CgroupMount mount;
    if (internal::ParseCgroupMount(line, &mount)) mounts.push_back(std::move(mount));
  }
  if (mount_lines.reason() != Reason::kNone) {
    return absl::UnavailableError(
        absl::StrCat(mounts_path, ": ", internal::ToAbsl(ReasonName(mount_lines.reason()))));
  }

  CgroupPaths paths;
  const auto take = [&](const internal::CgroupMount& mount, std::string_view path,
                        CgroupPaths::Directory* to) {
    if (!to->path.empty()) return;
    const std::string directory = internal::CgroupDirectory(mount, path);
    if (directory.empty()) return;
    *to = {root + directory, root + mount.mount_point};
  };
  const std::string membership_path = absl::StrCat(root, "/proc/", pid, "/cgroup");
  const ProcFile membership_file(membership_path);
  LineReader memberships(membership_file, absl::MakeSpan(buffer));
  while (memberships.Next(&line)) {
    internal::CgroupMembership membership;
    if (!internal::ParseCgroupMembership(line, &membership)) continue;
    const std::string controllers =
        absl::StrCat(",", internal::ToAbsl(membership.controllers), ",");
    for (const internal::CgroupMount& mount : mounts) {
      if (mount.unified) {
        if (membership.controllers.empty()) take(mount, membership.path, &paths.unified);
        continue;
      }
      const auto both = [&](const char* controller) {
        return controllers.find(controller) != std::string::npos &&
               mount.options.find(controller) != std::string::npos;
      };
      if (both(",cpu,")) take(mount, membership.path, &paths.cpu);
      if (both(",cpuacct,")) take(mount, membership.path, &paths.cpuacct);
      if (both(",memory,")) take(mount, membership.path, &paths.memory);
    }
  }
  if (memberships.reason() == Reason::kNotFound || memberships.reason() == Reason::kVanished) {
    return absl::NotFoundError(absl::StrCat(membership_path, ": the process ended"));
  }
  if (memberships.reason() != Reason::kNone) {
    return absl::UnavailableError(
        absl::StrCat(membership_path, ": ", internal::ToAbsl(ReasonName(memberships.reason()))));
  }
  if (paths.unified.path.empty() && paths.cpu.path.empty() && paths.cpuacct.path.empty() &&
      paths.memory.path.empty()) {
    return absl::NotFoundError(
        absl::StrCat("no cgroup of the process ", pid,
                     " is visible: mount /sys/fs/cgroup, and stay in the host's cgroup namespace"));
  }
  return paths;
}

Reading CgroupId(const std::string& directory) {
  struct stat of_directory;
  if (directory.empty()) return Reading();
  if (::stat(directory.c_str(), &of_directory) != 0) return Reading::Not(ReasonOfErrno(errno));
  return Reading::Of(of_directory.st_ino);
}

CgroupProbe::CgroupProbe(const CgroupPaths& paths)
    : cpu_v2_(paths.cpu.path.empty()),
      memory_v2_(paths.memory.path.empty()),
      pressure_(PressureProbe::OfCgroup(paths.unified.path)) {
  const auto open = [](const std::string& directory, const char* name) {
    return directory.empty() ? ProcFile() : ProcFile(directory + name);
  };
  // A controller is in one hierarchy only: where v1 has it, v2 has not. But v2 counts the
  // processor time in any case.
  unified_cpu_stat_ = open(paths.unified.path, "/cpu.stat");
  cpuacct_usage_ = open(paths.cpuacct.path, "/cpuacct.usage");
  cpu_stat_ = open(paths.cpu.path, "/cpu.stat");
  for (const std::string& at :
       WithAncestors(cpu_v2_ ? paths.unified : paths.cpu, &cpu_limits_reason_)) {
    CpuLimit limit;
    limit.quota = ProcFile(at + (cpu_v2_ ? "/cpu.max" : "/cpu.cfs_quota_us"));
    if (!cpu_v2_) limit.period = ProcFile(at + "/cpu.cfs_period_us");
    cpu_limits_.push_back(std::move(limit));
  }
  const CgroupPaths::Directory& memory = memory_v2_ ? paths.unified : paths.memory;
  memory_usage_ = open(memory.path, memory_v2_ ? "/memory.current" : "/memory.usage_in_bytes");
  memory_stat_ = open(memory.path, "/memory.stat");
  for (const std::string& at : WithAncestors(memory, &memory_limits_reason_)) {
    memory_limits_.emplace_back(at + (memory_v2_ ? "/memory.max" : "/memory.limit_in_bytes"));
  }
}

void CgroupProbe::SampleCpu(CgroupStats* stats) noexcept {
  Reading throttled_ns;
  if (cpu_v2_) {
    ReadKeys(unified_cpu_stat_, {{"usage_usec", &stats->cpu_usage_us},
                                 {"nr_periods", &stats->periods},
                                 {"nr_throttled", &stats->throttled_periods},
                                 {"throttled_usec", &stats->throttled_us}});
  } else {
    ReadKeys(cpu_stat_, {{"nr_periods", &stats->periods},
                         {"nr_throttled", &stats->throttled_periods},
                         {"throttled_time", &throttled_ns}});
    stats->throttled_us = InUs(throttled_ns);
  }
  if (cpuacct_usage_.is_open()) {
    stats->cpu_usage_us = InUs(internal::ReadNumber(cpuacct_usage_));
  } else if (!cpu_v2_) {
    ReadKeys(unified_cpu_stat_, {{"usage_usec", &stats->cpu_usage_us}});
  }

  Reading limit = NoLimit(cpu_limits_reason_);
  for (const CpuLimit& file : cpu_limits_) {
    Reading period;
    const Reading quota = cpu_v2_ ? ReadLimit(file.quota, &period) : ReadLimit(file.quota);
    if (!cpu_v2_) period = ReadLimit(file.period);
    limit = Tighter(limit, internal::LimitInMillis(quota, period));
  }
  stats->cpu_limit_millis = limit;
}

void CgroupProbe::SampleMemory(bool quick, CgroupStats* stats) noexcept {
  stats->memory_bytes = internal::ReadNumber(memory_usage_);
  Reading limit = NoLimit(memory_limits_reason_);
  for (const ProcFile& at : memory_limits_) limit = Tighter(limit, ReadLimit(at));
  stats->memory_limit_bytes = limit;

  // The kernel adds up all of the cgroup for these, a third of what a sample costs.
  const bool full = stats->memory_bytes.ok() && limit.ok() && !limit.unlimited() &&
                    stats->memory_bytes.value >= limit.value / 4 * 3;
  if (!quick || full) {
    Reading anonymous, file, before_5_9;
    constexpr std::size_t kSince5_9 = 3;  // without the key that was there before
    if (memory_v2_) {
      ReadKeys(memory_stat_,
               {{"workingset_refault_anon", &anonymous},
                {"workingset_refault_file", &file},
                {"workingset_refault", &before_5_9},
                {"pgmajfault", &major_faults_}},
               kSince5_9);
    } else {
      // The plain keys are without the cgroups below.
      ReadKeys(memory_stat_,
               {{"total_workingset_refault_anon", &anonymous},
                {"total_workingset_refault_file", &file},
                {"total_workingset_refault", &before_5_9},
                {"total_pgmajfault", &major_faults_}},
               kSince5_9);
    }
    refaults_ = before_5_9.ok() ? before_5_9 : Sum(anonymous, file);
  }
  stats->refaults = refaults_;
  stats->major_faults = major_faults_;
}

CgroupStats CgroupProbe::Sample(bool quick) noexcept {
  CgroupStats stats;
  SampleCpu(&stats);
  SampleMemory(quick, &stats);
  stats.pressure = quick ? pressure_.SampleMemoryAndIo() : pressure_.Sample();
  return stats;
}

SEER_END_NAMESPACE
