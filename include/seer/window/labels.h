// Flow: Violation, RequestTrace -> [LabelTicks, CulpritFinder] -> TickLabel -> nn/, predict/,
// dataset/
//
// What a model is trained to say about each tick, and who initiated each violation.
//
//   seer::CulpritFinder finder(&topology);
//   assembler -> finder.Observe(trace);                          // every request, in any order
//   seer::Attribution who = finder.Find(violation);              // soon after the violation's end
//   seer::Apply(who, &violation);
//
//   auto labels = seer::LabelTicks(range, violations, {100ms, 300ms, 1s});
//
// LabelTicks. For each tick and horizon h: does a violation start in (end of tick, end + h]? Not
// known where the recording ends before that, or where the violation that would follow cannot be
// told apart because one lasts at the tick's end.
//
// CulpritFinder. A request that failed counts as one that took twice its target, at the service
// that failed first, where more fail than usual. It keeps, for each class and tick, how much of the
// requests' critical path each service was: its own time, and the queue in front of it. For a
// violation it compares the slow requests around its start with the time before. Walking from the
// service where the requests enter along the calls that became slower, it names the deepest service
// whose own time or queue grew beyond its usual spread, and early, and by a part of the whole
// growth that counts: back-pressure makes the callers' queues grow too, but the initiator is below
// them. A queue before workers that only wait, for longer than usual, is the doing of the service
// for which they wait in the end; of a circle of calls that of the one that leaves them unanswered.
//
// Where messages take longer on their way it looks, over the requests of all classes, for what the
// long ways have in common (by the topology's instances): a host, and then it is, of the services
// there, the one at whose ways, caller or callee, the requests lost most; nothing, or only that
// they come in from outside while all goes well behind: that is no service's doing, and called
// "load". "load" too where the requests themselves became that many more before it; "unknown" where
// traces are too few or say nothing.
//
// Threads: one at a time. Cost: Observe() one pass over the hops; Find() reads the kept ticks of
// one class. Memory: 80 bytes for each class, kept tick, and service or edge that was seen there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/types/span.h"
#include "seer/core/config.h"
#include "seer/core/ids.h"
#include "seer/core/tick.h"
#include "seer/core/topology.h"
#include "seer/window/trace_assembler.h"
#include "seer/window/violations.h"

SEER_BEGIN_NAMESPACE

// ---- Labels of ticks.

struct TickLabel {
  Tick tick = 0;
  // By horizon, bit i for horizons[i].
  std::uint32_t starts = 0;   // a violation starts within the horizon
  std::uint32_t known = 0;    // whether it does is known
  bool in_violation = false;  // one lasts at the tick's end
  // The next violation to start, if one does within the largest horizon: index in `violations`.
  std::int32_t next = -1;

  friend bool operator==(const TickLabel& a, const TickLabel& b) {
    return a.tick == b.tick && a.starts == b.starts && a.known == b.known &&
           a.in_violation == b.in_violation && a.next == b.next;
  }
};

inline constexpr std::size_t kMaxHorizons = 32;

struct LabelRange {
  Tick first = 0;
  std::size_t ticks = 0;
  TickPeriod period;
  // Violations that start later are not known of; 0: the end of the last tick.
  std::int64_t known_until_ns = 0;
};

// The labels of one class: `violations` are its own, by start; those of other classes are skipped
// where `request_class` is valid. At most kMaxHorizons horizons count. Into memory that is kept.
void LabelTicks(const LabelRange& range, absl::Span<const Violation> violations,
                absl::Span<const std::int64_t> horizons_ns, ClassId request_class,
                std::vector<TickLabel>* labels);

// ---- Who initiated a violation.

struct Attribution {
  Initiation initiation = Initiation::kUnknown;
  ServiceId culprit;     // with kService
  float confidence = 0;  // 0 to 1

  // For people, and for those who decide otherwise. The services that grew, the most likely first.
  struct Suspect {
    ServiceId service;
    std::int64_t own_growth_ns = 0;    // per slow request, on the critical path
    std::int64_t queue_growth_ns = 0;  // so too
    float share = 0;                   // of the growth of the latency
    std::int64_t since_ns = 0;         // the end of the first tick in which it had grown
    std::uint32_t depth = 0;           // calls from where requests enter
  };
  std::vector<Suspect> suspects;
  std::uint64_t slow_requests = 0;  // that it rests on, those that failed more than usual too
  double request_rate_growth = 1;   // requests before the violation over those of the time before
};

// Writes what was found into the violation.
void Apply(const Attribution& attribution, Violation* violation);

struct CulpritOptions {
  TickPeriod period;
  std::int64_t baseline_ns = 30'000'000'000;  // what is usual: so long, up to onset_ns before
  std::int64_t onset_ns = 3'000'000'000;      // how long before the violation it may have begun
  std::int64_t after_ns = 1'000'000'000;      // how much of the violation is looked at
  double load_growth = 1.3;                   // more requests than that: load
  double min_share = 0.05;   // of the latency's growth that a culprit explains at least
  double min_growth = 0.5;   // of its usual time that it grew by at least
  double min_spread = 4;     // spreads of its usual value that it grew by at least
  std::size_t min_slow = 3;  // slow requests, fewer tell nothing
  std::int64_t keep_ns = 120'000'000'000;  // of the past; older traces are ignored
};

class CulpritFinder {
 public:
  // The topology is read by Find() and outlives this.
  CulpritFinder(const Topology* topology, const CulpritOptions& options = {});
  ~CulpritFinder();
  CulpritFinder(CulpritFinder&&) noexcept;
  CulpritFinder& operator=(CulpritFinder&&) noexcept;

  void Observe(const RequestTrace& trace);
  // Once the requests that began up to after_ns in the violation were observed, and before traces
  // of keep_ns later come. The violation's class has to be one of the topology. `others`:
  // violations before it, of any class; what is usual is not taken from their time.
  Attribution Find(const Violation& violation, absl::Span<const Violation> others = {}) const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

SEER_END_NAMESPACE
