// Segments that want the reader to crash, to wait, to grow or to be wrong about the others.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "queue/queues_view.h"
#include "tests/queue/forged_segment.h"
#include "tests/queue/sandbox.h"

namespace seer {
namespace {

using internal::QueuesView;
using testing::CountQueues;
using testing::Eventually;
using testing::ForgedSegment;
using ::testing::HasSubstr;
using testing::InDirectory;
using testing::kSlower;
using testing::MakeReader;
using testing::MakeRegistry;
using testing::ReadQueue;
using testing::ScratchDirectory;

constexpr std::uint64_t kMax64 = std::numeric_limits<std::uint64_t>::max();
constexpr std::uint32_t kMax32 = std::numeric_limits<std::uint32_t>::max();

// A segment with something of everything in it.
void Furnish(ForgedSegment& forged) {
  forged.queues().shards_used = 3 | SEER_SHARED_SHARD_USED;
  forged.slot(1, forged.AddQueue("a", "plain")) = {5, 2};
  const std::uint32_t timed = forged.AddQueue("b", "timed", true);
  forged.slot(2, timed) = {4, 4};
  forged.timed(2, timed) = {10, 20, 10, 2};
  const std::uint32_t row = forged.queues().rows_count;
  forged.AddQueue("a", "");
  forged.row(row).channel = SEER_CHANNEL_OUTBOUND;
  forged.row(row).callee = 1;
}

TEST(QueuesView, WhatCannotBeIsNamed) {
  struct Case {
    const char* field;
    void (*change)(ForgedSegment&);
  };
  for (const Case& c : {
           Case{"name_bytes", [](ForgedSegment& f) { f.queues().name_bytes = 63; }},
           Case{"row_bytes", [](ForgedSegment& f) { f.queues().row_bytes = 128; }},
           Case{"names_capacity", [](ForgedSegment& f) { f.queues().names_capacity = 65536; }},
           Case{"rows_capacity", [](ForgedSegment& f) { f.queues().rows_capacity = 65537; }},
           Case{"slots_capacity", [](ForgedSegment& f) { f.queues().slots_capacity = kMax32; }},
           Case{"shards_capacity", [](ForgedSegment& f) { f.queues().shards_capacity = 0; }},
           Case{"shards_capacity", [](ForgedSegment& f) { f.queues().shards_capacity = kMax32; }},
           Case{"shard_stride", [](ForgedSegment& f) { f.queues().shard_stride = 0; }},
           Case{"shard_stride", [](ForgedSegment& f) { f.queues().shard_stride = 120; }},
           Case{"shard_stride", [](ForgedSegment& f) { f.queues().shard_stride = 64; }},
           Case{"shards_offset",
                [](ForgedSegment& f) { f.queues().shard_stride = kMax64 / 64 * 64; }},
           Case{"shards_offset", [](ForgedSegment& f) { f.queues().shard_stride += 64; }},
           Case{"shards_offset", [](ForgedSegment& f) { f.queues().shards_capacity += 1; }},
           Case{"names_offset", [](ForgedSegment& f) { f.queues().names_offset = 513; }},
           Case{"names_offset", [](ForgedSegment& f) { f.queues().names_offset = kMax64 - 63; }},
           Case{"names_offset", [](ForgedSegment& f) { f.queues().names_capacity = 60'000; }},
           Case{"rows_offset", [](ForgedSegment& f) { f.queues().rows_offset += 1; }},
           Case{"rows_offset", [](ForgedSegment& f) { f.queues().rows_offset = f.size(); }},
           Case{"shards_offset", [](ForgedSegment& f) { f.queues().shards_offset += 64; }},
           Case{"header_bytes", [](ForgedSegment& f) { f.header().header_bytes = 511; }},
       }) {
    SCOPED_TRACE(c.field);
    ForgedSegment forged;
    c.change(forged);
    const auto view = QueuesView::Of(forged.data(), forged.size(), forged.header());
    EXPECT_TRUE(absl::IsFailedPrecondition(view.status())) << view.status();
    EXPECT_THAT(std::string(view.status().message()), HasSubstr(c.field));
  }
  ForgedSegment forged;
  EXPECT_TRUE(QueuesView::Of(forged.data(), forged.size(), forged.header()).ok());
  EXPECT_FALSE(QueuesView::Of(forged.data(), 511, forged.header()).ok());
  EXPECT_FALSE(QueuesView::Of(forged.data(), forged.size() - 1, forged.header()).ok());
}

TEST(HostileSegment, RowsThatMakeNoSenseAreNotQueues) {
  struct Case {
    const char* what;
    void (*change)(ForgedSegment&);
  };
  for (const Case& c : {
           Case{"a slot beyond the last", [](ForgedSegment& f) { f.row(0).slot = 8; }},
           Case{"a slot that overflows", [](ForgedSegment& f) { f.row(0).slot = kMax32; }},
           Case{"a timed one at the end",
                [](ForgedSegment& f) {
                  f.row(0).slot = 6;
                  f.row(0).flags = SEER_QUEUE_TIMED;
                }},
           Case{"a name that is too long", [](ForgedSegment& f) { f.row(0).bytes = 49; }},
           Case{"a name with a NUL", [](ForgedSegment& f) { f.row(0).name[0] = 0; }},
           Case{"a name with a newline", [](ForgedSegment& f) { f.row(0).name[0] = '\n'; }},
           Case{"a channel that is none", [](ForgedSegment& f) { f.row(0).channel = 8; }},
           Case{"a service that is none", [](ForgedSegment& f) { f.row(0).service = 1; }},
           Case{"a service far away", [](ForgedSegment& f) { f.row(0).service = SEER_NO_NAME; }},
           Case{"a service without a name", [](ForgedSegment& f) { f.name(0).bytes = 0; }},
           Case{"a service with too long a name", [](ForgedSegment& f) { f.name(0).bytes = 64; }},
           Case{"a service with an escape", [](ForgedSegment& f) { f.name(0).name[0] = 27; }},
           Case{"an edge to nobody",
                [](ForgedSegment& f) { f.row(0).channel = SEER_CHANNEL_OUTBOUND; }},
           Case{"not in use", [](ForgedSegment& f) { f.row(0).state = SEER_QUEUE_UNUSED; }},
           Case{"retired", [](ForgedSegment& f) { f.row(0).state = SEER_QUEUE_RETIRED; }},
           Case{"in no state", [](ForgedSegment& f) { f.row(0).state = 77; }},
       }) {
    SCOPED_TRACE(c.what);
    ScratchDirectory scratch;
    ForgedSegment forged;
    forged.queues().shards_used = 1;
    forged.AddQueue("a", "bad");
    forged.slot(1, 0) = {9, 1};
    c.change(forged);
    // A good one beside it is read.
    ForgedSegment good;
    good.queues().shards_used = 1;
    good.slot(1, good.AddQueue("b", "good")) = {3, 1};
    forged.WriteTo(scratch / "queues.1.bad");
    good.WriteTo(scratch / "queues.1.good");
    const auto reader = MakeReader(scratch.path());
    EXPECT_EQ(ReadQueue(*reader, "good").depth, 2u);
    EXPECT_EQ(reader->queues().size(), 1u);
  }
}

// Every word of both headers and of some rows, with everything that is nasty.
TEST(HostileSegment, NoValueOfAnyFieldDoesHarm) {
  ScratchDirectory scratch;
  const auto ours = MakeRegistry(InDirectory(scratch.path()));
  ours->AddQueue("ours", Channel::kQueued, "ours")->Enter();
  ForgedSegment pattern;
  Furnish(pattern);
  std::vector<std::size_t> places;
  for (std::size_t at = 0; at < 136; at += 4) places.push_back(at);
  for (std::size_t at = 380; at < pattern.size() && at < 1600; at += 4) places.push_back(at);
  const std::uint64_t nasty[] = {0,
                                 1,
                                 63,
                                 64,
                                 4096,
                                 pattern.size() - 64,
                                 pattern.size(),
                                 0x7fffffff,
                                 0x80000000,
                                 kMax32,
                                 std::uint64_t{1} << 32,
                                 (std::uint64_t{1} << 63) - 1,
                                 std::uint64_t{1} << 63,
                                 kMax64 - 63,
                                 kMax64};
  const std::string file = scratch / "queues.1.x";
  const int width[] = {1, 4, 8};
  std::size_t tried = 0;
  for (const std::size_t at : places) {
    const auto reader = MakeReader(scratch.path());
    for (const std::uint64_t value : nasty) {
      for (const int bytes : width) {
        if (++tried % static_cast<std::size_t>(kSlower) != 0) continue;
        ForgedSegment forged;
        Furnish(forged);
        if (at + static_cast<std::size_t>(bytes) > forged.size()) continue;
        std::memcpy(forged.data() + at, &value, static_cast<std::size_t>(bytes));
        std::filesystem::remove(file);
        forged.WriteTo(file);
        EXPECT_EQ(ReadQueue(*reader, "ours").depth, 1u);
        // And what was good changes into it while it is read.
        std::filesystem::remove(file);
        reader->Read();
        ForgedSegment good;
        Furnish(good);
        good.WriteTo(file);
        reader->Read();
        forged.WriteOver(file);
        reader->Read();
        EXPECT_EQ(ReadQueue(*reader, "ours").depth, 1u);
        for (const QueueReading& queue : reader->Read().queues) {
          EXPECT_GE(queue.depth + std::uint64_t{queue.width}, queue.depth);
        }
      }
    }
  }
}

TEST(HostileSegment, RandomBytesWhereverTheyAreDoNoHarm) {
  ScratchDirectory scratch;
  const auto ours = MakeRegistry(InDirectory(scratch.path()));
  ours->AddQueue("ours", Channel::kQueued, "ours")->Enter();
  std::mt19937 random(7);
  const std::string file = scratch / "queues.1.x";
  const int rounds = 2000 / kSlower;
  auto reader = MakeReader(scratch.path());
  for (int round = 0; round < rounds; ++round) {
    if (round % 50 == 0) {
      std::filesystem::remove(file);
      ForgedSegment forged;
      Furnish(forged);
      forged.WriteTo(file);
      reader = MakeReader(scratch.path());
      reader->Read();
    }
    // Into a file that is mapped: any byte of it, more and more of them.
    const int fd = ::open(file.c_str(), O_WRONLY | O_CLOEXEC);
    for (int i = 0; i < 8; ++i) {
      const auto byte = static_cast<char>(random());
      ASSERT_EQ(::pwrite(fd, &byte, 1, static_cast<off_t>(384 + random() % 1400)), 1);
    }
    ::close(fd);
    EXPECT_EQ(ReadQueue(*reader, "ours").depth, 1u);
    EXPECT_EQ(ReadQueue(*MakeReader(scratch.path()), "ours").depth, 1u);
  }
}

TEST(HostileSegment, WhatIsNoSegmentIsSkippedWithTheReason) {
  ScratchDirectory scratch;
  const auto ours = MakeRegistry(InDirectory(scratch.path()));
  ours->AddQueue("ours", Channel::kQueued, "ours")->Enter();
  ASSERT_EQ(::mkfifo((scratch / "queues.pipe").c_str(), 0644), 0);
  ASSERT_EQ(::mkdir((scratch / "queues.directory").c_str(), 0755), 0);
  ASSERT_EQ(::symlink(ours->path().c_str(), (scratch / "queues.link").c_str()), 0);
  ASSERT_EQ(::symlink("/nowhere", (scratch / "queues.dangling").c_str()), 0);
  scratch.Write("queues.text", std::string(1000, 'x'));
  scratch.Write("queues.huge", "x");
  ASSERT_EQ(::truncate((scratch / "queues.huge").c_str(), off_t{1} << 40), 0);
  {
    ForgedSegment forged;
    Furnish(forged);
    forged.WriteTo(scratch / "queues.cut-off");
    ASSERT_EQ(
        ::truncate((scratch / "queues.cut-off").c_str(), static_cast<off_t>(forged.size() - 64)),
        0);
    forged.WriteTo(scratch / "queues.cut-short");
    ASSERT_EQ(::truncate((scratch / "queues.cut-short").c_str(), 400), 0);
    forged.header().instance[3] = '\n';
    forged.WriteTo(scratch / "queues.instance");
  }
  // These may still become segments.
  scratch.Write("queues.empty", "");
  scratch.Write("queues.beginning", std::string(383, '\0'));
  scratch.Write("queues.zeros", std::string(5000, '\0'));

  const auto reader = MakeReader(scratch.path());
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(ReadQueue(*reader, "ours").depth, 1u);
    EXPECT_EQ(reader->processes().size(), 1u);
  }
  std::vector<std::string> why;
  for (const SkippedSegment& one : reader->skipped()) {
    EXPECT_THAT(std::string(one.why.message()), HasSubstr(one.file));
    why.push_back(one.file.substr(scratch.path().size() + 1) + ": " +
                  std::string(one.why.message()));
  }
  const auto about = [](const char* file, const char* text) {
    return ::testing::AllOf(HasSubstr(file), HasSubstr(text));
  };
  EXPECT_THAT(
      why, ::testing::UnorderedElementsAre(
               about("queues.pipe", "plain file"), about("queues.directory", "plain file"),
               about("queues.link", "cannot open"), about("queues.dangling", "cannot open"),
               about("queues.text", "not a segment"), about("queues.huge", "the limit"),
               about("queues.cut-off", "shards_offset"), about("queues.cut-short", "header_bytes"),
               about("queues.instance", "instance")));
}

TEST(HostileSegment, AFileThatMayNotBeReadIsSkipped) {
  ScratchDirectory scratch;
  ::chmod(scratch.path().c_str(), 0777);
  ForgedSegment().WriteTo(scratch / "queues.1.x");
  ::chmod((scratch / "queues.1.x").c_str(), 0);
  EXPECT_EQ(testing::InChild([&] {
              if (::geteuid() == 0 && ::setuid(65534) != 0) return std::string("setuid");
              const auto reader = MakeReader(scratch.path());
              SEER_CHECK(reader->Read().skipped == 1);
              SEER_CHECK(absl::IsPermissionDenied(reader->skipped()[0].why));
              return std::string();
            }),
            "");
}

// What is never finished must not hide what is.
TEST(HostileSegment, AnyNumberOfHalfMadeFilesHidesNoSegment) {
  ScratchDirectory scratch;
  for (int i = 0; i < 500; ++i) scratch.Write("queues." + std::to_string(i), "");
  const auto reader = MakeReader(scratch.path());
  reader->Read();
  ForgedSegment forged;
  forged.queues().shards_used = 1;
  forged.slot(1, forged.AddQueue("a", "q")) = {3, 1};
  forged.WriteTo(scratch / "queues.new");
  EXPECT_EQ(ReadQueue(*reader, "q").depth, 2u);
  // One of them is finished after all.
  ForgedSegment late;
  late.queues().shards_used = 1;
  late.slot(1, late.AddQueue("b", "late")) = {7, 0};
  late.WriteTo(scratch / "queues.77");
  EXPECT_TRUE(Eventually([&] {
    reader->Read();
    return CountQueues(*reader, "late") == 1;
  }));
  EXPECT_EQ(ReadQueue(*reader, "late").depth, 7u);
}

TEST(HostileSegment, AWholeSparseGigabyteIsReadWithinTheLimit) {
  ScratchDirectory scratch;
  ForgedSegment forged;
  forged.queues().shards_used = kMax32;
  forged.slot(1, forged.AddQueue("a", "q")) = {3, 1};
  // The shards are said to be 65,536 of a line each, nearly all of them a hole.
  forged.queues().slots_capacity = 4;
  forged.queues().shard_stride = 64 * 200;
  forged.queues().shards_capacity = 65536;
  const std::string file = scratch / "queues.1.x";
  forged.WriteTo(file);
  ASSERT_EQ(::truncate(file.c_str(), off_t{1} << 30), 0);
  ReaderOptions options;
  options.directory = scratch.path();
  options.max_counters = 10'000;
  const auto reader = *Reader::Open(options);
  reader->Read();
  ASSERT_EQ(reader->skipped().size(), 1u);
  EXPECT_THAT(std::string(reader->skipped()[0].why.message()), HasSubstr("max_counters"));
}

// While it is read, and at every length.
TEST(HostileSegment, AFileThatIsTruncatedIsSurvivedAndMarkedDead) {
  ScratchDirectory scratch;
  const auto ours = MakeRegistry(InDirectory(scratch.path()));
  ours->AddQueue("ours", Channel::kQueued, "ours")->Enter();
  for (const off_t length : {0, 1, 20, 511, 512, 4095, 4096, 5000, 8192, 20'000}) {
    SCOPED_TRACE(length);
    ForgedSegment::Shape shape;
    shape.shards = 1000;
    ForgedSegment forged(shape);
    forged.queues().shards_used = 999;
    const std::uint32_t slot = forged.AddQueue("a", "q");
    for (std::uint32_t shard = 1; shard < 1000; ++shard) forged.slot(shard, slot) = {10, 4};
    const std::string file = scratch / ("queues.1." + std::to_string(length));
    forged.WriteTo(file);
    const auto reader = MakeReader(scratch.path());
    EXPECT_EQ(ReadQueue(*reader, "q").depth, 5994u);
    ASSERT_EQ(::truncate(file.c_str(), length), 0);
    int died = 0;
    for (int i = 0; i < 4; ++i) {
      const NodeReading& now = reader->Read();
      died += static_cast<int>(now.died);
      EXPECT_EQ(now.counter_errors, 0u);
      for (std::size_t k = 0; k < now.queues.size(); ++k) {
        if (reader->queues()[k].name == "ours") continue;
        EXPECT_EQ(now.queues[k].depth, 0u);
        EXPECT_EQ(now.queues[k].arrivals, 0u);
        EXPECT_EQ(now.queues[k].departures, 0u);
        EXPECT_EQ(now.queues[k].enqueued, 9990u);  // what was read last
      }
    }
    EXPECT_EQ(died, 1);
    EXPECT_EQ(CountQueues(*reader, "q"), 0u);
    EXPECT_EQ(ReadQueue(*reader, "ours").depth, 1u);
    std::filesystem::remove(file);
  }
}

TEST(HostileSegment, OneThatIsTruncatedAndGrownAllTheTimeIsSurvived) {
  ScratchDirectory scratch;
  ForgedSegment::Shape shape;
  shape.shards = 500;
  ForgedSegment forged(shape);
  forged.queues().shards_used = 499;
  const std::uint32_t slot = forged.AddQueue("a", "q");
  for (std::uint32_t shard = 1; shard < 500; ++shard) forged.slot(shard, slot) = {10, 4};
  const std::string file = scratch / "queues.1.x";
  forged.WriteTo(file);
  std::atomic<bool> stop{false};
  std::thread owner([&] {
    std::mt19937 random(3);
    while (!stop.load(std::memory_order_relaxed)) {
      EXPECT_EQ(::truncate(file.c_str(), static_cast<off_t>(random() % forged.size())), 0);
      forged.WriteOver(file);
    }
  });
  for (int i = 0; i < 3000 / kSlower; ++i) {
    const auto reader = MakeReader(scratch.path());
    for (int k = 0; k < 3; ++k) {
      for (const QueueReading& queue : reader->Read().queues) {
        if (queue.depth > 5000) {
          ADD_FAILURE() << "depth " << queue.depth;
          i = 3000;
        }
      }
    }
  }
  stop.store(true, std::memory_order_relaxed);
  owner.join();
}

}  // namespace
}  // namespace seer
