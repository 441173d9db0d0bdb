// Reading a dataset that lies in the page cache, and how large it is.
#include <benchmark/benchmark.h>
#include <zstd.h>

#include <cmath>
#include <map>
#include <vector>

#include "benchmarks/dataset/recordings.h"
#include "benchmarks/harness/figure.h"
#include "seer/dataset/importer.h"
#include "seer/dataset/reader.h"
#include "seer/dataset/writer.h"
#include "seer/window/window_builder.h"

namespace seer::bench {
namespace {

// A run of 386 services whose queues wander; depths of three channels and of the edges.
class Recorded {
 public:
  static constexpr int kServices = 386;

  explicit Recorded(int ticks) : ticks_(ticks) {
    std::mt19937_64 random(3);
    ServiceId before;
    for (int i = 0; i < kServices; ++i) {
      const ServiceId id = *topology_.AddService("service-" + std::to_string(i));
      topology_.AddEdge(i % 8 == 0 ? ServiceId() : before, id).IgnoreError();
      before = id;
    }
    auto writer = *DatasetWriter::Create(path_);
    writer.BeginRun({}).status().IgnoreError();
    writer.SetTopology(topology_).IgnoreError();
    std::vector<int> depth(4 * kServices, 3);
    ClusterTick tick;
    for (int t = 0; t < ticks_; ++t) {
      tick.Reset(kServices, topology_.edges().size(), 0);
      tick.tick = t;
      tick.topology_version = topology_.version();
      for (std::uint32_t s = 0; s < kServices; ++s) {
        for (int c = 0; c < 4; ++c) {
          int& value = depth[static_cast<std::size_t>(c) * kServices + s];
          if (random() % 4 == 0) value = std::max(0, value + static_cast<int>(random() % 5) - 2);
          if (c < 3) {
            constexpr Channel kThree[] = {Channel::kQueued, Channel::kRunning, Channel::kBlocked};
            tick.services.SetDepth(ServiceId(s), kThree[c], value);
          } else {
            tick.edges.SetDepth(EdgeId(s), value);
          }
        }
      }
      writer.Append(tick).IgnoreError();
    }
    writer.EndRun().IgnoreError();
  }
  ~Recorded() { std::remove(path_.c_str()); }

  const int ticks_;
  const std::string path_ = Scratch::Folder() + "windows";
  Topology topology_;
};

const Recorded& Run() {
  static const Recorded run(2048);
  return run;
}

// Windows of 20 ticks, 386 services and the 5 inputs of traces, one for each tick.
void BM_Windows(benchmark::State& state) {
  const auto reader = DatasetReader::Open(Run().path_);
  const Topology topology = *reader->LatestTopology(0);
  double bytes = 0;
  for (auto _ : state) {
    auto builder = *WindowBuilder::Create(topology, 20, WindowInputs::OfTraces());
    ClusterTick tick;
    TickCursor cursor = reader->Ticks(0);
    bytes = 0;
    while (*cursor.Next(&tick)) {
      builder.Push(tick, topology);
      const Window& window = builder.window();
      benchmark::DoNotOptimize(window.values.data());
      bytes += static_cast<double>(window.values.size()) * 5;  // a float and its mask
    }
  }
  state.counters["gb_s"] =
      benchmark::Counter(bytes / 1e9, benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK(BM_Windows)->Unit(benchmark::kMillisecond);

// The ticks alone, and the columns alone.
void BM_Ticks(benchmark::State& state) {
  const auto reader = DatasetReader::Open(Run().path_);
  for (auto _ : state) {
    ClusterTick tick;
    TickCursor cursor = reader->Ticks(0);
    while (*cursor.Next(&tick)) benchmark::DoNotOptimize(tick.tick);
  }
  state.counters["ticks_s"] =
      benchmark::Counter(Run().ticks_, benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK(BM_Ticks)->Unit(benchmark::kMillisecond);

void BM_Columns(benchmark::State& state) {
  const auto reader = DatasetReader::Open(Run().path_);
  TickBlock block;
  for (auto _ : state) {
    for (std::size_t i = 0; i < reader->blocks().size(); ++i) {
      benchmark::DoNotOptimize(reader->ReadBlock(i, &block).ok());
    }
  }
  const double bytes = 5.0 * 4 * Recorded::kServices * Run().ticks_;
  state.counters["gb_s"] =
      benchmark::Counter(bytes / 1e9, benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK(BM_Columns)->Unit(benchmark::kMillisecond);

// Bits of a sequence whose symbols come independently.
double Entropy(const std::map<std::int64_t, double>& counts) {
  double all = 0, bits = 0;
  for (const auto& [symbol, count] : counts) all += count;
  for (const auto& [symbol, count] : counts) bits -= count * std::log2(count / all);
  return bits;
}

// The file against the entropy of the values' changes, row by row. The walk's steps are
// independent, so nothing could be smaller on average. Beside it: the CSV of the same values by
// zstd -19, which is slow: one block of ticks is enough, as blocks are packed one by one.
struct Size {
  double bits = 0, entropy = 0, csv_bytes = 0, values = 0;
};

Size MeasureSize() {
  const Recorded run(512);
  const auto reader = DatasetReader::Open(run.path_);
  Size size;
  {
    std::map<std::int64_t, double> changes;
    std::string csv;
    std::vector<double> before(4 * Recorded::kServices, 0);
    ClusterTick tick;
    TickCursor cursor = reader->Ticks(0);
    while (*cursor.Next(&tick)) {
      csv += std::to_string(tick.tick * 100);
      for (std::uint32_t i = 0; i < before.size(); ++i) {
        constexpr Channel kThree[] = {Channel::kQueued, Channel::kRunning, Channel::kBlocked};
        const std::uint32_t row = i % Recorded::kServices;
        const double now =
            i < 3 * Recorded::kServices
                ? *tick.services.depth(ServiceId(row), kThree[i / Recorded::kServices])
                : *tick.edges.depth(EdgeId(row));
        ++changes[std::llround(now - before[i])];
        before[i] = now;
        csv += ',';
        csv += std::to_string(std::llround(now));
      }
      csv += '\n';
    }
    size.entropy = Entropy(changes);
    {
      std::string packed(ZSTD_compressBound(csv.size()), '\0');
      size.csv_bytes = static_cast<double>(
          ZSTD_compress(packed.data(), packed.size(), csv.data(), csv.size(), 19));
    }
  }
  size.bits = static_cast<double>(reader->file_bytes()) * 8;
  size.values = 4.0 * Recorded::kServices * run.ticks_;
  return size;
}

void BM_Size(benchmark::State& state) {
  static const Size size = MeasureSize();
  for (auto _ : state) benchmark::DoNotOptimize(size.bits);
  state.counters["over_entropy"] = size.bits / size.entropy;
  state.counters["over_csv_zstd19"] = size.bits / 8 / size.csv_bytes;
  state.counters["bits_per_value"] = size.bits / size.values;
}
BENCHMARK(BM_Size);

SEER_FIGURE(windows, Counter("dataset.window_gb_s", "GB/s", ">= 2", "BM_Windows", "gb_s"));
SEER_FIGURE(size, Counter("dataset.bits_over_entropy", "x", "-", "BM_Size", "over_entropy"));

}  // namespace
}  // namespace seer::bench
