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
  run_ = benchmarks_.Run(Microbenchmark::kLlc, 0,
                         placed_ || !process ? placement_ : BesideProcess(target.pid), stop_);
  ResourceReading& cache = reading->instance[Resource::kCache];
  const auto unavailable = [&](Reason reason) {
    cache.delay_us.reason = cache.saturation.reason = reason;
    cache.delay_us.scope = cache.saturation.scope = Scope::kHost;
    return absl::OkStatus();
  };
  if (!run_.ok()) return unavailable(run_.reason);
  if (run_.starved || run_.aborted) return unavailable(Reason::kMultiplexed);
  const double slowdown = benchmarks_.Slowdown(run_);
  if (slowdown <= 0) return unavailable(Reason::kNotObserved);  // never calibrated
  if (!detail.run_us.ok()) return unavailable(detail.run_us.reason);
  const double share = slowdown > 1 ? 1 - 1 / slowdown : 0;
  cache.saturation = {share, Quality::kScaled, Reason::kMultiplexed, Scope::kHost};
  cache.delay_us = {static_cast<double>(detail.run_us.value) * share, Quality::kScaled,
                    Reason::kMultiplexed, Scope::kHost};
  return absl::OkStatus();
}

SEER_END_NAMESPACE
