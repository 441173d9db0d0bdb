// The slower ways of counting, and the end of threads.
#include "seer/queue/internal/count.h"

#include <pthread.h>

#include <atomic>
#include <cstdlib>
#include <utility>

#include "queue/registry_state.h"
#include "queue/stamps.h"
#include "queue/thread_exit.h"
#include "seer/core/internal/shared_word.h"

SEER_BEGIN_NAMESPACE
namespace internal {

namespace {

// A thread that got no shard of its own remembers the shared one, and asks again now and then.
struct SharedShard {
  const char* tagged;  // as in thread_shards
  std::uint32_t uses;
};
constexpr std::uint32_t kAskAgain = 1024;
thread_local SharedShard shared_shards[kEntries];

// Where a place lies in the calling thread's shard. Null: it counts nowhere.
struct Target {
  seer_slot* slot;
  bool mine;  // no other thread writes there
};

Target SlotAt(const char* tagged, Place place, bool mine) noexcept {
  const std::uintptr_t slot = place.In(tagged);
  return {slot % kTags == 0 ? reinterpret_cast<seer_slot*>(slot) : nullptr, mine};
}

Target FindTarget(Place place) noexcept {
  const Target own = SlotAt(thread_shards[place.entry()], place, true);
  if (own.slot != nullptr || !place.valid()) return own;
  SharedShard& cached = shared_shards[place.entry()];
  const Target shared_one = SlotAt(cached.tagged, place, false);
  if (shared_one.slot != nullptr && ++cached.uses % kAskAgain != 0) return shared_one;
  const RegistryKey key = place.registry();
  bool shared = false;
  const char* const base = RegistryState::Of(key).Shard(key, &shared);
  if (base == nullptr) return {nullptr, false};
  if (shared) cached = {base + key.tag, 0};
  return SlotAt(base + key.tag, place, !shared);
}

pthread_key_t exit_key;
std::atomic<bool> have_exit_key{
    false};  // release after exit_key is set, acquire before its use: [K]

void OnThreadExit(void*) {
  // Thread-local memory is still there. Other destructors may count after this one: they claim a
  // shard again, and are called back for it in the next of the system's rounds.
  for (std::uint32_t entry = 1; entry < kEntries; ++entry) {
    const char* const tagged = std::exchange(thread_shards[entry], nullptr);
    if (tagged != nullptr) RegistryState::ReleaseShard(entry, tagged);
    shared_shards[entry] = {};
  }
}

}  // namespace

void CountSlow(Place place, Word word) noexcept {
  const Target target = FindTarget(place);
  if (target.slot == nullptr) return;
  std::uint64_t* const counter =
      word == kEnqueued ? &target.slot->enqueued : &target.slot->dequeued;
  if (target.mine) {
    AddOwned(counter, 1);
  } else {
    AddShared(counter, 1);
  }
}

// Readers tell by `sequence` whether they saw all of a change: it is odd meanwhile. Every store is
// a release and every load of the reader an acquire [T], so that whoever sees one of the new sums
// sees at least the odd sequence before it.
std::uint64_t EnterTimed(Place place) noexcept {
  const std::uint64_t stamp = StampNow(StampSource());
  const Target target = FindTarget(place);
  if (target.slot == nullptr) return stamp;
  seer_slot* const slot = target.slot;
  if (!target.mine) {
    AddShared(&slot->enqueued, 1);  // the reader sees it and gives no mean for this tick
    return stamp;
  }
  auto* const timed = reinterpret_cast<seer_timed_slots*>(slot + 1);
  AddOwned(&timed->sequence, 1);
  AddOwned(&slot->enqueued, 1);
  AddOwned(&timed->entered_sum, stamp);
  AddOwned(&timed->sequence, 1);
  return stamp;
}

void LeaveTimed(Place place, std::uint64_t entered) noexcept {
  const std::uint64_t stamp =
      FencedStampNow(StampSource());  // the request may come from another core
  const Target target = FindTarget(place);
  if (target.slot == nullptr) return;
  seer_slot* const slot = target.slot;
  if (!target.mine) {
    AddShared(&slot->dequeued, 1);
    return;
  }
  auto* const timed = reinterpret_cast<seer_timed_slots*>(slot + 1);
  AddOwned(&timed->sequence, 1);
  AddOwned(&slot->dequeued, 1);
  AddOwned(&timed->left_sum, stamp);
  AddOwned(&timed->left_entered_sum, entered);
  AddOwned(&timed->sequence, 1);
}

void InstallProcessHooks() {
  static const bool installed = [] {
    have_exit_key.store(pthread_key_create(&exit_key, OnThreadExit) == 0,
                        std::memory_order_release);  // [K]
    pthread_atfork(RegistryState::BeforeFork, RegistryState::AfterForkInParent,
                   RegistryState::AfterForkInChild);
    std::atexit(RegistryState::CloseAll);
    return true;
  }();
  static_cast<void>(installed);
}

bool CallAtThreadExit() noexcept {
  static int not_null;
  return have_exit_key.load(std::memory_order_acquire) &&  // [K]
         pthread_setspecific(exit_key, &not_null) == 0;
}

void ForgetThreadShards() noexcept {
  for (const char*& tagged : thread_shards) tagged = nullptr;
  for (SharedShard& shard : shared_shards) shard = {};
}

// The code of OnThreadExit goes with the library that holds it.
__attribute__((destructor)) void DeleteExitKey() {
  if (have_exit_key.exchange(false, std::memory_order_acq_rel)) pthread_key_delete(exit_key);
}

}  // namespace internal
SEER_END_NAMESPACE
