// Snapshots into bytes and back, in a steady stream: buffers are reused, as an agent and a control
// plane do.
#include <benchmark/benchmark.h>

#include <string>

#include "benchmarks/core/busy_snapshot.h"
#include "benchmarks/harness/figure.h"
#include "seer/core/internal/crc32c.h"
#include "seer/core/wire.h"

namespace seer::bench {
namespace {

Snapshot SnapshotFor(const benchmark::State& state) {
  return BusySnapshot(static_cast<std::uint32_t>(state.range(0)), EdgesFor(state.range(0)));
}

void RoundTrips(benchmark::State& state, const Snapshot& snapshot) {
  std::string bytes;
  Snapshot decoded;
  for (auto _ : state) {
    EncodeTo(snapshot, &bytes);
    const absl::Status status = DecodeTo(bytes, &decoded);
    if (!status.ok()) state.SkipWithError("decode failed");
    benchmark::DoNotOptimize(decoded);
  }
  if (decoded != snapshot) state.SkipWithError("the decoded snapshot differs");
  state.counters["bytes"] = static_cast<double>(bytes.size());
}

void BM_Wire(benchmark::State& state) { RoundTrips(state, SnapshotFor(state)); }
BENCHMARK(BM_Wire)->Arg(10)->Arg(386)->Arg(10'000)->Unit(benchmark::kMicrosecond);

void BM_WireTimed(benchmark::State& state) {
  Snapshot snapshot = SnapshotFor(state);
  AddPeaksAndTimes(&snapshot);
  RoundTrips(state, snapshot);
}
BENCHMARK(BM_WireTimed)->Arg(386)->Unit(benchmark::kMicrosecond);

void BM_WireEncode(benchmark::State& state) {
  const Snapshot snapshot = SnapshotFor(state);
  std::string bytes;
  for (auto _ : state) {
    EncodeTo(snapshot, &bytes);
    benchmark::DoNotOptimize(bytes);
  }
}
BENCHMARK(BM_WireEncode)->Arg(386)->Arg(10'000)->Unit(benchmark::kMicrosecond);

void BM_WireDecode(benchmark::State& state) {
  const std::string bytes = Encode(SnapshotFor(state));
  Snapshot decoded;
  for (auto _ : state) {
    const absl::Status status = DecodeTo(bytes, &decoded);
    if (!status.ok()) state.SkipWithError("decode failed");
    benchmark::DoNotOptimize(decoded);
  }
}
BENCHMARK(BM_WireDecode)->Arg(386)->Arg(10'000)->Unit(benchmark::kMicrosecond);

void BM_Crc32c(benchmark::State& state) {
  const std::string bytes(static_cast<std::size_t>(state.range(0)), 'x');
  for (auto _ : state) benchmark::DoNotOptimize(internal::Crc32c(bytes));
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_Crc32c)->Arg(1000)->Arg(12'000)->Arg(300'000);

SEER_FIGURE(wire386, Time("wire.snapshot386_us", "us", "<= 12", "BM_Wire/386"));
SEER_FIGURE(wire10k, Time("wire.snapshot10k_us", "us", "<= 250", "BM_Wire/10000"));
SEER_FIGURE(wire_timed, Time("wire.snapshot386_timed_us", "us", "", "BM_WireTimed/386"));
SEER_FIGURE(wire_bytes, Counter("wire.snapshot386_bytes", "B", "", "BM_Wire/386", "bytes"));

}  // namespace
}  // namespace seer::bench
