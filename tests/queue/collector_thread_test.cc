#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "seer/queue/collector.h"
#include "seer/queue/registry.h"
#include "tests/queue/collector_fixture.h"

namespace seer {
namespace {

using std::chrono::seconds;
using testing::kStart;

// The collector's own thread. The clock stands still until the test moves it.

class CollectorConcurrency : public testing::CollectorFixture {
 protected:
  CollectorConcurrency() { options_.period = *TickPeriod::FromNs(TickPeriod::kMinNs); }

  absl::Status Start(Collector& collector, std::function<void(const Collection&)> also = nullptr) {
    return collector.Start([this, also](const Collection& now) {
      {
        std::lock_guard<std::mutex> lock(mutex_);
        seen_.push_back(now.snapshot);
        changed_.push_back(now.topology_changed);
      }
      if (also != nullptr) also(now);
      more_.notify_all();
    });
  }
  // Waits for the `count`th snapshot since the beginning.
  Snapshot Wait(std::size_t count) {
    std::unique_lock<std::mutex> lock(mutex_);
    more_.wait(lock, [&] { return seen_.size() >= count; });
    return seen_[count - 1];
  }
  std::size_t Seen() {
    std::lock_guard<std::mutex> lock(mutex_);
    return seen_.size();
  }

  std::mutex mutex_;
  std::condition_variable more_;
  std::vector<Snapshot> seen_;
  std::vector<bool> changed_;
};

TEST_F(CollectorConcurrency, ItsThreadMakesOneSnapshotPerTickThatPasses) {
  const auto process = Process("cart-0");
  const Queue queued = *process->AddQueue("cart", Channel::kQueued);
  const auto collector = Make();
  ASSERT_TRUE(Start(*collector).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(Start(*collector)));
  clock_.Advance(TickPeriod::kMinNs);
  const Snapshot first = Wait(1);
  queued.Enter();
  clock_.Advance(4 * TickPeriod::kMinNs);
  const Snapshot second = Wait(2);
  EXPECT_EQ(second.tick, first.tick + 4);
  EXPECT_EQ(second.health.missed_ticks, 3u);
  EXPECT_EQ(second.instances.Get(InstanceId(0), Channel::kQueued)->arrivals, 1u);
  collector->Stop();
  EXPECT_TRUE(changed_[0]);
  EXPECT_FALSE(changed_[1]);
  clock_.Advance(4 * TickPeriod::kMinNs);
  EXPECT_EQ(collector->Tick().tick, second.tick + 4) << "by hand, once it has stopped";
  EXPECT_EQ(Seen(), 2u);
  ASSERT_TRUE(Start(*collector).ok()) << "and again";
  clock_.Advance(TickPeriod::kMinNs);
  Wait(3);
}

// Tells how often it was read.
class CountingClock final : public Clock {
 public:
  std::int64_t NowNs() const override {
    reads.fetch_add(1, std::memory_order_relaxed);
    return clock.NowNs();
  }
  ManualClock clock{kStart};
  mutable std::atomic<int> reads{0};
};

TEST_F(CollectorConcurrency, ItLooksSeveralTimesDuringATick) {
  CountingClock clock;
  options_.clock = &clock;
  options_.samples_per_tick = 4;
  const auto process = Process("cart-0");
  const Queue queued = *process->AddQueue("cart", Channel::kQueued);
  const auto collector = Make();
  ASSERT_TRUE(Start(*collector).ok());
  clock.clock.Advance(TickPeriod::kMinNs);
  Wait(1);
  queued.Enter();
  queued.Enter();
  clock.clock.Advance(TickPeriod::kMinNs / 4);
  // The thread reads the clock three times a round: after these it has looked.
  const int before = clock.reads.load(std::memory_order_relaxed);
  while (clock.reads.load(std::memory_order_relaxed) < before + 8) std::this_thread::yield();
  queued.Leave();
  queued.Leave();
  clock.clock.Advance(3 * TickPeriod::kMinNs / 4);
  const auto sample = Wait(2).instances.Get(InstanceId(0), Channel::kQueued);
  EXPECT_EQ(sample->depth, 0u);
  EXPECT_EQ(sample->peak, 2u);
}

TEST_F(CollectorConcurrency, TheCallbackMayStopItAndThrow) {
  const auto collector = Make();
  ASSERT_TRUE(Start(*collector, [&](const Collection& now) {
                if (now.totals.snapshots == 1) throw 7;
                collector->Stop();
              }).ok());
  clock_.Advance(TickPeriod::kMinNs);
  while (Seen() < 1) std::this_thread::yield();
  clock_.Advance(TickPeriod::kMinNs);
  Wait(2);
  collector->Stop();
  EXPECT_EQ(collector->totals().callback_errors, 1u);
  EXPECT_EQ(collector->totals().snapshots, 2u);
  ASSERT_TRUE(Start(*collector).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(collector->Start(nullptr)));
}

TEST_F(CollectorConcurrency, InstancesMayBeDeclaredFromAnyThreadAtAnyTime) {
  options_.grace = seconds(0);
  const auto collector = Make();
  ASSERT_TRUE(Start(*collector).ok());
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) {
        DeclaredInstance instance;
        instance.service = "s" + std::to_string(t);
        instance.instance = std::to_string(i);
        EXPECT_TRUE(collector->Declare(instance).ok());
        if (i % 2 == 0) collector->Withdraw(instance.service, instance.instance);
        clock_.Advance(TickPeriod::kMinNs / 10);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  collector->Stop();
  clock_.Advance(TickPeriod::kMinNs);
  collector->Tick();
  clock_.Advance(TickPeriod::kMinNs);
  collector->Tick();
  EXPECT_EQ(collector->topology().live_instances(), 3 * 25u);
}

TEST_F(CollectorConcurrency, QueuesAreCountedWhileItLooks) {
  const auto process = Process("cart-0");
  const Queue queued = *process->AddQueue("cart", Channel::kQueued);
  const auto collector = Make();
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&] {
      while (!stop.load(std::memory_order_relaxed)) {
        queued.Enter();
        queued.Leave();
      }
    });
  }
  collector->Tick();
  for (int tick = 0; tick < 200; ++tick) {
    collector->Sample();
    clock_.Advance(TickPeriod::kMinNs);
    const auto sample = collector->Tick().instances.Get(InstanceId(0), Channel::kQueued);
    ASSERT_TRUE(sample.has_value());
    ASSERT_LE(sample->depth, 2u);
    ASSERT_TRUE(sample->counted || tick == 0);
    ASSERT_LE(sample->depth, sample->peak);
  }
  stop.store(true, std::memory_order_relaxed);
  for (std::thread& thread : threads) thread.join();
  clock_.Advance(TickPeriod::kMinNs);
  collector->Tick();
  EXPECT_EQ(collector->totals().channels[0].enqueued, collector->totals().channels[0].dequeued);
}

}  // namespace
}  // namespace seer
