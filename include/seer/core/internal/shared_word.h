// Flow: (internal) words in memory that other processes read: atomic access to plain integers
//
// A shared-memory layout is a C struct (queue/segment_layout.h), and its words are plain integers
// so that any language can describe them. These helpers make single accesses atomic, with the
// memory order in the name. A word is aligned to its size.
//
// Threads: as each order says. Cost: one instruction on x86-64.
#pragma once

#include <cstdint>

#include "seer/core/config.h"

#if defined(__SANITIZE_THREAD__)
#define SEER_INTERNAL_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SEER_INTERNAL_TSAN 1
#endif
#endif

SEER_BEGIN_NAMESPACE
namespace internal {

template <typename Word>
Word LoadAcquire(const Word* word) noexcept {
  return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}
template <typename Word>
Word LoadRelaxed(const Word* word) noexcept {
  return __atomic_load_n(word, __ATOMIC_RELAXED);
}
template <typename Word>
void StoreRelease(Word* word, Word value) noexcept {
  __atomic_store_n(word, value, __ATOMIC_RELEASE);
}
template <typename Word>
void StoreRelaxed(Word* word, Word value) noexcept {
  __atomic_store_n(word, value, __ATOMIC_RELAXED);
}

// Adds to a word that several threads write. Release, as for AddOwned().
inline void AddShared(std::uint64_t* word, std::uint64_t n) noexcept {
  __atomic_fetch_add(word, n, __ATOMIC_RELEASE);
}

// Adds to a word that no other thread writes, as one release store and without a locked
// instruction. On x86-64 it is a single instruction, so that a signal handler that runs in between
// and adds to the same word loses nothing; elsewhere it would. There the compiler may move accesses
// of other, non-atomic memory past it (so that it can keep a handle in registers), but no atomic
// access, no lock and no other AddOwned(); every store of x86 itself is a release.
inline void AddOwned(std::uint64_t* word, std::uint64_t n) noexcept {
#if defined(__x86_64__) && !defined(SEER_INTERNAL_TSAN)
  asm volatile("addq %1, %0" : "+m"(*word) : "er"(n) : "cc");
#else
  StoreRelease(word, LoadRelaxed(word) + n);  // relaxed: ours alone
#endif
}

}  // namespace internal
SEER_END_NAMESPACE
