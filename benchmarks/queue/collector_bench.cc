// What a tick costs a node's agent: the collector beside the reader alone, and the page for a
// scraper.
#include <benchmark/benchmark.h>

#include <memory>
#include <string>

#include "benchmarks/harness/figure.h"
#include "seer/core/clock.h"
#include "seer/queue/collector.h"
#include "seer/queue/open_metrics.h"
#include "seer/queue/registry.h"

namespace seer::bench {
namespace {

constexpr int kServices = 129;  // of three queues each: 387

// One process with many services, as the reader's figures have it.
std::unique_ptr<QueueRegistry> Publish() {
  RegistryOptions options;
  options.directory = "";
  options.instance = "replica-0";
  auto registry = QueueRegistry::Create(options);
  if (!registry.ok()) return nullptr;
  for (int i = 0; i < kServices; ++i) {
    const std::string service = "service-" + std::to_string(i);
    for (Channel channel : {Channel::kQueued, Channel::kRunning, Channel::kBlocked}) {
      auto queue = (*registry)->AddQueue(service, channel);
      if (!queue.ok()) return nullptr;
      queue->Enter();
    }
  }
  return *std::move(registry);
}

struct Node {
  Node() : registry(Publish()) {
    options.node = "node-17";
    options.clock = &clock;
    options.reader.directory = "";
    auto created = Collector::Create(options);
    if (!created.ok() || registry == nullptr || !(*created)->Add(*registry).ok()) return;
    collector = *std::move(created);
  }
  ManualClock clock{1'700'000'000'000'000'000};
  std::unique_ptr<QueueRegistry> registry;
  CollectorOptions options;
  std::unique_ptr<Collector> collector;
};

void BM_CollectorTick(benchmark::State& state) {
  Node node;
  if (node.collector == nullptr) return state.SkipWithError("no collector");
  for (auto _ : state) {
    node.clock.Advance(node.options.period.ns());
    benchmark::DoNotOptimize(node.collector->Tick());
  }
  if (node.collector->Tick().instances.size() != kServices) state.SkipWithError("rows are missing");
}
BENCHMARK(BM_CollectorTick)->Unit(benchmark::kMicrosecond);

void BM_CollectorReader(benchmark::State& state) {
  const std::unique_ptr<QueueRegistry> registry = Publish();
  ReaderOptions options;
  options.directory = "";
  auto reader = Reader::Open(options);
  if (registry == nullptr || !reader.ok() || !(*reader)->Add(*registry).ok()) {
    return state.SkipWithError("no reader");
  }
  for (auto _ : state) benchmark::DoNotOptimize((*reader)->Read());
}
BENCHMARK(BM_CollectorReader)->Unit(benchmark::kMicrosecond);

void BM_AppendMetrics(benchmark::State& state) {
  Node node;
  if (node.collector == nullptr) return state.SkipWithError("no collector");
  const Snapshot& snapshot = node.collector->Tick();
  std::string page;
  for (auto _ : state) {
    page.clear();
    AppendMetrics(node.collector->topology(), snapshot, node.collector->totals(),
                  MetricsFormat::kOpenMetrics, &page);
    benchmark::DoNotOptimize(page);
  }
  std::size_t samples = 0;
  for (std::size_t at = 0; (at = page.find("\nseer_", at)) != std::string::npos; ++at) ++samples;
  state.counters["samples"] = static_cast<double>(samples);
  state.counters["ns_per_sample"] = benchmark::Counter(
      static_cast<double>(samples) * 1e-9,
      benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}
BENCHMARK(BM_AppendMetrics)->Unit(benchmark::kMicrosecond);

SEER_FIGURE(collector, Time("queue.collector387_us", "us", "", "BM_CollectorTick"));
SEER_FIGURE(collector_reader, Time("queue.collector_reader387_us", "us", "", "BM_CollectorReader"));
SEER_FIGURE(metrics, Time("queue.metrics387_us", "us", "", "BM_AppendMetrics"));

}  // namespace
}  // namespace seer::bench
