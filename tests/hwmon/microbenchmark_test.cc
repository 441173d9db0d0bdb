#include "seer/hwmon/microbenchmark.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstring>
#include <fstream>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "hwmon/microbenchmark_kernels.h"
#include "tests/probe/fake_root.h"

namespace seer {
namespace {

using std::chrono::milliseconds;

MicrobenchmarkOptions Small() {
  MicrobenchmarkOptions options;
  options.budget = milliseconds(2);
  options.max_bytes = 4 << 20;
  options.memory = true;
  options.network = true;
  options.disk = true;
  options.disk_bytes = 1 << 20;
  options.directory = ::testing::TempDir();
  return options;
}

std::unique_ptr<Microbenchmarks> Make(const MicrobenchmarkOptions& options) {
  auto made = Microbenchmarks::Create(options);
  EXPECT_TRUE(made.ok()) << made.status();
  return *std::move(made);
}

TEST(Microbenchmark, NamesAndResourcesGoFromTheCoreOutwards) {
  std::set<std::string_view> names;
  bool core = true;
  for (std::size_t i = 0; i < kMicrobenchmarks; ++i) {
    const auto benchmark = static_cast<Microbenchmark>(i);
    EXPECT_TRUE(names.insert(MicrobenchmarkName(benchmark)).second);
    EXPECT_TRUE(core || !IsOfCore(benchmark));
    core = IsOfCore(benchmark);
  }
  EXPECT_EQ(ResourceOf(Microbenchmark::kCpu), Resource::kCpu);
  EXPECT_EQ(ResourceOf(Microbenchmark::kDiskCapacity), Resource::kStorage);
}

TEST(Microbenchmark, CacheSizesAreThoseOfSysfs) {
  testing::FakeRoot root;
  const auto cache = [&](int i, const char* level, const char* type, const char* size) {
    const std::string at = "/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(i) + "/";
    root.Write(at + "level", level);
    root.Write(at + "type", type);
    root.Write(at + "size", size);
    root.Write(at + "coherency_line_size", "128\n");
  };
  cache(0, "1\n", "Data\n", "48K\n");
  cache(1, "1\n", "Instruction\n", "64K\n");
  cache(2, "2\n", "Unified\n", "2048K\n");
  cache(3, "3\n", "Unified\n", "105M\n");
  CacheSizes sizes = CacheSizes::OfThisMachine(root.path());
  EXPECT_EQ(sizes.l1d, 48u << 10);
  EXPECT_EQ(sizes.l1i, 64u << 10);
  EXPECT_EQ(sizes.l2, 2u << 20);
  EXPECT_EQ(sizes.llc, 105u << 20);
  EXPECT_EQ(sizes.line, 128u);
  cache(3, "3\n", "Unified\n", "99999999999G\n");
  cache(2, "2\n", "Unified\n", "garbage\n");
  sizes = CacheSizes::OfThisMachine(root.path());
  EXPECT_EQ(sizes.l2, CacheSizes().l2);
  EXPECT_EQ(sizes.llc, CacheSizes().llc);
}

TEST(Microbenchmark, OptionsBeyondReasonAreRefused) {
  MicrobenchmarkOptions options = Small();
  options.budget = milliseconds(500);
  EXPECT_FALSE(Microbenchmarks::Create(options).ok());
  options = Small();
  options.max_bytes = 10;
  EXPECT_FALSE(Microbenchmarks::Create(options).ok());
  options = Small();
  options.caches.line = 63;
  EXPECT_FALSE(Microbenchmarks::Create(options).ok());
  options = Small();
  options.disk_bytes = 0;
  EXPECT_FALSE(Microbenchmarks::Create(options).ok());
}

TEST(Microbenchmark, LinesFormOneCycleThroughAllOfThem) {
  for (const std::size_t lines : {1u, 2u, 16u, 1000u}) {
    internal::Pages pages(lines * 64 + 4096);
    internal::LinkLines(pages.data(), lines, 64, 3);
    const char* at = pages.data();
    std::set<const char*> seen;
    for (std::size_t i = 0; i < lines; ++i) {
      EXPECT_TRUE(seen.insert(at).second);
      std::memcpy(&at, at, sizeof(at));
    }
    EXPECT_EQ(at, pages.data());
  }
}

TEST(Microbenchmark, EachRunsAtEveryIntensityAndEnds) {
  const auto benchmarks = Make(Small());
  for (std::size_t i = 0; i < kMicrobenchmarks; ++i) {
    const auto benchmark = static_cast<Microbenchmark>(i);
    for (const double intensity : {0.0, 0.25, 1.0, 7.0, std::nan("")}) {
      SCOPED_TRACE(std::string(MicrobenchmarkName(benchmark)) + " " + std::to_string(intensity));
      const MicrobenchmarkRun run = benchmarks->Run(benchmark, intensity, {});
      EXPECT_EQ(run.benchmark, benchmark);
      if (!run.ok()) {
        // The file system of the tests may not do what the disk's need; the machine may be so busy
        // that not one piece was made.
        EXPECT_TRUE(run.starved || run.steps == 0) << ReasonName(run.reason);
        continue;
      }
      EXPECT_GT(run.steps, 0u);
      EXPECT_GT(run.ns_per_step, 0);
      EXPECT_TRUE(std::isfinite(run.ns_per_step));
    }
  }
}

TEST(Microbenchmark, TheSecondLevelIsSensedByWholeLooksAtAnEighthOfIt) {
  MicrobenchmarkOptions options = Small();
  options.caches.l2 = 1 << 20;
  const auto benchmarks = Make(options);
  const std::size_t lines = options.caches.l2 / 8 / options.caches.line;
  for (int i = 0; i < 5; ++i) {
    const MicrobenchmarkRun run = benchmarks->Run(Microbenchmark::kL2, 0, {});
    if (!run.ok()) continue;  // so busy that there was no look
    EXPECT_EQ(run.steps % lines, 0u) << run.steps;
    // It sleeps between them: at most as many as there is time for.
    EXPECT_LE(run.steps / lines, 4u);
  }
}

TEST(Microbenchmark, WhatDisturbsOthersIsOffUnlessAskedFor) {
  MicrobenchmarkOptions options = Small();
  options.memory = options.network = options.disk = false;
  const auto benchmarks = Make(options);
  for (const Microbenchmark benchmark :
       {Microbenchmark::kMemoryBandwidth, Microbenchmark::kMemoryCapacity, Microbenchmark::kNetwork,
        Microbenchmark::kDiskBandwidth, Microbenchmark::kDiskCapacity}) {
    const MicrobenchmarkRun run = benchmarks->Run(benchmark, 1, {});
    EXPECT_EQ(run.reason, Reason::kNotObserved);
    EXPECT_EQ(run.steps, 0u);
  }
  EXPECT_EQ(benchmarks->Run(Microbenchmark::kLlc, 0.5, {}).reason, Reason::kNotObserved);
}

TEST(Microbenchmark, StopEndsIt) {
  MicrobenchmarkOptions options = Small();
  options.budget = milliseconds(100);
  const auto benchmarks = Make(options);
  int asked = 0;
  const MicrobenchmarkRun run =
      benchmarks->Run(Microbenchmark::kCpu, 1, {}, [&] { return ++asked >= 3; });
  // On a machine that is so busy that the caller itself does not run, it was over before.
  if (run.aborted) {
    EXPECT_EQ(asked, 3);
    EXPECT_LT(run.processor, options.budget);
  }
  EXPECT_FALSE(run.aborted && run.starved);
}

TEST(Microbenchmark, APlacementThatIsNotThereIsAReason) {
  const auto benchmarks = Make(Small());
  Placement placement;
  placement.processors = {1'000'000};
  EXPECT_EQ(benchmarks->Run(Microbenchmark::kCpu, 1, placement).reason, Reason::kNotFound);
  placement.processors = {8000};
  EXPECT_EQ(benchmarks->Run(Microbenchmark::kCpu, 1, placement).reason, Reason::kNotFound);
  placement.processors = {-1};
  EXPECT_EQ(benchmarks->Run(Microbenchmark::kCpu, 1, placement).reason, Reason::kNotFound);
  placement = {};
  placement.tasks_file = "/nowhere/tasks";
  EXPECT_EQ(benchmarks->Run(Microbenchmark::kCpu, 1, placement).reason, Reason::kNotFound);
  placement = {};
  placement.network_namespace = "/nowhere/net";
  EXPECT_EQ(benchmarks->Run(Microbenchmark::kNetwork, 1, placement).reason, Reason::kNotFound);
  EXPECT_FALSE(benchmarks->Calibrate(placement).ok());
}

TEST(Microbenchmark, TheCallersThreadKeepsItsPlace) {
  cpu_set_t before, after;
  ASSERT_EQ(::sched_getaffinity(0, sizeof(before), &before), 0);
  const auto benchmarks = Make(Small());
  Placement placement;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &before)) {
      placement.processors = {cpu};
      break;
    }
  }
  EXPECT_NE(benchmarks->Run(Microbenchmark::kL1d, 1, placement).reason, Reason::kNotFound);
  ASSERT_EQ(::sched_getaffinity(0, sizeof(after), &after), 0);
  EXPECT_TRUE(CPU_EQUAL(&before, &after));
  EXPECT_EQ(::sched_getscheduler(0), SCHED_OTHER);
}

TEST(Microbenchmark, OneThatIsNotLetRunIsBroughtHomeAndEnds) {
  // A millisecond of processor time each second: the benchmark uses it up at once.
  const std::string cpu = "/sys/fs/cgroup/cpu",
                    name = "/seer-test-micro-" + std::to_string(getpid());
  if (::access((cpu + "/cpu.cfs_quota_us").c_str(), F_OK) != 0 ||
      ::mkdir((cpu + name).c_str(), 0755) != 0) {
    GTEST_SKIP() << "no cgroup v1 for processors can be made here";
  }
  const auto write = [&](const char* file, const char* text) {
    std::ofstream(cpu + name + file) << text;
  };
  write("/cpu.cfs_period_us", "1000000");
  write("/cpu.cfs_quota_us", "1000");
  MicrobenchmarkOptions options = Small();
  options.budget = milliseconds(5);
  const auto benchmarks = Make(options);
  Placement placement;
  placement.tasks_file = cpu + name + "/tasks";
  placement.home_tasks_file = cpu + "/tasks";
  for (int i = 0; i < 5; ++i) {
    const MicrobenchmarkRun run = benchmarks->Run(Microbenchmark::kCpu, 1, placement);
    EXPECT_TRUE(run.starved);
    EXPECT_LT(run.processor, options.budget);
  }
  const absl::Status status = benchmarks->Calibrate(placement);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(status.message().find("was hardly let run"), absl::string_view::npos) << status;
  EXPECT_EQ(::rmdir((cpu + name).c_str()), 0);
}

TEST(Microbenchmark, ASlowCoreIsFoundFirstAndWhatLiesFartherOutIsNotAsked) {
  const auto benchmarks = Make(Small());
  for (std::size_t i = 0; i < kMicrobenchmarks; ++i) {
    benchmarks->set_idle_ns(static_cast<Microbenchmark>(i), 1e9);
  }
  // As if jumps had been far faster when all was quiet.
  benchmarks->set_idle_ns(Microbenchmark::kL1i, 1e-6);
  benchmarks->set_idle_ns(Microbenchmark::kLlc, 1e-6);
  const Microbenchmarks::Finding finding = benchmarks->FirstSlow(1.5, {});
  ASSERT_TRUE(finding.any);
  if (!finding.runs[0].starved) {
    EXPECT_EQ(finding.benchmark, Microbenchmark::kL1i);
  }
  EXPECT_EQ(finding.runs[4].steps, 0u);
  // Nothing is slow: all are asked, as far as the time goes.
  benchmarks->set_idle_ns(Microbenchmark::kL1i, 1e9);
  benchmarks->set_idle_ns(Microbenchmark::kLlc, 1e9);
  const Microbenchmarks::Finding none =
      benchmarks->FirstSlow(1.5, {}, nullptr, std::chrono::seconds(10));
  bool starved = false;
  for (const MicrobenchmarkRun& run : none.runs) starved = starved || run.starved;
  if (!starved) {
    EXPECT_FALSE(none.any);
  }
  EXPECT_FALSE(benchmarks->FirstSlow(1.5, {}, nullptr, milliseconds(1)).any);
}

TEST(Microbenchmark, ASlowdownIsAgainstTheIdleMachine) {
  const auto benchmarks = Make(Small());
  MicrobenchmarkRun run;
  run.benchmark = Microbenchmark::kLlc;
  run.reason = Reason::kNone;
  run.ns_per_step = 60;
  EXPECT_EQ(benchmarks->Slowdown(run), 0);  // never calibrated
  benchmarks->set_idle_ns(Microbenchmark::kLlc, 20);
  EXPECT_NEAR(benchmarks->Slowdown(run), 3, 1e-9);
  run.reason = Reason::kFailed;
  EXPECT_EQ(benchmarks->Slowdown(run), 0);
}

TEST(MicrobenchmarkConcurrency, RunsBesideEachOtherAreApart) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([] {
      const auto benchmarks = Make(Small());
      for (int i = 0; i < 5; ++i) {
        benchmarks->Run(Microbenchmark::kL1d, 0.5, {}, [] { return false; });
        benchmarks->Run(Microbenchmark::kCpu, 1, {}, [n = 0]() mutable { return ++n > 1; });
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace seer
