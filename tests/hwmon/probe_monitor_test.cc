#include "seer/hwmon/probe_monitor.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>

#include "tests/hwmon/samples.h"

namespace seer {
namespace {

MicrobenchmarkOptions Small() {
  MicrobenchmarkOptions options;
  options.budget = std::chrono::milliseconds(5);
  options.max_bytes = 4 << 20;
  return options;
}

TEST(ProbeMonitor, TellsOfTheCacheByAProbeAndOfTheRestAsTheOtherDoes) {
  SoftwareMonitor software;
  auto benchmarks = Microbenchmarks::Create(Small());
  ASSERT_TRUE(benchmarks.ok()) << benchmarks.status();
  ProbeMonitor monitor(software, **benchmarks);
  const HwTarget self = HwTarget::OfProcess(::getpid());
  HwReading reading;
  ASSERT_TRUE(monitor.Read(self, &reading).ok());
  EXPECT_EQ(monitor.last_run().steps, 0u);  // of the first nothing is told
  const ResourceReading& cache = reading.instance[Resource::kCache];

  // Never calibrated: a number alone says nothing.
  ASSERT_TRUE(monitor.Read(self, &reading).ok());
  EXPECT_FALSE(cache.delay_us.usable());
  EXPECT_TRUE(reading.instance[Resource::kCpu].delay_us.usable());

  // As if it had been infinitely fast: all of the processor time is explained.
  (*benchmarks)->set_idle_ns(Microbenchmark::kLlc, 1e-9);
  ASSERT_TRUE(monitor.Read(self, &reading).ok());
  const MicrobenchmarkRun& run = monitor.last_run();
  if (run.ok() && !run.starved) {
    EXPECT_EQ(cache.delay_us.quality, Quality::kScaled);
    EXPECT_EQ(cache.delay_us.scope, Scope::kHost);
    EXPECT_NEAR(cache.saturation.value, 1, 1e-6);
    EXPECT_NEAR(cache.delay_us.value, static_cast<double>(software.last().run_us.value), 1);
  } else {
    EXPECT_FALSE(cache.delay_us.usable());
  }
  // As if it had been slow: nothing is.
  (*benchmarks)->set_idle_ns(Microbenchmark::kLlc, 1e9);
  ASSERT_TRUE(monitor.Read(self, &reading).ok());
  if (cache.delay_us.usable()) {
    EXPECT_EQ(cache.delay_us.value, 0);
  }
  EXPECT_EQ(reading.instance[Resource::kMemoryBandwidth].delay_us.reason, Reason::kNotObserved);
}

TEST(ProbeMonitor, ACoresCacheThatIsSlowIsSaidAndTheMemoryIsNotAsked) {
  SoftwareMonitor software;
  auto benchmarks = Microbenchmarks::Create(Small());
  ASSERT_TRUE(benchmarks.ok());
  ProbeMonitor monitor(software, **benchmarks);
  const HwTarget self = HwTarget::OfProcess(::getpid());
  HwReading reading;
  ASSERT_TRUE(monitor.Read(self, &reading).ok());
  const ResourceReading& cache = reading.instance[Resource::kCache];
  const auto ran = [&] { return monitor.last_run().ok() && !monitor.last_run().starved; };

  (*benchmarks)->set_idle_ns(Microbenchmark::kL2, 1e-9);
  (*benchmarks)->set_idle_ns(Microbenchmark::kLlc, 1e9);
  ASSERT_TRUE(monitor.Read(self, &reading).ok());
  EXPECT_EQ(monitor.last_run().benchmark, Microbenchmark::kL2);
  if (ran()) {
    EXPECT_NEAR(cache.saturation.value, 1, 1e-6);
  }
  // It is as fast as it was, and the memory is slow: that is said.
  (*benchmarks)->set_idle_ns(Microbenchmark::kL2, 1e9);
  (*benchmarks)->set_idle_ns(Microbenchmark::kLlc, 1e-9);
  ASSERT_TRUE(monitor.Read(self, &reading).ok());
  if (ran()) {
    EXPECT_EQ(monitor.last_run().benchmark, Microbenchmark::kLlc);
    EXPECT_NEAR(cache.saturation.value, 1, 1e-6);
  }
}

TEST(ProbeMonitor, AVictimThatSuffersHasNoReadingOfIt) {
  SoftwareMonitor software;
  MicrobenchmarkOptions options = Small();
  options.budget = std::chrono::milliseconds(100);
  auto benchmarks = Microbenchmarks::Create(options);
  ASSERT_TRUE(benchmarks.ok());
  (*benchmarks)->set_idle_ns(Microbenchmark::kLlc, 1e-9);
  ProbeMonitor monitor(software, **benchmarks);
  monitor.set_stop([] { return true; });
  const HwTarget self = HwTarget::OfProcess(::getpid());
  HwReading reading;
  ASSERT_TRUE(monitor.Read(self, &reading).ok());
  ASSERT_TRUE(monitor.Read(self, &reading).ok());
  EXPECT_TRUE(monitor.last_run().aborted || monitor.last_run().starved);
  EXPECT_FALSE(reading.instance[Resource::kCache].delay_us.usable());
  EXPECT_FALSE(monitor.Read(HwTarget::OfProcess(0), &reading).ok());
}

}  // namespace
}  // namespace seer
