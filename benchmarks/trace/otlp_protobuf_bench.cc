// The same spans through libprotobuf, message and buffer reused as well.
#include <benchmark/benchmark.h>

#include <string>

#include "benchmarks/harness/figure.h"
#include "benchmarks/trace/busy_spans.h"
#include "otlp_trace.pb.h"
#include "seer/trace/otlp.h"
#include "tests/support/otlp_peer.h"

namespace seer::bench {
namespace {

void BM_OtlpProtobuf(benchmark::State& state) {
  const BusySpans busy = MakeBusySpans();
  otlp_peer::TracesData data;
  std::string bytes;
  for (auto _ : state) {
    data.Clear();  // keeps the messages inside
    testing::AddOtlp(busy.batch, busy.topology, &data);
    data.SerializeToString(&bytes);
    benchmark::DoNotOptimize(bytes.data());
  }
  if (bytes != EncodeOtlp(busy.batch, busy.topology)) state.SkipWithError("other bytes than ours");
}
BENCHMARK(BM_OtlpProtobuf);

SEER_FIGURE(otlp_vs_protobuf, Speedup("trace.otlp_vs_protobuf", ">= 25", "BM_Otlp",
                                      "BM_OtlpProtobuf", "libprotobuf, the same bytes"));

}  // namespace
}  // namespace seer::bench
