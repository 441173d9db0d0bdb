#include "seer/core/tsc_clock.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <thread>
#include <vector>

#include "seer/core/clock.h"

namespace seer {
namespace {

constexpr std::int64_t kMs = 1'000'000;
constexpr std::int64_t kSecond = 1'000'000'000;

// A machine whose clocks the test moves: `stamp` at `hz`, monotonic and unix time as told.
struct FakeMachine {
  TscClock::Sample now;
  double hz;

  void Run(std::int64_t ns) {
    now.stamp += static_cast<std::uint64_t>(static_cast<double>(ns) * hz / 1e9);
    now.monotonic_ns += ns;
    now.unix_ns += ns;
  }
};

// The counter's rate as `clock` has learnt it, so that the fake machine continues the real one.
FakeMachine Continue(const TscClock& clock) {
  FakeMachine machine{clock.SampleNow(), 0};
  const std::uint64_t stamp = machine.now.stamp;
  machine.hz =
      1e18 / static_cast<double>(clock.ToUnixNs(stamp + 1'000'000'000) - clock.ToUnixNs(stamp));
  return machine;
}

TEST(ManualClock, StandsStillUntilTold) {
  ManualClock clock(5);
  const Clock& as_seen_by_the_library = clock;
  EXPECT_EQ(as_seen_by_the_library.NowNs(), 5);
  clock.Advance(10);
  EXPECT_EQ(as_seen_by_the_library.NowNs(), 15);
  clock.Set(-1);
  EXPECT_EQ(as_seen_by_the_library.NowNs(), -1);
}

// Both sources on every machine: where the counter is not one to trust in production
// (BestSource()), it still counts well enough for the arithmetic that is tested here.
class EverySource : public testing::TestWithParam<TscClock::Source> {};
INSTANTIATE_TEST_SUITE_P(, EverySource,
                         testing::Values(TscClock::Source::kTsc, TscClock::Source::kClockGettime),
                         [](const auto& source) {
                           return source.param == TscClock::Source::kTsc ? "Tsc" : "ClockGettime";
                         });

TEST_P(EverySource, AgreesWithTheSystemClock) {
  TscClock clock(GetParam());
  for (int i = 0; i < 3; ++i) {
    const TscClock::Sample now = clock.SampleNow();
    // 1 ms: the machine's own noise, not our arithmetic, is what the bound has to allow for.
    EXPECT_LT(std::abs(clock.ToUnixNs(now.stamp) - now.unix_ns), kMs);
    clock.Recalibrate();
  }
  EXPECT_EQ(clock.jumps(), 0u);
}

TEST_P(EverySource, StampsOfOneThreadNeverDecrease) {
  TscClock clock(GetParam());
  std::uint64_t last = clock.Stamp();
  std::int64_t last_ns = clock.ToUnixNs(last);
  for (int i = 0; i < 100'000; ++i) {
    const std::uint64_t stamp = i % 2 ? clock.FencedStamp() : clock.Stamp();
    ASSERT_GE(stamp, last);
    const std::int64_t ns = clock.ToUnixNs(stamp);
    ASSERT_GE(ns, last_ns);
    last = stamp;
    last_ns = ns;
  }
}

TEST_P(EverySource, ASmallOffsetIsWorkedOffWithoutGoingBack) {
  TscClock clock(GetParam());
  FakeMachine machine = Continue(clock);
  machine.Run(kSecond);
  clock.Recalibrate(machine.now);
  machine.now.unix_ns -= 2 * kMs;  // the system's clock was set back a little
  std::int64_t last = clock.ToUnixNs(machine.now.stamp);
  for (int i = 0; i < 200; ++i) {
    clock.Recalibrate(machine.now);
    EXPECT_EQ(clock.ToUnixNs(machine.now.stamp), last) << "a calibration is continuous";
    machine.Run(100 * kMs);
    const std::int64_t now = clock.ToUnixNs(machine.now.stamp);
    EXPECT_GE(now - last, 99 * kMs) << "and slows time by no more than 500 ppm";
    EXPECT_LE(now - last, 101 * kMs);
    last = now;
  }
  EXPECT_LT(std::abs(last - machine.now.unix_ns), 20'000);
  EXPECT_EQ(clock.jumps(), 0u);
}

TEST_P(EverySource, ALargeOffsetIsAJumpAndCounted) {
  for (std::int64_t offset : {kSecond, -3600 * kSecond}) {
    SCOPED_TRACE(offset);
    TscClock clock(GetParam());
    FakeMachine machine = Continue(clock);
    machine.Run(kSecond);
    clock.Recalibrate(machine.now);
    machine.now.unix_ns += offset;
    machine.Run(100 * kMs);
    clock.Recalibrate(machine.now);
    EXPECT_EQ(clock.ToUnixNs(machine.now.stamp), machine.now.unix_ns);
    EXPECT_EQ(clock.jumps(), 1u);
  }
}

TEST(TscClock, AMovedMachineWithAnotherCounterIsLearntAnew) {
  for (double faster : {0.5, 1.2, 3.0}) {
    SCOPED_TRACE(faster);
    TscClock clock(TscClock::Source::kTsc);
    FakeMachine machine = Continue(clock);
    machine.Run(kSecond);
    clock.Recalibrate(machine.now);
    machine.hz *= faster;
    machine.now.stamp = 12345;  // and it starts elsewhere
    for (int i = 0; i < 50; ++i) {
      machine.Run(100 * kMs);
      clock.Recalibrate(machine.now);
    }
    EXPECT_GE(clock.jumps(), 1u);
    EXPECT_LE(clock.jumps(), 3u);
    machine.Run(kSecond);
    EXPECT_LT(std::abs(clock.ToUnixNs(machine.now.stamp) - machine.now.unix_ns), 10'000);
  }
}

TEST(TscClock, OldStampsStillConvertAfterARecalibration) {
  TscClock clock;
  FakeMachine machine = Continue(clock);
  machine.Run(kSecond);
  const TscClock::Sample before = machine.now;
  machine.Run(10 * kSecond);
  clock.Recalibrate(machine.now);
  EXPECT_LT(std::abs(clock.ToUnixNs(before.stamp) - before.unix_ns), kMs);
}

// Readers check every conversion against what any single calibration could have given: with a torn
// one (the base of one, the offset of another) the result would be off by whole seconds.
TEST(TscClockConcurrency, ReadersNeverSeeHalfACalibration) {
  TscClock clock;
  const FakeMachine start = Continue(clock);
  std::atomic<bool> stop{false};
  std::atomic<std::int64_t> worst_ns{0};
  const std::uint64_t stamp = start.now.stamp;
  const std::int64_t expected = start.now.unix_ns;
  std::vector<std::thread> readers;
  for (int i = 0; i < 2; ++i) {
    readers.emplace_back([&] {
      while (!stop.load(std::memory_order_relaxed)) {
        const std::int64_t error = std::abs(clock.ToUnixNs(stamp) - expected);
        std::int64_t worst = worst_ns.load(std::memory_order_relaxed);
        while (error > worst &&
               !worst_ns.compare_exchange_weak(worst, error, std::memory_order_relaxed)) {
        }
      }
    });
  }
  FakeMachine machine = start;
  for (int i = 0; i < 20'000; ++i) {
    machine.Run(10 * kMs);  // 200 s in all
    clock.Recalibrate(machine.now);
  }
  stop.store(true, std::memory_order_relaxed);
  for (std::thread& reader : readers) reader.join();
  EXPECT_LT(worst_ns.load(), 200 * kMs);
}

}  // namespace
}  // namespace seer
