#include "seer/queue/segment.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstring>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "queue/process_identity.h"
#include "queue/sigbus_guard.h"
#include "tests/queue/forged_segment.h"
#include "tests/queue/sandbox.h"

namespace seer {
namespace {

using testing::Child;
using ::testing::ElementsAre;
using testing::ForgedSegment;
using ::testing::HasSubstr;
using testing::InChild;
using testing::InDirectory;
using ::testing::IsEmpty;
using testing::MakeReader;
using testing::MakeRegistry;
using testing::ReaderOf;
using testing::ReadQueue;
using testing::ScratchDirectory;

SegmentOptions OptionsFor(const std::string& directory) {
  SegmentOptions options;
  options.directory = directory;
  options.bytes = 10'000;
  options.instance = "test-1";
  return options;
}

TEST(Segment, OptionsOutOfRangeAreNamed) {
  for (const std::size_t bytes : {std::size_t{0}, std::size_t{383}, (std::size_t{1} << 40) + 1}) {
    SegmentOptions options = OptionsFor("");
    options.bytes = bytes;
    const absl::Status status = Segment::Create(options).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("bytes"));
  }
  SegmentOptions options = OptionsFor("");
  options.instance = std::string(256, 'i');
  EXPECT_THAT(std::string(Segment::Create(options).status().message()), HasSubstr("instance"));
}

TEST(Segment, ItsHeaderSaysWhoMadeIt) {
  ScratchDirectory scratch;
  SegmentOptions options = OptionsFor(scratch.path());
  options.kind = SEER_SEGMENT_SPANS;
  options.stamp_source = SEER_STAMP_TSC;
  const auto segment = Segment::Create(options);
  ASSERT_TRUE(segment.ok()) << segment.status();
  const seer_segment_header& h = *segment->header();
  const internal::ProcessIdentity self = internal::ProcessIdentity::Self();
  EXPECT_STREQ(h.magic, SEER_SEGMENT_MAGIC);
  EXPECT_EQ(h.major, SEER_SEGMENT_MAJOR);
  EXPECT_EQ(h.kind, std::uint32_t{SEER_SEGMENT_SPANS});
  EXPECT_EQ(h.state, std::uint32_t{SEER_SEGMENT_BEING_MADE});
  EXPECT_EQ(h.segment_bytes, 12'288u);  // whole pages
  EXPECT_EQ(segment->size(), 12'288u);
  EXPECT_EQ(h.pid, static_cast<std::uint64_t>(::getpid()));
  EXPECT_EQ(h.start_time, self.start_time);
  EXPECT_NE(h.start_time, 0u);
  EXPECT_EQ(h.pid_namespace, self.pid_namespace);
  EXPECT_TRUE(std::equal(self.boot_id.begin(), self.boot_id.end(), h.boot_id));
  EXPECT_EQ(h.stamp_source, std::uint32_t{SEER_STAMP_TSC});
  EXPECT_EQ(std::string(h.instance, h.instance_bytes), "test-1");
  EXPECT_THAT(segment->path(), HasSubstr("/spans." + std::to_string(::getpid()) + "."));
}

TEST(Segment, ReadersSeeItWhenItIsPublishedAndWhenItIsClosed) {
  ScratchDirectory scratch;
  auto segment = Segment::Create(OptionsFor(scratch.path()));
  ASSERT_TRUE(segment.ok());
  const std::string path = segment->path();
  EXPECT_TRUE(absl::IsUnavailable(MappedSegment::Open(path, {}).status()));
  std::strcpy(segment->data() + 5000, "hello");
  segment->Publish();
  const auto mapped = MappedSegment::Open(path, {});
  ASSERT_TRUE(mapped.ok()) << mapped.status();
  EXPECT_STREQ(mapped->data() + 5000, "hello");
  EXPECT_EQ(mapped->Owner(), MappedSegment::Life::kRuns);
  EXPECT_EQ(mapped->instance(), "test-1");
  std::strcpy(segment->data() + 5000, "later");
  EXPECT_STREQ(mapped->data() + 5000, "later");

  char* const memory = segment->data();
  segment->Close();
  EXPECT_THAT(scratch.Files(), IsEmpty());
  EXPECT_EQ(mapped->Owner(), MappedSegment::Life::kClosed);
  EXPECT_FALSE(mapped->broken());
  EXPECT_STREQ(mapped->data() + 5000, "later");  // to the last reader
  // A thread that is late writes to memory of nobody.
  EXPECT_EQ(memory[5000], 0);
  std::strcpy(memory + 5000, "nobody");
  EXPECT_STREQ(mapped->data() + 5000, "later");
  segment->Close();  // again
}

TEST(Segment, ItMovesWithItsFile) {
  ScratchDirectory scratch;
  Segment one = *Segment::Create(OptionsFor(scratch.path()));
  Segment two = *Segment::Create(OptionsFor(scratch.path()));
  const std::string path = one.path();
  Segment moved(std::move(one));
  EXPECT_EQ(one.data(), nullptr);  // NOLINT: moved from
  EXPECT_EQ(moved.path(), path);
  two = std::move(moved);
  EXPECT_THAT(scratch.Files(), ElementsAre(path));
  Segment& same = two;
  two = std::move(same);
  EXPECT_THAT(scratch.Files(), ElementsAre(path));
}

TEST(Segment, WhatTheDeadLeaveBehindIsRemovedByTheNextOne) {
  ScratchDirectory scratch;
  scratch.Write("queues.1.dead", std::string(1000, 'x'));
  scratch.Write("queues.2.killed-at-once", "");
  scratch.Write("spans.1.another-kind", "x");
  scratch.Write("queues", "x");
  scratch.Write("README", "x");
  ASSERT_EQ(::mkdir((scratch / "queues.directory").c_str(), 0755), 0);
  ASSERT_EQ(::mkfifo((scratch / "queues.pipe").c_str(), 0644), 0);
  ASSERT_EQ(::symlink("README", (scratch / "queues.link").c_str()), 0);
  scratch.Write("queues.3.alive", "x");
  const int alive = ::open((scratch / "queues.3.alive").c_str(), O_RDONLY | O_CLOEXEC);
  ASSERT_EQ(::flock(alive, LOCK_EX | LOCK_NB), 0);
  const auto other = Segment::Create(OptionsFor(scratch.path()));

  const auto segment = Segment::Create(OptionsFor(scratch.path()));
  ASSERT_TRUE(segment.ok()) << segment.status();
  std::vector<std::string> left = scratch.Files();
  for (std::string& file : left) file = file.substr(scratch.path().size() + 1);
  EXPECT_THAT(left,
              ::testing::IsSupersetOf({std::string("spans.1.another-kind"), std::string("queues"),
                                       std::string("README"), std::string("queues.directory"),
                                       std::string("queues.link"), std::string("queues.3.alive")}));
  for (const std::string& file : left) {
    EXPECT_NE(file, "queues.1.dead");
    EXPECT_NE(file, "queues.2.killed-at-once");
  }
  EXPECT_THAT(left, ::testing::Contains(other->path().substr(scratch.path().size() + 1)));
  ::close(alive);
}

// Each takes the others' files for leftovers between their making and their locking.
TEST(SegmentConcurrency, ThoseWhoMakeSegmentsDoNotTakeThemFromEachOther) {
  ScratchDirectory scratch;
  const int rounds = 3000 / testing::kSlower;
  std::atomic<int> lost{0}, failed{0};
  const auto maker = [&] {
    for (int i = 0; i < rounds; ++i) {
      const auto segment = Segment::Create(OptionsFor(scratch.path()));
      if (!segment.ok()) {
        failed.fetch_add(1, std::memory_order_relaxed);
      } else if (::access(segment->path().c_str(), F_OK) != 0) {
        lost.fetch_add(1, std::memory_order_relaxed);
      }
    }
  };
  std::vector<std::thread> makers;
  for (int i = 0; i < 4; ++i) makers.emplace_back(maker);
  for (std::thread& thread : makers) thread.join();
  EXPECT_EQ(lost.load(std::memory_order_relaxed), 0);
  EXPECT_EQ(failed.load(std::memory_order_relaxed), 0);
  EXPECT_THAT(scratch.Files(), IsEmpty());
}

TEST(Segment, ADescriptorThatCannotBeHadIsNoDisaster) {
  ScratchDirectory scratch;
  EXPECT_EQ(InChild([&] {
              const rlimit none = {3, 3};
              SEER_CHECK(::setrlimit(RLIMIT_NOFILE, &none) == 0);
              ::close(0);
              ::close(1);
              const int one = ::open("/dev/null", O_RDONLY), two = ::open("/dev/null", O_RDONLY);
              SEER_CHECK(one >= 0 && two >= 0 && ::open("/dev/null", O_RDONLY) < 0);
              SEER_CHECK(!Segment::Create(OptionsFor(scratch.path())).ok());
              const auto registry = QueueRegistry::Create(InDirectory(scratch.path()));
              SEER_CHECK(registry.ok() && !(*registry)->status().ok());
              (*registry)->AddQueue("a", Channel::kQueued, "q")->Enter();
              SEER_CHECK(ReadQueue(*ReaderOf(**registry), "q").depth == 1);
              return std::string();
            }),
            "");
  EXPECT_THAT(scratch.Files(), IsEmpty());
}

// ---- A directory without room. In a mount namespace with a file system of a few pages.

template <typename Body>
void InSmallFileSystem(const char* options, const Body& body) {
  ScratchDirectory scratch;
  const std::string wrong = InChild([&] {
    if (::unshare(CLONE_NEWNS) != 0 ||
        ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("tmpfs", scratch.path().c_str(), "tmpfs", 0, options) != 0) {
      return std::string("not permitted");
    }
    return body(scratch);
  });
  if (wrong == "not permitted") GTEST_SKIP() << "this process may not mount";
  EXPECT_EQ(wrong, "");
}

void FillUp(const std::string& file) {
  const int fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  const std::string page(4096, 'x');
  while (::write(fd, page.data(), page.size()) > 0) {
  }
  ::close(fd);
}

TEST(SegmentWithoutRoom, AFullFileSystemMeansAnonymousMemory) {
  InSmallFileSystem("size=16k,mode=1777", [](const ScratchDirectory& scratch) {
    FillUp(scratch / "full");
    const auto registry = MakeRegistry(InDirectory(scratch.path()));
    SEER_CHECK(registry != nullptr && !registry->status().ok());
    SEER_CHECK(registry->status().message().find(scratch.path()) != std::string::npos);
    registry->AddQueue("a", Channel::kQueued, "q")->Enter();
    SEER_CHECK(ReadQueue(*ReaderOf(*registry), "q").depth == 1);
    SEER_CHECK(scratch.Files().size() == 1);  // no half-made file stays
    return std::string();
  });
}

// Every number of pages that there may be, from none to enough: no SIGBUS anywhere.
TEST(SegmentWithoutRoom, WhereverItEndsTheServiceGoesOnCounting) {
  for (int pages = 1; pages < 24; ++pages) {
    SCOPED_TRACE(pages);
    const std::string options = "mode=1777,size=" + std::to_string(4 * pages) + "k";
    InSmallFileSystem(options.c_str(), [](const ScratchDirectory& scratch) {
      RegistryOptions wanted = InDirectory(scratch.path());
      wanted.max_queues = 600;
      wanted.max_services = 100;
      wanted.max_threads = 6;
      const auto registry = MakeRegistry(wanted);
      SEER_CHECK(registry != nullptr);
      const auto reader =
          registry->status().ok() ? MakeReader(scratch.path()) : ReaderOf(*registry);
      std::vector<Queue> queues;
      std::uint64_t counted = 0;
      for (int round = 0; round < 8; ++round) {
        for (int i = 0; i < 60; ++i) {
          const auto added =
              registry->AddQueue("s" + std::to_string(round * 10 + i / 6), Channel::kQueued,
                                 std::to_string(round) + "-" + std::to_string(i));
          if (added.ok()) {
            queues.push_back(*added);
          } else if (!absl::IsResourceExhausted(added.status())) {
            return std::string(added.status().message());
          }
        }
        // Threads that stay, and claim what there is; and some that have gone again.
        std::vector<std::thread> threads;
        for (int i = 0; i < round; ++i) {
          threads.emplace_back([&] {
            for (const Queue queue : queues) queue.Enter();
          });
        }
        for (std::thread& thread : threads) thread.join();
        counted += static_cast<std::uint64_t>(round) * queues.size();
        const NodeReading& now = reader->Read();
        SEER_CHECK(now.queues.size() == queues.size());
        std::uint64_t sum = 0;
        for (const QueueReading& queue : now.queues) sum += queue.depth;
        SEER_CHECK(sum == counted);
        // A reader that touches a page which nobody wrote must not take the process for broken.
        for (const ProcessInfo& process : reader->processes()) {
          SEER_CHECK(process.life == ProcessInfo::Life::kRuns);
        }
      }
      return std::string();
    });
  }
}

TEST(SegmentWithoutRoom, AForkedChildGoesOnCountingToo) {
  for (int pages = 1; pages < 12; ++pages) {
    SCOPED_TRACE(pages);
    const std::string options = "mode=1777,size=" + std::to_string(4 * (pages + 12)) + "k";
    InSmallFileSystem(options.c_str(), [&](const ScratchDirectory& scratch) {
      RegistryOptions wanted = InDirectory(scratch.path());
      wanted.max_queues = 300;
      wanted.max_services = 10;
      wanted.max_threads = 6;
      const auto registry = MakeRegistry(wanted);
      SEER_CHECK(registry->status().ok());
      std::vector<Queue> queues;
      for (int i = 0; i < 280; ++i) {
        const auto added = registry->AddQueue("s", Channel::kQueued, std::to_string(i));
        SEER_CHECK(added.ok());
        queues.push_back(*added);
      }
      return InChild([&] {
        for (const Queue queue : queues) queue.Enter();
        std::thread([&] {
          for (const Queue queue : queues) queue.Enter();
        }).join();
        const auto reader = ReaderOf(*registry);
        std::uint64_t sum = 0;
        for (const QueueReading& queue : reader->Read().queues) sum += queue.depth;
        SEER_CHECK(sum == 2 * queues.size());
        SEER_CHECK(registry->status().ok() == !registry->path().empty());
        SEER_CHECK(reader->processes()[0].pid == static_cast<std::uint64_t>(::getpid()));
        return std::string();
      });
    });
  }
}

// ---- SIGBUS.

constexpr std::size_t kBytes = 64 * 1024;

// A mapped segment whose file somebody truncates.
TEST(SigbusGuard, WhatIsNotThereAnyMoreReadsAsZeros) {
  ScratchDirectory scratch;
  ForgedSegment::Shape shape;
  shape.shards = 1000;
  ForgedSegment forged(shape);
  std::memset(forged.data() + 4096, 0x55, forged.size() - 4096);
  const std::string file = scratch / "queues.1.x";
  forged.WriteTo(file);
  const auto mapped = MappedSegment::Open(file, {});
  ASSERT_TRUE(mapped.ok()) << mapped.status();
  ASSERT_GT(mapped->size(), kBytes);
  EXPECT_EQ(mapped->data()[kBytes], 0x55);
  ASSERT_EQ(::truncate(file.c_str(), 8192), 0);
  EXPECT_FALSE(mapped->broken());  // nobody has looked
  EXPECT_EQ(mapped->data()[4096], 0x55);
  EXPECT_FALSE(mapped->broken());
  for (std::size_t at = 0; at < mapped->size(); at += 512) {
    EXPECT_EQ(mapped->data()[at] == 0x55, at >= 4096 && at < 8192) << at;
  }
  EXPECT_TRUE(mapped->broken());
  ASSERT_EQ(::truncate(file.c_str(), 0), 0);
  EXPECT_NE(mapped->Owner(), MappedSegment::Life::kClosed);  // reads the header, which is gone
  EXPECT_EQ(mapped->data()[4096], 0);
}

char* MapOfTruncatedFile(const ScratchDirectory& scratch) {
  const std::string file = scratch / "truncated";
  const int fd = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (::ftruncate(fd, kBytes) != 0) return nullptr;
  void* const data = ::mmap(nullptr, kBytes, PROT_READ, MAP_SHARED, fd, 0);
  if (::ftruncate(fd, 0) != 0) return nullptr;
  ::close(fd);
  return static_cast<char*>(data);
}

TEST(SigbusGuard, AThreadThatBlocksTheSignalMayReadAllTheSame) {
  ScratchDirectory scratch;
  ForgedSegment forged;
  forged.AddQueue("a", "q");
  forged.WriteTo(scratch / "queues.1.x");
  EXPECT_EQ(InChild([&] {
              sigset_t all, after;
              sigfillset(&all);
              pthread_sigmask(SIG_SETMASK, &all, nullptr);
              const auto reader = MakeReader(scratch.path());
              reader->Read();
              SEER_CHECK(reader->queues().size() == 1);
              SEER_CHECK(::truncate((scratch / "queues.1.x").c_str(), 0) == 0);
              for (int i = 0; i < 5; ++i) reader->Read();
              SEER_CHECK(reader->queues().empty());
              pthread_sigmask(SIG_SETMASK, nullptr, &after);
              SEER_CHECK(sigismember(&after, SIGBUS) == 1);
              return std::string();
            }),
            "");
}

std::atomic<int> hosts_signals{0};
void HostsHandler(int) { hosts_signals.fetch_add(1, std::memory_order_relaxed); }
char* hosts_page = nullptr;
void HostsMendingHandler(int, siginfo_t* info, void*) {
  hosts_signals.fetch_add(1, std::memory_order_relaxed);
  if (info->si_addr != hosts_page) ::_exit(3);
  (void)::mmap(hosts_page, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

// What the host does with the signal, and what the process then does of it.
TEST(SigbusGuard, AnyOtherSignalIsTheHosts) {
  struct sigaction now;
  ASSERT_EQ(::sigaction(SIGBUS, nullptr, &now), 0);
  if (now.sa_handler != SIG_DFL && ::getenv("SEER_TEST_FRESH") == nullptr) {
    // Earlier tests have had it installed, for good: in another process then.
    EXPECT_EQ(InChild([] {
                ::setenv("SEER_TEST_FRESH", "1", 1);
                ::execl("/proc/self/exe", "fresh", "--gtest_brief=1",
                        "--gtest_filter=SigbusGuard.AnyOtherSignalIsTheHosts", nullptr);
                return std::string(std::strerror(errno));
              }),
              "");
    return;
  }
  ScratchDirectory scratch;
  ForgedSegment().WriteTo(scratch / "queues.1.x");
  const auto install = [&](void (*handler)(int)) {
    ::signal(SIGBUS, handler);
    return MappedSegment::Open(scratch / "queues.1.x", {});  // ours comes after the host's
  };
  const auto access = [&] {
    volatile char* const data = MapOfTruncatedFile(scratch);
    return data[100];
  };
  const auto send = [] { return ::raise(SIGBUS); };

  EXPECT_EQ(InChild([&] {
              const auto segment = install(SIG_DFL);
              SEER_CHECK(segment.ok());
              access();
              return std::string();
            }),
            "signal " + std::to_string(SIGBUS));
  EXPECT_EQ(InChild([&] {
              const auto segment = install(SIG_DFL);
              send();
              return std::string();
            }),
            "signal " + std::to_string(SIGBUS));
  // An access kills even who ignores the signal; one that was sent is ignored.
  EXPECT_EQ(InChild([&] {
              const auto segment = install(SIG_IGN);
              send();
              send();
              access();
              return std::string();
            }),
            "signal " + std::to_string(SIGBUS));
  EXPECT_EQ(InChild([&] {
              const auto segment = install(SIG_IGN);
              send();
              return std::string();
            }),
            "");
  EXPECT_EQ(InChild([&] {
              const auto segment = install(HostsHandler);
              send();
              send();
              SEER_CHECK(hosts_signals.load(std::memory_order_relaxed) == 2);
              // And ours still works.
              SEER_CHECK(::truncate((scratch / "queues.1.x").c_str(), 0) == 0);
              SEER_CHECK(segment->data()[0] == 0 && segment->broken());
              SEER_CHECK(hosts_signals.load(std::memory_order_relaxed) == 2);
              return std::string();
            }),
            "");
  ForgedSegment().WriteTo(scratch / "queues.1.x");
  EXPECT_EQ(InChild([&] {
              struct sigaction action = {};
              action.sa_sigaction = HostsMendingHandler;
              action.sa_flags = SA_SIGINFO;
              ::sigaction(SIGBUS, &action, nullptr);
              const auto segment = MappedSegment::Open(scratch / "queues.1.x", {});
              hosts_page = MapOfTruncatedFile(scratch);
              SEER_CHECK(*static_cast<volatile char*>(hosts_page) == 0);
              SEER_CHECK(hosts_signals.load(std::memory_order_relaxed) == 1);
              return std::string();
            }),
            "");
}

TEST(SigbusGuard, ThereIsRoomForThousandsAndNoMore) {
  static char nothing[1];
  std::vector<int> guards;
  for (int guard = 0; guard >= 0 && guards.size() < 100'000;) {
    guard = internal::GuardMapping(nothing, 1);
    if (guard >= 0) guards.push_back(guard);
  }
  EXPECT_GE(guards.size(), 4096u + 64);
  EXPECT_LT(guards.size(), 100'000u);
  EXPECT_FALSE(internal::MappingBroken(guards[17]));
  internal::UnguardMapping(guards[17]);
  EXPECT_EQ(internal::GuardMapping(nothing, 1), guards[17]);
  for (const int guard : guards) internal::UnguardMapping(guard);
  internal::UnguardMapping(-1);
  EXPECT_FALSE(internal::MappingBroken(-1));
}

}  // namespace
}  // namespace seer
