// The same request in and out of a gauge of prometheus-cpp, held by reference.
#include <benchmark/benchmark.h>
#include <prometheus/gauge.h>

#include "benchmarks/harness/figure.h"

namespace seer::bench {
namespace {

void BM_PrometheusPair(benchmark::State& state) {
  static prometheus::Gauge gauge;
  for (auto _ : state) {
    gauge.Increment();
    gauge.Decrement();
  }
}
BENCHMARK(BM_PrometheusPair);

SEER_FIGURE(prometheus, Speedup("queue.vs_prometheus", ">= 10", "BM_QueuePair", "BM_PrometheusPair",
                                "prometheus-cpp gauge"));

}  // namespace
}  // namespace seer::bench
