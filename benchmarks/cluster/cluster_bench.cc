// How fast the simulator is, beside one as it is usually written.
#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "benchmarks/cluster/naive.h"
#include "benchmarks/cluster/sim/simulator.h"
#include "benchmarks/harness/figure.h"

namespace seer::cluster {
namespace {

using bench::Counter;
using bench::Speedup;

std::vector<Application> Apps(const std::vector<const char*>& names) {
  std::vector<Application> apps;
  for (const char* name : names) {
    auto app = LoadApplication(std::string(SEER_GRAPHS "/") + name + ".json");
    if (app.ok()) apps.push_back(*std::move(app));
  }
  return apps;
}

SimulatorOptions Loads(std::size_t apps, double rate) {
  SimulatorOptions options;
  options.loads.assign(apps, {rate, 0, 3600, 0});
  return options;
}

void Run(benchmark::State& state, const std::vector<Application>& apps, const ClusterSpec& cluster,
         double rate, std::int64_t step_ns) {
  auto model = BuildModel(apps, cluster, {});
  if (apps.empty() || !model.ok()) {
    state.SkipWithError("no graphs");
    return;
  }
  Simulator simulator(*model, Loads(apps.size(), rate));
  simulator.RunUntil(500'000'000);
  const std::uint64_t before = simulator.events();
  ClusterTick tick;
  for (auto _ : state) {
    for (std::int64_t done = 0; done < step_ns; done += simulator.options().period.ns()) {
      simulator.RunTick();
      simulator.Observe(&tick);
      benchmark::DoNotOptimize(tick);
    }
  }
  const auto events = static_cast<double>(simulator.events() - before);
  state.counters["events"] = benchmark::Counter(events, benchmark::Counter::kIsRate);
}

constexpr const char* kFive[] = {"social_network", "media", "ecommerce", "banking", "hotel"};

// One simulated second for each iteration.
void BM_SocialNetwork(benchmark::State& state) {
  Run(state, Apps({"social_network"}), DefaultCluster(), static_cast<double>(state.range(0)),
      1'000'000'000);
}
BENCHMARK(BM_SocialNetwork)->Arg(1000)->Arg(4000)->Unit(benchmark::kMillisecond);

void BM_NaiveSocialNetwork(benchmark::State& state) {
  const auto apps = Apps({"social_network"});
  if (apps.empty()) {
    state.SkipWithError("no graphs");
    return;
  }
  NaiveSimulator simulator(apps[0], static_cast<double>(state.range(0)));
  simulator.RunFor(0.5);
  for (auto _ : state) simulator.RunFor(1);
  benchmark::DoNotOptimize(simulator.finished());
}
BENCHMARK(BM_NaiveSocialNetwork)->Arg(1000)->Unit(benchmark::kMillisecond);

// One simulated second of all five at 1000 requests/s each; the figure is that of an hour.
void BM_AllApplications(benchmark::State& state) {
  Run(state, Apps({std::begin(kFive), std::end(kFive)}), DefaultCluster(), 1000, 1'000'000'000);
  state.counters["hour_s"] = benchmark::Counter(
      1.0 / 3600, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}
BENCHMARK(BM_AllApplications)->Unit(benchmark::kMillisecond);

// A random graph of so many services; a call costs the same, the rest is the ticks' tables.
void BM_RandomGraph(benchmark::State& state) {
  Run(state, {RandomApplication(static_cast<std::uint32_t>(state.range(0)), 1)},
      UniformCluster(static_cast<std::uint32_t>(state.range(0)) / 4), 200, 1'000'000'000);
}
BENCHMARK(BM_RandomGraph)->Arg(100)->Arg(1000)->Arg(10'000)->Unit(benchmark::kMillisecond);

SEER_FIGURE(events,
            Counter("cluster.events_per_s", "1/s", ">= 8e6", "BM_SocialNetwork/1000", "events"));
SEER_FIGURE(hour,
            Counter("cluster.hour_all_apps_s", "s", "<= 200", "BM_AllApplications", "hour_s"));
SEER_FIGURE(naive, Speedup("cluster.vs_naive", "> 1", "BM_SocialNetwork/1000",
                           "BM_NaiveSocialNetwork/1000", "std::priority_queue and callbacks"));

}  // namespace
}  // namespace seer::cluster
