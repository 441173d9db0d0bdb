// Who lives and who has died: pids, start times, boots, namespaces, locks.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <grp.h>
#include <gtest/gtest.h>

#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <optional>
#include <string>

#include "seer/queue/segment.h"
#include "tests/queue/forged_segment.h"
#include "tests/queue/sandbox.h"

namespace seer {
namespace {

using Life = ProcessInfo::Life;
using testing::Child;
using testing::Eventually;
using testing::ForgedSegment;
using testing::Gate;
using testing::InChild;
using testing::InDirectory;
using testing::MakeReader;
using testing::MakeRegistry;
using testing::ReadQueue;
using testing::ScratchDirectory;

// Its life in a fresh reading; none if it is not in it.
std::optional<Life> LifeOf(Reader& reader, const std::string& file) {
  reader.Read();
  for (const ProcessInfo& process : reader.processes()) {
    if (process.file == file) return process.life;
  }
  return std::nullopt;
}

TEST(Liveness, AHeaderThatIsNotOfThisLifeIsOfADeadProcess) {
  struct Case {
    const char* what;
    void (*change)(seer_segment_header&);
    Life life;
  };
  for (const Case& c : {
           Case{"this process", [](seer_segment_header&) {}, Life::kRuns},
           Case{"the pid was given to another process",
                [](seer_segment_header& h) { h.start_time -= 1; }, Life::kDied},
           Case{"nobody has this pid", [](seer_segment_header& h) { h.pid = 0x7ffffffe; },
                Life::kDied},
           Case{"a pid that cannot be", [](seer_segment_header& h) { h.pid = ~std::uint64_t{0}; },
                Life::kDied},
           Case{"pid 0", [](seer_segment_header& h) { h.pid = 0; }, Life::kDied},
           Case{"before the last reboot", [](seer_segment_header& h) { h.boot_id[3] ^= 1; },
                Life::kDied},
           // What is not known is not held against it.
           Case{"no start time", [](seer_segment_header& h) { h.start_time = 0; }, Life::kRuns},
           Case{"no boot id",
                [](seer_segment_header& h) { std::fill_n(h.boot_id, sizeof h.boot_id, 0); },
                Life::kRuns},
           Case{"closed in good order",
                [](seer_segment_header& h) { h.state = SEER_SEGMENT_CLOSED; }, Life::kClosed},
           // Where pids mean nothing the lock decides, which nobody holds here.
           Case{"another pid namespace", [](seer_segment_header& h) { h.pid_namespace ^= 1; },
                Life::kDied},
           Case{"no pid namespace", [](seer_segment_header& h) { h.pid_namespace = 0; },
                Life::kDied},
       }) {
    SCOPED_TRACE(c.what);
    ScratchDirectory scratch;
    ForgedSegment forged;
    forged.queues().shards_used = 1;
    forged.slot(1, forged.AddQueue("a", "q")) = {5, 2};
    c.change(forged.header());
    forged.WriteTo(scratch / "queues.1.x");
    const auto reader = MakeReader(scratch.path());
    const QueueReading first = ReadQueue(*reader, "q");
    ASSERT_EQ(reader->processes().size(), 1u);
    EXPECT_EQ(reader->processes()[0].life, c.life);
    EXPECT_EQ(first.depth, c.life == Life::kRuns ? 3u : 0u);
    EXPECT_EQ(first.enqueued, 5u);
    // Once, and not again though the file is still there.
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(LifeOf(*reader, scratch / "queues.1.x"),
                c.life == Life::kRuns ? std::optional<Life>(Life::kRuns) : std::nullopt);
    }
  }
}

TEST(Liveness, WhereAPidMeansNothingTheLockDecides) {
  ScratchDirectory scratch;
  ForgedSegment forged;
  forged.header().pid_namespace = 1;
  forged.header().start_time = 1;
  forged.AddQueue("a", "q");
  const std::string file = scratch / "queues.1.x";
  forged.WriteTo(file);
  const int fd = ::open(file.c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(::flock(fd, LOCK_EX), 0);
  const auto reader = MakeReader(scratch.path());
  for (int i = 0; i < 5; ++i) EXPECT_EQ(LifeOf(*reader, file), Life::kRuns);
  const auto other = MakeReader(scratch.path());  // readers do not lock each other out
  EXPECT_EQ(LifeOf(*other, file), Life::kRuns);
  ::close(fd);
  EXPECT_EQ(LifeOf(*reader, file), Life::kDied);
  EXPECT_EQ(LifeOf(*other, file), Life::kDied);
  EXPECT_EQ(LifeOf(*reader, file), std::nullopt);
}

// A child that shares its registry in `directory`, has 3 requests in "q", opens `ready` and waits.
template <typename Before>
auto CountingChild(const std::string& directory, const Gate& ready, const Before& before) {
  return [&directory, &ready, before] {
    const std::string wrong = before();
    if (!wrong.empty()) return wrong;
    const auto registry = MakeRegistry(InDirectory(directory));
    SEER_CHECK(registry != nullptr && registry->status().ok());
    const Queue queue = *registry->AddQueue("a", Channel::kQueued, "q");
    for (int i = 0; i < 3; ++i) queue.Enter();
    ready.Open();
    for (;;) ::pause();
    return std::string();
  };
}
std::string Nothing() { return ""; }

TEST(Liveness, AProcessThatIsKilledIsDeadAtOnceAlsoAsAZombie) {
  ScratchDirectory scratch;
  Gate ready;
  Child child(CountingChild(scratch.path(), ready, Nothing));
  ready.Pass();
  const auto reader = MakeReader(scratch.path());
  EXPECT_EQ(ReadQueue(*reader, "q").depth, 3u);
  EXPECT_EQ(reader->processes()[0].pid, static_cast<std::uint64_t>(child.pid()));
  const std::string file = reader->processes()[0].file;
  ::kill(child.pid(), SIGSTOP);  // it does not run, but it is not dead
  EXPECT_EQ(LifeOf(*reader, file), Life::kRuns);
  child.Kill();
  // Not waited for, so its pid cannot be another's.
  ASSERT_TRUE(Eventually([&] { return LifeOf(*reader, file) == Life::kDied; }));
  EXPECT_EQ(LifeOf(*reader, file), std::nullopt);
  EXPECT_EQ(child.Wait(), "signal 9");
}

TEST(Liveness, AForkedChildThatKeepsTheLockDoesNotKeepItsParentAlive) {
  ScratchDirectory scratch;
  Gate ready, grandchild_runs;
  Child child(CountingChild(scratch.path(), ready, Nothing));
  ready.Pass();
  const auto reader = MakeReader(scratch.path());
  EXPECT_EQ(ReadQueue(*reader, "q").depth, 3u);
  child.Kill();
  child.Wait();
  reader->Read();

  int pid_of_grandchild[2];
  ASSERT_EQ(::pipe(pid_of_grandchild), 0);
  Child parent([&] {
    const auto registry = MakeRegistry(InDirectory(scratch.path()));
    registry->AddQueue("a", Channel::kQueued, "raw")->Enter();
    const long grandchild = ::syscall(SYS_fork);  // no pthread_atfork() handler runs
    if (grandchild == 0) {
      for (;;) ::pause();
    }
    const pid_t pid = static_cast<pid_t>(grandchild);
    SEER_CHECK(::write(pid_of_grandchild[1], &pid, sizeof pid) == sizeof pid);
    for (;;) ::pause();
    return std::string();
  });
  pid_t grandchild = 0;
  ASSERT_EQ(::read(pid_of_grandchild[0], &grandchild, sizeof grandchild),
            static_cast<ssize_t>(sizeof grandchild));
  EXPECT_EQ(ReadQueue(*reader, "raw").depth, 1u);
  const std::string file = reader->processes()[0].file;
  ::kill(parent.pid(), SIGKILL);
  EXPECT_TRUE(Eventually([&] { return LifeOf(*reader, file) == Life::kDied; }));
  const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  EXPECT_NE(::flock(fd, LOCK_SH | LOCK_NB), 0);  // the lock is held indeed
  ::close(fd);
  ::kill(grandchild, SIGKILL);
  ::close(pid_of_grandchild[0]);
  ::close(pid_of_grandchild[1]);
}

TEST(Liveness, AProcessOfAnotherPidNamespaceIsSeenToLiveAndToDie) {
  ScratchDirectory scratch;
  Gate ready;
  // The child's child is pid 1 of a namespace of its own.
  Child child([&] {
    if (::unshare(CLONE_NEWPID) != 0) {
      ready.Open();
      return std::string("not permitted");
    }
    Child inner(CountingChild(scratch.path(), ready, Nothing));
    for (;;) ::pause();
    return std::string();
  });
  ready.Pass();
  const auto reader = MakeReader(scratch.path());
  reader->Read();
  if (reader->processes().empty()) {
    EXPECT_EQ(child.Wait(), "not permitted");
    GTEST_SKIP() << "this process may not make a pid namespace";
  }
  EXPECT_EQ(ReadQueue(*reader, "q").depth, 3u);
  EXPECT_EQ(reader->processes()[0].pid, 1u);
  const std::string file = reader->processes()[0].file;
  for (int i = 0; i < 5; ++i) EXPECT_EQ(LifeOf(*reader, file), Life::kRuns);
  // The inner one is this process's grandchild: found by the segment's file among its descriptors.
  const std::string children =
      "/proc/" + std::to_string(child.pid()) + "/task/" + std::to_string(child.pid()) + "/children";
  pid_t inner = 0;
  std::ifstream(children) >> inner;
  ASSERT_GT(inner, 0);
  ::kill(inner, SIGKILL);
  EXPECT_TRUE(Eventually([&] { return LifeOf(*reader, file) == Life::kDied; }));
}

// hidepid: /proc does not show the processes of others. Not seeing one is not seeing it dead.
TEST(Liveness, AProcessThatProcHidesIsNotDead) {
  ScratchDirectory scratch;
  ::chmod(scratch.path().c_str(), 0755);
  Gate ready;
  Child owner(CountingChild(scratch.path(), ready, Nothing));
  ready.Pass();
  const std::string wrong = InChild([&] {
    if (::unshare(CLONE_NEWNS) != 0 ||
        ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("proc", "/proc", "proc", 0, "hidepid=2") != 0 || ::setgid(65534) != 0 ||
        ::setgroups(0, nullptr) != 0 || ::setuid(65534) != 0) {
      return std::string("not permitted");
    }
    SEER_CHECK(internal::ProcessStartTime(static_cast<std::uint64_t>(owner.pid())) == 0);
    const auto reader = MakeReader(scratch.path());
    SEER_CHECK(ReadQueue(*reader, "q").depth == 3);
    SEER_CHECK(reader->processes()[0].life == Life::kRuns);
    SEER_CHECK(LifeOf(*reader, reader->processes()[0].file) == Life::kRuns);
    ready.Open();
    SEER_CHECK(LifeOf(*reader, reader->processes()[0].file) == Life::kRuns);
    owner.Kill();  // another user's: nothing happens
    SEER_CHECK(LifeOf(*reader, reader->processes()[0].file) == Life::kRuns);
    return std::string();
  });
  if (wrong == "not permitted") GTEST_SKIP() << "this process may not mount";
  EXPECT_EQ(wrong, "");
}

}  // namespace
}  // namespace seer
