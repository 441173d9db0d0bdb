// What a reader sees compared with what was so: writers tell in words of their own what they have
// begun and what they have done, and every reading has to lie in between.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/queue/sandbox.h"

namespace seer {
namespace {

using internal::LoadAcquire;
using internal::StoreRelease;
using testing::Anonymous;
using testing::CountQueues;
using testing::InDirectory;
using testing::kSlower;
using testing::MakeReader;
using testing::MakeRegistry;
using testing::ReaderOf;
using testing::ReadQueue;
using testing::ScratchDirectory;

// Written by one thread. An operation is begun, then counted, then done.
struct alignas(64) Told {
  std::uint64_t begun = 0;
  std::uint64_t done = 0;
};

struct Readings {
  int all = 0;
  int exact = 0;
};

// Reads until `stop`, and compares. `enters` and `leaves` are what the writers tell; at no instant
// were more than `most` in the queue.
Readings ReadAndCompare(Reader& reader, const std::vector<Told>& enters,
                        const std::vector<Told>& leaves, std::uint32_t most,
                        const std::atomic<int>& running) {
  Readings readings;
  const auto sum = [](const std::vector<Told>& told, std::uint64_t Told::*word) {
    std::uint64_t all = 0;
    for (const Told& one : told) all += LoadAcquire(&(one.*word));
    return all;
  };
  while (running.load(std::memory_order_acquire) > 0) {
    const std::uint64_t entered = sum(enters, &Told::done);
    const std::uint64_t left = sum(leaves, &Told::done);
    const QueueReading now = ReadQueue(reader, "q");
    const std::uint64_t may_have_entered = sum(enters, &Told::begun);
    const std::uint64_t may_have_left = sum(leaves, &Told::begun);
    ++readings.all;
    readings.exact += now.width == 0;
    if (now.enqueued < entered || now.enqueued > may_have_entered || now.dequeued < left ||
        now.dequeued > may_have_left || now.depth > most) {
      ADD_FAILURE() << "entered " << now.enqueued << " of " << entered << " to " << may_have_entered
                    << ", left " << now.dequeued << " of " << left << " to " << may_have_left
                    << ", depth " << now.depth << " + " << now.width << " of 0 to " << most;
      break;
    }
  }
  return readings;
}

void Report(const char* what, const Readings& readings) {
  ::testing::Test::RecordProperty(std::string(what) + "_readings", readings.all);
  ::testing::Test::RecordProperty(
      std::string(what) + "_exact_per_mille",
      readings.all == 0 ? 0 : static_cast<int>(1000LL * readings.exact / readings.all));
}

TEST(TruthConcurrency, EachWriterEntersAndLeavesAtFullSpeed) {
  const auto registry = MakeRegistry(Anonymous());
  const Queue queue = *registry->AddQueue("a", Channel::kQueued, "q");
  const auto reader = ReaderOf(*registry);
  constexpr int kWriters = 2;
  const std::uint64_t rounds = 12'500'000 / kSlower;  // of two enters and two leaves
  std::vector<Told> enters(kWriters), leaves(kWriters);
  std::atomic<int> running{kWriters};
  std::vector<std::thread> writers;
  for (std::size_t i = 0; i < kWriters; ++i) {
    writers.emplace_back([&, i] {
      for (std::uint64_t k = 1; k <= rounds; ++k) {
        StoreRelease(&enters[i].begun, 2 * k);
        queue.Enter();
        queue.Enter();
        StoreRelease(&enters[i].done, 2 * k);
        StoreRelease(&leaves[i].begun, 2 * k);
        queue.Leave();
        queue.Leave();
        StoreRelease(&leaves[i].done, 2 * k);
      }
      running.fetch_sub(1, std::memory_order_release);
    });
  }
  const Readings readings = ReadAndCompare(*reader, enters, leaves, 2 * kWriters, running);
  for (std::thread& writer : writers) writer.join();
  EXPECT_EQ(ReadQueue(*reader, "q").depth, 0u);
  EXPECT_EQ(ReadQueue(*reader, "q").dequeued, 2 * rounds * kWriters);
  Report("bounce", readings);
}

// One enters and hands over, the other leaves: every leave is in another shard than its enter.
TEST(TruthConcurrency, OneWriterEntersAndAnotherLeaves) {
  const auto registry = MakeRegistry(Anonymous());
  const Queue queue = *registry->AddQueue("a", Channel::kQueued, "q");
  const auto reader = ReaderOf(*registry);
  constexpr std::uint64_t kMost = 3;
  const std::uint64_t requests = 100'000 / kSlower;
  std::vector<Told> enters(1), leaves(1);
  std::atomic<std::uint64_t> handed{0}, taken{0};
  std::atomic<int> running{2};
  std::thread producer([&] {
    for (std::uint64_t k = 1; k <= requests; ++k) {
      while (k - taken.load(std::memory_order_acquire) > kMost) std::this_thread::yield();
      StoreRelease(&enters[0].begun, k);
      queue.Enter();
      StoreRelease(&enters[0].done, k);
      handed.store(k, std::memory_order_release);
    }
    running.fetch_sub(1, std::memory_order_release);
  });
  std::thread consumer([&] {
    for (std::uint64_t k = 1; k <= requests; ++k) {
      while (handed.load(std::memory_order_acquire) < k) std::this_thread::yield();
      StoreRelease(&leaves[0].begun, k);
      queue.Leave();
      StoreRelease(&leaves[0].done, k);
      taken.store(k, std::memory_order_release);
    }
    running.fetch_sub(1, std::memory_order_release);
  });
  const Readings readings = ReadAndCompare(*reader, enters, leaves, kMost, running);
  producer.join();
  consumer.join();
  EXPECT_EQ(ReadQueue(*reader, "q").depth, 0u);
  EXPECT_EQ(reader->Read().counter_errors, 0u);
  Report("hand_over", readings);
}

// Threads come and go, so that shards are claimed and given back in the middle of readings.
TEST(TruthConcurrency, ThreadsComeAndGoWhileTheyAreRead) {
  RegistryOptions options = Anonymous();
  options.max_threads = 6;
  const auto registry = MakeRegistry(options);
  const Queue queue = *registry->AddQueue("a", Channel::kQueued, "q");
  const auto reader = ReaderOf(*registry);
  constexpr std::size_t kLines = 8;  // more than there are shards
  const int threads = 400 / kSlower;
  std::vector<Told> enters(kLines), leaves(kLines);
  std::atomic<int> running{static_cast<int>(kLines)};
  std::vector<std::thread> lines;
  for (std::size_t i = 0; i < kLines; ++i) {
    lines.emplace_back([&, i] {
      std::uint64_t k = 0;
      for (int t = 0; t < threads; ++t) {
        // Enters here, leaves in the next thread of this line.
        std::thread([&] {
          for (int n = 0; n < 50; ++n) {
            ++k;
            StoreRelease(&enters[i].begun, k);
            queue.Enter();
            StoreRelease(&enters[i].done, k);
            std::thread leave;
            if (n == 25) {
              leave = std::thread([&] {
                StoreRelease(&leaves[i].begun, k);
                queue.Leave();
                StoreRelease(&leaves[i].done, k);
              });
              leave.join();
            } else {
              StoreRelease(&leaves[i].begun, k);
              queue.Leave();
              StoreRelease(&leaves[i].done, k);
            }
          }
        }).join();
      }
      running.fetch_sub(1, std::memory_order_release);
    });
  }
  const Readings readings = ReadAndCompare(*reader, enters, leaves, kLines, running);
  for (std::thread& line : lines) line.join();
  EXPECT_EQ(ReadQueue(*reader, "q").depth, 0u);
  EXPECT_EQ(ReadQueue(*reader, "q").enqueued, static_cast<std::uint64_t>(threads) * 50 * kLines);
  EXPECT_EQ(reader->Read().counter_errors, 0u);
  Report("churn", readings);
}

// Tickets through three stages and several threads, against a model that is kept under a lock.
TEST(TruthConcurrency, TicketsThroughStagesAreWhereTheModelSays) {
  const auto registry = MakeRegistry(Anonymous());
  const Queue stages[3] = {*registry->AddQueue("a", Channel::kQueued, "one"),
                           *registry->AddQueue("a", Channel::kRunning, "two"),
                           *registry->AddQueue("a", Channel::kBlocked, "three")};
  struct Job {
    Ticket ticket;
    int stage = 0;
  };
  std::mutex mutex;
  std::deque<Job> jobs;
  int in_stage[3] = {0, 0, 0};  // under the mutex, changed together with the ticket
  std::uint64_t entered[3] = {0, 0, 0};
  const int steps = 40'000 / kSlower;
  std::vector<std::thread> threads;
  for (unsigned seed = 0; seed < 4; ++seed) {
    threads.emplace_back([&, seed] {
      std::mt19937 random(seed);
      for (int i = 0; i < steps; ++i) {
        const std::lock_guard<std::mutex> lock(mutex);
        if (jobs.empty() || random() % 3 == 0) {
          jobs.push_back({Ticket(stages[0]), 0});
          ++in_stage[0];
          ++entered[0];
          continue;
        }
        Job job = std::move(jobs.front());
        jobs.pop_front();
        --in_stage[job.stage];
        if (++job.stage == 3 || random() % 10 == 0) continue;  // done, or dropped
        job.ticket.MoveTo(stages[job.stage]);
        ++in_stage[job.stage];
        ++entered[job.stage];
        jobs.push_back(std::move(job));
      }
    });
  }
  const auto reader = ReaderOf(*registry);
  for (int i = 0; i < 100; ++i) {
    const std::lock_guard<std::mutex> lock(mutex);
    const NodeReading& now = reader->Read();
    for (std::size_t stage = 0; stage < 3; ++stage) {
      EXPECT_EQ(now.queues[stage].depth, static_cast<std::uint32_t>(in_stage[stage]));
      EXPECT_EQ(now.queues[stage].width, 0u);
      EXPECT_EQ(now.queues[stage].enqueued, entered[stage]);
    }
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(reader->Read().queues[2].depth, static_cast<std::uint32_t>(in_stage[2]));
  jobs.clear();
  for (const QueueReading& queue : reader->Read().queues) EXPECT_EQ(queue.depth, 0u);
}

TEST(TruthConcurrency, EightThreadsRegisterTheSameNamesWhileTheyAreRead) {
  ScratchDirectory scratch;
  RegistryOptions options = InDirectory(scratch.path());
  options.max_queues = 4000;
  const auto registry = MakeRegistry(options);
  const int names = 600 / kSlower;
  std::atomic<int> running{8};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < names; ++i) {
        const auto shared = registry->AddQueue("s" + std::to_string(i % 7), Channel::kQueued,
                                               "q" + std::to_string(i));
        const auto own =
            registry->AddQueue("s", Channel::kRunning, std::to_string(t) + "-" + std::to_string(i));
        if (!shared.ok()) ADD_FAILURE() << shared.status();
        shared->Enter();
        if (own.ok()) {
          own->Enter();
          if (i % 2 == 0 && !registry->Retire(*own).ok()) ADD_FAILURE() << i;
        }
      }
      running.fetch_sub(1, std::memory_order_release);
    });
  }
  const auto reader = MakeReader(scratch.path());
  while (running.load(std::memory_order_acquire) > 0) {
    const NodeReading& now = reader->Read();
    EXPECT_EQ(now.queues.size(), reader->queues().size());
    for (std::size_t i = 0; i < now.queues.size(); ++i) {
      const bool shared = reader->queues()[i].name[0] == 'q';
      if (now.queues[i].depth > (shared ? 8u : 1u)) {
        ADD_FAILURE() << reader->queues()[i].name << " " << now.queues[i].depth;
      }
    }
  }
  for (std::thread& thread : threads) thread.join();
  const NodeReading& now = reader->Read();
  std::size_t shared = 0;
  for (std::size_t i = 0; i < now.queues.size(); ++i) {
    if (reader->queues()[i].name[0] != 'q') continue;
    ++shared;
    EXPECT_EQ(now.queues[i].enqueued, 8u) << reader->queues()[i].name;
  }
  EXPECT_EQ(shared, static_cast<std::size_t>(names));  // all agreed
  EXPECT_EQ(CountQueues(*reader, "q0"), 1u);
}

// Registries are made and destroyed while others count in them, and one reader reads all.
TEST(TruthConcurrency, RegistriesComeAndGoWhileTheyAreRead) {
  ScratchDirectory scratch;
  const int lives = 60 / kSlower + 2;
  std::atomic<int> running{2};
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < lives; ++i) {
        auto registry = MakeRegistry(InDirectory(scratch.path()));
        const Queue queue = *registry->AddQueue("a", Channel::kQueued, "q");
        std::atomic<bool> counted{false};
        std::thread counting([&] {
          for (int k = 0; k < 3000; ++k) {
            QueueScope scope(queue);
            counted.store(true, std::memory_order_release);
          }
        });
        while (!counted.load(std::memory_order_acquire)) std::this_thread::yield();
        if (i % 2 == 0) {
          registry.reset();  // under its hands
          counting.join();
        } else {
          counting.join();
        }
      }
      running.fetch_sub(1, std::memory_order_release);
    });
  }
  const auto reader = MakeReader(scratch.path());
  std::uint64_t died = 0;
  while (running.load(std::memory_order_acquire) > 0) {
    const NodeReading& now = reader->Read();
    died += now.died;
    for (const QueueReading& queue : now.queues) {
      if (queue.depth > 1 || queue.arrivals > 3000) {
        ADD_FAILURE() << queue.depth << " " << queue.arrivals;
      }
    }
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(died, 0u);  // all of them were closed in good order
  EXPECT_TRUE(scratch.Files().empty());
}

}  // namespace
}  // namespace seer
