// Flow: ClusterTick -> [ViolationDetector] -> Violation -> labels.h, dataset/, predict/, insight/
//
// When request classes missed their targets. In each tick the requests of the trailing window are
// asked: were more of them over the target than it allows (QosTarget)? Requests that are still open
// count once they are older than the target: the oldest, and while nobody is answered all who came.
//
//   seer::ViolationDetector detector;
//   detector.Observe(tick, topology);
//   for (const seer::Violation& v : detector.TakeFinished()) Store(v);
//   for (const seer::Violation& v : detector.open()) Alarm(v);
//
// A violation starts at the end of the first tick whose window breaches. It is over when `quiet_ns`
// have passed without a breach; its end is the end of the last tick that breached. In between,
// short calms are part of it. Ticks in which the class was not seen breach nothing; if there were
// any, the violation says so (`gap`).
//
// A tick tells the requests over the target as they were counted (`over_target`). Where the target
// is another one than at recording, `recount` takes them from the latencies: to within a
// histogram's bucket (3.2 %), or, where only p50 and p99 are known, a lower bound.
//
// Threads: one at a time. Cost: per tick and class about 10 ns; memory the ticks of the longest
// window, for each class.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "seer/core/config.h"
#include "seer/core/ids.h"
#include "seer/core/tick.h"
#include "seer/core/topology.h"
#include "seer/window/cluster_tick.h"

SEER_BEGIN_NAMESPACE

// What initiated a violation, as far as is known.
enum class Initiation : std::uint8_t {
  kUnknown,
  kService,  // Violation::culprit
  kLoad,     // nobody's: more requests than it was built for, a network ahead of the services
};
// "unknown", "service", "load".
std::string_view InitiationName(Initiation initiation);

struct Violation {
  ClassId request_class;
  std::int64_t start_ns = 0;  // unix time: the end of the first tick whose window breached
  std::int64_t end_ns = 0;    // the end of the last one
  // The worst window: requests over the target, of all in it.
  std::uint64_t worst_over = 0;
  std::uint64_t worst_total = 0;
  bool gap = false;   // the class was not seen in some of its ticks
  bool open = false;  // not known to be over: it lasts, or the recording ended

  // Who initiated it: from truth (a simulator, a person) or from traces (labels.h).
  Initiation initiation = Initiation::kUnknown;
  ServiceId culprit;     // with kService
  float confidence = 0;  // 0 to 1; 1 for truth

  friend bool operator==(const Violation& a, const Violation& b) {
    return a.request_class == b.request_class && a.start_ns == b.start_ns && a.end_ns == b.end_ns &&
           a.worst_over == b.worst_over && a.worst_total == b.worst_total && a.gap == b.gap &&
           a.open == b.open && a.initiation == b.initiation && a.culprit == b.culprit &&
           a.confidence == b.confidence;
  }
};

struct ViolationOptions {
  std::int64_t quiet_ns = 1'000'000'000;
  bool recount = false;
};

// Requests of the tick over the target: as recorded, or counted anew from the latencies.
std::uint64_t OverTarget(const ClassTick& tick, const QosTarget& target, bool recount);

class ViolationDetector {
 public:
  explicit ViolationDetector(ViolationOptions options = {}) : options_(options) {}

  // Ticks in order; one that is not later than the last is ignored, and counted. Ticks that are
  // left out count as not seen. Another period starts anew: what was open is finished, as `open`.
  void Observe(const ClusterTick& tick, const Topology& topology);
  // The recording ends: what is open is finished, as `open`.
  void Finish();

  // Violations that last, one per class at most. Valid until the next call.
  const std::vector<Violation>& open() const { return open_; }
  // Those that are over, by start.
  std::vector<Violation> TakeFinished();

  // Whether the class's window breached in the last tick observed.
  bool breaching(ClassId request_class) const;
  std::uint64_t ignored_ticks() const { return ignored_ticks_; }

 private:
  struct Row {
    std::uint64_t over = 0;
    std::uint64_t total = 0;
  };
  struct ClassState {
    std::vector<Row> ring;  // the window's ticks, by tick modulo size
    std::uint64_t over = 0;
    std::uint64_t total = 0;
    bool breaching = false;
    bool missed = false;     // a tick was not seen since the last breach of the open violation
    std::int32_t open = -1;  // index in open_
  };
  void Step(Tick tick, const ClusterTick* values, const Topology& topology);
  void StepClass(ClassId id, Tick tick, const ClassTick* row, const QosTarget& target);
  void Close(std::size_t index, bool still_open);

  ViolationOptions options_;
  TickPeriod period_;
  Tick last_ = 0;
  bool started_ = false;
  std::vector<ClassState> classes_;
  std::vector<Violation> open_;
  std::vector<Violation> finished_;
  std::uint64_t ignored_ticks_ = 0;
};

SEER_END_NAMESPACE
