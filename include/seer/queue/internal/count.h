// Flow: (internal) Queue -> [this thread's shard] -> segment
//
// The hot path. A queue is a place: which registry (entry) and where in every shard (offset). A
// thread remembers the address of its shard in each registry, and counting is one addition to
// memory that no other thread writes. What it has to check first, in one look: has this thread a
// shard, and is the registry still the one that the place belongs to? Addresses of slots are
// multiples of 16, so their low four bits are free to say so: a registry has a tag from 1 to 15,
// which is added to the address that the thread remembers and taken off the offset in the place. If
// the two do not cancel out, the sum is not a multiple of 16.
//
// Invariants:
//  1. thread_shards[entry] is null, or the address of a shard that this thread owns plus its
//  registry's
//     tag. Claiming sets it, thread exit and fork() clear it, both on this thread.
//  2. A pair of entry and tag serves one registry in the life of the process, so a place never
//     matches another registry than its own. Entry 0 is never used: its null and the odd offset of
//     the default place do not cancel out.
//  3. A registry's memory is never unmapped: a thread that has just looked may still write when the
//     registry is destroyed. It then writes to pages that nobody reads.
//
// Threads: any. Cost: 6 instructions a count.
#pragma once

#include <cstdint>

#include "seer/core/config.h"
#include "seer/core/internal/shared_word.h"

SEER_BEGIN_NAMESPACE
namespace internal {

class RegistryState;  // src/queue/registry_state.h

inline constexpr std::uint32_t kEntries = 64;
inline constexpr std::uint32_t kTags = 16;  // 0 is not used

struct RegistryKey {
  std::uint32_t entry = 0;
  std::uint32_t tag = 0;

  friend bool operator==(RegistryKey a, RegistryKey b) {
    return a.entry == b.entry && a.tag == b.tag;
  }
};

// In one word, so that a handle is one load: the entry below, and above it where the queue's slot
// lies in every shard, in bytes, less the tag.
class Place {
 public:
  Place() : Place(0, 1) {}
  Place(RegistryKey registry, std::uint32_t slot)
      : Place(registry.entry, std::int64_t{slot} * 16 - registry.tag) {}

  bool valid() const { return entry() != 0; }
  std::uint32_t entry() const { return static_cast<std::uint32_t>(bits_); }
  std::int64_t offset() const { return static_cast<std::int64_t>(bits_) >> 32; }
  RegistryKey registry() const { return {entry(), static_cast<std::uint32_t>(-offset()) % kTags}; }
  // What is to be added to an address of a shard with its tag; not a multiple of 16 if it is
  // another registry's, or null.
  std::uintptr_t In(const char* tagged_shard) const {
    return reinterpret_cast<std::uintptr_t>(tagged_shard) + static_cast<std::uintptr_t>(offset());
  }

  friend bool operator==(Place a, Place b) { return a.bits_ == b.bits_; }

 private:
  Place(std::uint32_t entry, std::int64_t offset)
      : bits_(static_cast<std::uint64_t>(offset) << 32 | entry) {}
  std::uint64_t bits_;
};

enum Word : std::uint32_t { kEnqueued = 0, kDequeued = 8 };  // offset in a seer_slot

// Exported also under -fvisibility=hidden: the library and whoever includes this must mean the same
// variable. initial-exec: no call to find it.
#if defined(__GNUC__) && defined(__ELF__)
__attribute__((visibility("default"), tls_model("initial-exec")))
#endif
inline thread_local const char* thread_shards[kEntries];

// The first count of a thread, a thread without a shard of its own, a handle that counts nowhere.
void CountSlow(Place place, Word word) noexcept;

inline void Count(Place place, Word word) noexcept {
  const std::uintptr_t slot = place.In(thread_shards[place.entry()]);
  if (__builtin_expect(slot % kTags != 0, 0)) {
    CountSlow(place, word);
    return;
  }
  AddOwned(reinterpret_cast<std::uint64_t*>(slot + word), 1);  // [A] of sweep.h
}

// For timed queues; returns the stamp of the enter.
std::uint64_t EnterTimed(Place place) noexcept;
void LeaveTimed(Place place, std::uint64_t entered) noexcept;

}  // namespace internal
SEER_END_NAMESPACE
