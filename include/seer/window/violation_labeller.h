// Flow: ClusterTick, SpanInterval -> [ViolationLabeller] -> Violation with its culprit -> dataset/
//
// Violations of a recording or of a running cluster, each with who initiated it: the detector, the
// assembler of traces and both finders of culprits, joined.
//
//   seer::ViolationLabeller labeller(options, &topology);
//   labeller.Add(interval);                                  // spans, where there are some
//   labeller.Observe(tick);                                  // ticks, in order
//   for (const seer::LabelledViolation& v : labeller.Take()) Store(v.violation);
//   labeller.Finish();                                       // a file: there is no more
//
// Ticks come after the spans that they were derived from, as SpanDepths gives them. A culprit is
// looked for as soon as the requests of the first second of its violation are known, so that what
// is kept is bounded however long a violation lasts; and again after its end, where few slow
// requests were known: those that hang tell late. Without any span, or where the traces say
// "unknown", the depths are asked (depth_culprits.h). Where nothing but a queue grew, and a
// violation just before, or of another class, was initiated by a service further down, the queue is
// that service's doing.
//
// Threads: one at a time. Cost: that of the parts; with spans most is the assembler's (0.3 us a
// span).
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "seer/core/config.h"
#include "seer/core/topology.h"
#include "seer/window/cluster_tick.h"
#include "seer/window/depth_culprits.h"
#include "seer/window/labels.h"
#include "seer/window/span_interval.h"
#include "seer/window/trace_assembler.h"
#include "seer/window/violations.h"

SEER_BEGIN_NAMESPACE

struct ViolationLabellerOptions {
  ViolationOptions violations;
  CulpritOptions culprits;  // keep_ns: at least the time by which ticks lag spans, and 45 s
  TraceAssemblerOptions traces;
};

enum class LabelBasis : std::uint8_t { kNone, kTraces, kDepths };
// "nothing", "traces", "depths".
std::string_view LabelBasisName(LabelBasis basis);

struct LabelledViolation {
  Violation violation;  // with initiation, culprit and confidence
  Attribution found;
  LabelBasis basis = LabelBasis::kNone;  // what the attribution rests on
};

class ViolationLabeller {
 public:
  // The topology may grow, and outlives this.
  ViolationLabeller(const ViolationLabellerOptions& options, const Topology* topology);
  ViolationLabeller(const ViolationLabeller&) = delete;
  ViolationLabeller& operator=(const ViolationLabeller&) = delete;

  void Add(const SpanInterval& interval);
  void Observe(const ClusterTick& tick);
  void Finish();

  // Violations that are over, and whose last traces have come (linger_ns), by start.
  std::vector<LabelledViolation> Take();

 private:
  struct Open {
    LabelledViolation label;
    bool looked = false;
    bool over = false;  // `violation` is whole; else as it began
  };
  void Look(Open* open);
  void Inherit(LabelledViolation* label) const;
  void Collect(std::int64_t now_ns, bool all);

  const ViolationLabellerOptions options_;
  const Topology* topology_;
  ViolationDetector detector_;
  CulpritFinder traces_;
  DepthCulpritFinder depths_;
  TraceAssembler assembler_;
  bool any_spans_ = false;
  std::int64_t last_ns_ = 0;
  std::vector<Open> open_;                 // by start
  std::vector<LabelledViolation> recent_;  // that are over
  std::vector<LabelledViolation> finished_;
};

SEER_END_NAMESPACE
