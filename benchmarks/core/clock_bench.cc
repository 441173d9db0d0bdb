// What a stamp costs, beside clock_gettime.
#include <benchmark/benchmark.h>

#include <ctime>

#include "seer/core/tsc_clock.h"

namespace seer::bench {
namespace {

const TscClock& SharedClock() {
  static const TscClock clock;
  return clock;
}

void BM_Stamp(benchmark::State& state) {
  const TscClock& clock = SharedClock();
  for (auto _ : state) benchmark::DoNotOptimize(clock.Stamp());
}
BENCHMARK(BM_Stamp);

void BM_FencedStamp(benchmark::State& state) {
  const TscClock& clock = SharedClock();
  for (auto _ : state) benchmark::DoNotOptimize(clock.FencedStamp());
}
BENCHMARK(BM_FencedStamp);

void BM_ToUnixNs(benchmark::State& state) {
  const TscClock& clock = SharedClock();
  std::uint64_t stamp = clock.Stamp();
  for (auto _ : state) benchmark::DoNotOptimize(clock.ToUnixNs(++stamp));
}
BENCHMARK(BM_ToUnixNs);

void BM_NowNs(benchmark::State& state) {
  const TscClock& clock = SharedClock();
  for (auto _ : state) benchmark::DoNotOptimize(clock.NowNs());
}
BENCHMARK(BM_NowNs);

void BM_ClockGettime(benchmark::State& state) {
  timespec t;
  for (auto _ : state) {
    clock_gettime(CLOCK_REALTIME, &t);
    benchmark::DoNotOptimize(t);
  }
}
BENCHMARK(BM_ClockGettime);

void BM_Calibrate(benchmark::State& state) {
  for (auto _ : state) {
    const TscClock clock;
    benchmark::DoNotOptimize(clock.Stamp());
  }
}
BENCHMARK(BM_Calibrate)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace seer::bench
