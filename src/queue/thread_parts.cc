#include "seer/queue/thread_parts.h"

#include <pthread.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <vector>

#include "absl/strings/str_cat.h"
#include "queue/signal_safe_mutex.h"
#include "seer/core/internal/shared_word.h"
#include "seer/core/internal/status_macros.h"

SEER_BEGIN_NAMESPACE

namespace {

using internal::kPartsEntries;
using internal::kPartsTags;
using internal::PartsKey;
using internal::SignalSafeLock;
using internal::SignalSafeMutex;

// Constant-initialised, and never destroyed: threads start, count, fork and exit to the very end of
// the process.
SignalSafeMutex mutex;

struct State {
  bool open = false;
  std::uint32_t tag = 0;  // of the present or the last segment
  PartsOptions options;
  Segment segment;
  absl::Status status;
  std::vector<bool> taken;  // by part; [0], everybody's, always

  bool Is(PartsKey key) const { return open && tag == key.tag; }
  char* Part(std::size_t number) const {
    return segment.data() + options.parts_offset + number * options.part_bytes;
  }
  std::uint32_t* UsedWord() const {
    return reinterpret_cast<std::uint32_t*>(segment.data() + options.used_word);
  }
  absl::Status ReservePart(std::size_t number) {
    return segment.Reserve(options.parts_offset + number * options.part_bytes, options.part_used);
  }

  std::uint32_t Claim();
  void LeaveParent();
  void ShareAgainIfForked();
};

std::array<State, kPartsEntries>& States() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
  static auto* const states = new std::array<State, kPartsEntries>;
  return *states;
}

// ---- A thread's end.

// A thread that got no part of its own remembers part 0, and asks again now and then.
struct SharedPart {
  const char* tagged;  // as in thread_parts
  std::uint32_t uses;
};
constexpr std::uint32_t kAskAgain = 1024;
thread_local SharedPart shared_parts[kPartsEntries];

pthread_key_t exit_key;
// [K] release after exit_key is made, acquire before it is used.
std::atomic<bool> have_exit_key{false};

void OnThreadExit(void*) {
  // Thread-local memory is still there. Other destructors may count after this one: they claim a
  // part again, and are called back for it in the next of the system's rounds.
  for (std::uint32_t entry = 1; entry < kPartsEntries; ++entry) {
    shared_parts[entry] = {};
    const char* const tagged = std::exchange(internal::thread_parts[entry], nullptr);
    if (tagged == nullptr) continue;
    SignalSafeLock lock(&mutex);
    State& state = States()[entry];
    const auto tag =
        static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(tagged) % kPartsTags);
    if (!state.Is({entry, tag})) continue;
    // What is in the part stays: the next owner goes on with it. The mutex orders its reads after
    // our writes.
    const std::ptrdiff_t from_first = tagged - tag - state.Part(0);
    state.taken[static_cast<std::size_t>(from_first) / state.options.part_bytes] = false;
  }
}

bool CallAtThreadExit() {
  static int not_null;
  return have_exit_key.load(std::memory_order_acquire) &&  // [K]
         pthread_setspecific(exit_key, &not_null) == 0;
}

// The code of OnThreadExit goes with the library that holds it.
__attribute__((destructor)) void DeleteExitKey() {
  if (have_exit_key.exchange(false, std::memory_order_acq_rel)) pthread_key_delete(exit_key);
}

// ---- fork(). The mutex is held across it, so the child's copy of every state is whole.

void BeforeFork() ABSL_NO_THREAD_SAFETY_ANALYSIS { mutex.Lock(); }
void AfterForkInParent() ABSL_NO_THREAD_SAFETY_ANALYSIS { mutex.Unlock(); }
void AfterForkInChild() ABSL_NO_THREAD_SAFETY_ANALYSIS {
  for (State& state : States()) {
    if (state.open) state.LeaveParent();
  }
  for (const char*& tagged : internal::thread_parts) tagged = nullptr;
  for (SharedPart& shared : shared_parts) shared = {};
  mutex.Unlock();
}

void State::LeaveParent() {
  if (!segment.ForkedChild(options.parts_offset)) {
    open = false;  // the places are nowhere
    return;
  }
  // The parent's threads are not here, and neither is what they counted.
  *UsedWord() = 0;
  taken.assign(taken.size(), false);  // as long as before: allocates nothing
  taken[0] = true;
}

void State::ShareAgainIfForked() {
  if (!segment.forked()) return;
  // With room in part 0, the one that may always be written.
  status = segment.ShareAgain(options.parts_offset, options.parts_offset + options.part_used);
}

// ---- The end of the process: the files go, other threads may still count.

void CloseAll() {
  SignalSafeLock lock(&mutex);
  for (State& state : States()) {
    if (std::exchange(state.open, false)) state.segment.Close();
  }
}

void InstallHooks() {
  static const bool installed = [] {
    have_exit_key.store(pthread_key_create(&exit_key, OnThreadExit) == 0,
                        std::memory_order_release);  // [K]
    pthread_atfork(BeforeFork, AfterForkInParent, AfterForkInChild);
    std::atexit(CloseAll);
    return true;
  }();
  static_cast<void>(installed);
}

// When the program or library is loaded, with one thread: if a process forked while another thread
// was at it for the first time, the child would wait for that thread for ever. Before static
// objects are made, so that it is undone after they are gone.
__attribute__((constructor(101))) void InstallHooksEarly() { InstallHooks(); }

// A part for the calling thread: its number, 0 if there is none.
std::uint32_t State::Claim() {
  const auto free_one = std::find(taken.begin(), taken.end(), false);
  auto number = static_cast<std::uint32_t>(free_one - taken.begin());
  if (number == taken.size() || !ReservePart(number).ok() || !CallAtThreadExit()) number = 0;
  taken[number] = true;
  // [U] release: a reader that sees anything of this part, or anything that came of it, sees that
  // the part has to be read.
  const std::uint32_t used = *UsedWord();
  const std::uint32_t highest = std::max(used & ~SEER_SHARED_SHARD_USED, number);
  const std::uint32_t flags =
      (used & SEER_SHARED_SHARD_USED) | (number == 0 ? SEER_SHARED_SHARD_USED : 0);
  internal::StoreRelease(UsedWord(), highest | flags);
  return number;
}

}  // namespace

namespace internal {

PartAddress InPart(Place place) noexcept {
  if (char* const own = InOwnPart(place)) return {own, true};
  if (!place.valid()) return {nullptr, false};
  SharedPart& cached = shared_parts[place.entry()];
  const std::uintptr_t shared = place.In(cached.tagged);
  if (shared % kPartsTags == 0 && ++cached.uses % kAskAgain != 0) {
    return {reinterpret_cast<char*>(shared), false};  // NOLINT(performance-no-int-to-ptr)
  }
  const int saved_errno = errno;  // the host may be between its own call and its look at errno
  const PartsKey key = place.parts();
  const char* tagged = nullptr;
  std::uint32_t number = 0;
  {
    SignalSafeLock lock(&mutex);
    State& state = States()[key.entry];
    if (state.Is(key)) {
      state.ShareAgainIfForked();
      number = state.Claim();
      tagged = state.Part(number) + key.tag;
      // Part 0 has no owner to remember.
      if (number != 0) thread_parts[key.entry] = tagged;
    }
  }
  errno = saved_errno;
  if (tagged == nullptr) return {nullptr, false};
  if (number == 0) cached = {tagged, 0};
  // NOLINTNEXTLINE(performance-no-int-to-ptr): the tag has to be taken off
  return {reinterpret_cast<char*>(place.In(tagged)), number != 0};
}

}  // namespace internal

absl::StatusOr<ThreadParts> ThreadParts::Create(const PartsOptions& options) {
  InstallHooks();
  SignalSafeLock lock(&mutex);
  for (std::uint32_t entry = 1; entry < kPartsEntries; ++entry) {
    State& state = States()[entry];
    if (state.open || state.tag + 1 == kPartsTags) continue;
    SegmentOptions wanted = options.segment;
    wanted.bytes = options.parts_offset + options.part_bytes * options.parts;
    absl::StatusOr<Segment> segment = Segment::Create(wanted);
    state.status = segment.status();
    if (!segment.ok()) {
      // The service goes on without its observer.
      wanted.directory.clear();
      segment = Segment::Create(wanted);
      if (!segment.ok()) return segment.status();
    }
    state.segment = *std::move(segment);
    state.options = options;
    state.taken.assign(options.parts, false);
    state.taken[0] = true;
    state.open = true;
    ++state.tag;
    return ThreadParts(PartsKey{entry, state.tag});
  }
  return absl::ResourceExhaustedError(
      "this process has 63 registries and recorders, or had 945; use QueueRegistry::Global() and "
      "SpanRecorder::Global()");
}

void ThreadParts::Publish() {
  SignalSafeLock lock(&mutex);
  State& state = States()[key_.entry];
  if (state.Is(key_)) state.segment.Publish();
}

void ThreadParts::Close() {
  if (key_.entry == 0) return;
  SignalSafeLock lock(&mutex);
  State& state = States()[key_.entry];
  if (!state.Is(key_)) return;
  state.open = false;
  state.segment.Close();
}

absl::Status ThreadParts::status() const {
  SignalSafeLock lock(&mutex);
  const State& state = States()[key_.entry];
  return state.Is(key_) ? state.status : absl::FailedPreconditionError("it has been closed");
}
std::string ThreadParts::path() const {
  SignalSafeLock lock(&mutex);
  const State& state = States()[key_.entry];
  return state.Is(key_) ? state.segment.path() : std::string();
}
absl::Span<const char> ThreadParts::memory() const {
  SignalSafeLock lock(&mutex);
  const State& state = States()[key_.entry];
  if (!state.Is(key_)) return {};
  return absl::MakeConstSpan(state.segment.data(), state.segment.size());
}

ThreadParts::Edit::Edit(PartsKey key) ABSL_NO_THREAD_SAFETY_ANALYSIS : key_(key) {
  mutex.Lock();
  State& state = States()[key_.entry];
  if (!state.Is(key_)) return;
  state.ShareAgainIfForked();
  data_ = state.segment.data();
}
ThreadParts::Edit::~Edit() ABSL_NO_THREAD_SAFETY_ANALYSIS { mutex.Unlock(); }

absl::Status ThreadParts::Edit::Reserve(std::size_t offset,
                                        std::size_t bytes) ABSL_NO_THREAD_SAFETY_ANALYSIS {
  return States()[key_.entry].segment.Reserve(offset, bytes);
}

absl::Status ThreadParts::Edit::ReserveInParts(std::size_t bytes) ABSL_NO_THREAD_SAFETY_ANALYSIS {
  State& state = States()[key_.entry];
  const std::size_t before =
      std::exchange(state.options.part_used, std::max(state.options.part_used, bytes));
  // Also in parts that nobody owns at present: readers look at all that were in use once, and would
  // find holes there that a full file system cannot fill.
  const std::size_t used = *state.UsedWord() & ~SEER_SHARED_SHARD_USED;
  for (std::size_t number = 0; number <= used; ++number) {
    absl::Status reserved = state.ReservePart(number);
    if (!reserved.ok()) {
      state.options.part_used = before;
      return reserved;
    }
  }
  return absl::OkStatus();
}

SEER_END_NAMESPACE
