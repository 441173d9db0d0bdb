// Flow: Diagnosis -> [Advisor] -> Recommendation -> host's authority -> act/
//
// One change that should avoid a violation, complete enough to be carried out, checked and undone
// by somebody who knows nothing else. Names, not ids: it travels to a node that numbers
// differently.
//
//   if (host.Allows(recommendation)) agent.Send(seer::Encode(recommendation));
//
// Threads: a plain value.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "seer/core/config.h"
#include "seer/core/diagnosis.h"

SEER_BEGIN_NAMESPACE

enum class Action : std::uint8_t {
  kCpuLimit,              // cores
  kMemoryLimit,           // bytes
  kCachePartition,        // ways of the last-level cache
  kMemoryBandwidthShare,  // percent
  kNetworkShare,          // bytes per second
  kIoShare,               // bytes per second
  kReplicas,              // instances
  kPoolSize,              // threads or connections
  kRateLimit,             // requests per second; drops requests, the last resort
  kReport,                // tell the developers; nothing is changed
};
inline constexpr std::size_t kActions = 10;
// "cpu-limit", ...
std::string_view ActionName(Action action);
// "cores", "bytes", ...
std::string_view ActionUnit(Action action);
std::optional<Action> ActionFromName(std::string_view name);

struct ActionTarget {
  std::string service;
  std::string instance;  // empty = every instance
  std::string node;      // empty = wherever they run
  std::string cgroup;    // empty = the executor's own mapping from the instance
  friend bool operator==(const ActionTarget& a, const ActionTarget& b) {
    return a.service == b.service && a.instance == b.instance && a.node == b.node &&
           a.cgroup == b.cgroup;
  }
};

struct Recommendation {
  std::uint64_t id = 0;        // unique per control plane; ActionTaken refers to it
  std::int64_t issued_ns = 0;  // unix time
  ActionTarget target;
  Cause cause = Cause::kUndecided;
  float confidence = 0;  // 0 to 1
  std::string reason;    // for people

  Action action = Action::kReport;
  double from = 0;  // what the advisor believes is in place, in the action's unit
  double to = 0;
  // Nothing outside [lower, upper] may be set, on the way there, back, or by rounding.
  double lower = 0;
  double upper = 0;
  // Compare-and-set: change nothing unless this value is in place. Not set = whatever is there.
  std::optional<double> precondition;

  std::string expected_metric;  // what should get better, e.g. "p99 ms of compose-post"
  double expected_from = 0;
  double expected_to = 0;
  std::int64_t settle_ns = 0;   // before this has passed the effect cannot be judged
  std::int64_t expires_ns = 0;  // unix time; undone then, unless renewed. 0 = stays
  std::optional<double> undo;   // what to set to undo it. Not set = cannot be undone

  friend bool operator==(const Recommendation& a, const Recommendation& b) {
    return a.id == b.id && a.issued_ns == b.issued_ns && a.target == b.target &&
           a.cause == b.cause && a.confidence == b.confidence && a.reason == b.reason &&
           a.action == b.action && a.from == b.from && a.to == b.to && a.lower == b.lower &&
           a.upper == b.upper && a.precondition == b.precondition &&
           a.expected_metric == b.expected_metric && a.expected_from == b.expected_from &&
           a.expected_to == b.expected_to && a.settle_ns == b.settle_ns &&
           a.expires_ns == b.expires_ns && a.undo == b.undo;
  }
  friend bool operator!=(const Recommendation& a, const Recommendation& b) { return !(a == b); }
};

SEER_END_NAMESPACE
