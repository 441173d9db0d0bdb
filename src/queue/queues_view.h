// The tables of a queues segment, checked once, so that everything after can rely on them. The
// counts inside go on changing, and the owner may be hostile: they are read anew, and clamped, on
// every use.
//
// Threads: plain value; the memory behind it belongs to another process. Cost: as small as it
// looks.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"
#include "seer/core/config.h"
#include "seer/core/internal/shared_word.h"
#include "seer/queue/segment_layout.h"

SEER_BEGIN_NAMESPACE
namespace internal {

struct QueuesView {
  const char* base = nullptr;
  seer_queues_header layout = {};  // a copy: what was checked cannot change

  // `bytes` from `base` on are a segment whose common header is `header`, checked by MappedSegment.
  static absl::StatusOr<QueuesView> Of(const char* base, std::size_t bytes,
                                       const seer_segment_header& header);

  std::uint32_t rows_count() const;
  std::uint32_t retired_count() const;
  // Which shards may hold counts: [1, highest], and 0 if `shared`. Clamped to the capacity.
  struct ShardsUsed {
    std::uint32_t highest = 0;
    bool shared = false;
  };
  ShardsUsed shards_used() const { return Clamped(internal::LoadAcquire(shards_used_word())); }
  // The same as one word, for those who look often whether it changed.
  const std::uint32_t* shards_used_word() const { return &shared_header()->shards_used; }
  // Where one place of a shard lies in all that are in use: first, first + stride, ... end.
  struct Lines {
    const char* first;
    const char* end;
  };
  Lines LinesOf(const char* in_shard_0, std::uint32_t shards_used) const {
    const ShardsUsed used = Clamped(shards_used);
    return {used.shared ? in_shard_0 : in_shard_0 + layout.shard_stride,
            in_shard_0 + (std::size_t{used.highest} + 1) * layout.shard_stride};
  }
  const char* shards() const { return base + layout.shards_offset; }

  // A copy of a row below rows_count(). False if it makes no sense: a slot, a name or a service
  // that cannot be.
  bool Row(std::uint32_t number, seer_queue_row* row) const;
  std::uint32_t RowState(std::uint32_t number) const;
  // Below names_count at the time of the call, and well formed; else false.
  bool Name(std::uint32_t number, seer_name_row* name) const;

 private:
  const seer_queues_header* shared_header() const {
    return reinterpret_cast<const seer_queues_header*>(base + sizeof(seer_segment_header));
  }
  ShardsUsed Clamped(std::uint32_t word) const {
    return {std::min(word & ~SEER_SHARED_SHARD_USED, layout.shards_capacity - 1),
            (word & SEER_SHARED_SHARD_USED) != 0};
  }
};

// Fit for a name: at least `min` bytes, no control characters.
bool IsName(const char* text, std::size_t bytes, std::size_t min);

}  // namespace internal
SEER_END_NAMESPACE
