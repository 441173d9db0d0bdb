#include "seer/hwmon/counter_monitor.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <random>
#include <string>
#include <vector>

#include "seer/core/clock.h"
#include "seer/hwmon/attribution.h"
#include "tests/hwmon/fake_processor.h"
#include "tests/hwmon/samples.h"
#include "tests/probe/fake_root.h"

namespace seer {
namespace {

using testing::FakeProcessor;

constexpr std::int64_t kTick = 100'000'000;
constexpr char kIntel[] = "vendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 143\n";
constexpr char kAmd[] = "vendor_id\t: AuthenticAMD\ncpu family\t: 26\nmodel\t\t: 2\n";

struct Machine {
  explicit Machine(const char* cpuinfo = kIntel) {
    root.Write("/proc/cpuinfo", cpuinfo);
    AddThread(77);
    processor = std::make_unique<FakeProcessor>(EventTable::OfThisMachine(root.path()));
    CounterMonitorOptions options;
    options.root = root.path();
    options.clock = &clock;
    options.events = processor.get();
    options.processors = 2;
    monitor = std::make_unique<CounterMonitor>(options);
  }
  void AddThread(int tid) { root.Write("/proc/77/task/" + std::to_string(tid) + "/stat", ""); }
  void RemoveThread(int tid) { root.Remove("/proc/77/task/" + std::to_string(tid)); }
  absl::Status Read() {
    clock.Advance(kTick);
    return monitor->Read(HwTarget::OfProcess(77), &reading);
  }
  // For `requests` requests of a million instructions each: cycles and lines for an instruction.
  void Serve(int requests, double cpi, double fills_per_instruction, double stalls_per_instruction,
             int tid = 77) {
    const double n = requests * 1e6;
    processor->Run(tid, n * cpi / 3, n * cpi, n, n * fills_per_instruction,
                   n * stalls_per_instruction);
  }
  const ResourceReading& cache() const { return reading.instance[Resource::kCache]; }
  const ResourceReading& bandwidth() const { return reading.instance[Resource::kMemoryBandwidth]; }

  testing::FakeRoot root;
  ManualClock clock{1'700'000'000'000'000'000};
  std::unique_ptr<FakeProcessor> processor;
  std::unique_ptr<CounterMonitor> monitor;
  HwReading reading;
};

TEST(CounterMonitor, CountsWhatHappenedBetweenTwoReads) {
  Machine m;
  m.Serve(5, 1.0, 0.001, 0.2);  // before it was looked at
  ASSERT_TRUE(m.Read().ok());
  EXPECT_TRUE(testing::NothingObserved(m.reading));
  m.Serve(10, 1.0, 0.001, 0.2);
  ASSERT_TRUE(m.Read().ok());
  EXPECT_EQ(m.monitor->last().quality, Quality::kOk);
  EXPECT_NEAR(m.monitor->last().instructions, 1e7, 1);
  EXPECT_NEAR(m.monitor->last().memory_fills, 1e4, 1);
  EXPECT_NEAR(m.monitor->last().cpi, 1, 1e-9);
  // All stalls are those of lines at the latency at which they are felt: 0.2 / 0.001 / 3 GHz.
  EXPECT_NEAR(m.cache().delay_us.value, 1e7 * 0.2 / 3 / 1000, 1);
  EXPECT_NEAR(m.bandwidth().delay_us.value, 0, 1);
  EXPECT_EQ(m.reading.interval_ns, kTick);
  EXPECT_EQ(m.reading.instance[Resource::kCpu].delay_us.reason, Reason::kNotObserved);
}

// A service learns its healthy stalls; then its traces change in one way or the other.
StallAttribution Contended(Machine* m, double cpi, double fills, double stalls) {
  StallBaseline baseline;
  std::uint64_t state = 1;
  for (int i = 0; i < 20; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    const double noise = 1 + static_cast<double>(state >> 40) / 16'777'216 * 0.04;
    m->Serve(50, 1.0 * noise, 0.002 * noise, 0.3 * noise);
    EXPECT_TRUE(m->Read().ok());
    m->reading.requests = 50;
    if (m->reading.interval_ns > 0) {
      EXPECT_TRUE(baseline.Learn(m->reading));
    }
  }
  m->Serve(50, cpi, fills, stalls);
  EXPECT_TRUE(m->Read().ok());
  m->reading.requests = 50;
  return Attribute(m->reading, baseline);
}

TEST(CounterMonitor, CacheAndMemoryBandwidthAreToldApart) {
  struct Case {
    const char* name;
    double cpi, fills, stalls;
    StallAttribution::Verdict verdict;
    Resource resource;
  };
  for (const char* cpuinfo : {kIntel, kAmd}) {
    for (const Case& c : {
             Case{"as always", 1.0, 0.002, 0.3, StallAttribution::Verdict::kNone, Resource::kCpu},
             // Three times the lines, each as fast as before.
             Case{"less cache", 1.6, 0.006, 0.9, StallAttribution::Verdict::kResource,
                  Resource::kCache},
             // As many lines, each three times as slow.
             Case{"less bandwidth", 1.6, 0.002, 0.9, StallAttribution::Verdict::kResource,
                  Resource::kMemoryBandwidth},
             Case{"a little of both", 1.25, 0.0024, 0.55, StallAttribution::Verdict::kResource,
                  Resource::kMemoryBandwidth},
         }) {
      SCOPED_TRACE(std::string(cpuinfo) + c.name);
      Machine m(cpuinfo);
      const StallAttribution found = Contended(&m, c.cpi, c.fills, c.stalls);
      EXPECT_EQ(found.verdict, c.verdict);
      if (c.verdict == StallAttribution::Verdict::kResource) {
        EXPECT_EQ(ResourceName(found.worst().resource), ResourceName(c.resource));
        EXPECT_FALSE(found.memory_merged);
      }
    }
  }
}

// 600 synthetic traces: services of many kinds, whose lines come from memory 1.6 to 4 times as
// often, or take 1.6 to 4 times as long, or neither, all with 5 % of noise in each reading.
TEST(CounterMonitor, TracesOfManyServicesAreToldApart) {
  std::mt19937_64 random(11);
  const auto between = [&](double low, double high) {
    return std::uniform_real_distribution<double>(low, high)(random);
  };
  for (const char* cpuinfo : {kIntel, kAmd}) {
    int made[3] = {}, right[3] = {};
    for (int trace = 0; trace < 300; ++trace) {
      const int kind = trace % 3;  // none, cache, bandwidth
      Machine m(cpuinfo);
      const double core_cpi = between(0.3, 1.2), fills = between(0.0005, 0.006);
      const double felt = between(0.3, 0.9);  // of 270 cycles for a line: they overlap
      const auto serve = [&](double more_lines, double slower) {
        const double work = between(0.95, 1.05), lines = fills * more_lines * between(0.95, 1.05);
        const double stalls = lines * 270 * felt * slower * between(0.97, 1.03);
        m.Serve(static_cast<int>(between(45, 55)), core_cpi * work + stalls, lines, stalls);
        EXPECT_TRUE(m.Read().ok());
        m.reading.requests = 50;
        return m.reading;
      };
      StallBaseline baseline;
      for (int i = 0; i < 20; ++i) baseline.Learn(serve(1, 1));
      const double times = between(1.6, 4);
      std::vector<HwReading> readings;
      for (int i = 0; i < 3; ++i) {
        readings.push_back(serve(kind == 1 ? times : 1, kind == 2 ? times : 1));
      }
      const StallAttribution found = Attribute(readings, baseline);
      const bool blames = found.verdict == StallAttribution::Verdict::kResource;
      ++made[kind];
      const Resource of[] = {Resource::kCpu, Resource::kCache, Resource::kMemoryBandwidth};
      right[kind] += kind == 0 ? !blames : blames && found.worst().resource == of[kind];
    }
    for (int kind = 0; kind < 3; ++kind) {
      SCOPED_TRACE(std::string(cpuinfo) + std::to_string(kind));
      EXPECT_GE(right[kind] * 100, made[kind] * 95) << right[kind] << " of " << made[kind];
    }
  }
}

TEST(CounterMonitor, WithoutLinesNoClaimIsMadeAboutWhichOfTheTwo) {
  Machine m;
  m.processor->unknown = {CounterKind::kMemoryFills};
  const StallAttribution found = Contended(&m, 1.6, 0.002, 0.9);
  EXPECT_EQ(found.verdict, StallAttribution::Verdict::kResource);
  EXPECT_EQ(found.worst().resource, Resource::kCache);
  EXPECT_TRUE(found.memory_merged);
  EXPECT_EQ(m.bandwidth().delay_us.reason, Reason::kNotSupported);
}

TEST(CounterMonitor, MoreInstructionsAreNoContention) {
  Machine m;
  // Twice the work in each of the requests: the application changed.
  StallBaseline baseline;
  for (int i = 0; i < 10; ++i) {
    m.Serve(50, 1.0, 0.0001, 0.01);
    ASSERT_TRUE(m.Read().ok());
    m.reading.requests = 50;
    baseline.Learn(m.reading);
  }
  m.Serve(100, 1.0, 0.0001, 0.01);
  ASSERT_TRUE(m.Read().ok());
  m.reading.requests = 50;
  EXPECT_EQ(Attribute(m.reading, baseline).verdict, StallAttribution::Verdict::kNone);
}

TEST(CounterMonitor, ThreadsAreFoundAndTheLastWordOfOneThatEndsCounts) {
  Machine m;
  ASSERT_TRUE(m.Read().ok());
  m.AddThread(78);
  m.Serve(7, 1, 0, 0, 78);  // before it was found: lost
  ASSERT_TRUE(m.Read().ok());
  EXPECT_EQ(m.monitor->last().threads, 2u);
  m.Serve(1, 1, 0, 0, 77);
  m.Serve(2, 1, 0, 0, 78);
  ASSERT_TRUE(m.Read().ok());
  EXPECT_NEAR(m.monitor->last().instructions, 3e6, 1);
  m.Serve(4, 1, 0, 0, 78);
  m.RemoveThread(78);
  ASSERT_TRUE(m.Read().ok());
  EXPECT_NEAR(m.monitor->last().instructions, 4e6, 1);
  EXPECT_EQ(m.monitor->last().threads, 1u);
  EXPECT_EQ(m.processor->open(), static_cast<int>(kCounterKinds));
  m.RemoveThread(77);
  EXPECT_EQ(m.Read().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(m.processor->open(), 0);
}

TEST(CounterMonitor, ACounterThatTookTurnsIsScaledAndOneThatNeverRanIsMissing) {
  Machine m;
  m.processor->running_share = 0.25;
  ASSERT_TRUE(m.Read().ok());
  m.Serve(8, 1, 0.001, 0.1);
  ASSERT_TRUE(m.Read().ok());
  EXPECT_NEAR(m.monitor->last().instructions, 8e6, 100);
  EXPECT_EQ(m.cache().delay_us.quality, Quality::kScaled);
  EXPECT_EQ(m.cache().delay_us.reason, Reason::kMultiplexed);

  Machine never;
  ASSERT_TRUE(never.Read().ok());
  never.processor->running_share = 0;
  never.clock.Advance(0);
  never.Serve(8, 1, 0.001, 0.1);
  ASSERT_TRUE(never.Read().ok());
  EXPECT_EQ(never.cache().delay_us.quality, Quality::kUnavailable);
  EXPECT_EQ(never.cache().delay_us.reason, Reason::kMultiplexed);
}

TEST(CounterMonitor, ACounterThatDiesIsCaughtByWhatItSaysAndTheTestIsMadeAgain) {
  for (int run = 0; run < 100; ++run) {
    Machine m;
    ASSERT_TRUE(m.Read().ok());
    m.Serve(10, 1, 0.001, 0.1);
    ASSERT_TRUE(m.Read().ok());
    ASSERT_EQ(m.cache().delay_us.quality, Quality::kOk);
    m.processor->dead_instructions = true;
    m.Serve(10, 1, 0.001, 0.1);
    ASSERT_TRUE(m.Read().ok());
    // It stood still, or it fell to nothing: either way no number is believed.
    ASSERT_FALSE(m.cache().delay_us.usable());
    ASSERT_EQ(m.cache().delay_us.reason, Reason::kImplausible);
    m.Serve(10, 1, 0.001, 0.1);
    const int opens = m.processor->opens;
    ASSERT_TRUE(m.Read().ok());
    ASSERT_FALSE(m.cache().delay_us.usable());
    m.Serve(10, 1, 0.001, 0.1);
    ASSERT_TRUE(m.Read().ok());
    ASSERT_GT(m.processor->opens, opens);
  }
}

TEST(CounterMonitor, WhereTheSelfTestLeavesTooFewNothingIsClaimed) {
  for (const int good : {0, 1, 2}) {
    Machine m;
    m.processor->true_counters = good;
    ASSERT_TRUE(m.Read().ok());
    m.Serve(10, 1, 0.001, 0.1);
    ASSERT_TRUE(m.Read().ok());
    EXPECT_EQ(m.cache().delay_us.reason, Reason::kSelfTest);
    EXPECT_EQ(m.bandwidth().delay_us.reason, Reason::kSelfTest);
    EXPECT_FALSE(m.cache().delay_us.usable());
  }
  // Three that may be used: no stalls then, lines and cycles.
  Machine m;
  m.processor->true_counters = 4;
  ASSERT_TRUE(m.Read().ok());
  m.Serve(10, 1, 0.001, 0.1);
  ASSERT_TRUE(m.Read().ok());
  EXPECT_TRUE(m.cache().delay_us.usable());
  EXPECT_EQ(m.processor->open(), 3);
  EXPECT_EQ(m.monitor->last().stall_cycles, 0);
}

TEST(CounterMonitor, TheTestIsMadeAgainEveryMinute) {
  Machine m;
  ASSERT_TRUE(m.Read().ok());
  ASSERT_EQ(m.monitor->trust().at_once, kMostCounters);
  m.processor->true_counters = 4;  // the host's watchdog took some
  ASSERT_TRUE(m.Read().ok());
  EXPECT_EQ(m.monitor->trust().at_once, kMostCounters);
  m.clock.Advance(60'000'000'000);
  ASSERT_TRUE(m.Read().ok());
  EXPECT_LT(m.monitor->trust().at_once, kMostCounters);
}

TEST(CounterMonitor, EveryErrorIsAReason) {
  for (const auto& [error, reason] :
       {std::make_pair(EACCES, Reason::kPermission), std::make_pair(ENOENT, Reason::kNotFound),
        std::make_pair(ENOSYS, Reason::kNotSupported),
        std::make_pair(EMFILE, Reason::kNotSupported)}) {
    Machine m;
    m.processor->open_error = error;
    ASSERT_TRUE(m.Read().ok());
    ASSERT_TRUE(m.Read().ok());
    EXPECT_EQ(m.cache().delay_us.reason, reason);
  }
  Machine m;
  ASSERT_TRUE(m.Read().ok());
  m.processor->short_reads = true;
  m.Serve(1, 1, 0, 0);
  ASSERT_TRUE(m.Read().ok());
  EXPECT_FALSE(m.cache().delay_us.usable());
  m.processor->short_reads = false;
  m.processor->read_error = -EIO;
  ASSERT_TRUE(m.Read().ok());
  EXPECT_FALSE(m.cache().delay_us.usable());
  HwReading reading;
  EXPECT_EQ(m.monitor->Read(HwTarget::OfProcess(1234567), &reading).code(),
            absl::StatusCode::kNotFound);
  EXPECT_TRUE(m.monitor->Read(HwTarget::OfHost(), &reading).ok());
  EXPECT_TRUE(testing::NothingObserved(reading));
}

TEST(CounterMonitor, ACgroupIsCountedOnEveryProcessor) {
  Machine m;
  m.root.Write("/proc/1/mountinfo", "32 1 0:3 / /cg rw - cgroup2 cgroup2 rw\n");
  m.root.Write("/proc/1/cgroup", "0::/\n");
  m.root.Write("/cg/pods/a/cgroup.procs", "");
  const HwTarget target = HwTarget::OfCgroup("/pods/a");
  ASSERT_TRUE(m.monitor->Read(target, &m.reading).ok());
  m.Serve(2, 1, 0.001, 0.1, 1000);  // on the first
  m.Serve(3, 1, 0.001, 0.1, 1001);
  m.clock.Advance(kTick);
  ASSERT_TRUE(m.monitor->Read(target, &m.reading).ok());
  EXPECT_NEAR(m.monitor->last().instructions, 5e6, 1);
  EXPECT_EQ(m.monitor->last().threads, 2u);
  EXPECT_EQ(m.monitor->Read(HwTarget::OfCgroup("/pods/b"), &m.reading).code(),
            absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace seer
