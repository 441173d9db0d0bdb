// Flow: (internal) a mutex that clang's thread-safety analysis understands
//
// std::mutex underneath, not absl::Mutex: Debian's libabsl is not built for ThreadSanitizer, which
// then reports races in correct code.
//
//   internal::Mutex mutex_;
//   int depth_ ABSL_GUARDED_BY(mutex_);
//   internal::MutexLock lock(&mutex_);
//
// Never on a hot path, and never held while host code is called.
#pragma once

#include <mutex>

#include "absl/base/thread_annotations.h"
#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE
namespace internal {

class ABSL_LOCKABLE Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void Lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() { mutex_.lock(); }
  void Unlock() ABSL_UNLOCK_FUNCTION() { mutex_.unlock(); }
  bool TryLock() ABSL_EXCLUSIVE_TRYLOCK_FUNCTION(true) { return mutex_.try_lock(); }

 private:
  std::mutex mutex_;
};

class ABSL_SCOPED_LOCKABLE MutexLock {
 public:
  explicit MutexLock(Mutex* mutex) ABSL_EXCLUSIVE_LOCK_FUNCTION(mutex) : mutex_(mutex) {
    mutex_->Lock();
  }
  ~MutexLock() ABSL_UNLOCK_FUNCTION() { mutex_->Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex* const mutex_;
};

}  // namespace internal
SEER_END_NAMESPACE
