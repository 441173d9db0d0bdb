// One tick of 386 services into a window of ten.
#include <benchmark/benchmark.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "benchmarks/harness/figure.h"
#include "seer/window/window_builder.h"

namespace seer::bench {
namespace {

constexpr std::uint32_t kServices = 386;

struct Cluster {
  Cluster() {
    std::mt19937 random(1);
    for (std::uint32_t i = 0; i < kServices; ++i) {
      (void)topology.AddService("service-" + std::to_string(i)).value();
      (void)topology.AddEdge(i == 0 ? ServiceId() : ServiceId(i / 3), ServiceId(i)).ok();
      (void)topology
          .AddEdge(ServiceId(static_cast<std::uint32_t>(random() % (i + 1))), ServiceId(i))
          .ok();
    }
    tick.Reset(kServices, topology.edges().size(), 0);
    for (std::uint32_t i = 0; i < kServices; ++i) {
      for (const Channel channel : kAllChannels) {
        tick.services.SetDepth(ServiceId(i), channel, static_cast<double>(random() % 40));
        tick.services.SetFlow(ServiceId(i), channel, 30, 29);
      }
    }
    for (std::uint32_t e = 0; e < topology.edges().size(); ++e) {
      tick.edges.SetDepth(EdgeId(e), static_cast<double>(random() % 20));
    }
  }
  Topology topology;
  ClusterTick tick;
};

// Seven depths, arrivals, outstanding, self and outbound: 11 inputs.
void BM_Build(benchmark::State& state) {
  Cluster cluster;
  const WindowInputs inputs = WindowInputs::Of(ChannelMask::All());
  NormalizerFitter fitter(inputs);
  for (int i = 0; i < 20; ++i) fitter.Observe(cluster.tick, cluster.topology);
  WindowBuilder builder = WindowBuilder::Create(cluster.topology, 10, inputs, fitter.Fit()).value();
  for (int i = 0; i < 10; ++i) {
    ++cluster.tick.tick;
    builder.Push(cluster.tick, cluster.topology);
  }
  for (auto _ : state) {
    ++cluster.tick.tick;
    builder.Push(cluster.tick, cluster.topology);
    benchmark::DoNotOptimize(builder.window().values.data());
  }
  if (builder.filled() != 10) state.SkipWithError("the window did not fill");
}
BENCHMARK(BM_Build);

// The same values without self depths and masks, by std::log1p into a window that moves.
void BM_BuildPlain(benchmark::State& state) {
  const Cluster cluster;
  constexpr std::size_t kRow = kServices * 11;
  std::vector<float> window(10 * kRow);
  for (auto _ : state) {
    window.erase(window.begin(), window.begin() + kRow);
    for (std::uint32_t i = 0; i < kServices; ++i) {
      for (std::uint32_t c = 0; c < 11; ++c) {
        const double depth =
            cluster.tick.services.depth(ServiceId(i), kAllChannels[c % kChannels]).value_or(0);
        window.push_back(static_cast<float>((std::log1p(depth) - 1.5) / 0.7));
      }
    }
    benchmark::DoNotOptimize(window.data());
  }
}
BENCHMARK(BM_BuildPlain);

SEER_FIGURE(build386, Time("window.build386_us", "us", "-", "BM_Build"));
SEER_FIGURE(build_vs_plain, Speedup("window.build_vs_plain", ">= 1", "BM_Build", "BM_BuildPlain",
                                    "std::log1p, cell by cell"));

}  // namespace
}  // namespace seer::bench
