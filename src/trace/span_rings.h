// The drainer's side of a spans segment: tables, lease and rings of a recorder, in this process or
// in another. include/seer/trace/internal/ring.h says how both sides are ordered.
//
// Nothing is believed: the layout is checked against the size once and kept as a copy, rows are
// copied before they are looked at, counts are cut to what there is room for. A hostile owner can
// make its own spans nonsense, and lose them.
//
// Threads: any; several at once take different records, never the same one twice. Cost: two loads a
// ring in use, about 1 ns a record.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "seer/core/config.h"
#include "seer/core/internal/shared_word.h"
#include "seer/queue/segment_layout.h"

SEER_BEGIN_NAMESPACE
namespace internal {

class SpanRings {
 public:
  // What lies in a segment whose common header is `header`, or why it cannot be read. The memory
  // must be writable, stay where it is, and be a multiple of 64 bytes from an address that is too.
  // `local`: that of a recorder of this process, which leaves zeros when it ends; a file keeps what
  // was in it.
  static absl::StatusOr<SpanRings> Of(absl::Span<const char> segment,
                                      const seer_segment_header& header, bool local);

  // ---- Tables. What is below a count never changes again, if its owner keeps the rules.
  // The recorder has not ended.
  bool open() const {
    return LoadAcquire(&reinterpret_cast<const seer_segment_header*>(base_)->state) ==
           SEER_SEGMENT_READY;
  }
  // [N] all three.
  std::uint32_t names() const {
    return std::min(LoadAcquire(&shared()->names_count), layout_.names_capacity);
  }
  std::uint32_t methods() const {
    return std::min(LoadAcquire(&shared()->methods_count), layout_.methods_capacity);
  }
  std::uint32_t edges() const {
    return std::min(LoadAcquire(&shared()->edges_count), layout_.edges_capacity);
  }
  // A copy; `bytes` is 0 where the name cannot be one.
  seer_name_row Name(std::uint32_t row) const;
  seer_method_row Method(std::uint32_t row) const;
  seer_edge_row Edge(std::uint32_t row) const;

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
  SpanRings(char* base, const seer_spans_header& layout, bool local)
      : base_(base), layout_(layout), local_(local) {}
  seer_ring* Ring(std::uint32_t ring) const {
    return reinterpret_cast<seer_ring*>(base_ + layout_.rings_offset + ring * layout_.ring_stride);
  }
  const seer_spans_header* shared() const {
    return reinterpret_cast<const seer_spans_header*>(base_ + sizeof(seer_segment_header));
  }

  char* base_;
  seer_spans_header layout_;  // a copy: cannot change any more
  bool local_;
};

}  // namespace internal
SEER_END_NAMESPACE
