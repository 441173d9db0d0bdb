// A process that forks: the parent's counts stay exact, the child's are its own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "tests/queue/sandbox.h"

namespace seer {
namespace {

using testing::Anonymous;
using testing::Child;
using testing::CountQueues;
using ::testing::ElementsAre;
using testing::Gate;
using testing::InChild;
using testing::InDirectory;
using ::testing::IsEmpty;
using testing::kSlower;
using testing::MakeReader;
using testing::MakeRegistry;
using testing::ReaderOf;
using testing::ReadQueue;
using testing::ScratchDirectory;

// Of the process with this pid.
QueueReading ReadQueueOf(Reader& reader, pid_t pid, std::string_view name) {
  const NodeReading& now = reader.Read();
  for (std::size_t i = 0; i < now.queues.size(); ++i) {
    const QueueInfo& info = reader.queues()[i];
    if (info.name == name &&
        reader.processes()[info.process].pid == static_cast<std::uint64_t>(pid)) {
      return now.queues[i];
    }
  }
  ADD_FAILURE() << "process " << pid << " has no queue " << name;
  return QueueReading();
}

TEST(Fork, TheChildStartsAtZeroInASegmentOfItsOwn) {
  ScratchDirectory scratch;
  const auto registry = MakeRegistry(InDirectory(scratch.path()));
  const std::string parents_file = registry->path();
  const Queue queue = *registry->AddQueue("a", Channel::kQueued, "q");
  const Queue retired = *registry->AddQueue("a", Channel::kQueued, "retired");
  const TimedQueue timed = *registry->AddTimedQueue("a", Channel::kRunning, "t");
  ASSERT_TRUE(registry->Retire(retired).ok());
  for (int i = 0; i < 5; ++i) queue.Enter();
  const auto entry = timed.Enter();
  const auto reader = MakeReader(scratch.path());
  Gate forked, may_count, counted, may_end;
  Child child([&] {
    SEER_CHECK(registry->path().empty());  // nobody has counted yet
    SEER_CHECK(registry->status().ok());
    forked.Open();
    may_count.Pass();
    queue.Enter();
    queue.Enter();
    queue.Leave();
    const Queue own = *registry->AddQueue("a", Channel::kQueued, "childs-own");
    for (int i = 0; i < 7; ++i) own.Enter();
    std::thread([&] { queue.Enter(); }).join();
    retired.Enter();
    timed.Leave(entry);  // a request of the parent's: its own business
    SEER_CHECK(registry->status().ok());
    SEER_CHECK(!registry->path().empty() && registry->path() != parents_file);
    SEER_CHECK(*registry->AddQueue("a", Channel::kQueued, "q") ? true : false);
    counted.Open();
    may_end.Pass();
    return std::string();
  });
  forked.Pass();
  EXPECT_THAT(scratch.Files(), ElementsAre(parents_file));
  EXPECT_EQ(ReadQueue(*reader, "q").depth, 5u);
  may_count.Open();
  counted.Pass();
  EXPECT_EQ(scratch.Files().size(), 2u);
  QueueReading in_parent = ReadQueueOf(*reader, ::getpid(), "q");
  EXPECT_EQ(in_parent.depth, 5u);
  EXPECT_EQ(in_parent.enqueued, 5u);
  QueueReading in_child = ReadQueueOf(*reader, child.pid(), "q");
  EXPECT_EQ(in_child.depth, 2u);
  EXPECT_EQ(in_child.enqueued, 3u);
  EXPECT_TRUE(in_child.counted);
  EXPECT_EQ(ReadQueueOf(*reader, child.pid(), "childs-own").depth, 7u);
  EXPECT_EQ(CountQueues(*reader, "childs-own"), 1u);
  EXPECT_EQ(CountQueues(*reader, "retired"), 0u);
  EXPECT_EQ(CountQueues(*reader, "t"), 2u);
  for (const ProcessInfo& process : reader->processes()) EXPECT_EQ(process.instance, "test-1");

  // Both go on, at the same places in their own memory.
  for (int i = 0; i < 3; ++i) queue.Leave();
  EXPECT_EQ(ReadQueueOf(*reader, ::getpid(), "q").depth, 2u);
  EXPECT_EQ(ReadQueueOf(*reader, child.pid(), "q").depth, 2u);
  may_end.Open();
  EXPECT_EQ(child.Wait(), "");
  EXPECT_TRUE(std::filesystem::exists(parents_file));
  EXPECT_EQ(ReadQueueOf(*reader, ::getpid(), "q").depth, 2u);
}

TEST(Fork, AChildThatEndsInOrderRemovesItsOwnFileAndNoOther) {
  ScratchDirectory scratch;
  const auto registry = MakeRegistry(InDirectory(scratch.path()));
  const Queue queue = *registry->AddQueue("a", Channel::kQueued, "q");
  queue.Enter();
  for (const bool counts : {false, true}) {
    SCOPED_TRACE(counts);
    EXPECT_EQ(InChild([&] {
                if (counts) {
                  queue.Enter();
                  SEER_CHECK(scratch.Files().size() == 2);
                }
                std::exit(0);  // with its handlers and static destructors
                return std::string();
              }),
              "");
    EXPECT_THAT(scratch.Files(), ElementsAre(registry->path()));
  }
  EXPECT_EQ(ReadQueue(*MakeReader(scratch.path()), "q").depth, 1u);
}

TEST(Fork, WhoBecomesAnotherProgramLeavesNothingLocked) {
  ScratchDirectory scratch;
  const auto registry = MakeRegistry(InDirectory(scratch.path()));
  const Queue queue = *registry->AddQueue("a", Channel::kQueued, "q");
  queue.Enter();
  EXPECT_EQ(InChild([&] {
              ::execl("/bin/true", "true", nullptr);
              return std::string("exec");
            }),
            "");
  EXPECT_THAT(scratch.Files(), ElementsAre(registry->path()));
  // One that counted before: its file stays behind, and is a dead one's though its pid lives on.
  Gate counted;
  Child child([&] {
    queue.Enter();
    counted.Open();
    ::execl("/bin/sleep", "sleep", "100", nullptr);
    return std::string("exec");
  });
  counted.Pass();
  const auto reader = MakeReader(scratch.path());
  EXPECT_EQ(ReadQueueOf(*reader, ::getpid(), "q").depth, 1u);
  ASSERT_TRUE(testing::Eventually([&] {
    MakeRegistry(InDirectory(scratch.path()));  // sweeps
    return scratch.Files().size() == 1;
  }));
  EXPECT_THAT(scratch.Files(), ElementsAre(registry->path()));
  child.Kill();
}

TEST(Fork, AChildOfAChildIsAProcessLikeAnyOther) {
  ScratchDirectory scratch;
  const auto registry = MakeRegistry(InDirectory(scratch.path()));
  const Queue queue = *registry->AddQueue("a", Channel::kQueued, "q");
  for (int i = 0; i < 3; ++i) queue.Enter();
  for (const bool first_counts : {false, true}) {
    SCOPED_TRACE(first_counts);
    EXPECT_EQ(
        InChild([&] {
          if (first_counts) {
            for (int i = 0; i < 10; ++i) queue.Enter();
          }
          std::string wrong = InChild([&] {
            for (int i = 0; i < 20; ++i) queue.Enter();
            const auto reader = MakeReader(scratch.path());
            SEER_CHECK(ReadQueueOf(*reader, ::getpid(), "q").depth == 20);
            SEER_CHECK(reader->processes().size() == (first_counts ? 3 : 2));
            if (first_counts) {
              SEER_CHECK(ReadQueueOf(*reader, ::getppid(), "q").depth == 10);
            }
            return std::string();
          });
          if (!wrong.empty()) return wrong;
          queue.Enter();
          const auto reader = MakeReader(scratch.path());
          SEER_CHECK(ReadQueueOf(*reader, ::getpid(), "q").depth == (first_counts ? 11u : 1u));
          SEER_CHECK(ReadQueueOf(*reader, ::getppid(), "q").depth == 3);
          return std::string();
        }),
        "");
  }
  EXPECT_EQ(ReadQueueOf(*MakeReader(scratch.path()), ::getpid(), "q").depth, 3u);
}

TEST(Fork, AnonymousMemoryIsNotSharedEither) {
  const auto registry = MakeRegistry(Anonymous());
  const Queue queue = *registry->AddQueue("a", Channel::kQueued, "q");
  for (int i = 0; i < 3; ++i) queue.Enter();
  const auto reader = ReaderOf(*registry);
  EXPECT_EQ(ReadQueue(*reader, "q").depth, 3u);
  EXPECT_EQ(InChild([&] {
              // The parent's reader, in the child: the counts went back to zero, nothing is huge.
              QueueReading now = ReadQueue(*reader, "q");
              SEER_CHECK(now.depth == 0 && now.arrivals == 0 && now.departures == 0);
              queue.Enter();
              now = ReadQueue(*reader, "q");
              SEER_CHECK(now.depth == 1 && now.arrivals == 1);
              const auto own = ReaderOf(*registry);
              SEER_CHECK(ReadQueue(*own, "q").depth == 1);
              SEER_CHECK(own->processes()[0].pid == static_cast<std::uint64_t>(::getpid()));
              return std::string();
            }),
            "");
  EXPECT_EQ(ReadQueue(*reader, "q").depth, 3u);
}

TEST(Fork, AChildWhoseDirectoryIsGoneCountsInItsOwnMemory) {
  ScratchDirectory scratch;
  const auto registry = MakeRegistry(InDirectory(scratch / "seer"));
  const Queue queue = *registry->AddQueue("a", Channel::kQueued, "q");
  for (int i = 0; i < 3; ++i) queue.Enter();
  EXPECT_EQ(InChild([&] {
              std::filesystem::remove_all(scratch / "seer");
              scratch.Write("seer", "in the way");
              queue.Enter();
              SEER_CHECK(!registry->status().ok());
              SEER_CHECK(registry->path().empty());
              const auto reader = ReaderOf(*registry);
              SEER_CHECK(ReadQueue(*reader, "q").depth == 1);
              SEER_CHECK(reader->processes()[0].pid == static_cast<std::uint64_t>(::getpid()));
              SEER_CHECK(registry->AddQueue("a", Channel::kQueued, "more").ok());
              return std::string();
            }),
            "");
  EXPECT_EQ(ReadQueue(*ReaderOf(*registry), "q").depth, 3u);
}

TEST(Fork, AReaderThatIsForkedReadsOnInBoth) {
  ScratchDirectory scratch;
  const auto registry = MakeRegistry(InDirectory(scratch.path()));
  const Queue queue = *registry->AddQueue("a", Channel::kQueued, "q");
  queue.Enter();
  const auto reader = MakeReader(scratch.path());
  reader->Read();
  EXPECT_EQ(InChild([&] {
              SEER_CHECK(ReadQueueOf(*reader, ::getppid(), "q").depth == 1);
              queue.Enter();
              queue.Enter();
              SEER_CHECK(ReadQueueOf(*reader, ::getpid(), "q").depth == 2);
              SEER_CHECK(ReadQueueOf(*reader, ::getppid(), "q").depth == 1);
              return std::string();
            }),
            "");
  EXPECT_EQ(ReadQueueOf(*reader, ::getpid(), "q").depth, 1u);
}

// Forks in the middle of everything: each child's copy of the tables is whole, and the parent's
// counts are exact.
TEST(Fork, OtherThreadsMayRegisterAndCountMeanwhile) {
  ScratchDirectory scratch;
  RegistryOptions options = InDirectory(scratch.path());
  options.max_queues = 60'000;
  options.max_services = 1000;
  options.max_threads = 16;
  const auto registry = MakeRegistry(options);
  const Queue queue = *registry->AddQueue("a", Channel::kQueued, "q");
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> counted{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      std::uint64_t n = 0;
      for (; !stop.load(std::memory_order_relaxed); ++n) queue.Enter();
      counted.fetch_add(n, std::memory_order_relaxed);
    });
  }
  threads.emplace_back([&] {  // registers, and starts threads that count for the first time
    for (int i = 0; !stop.load(std::memory_order_relaxed) && i < 50'000; ++i) {
      const auto added = registry->AddQueue("s" + std::to_string(i % 900), Channel::kRunning,
                                            "r" + std::to_string(i));
      if (!added.ok()) continue;
      std::thread([&] { added->Enter(); }).join();
      if (i % 2 == 0 && !registry->Retire(*added).ok()) ADD_FAILURE() << i;
    }
  });
  const int forks = 60 / kSlower;
  for (int i = 0; i < forks; ++i) {
    EXPECT_EQ(InChild([&] {
                const auto reader = ReaderOf(*registry);
                for (const QueueReading& one : reader->Read().queues) {
                  SEER_CHECK(one.enqueued == 0);
                }
                SEER_CHECK(ReadQueue(*reader, "q").depth == 0);
                const std::size_t queues = reader->queues().size();
                queue.Enter();
                const auto own = registry->AddQueue("child", Channel::kQueued, "own");
                SEER_CHECK(own.ok());
                own->Enter();
                SEER_CHECK(ReadQueue(*reader, "q").depth == 1);
                SEER_CHECK(ReadQueue(*reader, "own").depth == 1);
                SEER_CHECK(reader->queues().size() == queues + 1);
                return std::string();
              }),
              "");
  }
  stop.store(true, std::memory_order_relaxed);
  for (std::thread& thread : threads) thread.join();
  const auto reader = ReaderOf(*registry);
  EXPECT_EQ(ReadQueue(*reader, "q").enqueued, counted.load(std::memory_order_relaxed));
  EXPECT_EQ(CountQueues(*reader, "own"), 0u);
}

// The first Global() of a process, in one thread, while another one forks.
TEST(Fork, TheGlobalRegistryIsUsableInTheChildWhateverTheParentWasDoing) {
  for (int i = 0; i < 40 / kSlower; ++i) {
    EXPECT_EQ(InChild([&] {
                SEER_CHECK(QueueRegistry::SetGlobalOptions(Anonymous()).ok());
                std::atomic<bool> stop{false};
                std::thread other([&] {
                  while (!stop.load(std::memory_order_relaxed)) QueueRegistry::Global();
                });
                std::string wrong;
                for (int k = 0; k < 20 && wrong.empty(); ++k) {
                  wrong = InChild([&] {
                    ::alarm(20);  // where it waits for ever
                    const auto queue = QueueRegistry::Global().AddQueue("a", Channel::kQueued, "q");
                    SEER_CHECK(queue.ok());
                    queue->Enter();
                    SEER_CHECK(ReadQueue(*ReaderOf(QueueRegistry::Global()), "q").depth == 1);
                    return std::string();
                  });
                }
                stop.store(true, std::memory_order_relaxed);
                other.join();
                return wrong;
              }),
              "");
  }
}

}  // namespace
}  // namespace seer
