// Timed queues: mean depth and mean wait against models.
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "queue/reader_process.h"
#include "queue/stamps.h"
#include "tests/queue/forged_segment.h"
#include "tests/queue/sandbox.h"

namespace seer {
namespace {

using internal::ReaderProcess;
using testing::Anonymous;
using testing::ForgedSegment;
using testing::kSlower;
using testing::MakeRegistry;
using testing::ReaderOf;
using testing::ReadQueue;

// So much time that the edges of a reading do not matter.
void LetTimePass() {
  const std::uint64_t until = internal::StampNow(SEER_STAMP_MONOTONIC) + 200'000;
  while (internal::StampNow(SEER_STAMP_MONOTONIC) < until) {
  }
}

// A writer with stamps of its own choice, in forged memory: CLOCK_MONOTONIC, relative to a start.
class Writer {
 public:
  Writer(const ForgedSegment& forged, std::uint32_t shard, std::uint32_t slot)
      : slot_(forged.slot(shard, slot)), timed_(forged.timed(shard, slot)) {}
  void Enter(std::uint64_t stamp) {
    timed_.sequence += 2;
    slot_.enqueued += 1;
    timed_.entered_sum += stamp;
  }
  void Leave(std::uint64_t stamp, std::uint64_t entered) {
    timed_.sequence += 2;
    slot_.dequeued += 1;
    timed_.left_sum += stamp;
    timed_.left_entered_sum += entered;
  }

 private:
  seer_slot& slot_;
  seer_timed_slots& timed_;
};

// The reader takes the time of each reading itself; the truth is computed for the shortest and the
// longest time it can have been, which differ by what a reading takes.
class TimedModel : public ::testing::Test {
 protected:
  TimedModel() : slot_(forged_.AddQueue("a", "t", true)) { forged_.queues().shards_used = 4; }

  static std::uint64_t Now() { return internal::StampNow(SEER_STAMP_MONOTONIC); }
  QueueReading Read() {
    if (!process_) {
      process_ = std::make_unique<ReaderProcess>(forged_.View(), SEER_STAMP_MONOTONIC, true);
    }
    process_->Refresh();
    QueueReading reading;
    NodeReading totals;
    read_from_ = Now();
    process_->Sweep();
    read_to_ = Now();
    process_->Read(false, &reading, &totals);
    return reading;
  }

  ForgedSegment forged_;
  const std::uint32_t slot_;
  std::unique_ptr<ReaderProcess> process_;
  std::uint64_t read_from_ = 0, read_to_ = 0;  // the last reading was taken between these
};

TEST_F(TimedModel, TheFirstReadingHasNoMean) {
  EXPECT_FALSE(Read().timed);
  EXPECT_TRUE(Read().timed);
}

TEST_F(TimedModel, MeansAreThoseOfTheModel) {
  std::mt19937 random(5);
  std::vector<Writer> writers;
  for (std::uint32_t shard = 1; shard <= 4; ++shard) writers.emplace_back(forged_, shard, slot_);
  const auto any = [&]() -> Writer& { return writers[random() % 4]; };
  std::vector<std::uint64_t> in;  // stamps at which those in the queue have entered
  Read();
  int timed = 0;
  for (int tick = 0; tick < 200; ++tick) {
    const std::uint64_t from_low = read_from_, from_high = read_to_;
    // Events at made-up stamps after the reading before; the reading after comes later than these.
    std::uint64_t at = from_high;
    double area = 0;  // under the depth from from_high to `at`
    double waited = 0;
    int left = 0;
    const std::size_t depth_before = in.size();
    const int events = static_cast<int>(random() % 20);
    for (int i = 0; i < events; ++i) {
      const std::uint64_t step = random() % 50 + (i == 0 ? 50'000 : 0);
      area += static_cast<double>(step) * static_cast<double>(in.size());
      at += step;
      if (in.empty() || random() % 2 == 0) {
        any().Enter(at);
        in.push_back(at);
      } else {
        const std::size_t which = random() % in.size();
        any().Leave(at, in[which]);
        waited += static_cast<double>(at - in[which]);
        ++left;
        in.erase(in.begin() + static_cast<std::ptrdiff_t>(which));
      }
    }
    while (Now() <= at) {
    }
    const QueueReading reading = Read();
    EXPECT_EQ(reading.depth, in.size());
    if (!reading.timed) continue;  // this thread was kept from reading for long
    ++timed;
    if (left == 0) {
      EXPECT_EQ(reading.mean_wait_ns, 0);
    } else {
      EXPECT_NEAR(reading.mean_wait_ns, waited / left, 1e-6 * waited + 1e-9);
    }
    // mean = (before * depth_before + area + after * depth) / elapsed, for all that it can be.
    const auto total = [&](std::uint64_t from, std::uint64_t to) {
      return static_cast<double>(from_high - from) * static_cast<double>(depth_before) + area +
             static_cast<double>(to - at) * static_cast<double>(in.size());
    };
    const auto elapsed = [](std::uint64_t from, std::uint64_t to) {
      return static_cast<double>(to - from);
    };
    EXPECT_GE(reading.mean_depth * elapsed(from_low, read_to_), total(from_high, read_from_) - 1);
    EXPECT_LE(reading.mean_depth * elapsed(from_high, read_from_), total(from_low, read_to_) + 1);
  }
  EXPECT_GT(timed, 100);
}

TEST_F(TimedModel, AnIntervalThatIsAllEdgesHasNoMean) {
  Writer writer(forged_, 1, slot_);
  Read();
  int timed = 0;
  for (int i = 0; i < 1000; ++i) {
    writer.Enter(Now());
    const QueueReading reading = Read();
    // Where there is one, it is right nevertheless.
    if (reading.timed) {
      ++timed;
      EXPECT_LE(reading.mean_depth, i + 1.1);
      EXPECT_GE(reading.mean_depth, i * 0.9);
    }
  }
  LetTimePass();
  EXPECT_NEAR(Read().mean_depth, 1000, 1e-3);
  ::testing::Test::RecordProperty("timed", timed);
}

TEST_F(TimedModel, WhatIsSeenHalfIsNotLostForTheNextReading) {
  Writer writer(forged_, 1, slot_);
  writer.Enter(Now());
  Read();
  forged_.timed(1, slot_).sequence += 1;  // in the middle of a change
  EXPECT_FALSE(Read().timed);
  forged_.timed(1, slot_).sequence += 1;
  EXPECT_FALSE(Read().timed);  // nothing to compare with
  const QueueReading reading = Read();
  EXPECT_TRUE(reading.timed);
  EXPECT_NEAR(reading.mean_depth, 1, 1e-6);
}

TEST_F(TimedModel, CountsWithoutStampsMeanNoMeanAndAreForgivenLater) {
  Writer writer(forged_, 1, slot_);
  writer.Enter(Now());
  Read();
  EXPECT_NEAR(Read().mean_depth, 1, 1e-6);
  // Two threads beyond max_threads enter: the mean of this tick is unknown.
  forged_.queues().shards_used |= SEER_SHARED_SHARD_USED;
  forged_.slot(0, slot_).enqueued += 2;
  EXPECT_FALSE(Read().timed);
  // As long as they stay the depth is 3, and known again.
  QueueReading reading = Read();
  EXPECT_TRUE(reading.timed);
  EXPECT_EQ(reading.depth, 3u);
  EXPECT_NEAR(reading.mean_depth, 3, 1e-6);
  // One leaves through a thread that has a shard.
  writer.Leave(Now(), Now());
  Read();
  reading = Read();
  EXPECT_EQ(reading.depth, 2u);
  EXPECT_NEAR(reading.mean_depth, 2, 1e-6);
  forged_.slot(0, slot_).dequeued += 1;
  EXPECT_FALSE(Read().timed);
  EXPECT_NEAR(Read().mean_depth, 1, 1e-6);
}

TEST_F(TimedModel, NoNumberIsAbsurdWhateverTheSumsAre) {
  std::mt19937_64 random(9);
  for (int i = 0; i < 2000; ++i) {
    forged_.slot(1, slot_) = {random(), random()};
    forged_.timed(1, slot_) = {random(), random(), random(), random() & ~std::uint64_t{1}};
    const QueueReading reading = Read();
    EXPECT_GE(reading.mean_depth, 0);
    EXPECT_GE(reading.mean_wait_ns, 0);
    EXPECT_TRUE(std::isfinite(reading.mean_depth) && std::isfinite(reading.mean_wait_ns));
  }
}

TEST_F(TimedModel, AClockThatThisMachineCannotReadMeansNoMean) {
  for (const std::uint32_t source : {0u, 77u, 0xffffffffu}) {
    ReaderProcess process(forged_.View(), source, true);
    process.Refresh();
    for (int i = 0; i < 3; ++i) {
      QueueReading reading;
      NodeReading totals;
      process.Sweep();
      process.Read(false, &reading, &totals);
      EXPECT_FALSE(reading.timed);
      EXPECT_EQ(reading.depth, 0u);
    }
  }
}

// ---- The real thing.

TEST(TimedQueue, ManyOfThemKeepTheirOwnTimes) {
  const auto registry = MakeRegistry(Anonymous());
  std::vector<TimedQueue> queues;
  for (int i = 0; i < 50; ++i) {
    // Untimed ones in between, and some that go again.
    ASSERT_TRUE(registry->AddQueue("a", Channel::kQueued, "u" + std::to_string(i)).ok());
    queues.push_back(*registry->AddTimedQueue("a", Channel::kQueued, "t" + std::to_string(i)));
    for (int k = 0; k < i; ++k) static_cast<void>(queues.back().Enter());
  }
  const auto reader = ReaderOf(*registry);
  reader->Read();
  for (int i = 0; i < 50; i += 3) {
    ASSERT_TRUE(registry->Retire(queues[static_cast<std::size_t>(i)]).ok());
  }
  reader->Read();
  const NodeReading& now = reader->Read();
  std::size_t timed = 0;
  for (std::size_t i = 0; i < now.queues.size(); ++i) {
    const QueueInfo& info = reader->queues()[i];
    EXPECT_EQ(now.queues[i].timed, info.timed);
    if (!info.timed) continue;
    ++timed;
    EXPECT_NEAR(now.queues[i].mean_depth, std::stod(info.name.substr(1)), 1e-6) << info.name;
  }
  EXPECT_EQ(timed, 33u);
}

TEST(TimedQueue, ThreadsBeyondTheShardsMeanNoMean) {
  RegistryOptions options = Anonymous();
  options.max_threads = 1;
  const auto registry = MakeRegistry(options);
  const TimedQueue queue = *registry->AddTimedQueue("a", Channel::kQueued, "t");
  const TimedQueue::Entry mine = queue.Enter();
  const auto reader = ReaderOf(*registry);
  reader->Read();
  EXPECT_TRUE(ReadQueue(*reader, "t").timed);
  TimedQueue::Entry other;
  std::thread([&] { other = queue.Enter(); }).join();
  EXPECT_FALSE(ReadQueue(*reader, "t").timed);
  QueueReading now = ReadQueue(*reader, "t");
  EXPECT_TRUE(now.timed);
  EXPECT_NEAR(now.mean_depth, 2, 1e-6);
  queue.Leave(other);
  queue.Leave(mine);
  LetTimePass();
  now = ReadQueue(*reader, "t");
  EXPECT_TRUE(now.timed);
  EXPECT_GT(now.mean_wait_ns, 0);
  now = ReadQueue(*reader, "t");
  EXPECT_NEAR(now.mean_depth, 0, 1e-6);
}

TEST(TimedQueueConcurrency, MeansStayWithinWhatTheWritersDo) {
  const auto registry = MakeRegistry(Anonymous());
  const TimedQueue queue = *registry->AddTimedQueue("a", Channel::kQueued, "t");
  std::atomic<bool> stop{false};
  constexpr int kThreads = 3;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      while (!stop.load(std::memory_order_relaxed)) {
        const TimedQueue::Entry first = queue.Enter();
        const TimedQueue::Entry second = queue.Enter();
        queue.Leave(first);
        queue.Leave(second);
      }
    });
  }
  const auto reader = ReaderOf(*registry);
  int timed = 0;
  std::uint64_t departures = 0;
  const std::uint64_t wanted = 200'000 / kSlower;
  while (departures < wanted || timed == 0) {
    LetTimePass();
    const QueueReading now = ReadQueue(*reader, "t");
    departures += now.departures;
    EXPECT_LE(now.depth, 2u * kThreads);
    if (!now.timed) continue;
    ++timed;
    // Each thread is in the queue twice at most. But one that was put aside for a second between
    // its stamp and its count brings that second into a fifth of a millisecond.
    if (now.mean_wait_ns > 10e9 || now.mean_depth > 2 * kThreads * 10'000) {
      ADD_FAILURE() << "mean depth " << now.mean_depth << ", wait " << now.mean_wait_ns;
      break;
    }
  }
  stop.store(true, std::memory_order_relaxed);
  for (std::thread& thread : threads) thread.join();
  reader->Read();
  reader->Read();
  EXPECT_NEAR(ReadQueue(*reader, "t").mean_depth, 0, 1e-6);
}

}  // namespace
}  // namespace seer
