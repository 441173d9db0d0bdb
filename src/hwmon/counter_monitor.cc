#include "seer/hwmon/counter_monitor.h"

#include <dirent.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "hwmon/files.h"
#include "seer/core/internal/strings.h"
#include "seer/probe/cgroup_stats.h"
#include "seer/probe/reading.h"
#include "seer/probe/schedstat.h"

SEER_BEGIN_NAMESPACE
namespace {

constexpr std::size_t kHeaderWords = 3;  // how many, enabled, running

std::int64_t SteadyNs() {
  timespec t;
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<std::int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

// The counters of one thread, or of a cgroup on one processor.
struct Group {
  int key = 0;  // the thread, or the processor
  std::vector<int> files;
  std::vector<CounterKind> kinds;  // as many, in the same order
  std::array<std::uint64_t, kHeaderWords + kCounterKinds> last = {};
  bool seen = false;  // in this scan
};

using Sums = std::array<double, kCounterKinds>;

double Of(const Sums& sums, CounterKind kind) { return sums[static_cast<std::size_t>(kind)]; }

// What the target's instructions cost when they were fastest.
struct Reference {
  double cycles = 0, fills = 0, stalls = 0;  // for one instruction; cycles 0: not known yet
};

struct Target {
  HwTarget key;
  std::vector<Group> groups;
  DIR* tasks = nullptr;
  internal::OwnedFd cgroup;
  Reference reference;
  std::int64_t at_ns = 0;
  std::uint64_t used = 0;
  std::size_t uncounted = 0;
  Reason refused = Reason::kNone;  // why some thread is not counted
};

struct Totals {
  Sums values = {};
  std::array<bool, kCounterKinds> counted = {};
  double run_ns = 0;
  bool scaled = false;
  bool starved = false;  // some thread ran, and its counters did not
  bool fell = false;     // a counter went back
};

HwSignal Signal(double us, const CounterDetail& detail) {
  HwSignal signal;
  signal.value = us;
  signal.quality = detail.quality;
  signal.reason = detail.reason;
  return signal;
}

}  // namespace

struct CounterMonitor::State {
  explicit State(CounterMonitorOptions given)
      : options(std::move(given)),
        events(options.events != nullptr ? *options.events : KernelPerfEvents()),
        table(EventTable::OfThisMachine(options.root)) {
    if (options.max_targets == 0) options.max_targets = 1;
    processors = options.processors;
    if (processors <= 0)
      processors = static_cast<int>(std::max(1L, ::sysconf(_SC_NPROCESSORS_CONF)));
  }
  ~State() {
    for (Target& target : targets) CloseAll(&target);
  }

  void CloseGroup(Group* group) {
    for (const int file : group->files) events.Close(file);
    group->files.clear();
  }
  void CloseAll(Target* target) {
    for (Group& group : target->groups) CloseGroup(&group);
    target->groups.clear();
    if (target->tasks != nullptr) ::closedir(target->tasks);
    target->tasks = nullptr;
  }
  auto Find(const HwTarget& key) {
    return std::find_if(targets.begin(), targets.end(), [&](const Target& t) {
      return t.key.kind == key.kind && t.key.pid == key.pid && t.key.start_time == key.start_time &&
             t.key.cgroup == key.cgroup;
    });
  }
  void Drop(std::vector<Target>::iterator at) {
    CloseAll(&*at);
    targets.erase(at);
  }

  // Everything is counted anew after a test: how many counters may be used has changed.
  void TestIfDue(std::int64_t now) {
    if (tested_ns != 0 && now - tested_ns < options.retest_ns && now >= tested_ns) return;
    tested_ns = now;
    const int before = trust.at_once;
    trust = TestCounters(events, table);
    if (trust.at_once == before) return;
    for (Target& target : targets) {
      for (Group& group : target.groups) CloseGroup(&group);
      target.groups.clear();
      target.at_ns = 0;
    }
  }

  bool OpenGroup(int key, const Target& target, Group* group, Reason* refused) {
    group->key = key;
    const bool cgroup = target.key.kind == HwTarget::Kind::kCgroup;
    for (std::size_t i = 0; i < kCounterKinds; ++i) {
      if (static_cast<int>(group->files.size()) >= trust.at_once) break;
      CounterRequest request;
      request.event = table.events[i];
      if (!request.event.known()) continue;
      request.cgroup = cgroup;
      request.pid = cgroup ? target.cgroup.get() : key;
      request.cpu = cgroup ? key : -1;
      request.leader = group->files.empty() ? -1 : group->files.front();
      const int file = events.Open(request);
      if (file < 0) {
        // Without cycles and instructions there is nothing to say; without the others less.
        if (i <= static_cast<std::size_t>(CounterKind::kInstructions)) {
          *refused = ReasonOfErrno(-file);
          CloseGroup(group);
          group->kinds.clear();
          return false;
        }
        continue;
      }
      group->files.push_back(file);
      group->kinds.push_back(static_cast<CounterKind>(i));
    }
    ReadGroup(group, nullptr);  // where it starts from
    return true;
  }

  // Adds what was counted since the last time.
  void ReadGroup(Group* group, Totals* totals) {
    std::array<std::uint64_t, kHeaderWords + kCounterKinds> words = {};
    const std::size_t wanted = kHeaderWords + group->kinds.size();
    const std::ptrdiff_t got =
        events.Read(group->files.front(), absl::MakeSpan(words.data(), wanted));
    if (got < static_cast<std::ptrdiff_t>(wanted) || words[0] != group->kinds.size()) {
      if (totals != nullptr) totals->starved = true;
      return;
    }
    const auto last = group->last;
    group->last = words;
    if (totals == nullptr) return;
    for (std::size_t i = 1; i < wanted; ++i) {
      if (words[i] < last[i]) {
        totals->fell = true;
        return;
      }
    }
    const auto enabled = static_cast<double>(words[1] - last[1]);
    const auto running = static_cast<double>(words[2] - last[2]);
    if (enabled > 0 && running <= 0) {
      totals->starved = true;
      return;
    }
    const double scale = running > 0 && running < enabled ? enabled / running : 1;
    if (scale > 1.01) totals->scaled = true;
    totals->run_ns += running * scale;
    for (std::size_t i = 0; i < group->kinds.size(); ++i) {
      const auto kind = static_cast<std::size_t>(group->kinds[i]);
      totals->values[kind] +=
          static_cast<double>(words[kHeaderWords + i] - last[kHeaderWords + i]) * scale;
      totals->counted[kind] = true;
    }
  }

  absl::StatusOr<Target*> FindOrOpen(const HwTarget& key) {
    if (const auto at = Find(key); at != targets.end()) return &*at;
    Target target;
    target.key = key;
    if (key.kind == HwTarget::Kind::kProcess) {
      if (key.start_time != 0) {
        TaskProbeOptions same;
        same.root = options.root;
        same.start_time = key.start_time;
        if (auto probe = TaskProbe::Open(key.pid, same); !probe.ok()) return probe.status();
      }
      target.tasks = ::opendir(absl::StrCat(options.root, "/proc/", key.pid, "/task").c_str());
      if (target.tasks == nullptr) {
        return absl::NotFoundError(absl::StrCat("target.pid: no process ", key.pid,
                                                " is to be read here: name one that runs"));
      }
    } else {
      absl::StatusOr<CgroupPaths> paths =
          FindCgroups(options.root.empty() ? ::getpid() : 1, options.root);
      if (!paths.ok()) return paths.status();
      if (paths->unified.mount.empty()) {
        return absl::UnimplementedError(
            "target.cgroup: counters need a mounted cgroup2 hierarchy: mount one, or name a "
            "process");
      }
      target.cgroup = internal::OwnedFd(
          ::open((paths->unified.mount + key.cgroup).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
      if (!target.cgroup) {
        return absl::NotFoundError(absl::StrCat("target.cgroup: the cgroup2 hierarchy has no ",
                                                key.cgroup, ": name one that exists"));
      }
    }
    if (targets.size() >= options.max_targets) {
      Drop(std::min_element(targets.begin(), targets.end(),
                            [](const Target& a, const Target& b) { return a.used < b.used; }));
    }
    targets.push_back(std::move(target));
    return &targets.back();
  }

  // Opens what is new, closes what is gone after its last count. False where the target ended.
  bool Scan(Target* target, Totals* totals) {
    target->uncounted = 0;
    target->refused = Reason::kNone;
    for (Group& group : target->groups) group.seen = false;
    bool any = false;
    const auto see = [&](int key) {
      any = true;
      const auto at = std::find_if(target->groups.begin(), target->groups.end(),
                                   [&](const Group& group) { return group.key == key; });
      if (at != target->groups.end()) {
        at->seen = true;
        return;
      }
      Group group;
      if (target->groups.size() >= options.max_threads) {
        ++target->uncounted;
      } else if (OpenGroup(key, *target, &group, &target->refused)) {
        group.seen = true;
        target->groups.push_back(std::move(group));
      } else {
        ++target->uncounted;
      }
    };
    if (target->key.kind == HwTarget::Kind::kProcess) {
      ::rewinddir(target->tasks);
      constexpr int kMaxEntries = 65536;
      for (int i = 0; i < kMaxEntries; ++i) {
        const dirent* const entry = ::readdir(target->tasks);
        if (entry == nullptr) break;
        int tid = 0;
        const char* const end = entry->d_name + std::strlen(entry->d_name);
        const auto parsed = std::from_chars(entry->d_name, end, tid);
        if (parsed.ec == std::errc() && parsed.ptr == end && tid > 0) see(tid);
      }
    } else {
      for (int cpu = 0; cpu < processors; ++cpu) see(cpu);
    }
    for (Group& group : target->groups) ReadGroup(&group, totals);
    for (Group& group : target->groups) {
      if (!group.seen) CloseGroup(&group);
    }
    target->groups.erase(std::remove_if(target->groups.begin(), target->groups.end(),
                                        [](const Group& group) { return !group.seen; }),
                         target->groups.end());
    return any;
  }

  void Judge(const Target& target, const Totals& totals, CounterDetail* detail) const;
  void Fill(Target* target, const Totals& totals, const CounterDetail& detail,
            std::int64_t interval_ns, ResourceReadings* instance) const;

  CounterMonitorOptions options;
  PerfEvents& events;
  const EventTable table;
  int processors = 1;
  CounterTrust trust;
  std::int64_t tested_ns = 0;
  std::vector<Target> targets;
  std::uint64_t uses = 0;
};

void CounterMonitor::State::Judge(const Target& target, const Totals& totals,
                                  CounterDetail* detail) const {
  detail->cycles = Of(totals.values, CounterKind::kCycles);
  detail->instructions = Of(totals.values, CounterKind::kInstructions);
  detail->memory_fills = Of(totals.values, CounterKind::kMemoryFills);
  detail->stall_cycles = Of(totals.values, CounterKind::kMemoryStalls);
  detail->run_ns = totals.run_ns;
  detail->threads = target.groups.size();
  detail->uncounted = target.uncounted;
  if (detail->instructions > 0) detail->cpi = detail->cycles / detail->instructions;
  const auto say = [&](Quality quality, Reason reason) {
    detail->quality = quality;
    detail->reason = reason;
  };
  if (totals.fell) return say(Quality::kUnavailable, Reason::kImplausible);
  if (target.groups.empty() || (totals.starved && totals.run_ns <= 0)) {
    return say(Quality::kUnavailable,
               target.refused != Reason::kNone ? target.refused : Reason::kMultiplexed);
  }
  // What no processor does: the counters count something else, or one is dead.
  constexpr double kEnoughNs = 100'000;
  if (totals.run_ns >= kEnoughNs) {
    const double ghz = detail->cycles / totals.run_ns;
    if (ghz < 0.2 || ghz > 6 || detail->cpi < 0.1 || detail->cpi > 200 ||
        detail->memory_fills > detail->cycles) {
      return say(Quality::kSuspect, Reason::kImplausible);
    }
  } else if (detail->cycles > 6 * kEnoughNs) {
    return say(Quality::kSuspect, Reason::kImplausible);
  }
  if (totals.scaled || totals.starved || target.uncounted > 0) {
    return say(Quality::kScaled, Reason::kMultiplexed);
  }
  say(Quality::kOk, Reason::kNone);
}

void CounterMonitor::State::Fill(Target* target, const Totals& totals, const CounterDetail& detail,
                                 std::int64_t interval_ns, ResourceReadings* instance) const {
  ResourceReading& cache = (*instance)[Resource::kCache];
  ResourceReading& bandwidth = (*instance)[Resource::kMemoryBandwidth];
  if (detail.quality < Quality::kScaled) {
    cache.delay_us = cache.saturation = bandwidth.delay_us = bandwidth.saturation =
        bandwidth.utilisation = Signal(0, detail);
    return;
  }
  const auto counted = [&](CounterKind kind) {
    return totals.counted[static_cast<std::size_t>(kind)];
  };
  const bool fills_known = counted(CounterKind::kMemoryFills);
  const bool stalls_known = counted(CounterKind::kMemoryStalls);
  const double ghz = totals.run_ns > 0 ? detail.cycles / totals.run_ns : 0;
  constexpr double kEnoughInstructions = 100'000;
  Reference& best = target->reference;
  if (detail.instructions >= kEnoughInstructions) {
    // A program may change for the worse for good: the best is forgotten over some 1,000 readings.
    best.cycles *= 1.0005;
    if (best.cycles <= 0 || detail.cpi < best.cycles) {
      best = {detail.cpi, detail.memory_fills / detail.instructions,
              detail.stall_cycles / detail.instructions};
    }
  }
  double all_ns = 0;                              // stalls on memory
  double latency_ns = options.memory_latency_ns;  // of a line, as far as it is felt
  if (ghz > 0 && stalls_known) {
    all_ns = detail.stall_cycles / ghz;
    // Lines come several at a time: felt is less than each one's latency.
    if (best.fills > 0) latency_ns = std::min(latency_ns, best.stalls / best.fills / ghz);
  } else if (ghz > 0 && best.cycles > 0) {
    const double slower = std::max(0.0, detail.cycles - detail.instructions * best.cycles) / ghz;
    all_ns = best.fills * detail.instructions * latency_ns + slower;
  }
  all_ns = std::min(all_ns, totals.run_ns);
  const double lines_ns = fills_known ? std::min(all_ns, detail.memory_fills * latency_ns) : all_ns;
  const double run_ns = std::max(1.0, totals.run_ns);
  cache.delay_us = Signal(lines_ns / 1000, detail);
  cache.saturation = Signal(lines_ns / run_ns, detail);
  if (!fills_known) {
    HwSignal unknown;
    unknown.reason = Reason::kNotSupported;
    bandwidth.delay_us = bandwidth.saturation = bandwidth.utilisation = unknown;
    return;
  }
  bandwidth.delay_us = Signal((all_ns - lines_ns) / 1000, detail);
  bandwidth.saturation = Signal((all_ns - lines_ns) / run_ns, detail);
  if (options.peak_bytes_per_second > 0 && interval_ns > 0) {
    const double bytes_per_second =
        detail.memory_fills * options.line_bytes * 1e9 / static_cast<double>(interval_ns);
    bandwidth.utilisation =
        Signal(std::min(1.0, bytes_per_second / options.peak_bytes_per_second), detail);
  } else {
    bandwidth.utilisation.reason = Reason::kNotSupported;
  }
}

CounterMonitor::CounterMonitor(CounterMonitorOptions options)
    : state_(std::make_unique<State>(std::move(options))) {}
CounterMonitor::~CounterMonitor() = default;

const CounterTrust& CounterMonitor::trust() const { return state_->trust; }
const EventTable& CounterMonitor::table() const { return state_->table; }

void CounterMonitor::Forget(const HwTarget& target) {
  if (const auto at = state_->Find(target); at != state_->targets.end()) state_->Drop(at);
}

absl::Status CounterMonitor::Read(const HwTarget& target, HwReading* reading) {
  State& state = *state_;
  ClearReading(target, reading);
  last_ = CounterDetail();
  if (absl::Status status = CheckTarget(target); !status.ok()) return status;
  const Clock* const clock = state.options.clock;
  const std::int64_t now = clock != nullptr ? clock->NowNs() : SteadyNs();
  reading->end_ns = clock != nullptr ? now : SystemClock().NowNs();
  if (target.kind == HwTarget::Kind::kHost) return absl::OkStatus();
  state.TestIfDue(now);
  // Cycles and instructions are the least.
  if (state.trust.at_once < 2) {
    last_.reason = state.trust.reason == Reason::kNone ? Reason::kNotSupported : state.trust.reason;
    for (const Resource resource : {Resource::kCache, Resource::kMemoryBandwidth}) {
      ResourceReading& r = reading->instance[resource];
      r.delay_us.reason = r.saturation.reason = r.utilisation.reason = last_.reason;
    }
    return absl::OkStatus();
  }
  absl::StatusOr<Target*> found = state.FindOrOpen(target);
  if (!found.ok()) return found.status();
  Target& at = **found;
  at.used = ++state.uses;
  Totals totals;
  if (!state.Scan(&at, &totals)) {
    Forget(target);
    return absl::NotFoundError(ToString(target) + ": ended; name one that runs");
  }
  const std::int64_t interval_ns = now - at.at_ns;
  const bool first = at.at_ns == 0 || interval_ns <= 0;
  at.at_ns = now;
  if (first) return absl::OkStatus();
  reading->interval_ns = interval_ns;
  state.Judge(at, totals, &last_);
  // At the next Read: what this one says is suspect already.
  if (last_.quality == Quality::kSuspect) state.tested_ns = 0;
  state.Fill(&at, totals, last_, interval_ns, &reading->instance);
  return absl::OkStatus();
}

SEER_END_NAMESPACE
