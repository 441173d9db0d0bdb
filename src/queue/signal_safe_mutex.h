// A mutex that a signal handler may take too: whoever holds it has all signals blocked, so no
// handler can run in the thread that holds it, and other threads go on and let go of it.
//
// Threads: any. Cost: two system calls more than a mutex; never on a hot path.
#pragma once

#include <csignal>

#include "absl/base/thread_annotations.h"
#include "seer/core/config.h"
#include "seer/core/internal/mutex.h"

SEER_BEGIN_NAMESPACE
namespace internal {

class ABSL_LOCKABLE SignalSafeMutex {
 public:
  void Lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    mutex_.Lock();
    before_ = before;  // of the thread that holds the mutex
  }
  void Unlock() ABSL_UNLOCK_FUNCTION() {
    const sigset_t before = before_;
    mutex_.Unlock();
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

 private:
  Mutex mutex_;
  sigset_t before_ = {};
};

class ABSL_SCOPED_LOCKABLE SignalSafeLock {
 public:
  explicit SignalSafeLock(SignalSafeMutex* mutex) ABSL_EXCLUSIVE_LOCK_FUNCTION(mutex)
      : mutex_(mutex) {
    mutex_->Lock();
  }
  ~SignalSafeLock() ABSL_UNLOCK_FUNCTION() { mutex_->Unlock(); }
  SignalSafeLock(const SignalSafeLock&) = delete;
  SignalSafeLock& operator=(const SignalSafeLock&) = delete;

 private:
  SignalSafeMutex* const mutex_;
};

}  // namespace internal
SEER_END_NAMESPACE
