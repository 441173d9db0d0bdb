// The peer parses the same file into its document, and looks at nothing in it.
#include <benchmark/benchmark.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "benchmarks/dataset/recordings.h"
#include "benchmarks/harness/figure.h"

namespace seer::bench {
namespace {

void BM_JaegerNlohmann(benchmark::State& state) {
  static const Scratch file("nlohmann.json", JaegerTraces(3000));
  for (auto _ : state) {
    std::ifstream in(file.path());
    const nlohmann::json json = nlohmann::json::parse(in);
    benchmark::DoNotOptimize(json.size());
  }
}
BENCHMARK(BM_JaegerNlohmann)->Unit(benchmark::kMillisecond);

SEER_FIGURE(vs, Speedup("dataset.vs_nlohmann", ">= 8", "BM_JaegerImport", "BM_JaegerNlohmann",
                        "nlohmann-json"));

}  // namespace
}  // namespace seer::bench
