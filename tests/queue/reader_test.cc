#include "seer/queue/reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "tests/queue/forged_segment.h"
#include "tests/queue/sandbox.h"
#include "tests/support/allocations.h"

namespace seer {
namespace {

using ::testing::HasSubstr;
using Life = ProcessInfo::Life;
using testing::Anonymous;
using testing::CountQueues;
using testing::ForgedSegment;
using testing::InDirectory;
using testing::MakeReader;
using testing::MakeRegistry;
using testing::ReaderOf;
using testing::ReadQueue;
using testing::ScratchDirectory;

constexpr std::uint32_t kMax32 = std::numeric_limits<std::uint32_t>::max();

TEST(Reader, OptionsOutOfRangeAreNamed) {
  struct Case {
    const char* field;
    void (*set)(ReaderOptions&);
  };
  for (const Case& c : {
           Case{"max_processes", [](ReaderOptions& o) { o.max_processes = 0; }},
           Case{"max_processes", [](ReaderOptions& o) { o.max_processes = 4097; }},
           Case{"max_counters", [](ReaderOptions& o) { o.max_counters = 0; }},
       }) {
    ReaderOptions options;
    c.set(options);
    const absl::Status status = Reader::Open(options).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.field));
  }
}

TEST(Reader, ArrivalsAndDeparturesAreSinceTheReadingBefore) {
  ScratchDirectory scratch;
  const auto registry = MakeRegistry(InDirectory(scratch.path()));
  const Queue queue = *registry->AddQueue("a", Channel::kQueued, "q");
  for (int i = 0; i < 10; ++i) queue.Enter();
  const auto reader = MakeReader(scratch.path());
  // It may have counted for days.
  QueueReading now = ReadQueue(*reader, "q");
  EXPECT_FALSE(now.counted);
  EXPECT_EQ(now.arrivals, 0u);
  EXPECT_EQ(now.depth, 10u);
  for (int i = 0; i < 4; ++i) queue.Enter();
  for (int i = 0; i < 6; ++i) queue.Leave();
  now = ReadQueue(*reader, "q");
  EXPECT_TRUE(now.counted);
  EXPECT_EQ(now.arrivals, 4u);
  EXPECT_EQ(now.departures, 6u);
  EXPECT_EQ(now.depth, 8u);
  now = ReadQueue(*reader, "q");
  EXPECT_EQ(now.arrivals, 0u);
  EXPECT_EQ(now.departures, 0u);

  // What appears between two readings is counted from its beginning: a queue, and a process.
  const Queue later = *registry->AddQueue("a", Channel::kQueued, "later");
  later.Enter();
  now = ReadQueue(*reader, "later");
  EXPECT_TRUE(now.counted);
  EXPECT_EQ(now.arrivals, 1u);
  const auto second = MakeRegistry(InDirectory(scratch.path()));
  second->AddQueue("a", Channel::kQueued, "second")->Enter();
  now = ReadQueue(*reader, "second");
  EXPECT_TRUE(now.counted);
  EXPECT_EQ(now.arrivals, 1u);
}

TEST(Reader, TheVersionRisesWhenTheQueuesAreOtherOnes) {
  ScratchDirectory scratch;
  const auto reader = MakeReader(scratch.path());
  std::uint64_t version = reader->Read().version;
  EXPECT_EQ(reader->Read().version, version);
  auto registry = MakeRegistry(InDirectory(scratch.path()));
  EXPECT_GT(reader->Read().version, version);
  version = reader->Read().version;
  const Queue queue = *registry->AddQueue("a", Channel::kQueued, "q");
  EXPECT_GT(reader->Read().version, version);
  version = reader->Read().version;
  queue.Enter();
  EXPECT_EQ(reader->Read().version, version);
  ASSERT_TRUE(registry->Retire(queue).ok());
  EXPECT_GT(reader->Read().version, version);
  version = reader->Read().version;
  registry.reset();
  EXPECT_GT(reader->Read().version, version);  // closed
  version = reader->Read().version;            // forgotten
  EXPECT_EQ(reader->Read().version, version);
}

TEST(Reader, AProcessThatEndedIsInOneMoreReadingWithItsLastCounts) {
  ScratchDirectory scratch;
  auto registry = MakeRegistry(InDirectory(scratch.path()));
  const Queue queue = *registry->AddQueue("a", Channel::kQueued, "q");
  const auto reader = MakeReader(scratch.path());
  EXPECT_EQ(ReadQueue(*reader, "q").depth, 0u);
  for (int i = 0; i < 5; ++i) queue.Enter();
  queue.Leave();
  registry.reset();
  const QueueReading last = ReadQueue(*reader, "q");
  ASSERT_EQ(reader->processes().size(), 1u);
  EXPECT_EQ(reader->processes()[0].life, Life::kClosed);
  EXPECT_EQ(last.depth, 0u);  // its requests are gone
  EXPECT_EQ(last.width, 0u);
  EXPECT_EQ(last.arrivals, 5u);
  EXPECT_EQ(last.departures, 1u);
  EXPECT_EQ(last.enqueued, 5u);
  EXPECT_EQ(reader->Read().died, 0u);
  EXPECT_EQ(reader->processes().size(), 0u);
  EXPECT_EQ(reader->queues().size(), 0u);
}

TEST(Reader, ARegistryOfThisProcessThatEndsHasNoHugeCounts) {
  auto registry = MakeRegistry(Anonymous());
  const Queue queue = *registry->AddQueue("a", Channel::kQueued, "q");
  for (int i = 0; i < 5; ++i) queue.Enter();
  queue.Leave();
  const auto reader = ReaderOf(*registry);
  reader->Read();
  registry.reset();  // its memory is zeros from now on
  const NodeReading& now = reader->Read();
  ASSERT_EQ(now.queues.size(), 1u);
  EXPECT_EQ(reader->processes()[0].life, Life::kClosed);
  EXPECT_EQ(now.queues[0].arrivals, 0u);
  EXPECT_EQ(now.queues[0].departures, 0u);
  EXPECT_EQ(now.queues[0].depth, 0u);
  EXPECT_EQ(now.queues[0].enqueued, 5u);  // the last that was seen
  EXPECT_EQ(now.queues[0].dequeued, 1u);
  EXPECT_EQ(now.counter_errors, 0u);
  EXPECT_EQ(reader->Read().queues.size(), 0u);
}

TEST(Reader, ALeaveWithoutAnEnterIsAnErrorOnceAndThenAllowedFor) {
  const auto registry = MakeRegistry(Anonymous());
  const Queue queue = *registry->AddQueue("a", Channel::kQueued, "q");
  const auto reader = ReaderOf(*registry);
  reader->Read();
  for (int i = 0; i < 3; ++i) queue.Leave();
  NodeReading now = reader->Read();
  EXPECT_EQ(now.counter_errors, 3u);
  EXPECT_EQ(now.queues[0].depth, 0u);
  EXPECT_EQ(now.queues[0].width, 0u);
  EXPECT_EQ(now.queues[0].departures, 3u);
  now = reader->Read();
  EXPECT_EQ(now.counter_errors, 0u);
  EXPECT_EQ(now.queues[0].depth, 0u);
  for (int i = 0; i < 2; ++i) queue.Enter();
  now = reader->Read();
  EXPECT_EQ(now.counter_errors, 0u);
  EXPECT_EQ(now.queues[0].depth, 2u);
  EXPECT_EQ(now.queues[0].enqueued, 2u);  // as counted, not as corrected
  for (int i = 0; i < 3; ++i) queue.Leave();
  now = reader->Read();
  EXPECT_EQ(now.counter_errors, 1u);
  EXPECT_EQ(now.queues[0].depth, 0u);
}

TEST(Reader, CountersMayWrap) {
  ScratchDirectory scratch;
  ForgedSegment forged;
  forged.queues().shards_used = 2;
  constexpr std::uint64_t kStart = std::numeric_limits<std::uint64_t>::max() - 2;  // 2^64 - 3
  const std::uint32_t slot = forged.AddQueue("a", "q");
  forged.slot(1, slot) = {kStart, kStart};
  forged.WriteTo(scratch / "queues.1.x");
  const auto reader = MakeReader(scratch.path());
  EXPECT_EQ(ReadQueue(*reader, "q").depth, 0u);
  for (std::uint32_t i = 1; i <= 6; ++i) {
    forged.slot(1, slot).enqueued += 2;
    forged.slot(2, slot).dequeued += 1;
    forged.WriteOver(scratch / "queues.1.x");
    const QueueReading now = ReadQueue(*reader, "q");
    EXPECT_EQ(now.depth, i);
    EXPECT_EQ(now.arrivals, 2u);
    EXPECT_EQ(now.departures, 1u);
    EXPECT_EQ(now.width, 0u);
  }
}

// What no real service does.
TEST(Reader, NumbersBeyondBeliefSaturate) {
  ScratchDirectory scratch;
  ForgedSegment forged;
  forged.queues().shards_used = 2;
  const std::uint32_t slot = forged.AddQueue("a", "q");
  forged.WriteTo(scratch / "queues.1.x");
  const auto reader = MakeReader(scratch.path());
  reader->Read();
  struct Case {
    const char* what;
    std::uint64_t enqueued, dequeued;
    std::uint32_t depth;
  };
  for (const Case& c : {
           Case{"just", kMax32, 0, kMax32},
           Case{"too many", std::uint64_t{kMax32} + 1, 0, kMax32},
           Case{"backwards", 0, 0, 0},
           Case{"the most that is not negative", (std::uint64_t{1} << 63) - 1, 0, kMax32},
           Case{"backwards", 0, 0, 0},
           Case{"the most negative", std::uint64_t{1} << 63, 0, 0},
       }) {
    SCOPED_TRACE(c.what);
    forged.slot(1, slot) = {c.enqueued, c.dequeued};
    forged.WriteOver(scratch / "queues.1.x");
    const QueueReading now = ReadQueue(*reader, "q");
    EXPECT_EQ(now.depth, c.depth);
    EXPECT_EQ(now.width, 0u);
    EXPECT_EQ(now.departures, 0u);
    if (c.enqueued == 0) {
      EXPECT_EQ(now.arrivals, 0u);  // a count that goes down is a lie
    }
  }
}

TEST(Reader, ADirectoryMayComeAndGo) {
  ScratchDirectory scratch;
  const std::string directory = scratch / "seer";
  const auto reader = MakeReader(directory);
  EXPECT_EQ(reader->Read().queues.size(), 0u);
  for (int i = 0; i < 3; ++i) {
    auto registry = MakeRegistry(InDirectory(directory));
    registry->AddQueue("a", Channel::kQueued, "q")->Enter();
    EXPECT_EQ(ReadQueue(*reader, "q").depth, 1u);
    std::filesystem::remove_all(directory);
    EXPECT_EQ(ReadQueue(*reader, "q").depth, 1u);  // it lives; its file is not needed any more
    registry.reset();
    reader->Read();
    EXPECT_EQ(reader->Read().queues.size(), 0u);
  }
}

TEST(Reader, TwoReadersDoNotMindEachOther) {
  ScratchDirectory scratch;
  const auto registry = MakeRegistry(InDirectory(scratch.path()));
  const Queue queue = *registry->AddQueue("a", Channel::kQueued, "q");
  const auto one = MakeReader(scratch.path());
  auto two = MakeReader(scratch.path());
  for (std::uint32_t i = 1; i < 10; ++i) {
    queue.Enter();
    EXPECT_EQ(ReadQueue(*one, "q").depth, i);
    EXPECT_EQ(ReadQueue(*two, "q").depth, i);
    two = MakeReader(scratch.path());  // one that restarts
  }
}

TEST(Reader, BeyondMaxProcessesOneWaitsForAPlace) {
  ScratchDirectory scratch;
  std::vector<std::unique_ptr<QueueRegistry>> registries;
  for (int i = 0; i < 3; ++i) {
    registries.push_back(MakeRegistry(InDirectory(scratch.path())));
    registries.back()->AddQueue("a", Channel::kQueued, "q" + std::to_string(i))->Enter();
  }
  ReaderOptions options;
  options.directory = scratch.path();
  options.max_processes = 2;
  const auto reader = *Reader::Open(options);
  EXPECT_EQ(reader->Read().queues.size(), 2u);
  ASSERT_EQ(reader->skipped().size(), 1u);
  EXPECT_TRUE(absl::IsResourceExhausted(reader->skipped()[0].why));
  EXPECT_THAT(std::string(reader->skipped()[0].why.message()), HasSubstr("max_processes"));
  const std::string waiting = reader->skipped()[0].file;

  // One that is read ends: the third one takes its place.
  int ended = 0;
  for (int i = 0; i < 3; ++i) {
    if (registries[static_cast<std::size_t>(i)]->path() == waiting) continue;
    registries[static_cast<std::size_t>(i)].reset();
    ended = i;
    break;
  }
  ASSERT_TRUE(testing::Eventually(
      [&] { return reader->Read().queues.size() == 2 && reader->skipped().empty(); }));
  EXPECT_EQ(CountQueues(*reader, "q" + std::to_string(ended)), 0u);
  bool found = false;
  for (const ProcessInfo& process : reader->processes()) found |= process.file == waiting;
  EXPECT_TRUE(found);
  // It was there before: what it has counted so far did not arrive in this tick.
  std::uint64_t arrivals = 0;
  for (const QueueReading& queue : reader->Read().queues) arrivals += queue.arrivals;
  EXPECT_EQ(arrivals, 0u);
}

TEST(Reader, BeyondMaxCountersAProcessIsSkippedAndTheOthersAreRead) {
  ScratchDirectory scratch;
  const auto small = MakeRegistry(InDirectory(scratch.path()));
  const auto large = MakeRegistry(InDirectory(scratch.path()));
  small->AddQueue("a", Channel::kQueued, "small")->Enter();
  for (int i = 0; i < 100; ++i) {
    large->AddQueue("b", Channel::kQueued, "large" + std::to_string(i))->Enter();
  }
  ReaderOptions options;
  options.directory = scratch.path();
  options.max_counters = 50;
  const auto reader = *Reader::Open(options);
  EXPECT_EQ(ReadQueue(*reader, "small").depth, 1u);
  EXPECT_EQ(ReadQueue(*reader, "large7").depth, 0u);
  ASSERT_EQ(reader->skipped().size(), 1u);
  EXPECT_EQ(reader->skipped()[0].file, large->path());
  EXPECT_THAT(std::string(reader->skipped()[0].why.message()), HasSubstr("max_counters"));
  EXPECT_EQ(reader->Read().skipped, 1u);
}

TEST(Reader, ThousandsOfQueuesMayBeRetiredAtOnce) {
  RegistryOptions options = Anonymous();
  options.max_queues = 65536;
  options.max_threads = 8;
  const auto registry = MakeRegistry(options);
  std::vector<Queue> queues;
  for (int i = 0; i < 8000 / testing::kSlower; ++i) {
    queues.push_back(*registry->AddQueue("a", Channel::kQueued, "q" + std::to_string(i)));
  }
  const auto reader = ReaderOf(*registry);
  EXPECT_EQ(reader->Read().queues.size(), queues.size());
  queues[1].Enter();
  for (std::size_t i = 0; i < queues.size(); i += 2) {
    ASSERT_TRUE(registry->Retire(queues[i]).ok());
  }
  EXPECT_EQ(reader->Read().queues.size(), queues.size() / 2);
  EXPECT_EQ(ReadQueue(*reader, "q1").depth, 1u);
}

TEST(Reader, AnotherMinorVersionIsReadAndAnotherMajorOneIsNot) {
  ScratchDirectory scratch;
  const auto registry = MakeRegistry(InDirectory(scratch.path()));
  registry->AddQueue("a", Channel::kQueued, "ours")->Enter();
  ForgedSegment::Shape shape;
  shape.header_bytes += 200;  // fields that we do not know
  ForgedSegment newer(shape);
  newer.header().minor = 7;
  newer.queues().shards_used = 1;
  newer.slot(1, newer.AddQueue("b", "newer")).enqueued = 3;
  newer.WriteTo(scratch / "queues.2.newer");
  ForgedSegment other;
  other.header().major = 2;
  other.AddQueue("c", "other");
  other.WriteTo(scratch / "queues.3.other");

  const auto reader = MakeReader(scratch.path());
  EXPECT_EQ(ReadQueue(*reader, "ours").depth, 1u);
  EXPECT_EQ(ReadQueue(*reader, "newer").depth, 3u);
  EXPECT_EQ(CountQueues(*reader, "other"), 0u);
  ASSERT_EQ(reader->skipped().size(), 1u);
  EXPECT_EQ(reader->skipped()[0].file, scratch / "queues.3.other");
  EXPECT_THAT(std::string(reader->skipped()[0].why.message()), HasSubstr("2.0"));
  EXPECT_THAT(std::string(reader->skipped()[0].why.message()), HasSubstr("1.x"));
  // It is gone when its file is.
  std::filesystem::remove(scratch / "queues.3.other");
  EXPECT_EQ(reader->Read().skipped, 0u);
}

TEST(Reader, SegmentsOfOtherKindsAreNotItsBusiness) {
  ScratchDirectory scratch;
  ForgedSegment spans;
  spans.header().kind = SEER_SEGMENT_SPANS;
  spans.WriteTo(scratch / "spans.1.x");
  scratch.Write("README", "not a segment");
  const auto reader = MakeReader(scratch.path());
  EXPECT_EQ(reader->Read().skipped, 0u);
  spans.WriteTo(scratch / "queues.1.x");
  EXPECT_EQ(reader->Read().skipped, 1u);
  EXPECT_THAT(std::string(reader->skipped()[0].why.message()), HasSubstr("kind"));
}

TEST(Reader, ReadingAllocatesNothingWhileTheQueuesStayTheSame) {
  ScratchDirectory scratch;
  std::vector<std::unique_ptr<QueueRegistry>> registries;
  std::vector<Queue> queues;
  for (int i = 0; i < 5; ++i) {
    registries.push_back(MakeRegistry(i == 0 ? Anonymous() : InDirectory(scratch.path())));
    for (int k = 0; k < 20; ++k) {
      queues.push_back(*registries.back()->AddQueue("a", Channel::kQueued, std::to_string(k)));
    }
    const TimedQueue timed = *registries.back()->AddTimedQueue("a", Channel::kRunning, "t");
    timed.Leave(timed.Enter());
  }
  scratch.Write("queues.1.garbage", std::string(1000, 'x'));
  const auto reader = MakeReader(scratch.path());
  ASSERT_TRUE(reader->Add(*registries[0]).ok());
  for (int i = 0; i < 3; ++i) reader->Read();
  testing::Allocations allocations;
  for (int i = 0; i < 100; ++i) {
    for (const Queue queue : queues) queue.Enter();
    queues[3].Leave();
    reader->Read();
  }
  EXPECT_EQ(allocations.count(), 0u);
  EXPECT_EQ(reader->Read().skipped, 1u);
}

}  // namespace
}  // namespace seer
