#include "seer/core/internal/mutex.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace seer::internal {
namespace {

class Counter {
 public:
  void Add() {
    MutexLock lock(&mutex_);
    ++count_;
  }
  bool TryAdd() {
    if (!mutex_.TryLock()) return false;
    ++count_;
    mutex_.Unlock();
    return true;
  }
  int count() {
    MutexLock lock(&mutex_);
    return count_;
  }

 private:
  Mutex mutex_;
  int count_ ABSL_GUARDED_BY(mutex_) = 0;
};

TEST(MutexConcurrency, OneAtATime) {
  Counter counter;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&counter] {
      for (int n = 0; n < 10'000; ++n) {
        if (n % 2 == 0 || !counter.TryAdd()) counter.Add();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(counter.count(), 40'000);
}

}  // namespace
}  // namespace seer::internal
