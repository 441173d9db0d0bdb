#include "queue/sweep.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <limits>
#include <thread>
#include <vector>

#include "seer/core/internal/shared_word.h"
#include "tests/queue/forged_segment.h"
#include "tests/queue/sandbox.h"

namespace seer {
namespace {

using internal::AddOwned;
using internal::QueuesView;
using internal::SlotCount;
using internal::SweepSlots;
using internal::SweepTimed;
using internal::TimedCount;
using testing::ForgedSegment;
using testing::kSlower;

std::vector<SlotCount> Sweep(const ForgedSegment& forged, std::uint32_t slots) {
  std::vector<SlotCount> counts((slots + std::size_t{3}) / 4 * 4);
  SweepSlots(forged.View(), slots, counts.data());
  return counts;
}

TEST(SweepSlots, ASlotIsTheSumOfItsShards) {
  for (const std::uint32_t shards : {1u, 2u, 3u, 8u, 20u, 65u}) {
    for (const std::uint32_t slots : {1u, 3u, 4u, 5u, 64u}) {
      SCOPED_TRACE(std::to_string(shards) + " shards, " + std::to_string(slots) + " slots");
      ForgedSegment::Shape shape;
      shape.shards = shards;
      shape.slots = slots;
      const ForgedSegment forged(shape);
      std::vector<SlotCount> truth(slots);
      for (std::uint32_t shard = 0; shard < shards; ++shard) {
        for (std::uint32_t slot = 0; slot < slots; ++slot) {
          forged.slot(shard, slot) = {1000u * shard + 10 * slot + 7, 900u * shard + slot};
          truth[slot].enqueued += 1000u * shard + 10 * slot + 7;
          truth[slot].dequeued += 900u * shard + slot;
        }
      }
      forged.queues().shards_used = (shards - 1) | SEER_SHARED_SHARD_USED;
      const std::vector<SlotCount> counts = Sweep(forged, slots);
      for (std::uint32_t slot = 0; slot < slots; ++slot) {
        EXPECT_EQ(counts[slot].enqueued, truth[slot].enqueued) << slot;
        EXPECT_EQ(counts[slot].dequeued, truth[slot].dequeued) << slot;
        EXPECT_EQ(counts[slot].dequeued_before, truth[slot].dequeued) << slot;
      }
    }
  }
}

TEST(SweepSlots, OnlyShardsInUseAreRead) {
  const ForgedSegment forged;
  for (std::uint32_t shard = 0; shard < 5; ++shard) forged.slot(shard, 2).enqueued = 1u << shard;
  struct Case {
    std::uint32_t used;
    std::uint64_t sum;
  };
  for (const Case& c : {Case{0, 0}, Case{1, 2}, Case{2, 6}, Case{4, 30},
                        Case{SEER_SHARED_SHARD_USED, 1}, Case{SEER_SHARED_SHARD_USED | 3, 15},
                        // More than there are: a lie.
                        Case{5, 30}, Case{0x7fffffff, 30}, Case{0xffffffff, 31}}) {
    SCOPED_TRACE(c.used);
    forged.queues().shards_used = c.used;
    EXPECT_EQ(Sweep(forged, 8)[2].enqueued, c.sum);
  }
}

TEST(SweepSlots, SumsWrap) {
  const ForgedSegment forged;
  constexpr std::uint64_t kNearlyAll = std::numeric_limits<std::uint64_t>::max() - 2;  // 2^64 - 3
  forged.queues().shards_used = 2;
  forged.slot(1, 0) = {kNearlyAll, kNearlyAll};
  for (int i = 0; i < 10; ++i) {
    AddOwned(&forged.slot(1, 0).enqueued, 1);
    AddOwned(&forged.slot(2, 0).enqueued, 1);
    SlotCount count = Sweep(forged, 1)[0];
    EXPECT_EQ(count.enqueued - count.dequeued, 2u) << i;
    AddOwned(&forged.slot(1, 0).dequeued, 1);
    AddOwned(&forged.slot(1, 0).dequeued, 1);  // of the other's too
    count = Sweep(forged, 1)[0];
    EXPECT_EQ(count.enqueued - count.dequeued, 0u) << i;
    EXPECT_EQ(count.dequeued, count.dequeued_before);
  }
}

TEST(SweepSlots, NoSlotsAreNothing) {
  const ForgedSegment forged;
  SweepSlots(forged.View(), 0, nullptr);
}

// Shards appear while they are swept, each with the enter that belongs to a leave elsewhere: what a
// reader sees that is descheduled between its passes. The truth is between 0 and 1 at each instant.
TEST(SweepSlotsConcurrency, AnEnterInANewShardIsSeenWithItsLeave) {
  const int rounds = 20 / kSlower;
  ForgedSegment::Shape shape;
  shape.shards = 300;
  shape.slots = 4;
  for (int round = 0; round < rounds; ++round) {
    const ForgedSegment forged(shape);
    const QueuesView view = forged.View();
    forged.queues().shards_used = 1;
    std::atomic<std::uint32_t> entered{1};
    std::atomic<std::uint32_t> left{1};
    std::thread enters([&] {
      for (std::uint32_t shard = 2; shard < shape.shards; ++shard) {
        internal::StoreRelease(&forged.queues().shards_used, shard);
        AddOwned(&forged.slot(shard, 1).enqueued, 1);
        entered.store(shard, std::memory_order_release);
        while (left.load(std::memory_order_acquire) < shard) std::this_thread::yield();
      }
    });
    std::thread leaves([&] {
      for (std::uint32_t shard = 2; shard < shape.shards; ++shard) {
        while (entered.load(std::memory_order_acquire) < shard) std::this_thread::yield();
        AddOwned(&forged.slot(1, 1).dequeued, 1);
        left.store(shard, std::memory_order_release);
      }
    });
    SlotCount counts[4];
    do {
      SweepSlots(view, 2, counts);
      const auto low = static_cast<std::int64_t>(counts[1].enqueued - counts[1].dequeued);
      const auto high = static_cast<std::int64_t>(counts[1].enqueued - counts[1].dequeued_before);
      ASSERT_GE(high, 0);
      ASSERT_LE(low, 1);
      ASSERT_LE(low, high);
    } while (counts[1].dequeued < shape.shards - 2);
    enters.join();
    leaves.join();
  }
}

// Writers that never rest, at a rate where no queue holds still for a whole sweep of many shards.
TEST(SweepSlotsConcurrency, TheTruthIsWithinTheWidth) {
  const int sweeps = 200'000 / kSlower;
  ForgedSegment::Shape shape;
  shape.shards = 33;
  const ForgedSegment forged(shape);
  const QueuesView view = forged.View();
  forged.queues().shards_used = 32;
  std::atomic<bool> stop{false};
  const auto writer = [&](std::uint32_t shard) {
    while (!stop.load(std::memory_order_relaxed)) {
      // Up to 2 in the queue, and the leaves in another shard than the enters.
      AddOwned(&forged.slot(shard, 0).enqueued, 1);
      AddOwned(&forged.slot(shard, 0).enqueued, 1);
      AddOwned(&forged.slot(shard + 1, 0).dequeued, 1);
      AddOwned(&forged.slot(shard + 1, 0).dequeued, 1);
    }
  };
  std::thread one(writer, 1), two(writer, 31);
  int exact = 0;
  SlotCount counts[4];
  for (int i = 0; i < sweeps; ++i) {
    SweepSlots(view, 1, counts);
    const auto low = static_cast<std::int64_t>(counts[0].enqueued - counts[0].dequeued);
    const auto high = static_cast<std::int64_t>(counts[0].enqueued - counts[0].dequeued_before);
    exact += low == high;
    if (low > 4 || high < 0 || low > high) {
      ADD_FAILURE() << "depth from " << low << " to " << high << ", the truth is 0 to 4";
      break;
    }
  }
  stop.store(true, std::memory_order_relaxed);
  one.join();
  two.join();
  ::testing::Test::RecordProperty("exact_per_mille", static_cast<int>(1000LL * exact / sweeps));
}

// ---- Timed queues.

void Change(const ForgedSegment& forged, std::uint32_t shard, std::uint32_t slot,
            std::uint64_t enqueued, std::uint64_t dequeued) {
  seer_timed_slots& timed = forged.timed(shard, slot);
  AddOwned(&timed.sequence, 1);
  AddOwned(&forged.slot(shard, slot).enqueued, enqueued);
  AddOwned(&timed.entered_sum, 10 * enqueued);
  AddOwned(&forged.slot(shard, slot).dequeued, dequeued);
  AddOwned(&timed.left_sum, 17 * dequeued);
  AddOwned(&timed.left_entered_sum, 10 * dequeued);
  AddOwned(&timed.sequence, 1);
}

TEST(SweepTimed, SumsAreOfAllShards) {
  const ForgedSegment forged;
  forged.queues().shards_used = 4;
  Change(forged, 1, 1, 5, 2);
  Change(forged, 2, 1, 7, 3);
  Change(forged, 4, 1, 0, 4);  // 3 has not counted at all
  TimedCount count;
  ASSERT_TRUE(SweepTimed(forged.View(), 1, &count));
  EXPECT_EQ(count.enqueued, 12u);
  EXPECT_EQ(count.dequeued, 9u);
  EXPECT_EQ(count.entered_sum, 120u);
  EXPECT_EQ(count.left_sum, 153u);
  EXPECT_EQ(count.left_entered_sum, 90u);
  EXPECT_EQ(count.shared, 0u);
}

TEST(SweepTimed, CountsWithoutTimesAreTold) {
  const ForgedSegment forged;
  forged.slot(0, 1) = {3, 2};
  TimedCount count;
  ASSERT_TRUE(SweepTimed(forged.View(), 1, &count));
  EXPECT_EQ(count.shared, 0u);  // not in use
  forged.queues().shards_used = SEER_SHARED_SHARD_USED;
  ASSERT_TRUE(SweepTimed(forged.View(), 1, &count));
  EXPECT_EQ(count.shared, 5u);
}

TEST(SweepTimed, AShardThatIsBeingChangedIsNotBelieved) {
  const ForgedSegment forged;
  forged.queues().shards_used = 2;
  Change(forged, 1, 0, 5, 2);
  Change(forged, 2, 0, 5, 2);
  TimedCount count;
  ASSERT_TRUE(SweepTimed(forged.View(), 0, &count));
  AddOwned(&forged.timed(2, 0).sequence, 1);  // its thread was killed here
  EXPECT_FALSE(SweepTimed(forged.View(), 0, &count));
}

TEST(SweepTimedConcurrency, WhatIsReadBelongsTogether) {
  const int sweeps = 500'000 / kSlower;
  const ForgedSegment forged;
  const QueuesView view = forged.View();
  forged.queues().shards_used = 2;
  std::atomic<bool> stop{false};
  const auto writer = [&](std::uint32_t shard) {
    while (!stop.load(std::memory_order_relaxed)) {
      Change(forged, shard, 3, 1, 0);
      Change(forged, shard, 3, 0, 1);
      for (volatile int i = 0; i < 50; i = i + 1) {
      }
    }
  };
  std::thread one(writer, 1), two(writer, 2);
  int whole = 0;
  std::uint64_t seen = 0;  // goes on until the writers have done something
  for (int i = 0; i < sweeps || seen < 1000; ++i) {
    TimedCount count;
    if (!SweepTimed(view, 3, &count)) continue;
    ++whole;
    seen = count.enqueued;
    if (count.entered_sum != 10 * count.enqueued || count.left_sum != 17 * count.dequeued ||
        count.left_entered_sum != 10 * count.dequeued || count.enqueued - count.dequeued > 2) {
      ADD_FAILURE() << count.enqueued << " " << count.entered_sum << " " << count.dequeued << " "
                    << count.left_sum << " " << count.left_entered_sum;
      break;
    }
  }
  stop.store(true, std::memory_order_relaxed);
  one.join();
  two.join();
  EXPECT_GT(whole, 0);
}

}  // namespace
}  // namespace seer
