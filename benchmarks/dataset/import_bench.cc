// Whole imports: reading, parsing, topology, depths, and the dataset that is written.
#include <benchmark/benchmark.h>

#include "benchmarks/dataset/recordings.h"
#include "benchmarks/harness/figure.h"
#include "seer/dataset/importer.h"

namespace seer::bench {
namespace {

void Measure(benchmark::State& state, ImportFormat format, const std::string& path,
             std::size_t bytes) {
  ImportOptions options;
  std::uint64_t rows = 0;
  for (auto _ : state) {
    const std::string out = Scratch::Folder() + "out";
    const auto report = ImportToFile(format, {path}, out, options);
    std::remove(out.c_str());
    if (!report.ok() || report->readings != 1) {
      state.SkipWithError("the import failed");
      return;
    }
    rows = report->rows;
  }
  const auto rate = [](double count) {
    return benchmark::Counter(count, benchmark::Counter::kIsIterationInvariantRate);
  };
  state.counters["mb_s"] = rate(static_cast<double>(bytes) / 1e6);
  state.counters["mrows_s"] = rate(static_cast<double>(rows) / 1e6);
}

void BM_JaegerImport(benchmark::State& state) {
  static const std::string text = JaegerTraces(3000);
  static const Scratch file("jaeger.json", text);
  Measure(state, ImportFormat::kJaegerJson, file.path(), text.size());
}
BENCHMARK(BM_JaegerImport)->Unit(benchmark::kMillisecond);

void BM_CsvImport(benchmark::State& state) {
  static const std::string text = RpcRows(100'000);
  static const Scratch file("rpc.csv", text);
  Measure(state, ImportFormat::kRpcCsv, file.path(), text.size());
}
BENCHMARK(BM_CsvImport)->Unit(benchmark::kMillisecond);

SEER_FIGURE(jaeger, Counter("dataset.jaeger_mb_s", "MB/s", ">= 400", "BM_JaegerImport", "mb_s"));
SEER_FIGURE(csv, Counter("dataset.csv_rows_s", "M/s", ">= 4", "BM_CsvImport", "mrows_s"));

}  // namespace
}  // namespace seer::bench
