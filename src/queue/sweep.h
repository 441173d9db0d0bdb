// Reads all counters of a segment while their owners go on counting, without a lock, and says for
// each queue whether what it read was true at one instant.
//
//   D1 = sum of dequeued over all shards, E = sum of enqueued, D2 = sum of dequeued again.
//
// All counters are monotone. Hence, if D1 == D2, no shard's dequeued changed between the end of the
// first pass and the start of the third, and E, whose passing values have no gaps, was the true sum
// of enqueued at some instant t in between: E - D1 is the depth at t, exactly. If D1 < D2 the true
// sum of dequeued at that same t was in [D1, D2], and so the depth in [E - D2, E - D1].
//
// Orders: the loads of each pass are acquire ([A], paired with the release of AddOwned and
// AddShared), so that no later pass overtakes them; and a leave that is seen in D1 brings with it
// the enter that it belongs to, which happened before it, so that E cannot miss it. That enter may
// be in a shard that was claimed after the sweep began, hence the look at shards_used between D1
// and E.
//
// Threads: any number of readers. Cost: three loads per queue and shard, about 1 ns
// (benchmarks/RESULTS.md); no more than kAttempts times that.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "queue/queues_view.h"
#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE
namespace internal {

struct SlotCount {
  std::uint64_t enqueued = 0;
  std::uint64_t dequeued_before = 0;  // D1
  std::uint64_t dequeued = 0;         // D2; exact if equal to D1
};

inline constexpr int kSweepAttempts = 4;

// The first `slots` slots; `counts` has room for them rounded up to four.
void SweepSlots(const QueuesView& view, std::uint32_t slots, SlotCount* counts);

// The sums of a timed queue over all shards. Of the shared one there are counts only.
struct TimedCount {
  std::uint64_t enqueued = 0;
  std::uint64_t dequeued = 0;
  std::uint64_t entered_sum = 0;
  std::uint64_t left_sum = 0;
  std::uint64_t left_entered_sum = 0;
  std::uint64_t shared = 0;  // how many of the counts have no stamps

  friend bool operator==(const TimedCount& a, const TimedCount& b) {
    return a.enqueued == b.enqueued && a.dequeued == b.dequeued && a.entered_sum == b.entered_sum &&
           a.left_sum == b.left_sum && a.left_entered_sum == b.left_entered_sum &&
           a.shared == b.shared;
  }
};

// False if a shard was being changed each time it was looked at.
bool SweepTimed(const QueuesView& view, std::uint32_t slot, TimedCount* count);

}  // namespace internal
SEER_END_NAMESPACE
