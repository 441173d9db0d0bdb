// The figures of the check against live servers; the table goes to the output.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>

#include "benchmarks/cluster/live/check.h"
#include "benchmarks/harness/figure.h"

namespace seer::cluster {
namespace {

using bench::Counter;

// The harness's --quick, which a benchmark that runs once is not told.
bool Quick() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  const std::string line{std::istreambuf_iterator<char>(file), {}};
  return line.find(std::string("\0--quick", 8)) != std::string::npos;
}

void BM_Live(benchmark::State& state) {
  for (auto _ : state) {
    const auto rows = CheckAgainstLive(Quick());
    if (!rows.ok()) {
      state.SkipWithError(std::string(rows.status().message()).c_str());
      return;
    }
    double p50 = 0, p99 = 0;
    int counted = 0;
    for (const LiveRow& row : *rows) {
      if (!row.Counts()) continue;
      ++counted;
      p50 = std::max(p50, std::abs(row.P50Error()));
      p99 = std::max(p99, std::abs(row.P99Error()));
    }
    std::printf("%s%d of %zu runs count; the largest errors are the figures\n",
                TableOf(*rows).c_str(), counted, rows->size());
    if (counted == 0) continue;  // then nothing was measured, which is no failure
    state.counters["p50_error_pct"] = p50;
    state.counters["p99_error_pct"] = p99;
  }
}
BENCHMARK(BM_Live)->Iterations(1)->Repetitions(1)->UseRealTime()->Unit(benchmark::kSecond);

SEER_FIGURE(live_p50,
            Counter("cluster.live_p50_error_pct", "%", "<= 15", "BM_Live", "p50_error_pct"));
SEER_FIGURE(live_p99,
            Counter("cluster.live_p99_error_pct", "%", "<= 25", "BM_Live", "p99_error_pct"));

}  // namespace
}  // namespace seer::cluster
