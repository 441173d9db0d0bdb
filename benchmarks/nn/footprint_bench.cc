// Memory and the time until the first result, of a process that has seer::nn and nothing else
// (footprint_main.cc): in this one libtorch would be counted.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <string>

#include "benchmarks/harness/figure.h"

namespace seer::bench {
namespace {

void Footprint(benchmark::State& state, const std::string& what) {
  const std::string program =
      (std::filesystem::read_symlink("/proc/self/exe").parent_path() / "nn_footprint").string();
  const std::string model = "/tmp/seer-nn-footprint-" + std::to_string(getpid());
  const auto run = [&](const std::string& command, double* ms, double* megabytes, double* most) {
    FILE* pipe = popen(("'" + program + "' " + command + " '" + model + "'").c_str(), "r");
    const bool ok = pipe != nullptr &&
                    (ms == nullptr || std::fscanf(pipe, "%lf %lf %lf", ms, megabytes, most) == 3);
    return pipe != nullptr && pclose(pipe) == 0 && ok;
  };
  double ms = 0, megabytes = 0, most = 0;
  bool ok = run("write", nullptr, nullptr, nullptr);
  for (auto _ : state) ok = ok && run(what, &ms, &megabytes, &most);
  std::filesystem::remove(model);
  if (!ok) state.SkipWithError("nn_footprint failed");
  state.counters["ms"] = ms;
  state.counters["mb"] = megabytes;
  state.counters["most_mb"] = most;
}
void BM_FootprintInfer(benchmark::State& state) { Footprint(state, "infer"); }
void BM_FootprintTrain(benchmark::State& state) { Footprint(state, "train"); }
BENCHMARK(BM_FootprintInfer)->Iterations(3);
BENCHMARK(BM_FootprintTrain)->Iterations(1);

SEER_FIGURE(rss, Counter("nn.rss_mb.386", "MB", "<= 6", "BM_FootprintInfer", "mb"));
SEER_FIGURE(rss_train,
            Counter("nn.rss_train_mb.386", "MB", "<= 15", "BM_FootprintTrain", "most_mb"));
SEER_FIGURE(cold, Counter("nn.cold_start_ms", "ms", "<= 2", "BM_FootprintInfer", "ms"));

}  // namespace
}  // namespace seer::bench
