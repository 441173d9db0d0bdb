// Spans into each export format, buffers reused. The figures are for one span of a batch of 1000.
#include <benchmark/benchmark.h>

#include <cstring>
#include <string>
#include <vector>

#include "benchmarks/harness/figure.h"
#include "benchmarks/trace/busy_spans.h"
#include "seer/core/wire.h"
#include "seer/trace/chrome_trace.h"
#include "seer/trace/jaeger.h"
#include "seer/trace/otlp.h"
#include "seer/trace/zipkin.h"

namespace seer::bench {
namespace {

// `encode(busy, &bytes)`, and what it costs a span.
template <typename Encode>
void Measure(benchmark::State& state, const Encode& encode) {
  const BusySpans busy = MakeBusySpans();
  std::string bytes;
  for (auto _ : state) {
    encode(busy, &bytes);
    benchmark::DoNotOptimize(bytes.data());
    benchmark::ClobberMemory();
  }
  const auto spans = static_cast<double>(kBatchSpans);
  state.counters["bytes_per_span"] = static_cast<double>(bytes.size()) / spans;
  // Seconds, as the harness inverts no rates: nanoseconds a span come from Iterations below.
  state.counters["ns_per_span"] = benchmark::Counter(
      spans / 1e9, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

void BM_Otlp(benchmark::State& state) {
  OtlpEncoder encoder;
  Measure(state, [&](const BusySpans& busy, std::string* bytes) {
    bytes->clear();
    encoder.Append(busy.batch, busy.topology, bytes);
  });
}
BENCHMARK(BM_Otlp);

// An encoder of its own for each batch: names are looked up anew.
void BM_OtlpOnce(benchmark::State& state) {
  Measure(state, [](const BusySpans& busy, std::string* bytes) {
    bytes->clear();
    OtlpEncoder().Append(busy.batch, busy.topology, bytes);
  });
}
BENCHMARK(BM_OtlpOnce);

void BM_OtlpJson(benchmark::State& state) {
  Measure(state, [](const BusySpans& busy, std::string* bytes) {
    EncodeOtlpJsonTo(busy.batch, busy.topology, bytes);
  });
}
BENCHMARK(BM_OtlpJson);

void BM_Zipkin(benchmark::State& state) {
  Measure(state, [](const BusySpans& busy, std::string* bytes) {
    EncodeZipkinTo(busy.batch, busy.topology, bytes);
  });
}
BENCHMARK(BM_Zipkin);

void BM_JaegerCompact(benchmark::State& state) {
  Measure(state, [](const BusySpans& busy, std::string* bytes) {
    EncodeJaegerTo(busy.batch, busy.topology, ThriftProtocol::kCompact, bytes);
  });
}
BENCHMARK(BM_JaegerCompact);

void BM_JaegerBinary(benchmark::State& state) {
  Measure(state, [](const BusySpans& busy, std::string* bytes) {
    EncodeJaegerTo(busy.batch, busy.topology, ThriftProtocol::kBinary, bytes);
  });
}
BENCHMARK(BM_JaegerBinary);

void BM_ChromeTrace(benchmark::State& state) {
  Measure(state, [](const BusySpans& busy, std::string* bytes) {
    EncodeChromeTraceTo({&busy.batch, 1}, busy.topology, bytes);
  });
}
BENCHMARK(BM_ChromeTrace);

// seer's own bytes, and the floor: as many bytes as OTLP has, copied once.
void BM_Wire(benchmark::State& state) {
  Measure(state, [](const BusySpans& busy, std::string* bytes) { EncodeTo(busy.batch, bytes); });
}
BENCHMARK(BM_Wire);

void BM_CopyOfOtlpBytes(benchmark::State& state) {
  const BusySpans busy = MakeBusySpans();
  const std::string otlp = EncodeOtlp(busy.batch, busy.topology);
  Measure(state, [&](const BusySpans&, std::string* bytes) {
    bytes->resize(otlp.size());
    std::memcpy(bytes->data(), otlp.data(), otlp.size());
  });
}
BENCHMARK(BM_CopyOfOtlpBytes);

SEER_FIGURE(otlp_ns, Counter("trace.otlp_ns", "ns", "<= 12", "BM_Otlp", "ns_per_span"));
SEER_FIGURE(otlp_json_ns, Counter("trace.otlp_json_ns", "ns", "", "BM_OtlpJson", "ns_per_span"));
SEER_FIGURE(zipkin_ns, Counter("trace.zipkin_ns", "ns", "", "BM_Zipkin", "ns_per_span"));
SEER_FIGURE(jaeger_ns, Counter("trace.jaeger_ns", "ns", "", "BM_JaegerCompact", "ns_per_span"));
SEER_FIGURE(chrome_ns, Counter("trace.chrome_ns", "ns", "", "BM_ChromeTrace", "ns_per_span"));
SEER_FIGURE(otlp_bytes, Counter("trace.otlp_bytes", "B", "", "BM_Otlp", "bytes_per_span"));

}  // namespace
}  // namespace seer::bench
