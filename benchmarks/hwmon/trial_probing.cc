// What the microbenchmarks do to a victim, what they see of its neighbours, and how often the
// sequential test is right about them.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <sstream>

#include "benchmarks/hwmon/trial_bench.h"
#include "seer/hwmon/contention_test.h"

namespace seer::bench {
namespace {

double InMs(std::chrono::nanoseconds t) { return static_cast<double>(t.count()) / 1e6; }

double Median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::nth_element(values.begin(), values.begin() + static_cast<long>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

// A service that waits is hit hard now and then: its median hardly moves. A pair tells more by what
// all of its requests took.
double MeanUs(const std::vector<std::int64_t>& latencies) {
  double sum = 0;
  for (const std::int64_t l : latencies) sum += static_cast<double>(l);
  return latencies.empty() ? 0 : sum / 1000 / static_cast<double>(latencies.size());
}

}  // namespace

ProbeCost TrialBench::MeasureProbing() {
  ProbeCost cost;
  Watched& w = watched(Profile::kCompute);
  w.client->set_rate(RequestsPerSecond(Profile::kCompute));
  SleepUntil(SteadyNs() + 200 * kMs);
  std::vector<std::int64_t> with, without;
  constexpr int kRounds = 30;
  double healthy_p95_us = 1e9;
  for (int i = 0; i < kRounds; ++i) {
    const std::int64_t quiet = SteadyNs();
    SleepUntil(quiet + 150 * kMs);
    const std::int64_t probed = SteadyNs();
    // The victim suffers: half of what it was asked lately took twice its healthy p95.
    const auto suffers = [&] {
      const std::int64_t now = SteadyNs();
      return PercentileUs(w.client->LatenciesIn(now - 10 * kMs, now), 0.5) > 2 * healthy_p95_us;
    };
    const Microbenchmarks::Finding found = micro_->FirstSlow(1e9, placement_, suffers);
    const std::int64_t done = SteadyNs();
    cost.most_probing_ms = std::max(cost.most_probing_ms, InMs(found.probing));
    cost.aborted += found.aborted ? 1 : 0;
    SleepUntil(done + 50 * kMs);
    const auto before = w.client->LatenciesIn(quiet, probed);
    healthy_p95_us = PercentileUs(before, 0.95);
    without.insert(without.end(), before.begin(), before.end());
    for (const std::int64_t l : w.client->LatenciesIn(probed, done)) with.push_back(l);
    w.client->Forget();
  }
  cost.rounds = kRounds;
  const double healthy = PercentileUs(without, 0.99);
  cost.p99_rise_pct = healthy > 0 ? (PercentileUs(with, 0.99) / healthy - 1) * 100 : NAN;

  // From the moment in which `stop` says so: beside a victim that is busy, and where others take
  // all of the processor, so that the benchmark is not let run.
  for (const bool crowded : {false, true}) {
    if (crowded) hogs_.Start(2, kVictimCpu, [] { Spin(); });
    for (int i = 0; i < kRounds; ++i) {
      std::int64_t asked = 0, said = 0;
      const MicrobenchmarkRun run = micro_->Run(Microbenchmark::kLlc, 0, placement_, [&] {
        if (++asked < 3) return false;
        if (said == 0) said = SteadyNs();
        return true;
      });
      if (said == 0) said = SteadyNs() - run.wall.count();  // ended before it was asked thrice
      cost.most_abort_ms =
          std::max(cost.most_abort_ms, static_cast<double>(SteadyNs() - said) / 1e6);
    }
  }
  hogs_.Stop();
  w.client->set_rate(1);
  SleepUntil(SteadyNs() + 300 * kMs);
  w.client->Forget();
  return cost;
}

// The benchmark runs in one window of each pair. On arithmetic with the priority of everybody, as a
// neighbour does; on the cache in idle time, so that nothing but the cache is taken.
LiveTest TrialBench::TestLive(Profile profile, Microbenchmark benchmark, int processor, int tests) {
  LiveTest live;
  Placement placement;
  placement.processors = {processor};
  placement.only_idle_time = benchmark != Microbenchmark::kCpu;
  live.beside_victim = processor == kVictimCpu;
  live.profile = profile;
  live.benchmark = std::string(MicrobenchmarkName(benchmark));
  if (weapons_ == nullptr) {
    MicrobenchmarkOptions options;
    options.memory = true;
    auto made = Microbenchmarks::Create(options);
    if (!made.ok()) return live;
    weapons_ = *std::move(made);
  }
  Watched& w = watched(profile);
  w.client->set_rate(RequestsPerSecond(profile));
  SleepUntil(SteadyNs() + 200 * kMs);
  double logs = 0;
  int all_pairs = 0;
  constexpr std::int64_t kWindow = 10 * kMs, kBetween = 5 * kMs;
  for (int i = 0; i < tests; ++i) {
    ContentionTest test(static_cast<std::uint64_t>(i) + 1);
    while (test.decision() == ContentionTest::Decision::kMore) {
      double mean_us[2] = {};  // off, on
      const bool on_first = test.OnComesFirst();
      for (const bool on : {on_first, !on_first}) {
        const std::int64_t from = SteadyNs();
        if (on) {
          weapons_->Run(benchmark, 1, placement);
        } else {
          SleepUntil(from + kWindow);
        }
        const std::int64_t to = std::min(SteadyNs(), from + kWindow);
        SleepUntil(SteadyNs() + kBetween);  // what was sent last has its answer
        mean_us[on ? 1 : 0] = MeanUs(w.client->LatenciesIn(from, to));
      }
      w.client->Forget();
      test.Add(mean_us[1], mean_us[0]);
    }
    ++live.tests;
    live.affected += test.decision() == ContentionTest::Decision::kAffected ? 1 : 0;
    live.undecided += test.decision() == ContentionTest::Decision::kUndecided ? 1 : 0;
    logs += std::log(test.effect()) * static_cast<double>(test.pairs());
    all_pairs += static_cast<int>(test.pairs());
  }
  live.effect = all_pairs > 0 ? std::exp(logs / all_pairs) : 1;
  live.pairs = static_cast<double>(all_pairs) / std::max(1, live.tests);
  w.client->set_rate(1);
  SleepUntil(SteadyNs() + 200 * kMs);
  w.client->Forget();
  return live;
}

// All ten, inside the network victim's cgroup and network namespace: how much slower than idle
// each is under each neighbour (the median of some senses), and how often that is 1.3 or more.
std::vector<std::string> TrialBench::Gauges() {
  std::vector<std::string> lines;
  Watched& w = watched(Profile::kNetwork);
  MicrobenchmarkOptions options;
  options.memory = options.network = options.disk = true;
  options.directory = options_.directory;
  options.address = w.victim->peer_address();
  auto all = Microbenchmarks::Create(options);
  if (!all.ok()) return {std::string(all.status().ToString())};
  Placement placement = placement_;
  placement.tasks_file = w.victim->cgroup("cpu") + "/tasks";
  placement.home_tasks_file = "/sys/fs/cgroup/cpu/tasks";
  placement.network_namespace = "/proc/" + std::to_string(w.victim->pid()) + "/ns/net";
  if (!(*all)->Calibrate(placement).ok()) return {"the benchmarks cannot be calibrated"};
  w.busy_us = 50;  // so that its quota is what the benchmarks feel
  constexpr int kSenses = 5;
  for (const Truth truth :
       {Truth::kNone, Truth::kCpu, Truth::kQuota, Truth::kMemory, Truth::kNetwork, Truth::kDisk}) {
    SetContention(truth, &w, true);
    SleepUntil(SteadyNs() + 200 * kMs);
    std::ostringstream line;
    char text[48];
    std::snprintf(text, sizeof(text), "%-8s", TruthName(truth));
    line << text;
    for (std::size_t i = 0; i < kMicrobenchmarks; ++i) {
      const auto benchmark = static_cast<Microbenchmark>(i);
      std::vector<double> slowdowns;
      int slow = 0, starved = 0;
      for (int s = 0; s < kSenses; ++s) {
        const MicrobenchmarkRun run = (*all)->Sense(benchmark, placement);
        starved += run.starved ? 1 : 0;
        if (!run.ok() || run.starved) continue;
        slowdowns.push_back((*all)->Slowdown(run));
        slow += slowdowns.back() >= 1.3 ? 1 : 0;
      }
      std::snprintf(text, sizeof(text), " | %s %.2f %d/%d", MicrobenchmarkName(benchmark).data(),
                    Median(slowdowns), slow, kSenses);
      line << text;
      if (starved > 0) line << " (" << starved << " starved)";
    }
    lines.push_back(line.str());
    SetContention(truth, &w, false);
    SleepUntil(SteadyNs() + 300 * kMs);
  }
  return lines;
}

}  // namespace seer::bench
