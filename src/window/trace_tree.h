// The spans of one trace as a tree of hops. Private to the room.
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "absl/types/span.h"
#include "seer/core/config.h"
#include "seer/window/span_interval.h"
#include "seer/window/trace_assembler.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// Keeps its memory from trace to trace.
class TraceTree {
 public:
  static constexpr std::int32_t kNone = -1;

  // A call by the spans of its sides; kNone where one is missing.
  struct Sides {
    std::int32_t client = kNone, server = kNone;
  };

  // Which spans are the two sides of one call. Spans of the same id and side as an earlier one are
  // left out; returns how many.
  std::uint64_t Pair(absl::Span<const SpanInterval> spans);
  absl::Span<const Sides> calls() const { return calls_; }

  // After Pair(), with the same spans or with corrected times.
  void Build(absl::Span<const SpanInterval> spans, RequestTrace* trace);

 private:
  struct Draft {
    Hop hop;
    std::int64_t work_ns = 0;      // when the callee took it to work; its own clock
    std::int64_t work_end_ns = 0;  // until when
    std::int32_t parent = kNone;
    bool root = false, has_parent_id = false;
    std::vector<std::int32_t> children;
  };

  void Draw(absl::Span<const SpanInterval> spans);
  void FindParents(absl::Span<const SpanInterval> spans);
  std::int32_t Containing(std::int32_t call, bool any_service) const;
  std::int32_t ChooseRoot() const;
  void Order(std::int32_t root, RequestTrace* trace);
  void OwnTimes(RequestTrace* trace);
  void CriticalPath(RequestTrace* trace);

  std::vector<Sides> calls_;
  std::unordered_map<std::uint64_t, std::int32_t> clients_, servers_;  // span id: call
  std::vector<Draft> drafts_;                                          // by call
  std::vector<std::int32_t> order_;                                    // calls as they are given
};

}  // namespace internal
SEER_END_NAMESPACE
