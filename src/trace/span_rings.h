// The drainer's side of a spans segment: tables, lease and rings of a recorder in this process.
// include/seer/trace/internal/ring.h says how both sides are ordered.
//
// Threads: any; several at once take different records, never the same one twice. Cost: two loads a
// ring in use, about 1 ns a record.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/types/span.h"
#include "seer/core/config.h"
#include "seer/core/internal/shared_word.h"
#include "seer/queue/segment_layout.h"

SEER_BEGIN_NAMESPACE
namespace internal {

class SpanRings {
 public:
  // `segment` is that of a SpanRecorder.
  explicit SpanRings(absl::Span<const char> segment);

  // ---- Tables. What is below a count never changes again.
  const seer_segment_header& header() const {
    return *reinterpret_cast<const seer_segment_header*>(base_);
  }
  // The recorder has not ended.
  bool open() const { return LoadAcquire(&header().state) == SEER_SEGMENT_READY; }
  std::uint32_t names() const { return LoadAcquire(&shared()->names_count); }      // [N]
  std::uint32_t methods() const { return LoadAcquire(&shared()->methods_count); }  // [N]
  std::uint32_t edges() const { return LoadAcquire(&shared()->edges_count); }      // [N]
  std::string_view Name(std::uint32_t row) const;
  const seer_method_row& Method(std::uint32_t row) const;
  const seer_edge_row& Edge(std::uint32_t row) const;

  // ---- Rings.
  std::uint32_t ring_records() const { return layout_.ring_records; }
  std::uint32_t rings_used() const {  // [U] the highest one
    return std::min(LoadAcquire(&shared()->rings_used) & ~SEER_SHARED_SHARD_USED,
                    layout_.rings_capacity - 1);
  }
  // Takes the oldest records of a ring, at most `max`, and appends them. Returns how many records
  // were lost unread, in a ring that overwrites the oldest.
  std::uint64_t Take(std::uint32_t ring, std::size_t max, std::vector<seer_span_record>* records);
  // What threads dropped since anybody asked; ring 0: those without a ring.
  std::uint64_t TakeDropped(std::uint32_t ring);

  // ---- The lease: a word that its holder remembers.
  std::uint64_t lease() const { return LoadAcquire(&Ring(0)->lease); }
  bool ChangeLease(std::uint64_t from, std::uint64_t to);

 private:
  seer_ring* Ring(std::uint32_t ring) const {
    return reinterpret_cast<seer_ring*>(base_ + layout_.rings_offset + ring * layout_.ring_stride);
  }
  const seer_spans_header* shared() const {
    return reinterpret_cast<const seer_spans_header*>(base_ + sizeof(seer_segment_header));
  }

  char* base_;
  seer_spans_header layout_;  // a copy: stays when the recorder ends
};

}  // namespace internal
SEER_END_NAMESPACE
