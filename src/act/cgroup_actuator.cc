#include "seer/act/cgroup_actuator.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <map>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "act/directory.h"
#include "seer/core/internal/status_macros.h"
#include "seer/core/internal/strings.h"

SEER_BEGIN_NAMESPACE
namespace {

using internal::OpenBelow;
using internal::OpenRoot;
using internal::OwnedFd;
using internal::ReadFileText;
using internal::WriteFileText;

constexpr double kSharesPerCore = 1024;
// Limits from here on are none: version 1 says LONG_MAX in whole pages.
constexpr double kNoMemoryLimit = 9.0e18;
constexpr int kMaxCpus = 4096;

template <typename Number>
bool ParseNumber(std::string_view text, Number* number) {
  const auto result = std::from_chars(text.data(), text.data() + text.size(), *number);
  return !text.empty() && result.ec == std::errc() && result.ptr == text.data() + text.size();
}

absl::Status Unreadable(std::string_view file, std::string_view text) {
  return absl::InternalError(absl::StrCat("'", internal::ToAbsl(file), "' says '",
                                          internal::ToAbsl(text), "', which is not understood"));
}

// "0-3,8" as the kernel writes it, and back. False: none, or more than kMaxCpus.
bool ParseCpus(std::string_view text, std::set<int>* cpus) {
  cpus->clear();
  for (const absl::string_view piece : absl::StrSplit(internal::ToAbsl(text), ',')) {
    const std::string_view range = internal::ToStd(piece);
    const std::size_t dash = std::min(range.find('-'), range.size());
    int first = 0, last = 0;
    if (!ParseNumber(range.substr(0, dash), &first)) return false;
    last = first;
    if (dash < range.size() && !ParseNumber(range.substr(dash + 1), &last)) return false;
    if (first < 0 || last < first || last >= kMaxCpus) return false;
    for (int cpu = first; cpu <= last; ++cpu) cpus->insert(cpu);
  }
  return !cpus->empty();
}

std::string FormatCpus(const std::set<int>& cpus) {
  std::string text;
  for (auto cpu = cpus.begin(); cpu != cpus.end();) {
    const int first = *cpu;
    int last = first;
    while (++cpu != cpus.end() && *cpu == last + 1) last = *cpu;
    absl::StrAppend(&text, text.empty() ? "" : ",", first);
    if (last > first) absl::StrAppend(&text, "-", last);
  }
  return text;
}

// A knob: "<hierarchy>|<file>[ <device>]|<path>". The path comes last, as it may have any of these.
struct Place {
  std::string hierarchy;
  std::string file;
  std::string device;  // of files with a line for each
  std::string path;

  std::string Knob() const {
    return absl::StrCat(hierarchy, "|", file, device.empty() ? "" : " ", device, "|", path);
  }
};

class CgroupActuator final : public Actuator {
 public:
  CgroupActuator(CgroupOptions options, std::map<std::string, OwnedFd> hierarchies)
      : options_(std::move(options)), hierarchies_(std::move(hierarchies)) {}

  std::string_view name() const override { return "cgroup"; }
  bool Can(Action action) const override {
    return action == Action::kCpuLimit || action == Action::kMemoryLimit ||
           (action == Action::kIoShare && !options_.io_device.empty());
  }
  absl::StatusOr<ActionPlan> Plan(const Recommendation& r) override;
  absl::StatusOr<std::string> Read(const std::string& knob) override;
  absl::Status Write(const std::string& knob, const std::string& text) override;
  absl::Status Hold(const std::string& knob) override;
  void Release(const std::string& knob) override;

 private:
  struct Held {
    OwnedFd directory;
    std::size_t count = 0;
  };

  absl::StatusOr<std::string> GrantedPath(std::string_view cgroup) const;
  // Where a file of the cgroup is: in the version 1 hierarchy of the controller, or in version 2.
  absl::StatusOr<Place> Find(const char* controller, const std::string& path, const char* v1_file,
                             const char* v2_file) const;
  absl::StatusOr<Place> ParseKnob(const std::string& knob) const;
  absl::StatusOr<OwnedFd> Open(const Place& place) const;
  absl::StatusOr<std::string> ReadFile(const Place& place, const char* file) const;

  absl::StatusOr<ActionPlan> PlanCpu(const Recommendation& r, const std::string& path);
  absl::Status PlanQuota(const Place& place, double to, ActionPlan* plan);
  absl::Status PlanShares(const std::string& path, double to, ActionPlan* plan);
  absl::Status PlanCpuset(const std::string& path, double to, ActionPlan* plan);
  absl::StatusOr<ActionPlan> PlanMemory(const Recommendation& r, const std::string& path);
  absl::StatusOr<ActionPlan> PlanIo(const Recommendation& r, const std::string& path);
  absl::Status CheckShrink(const Place& place, double to) const;

  const CgroupOptions options_;
  // By the controller's name, and "" for version 2.
  const std::map<std::string, OwnedFd> hierarchies_;
  std::map<std::string, Held> held_;  // by hierarchy and path
};

absl::StatusOr<std::string> CgroupActuator::GrantedPath(std::string_view cgroup) const {
  if (!cgroup.empty() && cgroup.front() == '/') cgroup.remove_prefix(1);
  if (!internal::IsCleanPath(cgroup)) {
    return absl::InvalidArgumentError(
        absl::StrCat("target.cgroup: '", internal::ToAbsl(cgroup),
                     "' is no path of plain names below the root: give one like shop/cart"));
  }
  for (const std::string& granted : options_.granted) {
    if (internal::IsAtOrBelow(cgroup, granted)) return std::string(cgroup);
  }
  return absl::PermissionDeniedError(absl::StrCat("target.cgroup: '", internal::ToAbsl(cgroup),
                                                  "' was not granted: list it or one above it"));
}

absl::StatusOr<Place> CgroupActuator::Find(const char* controller, const std::string& path,
                                           const char* v1_file, const char* v2_file) const {
  for (const bool v2 : {false, true}) {
    Place place;
    place.hierarchy = v2 ? "" : controller;
    place.file = v2 ? v2_file : v1_file;
    place.path = path;
    if (hierarchies_.count(place.hierarchy) == 0) continue;
    absl::StatusOr<OwnedFd> directory = Open(place);
    if (!directory.ok()) {
      if (absl::IsNotFound(directory.status())) continue;
      return std::move(directory).status();
    }
    if (internal::HasFile(directory->get(), place.file)) return place;
  }
  return absl::NotFoundError(absl::StrCat("target.cgroup: '", path, "' is not there, or has no ",
                                          controller, " controller"));
}

absl::StatusOr<OwnedFd> CgroupActuator::Open(const Place& place) const {
  const auto hierarchy = hierarchies_.find(place.hierarchy);
  if (hierarchy == hierarchies_.end()) {
    return absl::NotFoundError(absl::StrCat("no hierarchy '", place.hierarchy, "'"));
  }
  return OpenBelow(hierarchy->second.get(), place.path);
}

// Knobs come from a journal too: nothing but what Plan() could have named.
absl::StatusOr<Place> CgroupActuator::ParseKnob(const std::string& knob) const {
  static constexpr const char* kFiles[] = {"cpu.cfs_quota_us",
                                           "cpu.shares",
                                           "cpu.max",
                                           "cpu.weight",
                                           "cpuset.cpus",
                                           "memory.limit_in_bytes",
                                           "memory.max",
                                           "blkio.throttle.read_bps_device",
                                           "blkio.throttle.write_bps_device",
                                           "io.max"};
  const std::vector<std::string> parts = absl::StrSplit(knob, absl::MaxSplits('|', 2));
  if (parts.size() != 3) return absl::InvalidArgumentError("knob: it has no three parts");
  Place place;
  place.hierarchy = parts[0];
  const std::pair<std::string, std::string> file =
      absl::StrSplit(parts[1], absl::MaxSplits(' ', 1));
  place.file = file.first;
  place.device = file.second;
  SEER_ASSIGN_OR_RETURN(place.path, GrantedPath(parts[2]));
  const bool known = std::any_of(std::begin(kFiles), std::end(kFiles),
                                 [&](const char* name) { return place.file == name; });
  if (!known || (!place.device.empty() && place.device != options_.io_device)) {
    return absl::PermissionDeniedError(absl::StrCat("knob: '", knob, "' is none of ours"));
  }
  return place;
}

absl::StatusOr<std::string> CgroupActuator::ReadFile(const Place& place, const char* file) const {
  SEER_ASSIGN_OR_RETURN(const OwnedFd directory, Open(place));
  return ReadFileText(directory.get(), file);
}

absl::StatusOr<std::string> CgroupActuator::Read(const std::string& knob) {
  SEER_ASSIGN_OR_RETURN(const Place place, ParseKnob(knob));
  SEER_ASSIGN_OR_RETURN(std::string text, ReadFile(place, place.file.c_str()));
  if (place.device.empty()) return text;
  const std::string start = place.device + " ";
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    if (line.substr(0, start.size()) == start) return std::string(line.substr(start.size()));
  }
  return std::string(place.hierarchy.empty() ? "rbps=max wbps=max riops=max wiops=max" : "0");
}

absl::Status CgroupActuator::Write(const std::string& knob, const std::string& text) {
  SEER_ASSIGN_OR_RETURN(const Place place, ParseKnob(knob));
  double bytes = 0;
  if (place.file == "memory.max" && ParseNumber(text, &bytes)) {
    SEER_RETURN_IF_ERROR(CheckShrink(place, bytes));
  }
  SEER_ASSIGN_OR_RETURN(const OwnedFd directory, Open(place));
  const std::string line = place.device.empty() ? text : absl::StrCat(place.device, " ", text);
  return WriteFileText(directory.get(), place.file, line);
}

absl::Status CgroupActuator::Hold(const std::string& knob) {
  SEER_ASSIGN_OR_RETURN(const Place place, ParseKnob(knob));
  Held& held = held_[absl::StrCat(place.hierarchy, "|", place.path)];
  if (held.count == 0) {
    absl::StatusOr<OwnedFd> directory = Open(place);
    absl::Status status = directory.status();
    if (status.ok() && ::flock(directory->get(), LOCK_EX | LOCK_NB) != 0) {
      status = errno == EWOULDBLOCK
                   ? absl::UnavailableError(absl::StrCat("another executor acts upon '", place.path,
                                                         "': wait for its end"))
                   : internal::StatusOfErrno(errno, absl::StrCat("locking '", place.path, "'"));
    }
    if (!status.ok()) {
      held_.erase(absl::StrCat(place.hierarchy, "|", place.path));
      return status;
    }
    held.directory = *std::move(directory);
  }
  ++held.count;
  return absl::OkStatus();
}

void CgroupActuator::Release(const std::string& knob) {
  const absl::StatusOr<Place> place = ParseKnob(knob);
  if (!place.ok()) return;
  const auto held = held_.find(absl::StrCat(place->hierarchy, "|", place->path));
  if (held != held_.end() && --held->second.count == 0) held_.erase(held);
}

absl::StatusOr<ActionPlan> CgroupActuator::Plan(const Recommendation& r) {
  SEER_ASSIGN_OR_RETURN(const std::string path, GrantedPath(r.target.cgroup));
  if (!(r.to > 0)) return absl::InvalidArgumentError("to: give a value above 0");
  switch (r.action) {
    case Action::kCpuLimit:
      return PlanCpu(r, path);
    case Action::kMemoryLimit:
      return PlanMemory(r, path);
    case Action::kIoShare:
      return PlanIo(r, path);
    default:
      return absl::UnimplementedError("action: cgroups have no such limit");
  }
}

// ---- CPU.

absl::StatusOr<ActionPlan> CgroupActuator::PlanCpu(const Recommendation& r,
                                                   const std::string& path) {
  const double cores =
      options_.cores > 0 ? options_.cores : static_cast<double>(::sysconf(_SC_NPROCESSORS_ONLN));
  if (r.to > cores) {
    return absl::OutOfRangeError(
        absl::StrCat("to: ", r.to, " cores, but the machine has ", cores, ": ask for less"));
  }
  ActionPlan plan;
  SEER_ASSIGN_OR_RETURN(const Place quota, Find("cpu", path, "cpu.cfs_quota_us", "cpu.max"));
  SEER_RETURN_IF_ERROR(PlanQuota(quota, r.to, &plan));
  if (plan.unlimited) {
    plan = ActionPlan();
    SEER_RETURN_IF_ERROR(PlanShares(path, r.to, &plan));
  }
  if (options_.widen_cpuset && r.to > plan.from) {
    SEER_RETURN_IF_ERROR(PlanCpuset(path, r.to, &plan));
  }
  return plan;
}

absl::Status CgroupActuator::PlanQuota(const Place& place, double to, ActionPlan* plan) {
  const bool v2 = place.hierarchy.empty();
  SEER_ASSIGN_OR_RETURN(const std::string before, Read(place.Knob()));
  std::string quota_text = before, period_text;
  if (v2) {
    const std::pair<std::string, std::string> both = absl::StrSplit(before, ' ');
    quota_text = both.first;
    period_text = both.second;
  } else {
    SEER_ASSIGN_OR_RETURN(period_text, ReadFile(place, "cpu.cfs_period_us"));
  }
  std::int64_t quota = 0, period = 0;
  if (!ParseNumber(period_text, &period) || period <= 0) {
    return Unreadable("the CPU period", period_text);
  }
  if (quota_text == "max" || quota_text == "-1") {
    plan->unlimited = true;
    return absl::OkStatus();
  }
  if (!ParseNumber(quota_text, &quota) || quota <= 0) return Unreadable(place.file, before);
  const auto per_core = static_cast<double>(period);
  plan->from = static_cast<double>(quota) / per_core;
  // The kernel takes no less than a millisecond.
  const auto wanted = std::max<std::int64_t>(std::llround(to * per_core), 1000);
  plan->to = static_cast<double>(wanted) / per_core;
  if (wanted == quota) return absl::OkStatus();
  plan->changes.push_back(
      {place.Knob(), before, v2 ? absl::StrCat(wanted, " ", period) : absl::StrCat(wanted)});
  return absl::OkStatus();
}

absl::Status CgroupActuator::PlanShares(const std::string& path, double to, ActionPlan* plan) {
  SEER_ASSIGN_OR_RETURN(const Place place, Find("cpu", path, "cpu.shares", "cpu.weight"));
  const bool v2 = place.hierarchy.empty();
  SEER_ASSIGN_OR_RETURN(const std::string before, Read(place.Knob()));
  std::int64_t present = 0;
  if (!ParseNumber(before, &present) || present <= 0) return Unreadable(place.file, before);
  // As Kubernetes maps 2..262144 shares to weights of 1..10000.
  const auto shares_of = [&](std::int64_t value) {
    return v2 ? 2 + static_cast<double>(value - 1) * 262142 / 9999 : static_cast<double>(value);
  };
  const double shares = std::clamp(to * kSharesPerCore, 2.0, 262144.0);
  const std::int64_t wanted =
      v2 ? 1 + std::llround((shares - 2) * 9999 / 262142) : std::llround(shares);
  plan->from = shares_of(present) / kSharesPerCore;
  plan->to = shares_of(wanted) / kSharesPerCore;
  if (wanted != present) plan->changes.push_back({place.Knob(), before, absl::StrCat(wanted)});
  return absl::OkStatus();
}

absl::Status CgroupActuator::PlanCpuset(const std::string& path, double to, ActionPlan* plan) {
  const absl::StatusOr<Place> place = Find("cpuset", path, "cpuset.cpus", "cpuset.cpus");
  if (!place.ok()) return absl::IsNotFound(place.status()) ? absl::OkStatus() : place.status();
  SEER_ASSIGN_OR_RETURN(const std::string before, Read(place->Knob()));
  std::set<int> cpus, possible;
  if (!ParseCpus(before, &cpus)) return absl::OkStatus();  // empty: as above it
  if (static_cast<double>(cpus.size()) >= to) return absl::OkStatus();
  const bool v2 = place->hierarchy.empty();
  // What the one above it has; above a path of one name that is the hierarchy's root.
  const std::size_t slash = path.rfind('/');
  const char* const file = v2 ? "cpuset.cpus.effective" : "cpuset.cpus";
  absl::StatusOr<std::string> text;
  if (slash == std::string::npos) {
    const OwnedFd root(
        ::openat(hierarchies_.at(place->hierarchy).get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    text = ReadFileText(root.get(), file);
  } else {
    Place above = *place;
    above.path = path.substr(0, slash);
    text = ReadFile(above, file);
  }
  if (!text.ok()) return text.status();
  if (!ParseCpus(*text, &possible)) return Unreadable(file, *text);
  for (const int cpu : possible) {
    if (static_cast<double>(cpus.size()) >= to) break;
    cpus.insert(cpu);
  }
  std::string after = FormatCpus(cpus);
  if (after != before) plan->changes.push_back({place->Knob(), before, std::move(after)});
  return absl::OkStatus();
}

// ---- Memory.

// Of version 2, which kills where version 1 says EBUSY.
absl::Status CgroupActuator::CheckShrink(const Place& place, double to) const {
  absl::StatusOr<std::string> stat = ReadFile(place, "memory.stat");
  double fixed = -1;
  if (stat.ok()) {
    for (const absl::string_view line : absl::StrSplit(*stat, '\n')) {
      const std::string_view text = internal::ToStd(line);
      if (text.substr(0, 5) == "anon " && ParseNumber(text.substr(5), &fixed)) break;
    }
  }
  if (fixed < 0) {
    const absl::StatusOr<std::string> current = ReadFile(place, "memory.current");
    if (!current.ok() || !ParseNumber(*current, &fixed)) return absl::OkStatus();  // no controller
  }
  if (fixed > to * 0.95) {
    return absl::FailedPreconditionError(
        absl::StrCat("memory.max: ", fixed, " bytes cannot be reclaimed, and a limit of ", to,
                     " would kill: wait until less is in use"));
  }
  return absl::OkStatus();
}

absl::StatusOr<ActionPlan> CgroupActuator::PlanMemory(const Recommendation& r,
                                                      const std::string& path) {
  const auto page = static_cast<double>(::sysconf(_SC_PAGESIZE));
  const double all = options_.memory_bytes > 0
                         ? options_.memory_bytes
                         : static_cast<double>(::sysconf(_SC_PHYS_PAGES)) * page;
  if (r.to > all) {
    return absl::OutOfRangeError(
        absl::StrCat("to: ", r.to, " bytes, but the machine has ", all, ": ask for less"));
  }
  SEER_ASSIGN_OR_RETURN(const Place place,
                        Find("memory", path, "memory.limit_in_bytes", "memory.max"));
  SEER_ASSIGN_OR_RETURN(const std::string before, Read(place.Knob()));
  ActionPlan plan;
  if (before == "max") {
    plan.unlimited = true;
  } else if (!ParseNumber(before, &plan.from)) {
    return Unreadable(place.file, before);
  }
  plan.unlimited |= plan.from >= kNoMemoryLimit;
  plan.to = std::floor(r.to / page) * page;
  if (plan.to <= 0) return absl::OutOfRangeError("to: less than a page: ask for more");
  if (place.hierarchy.empty()) SEER_RETURN_IF_ERROR(CheckShrink(place, plan.to));
  std::string after = absl::StrCat(static_cast<std::int64_t>(plan.to));
  if (after != before) plan.changes.push_back({place.Knob(), before, std::move(after)});
  return plan;
}

// ---- Block devices.

absl::StatusOr<ActionPlan> CgroupActuator::PlanIo(const Recommendation& r,
                                                  const std::string& path) {
  if (r.to >= 9e15) return absl::OutOfRangeError("to: more than any device does: ask for less");
  const std::string wanted = absl::StrCat(static_cast<std::int64_t>(r.to));
  ActionPlan plan;
  plan.to = std::floor(r.to);
  SEER_ASSIGN_OR_RETURN(Place place,
                        Find("blkio", path, "blkio.throttle.read_bps_device", "io.max"));
  place.device = options_.io_device;
  std::vector<double> limits;
  if (!place.hierarchy.empty()) {
    for (const char* file : {"blkio.throttle.read_bps_device", "blkio.throttle.write_bps_device"}) {
      place.file = file;
      SEER_ASSIGN_OR_RETURN(const std::string before, Read(place.Knob()));
      double limit = 0;
      if (!ParseNumber(before, &limit)) return Unreadable(file, before);
      if (limit > 0) limits.push_back(limit);
      if (limit > 0 && before != wanted) plan.changes.push_back({place.Knob(), before, wanted});
    }
    if (limits.empty()) {
      plan.unlimited = true;
      for (const char* file :
           {"blkio.throttle.read_bps_device", "blkio.throttle.write_bps_device"}) {
        place.file = file;
        plan.changes.push_back({place.Knob(), "0", wanted});
      }
    }
  } else {
    SEER_ASSIGN_OR_RETURN(const std::string before, Read(place.Knob()));
    std::vector<std::string> fields = absl::StrSplit(before, ' ', absl::SkipEmpty());
    const auto set = [&](bool all) {
      for (std::string& field : fields) {
        const std::string key = field.substr(0, 5);
        if (key != "rbps=" && key != "wbps=") continue;
        double limit = 0;
        const bool limited = ParseNumber(std::string_view(field).substr(5), &limit);
        if (limited) limits.push_back(limit);
        if (limited || all) field = key + wanted;
      }
    };
    set(false);
    if (limits.empty()) {
      plan.unlimited = true;
      set(true);
    }
    std::string after = absl::StrJoin(fields, " ");
    if (after != before) plan.changes.push_back({place.Knob(), before, std::move(after)});
  }
  if (!plan.unlimited) plan.from = *std::min_element(limits.begin(), limits.end());
  return plan;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Actuator>> MakeCgroupActuator(const CgroupOptions& options) {
  CgroupOptions checked = options;
  for (std::string& granted : checked.granted) {
    if (!granted.empty() && granted.front() == '/') granted.erase(0, 1);
    if (!internal::IsCleanPath(granted)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "granted: '", granted, "' is no path of plain names below the root: give one like shop"));
    }
  }
  if (!checked.io_device.empty()) {
    const std::pair<std::string, std::string> device = absl::StrSplit(checked.io_device, ':');
    unsigned major = 0, minor = 0;
    if (!ParseNumber(device.first, &major) || !ParseNumber(device.second, &minor)) {
      return absl::InvalidArgumentError("io_device: give major:minor, as 8:0");
    }
  }
  if (!(checked.cores >= 0)) return absl::InvalidArgumentError("cores: give 0 or more");
  if (!(checked.memory_bytes >= 0)) {
    return absl::InvalidArgumentError("memory_bytes: give 0 or more");
  }
  SEER_ASSIGN_OR_RETURN(OwnedFd root, OpenRoot(checked.root));
  std::map<std::string, OwnedFd> hierarchies;
  if (internal::HasFile(root.get(), "cgroup.controllers")) {
    hierarchies.emplace("", std::move(root));
  } else {
    for (const char* controller : {"cpu", "cpuset", "memory", "blkio", "unified"}) {
      absl::StatusOr<OwnedFd> hierarchy = OpenRoot(absl::StrCat(checked.root, "/", controller));
      if (!hierarchy.ok()) continue;
      const std::string name = controller == std::string_view("unified") ? "" : controller;
      hierarchies.emplace(name, *std::move(hierarchy));
    }
  }
  if (hierarchies.empty()) {
    return absl::NotFoundError(absl::StrCat(
        "root: '", checked.root, "' holds no cgroup hierarchy: name where it is mounted"));
  }
  return std::unique_ptr<Actuator>(
      std::make_unique<CgroupActuator>(std::move(checked), std::move(hierarchies)));
}

SEER_END_NAMESPACE
