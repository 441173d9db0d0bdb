// Flow: (internal) RPC -> [this thread's ring] -> SpanDrainer
//
// The hot path of recording: 64 bytes into memory that no other thread writes. A ring is a pair of
// numbers that only grow, `written` (its thread's) and `drained` (the drainer's), and a power of
// two of places; one behind the other by as much as there are places is a full ring.
//
// Orders:
//  [W] the thread stores `written` (release) after the words of a record; who loads it (acquire)
//      sees them.
//  [D] the drainer moves `drained` on (release) after it has read the words; the thread loads it
//      (acquire) before it overwrites them. It does so only when it comes to `room_until`, which is
//      its own and says how far it got room the last time, and so leaves the drainer's cache line
//      alone.
//  [S] where the oldest are overwritten, nobody waits for the drainer. The thread then stores
//      `started` before the first word, and each word with release: a drainer whose load (acquire)
//      of a word gives a newer record's also sees the `started` before it, which it looks at last.
//
// The words are atomic also where [W] and [D] suffice: a drainer that has lost its lease may still
// be reading. It finds that out when it moves `drained` on, and throws away what it read.
//
// Threads: any. Not from signal handlers: one that interrupts a record of its own thread may
//          overwrite it. Cost: 2 ns, without the clock.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

#include "seer/core/config.h"
#include "seer/core/internal/shared_word.h"
#include "seer/core/span.h"
#include "seer/queue/segment_layout.h"
#include "seer/queue/thread_parts.h"

// What a span needs is known where it is recorded, and folds away only if all of it is inlined.
#if defined(__GNUC__)
#define SEER_INTERNAL_ALWAYS_INLINE __attribute__((always_inline)) inline
#else
#define SEER_INTERNAL_ALWAYS_INLINE inline
#endif

SEER_BEGIN_NAMESPACE

// A span as the host has it: ids, and stamps in the order of ServerStamp or ClientStamp, taken with
// ServedMethod::Stamp() or a TscClock of the best source.
struct RawSpan {
  TraceId trace_id;
  std::uint64_t span_id = 0;
  std::uint64_t parent_id = 0;
  std::array<std::uint64_t, Span::kStamps> stamps = {};
  std::uint32_t known = 0;  // bit i: stamps[i] was taken
  Outcome outcome = Outcome::kUnknown;

  SEER_INTERNAL_ALWAYS_INLINE void Set(std::size_t i, std::uint64_t stamp) noexcept {
    stamps[i] = stamp;
    known |= std::uint32_t{1} << i;
  }
};

namespace internal {

// Where a method's spans go, and what all of them have in common.
struct SpanSource {
  // In bits of `bits` that a record leaves free; they get there too, and nobody looks.
  static constexpr std::uint64_t kClockGettime = std::uint64_t{1} << 63;  // is what a stamp is
  static constexpr std::uint64_t kKeepLatest = std::uint64_t{1} << 62;    // overwrites the oldest

  // The Place of a ring, taken apart: two loads where a Place would need six instructions. At
  // first that of no ring, like Place's own default.
  std::uint64_t entry = 0;
  std::int64_t offset = -1;
  std::uint64_t mask = 0;  // number of records in a ring, less one
  std::uint64_t bits = 0;  // of a seer_span_record: method, edge, side

  bool valid() const { return entry != 0; }
};

std::uint64_t MonotonicStamp() noexcept;

SEER_INTERNAL_ALWAYS_INLINE std::uint64_t Stamp(const SpanSource& source) noexcept {
#if defined(__x86_64__)
  if (__builtin_expect((source.bits & SpanSource::kClockGettime) == 0, 1)) return __rdtsc();
#endif
  static_cast<void>(source);
  return MonotonicStamp();
}
// See TscClock::FencedStamp().
SEER_INTERNAL_ALWAYS_INLINE std::uint64_t FencedStamp(const SpanSource& source) noexcept {
#if defined(__x86_64__)
  if (__builtin_expect((source.bits & SpanSource::kClockGettime) == 0, 1)) {
    _mm_lfence();
    return __rdtsc();
  }
#endif
  static_cast<void>(source);
  return MonotonicStamp();
}

// Word by word, for calls that hardly ever come: `span` itself can then stay in registers. (A copy
// of the whole would have its compiler keep all of it in memory.)
SEER_INTERNAL_ALWAYS_INLINE RawSpan CopyOf(const RawSpan& span) noexcept {
  RawSpan copy;
  copy.trace_id.high = span.trace_id.high;
  copy.trace_id.low = span.trace_id.low;
  copy.span_id = span.span_id;
  copy.parent_id = span.parent_id;
  if ((span.known & 1) != 0) copy.stamps[0] = span.stamps[0];
  if ((span.known & 2) != 0) copy.stamps[1] = span.stamps[1];
  if ((span.known & 4) != 0) copy.stamps[2] = span.stamps[2];
  if ((span.known & 8) != 0) copy.stamps[3] = span.stamps[3];
  if ((span.known & 16) != 0) copy.stamps[4] = span.stamps[4];
  copy.known = span.known;
  copy.outcome = span.outcome;
  return copy;
}

// From the first known stamp to each.
struct Distances {
  std::uint64_t to[Span::kStamps] = {};
  std::uint64_t first = 0;
  std::uint64_t all = 0;  // or-ed: more than 32 bits if one of them has, or is negative
  bool any = false;
};

SEER_INTERNAL_ALWAYS_INLINE void AddStamp(const RawSpan& span, std::size_t i,
                                          Distances* d) noexcept {
  if ((span.known >> i & 1) == 0) return;
  if (!d->any) {
    d->any = true;
    d->first = span.stamps[i];
    return;
  }
  d->to[i] = span.stamps[i] - d->first;
  d->all |= d->to[i];
}
SEER_INTERNAL_ALWAYS_INLINE Distances DistancesOf(const RawSpan& span) noexcept {
  Distances d;
  // Not a loop: where the host's code says which stamps are known, all of this folds away.
  AddStamp(span, 0, &d);
  AddStamp(span, 1, &d);
  AddStamp(span, 2, &d);
  AddStamp(span, 3, &d);
  AddStamp(span, 4, &d);
  return d;
}

inline seer_span_record* RecordsOf(seer_ring* ring) noexcept {
  return reinterpret_cast<seer_span_record*>(ring + 1);
}

template <bool kRelease, typename Word>
inline void StoreWord(Word* word, Word value) noexcept {
  if constexpr (kRelease) {
    StoreRelease(word, value);  // [S]
  } else {
    StoreRelaxed(word, value);  // ordered by [W]
  }
}

// Not where it is not known: nobody looks at it.
template <bool kRelease>
SEER_INTERNAL_ALWAYS_INLINE void StoreStamp(const RawSpan& span, const Distances& d, std::size_t i,
                                            seer_span_record* record) noexcept {
  if ((span.known >> i & 1) == 0) return;
  StoreWord<kRelease>(&record->later[i - 1], static_cast<std::uint32_t>(d.to[i]));
}
template <bool kRelease>
SEER_INTERNAL_ALWAYS_INLINE void StoreRecord(const RawSpan& span, const Distances& d,
                                             std::uint64_t bits,
                                             seer_span_record* record) noexcept {
  StoreWord<kRelease>(&record->trace_high, span.trace_id.high);
  StoreWord<kRelease>(&record->trace_low, span.trace_id.low);
  StoreWord<kRelease>(&record->span_id, span.span_id);
  StoreWord<kRelease>(&record->parent_id, span.parent_id);
  StoreWord<kRelease>(&record->first_stamp, d.first);
  StoreStamp<kRelease>(span, d, 1, record);
  StoreStamp<kRelease>(span, d, 2, record);
  StoreStamp<kRelease>(span, d, 3, record);
  StoreStamp<kRelease>(span, d, 4, record);
  bits |= std::uint64_t{span.known} << SEER_SPAN_KNOWN_BIT |
          static_cast<std::uint64_t>(span.outcome) << SEER_SPAN_OUTCOME_BIT;
  StoreWord<kRelease>(&record->bits, bits);
}

// A span that is too long for units of one stamp (1.4 s at 3 GHz), or whose stamps go back.
void StoreOddRecord(const RawSpan& span, std::uint64_t bits, bool release,
                    seer_span_record* record) noexcept;

template <bool kRelease>
SEER_INTERNAL_ALWAYS_INLINE void WriteRecord(seer_ring* ring, std::uint64_t number,
                                             std::uint64_t mask, std::uint64_t bits,
                                             const RawSpan& span) noexcept {
  seer_span_record* const record = RecordsOf(ring) + (number & mask);
  const Distances d = DistancesOf(span);
  if (__builtin_expect(d.all >> 32 == 0, 1)) {
    StoreRecord<kRelease>(span, d, bits, record);
  } else {
    const RawSpan copy = CopyOf(span);
    StoreOddRecord(copy, bits, kRelease, record);
  }
  StoreRelease(&ring->written, number + 1);  // [W]
}

// A thread's first span, a thread without a ring, a ring that may be full or overwrites the oldest,
// and a source that is nowhere. (Words, not a SpanSource: what has to lie in memory for a call that
// hardly ever comes would be put there each time.)
void RecordElsewhere(std::uint64_t entry, std::int64_t offset, std::uint64_t mask,
                     std::uint64_t bits, const RawSpan& span) noexcept;

SEER_INTERNAL_ALWAYS_INLINE void Record(const SpanSource& source, const RawSpan& span) noexcept {
  // InOwnPart(), with one test for both of its answers.
  const std::uintptr_t part = reinterpret_cast<std::uintptr_t>(thread_parts[source.entry]) +
                              static_cast<std::uintptr_t>(source.offset);
  if (__builtin_expect(part % kPartsTags == 0, 1)) {
    // NOLINTNEXTLINE(performance-no-int-to-ptr): the tag has to be added and taken off
    auto* const ring = reinterpret_cast<seer_ring*>(part);
    const std::uint64_t number = ring->written;  // plain: no other thread stores it
    if (__builtin_expect(number != ring->room_until, 1)) {
      WriteRecord<false>(ring, number, source.mask, source.bits, span);
      return;
    }
  }
  const RawSpan copy = CopyOf(span);
  RecordElsewhere(source.entry, source.offset, source.mask, source.bits, copy);
}

}  // namespace internal
SEER_END_NAMESPACE
