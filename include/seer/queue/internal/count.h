// Flow: (internal) Queue -> [this thread's shard] -> segment
//
// The hot path of counting: one addition to memory that no other thread writes.
//
// Threads: any. Cost: 8 instructions a count.
#pragma once

#include <cstdint>

#include "seer/core/config.h"
#include "seer/core/internal/shared_word.h"
#include "seer/queue/thread_parts.h"

SEER_BEGIN_NAMESPACE
namespace internal {

enum Word : std::uint32_t { kEnqueued = 0, kDequeued = 8 };  // offset in a seer_slot

// The first count of a thread, a thread without a shard of its own, a handle that counts nowhere.
void CountSlow(Place place, Word word) noexcept;

inline void Count(Place place, Word word) noexcept {
  // InOwnPart(), with one test for both of its answers.
  const std::uintptr_t slot = place.In(thread_parts[place.entry()]);
  if (__builtin_expect(slot % kPartsTags != 0, 0)) {
    CountSlow(place, word);
    return;
  }
  // NOLINTNEXTLINE(performance-no-int-to-ptr): the tag has to be added and taken off
  AddOwned(reinterpret_cast<std::uint64_t*>(slot + word), 1);  // [A] of sweep.h
}

// For timed queues; returns the stamp of the enter.
std::uint64_t EnterTimed(Place place) noexcept;
void LeaveTimed(Place place, std::uint64_t entered) noexcept;

}  // namespace internal
SEER_END_NAMESPACE
