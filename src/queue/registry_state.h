// What stands behind the handles of one registry. These exist from the start to the end of the
// process, so that a handle, or a thread that exits, can always ask whether its registry is still
// there.
//
// One mutex guards everything of all registries but the counters: nothing under it takes longer
// than a few system calls, and fork() has to take it as well. It is held with all signals blocked:
// a signal handler that counts for the first time in its thread needs it too, and must not find it
// held by the code it interrupted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "queue/signal_safe_mutex.h"
#include "seer/core/config.h"
#include "seer/queue/internal/count.h"
#include "seer/queue/registry.h"
#include "seer/queue/segment.h"

SEER_BEGIN_NAMESPACE
namespace internal {

class RegistryState {
 public:
  // The one at this entry; it may meanwhile serve another registry.
  static RegistryState& Of(RegistryKey key);

  // A free one gets a new key. ResourceExhausted if there is none.
  static absl::StatusOr<RegistryKey> Open(const RegistryOptions& options);
  void Close(RegistryKey key);

  absl::StatusOr<Place> Add(RegistryKey key, std::string_view service, std::string_view callee,
                            std::uint8_t channel, std::string_view name, bool timed);
  absl::Status Retire(Place place);

  // The calling thread's shard; `shared` says that it is the one for everybody. Null: gone.
  char* Shard(RegistryKey key, bool* shared) noexcept;
  // `tagged`: what the thread remembers.
  static void ReleaseShard(std::uint32_t entry, const char* tagged) noexcept;

  absl::Status status(RegistryKey key);
  std::string path(RegistryKey key);
  absl::Span<const char> segment(RegistryKey key);

  // At the end of the process: the files go, other threads may still count.
  static void CloseAll();

  // ---- fork(), in the thread that calls it.
  static void BeforeFork();
  static void AfterForkInParent();
  static void AfterForkInChild();

 private:
  absl::Status Make(const RegistryOptions& options) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<std::uint16_t> AddName(std::string_view name)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status ReserveSlots(std::uint32_t shard, std::uint32_t slots)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void LeaveParent() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ShareAgainIfForked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  seer_queues_header* queues() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  seer_queue_row* row(std::uint32_t number) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  char* shard(std::uint32_t number) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  bool Is(RegistryKey key) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return open_ && tag_ == key.tag;
  }

  static SignalSafeMutex mutex_;
  bool open_ ABSL_GUARDED_BY(mutex_) = false;
  std::uint32_t entry_ ABSL_GUARDED_BY(mutex_) = 0;
  std::uint32_t tag_ ABSL_GUARDED_BY(mutex_) = 0;  // of the present or the last registry
  Segment segment_ ABSL_GUARDED_BY(mutex_);
  absl::Span<const char> bytes_ ABSL_GUARDED_BY(mutex_);  // of the segment, also after Close()
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  std::vector<bool> shard_taken_ ABSL_GUARDED_BY(mutex_);  // [0], everybody's, always
  std::uint32_t slots_used_ ABSL_GUARDED_BY(mutex_) = 0;
  std::unordered_map<std::string, std::uint16_t> names_ ABSL_GUARDED_BY(mutex_);
  std::unordered_map<std::string, std::uint32_t> live_rows_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace internal
SEER_END_NAMESPACE
