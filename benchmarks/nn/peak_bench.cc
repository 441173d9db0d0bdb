// How near the backend native comes to what the processor can do: the time in which its multipliers
// could have done the network's products, as a share of the time that it took; and the
// instructions of a window, which no neighbour disturbs.
#include <benchmark/benchmark.h>
#include <time.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "benchmarks/harness/figure.h"
#include "benchmarks/harness/instructions.h"
#include "benchmarks/nn/flat.h"
#include "seer/nn/backend.h"

namespace seer::bench {
namespace {

// Products of a number with a number and the sum, for one window.
double Products(const Network& network) {
  double all = 0;
  for (const Stage& stage : network.trunk()) {
    const double ticks = static_cast<double>(stage.in_ticks);
    const double in = static_cast<double>(stage.in_features), units = stage.layer.units;
    if (stage.layer.kind == LayerKind::kConv) {
      all +=
          ticks * static_cast<double>(stage.out_features * stage.layer.kernel * stage.in_channels);
    } else if (stage.layer.kind == LayerKind::kLstm) {
      all += ticks * 4 * units * (in + units);
    }
  }
  return all + static_cast<double>(network.context() * network.outputs());
}

#if defined(__x86_64__)
// `count` products and sums in vectors of `lanes`, as fast as they go: more of them at once than
// the two multipliers have stages.
template <int lanes>
struct VectorOf {
  typedef float Type __attribute__((vector_size(lanes * 4)));
};
template <int lanes>
__attribute__((always_inline)) inline float Multiply(double count) {
  using Vector = typename VectorOf<lanes>::Type;
  Vector sum[12], x = Vector{} + 0.5f;
  for (int i = 0; i < 12; ++i) sum[i] = Vector{} + static_cast<float>(i);
  for (double done = 0; done < count; done += 48 * lanes) {
    for (int r = 0; r < 4; ++r) {
      for (int i = 0; i < 12; ++i) {
        sum[i] = sum[i] * x + x;
        asm volatile("" : "+v"(sum[i]));
      }
    }
  }
  float all = 0;
  for (int i = 0; i < 12; ++i) all += sum[i][0];
  return all;
}
__attribute__((target("avx512f"), optimize("O3"))) float Multiply512(double count) {
  return Multiply<16>(count);
}
__attribute__((target("avx2,fma"), optimize("O3"))) float Multiply256(double count) {
  return Multiply<8>(count);
}
float AsFastAsItGoes(double count) {
  return __builtin_cpu_supports("avx512f") ? Multiply512(count) : Multiply256(count);
}

double Now() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

struct OneWindow {
  explicit OneWindow(std::size_t services, const char* name = "flat")
      : flat(services, name),
        engine(*FindBackend("native")->NewInference(flat.network, flat.weights)),
        workspace(*engine->NewWorkspace(1)),
        out(flat.network.outputs()) {}
  bool Run() {
    return engine
        ->Run(absl::MakeConstSpan(flat.batch.inputs).subspan(0, flat.network.window_values()), 1,
              workspace.get(), absl::MakeSpan(out))
        .ok();
  }
  Flat flat;
  std::unique_ptr<InferenceEngine> engine;
  std::unique_ptr<Workspace> workspace;
  std::vector<float> out;
};

// Both in turn, the best of each: what was disturbed counts for neither.
void Peak(benchmark::State& state, const char* name) {
  OneWindow window(static_cast<std::size_t>(state.range(0)), name);
  const double products = Products(window.flat.network);
  double best = 1e9, limit = 1e9;
  for (auto _ : state) {
    const double begin = Now();
    benchmark::DoNotOptimize(AsFastAsItGoes(products));
    const double middle = Now();
    if (!window.Run()) state.SkipWithError("Run failed");
    const double end = Now();
    limit = std::min(limit, middle - begin);
    best = std::min(best, end - middle);
  }
  state.counters["percent"] = 100 * limit / best;
  state.counters["gflops"] = 2e-9 * products / limit;
}
void BM_Peak(benchmark::State& state) { Peak(state, "flat"); }
void BM_PeakPyramid(benchmark::State& state) { Peak(state, "pyramid"); }
// A step of training, 32 windows: products on the way there, and twice as many back, but for the
// gradient of the inputs, which nobody asks for.
void BM_PeakTrain(benchmark::State& state) {
  TrainingSteps steps(static_cast<std::size_t>(state.range(0)), FindBackend("native"));
  const Stage& first = steps.network().trunk()[0];
  const double of_inputs = static_cast<double>(first.in_ticks * first.out_features *
                                               first.layer.kernel * first.in_channels);
  const double products =
      static_cast<double>(steps.windows()) * (3 * Products(steps.network()) - of_inputs);
  double best = 1e9, limit = 1e9;
  for (auto _ : state) {
    const double begin = Now();
    benchmark::DoNotOptimize(AsFastAsItGoes(products));
    const double middle = Now();
    if (!steps.Run()) {
      state.SkipWithError("the gradient is not finite");
      return;
    }
    const double end = Now();
    limit = std::min(limit, middle - begin);
    best = std::min(best, end - middle);
  }
  state.counters["percent"] = 100 * limit / best;
}
BENCHMARK(BM_PeakTrain)->Arg(36)->Arg(386)->Arg(2000);

BENCHMARK(BM_Peak)->Arg(36)->Arg(158)->Arg(386)->Arg(2000)->Arg(10000);
BENCHMARK(BM_PeakPyramid)->Arg(386)->Arg(10000);

void BM_Instructions(benchmark::State& state) {
  // Counted once: they are the same each time, and single steps take theirs.
  static std::map<std::int64_t, double> counted;
  const auto [at, first] = counted.try_emplace(state.range(0), 0);
  if (first) {
    OneWindow window(static_cast<std::size_t>(state.range(0)));
    const auto run = [&] { window.Run(); };
    const std::int64_t one = internal::CountSteps(1, run), two = internal::CountSteps(2, run);
    at->second = static_cast<double>(one < 0 ? one : two - one);
  }
  const double instructions = at->second;
  for (auto _ : state) benchmark::DoNotOptimize(instructions);
  if (instructions < 0) {
    state.SkipWithError("ptrace() is not permitted here");
    return;
  }
  state.counters["instructions"] = instructions;
}
BENCHMARK(BM_Instructions)->Arg(36)->Arg(386)->Iterations(1)->Unit(benchmark::kMillisecond);

[[maybe_unused]] const int figures = [] {
  for (const std::string n : {"36", "158", "386", "2000", "10000"}) {
    Register(Counter("nn.peak_pct." + n, "%", n == "386" || n == "2000" ? ">= 70" : "",
                     "BM_Peak/" + n, "percent"));
  }
  for (const std::string n : {"386", "10000"}) {
    Register(Counter("nn.peak_pct.pyramid" + n, "%", "", "BM_PeakPyramid/" + n, "percent"));
  }
  for (const std::string n : {"36", "386", "2000"}) {
    Register(Counter("nn.train_peak_pct." + n, "%", n == "36" ? "" : ">= 62", "BM_PeakTrain/" + n,
                     "percent"));
  }
  Register(Counter("nn.instructions.36", "", "<= 270e3", "BM_Instructions/36", "instructions"));
  Register(Counter("nn.instructions.386", "", "<= 1.25e6", "BM_Instructions/386", "instructions"));
  return 0;
}();
#endif

}  // namespace
}  // namespace seer::bench
