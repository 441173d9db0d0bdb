// Queue depths out of spans.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "benchmarks/harness/figure.h"
#include "seer/window/span_depths.h"

namespace seer::bench {
namespace {

constexpr std::int64_t kUs = 1000;
constexpr int kRequests = 20000;

// 500 requests a second, each with seven calls on three tiers of a chain, as a table of RPCs in the
// order of their starts.
struct Recording {
  explicit Recording(bool with_ids) {
    std::mt19937 random(1);
    ServiceId services[4];
    EdgeId edges[4];
    for (int i = 0; i < 4; ++i) {
      services[i] = topology.AddService("service-" + std::to_string(i)).value();
      edges[i] = topology.AddEdge(i == 0 ? ServiceId() : services[i - 1], services[i]).value();
    }
    const auto call = [&](std::uint64_t trace, int tier, std::uint64_t id, std::uint64_t parent,
                          std::int64_t start_ns, std::int64_t length_ns) {
      SpanInterval span;
      span.trace = {1, trace};
      span.caller = tier == 0 ? ServiceId() : services[tier - 1];
      span.callee = services[tier];
      span.edge = edges[tier];
      span.root = tier == 0;
      if (with_ids) {
        span.span_id = id;
        span.parent_id = parent;
      }
      span.start_ns = start_ns;
      span.end_ns = start_ns + length_ns;
      spans.push_back(span);
    };
    std::int64_t now = 0;
    for (std::uint64_t trace = 1; trace <= kRequests; ++trace) {
      now += static_cast<std::int64_t>(random() % 4000) * kUs;
      const std::uint64_t id = trace * 10;
      call(trace, 0, id, 0, now, 40'000 * kUs);
      call(trace, 1, id + 1, id, now + 1000 * kUs, 30'000 * kUs);
      for (int i = 0; i < 5; ++i) {
        const std::int64_t at = now + (2000 + 5000 * i) * kUs;
        call(trace, 2, id + 2 + static_cast<std::uint64_t>(i), id + 1, at, 4000 * kUs);
      }
    }
    std::sort(spans.begin(), spans.end(),
              [](const SpanInterval& a, const SpanInterval& b) { return a.start_ns < b.start_ns; });
  }
  Topology topology;
  std::vector<SpanInterval> spans;
};

void Depths(benchmark::State& state, bool with_ids) {
  const Recording recording(with_ids);
  std::int64_t ticks = 0;
  for (auto _ : state) {
    SpanDepths depths({}, &recording.topology, [&](const ClusterTick&) { ++ticks; });
    for (const SpanInterval& span : recording.spans) depths.Add(span);
    depths.Finish();
    if (depths.stats().orphans != 0) state.SkipWithError("calls without their request");
  }
  if (ticks < state.iterations()) state.SkipWithError("no ticks");
  state.counters["ns_per_interval"] = benchmark::Counter(
      static_cast<double>(recording.spans.size()) * static_cast<double>(state.iterations()) / 1e9,
      benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
void BM_DepthsByTime(benchmark::State& state) { Depths(state, false); }
BENCHMARK(BM_DepthsByTime);
void BM_DepthsById(benchmark::State& state) { Depths(state, true); }
BENCHMARK(BM_DepthsById);

SEER_FIGURE(by_time,
            Counter("window.depths_ns", "ns", "<= 150", "BM_DepthsByTime", "ns_per_interval"));
SEER_FIGURE(by_id,
            Counter("window.depths_by_id_ns", "ns", "<= 150", "BM_DepthsById", "ns_per_interval"));

}  // namespace
}  // namespace seer::bench
