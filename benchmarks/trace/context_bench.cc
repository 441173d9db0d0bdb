// What a context costs a request.
#include <benchmark/benchmark.h>

#include <map>
#include <optional>
#include <random>
#include <string>
#include <string_view>

#include "benchmarks/harness/figure.h"
#include "seer/trace/context.h"
#include "seer/trace/propagation.h"

namespace seer::bench {
namespace {

void BM_NewSpanId(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(NewSpanId());
}
BENCHMARK(BM_NewSpanId);

// What one would write without thinking of forks: a thread-local std generator.
void BM_ThreadLocalMt19937(benchmark::State& state) {
  thread_local std::mt19937_64 generator{std::random_device()()};
  for (auto _ : state) benchmark::DoNotOptimize(generator());
}
BENCHMARK(BM_ThreadLocalMt19937);

void BM_NewChild(benchmark::State& state) {
  const TraceContext root = NewRoot();
  for (auto _ : state) benchmark::DoNotOptimize(NewChild(root));
}
BENCHMARK(BM_NewChild);

void BM_ContextScope(benchmark::State& state) {
  const TraceContext root = NewRoot();
  for (auto _ : state) {
    ContextScope scope(root);
    benchmark::DoNotOptimize(CurrentContext().span_id);
  }
}
BENCHMARK(BM_ContextScope);

void BM_FormatTraceparent(benchmark::State& state) {
  TraceContext context = NewRoot();
  for (auto _ : state) {
    ++context.span_id;
    benchmark::DoNotOptimize(FormatTraceparent(context));
  }
}
BENCHMARK(BM_FormatTraceparent);

void BM_ParseTraceparent(benchmark::State& state) {
  const auto header = FormatTraceparent(NewRoot());
  for (auto _ : state) {
    std::string_view view(header.data(), header.size());
    benchmark::DoNotOptimize(view);
    benchmark::DoNotOptimize(ParseTraceparent(view));
  }
}
BENCHMARK(BM_ParseTraceparent);

// As DeathStarBench carries contexts: in a std::map, one made for each call.
void BM_InjectExtractMap(benchmark::State& state) {
  const TraceContext root = NewRoot();
  for (auto _ : state) {
    std::map<std::string, std::string> carrier;
    Inject(root, &carrier);
    benchmark::DoNotOptimize(Extract(carrier));
  }
}
BENCHMARK(BM_InjectExtractMap);

void BM_ParseTracestate(benchmark::State& state) {
  for (auto _ : state) {
    benchmark::DoNotOptimize(ParseTracestate("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"));
  }
}
BENCHMARK(BM_ParseTracestate);

SEER_FIGURE(span_id_ns, Time("trace.span_id_ns", "ns", "", "BM_NewSpanId"));
SEER_FIGURE(format_ns, Time("trace.traceparent_format_ns", "ns", "", "BM_FormatTraceparent"));
SEER_FIGURE(parse_ns, Time("trace.traceparent_parse_ns", "ns", "", "BM_ParseTraceparent"));

}  // namespace
}  // namespace seer::bench
