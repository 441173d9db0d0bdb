#include "benchmarks/hwmon/trial_bench.h"

#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include "seer/hwmon/attribution.h"
#include "seer/hwmon/stall_baseline.h"

namespace seer::bench {
namespace {

constexpr std::int64_t kTickNs = 100 * kMs;
constexpr int kTicks = 8;

std::string Detail(const SoftwareDetail& d, const MicrobenchmarkRun& run, double slowdown) {
  std::ostringstream text;
  const auto put = [&](const char* name, const seer::Reading& value) {
    if (value.ok()) text << name << "=" << value.value << ",";
  };
  put("run_us", d.run_us);
  put("run_delay_us", d.run_delay_us);
  put("throttled_us", d.throttled_us);
  put("periods", d.periods);
  put("throttled_periods", d.throttled_periods);
  put("memory_bytes", d.memory_bytes);
  put("memory_limit_bytes", d.memory_limit_bytes);
  put("refaults", d.refaults);
  put("major_faults", d.major_faults);
  put("memory_stall_us", d.memory_stall_us);
  put("storage_stall_us", d.storage_stall_us);
  put("backlog_packets", d.backlog_packets);
  put("dropped_packets", d.dropped_packets);
  put("steal_us", d.steal_us);
  put("disk_await_us", d.disk_await_us);
  put("disk_in_flight", d.disk_in_flight);
  text << "probe_ns=" << run.ns_per_step << ",probe_slowdown=" << slowdown
       << ",probe_wall_us=" << run.wall.count() / 1000
       << ",probe_cpu_us=" << run.processor.count() / 1000
       << ",probe_starved=" << (run.starved ? 1 : 0) << ",probe_reason=" << ReasonName(run.reason);
  return text.str();
}

}  // namespace

void SleepUntil(std::int64_t steady_ns) {
  timespec t = {steady_ns / 1'000'000'000, steady_ns % 1'000'000'000};
  while (::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, nullptr) == EINTR) {
  }
}

double PercentileUs(std::vector<std::int64_t> values, double p) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const auto i = static_cast<std::size_t>(p * static_cast<double>(values.size() - 1) + 0.5);
  return static_cast<double>(values[i]) / 1000;
}

TrialBench::~TrialBench() {
  hogs_.Stop();
  awake_.Stop();
  watched_.clear();
  WriteFile("/sys/fs/cgroup/cpuacct/cgroup.procs", std::to_string(::getpid()));
  for (const char* c : {"cpu", "cpuacct", "memory", "unified"}) {
    const std::string at = std::string("/sys/fs/cgroup/") + c + "/seer-trial";
    ::rmdir((at + "/hog").c_str());
    ::rmdir(at.c_str());
  }
  ::unlink(hog_file_.c_str());
}

std::string TrialBench::Begin() {
  if (::getuid() != 0) return "not root";
  for (const char* c : {"cpu", "cpuacct", "memory", "unified"}) {
    const std::string at = std::string("/sys/fs/cgroup/") + c + "/seer-trial";
    ::mkdir(at.c_str(), 0755);
    if (std::strcmp(c, "cpu") == 0) ::mkdir(kHogCgroup, 0755);
    if (::access((at + "/cgroup.procs").c_str(), W_OK) != 0) return at + " cannot be made";
  }
  if (!WriteFile("/sys/fs/cgroup/cpuacct/seer-trial/cgroup.procs", std::to_string(::getpid()))) {
    return "cannot account for the trials' own processor time";
  }
  // Only this thread: victims and benchmarks are as everybody is.
  const sched_param param = {};
  ::sched_setscheduler(0, SCHED_OTHER | SCHED_RESET_ON_FORK, &param);
  ::setpriority(PRIO_PROCESS, 0, -20);
  PinTo(kClientCpu);
  hog_file_ = options_.directory + "/seer-trial-hog";
  if (!Shell("dd if=/dev/zero of=" + hog_file_ + " bs=1M count=256 conv=fdatasync")) {
    return "no room for 256 MiB in " + options_.directory;
  }
  for (int i = 0; i < kProfiles; ++i) {
    watched_.push_back(std::make_unique<Watched>(
        std::make_unique<Victim>(static_cast<Profile>(i), i, options_.directory)));
  }
  for (auto& w : watched_) {
    if (!w->victim->Begin()) return w->victim->error();
  }
  // The client's processor never sleeps: or a neighbour there would make the client faster, as it
  // need not be woken up from a halt.
  awake_.Start(
      1, kClientCpu, [] { Spin(); }, /*only_idle_time=*/true);
  // Threads begin only now: the victims were forked before.
  for (auto& w : watched_) {
    w->client = std::make_unique<Client>(*w->victim);
    if (!w->client->ok()) return "a victim does not answer";
    w->client->set_rate(1);
  }
  MicrobenchmarkOptions micro;
  // Two in each of eight readings: 150 ms of probing at most, until the last look.
  micro.budget = std::chrono::milliseconds(8);
  auto made = Microbenchmarks::Create(micro);
  if (!made.ok()) return std::string(made.status().ToString());
  micro_ = *std::move(made);
  placement_.processors = {kVictimCpu};
  SleepUntil(SteadyNs() + 300 * kMs);
  absl::Status calibrated = micro_->Calibrate(placement_);
  for (int again = 0; !calibrated.ok() && again < 5; ++again) {
    SleepUntil(SteadyNs() + 1000 * kMs);
    calibrated = micro_->Calibrate(placement_);
  }
  if (!calibrated.ok() && !options_.busy) return std::string(calibrated.ToString());
  monitor_ = std::make_unique<ProbeMonitor>(software_, *micro_);
  monitor_->set_placement(placement_);
  return "";
}

TrialRecord TrialBench::Run(Profile profile, Truth truth) {
  Watched& w = watched(profile);
  TrialRecord record;
  Trial& trial = record.trial;
  trial.profile = profile;
  trial.truth = truth;
  w.client->set_rate(RequestsPerSecond(profile));
  SleepUntil(SteadyNs() + 200 * kMs);
  const Foreign foreign;

  HwReading reading;
  const auto look = [&](std::vector<HwReading>* readings) {
    const std::int64_t from = SteadyNs();
    for (int i = 0; i < kTicks; ++i) {
      SleepUntil(from + (i + 1) * kTickNs);
      record.details.push_back(Read(&w, &reading));
      readings->push_back(reading);
    }
    return from;
  };
  Read(&w, &reading);
  const std::int64_t healthy_from = look(&record.healthy);
  const std::int64_t healthy_to = SteadyNs();
  HwReading all;
  for (const HwReading& r : record.healthy) AddReading(r, &all);
  if (const double busy = BusyUsPerRequest(all); busy > 0) w.busy_us = busy;
  SetContention(truth, &w, true);
  // A neighbour needs a moment to get hold of what it wants.
  SleepUntil(SteadyNs() + 100 * kMs);
  Read(&w, &reading);
  const std::int64_t from = look(&record.contended);
  const std::int64_t to = SteadyNs();
  const auto healthy = w.client->LatenciesIn(healthy_from, healthy_to);
  const auto contended = w.client->LatenciesIn(from, to);
  trial.foreign = foreign.Share();
  SetContention(truth, &w, false);
  record.healthy_requests = healthy.size();
  trial.healthy_p50_us = PercentileUs(healthy, 0.5);
  trial.healthy_p95_us = PercentileUs(healthy, 0.95);
  trial.p50_us = PercentileUs(contended, 0.5);
  trial.p95_us = PercentileUs(contended, 0.95);
  // Until what piled up is done: or the next trial's healthy time would be none.
  w.client->set_rate(1);
  SleepUntil(SteadyNs() + 300 * kMs);
  constexpr int kMostWaits = 100;
  for (int i = 0; i < kMostWaits && w.client->HasOpen(); ++i) SleepUntil(SteadyNs() + 50 * kMs);
  w.client->Forget();
  return record;
}

std::string TrialBench::Read(Watched* w, HwReading* reading) {
  // Now, as the signals are; the probe comes after them.
  const std::uint64_t handled = w->victim->handled();
  const absl::Status status =
      ReadGuarded(*monitor_, HwTarget::OfProcess(w->victim->pid()), reading);
  if (status.ok()) reading->requests = handled - w->handled;
  w->handled = handled;
  const MicrobenchmarkRun& run = monitor_->last_run();
  return Detail(software_.last(), run, micro_->Slowdown(run));
}

void TrialBench::SetContention(Truth truth, Watched* w, bool on) {
  const Victim& victim = *w->victim;
  const std::string limit = victim.cgroup("memory") + "/memory.limit_in_bytes";
  if (!on) hogs_.Stop();
  switch (truth) {
    case Truth::kNone:
      return;
    case Truth::kCpu:
      if (on) hogs_.Start(3, kVictimCpu, [] { Spin(); });
      return;
    case Truth::kQuota: {
      // Less than what it needs: measured as what it used in the healthy time.
      const double busy = w->busy_us * RequestsPerSecond(victim.profile());
      const long us = std::max(1500L, std::lround(busy / 1e6 * 100'000 * 0.7));
      WriteFile(victim.cgroup("cpu") + "/cpu.cfs_quota_us", on ? std::to_string(us) : "-1");
      return;
    }
    case Truth::kMemory:
      // In idle time: it takes no processor from the victim, but all of the core's cache.
      if (on) hogs_.Start(1, kVictimCpu, ThrashCache, /*only_idle_time=*/true);
      return;
    case Truth::kMemoryCapacity:
      if (on) {
        const double used =
            std::atof(ReadFile(victim.cgroup("memory") + "/memory.usage_in_bytes").c_str());
        WriteFile(limit, std::to_string(std::llround(used * 0.5)));
      } else {
        WriteFile(limit, "-1");
        w->client->Warm();
        SleepUntil(SteadyNs() + 500 * kMs);
      }
      return;
    case Truth::kDisk:
      if (on) hogs_.Start(8, kClientCpu, [this] { ReadDisk(hog_file_); });
      return;
    case Truth::kNetwork:
      if (on) hogs_.Start(2, kClientCpu, [&victim] { FloodNetwork(victim); });
      return;
    case Truth::kApplication:
      w->client->set_blocked_share(on ? 0.15 : 0);
      return;
    case Truth::kLoad:
      w->client->set_rate(RequestsPerSecond(victim.profile()) * (on ? 5 : 1));
      return;
  }
}

}  // namespace seer::bench
