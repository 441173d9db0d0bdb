// Processes that are killed at any point of their lives, while a reader reads all the time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "tests/queue/sandbox.h"

namespace seer {
namespace {

using Life = ProcessInfo::Life;
using testing::InDirectory;
using testing::kSlower;
using testing::MakeReader;
using testing::MakeRegistry;
using testing::ScratchDirectory;

constexpr int kAtATime = 4;
constexpr std::uint32_t kInQueue = 5;
constexpr int kOperations = 10'000;

// What a child has done so far, in memory that outlives it: the truth is between the two.
struct alignas(64) Progress {
  std::uint64_t before = 0;  // operations begun
  std::uint64_t after = 0;   // and done
};

// What there is for a child to be killed in: the making of the segment, the adding of queues, the
// counting, the closing. One life after the other, until it is killed.
void Live(const std::string& directory, Progress* progress) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // where the test itself is killed
  RegistryOptions options = InDirectory(directory);
  options.max_queues = 64;
  options.max_threads = 4;
  for (int life = 0; life < 900; ++life) {
    internal::StoreRelease(&progress->after, std::uint64_t{0});
    internal::StoreRelease(&progress->before, std::uint64_t{0});
    auto made = QueueRegistry::Create(options);
    if (!made.ok() || !(*made)->status().ok()) ::_exit(1);
    const auto queue = (*made)->AddQueue("a", Channel::kQueued, "q");
    if (!queue.ok()) ::_exit(1);
    for (int i = 0; i < kOperations; ++i) {
      internal::StoreRelease(&progress->before, progress->before + 1);
      queue->Enter();
      internal::StoreRelease(&progress->after, progress->after + 1);
      if (i >= static_cast<int>(kInQueue)) queue->Leave();
      if (i % 500 == 0) {
        static_cast<void>((*made)->AddQueue("b", Channel::kRunning, "q" + std::to_string(i)));
      }
    }
    made->reset();
  }
  for (;;) ::pause();
}

TEST(Crash, AThousandProcessesAreKilledAtAnyPointOfTheirLives) {
  ScratchDirectory scratch;
  constexpr int kRounds = 1000 / kAtATime / kSlower + 1;
  constexpr std::size_t kBytes = kRounds * kAtATime * sizeof(Progress);
  void* const shared =
      ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(shared, MAP_FAILED);
  auto* progress = static_cast<Progress*>(shared);  // of the next child
  const auto survivor = MakeRegistry(InDirectory(scratch.path()));
  survivor->AddQueue("survivor", Channel::kQueued, "survivor")->Enter();
  const auto reader = MakeReader(scratch.path());
  std::mt19937 generator(11);
  const auto random = [&](int below) {
    return static_cast<int>(generator() % static_cast<unsigned>(below));
  };
  std::map<std::string, int> deaths;  // by file
  std::map<std::string, int> ends;    // died or closed
  std::set<std::string> seen;
  std::map<std::uint64_t, const Progress*> of_pid;
  int in_counting = 0, killed = 0;

  const auto read = [&] {
    const NodeReading& now = reader->Read();
    for (const ProcessInfo& process : reader->processes()) {
      seen.insert(process.file);
      deaths[process.file] += process.life == Life::kDied;
      ends[process.file] += process.life != Life::kRuns;
    }
    for (std::size_t i = 0; i < now.queues.size(); ++i) {
      const QueueReading& queue = now.queues[i];
      const QueueInfo& info = reader->queues()[i];
      const ProcessInfo& process = reader->processes()[info.process];
      if (info.name == "survivor") {
        EXPECT_EQ(queue.depth, 1u);
        continue;
      }
      if (info.name != "q") {
        EXPECT_EQ(queue.enqueued, 0u) << info.name;
        continue;
      }
      // One is entered before one leaves.
      EXPECT_LE(queue.depth, kInQueue + 1);
      if (process.life == Life::kRuns) continue;
      EXPECT_EQ(queue.depth, 0u);
      // The last counts are those of the truth; nobody adds to them any more.
      if (process.life == Life::kClosed) {
        EXPECT_EQ(queue.enqueued, static_cast<std::uint64_t>(kOperations));
        continue;
      }
      ASSERT_EQ(of_pid.count(process.pid), 1u);
      const Progress& truth = *of_pid[process.pid];
      EXPECT_GE(queue.enqueued, truth.after);
      EXPECT_LE(queue.enqueued, truth.before);
      in_counting += truth.after > 0 && truth.after < kOperations;
    }
    EXPECT_EQ(now.counter_errors, 0u);
    EXPECT_EQ(now.skipped, 0u);
  };

  for (int round = 0; round < kRounds && !::testing::Test::HasFailure(); ++round) {
    std::vector<pid_t> children;
    for (int i = 0; i < kAtATime; ++i, ++progress) {
      const pid_t pid = ::fork();
      if (pid == 0) Live(scratch.path(), progress);
      ASSERT_GT(pid, 0);
      children.push_back(pid);
      of_pid[static_cast<std::uint64_t>(pid)] = progress;
      read();
    }
    // In any order.
    for (int i = 0; i < kAtATime; ++i) {
      const auto at = static_cast<std::size_t>(i);
      std::swap(children[at], children[at + static_cast<std::size_t>(random(kAtATime - i))]);
      const auto then = std::chrono::steady_clock::now() +
                        std::chrono::microseconds(random(random(2) == 0 ? 500 : 8000));
      do {
        read();
      } while (std::chrono::steady_clock::now() < then);
      ::kill(children[at], SIGKILL);
    }
    for (const pid_t pid : children) {
      int status = 0;
      ::waitpid(pid, &status, 0);
      killed += WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    }
    read();
  }
  // Those that were seen half-made are looked at again after a while.
  EXPECT_TRUE(testing::Eventually([&] {
    read();
    return reader->processes().size() == 1;
  }));
  for (const std::string& file : seen) {
    if (file == survivor->path()) continue;
    EXPECT_EQ(ends[file], 1) << file;
  }
  int died = 0;
  for (const auto& [file, times] : deaths) died += times;
  EXPECT_EQ(killed, kRounds * kAtATime);  // and none failed by itself
  EXPECT_GT(died, 0);
  EXPECT_GT(in_counting, 0);
  ::testing::Test::RecordProperty("seen", static_cast<int>(seen.size()));
  ::testing::Test::RecordProperty("killed", killed);
  ::testing::Test::RecordProperty("found_dead", died);
  ::testing::Test::RecordProperty("killed_while_counting", in_counting);
  // What they left behind goes with the next one.
  const auto next = MakeRegistry(InDirectory(scratch.path()));
  EXPECT_THAT(scratch.Files(), ::testing::UnorderedElementsAre(survivor->path(), next->path()));
  ::munmap(shared, kBytes);
}

// The very last thing that a process does is in its last reading.
TEST(Crash, AQueueThatIsAddedJustBeforeTheEndIsReadWithItsCounts) {
  ScratchDirectory scratch;
  const auto reader = MakeReader(scratch.path());
  const int rounds = 300 / kSlower;
  for (int round = 0; round < rounds && !::testing::Test::HasFailure(); ++round) {
    testing::Gate ready;
    testing::Child child([&] {
      const auto registry = MakeRegistry(InDirectory(scratch.path()));
      ready.Open();
      const auto last = registry->AddQueue("a", Channel::kQueued, "last");
      for (int i = 0; i < 10; ++i) last->Enter();
      ::kill(::getpid(), SIGKILL);
      return std::string();
    });
    ready.Pass();
    bool alive = true;
    std::uint64_t counted = 0;
    while (alive) {
      const NodeReading& now = reader->Read();
      for (std::size_t i = 0; i < now.queues.size(); ++i) counted = now.queues[i].enqueued;
      for (const ProcessInfo& process : reader->processes()) {
        alive = process.life == Life::kRuns;
      }
    }
    EXPECT_EQ(counted, 10u);
    child.Wait();
    reader->Read();
  }
}

TEST(Crash, TheReadersFileRemoverTakesTheDeadOnly) {
  ScratchDirectory scratch;
  const auto survivor = MakeRegistry(InDirectory(scratch.path()));
  ReaderOptions options;
  options.directory = scratch.path();
  options.remove_dead = true;
  const auto reader = *Reader::Open(options);
  testing::Gate ready;
  testing::Child child([&] {
    const auto registry = MakeRegistry(InDirectory(scratch.path()));
    ready.Open();
    for (;;) ::pause();
    return std::string();
  });
  ready.Pass();
  EXPECT_EQ(reader->Read().died, 0u);
  EXPECT_EQ(scratch.Files().size(), 2u);
  child.Kill();
  child.Wait();
  EXPECT_EQ(reader->Read().died, 1u);
  EXPECT_EQ(reader->Read().died, 0u);
  EXPECT_THAT(scratch.Files(), ::testing::ElementsAre(survivor->path()));
}

}  // namespace
}  // namespace seer
