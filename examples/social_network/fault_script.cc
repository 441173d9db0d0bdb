#include "fault_script.h"

#include <cstddef>
#include <map>
#include <random>
#include <utility>

#include "unix_time.h"

namespace social {
namespace {

struct Target {
  const char* name = "";
  std::uint32_t requests_per_s = 0;  // about, of 300 to the application
};

const std::vector<Target>& TargetsOf(FaultKind kind) {
  static const std::vector<Target> handlers = {{"home-timeline-service", 180},
                                               {"user-timeline-service", 120},
                                               {"post-storage-service", 300},
                                               {"text-service", 30},
                                               {"user-service", 30}};
  static const std::vector<Target> pools = {{"home-timeline-service", 180},
                                            {"user-timeline-service", 120},
                                            {"post-storage-service", 300}};
  static const std::vector<Target> busy = {
      {"post-storage-service", 300}, {"home-timeline-service", 180}, {"web-service", 300}};
  static const std::vector<Target> stoppable = {{"post-memcached", 300},
                                                {"timeline-redis", 300},
                                                {"post-storage-service", 300},
                                                {"home-timeline-service", 180},
                                                {"unique-id-service", 30}};
  static const std::vector<Target> wide = {{"post-memcached", 300}, {"post-storage-service", 300}};
  static const std::vector<Target> compose = {{"compose-post-service", 30}};
  static const std::vector<Target> database = {{"postgres", 30}};
  switch (kind) {
    case FaultKind::kCpuQuota:
      return busy;
    case FaultKind::kStopped:
      return stoppable;
    case FaultKind::kLock:
      return handlers;
    case FaultKind::kPool:
      return pools;
    case FaultKind::kCycle:
      return compose;
    case FaultKind::kTableLock:
    case FaultKind::kDisk:
      return database;
    case FaultKind::kBandwidth:
    case FaultKind::kDrops:
      return wide;
  }
  return handlers;
}

using Random = std::mt19937_64;

// Each of them once, in any order, then each again.
template <typename T>
class InTurn {
 public:
  explicit InTurn(std::vector<T> all) : all_(std::move(all)) {}
  const T& Next(Random& random) {
    if (left_ == 0) left_ = all_.size();
    std::swap(all_[random() % left_], all_[left_ - 1]);
    return all_[--left_];
  }

 private:
  std::vector<T> all_;
  std::size_t left_ = 0;  // of this turn: the first ones
};

}  // namespace

const char* NameOf(FaultKind kind) {
  static const char* const names[kFaultKinds] = {
      "processor quota", "stopped and continued", "lock in a handler",
      "pool shrunk",     "cyclic calls",          "table locked",
      "bandwidth limit", "packets dropped",       "disk busy"};
  return names[static_cast<std::size_t>(kind)];
}

const char* Fault::cause() const {
  switch (kind) {
    case FaultKind::kCpuQuota:
      return "cpu";
    case FaultKind::kBandwidth:
    case FaultKind::kDrops:
      return "network";
    case FaultKind::kDisk:
      return "storage";
    default:
      return "application";
  }
}

std::string Fault::Describe() const {
  std::string text = target + ": " + NameOf(kind);
  if (wait_us > 0) text += ", " + std::to_string(wait_us / 1000) + " ms for each request";
  return text;
}

std::vector<Fault> MakeScript(const ScriptOptions& options) {
  Random random(options.seed);
  const auto draw = [&](std::int64_t from, std::int64_t to) {
    return from + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(to - from + 1));
  };
  std::vector<Fault> script;
  if (options.possible.empty()) return script;
  InTurn<FaultKind> kinds({options.possible.begin(), options.possible.end()});
  std::map<FaultKind, InTurn<Target>> targets_of;
  for (const FaultKind kind : options.possible) targets_of.emplace(kind, TargetsOf(kind));
  for (std::int64_t start = options.first_ns; start < options.end_ns;) {
    Fault fault;
    Target target;
    if (options.all_in_turn) {
      fault.kind = kinds.Next(random);
      target = targets_of.at(fault.kind).Next(random);
    } else {
      fault.kind = static_cast<FaultKind>(random() % kFaultKinds);
      const std::vector<Target>& targets = TargetsOf(fault.kind);
      target = targets[random() % targets.size()];
    }
    fault.target = target.name;
    fault.start_ns = start;
    fault.end_ns = start + draw(2 * kSecond, 4 * kSecond);
    // One and a quarter to twice what can be done in time, one after the other.
    const std::int64_t wait_us = draw(1'250'000, 2'000'000) / target.requests_per_s;
    if (fault.kind == FaultKind::kLock || fault.kind == FaultKind::kPool) {
      fault.wait_us = static_cast<std::uint32_t>(wait_us);
    }
    start += draw(options.every_ns * 3 / 4, options.every_ns * 5 / 4);
    if (fault.end_ns <= options.end_ns && options.possible.count(fault.kind) > 0) {
      script.push_back(fault);
    }
  }
  return script;
}

}  // namespace social
