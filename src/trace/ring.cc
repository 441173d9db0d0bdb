// What of recording is rare.
#include "seer/trace/internal/ring.h"

#include <algorithm>
#include <ctime>

SEER_BEGIN_NAMESPACE
namespace internal {

std::uint64_t MonotonicStamp() noexcept {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000u +
         static_cast<std::uint64_t>(t.tv_nsec);
}

void StoreOddRecord(const RawSpan& span, std::uint64_t bits, bool release,
                    seer_span_record* record) noexcept {
  // Spans of more than 13 hours (at 3 GHz) end there.
  constexpr std::uint32_t kMaxShift = 15;
  constexpr std::uint64_t kMaxUnits = 0xffffffff;
  Distances d = DistancesOf(span);
  std::uint64_t last = 0;
  for (std::size_t i = 0; i < Span::kStamps; ++i) {
    // Signed: from before the first stamp. What decreases later on is raised by the drainer.
    if (static_cast<std::int64_t>(d.to[i]) < 0) d.to[i] = 0;
    last = std::max(last, d.to[i]);
  }
  std::uint32_t shift = 0;
  while (shift < kMaxShift && last >> shift > kMaxUnits) ++shift;
  for (std::uint64_t& distance : d.to) distance = std::min(distance >> shift, kMaxUnits);
  bits |= std::uint64_t{shift} << SEER_SPAN_SHIFT_BIT;
  if (release) {
    StoreRecord<true>(span, d, bits, record);
  } else {
    StoreRecord<false>(span, d, bits, record);
  }
}

void RecordElsewhere(std::uint64_t entry, std::int64_t offset, std::uint64_t mask,
                     std::uint64_t bits, const RawSpan& span) noexcept {
  const PartsKey key = {static_cast<std::uint32_t>(entry), static_cast<std::uint32_t>(-offset)};
  const PartAddress part = InPart(Place(key, 0));
  if (part.address == nullptr) return;
  auto* const ring = reinterpret_cast<seer_ring*>(part.address);
  if (!part.mine) {
    AddShared(&ring->dropped, 1);
    return;
  }
  const std::uint64_t number = ring->written;
  if ((bits & SpanSource::kKeepLatest) != 0) {
    ring->room_until = number + 1;             // the next one comes here too
    StoreRelease(&ring->started, number + 1);  // [S]
    WriteRecord<true>(ring, number, mask, bits, span);
    return;
  }
  const std::uint64_t drained = LoadAcquire(&ring->drained);  // [D]
  ring->room_until = drained + mask + 1;
  if (number == ring->room_until) {
    AddOwned(&ring->dropped, 1);
    return;
  }
  WriteRecord<false>(ring, number, mask, bits, span);
}

}  // namespace internal
SEER_END_NAMESPACE
