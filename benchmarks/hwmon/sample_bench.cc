// What it costs to look: all kept-open signals of one service, twenty of them as they are read when
// they are named, and what the baselines of a hundred take.
#include <benchmark/benchmark.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "benchmarks/harness/figure.h"
#include "seer/hwmon/attribution.h"
#include "seer/hwmon/contention_test.h"
#include "seer/hwmon/counter_monitor.h"
#include "seer/hwmon/software_monitor.h"

namespace seer::bench {
namespace {

// Processes that sleep: a look costs the same whatever they do. Where cgroups can be made they are
// in one with a quota and a memory limit, so that every signal has its file.
class Services {
 public:
  explicit Services(int count) {
    for (const char* hierarchy : {"cpu", "cpuacct", "memory", "unified"}) {
      const std::string at =
          std::string("/sys/fs/cgroup/") + hierarchy + "/seer-bench-" + std::to_string(::getpid());
      if (::mkdir(at.c_str(), 0755) == 0) cgroups_.push_back(at);
    }
    for (const std::string& at : cgroups_) {
      std::ofstream(at + "/cpu.cfs_quota_us") << 50'000;
      std::ofstream(at + "/memory.limit_in_bytes") << (1u << 30);
    }
    for (int i = 0; i < count; ++i) {
      const pid_t pid = ::fork();
      if (pid == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) ::pause();
      }
      if (pid <= 0) continue;
      pids_.push_back(pid);
      for (const std::string& at : cgroups_) std::ofstream(at + "/cgroup.procs") << pid;
    }
  }
  Services(const Services&) = delete;
  ~Services() {
    for (const pid_t pid : pids_) ::kill(pid, SIGKILL);
    for (const pid_t pid : pids_) ::waitpid(pid, nullptr, 0);
    for (const std::string& at : cgroups_) ::rmdir(at.c_str());
  }
  const std::vector<pid_t>& pids() const { return pids_; }

 private:
  std::vector<std::string> cgroups_;
  std::vector<pid_t> pids_;
};

// Services in one round, as an agent reads them: the node's own files are shared by a round.
void BM_Sample(benchmark::State& state) {
  const Services services(static_cast<int>(state.range(0)));
  SoftwareMonitor monitor;
  HwReading reading;
  for (const pid_t pid : services.pids()) {
    if (!monitor.Read(HwTarget::OfProcess(pid), &reading).ok()) {
      return state.SkipWithError("a service cannot be read");
    }
  }
  for (auto _ : state) {
    for (const pid_t pid : services.pids()) {
      benchmark::DoNotOptimize(monitor.Read(HwTarget::OfProcess(pid), &reading));
    }
  }
  const auto count = static_cast<double>(services.pids().size());
  state.counters["us_per_service"] = benchmark::Counter(
      count / 1e6, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
  // Of a core, in per cent: all of them ten times a second; a hundred once in ten seconds.
  state.counters["named_pct"] = benchmark::Counter(
      1e-3, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
  state.counters["baseline_pct"] = benchmark::Counter(
      count / 1e3, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}
BENCHMARK(BM_Sample)->Arg(1)->Arg(20)->Arg(100);

// All that is never shared: the node's files are read for each.
void BM_SampleAlone(benchmark::State& state) {
  const Services services(1);
  SoftwareMonitorOptions options;
  options.node_max_age_ns = 0;
  SoftwareMonitor monitor(options);
  const HwTarget target = HwTarget::OfProcess(services.pids().front());
  HwReading reading;
  for (auto _ : state) benchmark::DoNotOptimize(monitor.Read(target, &reading));
}
BENCHMARK(BM_SampleAlone);

// The power of the sequential test: the report's simulated service (log-normal latencies with a
// coefficient of variation of 0.5, on a drift of 15 %, seen in windows of 10 ms), slowed down by
// half or not at all. Each iteration is one test.
void BM_SimulatedTests(benchmark::State& state) {
  const double mean_requests = static_cast<double>(state.range(0)) / 100;
  const double slowdown = static_cast<double>(state.range(1)) / 100;
  std::mt19937_64 random(1);
  std::normal_distribution<double> normal;
  double drift = 0;
  std::vector<double> latencies;
  const auto window = [&](double times) {
    constexpr double kKeeps = 0.9;
    drift = kKeeps * drift + std::sqrt(1 - kKeeps * kKeeps) * 0.15 * normal(random);
    const int n = std::poisson_distribution<int>(mean_requests)(random);
    if (n == 0) return 0.0;
    latencies.clear();
    const double sigma = std::sqrt(std::log(1.25));
    for (int i = 0; i < n; ++i) latencies.push_back(std::exp(sigma * normal(random) + drift));
    std::nth_element(latencies.begin(), latencies.begin() + n / 2, latencies.end());
    return times * latencies[static_cast<std::size_t>(n / 2)];
  };
  std::uint64_t seed = 0, affected = 0, pairs = 0;
  for (auto _ : state) {
    ContentionTest test(++seed);
    while (test.decision() == ContentionTest::Decision::kMore) {
      const bool on_first = test.OnComesFirst();
      const double a = window(on_first ? slowdown : 1), b = window(on_first ? 1 : slowdown);
      test.Add(on_first ? a : b, on_first ? b : a);
    }
    affected += test.decision() == ContentionTest::Decision::kAffected ? 1 : 0;
    pairs += test.pairs();
  }
  const auto tests = static_cast<double>(seed);
  state.counters["affected_pct"] = 100 * static_cast<double>(affected) / tests;
  state.counters["pairs"] = static_cast<double>(pairs) / tests;
}
BENCHMARK(BM_SimulatedTests)
    ->ArgNames({"per_second", "slowdown_pct"})
    ->ArgsProduct({{500, 1000, 5000}, {100, 150}})
    ->Iterations(2000);

void BM_Learn(benchmark::State& state) {
  StallBaseline baseline;
  HwReading reading;
  reading.requests = 100;
  reading.interval_ns = 100'000'000;
  for (Resource resource : kAllResources) {
    reading.instance[resource].delay_us = {500, Quality::kOk, Reason::kNone, Scope::kProcess};
  }
  for (auto _ : state) benchmark::DoNotOptimize(baseline.Learn(reading));
}
BENCHMARK(BM_Learn);

void BM_Attribute(benchmark::State& state) {
  StallBaseline baseline;
  HwReading reading;
  reading.requests = 100;
  reading.interval_ns = 100'000'000;
  for (int i = 0; i < 64; ++i) {
    for (Resource resource : kAllResources) {
      reading.instance[resource].delay_us = {500.0 + i, Quality::kOk, Reason::kNone,
                                             Scope::kProcess};
    }
    baseline.Learn(reading);
  }
  for (auto _ : state) benchmark::DoNotOptimize(Attribute(reading, baseline));
}
BENCHMARK(BM_Attribute);

void BM_TestCounters(benchmark::State& state) {
  const EventTable table = EventTable::OfThisMachine();
  for (auto _ : state) benchmark::DoNotOptimize(TestCounters(KernelPerfEvents(), table));
}
BENCHMARK(BM_TestCounters);

SEER_FIGURE(sample_us, Time("hwmon.sample_us", "us", "<= 40", "BM_SampleAlone"));
SEER_FIGURE(sample20_us,
            Counter("hwmon.sample20_us", "us", "<= 40", "BM_Sample/20", "us_per_service"));
SEER_FIGURE(baseline_pct,
            Counter("hwmon.baseline_pct", "%", "<= 0.05", "BM_Sample/100", "baseline_pct"));

SEER_FIGURE(named_pct, Counter("hwmon.named20_pct", "%", "<= 0.8", "BM_Sample/20", "named_pct"));
SEER_FIGURE(test_power,
            Counter("hwmon.test_power_pct", "%", "",
                    "BM_SimulatedTests/per_second:1000/slowdown_pct:150/iterations:2000",
                    "affected_pct"));
SEER_FIGURE(test_false,
            Counter("hwmon.test_false_pct", "%", "",
                    "BM_SimulatedTests/per_second:1000/slowdown_pct:100/iterations:2000",
                    "affected_pct"));

}  // namespace
}  // namespace seer::bench
