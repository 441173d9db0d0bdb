#include "seer/hwmon/bandwidth_monitor.h"

#include <dirent.h>
#include <time.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "hwmon/files.h"
#include "hwmon/uncore.h"
#include "seer/hwmon/microbenchmark.h"

SEER_BEGIN_NAMESPACE
namespace {

std::int64_t SteadyNs() {
  timespec t;
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<std::int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

constexpr std::size_t kMostDirectories = 4096;

// Of a directory, without "." and "..", sorted.
std::vector<std::string> DirectoriesIn(const std::string& path) {
  std::vector<std::string> names;
  struct Close {
    void operator()(DIR* directory) const { ::closedir(directory); }
  };
  const std::unique_ptr<DIR, Close> directory(::opendir(path.c_str()));
  if (directory == nullptr) return names;
  for (std::size_t i = 0; i < kMostDirectories; ++i) {
    const dirent* const entry = ::readdir(directory.get());
    if (entry == nullptr) break;
    if (entry->d_type == DT_DIR && entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

// One file of a group, summed over the caches. "Unavailable" and "Error" are the kernel's.
Reading SumOver(const std::string& group, const std::vector<std::string>& caches,
                const char* file) {
  Reading sum = Reading::Not(Reason::kNotSupported);
  std::string text;
  for (const std::string& cache : caches) {
    constexpr std::size_t kMost = 64;
    const Reason reason =
        internal::ReadFront(absl::StrCat(group, "/mon_data/", cache, "/", file), kMost, &text);
    if (reason != Reason::kNone) return Reading::Not(reason);
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || (end != text.data() + text.size() && *end != '\n')) {
      return Reading::Not(text.compare(0, 11, "Unavailable") == 0 ? Reason::kFailed
                                                                  : Reason::kMalformed);
    }
    sum = sum.ok() ? Sum(sum, Reading::Of(value)) : Reading::Of(value);
  }
  return sum;
}

bool HasTask(const std::string& group, int pid) {
  constexpr std::size_t kMost = std::size_t{1} << 20;
  std::string text;
  if (internal::ReadFront(group + "/tasks", kMost, &text) != Reason::kNone) return false;
  std::string_view rest = text, line;
  while (internal::TakeLine(&rest, &line)) {
    int tid = 0;
    const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), tid);
    if (error == std::errc() && end == line.data() + line.size() && tid == pid) return true;
  }
  return false;
}

double PerSecond(const Reading& bytes, std::int64_t interval_ns) {
  if (!bytes.ok() || interval_ns <= 0) return -1;
  return static_cast<double>(bytes.value) * 1e9 / static_cast<double>(interval_ns);
}

HwSignal Unavailable(Reason reason, Scope scope) {
  HwSignal signal;
  signal.reason = reason == Reason::kNone ? Reason::kNotSupported : reason;
  signal.scope = scope;
  return signal;
}

HwSignal Part(double value, double whole, Quality quality, Scope scope) {
  if (!(whole > 0)) return Unavailable(Reason::kNotSupported, scope);
  return {std::clamp(value / whole, 0.0, 1.0), quality,
          quality == Quality::kOk ? Reason::kNone : Reason::kMultiplexed, scope};
}

// What was read of one target, to compare the next with.
struct Looked {
  HwTarget key;
  std::int64_t at_ns = 0, scanned_ns = 0;
  Reading node_bytes, all_groups_bytes, group_bytes;
  std::string group;  // whole path; empty: the root's, or none
  Reason group_reason = Reason::kNotSupported;
  std::uint64_t used = 0;
};

bool IsSame(const HwTarget& a, const HwTarget& b) {
  return a.kind == b.kind && a.pid == b.pid && a.start_time == b.start_time && a.cgroup == b.cgroup;
}

}  // namespace

struct BandwidthMonitor::State {
  explicit State(BandwidthMonitorOptions given)
      : options(std::move(given)),
        resctrl(options.root + "/sys/fs/resctrl"),
        uncore(options.root, options.events != nullptr ? options.events : &KernelPerfEvents()) {
    if (options.max_targets == 0) options.max_targets = 1;
    for (const std::string& name : DirectoriesIn(resctrl + "/mon_data")) {
      if (name.compare(0, 7, "mon_L3_") == 0) caches.push_back(name);
    }
    if (options.cache_bytes <= 0) {
      options.cache_bytes = static_cast<double>(CacheSizes::OfThisMachine(options.root).llc);
    }
  }

  // The root, and what is beside info, mon_data and mon_groups.
  void FindControlGroups() {
    control_groups = {resctrl};
    for (const std::string& name : DirectoriesIn(resctrl)) {
      if (name != "info" && name != "mon_data" && name != "mon_groups") {
        control_groups.push_back(absl::StrCat(resctrl, "/", name));
      }
    }
  }

  void FindGroupOf(Looked* looked) {
    FindControlGroups();
    looked->group.clear();
    looked->group_reason = caches.empty() ? Reason::kNotFound : Reason::kNotSupported;
    if (caches.empty() || looked->key.kind != HwTarget::Kind::kProcess) return;
    for (const std::string& control : control_groups) {
      if (!HasTask(control, looked->key.pid)) continue;
      if (control != resctrl) looked->group = control;
      for (const std::string& name : DirectoriesIn(control + "/mon_groups")) {
        std::string group = absl::StrCat(control, "/mon_groups/", name);
        if (HasTask(group, looked->key.pid)) looked->group = std::move(group);
      }
    }
    if (!looked->group.empty()) looked->group_reason = Reason::kNone;
  }

  // A control group's data are with those of its monitoring groups.
  Reading AllGroupsBytes() const {
    if (caches.empty()) return Reading::Not(Reason::kNotFound);
    Reading sum = Reading::Of(0);
    for (const std::string& group : control_groups) {
      const Reading of_group = SumOver(group, caches, "mbm_total_bytes");
      // A group may be removed between two looks.
      if (of_group.reason == Reason::kNotFound && group != resctrl) continue;
      sum = Sum(sum, of_group);
    }
    return sum;
  }

  Looked* Find(const HwTarget& target) {
    const auto at = std::find_if(targets.begin(), targets.end(),
                                 [&](const Looked& l) { return IsSame(l.key, target); });
    if (at != targets.end()) return &*at;
    if (targets.size() >= options.max_targets) {
      targets.erase(
          std::min_element(targets.begin(), targets.end(),
                           [](const Looked& a, const Looked& b) { return a.used < b.used; }));
    }
    targets.emplace_back();
    targets.back().key = target;
    return &targets.back();
  }

  BandwidthMonitorOptions options;
  const std::string resctrl;
  internal::UncoreCounters uncore;
  std::vector<std::string> caches;  // "mon_L3_00"
  std::vector<std::string> control_groups;
  std::vector<Looked> targets;
  std::uint64_t uses = 0;
};

BandwidthMonitor::BandwidthMonitor(BandwidthMonitorOptions options)
    : state_(std::make_unique<State>(std::move(options))) {}
BandwidthMonitor::~BandwidthMonitor() = default;

absl::Status BandwidthMonitor::Read(const HwTarget& target, HwReading* reading) {
  State& state = *state_;
  ClearReading(target, reading);
  last_ = BandwidthDetail();
  if (absl::Status status = CheckTarget(target); !status.ok()) return status;
  const Clock* const clock = state.options.clock;
  const std::int64_t now = clock != nullptr ? clock->NowNs() : SteadyNs();
  reading->end_ns = clock != nullptr ? now : SystemClock().NowNs();
  Looked& looked = *state.Find(target);
  looked.used = ++state.uses;
  if (looked.scanned_ns == 0 || now - looked.scanned_ns >= state.options.rescan_ns ||
      now < looked.scanned_ns) {
    const std::string before = looked.group;
    state.FindGroupOf(&looked);
    looked.scanned_ns = now;
    if (looked.group != before) looked.group_bytes = Reading();
  }
  const Reading node_bytes = state.uncore.Bytes(), all_groups = state.AllGroupsBytes();
  Reading group_bytes = Reading::Not(looked.group_reason), group_cache = group_bytes;
  if (!looked.group.empty()) {
    group_bytes = SumOver(looked.group, state.caches, "mbm_total_bytes");
    group_cache = SumOver(looked.group, state.caches, "llc_occupancy");
    last_.group = looked.group.substr(state.resctrl.size());
  }
  last_.controllers = node_bytes.reason;
  last_.groups = looked.group.empty() ? looked.group_reason : group_bytes.reason;

  const std::int64_t interval_ns = now - looked.at_ns;
  const bool first = looked.at_ns == 0 || interval_ns <= 0;
  ResourceReading& node = reading->node[Resource::kMemoryBandwidth];
  ResourceReading& bandwidth = reading->instance[Resource::kMemoryBandwidth];
  ResourceReading& cache = reading->instance[Resource::kCache];
  if (!first) {
    reading->interval_ns = interval_ns;
    const double peak = state.options.peak_bytes_per_second;
    Reading passed = Delta(looked.node_bytes, node_bytes);
    Quality quality = Quality::kOk;
    if (const Reading by_groups = Delta(looked.all_groups_bytes, all_groups);
        !passed.ok() && by_groups.ok()) {
      passed = by_groups;
      quality = Quality::kScaled;
    }
    last_.node_bytes_per_second = PerSecond(passed, interval_ns);
    node.utilisation = passed.ok() ? Part(last_.node_bytes_per_second, peak, quality, Scope::kHost)
                                   : Unavailable(passed.reason, Scope::kHost);
    const Reading own = Delta(looked.group_bytes, group_bytes);
    last_.group_bytes_per_second = PerSecond(own, interval_ns);
    bandwidth.utilisation =
        own.ok() ? Part(last_.group_bytes_per_second, peak, Quality::kOk, Scope::kProcess)
                 : Unavailable(own.reason, Scope::kProcess);
    const double all_caches = state.options.cache_bytes * static_cast<double>(state.caches.size());
    if (group_cache.ok()) last_.group_cache_bytes = static_cast<double>(group_cache.value);
    cache.utilisation =
        group_cache.ok() ? Part(last_.group_cache_bytes, all_caches, Quality::kOk, Scope::kProcess)
                         : Unavailable(group_cache.reason, Scope::kProcess);
    if (target.kind == HwTarget::Kind::kHost) bandwidth = cache = ResourceReading();
  }
  looked.at_ns = now;
  looked.node_bytes = node_bytes;
  looked.all_groups_bytes = all_groups;
  looked.group_bytes = group_bytes;
  return absl::OkStatus();
}

SEER_END_NAMESPACE
