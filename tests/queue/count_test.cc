// Counting from threads that come and go, from signal handlers, and what a count must not do.
#include "seer/queue/internal/count.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "seer/queue/segment_layout.h"
#include "tests/queue/sandbox.h"
#include "tests/support/allocations.h"

namespace seer {
namespace {

using testing::Anonymous;
using testing::InChild;
using testing::InDirectory;
using testing::kSlower;
using testing::MakeReader;
using testing::MakeRegistry;
using testing::ReaderOf;
using testing::ReadQueue;
using testing::ScratchDirectory;

const seer_queues_header& QueuesHeader(const QueueRegistry& registry) {
  return *reinterpret_cast<const seer_queues_header*>(registry.segment().data() +
                                                      sizeof(seer_segment_header));
}
std::uint32_t ShardsUsed(const QueueRegistry& registry) {
  return QueuesHeader(registry).shards_used & ~SEER_SHARED_SHARD_USED;
}
bool SharedShardUsed(const QueueRegistry& registry) {
  return (QueuesHeader(registry).shards_used & SEER_SHARED_SHARD_USED) != 0;
}

void InThread(const std::function<void()>& body) { std::thread(body).join(); }

TEST(Count, WhatAThreadCountedStaysWhenItExits) {
  const auto registry = MakeRegistry(Anonymous());
  const Queue queue = *registry->AddQueue("a", Channel::kQueued, "q");
  const auto reader = ReaderOf(*registry);
  for (std::uint32_t i = 1; i <= 10; ++i) {
    InThread([&] {
      for (int k = 0; k < 3; ++k) queue.Enter();
      queue.Leave();
    });
    const QueueReading now = ReadQueue(*reader, "q");
    EXPECT_EQ(now.depth, 2 * i);
    EXPECT_EQ(now.width, 0u);
    EXPECT_EQ(now.enqueued, 3 * i);
    EXPECT_EQ(now.dequeued, i);
  }
  EXPECT_EQ(ShardsUsed(*registry), 1u);  // each thread went on with the numbers of the one before
}

TEST(Count, WhoEntersNeedNotLeave) {
  const auto registry = MakeRegistry(Anonymous());
  const Queue queue = *registry->AddQueue("a", Channel::kQueued, "q");
  const auto reader = ReaderOf(*registry);
  InThread([&] {
    for (int i = 0; i < 100; ++i) queue.Enter();
  });
  std::vector<std::thread> others;
  for (int i = 0; i < 4; ++i) {
    others.emplace_back([&] {
      for (int k = 0; k < 20; ++k) queue.Leave();
    });
  }
  for (std::thread& thread : others) thread.join();
  EXPECT_EQ(ReadQueue(*reader, "q").depth, 20u);
  EXPECT_EQ(reader->Read().counter_errors, 0u);
}

// As a coroutine or a fibre does: each step of a request is on another thread.
TEST(Count, ARequestMayChangeItsThreadAtEveryStep) {
  const auto registry = MakeRegistry(Anonymous());
  const Queue queued = *registry->AddQueue("a", Channel::kQueued, "queued");
  const Queue running = *registry->AddQueue("a", Channel::kRunning, "running");
  const auto reader = ReaderOf(*registry);
  std::vector<Ticket> tickets;
  InThread([&] { tickets.emplace_back(queued); });
  for (int i = 0; i < 10; ++i) {
    InThread([&] { tickets.back().MoveTo(running); });
    EXPECT_EQ(ReadQueue(*reader, "queued").depth, 0u);
    EXPECT_EQ(ReadQueue(*reader, "running").depth, 1u);
    InThread([&] { tickets.back().MoveTo(queued); });
    EXPECT_EQ(ReadQueue(*reader, "queued").depth, 1u);
    EXPECT_EQ(ReadQueue(*reader, "running").depth, 0u);
  }
  InThread([&] { tickets.clear(); });
  EXPECT_EQ(ReadQueue(*reader, "queued").depth, 0u);
  EXPECT_EQ(ReadQueue(*reader, "queued").dequeued, 11u);
}

TEST(Count, ThreadsBeyondTheShardsShareOneAndNothingIsLost) {
  RegistryOptions options = Anonymous();
  options.max_threads = 2;
  const auto registry = MakeRegistry(options);
  const Queue queue = *registry->AddQueue("a", Channel::kQueued, "q");
  const auto reader = ReaderOf(*registry);
  constexpr int kThreads = 6;
  const int counts = 200'000 / kSlower;
  std::atomic<int> started{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      queue.Enter();
      started.fetch_add(1, std::memory_order_relaxed);
      // All of them at once: so four have no shard of their own.
      while (started.load(std::memory_order_relaxed) < kThreads) std::this_thread::yield();
      for (int k = 1; k < counts; ++k) queue.Enter();
      for (int k = 0; k < counts - 7; ++k) queue.Leave();
    });
  }
  for (std::thread& thread : threads) thread.join();
  const QueueReading now = ReadQueue(*reader, "q");
  EXPECT_EQ(now.depth, 7u * kThreads);
  EXPECT_EQ(now.width, 0u);
  EXPECT_EQ(now.enqueued, static_cast<std::uint64_t>(counts) * kThreads);
  EXPECT_TRUE(SharedShardUsed(*registry));
  EXPECT_EQ(ShardsUsed(*registry), 2u);
}

TEST(Count, AThreadWithoutAShardGetsOneWhenThereIsOneAgain) {
  RegistryOptions options = Anonymous();
  options.max_threads = 1;
  const auto registry = MakeRegistry(options);
  const Queue queue = *registry->AddQueue("a", Channel::kQueued, "q");
  const auto in_shared = [&] {
    const auto* const slot = reinterpret_cast<const seer_slot*>(
        registry->segment().data() + QueuesHeader(*registry).shards_offset);
    return internal::LoadAcquire(&slot->enqueued);
  };
  std::atomic<int> step{0};
  const auto wait_for = [&](int wanted) {
    while (step.load(std::memory_order_acquire) < wanted) std::this_thread::yield();
  };
  std::thread first([&] {
    queue.Enter();  // takes the only shard
    step.store(1, std::memory_order_release);
    wait_for(2);
  });
  std::thread second([&] {
    wait_for(1);
    for (int i = 0; i < 10; ++i) queue.Enter();
    EXPECT_EQ(in_shared(), 10u);
    step.store(2, std::memory_order_release);
    wait_for(3);
    for (int i = 0; i < 5000; ++i) queue.Enter();
    EXPECT_LT(in_shared(), 5010u);  // at some point it asked again and got the shard
    const std::uint64_t before = in_shared();
    for (int i = 0; i < 5000; ++i) queue.Enter();
    EXPECT_EQ(in_shared(), before);  // and keeps it
  });
  first.join();
  step.store(3, std::memory_order_release);
  second.join();
  EXPECT_EQ(ReadQueue(*ReaderOf(*registry), "q").depth, 10'011u);
}

TEST(Count, ChurnThroughFewShardsLosesNothing) {
  RegistryOptions options = Anonymous();
  options.max_threads = 8;
  const auto registry = MakeRegistry(options);
  const Queue queue = *registry->AddQueue("a", Channel::kQueued, "q");
  const TimedQueue timed = *registry->AddTimedQueue("a", Channel::kQueued, "t");
  const int rounds = 450 / kSlower;
  for (int round = 0; round < rounds; ++round) {
    std::vector<std::thread> threads;
    for (int i = 0; i < 8; ++i) {
      threads.emplace_back([&] {
        for (int k = 0; k < 100; ++k) queue.Enter();
        for (int k = 0; k < 99; ++k) queue.Leave();
        timed.Leave(timed.Enter());
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  const auto reader = ReaderOf(*registry);
  const auto threads = static_cast<std::uint64_t>(rounds) * 8;
  const QueueReading now = ReadQueue(*reader, "q");
  EXPECT_EQ(now.enqueued, threads * 100);
  EXPECT_EQ(now.dequeued, threads * 99);
  EXPECT_EQ(ReadQueue(*reader, "t").dequeued, threads);
  EXPECT_LE(ShardsUsed(*registry), 8u);
}

// ---- Thread-local and static destructors.

struct CountsWhenDestroyed {
  Queue queue;
  ~CountsWhenDestroyed() { queue.Enter(); }
};

pthread_key_t late_key;
std::atomic<int> late_rounds{0};
Queue late_queue;

// As of a library whose key was made before ours, or after, and which sets itself again.
void CountsInEachRound(void* value) {
  late_queue.Enter();
  late_rounds.fetch_add(1, std::memory_order_relaxed);
  pthread_setspecific(late_key, value);  // the system gives up after PTHREAD_DESTRUCTOR_ITERATIONS
}

TEST(Count, DestructorsOfThreadsMayCount) {
  RegistryOptions options = Anonymous();
  options.max_threads = 4;
  const auto registry = MakeRegistry(options);
  const Queue queue = *registry->AddQueue("a", Channel::kQueued, "q");
  late_queue = *registry->AddQueue("a", Channel::kQueued, "late");
  ASSERT_EQ(pthread_key_create(&late_key, CountsInEachRound), 0);
  for (int i = 0; i < 50; ++i) {
    InThread([&] {
      thread_local CountsWhenDestroyed at_exit{queue};
      int anything;
      pthread_setspecific(late_key, &anything);
      at_exit.queue.Enter();
    });
  }
  pthread_key_delete(late_key);
  const auto reader = ReaderOf(*registry);
  EXPECT_EQ(ReadQueue(*reader, "q").enqueued, 100u);
  EXPECT_EQ(ReadQueue(*reader, "late").enqueued,
            static_cast<std::uint64_t>(late_rounds.load(std::memory_order_relaxed)));
  EXPECT_GE(late_rounds.load(std::memory_order_relaxed), 200);
}

TEST(Count, ARegistryMayEndBeforeItsThreadsDo) {
  std::atomic<bool> stop{false};
  std::atomic<int> counting{0};
  auto registry = MakeRegistry(Anonymous());
  const Queue queue = *registry->AddQueue("a", Channel::kQueued, "q");
  const TimedQueue timed = *registry->AddTimedQueue("a", Channel::kQueued, "t");
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      queue.Enter();
      counting.fetch_add(1, std::memory_order_relaxed);
      while (!stop.load(std::memory_order_relaxed)) {
        queue.Enter();
        timed.Leave(timed.Enter());
      }
    });
  }
  while (counting.load(std::memory_order_relaxed) < 3) std::this_thread::yield();
  registry.reset();
  const auto next = MakeRegistry(Anonymous());
  const Queue fresh = *next->AddQueue("a", Channel::kQueued, "q");
  for (int i = 0; i < 1000; ++i) fresh.Enter();
  EXPECT_EQ(ReadQueue(*ReaderOf(*next), "q").enqueued, 1000u);
  stop.store(true, std::memory_order_relaxed);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(ReadQueue(*ReaderOf(*next), "q").enqueued, 1000u);
}

// ---- Signal handlers.

Queue handler_queue;
std::atomic<int> handled{0};

void CountInHandler(int) {
  handler_queue.Enter();
  handler_queue.Enter();
  handler_queue.Leave();
  handled.fetch_add(1, std::memory_order_relaxed);
}

class CountInSignals : public ::testing::Test {
 protected:
  CountInSignals() {
    handled.store(0, std::memory_order_relaxed);
    struct sigaction action = {};
    action.sa_handler = CountInHandler;
    action.sa_flags = SA_RESTART;
    sigaction(SIGUSR1, &action, &before_);
  }
  ~CountInSignals() override { sigaction(SIGUSR1, &before_, nullptr); }

 private:
  struct sigaction before_;
};

#if defined(__x86_64__) && !defined(SEER_INTERNAL_TSAN)
// Elsewhere an addition is not one instruction (core/internal/shared_word.h).
TEST_F(CountInSignals, AHandlerMayInterruptACountOfItsThread) {
  const auto registry = MakeRegistry(Anonymous());
  handler_queue = *registry->AddQueue("a", Channel::kQueued, "q");
  const int signals = 20'000 / kSlower;
  std::atomic<bool> stop{false};
  std::uint64_t entered = 0;
  std::thread counting([&] {
    while (!stop.load(std::memory_order_relaxed)) {
      for (int i = 0; i < 100; ++i) handler_queue.Enter();
      entered += 100;
      for (int i = 0; i < 99; ++i) handler_queue.Leave();
    }
  });
  for (int i = 0; i < signals; ++i) pthread_kill(counting.native_handle(), SIGUSR1);
  stop.store(true, std::memory_order_relaxed);
  counting.join();
  const auto in_handler = static_cast<std::uint64_t>(handled.load(std::memory_order_relaxed));
  EXPECT_GT(in_handler, 0u);
  const QueueReading now = ReadQueue(*ReaderOf(*registry), "q");
  EXPECT_EQ(now.enqueued, entered + 2 * in_handler);
  EXPECT_EQ(now.dequeued, entered / 100 * 99 + in_handler);
}
#endif

TEST_F(CountInSignals, AHandlerMayBeTheFirstToCountInItsThread) {
  RegistryOptions options = Anonymous();
  options.max_threads = 3;
  const auto registry = MakeRegistry(options);
  handler_queue = *registry->AddQueue("a", Channel::kQueued, "q");
  InThread([] {
    raise(SIGUSR1);
    handler_queue.Enter();
    raise(SIGUSR1);
  });
  const auto reader = ReaderOf(*registry);
  EXPECT_EQ(ReadQueue(*reader, "q").enqueued, 5u);
  EXPECT_EQ(ShardsUsed(*registry), 1u);

  // And anywhere in a first count, in the system's end of a thread, and in adding queues.
  const int threads = 300 / kSlower;
  for (int i = 0; i < threads; ++i) {
    std::atomic<bool> done{false};
    std::thread counting([&] {
      handler_queue.Enter();
      static_cast<void>(registry->AddQueue("a", Channel::kRunning, std::to_string(i % 100)));
      done.store(true, std::memory_order_release);
    });
    while (!done.load(std::memory_order_acquire)) {
      pthread_kill(counting.native_handle(), SIGUSR1);
    }
    pthread_kill(counting.native_handle(), SIGUSR1);  // joinable, so the handle is valid
    counting.join();
  }
  const auto in_handlers = static_cast<std::uint64_t>(handled.load(std::memory_order_relaxed));
  const QueueReading now = ReadQueue(*reader, "q");
  EXPECT_EQ(now.enqueued, 1 + static_cast<std::uint64_t>(threads) + 2 * in_handlers);
  EXPECT_EQ(now.dequeued, in_handlers);
  EXPECT_LE(ShardsUsed(*registry), 3u);
}

TEST(Count, SignalsAreAsTheyWereAfterwards) {
  ScratchDirectory scratch;
  sigset_t wanted, before, after;
  sigemptyset(&wanted);
  sigaddset(&wanted, SIGUSR2);
  sigaddset(&wanted, SIGHUP);
  pthread_sigmask(SIG_SETMASK, &wanted, &before);
  auto registry = MakeRegistry(InDirectory(scratch.path()));
  const Queue queue = *registry->AddQueue("a", Channel::kQueued, "q");
  queue.Enter();
  EXPECT_TRUE(registry->Retire(queue).ok());
  EXPECT_EQ(InChild([&] {
              queue.Enter();
              sigset_t in_child;
              pthread_sigmask(SIG_SETMASK, nullptr, &in_child);
              for (int signal = 1; signal < 32; ++signal) {
                SEER_CHECK(sigismember(&in_child, signal) == sigismember(&wanted, signal));
              }
              return std::string();
            }),
            "");
  registry.reset();
  pthread_sigmask(SIG_SETMASK, &before, &after);
  for (int signal = 1; signal < 32; ++signal) {
    EXPECT_EQ(sigismember(&after, signal), sigismember(&wanted, signal)) << signal;
  }
}

// ---- What a count must not do.

TEST(Count, ErrnoIsTheHosts) {
  ScratchDirectory scratch;
  const auto registry = MakeRegistry(InDirectory(scratch.path()));
  ASSERT_TRUE(registry->status().ok());
  const Queue queue = *registry->AddQueue("a", Channel::kQueued, "q");
  const TimedQueue timed = *registry->AddTimedQueue("a", Channel::kQueued, "t");
  const auto keeps_errno = [&] {
    errno = EDOM;
    queue.Enter();  // the first one
    const int after_first = errno;
    errno = ERANGE;
    timed.Leave(timed.Enter());
    queue.Enter();
    return after_first == EDOM && errno == ERANGE;
  };
  InThread([&] { EXPECT_TRUE(keeps_errno()); });
  // After fork() the first count makes a file, or fails to.
  for (const bool possible : {true, false}) {
    EXPECT_EQ(InChild([&] {
                if (!possible) {
                  std::filesystem::remove_all(scratch.path());
                  std::ofstream(scratch.path()) << "a file in the way";
                }
                SEER_CHECK(keeps_errno());
                SEER_CHECK(registry->status().ok() == possible);
                return std::string();
              }),
              "");
  }
}

TEST(Count, NoCountAllocates) {
  ScratchDirectory scratch;
  for (const std::string& directory : {scratch.path(), std::string()}) {
    SCOPED_TRACE(directory);
    const auto registry = MakeRegistry(InDirectory(directory));
    const Queue queue = *registry->AddQueue("a", Channel::kQueued, "q");
    const TimedQueue timed = *registry->AddTimedQueue("a", Channel::kQueued, "t");
    std::size_t first = 1, later = 1;
    InThread([&] {
      testing::Allocations allocations;
      queue.Enter();
      timed.Leave(timed.Enter());
      first = allocations.count();
      for (int i = 0; i < 1000; ++i) {
        QueueScope scope(queue);
        QueueScope timed_scope(timed);
        Ticket ticket(queue);
        ticket.MoveTo(queue);
      }
      later = allocations.count() - first;
    });
    EXPECT_EQ(first, 0u);  // it may be in a signal handler, where the heap is out of reach
    EXPECT_EQ(later, 0u);
  }
}

TEST(Count, WithoutShardsNoCountAllocatesEither) {
  RegistryOptions options = Anonymous();
  options.max_threads = 1;
  const auto registry = MakeRegistry(options);
  const Queue queue = *registry->AddQueue("a", Channel::kQueued, "q");
  queue.Enter();
  std::size_t count = 1;
  InThread([&] {
    testing::Allocations allocations;
    for (int i = 0; i < 10'000; ++i) queue.Enter();
    count = allocations.count();
  });
  EXPECT_EQ(count, 0u);
  EXPECT_EQ(ReadQueue(*ReaderOf(*registry), "q").enqueued, 10'001u);
}

}  // namespace
}  // namespace seer
