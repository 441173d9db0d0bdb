#include "queue/sweep.h"

#include "seer/core/internal/shared_word.h"

#if defined(__x86_64__) && !defined(SEER_INTERNAL_TSAN)
#include <emmintrin.h>
#define SEER_INTERNAL_PAIRS 1
#else
#define SEER_INTERNAL_PAIRS 0  // ThreadSanitizer checks the other way, which is always right
#endif

SEER_BEGIN_NAMESPACE
namespace internal {

namespace {

// Four slots are a cache line of every shard.
constexpr std::uint32_t kGroup = 4;

struct GroupSums {
  std::uint64_t sum[kGroup] = {};
  friend bool operator==(const GroupSums& a, const GroupSums& b) {
    return ((a.sum[0] ^ b.sum[0]) | (a.sum[1] ^ b.sum[1]) | (a.sum[2] ^ b.sum[2]) |
            (a.sum[3] ^ b.sum[3])) == 0;
  }
};

using Lines = QueuesView::Lines;

// Adds one word of each slot in a line, over all shards.
template <std::size_t kWord>
inline GroupSums SumShards(Lines lines, std::size_t stride) {
  GroupSums sums;
  for (const char* line = lines.first; line != lines.end; line += stride) {
    const auto* const words = reinterpret_cast<const std::uint64_t*>(line);
    sums.sum[0] += LoadAcquire(words + kWord);      // [A]
    sums.sum[1] += LoadAcquire(words + kWord + 2);  // [A]
    sums.sum[2] += LoadAcquire(words + kWord + 4);  // [A]
    sums.sum[3] += LoadAcquire(words + kWord + 6);  // [A]
  }
  return sums;
}

#if SEER_INTERNAL_PAIRS
// Both words of each slot in a line, over all shards. An aligned load of 16 bytes is at worst two
// of 8, each of them whole.
struct GroupPairs {
  __m128i a, b, c, d;
};
inline GroupPairs SumPairs(Lines lines, std::size_t stride) {
  // Four names, not an array: some compilers would keep that in memory.
  __m128i a = _mm_setzero_si128(), b = a, c = a, d = a;
  for (const char* line = lines.first; line < lines.end; line += stride) {
    const auto* const pairs = reinterpret_cast<const __m128i*>(line);
    a = _mm_add_epi64(a, _mm_load_si128(pairs));
    b = _mm_add_epi64(b, _mm_load_si128(pairs + 1));
    c = _mm_add_epi64(c, _mm_load_si128(pairs + 2));
    d = _mm_add_epi64(d, _mm_load_si128(pairs + 3));
  }
  // x86 executes loads in order; the compiler has to be told.
  asm volatile("" : "+x"(a), "+x"(b), "+x"(c), "+x"(d) : : "memory");
  return {a, b, c, d};
}

inline void Store(__m128i pair, SlotCount* count) {
  const __m128i dequeued = _mm_unpackhi_epi64(pair, pair);
  _mm_storel_epi64(reinterpret_cast<__m128i*>(&count->enqueued), pair);
  _mm_storel_epi64(reinterpret_cast<__m128i*>(&count->dequeued_before), dequeued);
  _mm_storel_epi64(reinterpret_cast<__m128i*>(&count->dequeued), dequeued);
}

// The case of nearly all queues at nearly all times, for half the loads: nothing changed in two
// passes, so each counter had its value at every instant in between. False: something did.
inline bool SweepQuietGroup(const QueuesView& view, const char* group, std::uint32_t used,
                            SlotCount* counts) {
  const std::size_t stride = view.layout.shard_stride;
  const Lines lines = view.LinesOf(group, used);
  const GroupPairs first = SumPairs(lines, stride);
  if (LoadAcquire(view.shards_used_word()) != used) return false;  // [U]
  const GroupPairs second = SumPairs(lines, stride);
  const __m128i same = _mm_and_si128(
      _mm_and_si128(_mm_cmpeq_epi32(first.a, second.a), _mm_cmpeq_epi32(first.b, second.b)),
      _mm_and_si128(_mm_cmpeq_epi32(first.c, second.c), _mm_cmpeq_epi32(first.d, second.d)));
  if (_mm_movemask_epi8(same) != 0xffff) return false;
  Store(second.a, counts);
  Store(second.b, counts + 1);
  Store(second.c, counts + 2);
  Store(second.d, counts + 3);
  return true;
}
#endif

}  // namespace

void SweepSlots(const QueuesView& view, std::uint32_t slots, SlotCount* counts) {
  const std::size_t stride = view.layout.shard_stride;
  const std::uint32_t* const used_word = view.shards_used_word();
  std::uint32_t used = LoadAcquire(used_word);  // [U]
  for (std::uint32_t slot = 0; slot < slots; slot += kGroup) {
    const char* const group = view.shards() + std::size_t{slot} * sizeof(seer_slot);
#if SEER_INTERNAL_PAIRS
    if (SweepQuietGroup(view, group, used, counts + slot)) continue;
#endif
    GroupSums before, enqueued, after;
    for (int attempt = 1;; ++attempt) {
      Lines lines = view.LinesOf(group, used);
      before = SumShards<1>(lines, stride);
      const std::uint32_t now = LoadAcquire(used_word);  // [U]
      if (now != used) {
        // Rare, and at most once per shard in the life of the segment. What the new shards had
        // dequeued is missing in `before`, which stays a lower bound.
        used = now;
        if (attempt < kSweepAttempts) continue;
        lines = view.LinesOf(group, used);
      }
      enqueued = SumShards<0>(lines, stride);
      after = SumShards<1>(lines, stride);
      if (before == after || attempt == kSweepAttempts) break;
    }
    for (std::uint32_t i = 0; i < kGroup; ++i) {
      counts[slot + i] = {enqueued.sum[i], before.sum[i], after.sum[i]};
    }
  }
}

bool SweepTimed(const QueuesView& view, std::uint32_t slot, TimedCount* count) {
  *count = TimedCount();
  const QueuesView::ShardsUsed used = view.shards_used();
  const auto slot_of = [&](std::uint32_t shard) {
    return reinterpret_cast<const seer_slot*>(view.shards() + shard * view.layout.shard_stride) +
           slot;
  };
  if (used.shared) {
    // Leaves first: the enters that belong to them are then seen too.
    count->dequeued = LoadAcquire(&slot_of(0)->dequeued);  // [A]
    count->enqueued = LoadAcquire(&slot_of(0)->enqueued);  // [A]
    count->shared = count->enqueued + count->dequeued;
  }
  for (std::uint32_t shard = 1; shard <= used.highest; ++shard) {
    const seer_slot* const words = slot_of(shard);
    const auto* const timed = reinterpret_cast<const seer_timed_slots*>(words + 1);
    bool whole = false;
    for (int attempt = 0; attempt < kSweepAttempts && !whole; ++attempt) {
      // [T], as count.cc says.
      const std::uint64_t sequence = LoadAcquire(&timed->sequence);
      if (sequence == 0) {
        whole = true;  // no count yet
        break;
      }
      if (sequence % 2 != 0) continue;
      TimedCount one;
      one.enqueued = LoadAcquire(&words->enqueued);
      one.dequeued = LoadAcquire(&words->dequeued);
      one.entered_sum = LoadAcquire(&timed->entered_sum);
      one.left_sum = LoadAcquire(&timed->left_sum);
      one.left_entered_sum = LoadAcquire(&timed->left_entered_sum);
      // Relaxed: the acquires above keep it behind the sums.
      if (LoadRelaxed(&timed->sequence) != sequence) continue;
      whole = true;
      count->enqueued += one.enqueued;
      count->dequeued += one.dequeued;
      count->entered_sum += one.entered_sum;
      count->left_sum += one.left_sum;
      count->left_entered_sum += one.left_entered_sum;
    }
    if (!whole) return false;
  }
  return true;
}

}  // namespace internal
SEER_END_NAMESPACE
