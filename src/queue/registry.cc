#include "seer/queue/registry.h"

#include <algorithm>
#include <cstring>
#include <unordered_map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "queue/queues_view.h"
#include "queue/stamps.h"
#include "seer/core/internal/global_object.h"
#include "seer/core/internal/shared_word.h"
#include "seer/core/internal/status_macros.h"
#include "seer/core/internal/strings.h"

SEER_BEGIN_NAMESPACE

namespace {

using internal::Place;
using internal::StoreRelaxed;
using internal::StoreRelease;
using internal::ToAbsl;

constexpr std::size_t kQueuesHeader = sizeof(seer_segment_header);
constexpr std::size_t kTables = kQueuesHeader + sizeof(seer_queues_header);
constexpr std::size_t kPage = 4096;
// Of all shards together; 256 MiB of addresses, of which only what is used becomes memory.
constexpr std::uint64_t kMaxCounters = std::uint64_t{1} << 24;

absl::Status CheckRange(const char* field, std::uint32_t value, std::uint32_t max) {
  if (value >= 1 && value <= max) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(field, ": ", value, " is not from 1 to ", max));
}

absl::Status CheckText(const char* field, std::string_view text, std::size_t min, std::size_t max) {
  if (text.size() < min || text.size() > max) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, ": has ", text.size(), " bytes; give it ", min, " to ", max));
  }
  if (!internal::IsName(text.data(), text.size(), min)) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, ": has a control character; use printable ones"));
  }
  return absl::OkStatus();
}

absl::Status CheckOptions(const RegistryOptions& options) {
  SEER_RETURN_IF_ERROR(CheckRange("max_queues", options.max_queues, 65536));
  SEER_RETURN_IF_ERROR(CheckRange("max_services", options.max_services, 65535));
  SEER_RETURN_IF_ERROR(CheckRange("max_threads", options.max_threads, 4096));
  SEER_RETURN_IF_ERROR(CheckText("instance", options.instance, 0, 255));
  if (std::uint64_t{options.max_queues} * (options.max_threads + 1) > kMaxCounters) {
    return absl::InvalidArgumentError(absl::StrCat("max_queues: ", options.max_queues, " times ",
                                                   options.max_threads, " threads is more than ",
                                                   kMaxCounters, " counters; lower one of them"));
  }
  return absl::OkStatus();
}

seer_queues_header LayoutFor(const RegistryOptions& options) {
  // In whole groups of four, a cache line, which is what readers take at a time.
  const std::uint32_t slots = (options.max_queues + 3) / 4 * 4;
  const std::size_t lines = std::size_t{slots} * sizeof(seer_slot) / kCacheLine;
  seer_queues_header layout = {};
  layout.names_offset = kTables;
  layout.rows_offset = layout.names_offset + sizeof(seer_name_row) * options.max_services;
  layout.shards_offset = layout.rows_offset + sizeof(seer_queue_row) * options.max_queues;
  layout.shards_offset = (layout.shards_offset + kPage - 1) / kPage * kPage;
  // An odd number of lines: the same queue's counters then lie in different sets of the reader's
  // caches for different shards.
  layout.shard_stride = (lines | 1) * kCacheLine;
  layout.names_capacity = options.max_services;
  layout.rows_capacity = options.max_queues;
  layout.slots_capacity = slots;
  layout.shards_capacity = options.max_threads + 1;
  layout.name_bytes = sizeof(seer_name_row);
  layout.row_bytes = sizeof(seer_queue_row);
  return layout;
}

std::string RowKey(std::string_view service, std::string_view callee, std::uint8_t channel,
                   std::string_view name) {
  // Names hold no control characters.
  return absl::StrCat(ToAbsl(service), "\n", ToAbsl(callee), "\n", channel, "\n", ToAbsl(name));
}

}  // namespace

struct QueueRegistry::Tables {
  std::uint32_t slots_used = 0;
  std::unordered_map<std::string, std::uint16_t> names;
  std::unordered_map<std::string, std::uint32_t> live_rows;

  static seer_queues_header* Header(char* data) {
    return reinterpret_cast<seer_queues_header*>(data + kQueuesHeader);
  }
  static seer_queue_row* Row(char* data, std::uint32_t number) {
    return reinterpret_cast<seer_queue_row*>(data + Header(data)->rows_offset) + number;
  }
  absl::StatusOr<std::uint16_t> AddName(ThreadParts::Edit& edit, std::string_view name);
};

absl::StatusOr<std::uint16_t> QueueRegistry::Tables::AddName(ThreadParts::Edit& edit,
                                                             std::string_view name) {
  const auto found = names.find(std::string(name));
  if (found != names.end()) return found->second;
  seer_queues_header* const q = Header(edit.data());
  const std::uint32_t number = q->names_count;
  if (number == q->names_capacity) {
    return absl::ResourceExhaustedError(
        absl::StrCat("service: there are ", number, " names already; raise max_services"));
  }
  const std::size_t offset = q->names_offset + number * sizeof(seer_name_row);
  SEER_RETURN_IF_ERROR(edit.Reserve(offset, sizeof(seer_name_row)));
  auto* const entry = reinterpret_cast<seer_name_row*>(edit.data() + offset);
  entry->bytes = static_cast<std::uint8_t>(name.size());
  std::copy(name.begin(), name.end(), entry->name);
  names.emplace(name, static_cast<std::uint16_t>(number));
  StoreRelease(&q->names_count, number + 1);  // [N] the row is complete
  return static_cast<std::uint16_t>(number);
}

QueueRegistry::QueueRegistry(ThreadParts parts, std::unique_ptr<Tables> tables)
    : parts_(std::move(parts)), tables_(std::move(tables)) {}
QueueRegistry::~QueueRegistry() = default;

absl::StatusOr<std::unique_ptr<QueueRegistry>> QueueRegistry::Create(
    const RegistryOptions& options) {
  SEER_RETURN_IF_ERROR(CheckOptions(options));
  const seer_queues_header layout = LayoutFor(options);
  PartsOptions wanted;
  wanted.segment.directory = options.directory;
  wanted.segment.kind = SEER_SEGMENT_QUEUES;
  wanted.segment.instance = options.instance;
  wanted.segment.stamp_source = internal::StampSource();
  wanted.parts_offset = layout.shards_offset;
  wanted.part_bytes = layout.shard_stride;
  wanted.parts = layout.shards_capacity;
  wanted.used_word = kQueuesHeader + offsetof(seer_queues_header, shards_used);
  SEER_ASSIGN_OR_RETURN(ThreadParts parts, ThreadParts::Create(wanted));
  {
    const ThreadParts::Edit edit(parts.key());
    *Tables::Header(edit.data()) = layout;
  }
  parts.Publish();
  return std::unique_ptr<QueueRegistry>(
      new QueueRegistry(std::move(parts), std::make_unique<Tables>()));
}

absl::StatusOr<Place> QueueRegistry::Add(std::string_view service, std::string_view callee,
                                         std::uint8_t channel, std::string_view name, bool timed) {
  const bool outbound = channel == SEER_CHANNEL_OUTBOUND;
  SEER_RETURN_IF_ERROR(
      CheckText(outbound ? "caller" : "service", service, 1, sizeof(seer_name_row::name)));
  if (outbound) SEER_RETURN_IF_ERROR(CheckText("callee", callee, 1, sizeof(seer_name_row::name)));
  SEER_RETURN_IF_ERROR(CheckText("name", name, 0, sizeof(seer_queue_row::name)));
  const std::string row_key = RowKey(service, callee, channel, name);

  ThreadParts::Edit edit(parts_.key());
  char* const data = edit.data();
  if (data == nullptr) return absl::FailedPreconditionError("the registry has been closed");
  const auto place_of = [this](std::uint32_t slot) {
    return Place(parts_.key(), slot * static_cast<std::uint32_t>(sizeof(seer_slot)));
  };
  const auto found = tables_->live_rows.find(row_key);
  if (found != tables_->live_rows.end()) {
    const seer_queue_row& old = *Tables::Row(data, found->second);
    if (((old.flags & SEER_QUEUE_TIMED) != 0) != timed) {
      return absl::AlreadyExistsError(absl::StrCat("name: this queue of ", ToAbsl(service),
                                                   " is there already and is ", timed ? "not " : "",
                                                   "timed; retire it first, or give another name"));
    }
    return place_of(old.slot);
  }

  seer_queues_header* const q = Tables::Header(data);
  const std::uint32_t number = q->rows_count;
  const std::uint32_t slots_before = tables_->slots_used;
  const std::uint32_t slots_after = slots_before + (timed ? 3 : 1);
  if (number == q->rows_capacity || slots_after > q->slots_capacity) {
    return absl::ResourceExhaustedError(
        absl::StrCat("queue: there are ", number,
                     " (those retired and three for a timed one included); raise max_queues"));
  }
  SEER_ASSIGN_OR_RETURN(const std::uint16_t service_name, tables_->AddName(edit, service));
  std::uint16_t callee_name = SEER_NO_NAME;
  if (outbound) {
    SEER_ASSIGN_OR_RETURN(callee_name, tables_->AddName(edit, callee));
  }
  SEER_RETURN_IF_ERROR(
      edit.Reserve(q->rows_offset + number * sizeof(seer_queue_row), sizeof(seer_queue_row)));
  SEER_RETURN_IF_ERROR(edit.ReserveInParts(std::size_t{slots_after} * sizeof(seer_slot)));

  seer_queue_row* const fresh = Tables::Row(data, number);
  fresh->slot = slots_before;
  fresh->service = service_name;
  fresh->callee = callee_name;
  fresh->channel = channel;
  fresh->flags = timed ? SEER_QUEUE_TIMED : 0;
  fresh->bytes = static_cast<std::uint8_t>(name.size());
  std::copy(name.begin(), name.end(), fresh->name);  // not memcpy(): an empty one may be null
  StoreRelaxed(&fresh->state, std::uint32_t{SEER_QUEUE_LIVE});  // ordered by [N] below
  tables_->live_rows.emplace(row_key, number);
  tables_->slots_used = slots_after;
  StoreRelease(&q->rows_count, number + 1);  // [N] the row is complete
  return place_of(slots_before);
}

absl::Status QueueRegistry::Retire(Place place) {
  if (!(place.parts() == parts_.key()) || !place.valid()) {
    return absl::NotFoundError("queue: is not of this registry");
  }
  ThreadParts::Edit edit(parts_.key());
  char* const data = edit.data();
  if (data == nullptr) return absl::FailedPreconditionError("the registry has been closed");
  auto& live_rows = tables_->live_rows;
  const auto live = std::find_if(live_rows.begin(), live_rows.end(), [&](const auto& entry) {
    const std::uint32_t slot = Tables::Row(data, entry.second)->slot;
    return Place(parts_.key(), slot * static_cast<std::uint32_t>(sizeof(seer_slot))) == place;
  });
  if (live == live_rows.end()) return absl::NotFoundError("queue: has been retired already");
  // Ordered by [R].
  StoreRelaxed(&Tables::Row(data, live->second)->state, std::uint32_t{SEER_QUEUE_RETIRED});
  seer_queues_header* const q = Tables::Header(data);
  StoreRelease(&q->retired_count, q->retired_count + 1);  // [R] who sees it looks again
  live_rows.erase(live);
  return absl::OkStatus();
}

absl::StatusOr<Queue> QueueRegistry::AddQueue(std::string_view service, Channel channel,
                                              std::string_view name) {
  SEER_ASSIGN_OR_RETURN(const Place place,
                        Add(service, {}, static_cast<std::uint8_t>(channel), name, false));
  return Queue(place);
}

absl::StatusOr<TimedQueue> QueueRegistry::AddTimedQueue(std::string_view service, Channel channel,
                                                        std::string_view name) {
  SEER_ASSIGN_OR_RETURN(const Place place,
                        Add(service, {}, static_cast<std::uint8_t>(channel), name, true));
  return TimedQueue(place);
}

absl::StatusOr<Queue> QueueRegistry::AddOutbound(std::string_view caller, std::string_view callee) {
  SEER_ASSIGN_OR_RETURN(const Place place, Add(caller, callee, SEER_CHANNEL_OUTBOUND, {}, false));
  return Queue(place);
}

absl::Status QueueRegistry::Retire(Queue queue) { return Retire(queue.place_); }
absl::Status QueueRegistry::Retire(TimedQueue queue) { return Retire(queue.place_); }
absl::Status QueueRegistry::status() const { return parts_.status(); }
std::string QueueRegistry::path() const { return parts_.path(); }
absl::Span<const char> QueueRegistry::segment() const { return parts_.memory(); }

// ---- The global one.

namespace {
internal::GlobalObject<QueueRegistry, RegistryOptions> global_registry;
}  // namespace

QueueRegistry& QueueRegistry::Global() {
  return global_registry.Get([](const RegistryOptions& options) {
    absl::StatusOr<std::unique_ptr<QueueRegistry>> made = Create(options);
    // Too many registries, or no memory at all: one whose handles count nowhere.
    return made.ok() ? *std::move(made)
                     : std::unique_ptr<QueueRegistry>(
                           new QueueRegistry(ThreadParts(), std::make_unique<Tables>()));
  });
}

absl::Status QueueRegistry::SetGlobalOptions(const RegistryOptions& options) {
  SEER_RETURN_IF_ERROR(CheckOptions(options));
  if (global_registry.SetOptions(options)) return absl::OkStatus();
  return absl::FailedPreconditionError(
      "the global registry is in use already; set its options before the first Global()");
}

SEER_END_NAMESPACE
