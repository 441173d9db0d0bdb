#include "queue/queues_view.h"

#include <algorithm>
#include <cstring>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "seer/core/internal/shared_word.h"

SEER_BEGIN_NAMESPACE
namespace internal {

namespace {

absl::Status Bad(const char* field, std::uint64_t value) {
  return absl::FailedPreconditionError(
      absl::StrCat(field, ": ", value, " cannot be in a segment of this size"));
}

// count * each bytes from offset on lie inside, without overflow.
bool Fits(std::uint64_t offset, std::uint64_t count, std::uint64_t each, std::uint64_t bytes) {
  return offset % 64 == 0 && offset <= bytes && (each == 0 || count <= (bytes - offset) / each);
}

}  // namespace

bool IsName(const char* text, std::size_t bytes, std::size_t min) {
  return bytes >= min && std::none_of(text, text + bytes, [](char c) {
           const auto byte = static_cast<unsigned char>(c);
           return byte < 0x20 || byte == 0x7f;
         });
}

absl::StatusOr<QueuesView> QueuesView::Of(const char* base, std::size_t bytes,
                                          const seer_segment_header& header) {
  QueuesView view;
  view.base = base;
  seer_queues_header& q = view.layout;
  if (bytes < sizeof header + sizeof q || header.header_bytes < sizeof header + sizeof q) {
    return Bad("header_bytes", header.header_bytes);
  }
  // Word by word: some are counted up meanwhile by threads of this process.
  std::uint32_t words[sizeof q / sizeof(std::uint32_t)];
  const auto* const shared = reinterpret_cast<const std::uint32_t*>(base + sizeof header);
  for (std::size_t i = 0; i < std::size(words); ++i) words[i] = LoadRelaxed(&shared[i]);
  std::memcpy(&q, words, sizeof q);
  if (q.name_bytes != sizeof(seer_name_row)) return Bad("name_bytes", q.name_bytes);
  if (q.row_bytes != sizeof(seer_queue_row)) return Bad("row_bytes", q.row_bytes);
  if (q.names_capacity > 65535) return Bad("names_capacity", q.names_capacity);
  if (q.rows_capacity > 65536) return Bad("rows_capacity", q.rows_capacity);
  if (q.slots_capacity > 3 * 65536) return Bad("slots_capacity", q.slots_capacity);
  if (q.shards_capacity < 1 || q.shards_capacity > 65536) {
    return Bad("shards_capacity", q.shards_capacity);
  }
  if (q.shard_stride % 64 != 0 || q.shard_stride / sizeof(seer_slot) < q.slots_capacity) {
    return Bad("shard_stride", q.shard_stride);
  }
  if (!Fits(q.names_offset, q.names_capacity, sizeof(seer_name_row), bytes)) {
    return Bad("names_offset", q.names_offset);
  }
  if (!Fits(q.rows_offset, q.rows_capacity, sizeof(seer_queue_row), bytes)) {
    return Bad("rows_offset", q.rows_offset);
  }
  if (!Fits(q.shards_offset, q.shards_capacity, q.shard_stride, bytes)) {
    return Bad("shards_offset", q.shards_offset);
  }
  return view;
}

std::uint32_t QueuesView::rows_count() const {
  // [N] acquire: the rows below it are seen whole.
  return std::min(LoadAcquire(&shared_header()->rows_count), layout.rows_capacity);
}
std::uint32_t QueuesView::retired_count() const {
  return LoadAcquire(&shared_header()->retired_count);  // [R]: and the state that changed before
}

std::uint32_t QueuesView::RowState(std::uint32_t number) const {
  const auto* const rows = reinterpret_cast<const seer_queue_row*>(base + layout.rows_offset);
  return LoadRelaxed(&rows[number].state);  // ordered by [N] and [R]
}

bool QueuesView::Row(std::uint32_t number, seer_queue_row* row) const {
  std::memcpy(row, base + layout.rows_offset + std::size_t{number} * sizeof *row, sizeof *row);
  row->state = RowState(number);
  const std::uint32_t slots = (row->flags & SEER_QUEUE_TIMED) != 0 ? 3 : 1;
  return row->slot <= layout.slots_capacity && slots <= layout.slots_capacity - row->slot &&
         row->bytes <= sizeof row->name && IsName(row->name, row->bytes, 0) &&
         row->channel <= SEER_CHANNEL_OUTBOUND;
}

bool QueuesView::Name(std::uint32_t number, seer_name_row* name) const {
  const std::uint32_t count =
      std::min(LoadAcquire(&shared_header()->names_count), layout.names_capacity);  // [N]
  if (number >= count) return false;
  std::memcpy(name, base + layout.names_offset + std::size_t{number} * sizeof *name, sizeof *name);
  return name->bytes <= sizeof name->name && IsName(name->name, name->bytes, 1);
}

}  // namespace internal
SEER_END_NAMESPACE
