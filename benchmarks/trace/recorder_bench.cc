// What recording an RPC costs, beside what any tracer must pay for its clock: four reads of
// CLOCK_MONOTONIC and a store of 64 bytes.
#include <benchmark/benchmark.h>

#include <cmath>
#include <cstdint>
#include <ctime>
#include <memory>
#include <vector>

#include "benchmarks/harness/figure.h"
#include "benchmarks/harness/instructions.h"
#include "seer/core/internal/shared_word.h"
#include "seer/trace/drainer.h"
#include "seer/trace/recorder.h"

namespace seer::bench {
namespace {

constexpr std::uint32_t kRecords = 4096;
const SpanIds kIds = {{0x1122334455667788, 0x99aabbccddeeff00}, 0x1234567890abcdef, 42};

// A recorder, and the ring of this thread in it.
struct Recording {
  Recording() {
    RecorderOptions options;
    options.records_per_thread = kRecords;
    options.max_threads = 1;
    recorder = *SpanRecorder::Create(options);
    method = *recorder->AddServed("cart", "GetCart");
    method.Record(RawSpan());  // claims the ring
    const char* const base = recorder->segment().data();
    const auto* const h =
        reinterpret_cast<const seer_spans_header*>(base + sizeof(seer_segment_header));
    ring = reinterpret_cast<seer_ring*>(const_cast<char*>(base + h->rings_offset + h->ring_stride));
  }
  // What a drainer does to it.
  void Empty() {
    seer::internal::StoreRelease(&ring->drained, seer::internal::LoadRelaxed(&ring->written));
  }

  std::unique_ptr<SpanRecorder> recorder;
  ServedMethod method;
  seer_ring* ring;
};

// Inlined, as it would be into the code that serves the request.
__attribute__((always_inline)) inline void FourStamps(const ServedMethod& method) {
  ServerSpan span(method, kIds);
  span.Dequeued();
  span.HandlerEnd();
  span.End(Outcome::kOk);
}

void BM_Span(benchmark::State& state) {
  Recording on;
  const ServedMethod method = on.method;
  std::uint32_t n = 0;
  for (auto _ : state) {
    FourStamps(method);
    if (++n % (kRecords / 2) == 0) on.Empty();
  }
}
BENCHMARK(BM_Span);

void BM_SpanFull(benchmark::State& state) {
  Recording on;
  const ServedMethod method = on.method;
  for (std::uint32_t i = 0; i < kRecords; ++i) FourStamps(method);
  std::uint32_t n = 0;
  for (auto _ : state) {
    FourStamps(method);
    benchmark::DoNotOptimize(++n);
  }
}
BENCHMARK(BM_SpanFull);

void BM_SpanFiveStamps(benchmark::State& state) {
  Recording on;
  const ServedMethod method = on.method;
  std::uint32_t n = 0;
  for (auto _ : state) {
    ServerSpan span(method, kIds);
    span.Dequeued();
    span.HandlerStart();
    span.HandlerEnd();
    span.End(Outcome::kOk);
    if (++n % (kRecords / 2) == 0) on.Empty();
  }
}
BENCHMARK(BM_SpanFiveStamps);

// With an id of its own, as most hosts want it.
void BM_SpanNewId(benchmark::State& state) {
  Recording on;
  const ServedMethod method = on.method;
  const TraceContext caller = NewRoot();
  std::uint32_t n = 0;
  for (auto _ : state) {
    ServerSpan span(method, caller);
    span.Dequeued();
    span.HandlerEnd();
    span.End(Outcome::kOk);
    if (++n % (kRecords / 2) == 0) on.Empty();
  }
}
BENCHMARK(BM_SpanNewId);

void BM_SpanKeepLatest(benchmark::State& state) {
  RecorderOptions options;
  options.when_full = RecorderOptions::WhenFull::kKeepLatest;
  const auto recorder = *SpanRecorder::Create(options);
  const ServedMethod method = *recorder->AddServed("cart", "GetCart");
  for (auto _ : state) FourStamps(method);
}
BENCHMARK(BM_SpanKeepLatest);

void BM_FourClocks(benchmark::State& state) {
  std::vector<std::uint64_t> store(std::size_t{kRecords} * 8);
  std::uint32_t n = 0;
  for (auto _ : state) {
    std::uint64_t* const record = &store[std::size_t{n++ % kRecords} * 8];
    timespec t[4];
    for (timespec& one : t) clock_gettime(CLOCK_MONOTONIC, &one);
    record[0] = kIds.trace_id.high;
    record[1] = kIds.trace_id.low;
    record[2] = kIds.span_id;
    record[3] = kIds.parent_id;
    for (int i = 0; i < 4; ++i) {
      record[4 + i] = static_cast<std::uint64_t>(t[i].tv_sec) * 1'000'000'000u +
                      static_cast<std::uint64_t>(t[i].tv_nsec);
    }
    benchmark::ClobberMemory();
  }
}
BENCHMARK(BM_FourClocks);

RawSpan HostSpan(std::uint64_t now) {
  RawSpan span;
  span.trace_id = kIds.trace_id;
  span.span_id = kIds.span_id;
  span.parent_id = kIds.parent_id;
  span.Set(0, now);
  span.Set(1, now + 1000);
  span.Set(3, now + 3000);
  span.Set(4, now + 4000);
  span.outcome = Outcome::kOk;
  return span;
}

// The time of an empty loop, some 0.3 ns, is part of it.
void BM_HostStamps(benchmark::State& state) {
  Recording on;
  const ServedMethod method = on.method;
  std::uint64_t now = method.Stamp();
  std::uint32_t n = 0;
  for (auto _ : state) {
    method.Record(HostSpan(++now));
    if (++n % (kRecords / 2) == 0) on.Empty();
  }
}
BENCHMARK(BM_HostStamps);

template <typename Body>
void CountInstructions(benchmark::State& state, const Body& body) {
  double instructions = 0;
  for (auto _ : state) instructions = InstructionsPerCall(body);
  if (std::isnan(instructions)) {
    state.SkipWithError("ptrace() is not permitted here");
    return;
  }
  state.counters["instructions"] = instructions;
}
// Counted, not timed: one iteration is enough. A child of this process has empty rings.
void BM_SpanInstructions(benchmark::State& state) {
  Recording on;
  const ServedMethod method = on.method;
  CountInstructions(state, [method] { FourStamps(method); });
}
BENCHMARK(BM_SpanInstructions)->Iterations(1)->Unit(benchmark::kMillisecond);

// From rings to unix time, ids and batches, per span; the sink throws them away.
class Nowhere final : public TraceSink {
 public:
  absl::Status Write(const SpanBatch& batch) override {
    benchmark::DoNotOptimize(batch.spans.data());
    return absl::OkStatus();
  }
  absl::Status Flush(std::chrono::nanoseconds) override { return absl::OkStatus(); }
};
void BM_Drain(benchmark::State& state) {
  Recording on;
  const auto drainer = *SpanDrainer::Create(*on.recorder, std::make_shared<Nowhere>());
  std::uint64_t spans = 0;
  for (auto _ : state) {
    state.PauseTiming();
    for (std::uint32_t i = 0; i < kRecords; ++i) FourStamps(on.method);
    state.ResumeTiming();
    if (!drainer->Drain().ok()) state.SkipWithError("Drain() failed");
    spans += kRecords;
  }
  state.counters["ns_per_span"] = benchmark::Counter(
      static_cast<double>(spans) / 1e9, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(BM_Drain)->Unit(benchmark::kMicrosecond);

SEER_FIGURE(span, Ratio("trace.span_vs_clock", "<= 0.52", "BM_Span", "BM_FourClocks",
                        "four clock_gettime and a 64-byte store"));
SEER_FIGURE(instructions,
            Counter("trace.span_instructions", "", "<= 60", "BM_SpanInstructions", "instructions"));
SEER_FIGURE(host, Time("trace.host_stamps_ns", "ns", "<= 5", "BM_HostStamps"));
SEER_FIGURE(full,
            Ratio("trace.full_ring_ratio", "<= 1.05", "BM_SpanFull", "BM_Span", "an empty ring"));
SEER_FIGURE(drain, Counter("trace.drain_ns", "ns", "", "BM_Drain", "ns_per_span"));

}  // namespace
}  // namespace seer::bench
