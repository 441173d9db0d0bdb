#include "trace/span_rings.h"

#include <cstring>

#include "absl/strings/str_cat.h"
#include "seer/trace/internal/ring.h"

SEER_BEGIN_NAMESPACE
namespace internal {

namespace {

// Compare-and-set of the words that drainers compete for.
bool Move(std::uint64_t* word, std::uint64_t from, std::uint64_t to) {
  // Release: [D] of ring.h. Acquire: what the drainer before us did with the ring is done.
  return __atomic_compare_exchange_n(word, &from, to, /*weak=*/false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_RELAXED);
}

// Acquire: [S] of ring.h.
void Copy(const seer_span_record* from, seer_span_record* to) {
  to->trace_high = LoadAcquire(&from->trace_high);
  to->trace_low = LoadAcquire(&from->trace_low);
  to->span_id = LoadAcquire(&from->span_id);
  to->parent_id = LoadAcquire(&from->parent_id);
  to->first_stamp = LoadAcquire(&from->first_stamp);
  for (int i = 0; i < 4; ++i) to->later[i] = LoadAcquire(&from->later[i]);
  to->bits = LoadAcquire(&from->bits);
}

absl::Status Bad(const char* field, std::uint64_t value) {
  return absl::FailedPreconditionError(
      absl::StrCat(field, ": ", value, " cannot be in a segment of spans of this size"));
}

// count * each bytes from offset on lie inside, without overflow.
bool Fits(std::uint64_t offset, std::uint64_t count, std::uint64_t each, std::uint64_t bytes) {
  return offset % 64 == 0 && offset <= bytes && count <= (bytes - offset) / each;
}

bool Printable(const char* text, std::size_t bytes) {
  return std::none_of(text, text + bytes, [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7f;
  });
}

}  // namespace

absl::StatusOr<SpanRings> SpanRings::Of(absl::Span<const char> segment,
                                        const seer_segment_header& header, bool local) {
  const std::uint64_t bytes = segment.size();
  seer_spans_header h = {};
  if (header.kind != SEER_SEGMENT_SPANS) return Bad("kind", header.kind);
  if (bytes < sizeof header + sizeof h || header.header_bytes < sizeof header + sizeof h) {
    return Bad("header_bytes", header.header_bytes);
  }
  if (header.stamp_source != SEER_STAMP_TSC && header.stamp_source != SEER_STAMP_MONOTONIC) {
    return Bad("stamp_source", header.stamp_source);
  }
  // The counts behind it go on changing.
  std::memcpy(static_cast<void*>(&h), segment.data() + sizeof header,
              offsetof(seer_spans_header, names_count));
  if (h.names_capacity > 65535) return Bad("names_capacity", h.names_capacity);
  if (h.methods_capacity > 65536) return Bad("methods_capacity", h.methods_capacity);
  if (h.edges_capacity > 65536) return Bad("edges_capacity", h.edges_capacity);
  if (h.rings_capacity < 1 || h.rings_capacity > 4097) {  // each is looked at
    return Bad("rings_capacity", h.rings_capacity);
  }
  if (h.ring_records < 1 || (h.ring_records & (h.ring_records - 1)) != 0) {
    return Bad("ring_records", h.ring_records);
  }
  if (h.mode != SEER_SPANS_DROP_NEWEST && h.mode != SEER_SPANS_KEEP_LATEST) {
    return Bad("mode", h.mode);
  }
  const std::uint64_t ring_bytes =
      sizeof(seer_ring) + std::uint64_t{h.ring_records} * sizeof(seer_span_record);
  if (h.ring_stride % 64 != 0 || h.ring_stride < ring_bytes) {
    return Bad("ring_stride", h.ring_stride);
  }
  if (!Fits(h.names_offset, h.names_capacity, sizeof(seer_name_row), bytes)) {
    return Bad("names_offset", h.names_offset);
  }
  if (!Fits(h.methods_offset, h.methods_capacity, sizeof(seer_method_row), bytes)) {
    return Bad("methods_offset", h.methods_offset);
  }
  if (!Fits(h.edges_offset, h.edges_capacity, sizeof(seer_edge_row), bytes)) {
    return Bad("edges_offset", h.edges_offset);
  }
  if (!Fits(h.rings_offset, h.rings_capacity, h.ring_stride, bytes)) {
    return Bad("rings_offset", h.rings_offset);
  }
  return SpanRings(const_cast<char*>(segment.data()), h, local);
}

seer_name_row SpanRings::Name(std::uint32_t row) const {
  seer_name_row name;
  std::memcpy(&name, base_ + layout_.names_offset + std::size_t{row} * sizeof name, sizeof name);
  if (name.bytes > sizeof name.name || !Printable(name.name, name.bytes)) name.bytes = 0;
  return name;
}
seer_method_row SpanRings::Method(std::uint32_t row) const {
  seer_method_row method;
  std::memcpy(&method, base_ + layout_.methods_offset + std::size_t{row} * sizeof method,
              sizeof method);
  if (method.bytes > sizeof method.name || !Printable(method.name, method.bytes)) method.bytes = 0;
  return method;
}
seer_edge_row SpanRings::Edge(std::uint32_t row) const {
  seer_edge_row edge;
  std::memcpy(&edge, base_ + layout_.edges_offset + std::size_t{row} * sizeof edge, sizeof edge);
  return edge;
}

std::uint64_t SpanRings::Take(std::uint32_t number, std::size_t max,
                              std::vector<seer_span_record>* records) {
  seer_ring* const ring = Ring(number);
  const seer_span_record* const places = RecordsOf(ring);
  const std::uint64_t capacity = layout_.ring_records;
  const std::uint64_t drained = LoadAcquire(&ring->drained);
  const std::uint64_t written = LoadAcquire(&ring->written);  // [W]
  std::uint64_t first = drained;
  if (written - drained > capacity) {
    // Another drainer was here since we read `drained`; or these have been overwritten.
    if (layout_.mode != SEER_SPANS_KEEP_LATEST) return 0;
    first = written - capacity;
  }
  const std::uint64_t end = first + std::min<std::uint64_t>(written - first, max);
  if (end == drained) return 0;

  const std::size_t before = records->size();
  for (std::uint64_t n = first; n != end; ++n) {
    records->emplace_back();
    Copy(places + n % capacity, &records->back());
  }
  if (layout_.mode == SEER_SPANS_KEEP_LATEST) {
    // Record n is whole unless record n + capacity had been begun. Relaxed: the acquires above keep
    // it behind the words.
    const std::uint64_t started = LoadRelaxed(&ring->started);
    std::uint64_t torn = 0;
    while (first + torn != end && started - (first + torn) > capacity) ++torn;
    records->erase(records->begin() + static_cast<std::ptrdiff_t>(before),
                   records->begin() + static_cast<std::ptrdiff_t>(before + torn));
    first += torn;
  }
  // Whoever moves it owns what lies in between. The state is looked at last: a recorder that ended
  // meanwhile has left zeros, and the state is stored before them.
  if (!Move(&ring->drained, drained, end) || (local_ && !open())) {
    records->resize(before);
    return 0;
  }
  return first - drained;
}

std::uint64_t SpanRings::TakeDropped(std::uint32_t number) {
  seer_ring* const ring = Ring(number);
  const std::uint64_t reported = LoadAcquire(&ring->reported);
  const std::uint64_t dropped = LoadAcquire(&ring->dropped);
  if (dropped == reported || !Move(&ring->reported, reported, dropped)) return 0;
  return dropped - reported;
}

bool SpanRings::ChangeLease(std::uint64_t from, std::uint64_t to) {
  return Move(&Ring(0)->lease, from, to);
}

}  // namespace internal
SEER_END_NAMESPACE
