#include "queue/sweep.h"

#include "seer/core/internal/shared_word.h"

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

// Adds one word of each slot in a line, over the shards [first, end).
template <std::size_t kWord>
inline GroupSums SumShards(const char* line, const char* end, std::size_t stride) {
  GroupSums sums;
  for (; line < end; line += stride) {
    const auto* const words = reinterpret_cast<const std::uint64_t*>(line);
    sums.sum[0] += LoadAcquire(words + kWord);      // [A]
    sums.sum[1] += LoadAcquire(words + kWord + 2);  // [A]
    sums.sum[2] += LoadAcquire(words + kWord + 4);  // [A]
    sums.sum[3] += LoadAcquire(words + kWord + 6);  // [A]
  }
  return sums;
}

inline void Prefetch(const char* line, const char* end, std::size_t stride) {
  for (; line < end; line += stride) __builtin_prefetch(line);
}

}  // namespace

void SweepSlots(const QueuesView& view, std::uint32_t slots, SlotCount* counts) {
  const std::size_t stride = view.layout.shard_stride;
  QueuesView::ShardsUsed used = view.shards_used();
  // Below this many shards the next line is in reach of the hardware's own prefetching.
  constexpr std::uint32_t kPrefetchFrom = 16;
  for (std::uint32_t slot = 0; slot < slots; slot += kGroup) {
    GroupSums before, enqueued, after;
    for (int attempt = 1;; ++attempt) {
      const char* const group = view.shards() + std::size_t{slot} * sizeof(seer_slot);
      const char* line = used.shared ? group : group + stride;
      const char* end = group + (std::size_t{used.highest} + 1) * stride;
      before = SumShards<1>(line, end, stride);
      const QueuesView::ShardsUsed now = view.shards_used();
      if (!(now == used)) {
        // Rare, and at most once per shard in the life of the segment. What the new shards had
        // dequeued is missing in `before`, which stays a lower bound.
        used = now;
        if (attempt < kSweepAttempts) continue;
        line = used.shared ? group : group + stride;
        end = group + (std::size_t{used.highest} + 1) * stride;
      }
      enqueued = SumShards<0>(line, end, stride);
      if (attempt == 1 && used.highest >= kPrefetchFrom && slot + kGroup < slots) {
        Prefetch(line + kCacheLine, end, stride);
      }
      after = SumShards<1>(line, end, stride);
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
    count->shared = LoadAcquire(&slot_of(0)->enqueued) + LoadAcquire(&slot_of(0)->dequeued);
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
