// What it costs to look: all kept-open signals of one service, twenty of them as they are read when
// they are named, and what the baselines of a hundred take.
#include <benchmark/benchmark.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <vector>

#include "benchmarks/harness/figure.h"
#include "seer/hwmon/attribution.h"
#include "seer/hwmon/contention_test.h"
#include "seer/hwmon/counter_monitor.h"
#include "seer/hwmon/software_monitor.h"

namespace seer::bench {
namespace {

// Processes that sleep: a look costs the same whatever they do.
class Services {
 public:
  explicit Services(int count) {
    for (int i = 0; i < count; ++i) {
      const pid_t pid = ::fork();
      if (pid == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) ::pause();
      }
      if (pid > 0) pids_.push_back(pid);
    }
  }
  ~Services() {
    for (const pid_t pid : pids_) ::kill(pid, SIGKILL);
    for (const pid_t pid : pids_) ::waitpid(pid, nullptr, 0);
  }
  const std::vector<pid_t>& pids() const { return pids_; }

 private:
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
  // Of a core, for a hundred services once in ten seconds.
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

}  // namespace
}  // namespace seer::bench
