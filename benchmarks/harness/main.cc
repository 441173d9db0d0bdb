// The main() of every benchmark program. Options of Google Benchmark, and
//
//   --figures=FILE   writes one JSON object per figure and line
//   --quick          few and short repetitions
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "benchmarks/harness/figure.h"

namespace seer::bench {
namespace {

std::vector<Figure>& Figures() {
  static std::vector<Figure> figures;
  return figures;
}

double Percentile(const std::vector<double>& sorted, double p) {
  const double at = p * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (at - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

// Keeps every repetition; shows their median and spread only.
class Collector : public benchmark::ConsoleReporter {
 public:
  explicit Collector(OutputOptions options) : ConsoleReporter(options) {}

  void ReportRuns(const std::vector<Run>& runs) override {
    std::vector<Run> shown;
    for (const Run& run : runs) {
      if (run.error_occurred) failed_ = true;
      if (run.error_occurred || run.aggregate_name == "median" || run.aggregate_name == "cv") {
        shown.push_back(run);
      }
      if (run.run_type != Run::RT_Iteration || run.error_occurred) continue;
      Samples& samples = samples_[Name(run)];
      const bool real_time = run.benchmark_name().find("/real_time") != std::string::npos;
      const double time = real_time ? run.GetAdjustedRealTime() : run.GetAdjustedCPUTime();
      samples.ns.push_back(time * 1e9 / benchmark::GetTimeUnitMultiplier(run.time_unit));
      for (const auto& [name, counter] : run.counters) {
        samples.counters[name].push_back(counter.value);
      }
    }
    ConsoleReporter::ReportRuns(shown);
  }

  bool failed() const { return failed_; }

  // The 10th and 90th percentile of the values, or what the benchmark says.
  void Interval(const Figure& figure, const std::vector<double>& values, double* low,
                double* high) const {
    *low = Percentile(values, 0.1);
    *high = Percentile(values, 0.9);
    if (figure.counter.empty()) return;
    const std::vector<double> lows = Counters(figure, figure.counter + "_low");
    const std::vector<double> highs = Counters(figure, figure.counter + "_high");
    if (lows.empty() || highs.empty()) return;
    *low = Percentile(lows, 0.5);
    *high = Percentile(highs, 0.5);
  }

  // The figure of each repetition, sorted; empty if its benchmark did not run.
  std::vector<double> Values(const Figure& figure) const {
    const Samples* ours = Find(figure.benchmark);
    if (ours == nullptr) return {};
    if (!figure.counter.empty()) return Counters(figure, figure.counter);
    std::vector<double> values;
    if (!figure.peer.empty()) {
      const Samples* peer = Find(figure.peer);
      if (peer == nullptr) return {};
      for (std::size_t i = 0; i < std::min(ours->ns.size(), peer->ns.size()); ++i) {
        values.push_back(figure.of_peer ? ours->ns[i] / peer->ns[i] : peer->ns[i] / ours->ns[i]);
      }
    } else {
      const double scale = figure.unit == "us"   ? 1e3
                           : figure.unit == "ms" ? 1e6
                           : figure.unit == "s"  ? 1e9
                                                 : 1;
      for (double ns : ours->ns) values.push_back(ns / scale);
    }
    std::sort(values.begin(), values.end());
    return values;
  }

 private:
  struct Samples {
    std::vector<double> ns;
    std::map<std::string, std::vector<double>> counters;
  };

  // "BM_Encode/386" for "BM_Encode/386/min_time:0.1/repeats:9/real_time".
  static std::string Name(const Run& run) {
    return run.run_name.function_name + (run.run_name.args.empty() ? "" : "/" + run.run_name.args);
  }
  const Samples* Find(const std::string& name) const {
    const auto found = samples_.find(name);
    return found == samples_.end() ? nullptr : &found->second;
  }

  // Of each repetition, sorted; empty if there is none of this name.
  std::vector<double> Counters(const Figure& figure, const std::string& name) const {
    const Samples* ours = Find(figure.benchmark);
    if (ours == nullptr) return {};
    const auto found = ours->counters.find(name);
    if (found == ours->counters.end()) return {};
    std::vector<double> values = found->second;
    std::sort(values.begin(), values.end());
    return values;
  }

  bool failed_ = false;
  std::map<std::string, Samples> samples_;
};

void WriteFigures(const Collector& collector, const std::string& path) {
  std::ofstream out(path, std::ios::app);
  for (const Figure& figure : Figures()) {
    const std::vector<double> values = collector.Values(figure);
    if (values.empty()) continue;  // benchmarks/run says so
    double low = 0, high = 0;
    collector.Interval(figure, values, &low, &high);
    char line[1024];
    std::snprintf(line, sizeof(line),
                  R"({"id": "%s", "value": %.6g, "unit": "%s", "low": %.6g, "high": %.6g, )"
                  R"("peer": "%s", "goal": "%s"})",
                  figure.id.c_str(), Percentile(values, 0.5), figure.unit.c_str(), low, high,
                  figure.peer_name.c_str(), figure.goal.c_str());
    out << line << "\n";
  }
}

int Main(int argc, char** argv) {
  std::string figures;
  bool quick = false;
  std::vector<char*> args = {argv[0]};
  for (int i = 1; i < argc; ++i) {
    if (std::strncmp(argv[i], "--figures=", 10) == 0) {
      figures = argv[i] + 10;
    } else if (std::strcmp(argv[i], "--quick") == 0) {
      quick = true;
    } else {
      args.push_back(argv[i]);
    }
  }
  // In front of the caller's own options, which win.
  std::string defaults[] = {quick ? "--benchmark_repetitions=3" : "--benchmark_repetitions=15",
                            quick ? "--benchmark_min_time=0.01" : "--benchmark_min_time=0.05",
                            "--benchmark_enable_random_interleaving=true"};
  int at = 1;
  for (std::string& option : defaults) args.insert(args.begin() + at++, option.data());
  int count = static_cast<int>(args.size());
  benchmark::Initialize(&count, args.data());
  if (benchmark::ReportUnrecognizedArguments(count, args.data())) return 2;

  Collector collector(isatty(1) != 0 ? benchmark::ConsoleReporter::OO_Color
                                     : benchmark::ConsoleReporter::OO_None);
  benchmark::RunSpecifiedBenchmarks(&collector);
  if (!figures.empty()) WriteFigures(collector, figures);
  return collector.failed() ? 1 : 0;
}

}  // namespace

int Register(Figure figure) {
  Figures().push_back(std::move(figure));
  return 0;
}

}  // namespace seer::bench

int main(int argc, char** argv) { return seer::bench::Main(argc, argv); }
