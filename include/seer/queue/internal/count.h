// Flow: (internal) Queue -> [this thread's shard] -> segment
//
// The hot path. A queue is a place: which registry (key) and where in every shard (offset). A
// thread remembers the address of its shard in each registry; if the key beside it is the queue's,
// counting is one addition to memory that no other thread writes.
//
// Invariants:
//  1. thread_shards[i].key == key, not kNoKey, only while this thread owns the shard at `base`:
//     claiming sets it, thread exit and fork() clear it, both on this thread.
//  2. Keys are unique for the life of the process and are never 0 or kNoKey, so a handle of a
//     registry that is gone never matches the one that took its slot.
//  3. A registry's memory is never unmapped: a thread that has just compared the key may still
//     write when the registry is destroyed. It then writes to pages that nobody reads.
//
// Threads: any. Cost: 8 to 9 instructions a count.
#pragma once

#include <cstdint>

#include "seer/core/config.h"
#include "seer/core/internal/shared_word.h"

SEER_BEGIN_NAMESPACE
namespace internal {

class RegistryState;  // src/queue/registry_state.h

inline constexpr std::uint32_t kNoKey = 0xffffffffu;
inline constexpr std::uint32_t kMaxRegistries = 8;

struct Place {
  std::uint32_t key = kNoKey;
  std::uint32_t offset = 0;  // of the queue's slot in every shard, in bytes
};

enum Word : std::uint32_t { kEnqueued = 0, kDequeued = 8 };  // offset in a seer_slot

struct ThreadShard {
  char* base;
  std::uint32_t key;
};
// Zero-initialised: key 0 belongs to nobody. Exported also under -fvisibility=hidden: the library
// and whoever includes this must mean the same variable. initial-exec: no call to find it.
#if defined(__GNUC__) && defined(__ELF__)
__attribute__((visibility("default"), tls_model("initial-exec")))
#endif
inline thread_local ThreadShard thread_shards[kMaxRegistries];

// The first count of a thread, a thread without a shard of its own, a handle that counts nowhere.
void CountSlow(Place place, Word word) noexcept;

inline void Count(Place place, Word word) noexcept {
  const ThreadShard& shard = thread_shards[place.key % kMaxRegistries];
  if (__builtin_expect(shard.key != place.key, 0)) {
    CountSlow(place, word);
    return;
  }
  // Release, [A] of reader.cc: what happened before this count is seen with it.
  AddOwned(reinterpret_cast<std::uint64_t*>(shard.base + place.offset + word), 1);
}

// For timed queues; returns the stamp of the enter.
std::uint64_t EnterTimed(Place place) noexcept;
void LeaveTimed(Place place, std::uint64_t entered) noexcept;

}  // namespace internal
SEER_END_NAMESPACE
