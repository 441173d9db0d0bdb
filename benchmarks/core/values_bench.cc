// What it costs to fill the values: once per queue and tick, or once per RPC.
#include <benchmark/benchmark.h>

#include "seer/core/latency_histogram.h"
#include "seer/core/snapshot.h"
#include "seer/core/span.h"

namespace seer::bench {
namespace {

constexpr std::uint32_t kInstances = 386;

void BM_ChannelTableSet(benchmark::State& state) {
  ChannelTable table(kInstances);
  ChannelSample sample;
  sample.depth = sample.arrivals = sample.departures = 7;
  std::uint32_t i = 0;
  for (auto _ : state) {
    table.Set(InstanceId(i), Channel::kQueued, sample);
    i = i + 1 < kInstances ? i + 1 : 0;
  }
}
BENCHMARK(BM_ChannelTableSet);

void BM_ChannelTableGet(benchmark::State& state) {
  ChannelTable table(kInstances);
  ChannelSample sample;
  sample.depth = sample.arrivals = sample.departures = 7;
  for (std::uint32_t i = 0; i < kInstances; ++i) {
    table.Set(InstanceId(i), Channel::kQueued, sample);
  }
  std::uint32_t i = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(table.Get(InstanceId(i), Channel::kQueued));
    i = i + 1 < kInstances ? i + 1 : 0;
  }
}
BENCHMARK(BM_ChannelTableGet);

void BM_SpanSetStamps(benchmark::State& state) {
  Span span;
  Span::Stamps stamps = {1'000, 2'000, 3'000, 900'000, 901'000};
  for (auto _ : state) {
    benchmark::DoNotOptimize(stamps);
    span.SetStamps(SpanSide::kServer, stamps);
    benchmark::DoNotOptimize(span);
  }
}
BENCHMARK(BM_SpanSetStamps);

void BM_LatencyHistogramRecord(benchmark::State& state) {
  LatencyHistogram histogram;
  std::uint32_t random = 1;
  for (auto _ : state) {
    random = random * 1'664'525u + 1'013'904'223u;
    histogram.Record(1'000'000 + (random >> 12));  // 1 to 2 ms
  }
  state.counters["buckets"] = static_cast<double>(histogram.buckets().size());
}
BENCHMARK(BM_LatencyHistogramRecord);

}  // namespace
}  // namespace seer::bench
