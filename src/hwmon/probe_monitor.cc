#include "seer/hwmon/probe_monitor.h"

#include <sched.h>

#include <array>

SEER_BEGIN_NAMESPACE
namespace {

Placement BesideProcess(int pid) {
  Placement placement;
  std::array<unsigned long, 128> mask = {};
  if (pid <= 0 ||
      ::sched_getaffinity(pid, sizeof(mask), reinterpret_cast<cpu_set_t*>(mask.data())) != 0) {
    return placement;
  }
  constexpr int kBits = static_cast<int>(sizeof(unsigned long) * 8);
  for (int cpu = 0; cpu < static_cast<int>(mask.size()) * kBits; ++cpu) {
    if ((mask[static_cast<std::size_t>(cpu / kBits)] >> (cpu % kBits) & 1) != 0) {
      placement.processors.push_back(cpu);
    }
  }
  return placement;
}

}  // namespace

absl::Status ProbeMonitor::Read(const HwTarget& target, HwReading* reading) {
  run_ = MicrobenchmarkRun();
  absl::Status status = software_.Read(target, reading);
  if (!status.ok() || reading->interval_ns <= 0 || target.kind == HwTarget::Kind::kHost) {
    return status;
  }
  const SoftwareDetail detail = software_.last();
  const bool process = target.kind == HwTarget::Kind::kProcess;
  const Placement placement = placed_ || !process ? placement_ : BesideProcess(target.pid);
  ResourceReading& cache = reading->instance[Resource::kCache];
  const auto unavailable = [&](Reason reason) {
    cache.delay_us.reason = cache.saturation.reason = reason;
    cache.delay_us.scope = cache.saturation.scope = Scope::kHost;
    return absl::OkStatus();
  };
  double slowdown = 0;  // 0: never calibrated
  for (const Microbenchmark benchmark : {Microbenchmark::kL2, Microbenchmark::kLlc}) {
    const MicrobenchmarkRun run = benchmarks_.Run(benchmark, 0, placement, stop_);
    if (!run.ok() || run.starved || run.aborted) {
      run_ = run;
      return unavailable(run.starved || run.aborted ? Reason::kMultiplexed : run.reason);
    }
    const double own = benchmarks_.Slowdown(run);
    if (own >= slowdown) {
      slowdown = own;
      run_ = run;
    }
    // What lies farther out would look slow, too.
    constexpr double kSlow = 1.3;
    if (slowdown >= kSlow) break;
  }
  if (slowdown <= 0) return unavailable(Reason::kNotObserved);
  if (!detail.run_us.ok()) return unavailable(detail.run_us.reason);
  const double share = slowdown > 1 ? 1 - 1 / slowdown : 0;
  cache.saturation = {share, Quality::kScaled, Reason::kMultiplexed, Scope::kHost};
  cache.delay_us = {static_cast<double>(detail.run_us.value) * share, Quality::kScaled,
                    Reason::kMultiplexed, Scope::kHost};
  return absl::OkStatus();
}

SEER_END_NAMESPACE
