#include "queue/registry_state.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "queue/stamps.h"
#include "queue/thread_exit.h"
#include "seer/core/internal/shared_word.h"
#include "seer/core/internal/status_macros.h"
#include "seer/core/internal/strings.h"

SEER_BEGIN_NAMESPACE
namespace internal {

namespace {

constexpr std::size_t kQueuesHeader = sizeof(seer_segment_header);
constexpr std::size_t kTables = kQueuesHeader + sizeof(seer_queues_header);
// Of all shards together; 256 MiB of addresses, of which only what is used becomes memory.
constexpr std::uint64_t kMaxSlots = std::uint64_t{1} << 24;

// Never destroyed: threads count, exit and fork to the very end of the process.
std::array<RegistryState, kEntries>& States() {
  static auto* const states = new std::array<RegistryState, kEntries>;
  return *states;
}

// A line more where needed to make it an odd number of lines: the same queue's counters then lie in
// different sets of the reader's caches for different shards.
std::size_t ShardStride(std::uint32_t slots) {
  const std::size_t lines = (std::size_t{slots} * sizeof(seer_slot) + kCacheLine - 1) / kCacheLine;
  return (lines | 1) * kCacheLine;
}

absl::Status CheckRange(const char* field, std::uint32_t value, std::uint32_t max) {
  if (value >= 1 && value <= max) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(field, ": ", value, " is not from 1 to ", max));
}

absl::Status CheckText(const char* field, std::string_view text, std::size_t min, std::size_t max) {
  if (text.size() < min || text.size() > max) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, ": has ", text.size(), " bytes; give it ", min, " to ", max));
  }
  const auto bad = [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7f;
  };
  if (std::any_of(text.begin(), text.end(), bad)) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, ": has a control character; use printable ones"));
  }
  return absl::OkStatus();
}

std::string RowKey(std::string_view service, std::string_view callee, std::uint8_t channel,
                   std::string_view name) {
  // Names hold no control characters.
  return absl::StrCat(ToAbsl(service), "\n", ToAbsl(callee), "\n", channel, "\n", ToAbsl(name));
}

}  // namespace

SignalSafeMutex RegistryState::mutex_;

RegistryState& RegistryState::Of(RegistryKey key) { return States()[key.entry]; }

seer_queues_header* RegistryState::queues() const {
  return reinterpret_cast<seer_queues_header*>(segment_.data() + kQueuesHeader);
}
seer_queue_row* RegistryState::row(std::uint32_t number) const {
  return reinterpret_cast<seer_queue_row*>(segment_.data() + queues()->rows_offset) + number;
}
char* RegistryState::shard(std::uint32_t number) const {
  return segment_.data() + queues()->shards_offset + number * queues()->shard_stride;
}

absl::StatusOr<RegistryKey> RegistryState::Open(const RegistryOptions& options) {
  SEER_RETURN_IF_ERROR(CheckRange("max_queues", options.max_queues, 65536));
  SEER_RETURN_IF_ERROR(CheckRange("max_services", options.max_services, 65535));
  SEER_RETURN_IF_ERROR(CheckRange("max_threads", options.max_threads, 4096));
  SEER_RETURN_IF_ERROR(CheckText("instance", ToStd(options.instance), 0, 255));
  if (std::uint64_t{options.max_queues} * (options.max_threads + 1) > kMaxSlots) {
    return absl::InvalidArgumentError(absl::StrCat("max_queues: ", options.max_queues, " times ",
                                                   options.max_threads, " threads is more than ",
                                                   kMaxSlots, " counters; lower one of them"));
  }
  InstallProcessHooks();
  SignalSafeLock lock(&mutex_);
  for (std::uint32_t entry = 1; entry < kEntries; ++entry) {
    RegistryState& state = States()[entry];
    if (state.open_ || state.tag_ + 1 == kTags) continue;
    SEER_RETURN_IF_ERROR(state.Make(options));
    state.open_ = true;
    state.entry_ = entry;
    ++state.tag_;
    return RegistryKey{entry, state.tag_};
  }
  return absl::ResourceExhaustedError(
      "there are too many registries in this process, or there were; use Global()");
}

absl::Status RegistryState::Make(const RegistryOptions& options) {
  // In whole groups of four, a cache line, which is what readers take at a time.
  const std::uint32_t slots = (options.max_queues + 3) / 4 * 4;
  seer_queues_header layout = {};
  layout.names_offset = kTables;
  layout.rows_offset = layout.names_offset + sizeof(seer_name_row) * options.max_services;
  layout.shards_offset = layout.rows_offset + sizeof(seer_queue_row) * options.max_queues;
  layout.shards_offset = (layout.shards_offset + 4095) / 4096 * 4096;
  layout.shard_stride = ShardStride(slots);
  layout.names_capacity = options.max_services;
  layout.rows_capacity = options.max_queues;
  layout.slots_capacity = slots;
  layout.shards_capacity = options.max_threads + 1;
  layout.name_bytes = sizeof(seer_name_row);
  layout.row_bytes = sizeof(seer_queue_row);

  SegmentOptions wanted;
  wanted.directory = options.directory;
  wanted.kind = SEER_SEGMENT_QUEUES;
  wanted.bytes = layout.shards_offset + layout.shard_stride * layout.shards_capacity;
  wanted.instance = options.instance;
  wanted.stamp_source = StampSource();
  absl::StatusOr<Segment> segment = Segment::Create(wanted);
  status_ = segment.status();
  if (!segment.ok()) {
    // The service goes on without its observer.
    wanted.directory.clear();
    segment = Segment::Create(wanted);
    if (!segment.ok()) return segment.status();
  }
  segment_ = *std::move(segment);
  bytes_ = absl::MakeConstSpan(segment_.data(), segment_.size());
  *queues() = layout;
  shard_taken_.assign(layout.shards_capacity, false);
  shard_taken_[0] = true;
  slots_used_ = 0;
  names_.clear();
  live_rows_.clear();
  segment_.Publish();
  return absl::OkStatus();
}

void RegistryState::Close(RegistryKey key) {
  SignalSafeLock lock(&mutex_);
  if (!Is(key)) return;
  open_ = false;
  segment_.Close();
}

void RegistryState::CloseAll() {
  SignalSafeLock lock(&mutex_);
  for (RegistryState& state : States()) {
    if (!state.open_) continue;
    state.open_ = false;
    state.segment_.Close();
  }
}

absl::StatusOr<std::uint16_t> RegistryState::AddName(std::string_view name) {
  const auto found = names_.find(std::string(name));
  if (found != names_.end()) return found->second;
  seer_queues_header* const q = queues();
  const std::uint32_t number = q->names_count;
  if (number == q->names_capacity) {
    return absl::ResourceExhaustedError(
        absl::StrCat("service: there are ", number, " names already; raise max_services"));
  }
  const std::size_t offset = q->names_offset + number * sizeof(seer_name_row);
  SEER_RETURN_IF_ERROR(segment_.Reserve(offset, sizeof(seer_name_row)));
  auto* const entry = reinterpret_cast<seer_name_row*>(segment_.data() + offset);
  entry->bytes = static_cast<std::uint8_t>(name.size());
  std::memcpy(entry->name, name.data(), name.size());
  names_.emplace(name, static_cast<std::uint16_t>(number));
  StoreRelease(&q->names_count, number + 1);  // [N] the row is complete
  return static_cast<std::uint16_t>(number);
}

absl::Status RegistryState::ReserveSlots(std::uint32_t number, std::uint32_t slots) {
  return segment_.Reserve(static_cast<std::size_t>(shard(number) - segment_.data()),
                          std::size_t{slots} * sizeof(seer_slot));
}

absl::StatusOr<Place> RegistryState::Add(RegistryKey key, std::string_view service,
                                         std::string_view callee, std::uint8_t channel,
                                         std::string_view name, bool timed) {
  const bool outbound = channel == SEER_CHANNEL_OUTBOUND;
  SEER_RETURN_IF_ERROR(
      CheckText(outbound ? "caller" : "service", service, 1, sizeof(seer_name_row::name)));
  if (outbound) SEER_RETURN_IF_ERROR(CheckText("callee", callee, 1, sizeof(seer_name_row::name)));
  SEER_RETURN_IF_ERROR(CheckText("name", name, 0, sizeof(seer_queue_row::name)));
  const std::string row_key = RowKey(service, callee, channel, name);

  SignalSafeLock lock(&mutex_);
  if (!Is(key)) return absl::FailedPreconditionError("the registry has been closed");
  ShareAgainIfForked();
  const auto found = live_rows_.find(row_key);
  if (found != live_rows_.end()) {
    const seer_queue_row& old = *row(found->second);
    if (((old.flags & SEER_QUEUE_TIMED) != 0) != timed) {
      return absl::AlreadyExistsError(absl::StrCat("name: this queue of ", ToAbsl(service),
                                                   " is there already and is ", timed ? "not " : "",
                                                   "timed; retire it first, or give another name"));
    }
    return Place(key, old.slot);
  }

  seer_queues_header* const q = queues();
  const std::uint32_t number = q->rows_count;
  const std::uint32_t slots = timed ? 3 : 1;
  if (number == q->rows_capacity || slots_used_ + slots > q->slots_capacity) {
    return absl::ResourceExhaustedError(
        absl::StrCat("queue: there are ", number,
                     " (those retired and three for a timed one included); "
                     "raise max_queues"));
  }
  SEER_ASSIGN_OR_RETURN(const std::uint16_t service_name, AddName(service));
  std::uint16_t callee_name = SEER_NO_NAME;
  if (outbound) {
    SEER_ASSIGN_OR_RETURN(callee_name, AddName(callee));
  }
  SEER_RETURN_IF_ERROR(
      segment_.Reserve(q->rows_offset + number * sizeof(seer_queue_row), sizeof(seer_queue_row)));
  for (std::uint32_t i = 0; i < q->shards_capacity; ++i) {
    if (shard_taken_[i]) SEER_RETURN_IF_ERROR(ReserveSlots(i, slots_used_ + slots));
  }

  seer_queue_row* const fresh = row(number);
  fresh->slot = slots_used_;
  fresh->service = service_name;
  fresh->callee = callee_name;
  fresh->channel = channel;
  fresh->flags = timed ? SEER_QUEUE_TIMED : 0;
  fresh->bytes = static_cast<std::uint8_t>(name.size());
  std::memcpy(fresh->name, name.data(), name.size());
  StoreRelaxed(&fresh->state, std::uint32_t{SEER_QUEUE_LIVE});  // ordered by [N] below
  live_rows_.emplace(row_key, number);
  slots_used_ += slots;
  StoreRelease(&q->rows_count, number + 1);  // [N] the row is complete
  return Place(key, fresh->slot);
}

absl::Status RegistryState::Retire(Place place) {
  SignalSafeLock lock(&mutex_);
  if (!Is(place.registry())) {
    return absl::NotFoundError("queue: is not of this registry");
  }
  ShareAgainIfForked();
  for (auto live = live_rows_.begin(); live != live_rows_.end(); ++live) {
    seer_queue_row* const old = row(live->second);
    if (!(Place(place.registry(), old->slot) == place)) continue;
    StoreRelaxed(&old->state, std::uint32_t{SEER_QUEUE_RETIRED});  // ordered by [R]
    seer_queues_header* const q = queues();
    StoreRelease(&q->retired_count, q->retired_count + 1);  // [R] who sees it looks again
    live_rows_.erase(live);
    return absl::OkStatus();
  }
  return absl::NotFoundError("queue: has been retired already");
}

char* RegistryState::Shard(RegistryKey key, bool* shared) noexcept {
  const int saved_errno = errno;  // the host's code between its own call and its look at errno
  char* base = nullptr;
  {
    SignalSafeLock lock(&mutex_);
    if (Is(key)) {
      ShareAgainIfForked();
      seer_queues_header* const q = queues();
      const auto free_one = std::find(shard_taken_.begin(), shard_taken_.end(), false);
      auto number = static_cast<std::uint32_t>(free_one - shard_taken_.begin());
      if (number == shard_taken_.size() || !ReserveSlots(number, slots_used_).ok() ||
          !CallAtThreadExit()) {
        number = 0;
      }
      shard_taken_[number] = true;
      base = shard(number);
      // [U] release: a reader that sees a count of this shard, or one that a count of this shard
      // led to, sees that the shard has to be read.
      const std::uint32_t used = q->shards_used;
      const std::uint32_t highest = std::max(used & ~SEER_SHARED_SHARD_USED, number);
      const std::uint32_t flag = number == 0 ? SEER_SHARED_SHARD_USED : 0;
      StoreRelease(&q->shards_used, highest | (used & SEER_SHARED_SHARD_USED) | flag);
      *shared = number == 0;
      // Not the shared one: it has no owner to remember.
      if (number != 0) thread_shards[entry_] = base + tag_;
    }
  }
  errno = saved_errno;
  return base;
}

void RegistryState::ReleaseShard(std::uint32_t entry, const char* tagged) noexcept {
  SignalSafeLock lock(&mutex_);
  RegistryState& state = States()[entry];
  const auto tag = static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(tagged) % kTags);
  if (!state.Is({entry, tag})) return;
  // The numbers stay: the next owner goes on with them. The mutex orders its reads after our
  // writes.
  const std::ptrdiff_t from_first = tagged - tag - state.shard(0);
  state.shard_taken_[static_cast<std::size_t>(from_first) / state.queues()->shard_stride] = false;
}

absl::Status RegistryState::status(RegistryKey key) {
  SignalSafeLock lock(&mutex_);
  return Is(key) ? status_ : absl::FailedPreconditionError("the registry has been closed");
}
std::string RegistryState::path(RegistryKey key) {
  SignalSafeLock lock(&mutex_);
  return Is(key) ? segment_.path() : std::string();
}
absl::Span<const char> RegistryState::segment(RegistryKey key) {
  SignalSafeLock lock(&mutex_);
  return Is(key) ? bytes_ : absl::Span<const char>();
}

// ---- fork(). The mutex is held across it, so the child's copy of every state is whole.

void RegistryState::BeforeFork() ABSL_NO_THREAD_SAFETY_ANALYSIS { mutex_.Lock(); }
void RegistryState::AfterForkInParent() ABSL_NO_THREAD_SAFETY_ANALYSIS { mutex_.Unlock(); }
void RegistryState::AfterForkInChild() ABSL_NO_THREAD_SAFETY_ANALYSIS {
  for (RegistryState& state : States()) {
    if (state.open_) state.LeaveParent();
  }
  ForgetThreadShards();
  mutex_.Unlock();
}

void RegistryState::LeaveParent() {
  const std::size_t kept = queues()->shards_offset;
  if (!segment_.ForkedChild(kept)) {
    open_ = false;  // the handles count nowhere
    return;
  }
  // The parent's threads are not here, and neither are its requests.
  queues()->shards_used = 0;
  shard_taken_.assign(shard_taken_.size(), false);  // as long as before: allocates nothing
  shard_taken_[0] = true;
}

void RegistryState::ShareAgainIfForked() {
  if (!segment_.forked()) return;
  status_ = segment_.ShareAgain(queues()->shards_offset);
  if (status_.ok()) status_ = ReserveSlots(0, slots_used_);
  segment_.Publish();
}

}  // namespace internal
SEER_END_NAMESPACE
