// One segment of spans on its way to an outlet: the lease on it, what its rows mean there, and how
// its records become spans.
//
// Threads: one at a time. Cost: about 26 ns a span.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "seer/core/config.h"
#include "seer/core/ids.h"
#include "seer/core/tsc_clock.h"
#include "seer/queue/segment.h"
#include "trace/span_outlet.h"
#include "trace/span_rings.h"

SEER_BEGIN_NAMESPACE
namespace internal {

class SegmentDrain {
 public:
  // `clock` is of the segment's stamp source, and outlives it. `mapped`: null for a recorder of
  // this process.
  SegmentDrain(const SpanRings& rings, std::string instance, std::uint64_t pid,
               const TscClock* clock, const MappedSegment* mapped)
      : rings_(rings), instance_(std::move(instance)), pid_(pid), clock_(clock), mapped_(mapped) {}

  bool open() const { return rings_.open(); }

  // Takes or keeps the lease. FailedPrecondition: another one has it.
  absl::Status HoldLease(std::int64_t now_ms, std::int64_t length_ms);
  void GiveLeaseBack();

  // Learns what the rows mean, in the outlet's numbering.
  void LearnNames(SpanOutlet* outlet);
  // The numbering is another one from now on.
  void ForgetNames();

  // Takes at most `budget` records and says how many are left of it. False: the sink has no room
  // now (`first`). `emptied`, if given, tells whether nothing is left behind.
  bool Drain(SpanOutlet* outlet, std::size_t* budget, absl::Status* first, bool* emptied);

 private:
  void Append(const seer_span_record& record, std::uint64_t now_stamp, SpanOutlet* outlet);
  bool TakeFrom(std::uint32_t ring, SpanOutlet* outlet, std::size_t* budget, absl::Status* first);

  SpanRings rings_;
  const std::string instance_;
  const std::uint64_t pid_;
  const TscClock* const clock_;
  const MappedSegment* const mapped_;
  std::uint64_t lease_ = 0;  // ours; 0: none
  // By row of the segment's tables.
  std::vector<ServiceId> services_;
  struct MethodOf {
    MethodId id;
    InstanceId served_by;
  };
  std::vector<MethodOf> methods_;
  struct EdgeOf {
    EdgeId id;
    InstanceId called_by;
  };
  std::vector<EdgeOf> edges_;
  std::vector<seer_span_record> records_;
  std::uint32_t next_ring_ = 1;
};

}  // namespace internal
SEER_END_NAMESPACE
