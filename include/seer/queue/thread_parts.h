// Flow: RPC -> [this thread's part of a segment] -> Reader, SpanDrainer
//
// A segment divided among the threads of its process: shards of counters (registry.h), rings of
// spans (trace/recorder.h). For those rooms, not for hosts. A thread claims a part with its first
// use and gives it back when it exits; what is in the part stays, and the next thread goes on with
// it. Part 0 is everybody's, for threads that find no other.
//
//   seer::PartsOptions options;
//   options.parts_offset = 4096; options.part_bytes = 1024; options.parts = 65; ...
//   absl::StatusOr<seer::ThreadParts> parts = seer::ThreadParts::Create(options);
//   const seer::internal::Place place(parts->key(), /*offset=*/64);
//   char* mine = seer::internal::InOwnPart(place);                    // the hot path
//   if (mine == nullptr) mine = seer::internal::InPart(place).address;  // the first time, and
//   rarely
//
// The hot path has two things to check: has this thread a part, and is the segment still the one
// that the place belongs to? It does so in one look. Parts, and places in them, lie at multiples of
// 16, so the low four bits of an address are free: a segment has a tag from 1 to 15, which is added
// to the address that the thread remembers and taken off the offset in the place. If the two do not
// cancel out, the sum is not a multiple of 16.
//
// Invariants:
//  1. thread_parts[entry] is null, or the address of a part that this thread owns plus its
//  segment's
//     tag. Claiming sets it, thread exit and fork() clear it, both on this thread.
//  2. A pair of entry and tag serves one segment in the life of the process, so a place never
//     matches another segment than its own. Entry 0 is never used: its null and the odd offset of
//     the default place do not cancel out.
//  3. The memory is never unmapped: a thread that has just looked may still write when the segment
//     is closed. It then writes to pages that nobody reads.
//
// fork(): the child finds the same memory with nothing in its parts, at the same addresses; it is
// shared again, as a segment of the child's own, when the child first uses it. One mutex guards all
// that is not hot, of all segments, and is held across fork(). It is held with all signals blocked:
// a signal handler may be the first use in its thread, and must not find the mutex held by the code
// it interrupted.
//
// Threads: any. Cost: InOwnPart 5 instructions; a thread's first use a lock and a few system calls.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "seer/core/config.h"
#include "seer/queue/segment.h"

SEER_BEGIN_NAMESPACE

namespace internal {

inline constexpr std::uint32_t kPartsEntries = 64;
inline constexpr std::uint32_t kPartsTags = 16;  // 0 is not used

struct PartsKey {
  std::uint32_t entry = 0;
  std::uint32_t tag = 0;

  friend bool operator==(PartsKey a, PartsKey b) { return a.entry == b.entry && a.tag == b.tag; }
};

// Something at the same offset in every part. In one word, so that a handle is one load: the entry
// below, and above it the offset in bytes, less the tag.
class Place {
 public:
  Place() : Place(0, 1) {}
  // `offset` is a multiple of 16.
  Place(PartsKey parts, std::uint32_t offset)
      : Place(parts.entry, std::int64_t{offset} - parts.tag) {}

  bool valid() const { return entry() != 0; }
  std::uint32_t entry() const { return static_cast<std::uint32_t>(bits_); }
  std::int64_t offset() const { return static_cast<std::int64_t>(bits_) >> 32; }
  PartsKey parts() const { return {entry(), static_cast<std::uint32_t>(-offset()) % kPartsTags}; }
  // The address in a part that is remembered with its tag; not a multiple of 16 if that is null or
  // another segment's.
  std::uintptr_t In(const char* tagged_part) const {
    return reinterpret_cast<std::uintptr_t>(tagged_part) + static_cast<std::uintptr_t>(offset());
  }

  friend bool operator==(Place a, Place b) { return a.bits_ == b.bits_; }

 private:
  Place(std::uint32_t entry, std::int64_t offset)
      : bits_(static_cast<std::uint64_t>(offset) << 32 | entry) {}
  std::uint64_t bits_;
};

// Exported also under -fvisibility=hidden: the library and whoever includes this must mean the same
// variable. initial-exec: no call to find it.
#if defined(__GNUC__) && defined(__ELF__)
__attribute__((visibility("default"), tls_model("initial-exec")))
#endif
inline thread_local const char* thread_parts[kPartsEntries];

// The place in the calling thread's own part; null: it has none, ask InPart().
inline char* InOwnPart(Place place) noexcept {
  const std::uintptr_t address = place.In(thread_parts[place.entry()]);
  if (__builtin_expect(address % kPartsTags != 0, 0)) return nullptr;
  return reinterpret_cast<char*>(address);  // NOLINT(performance-no-int-to-ptr): see above
}

struct PartAddress {
  char* address;  // null: the segment is closed
  bool mine;      // no other thread writes there; false: in part 0
};
// The same for any thread; claims a part if it can. Keeps errno.
PartAddress InPart(Place place) noexcept;

}  // namespace internal

struct PartsOptions {
  SegmentOptions segment;        // its `bytes` are computed
  std::size_t parts_offset = 0;  // a multiple of 4096
  std::size_t part_bytes = 0;    // from one part to the next, a multiple of 64
  std::size_t part_used = 0;     // of them, what is written at first: ReserveInParts() adds to it
  std::uint32_t parts = 0;       // with part 0
  // Where in the segment a word tells readers which parts may have been written: the highest
  // number, and SEER_SHARED_SHARD_USED if part 0 too.
  std::size_t used_word = 0;
};

class ThreadParts {
 public:
  ThreadParts() = default;
  ~ThreadParts() { Close(); }
  ThreadParts(ThreadParts&& other) noexcept { *this = std::move(other); }
  ThreadParts& operator=(ThreadParts&& other) noexcept {
    std::swap(key_, other.key_);
    return *this;
  }

  // A segment of zeros but for its common header; not published yet. If the directory cannot be
  // used the memory is anonymous, and status() says why. ResourceExhausted: there are 63 segments
  // in this process, or there were 945.
  static absl::StatusOr<ThreadParts> Create(const PartsOptions& options);

  void Publish();
  void Close();
  internal::PartsKey key() const { return key_; }
  // Ok where the segment is shared as asked.
  absl::Status status() const;
  std::string path() const;  // empty: anonymous, or a child that has not used it yet
  // The whole segment; stays mapped for ever. Empty: closed.
  absl::Span<const char> memory() const;

  // For changes outside the parts: holds the mutex, and in a forked child shares the segment first.
  class Edit {
   public:
    explicit Edit(internal::PartsKey key);
    ~Edit();
    Edit(const Edit&) = delete;
    Edit& operator=(const Edit&) = delete;

    char* data() const { return data_; }  // null: closed
    // See Segment::Reserve().
    [[nodiscard]] absl::Status Reserve(std::size_t offset, std::size_t bytes);
    // That the first `bytes` of every part that is in use, or will be, can be written.
    [[nodiscard]] absl::Status ReserveInParts(std::size_t bytes);

   private:
    const internal::PartsKey key_;
    char* data_ = nullptr;
  };

 private:
  explicit ThreadParts(internal::PartsKey key) : key_(key) {}
  internal::PartsKey key_;
};

SEER_END_NAMESPACE
