#include "trace/span_rings.h"

#include <cstring>

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

}  // namespace

SpanRings::SpanRings(absl::Span<const char> segment)
    : base_(const_cast<char*>(segment.data())), layout_{} {
  // The counts behind it go on changing.
  std::memcpy(static_cast<void*>(&layout_), shared(), offsetof(seer_spans_header, names_count));
}

std::string_view SpanRings::Name(std::uint32_t row) const {
  const auto* const names = reinterpret_cast<const seer_name_row*>(base_ + layout_.names_offset);
  return {names[row].name, names[row].bytes};
}
const seer_method_row& SpanRings::Method(std::uint32_t row) const {
  return reinterpret_cast<const seer_method_row*>(base_ + layout_.methods_offset)[row];
}
const seer_edge_row& SpanRings::Edge(std::uint32_t row) const {
  return reinterpret_cast<const seer_edge_row*>(base_ + layout_.edges_offset)[row];
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
  if (!Move(&ring->drained, drained, end) || !open()) {
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
