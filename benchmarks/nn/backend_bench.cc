// Time of one window and of one training step, one thread.
#include <benchmark/benchmark.h>

#include <vector>

#include "benchmarks/harness/figure.h"
#include "benchmarks/nn/flat.h"
#include "seer/nn/backend.h"
#ifdef SEER_BENCH_ONEDNN
#include "seer/nn/onednn.h"
#endif
#include "seer/nn/optimizer.h"

namespace seer::bench {
namespace {

const Backend* BackendNamed(const char* name) {
#ifdef SEER_BENCH_ONEDNN
  AddBackend(OnednnBackend()).IgnoreError();
#endif
  return FindBackend(name);
}

void Window(benchmark::State& state, const char* name, const char* backend) {
  const Flat flat(static_cast<std::size_t>(state.range(0)), name);
  auto engine = *BackendNamed(backend)->NewInference(flat.network, flat.weights);
  auto workspace = *engine->NewWorkspace(1);
  std::vector<float> out(flat.network.outputs());
  const auto inputs =
      absl::MakeConstSpan(flat.batch.inputs).subspan(0, flat.network.window_values());
  for (auto _ : state) {
    if (!engine->Run(inputs, 1, workspace.get(), absl::MakeSpan(out)).ok()) {
      state.SkipWithError("Run failed");
      return;
    }
    benchmark::DoNotOptimize(out.data());
  }
}
void BM_Window(benchmark::State& state) { Window(state, "flat", "eigen"); }
void BM_WindowPyramid(benchmark::State& state) { Window(state, "pyramid", "eigen"); }
void BM_WindowPositionWise(benchmark::State& state) { Window(state, "position_wise", "eigen"); }
BENCHMARK(BM_Window)->Arg(36)->Arg(158)->Arg(386)->Arg(2000)->Arg(10000);
BENCHMARK(BM_WindowPyramid)->Arg(386)->Arg(10000);
BENCHMARK(BM_WindowPositionWise)->Arg(386);

void Train(benchmark::State& state, const char* backend) {
  Flat flat(static_cast<std::size_t>(state.range(0)));
  auto engine = *BackendNamed(backend)->NewTraining(flat.network, flat.batch.windows);
  std::vector<float> gradient(flat.weights.size());
  OptimizerState optimizer(flat.network);
  const LossOptions loss;
  StepContext step;
  step.loss = &loss;
  step.scale = 1.0f / 32;
  for (auto _ : state) {
    std::fill(gradient.begin(), gradient.end(), 0.0f);
    LossSum sum;
    engine->Gradient(flat.weights, flat.batch, 0, flat.batch.windows, step,
                     absl::MakeSpan(gradient), {}, &sum);
    if (!ApplyGradient(flat.network, {}, gradient, &optimizer, absl::MakeSpan(flat.weights)).ok()) {
      state.SkipWithError("the gradient is not finite");
      return;
    }
  }
  state.SetItemsProcessed(state.iterations() * 32);
}
void BM_Train(benchmark::State& state) { Train(state, "eigen"); }
BENCHMARK(BM_Train)->Arg(36)->Arg(158)->Arg(386)->Arg(2000)->Arg(10000);

// The window that slides by a tick: the same outputs as of the whole window.
void BM_Slide(benchmark::State& state) {
  const Flat flat(static_cast<std::size_t>(state.range(0)));
  auto engine = *FindBackend("eigen")->NewInference(flat.network, flat.weights);
  auto session = *engine->NewSession(RunMode::kSlide);
  std::vector<float> out(flat.network.outputs());
  const std::size_t services = flat.network.services();
  std::size_t t = 0;
  for (auto _ : state) {
    const auto tick = absl::MakeConstSpan(flat.batch.inputs).subspan(t * services, services);
    t = (t + 1) % flat.network.config().ticks;
    if (!session->Push(tick, absl::MakeSpan(out)).ok()) {
      state.SkipWithError("Push failed");
      return;
    }
    benchmark::DoNotOptimize(out.data());
  }
}
BENCHMARK(BM_Slide)->Arg(36)->Arg(158)->Arg(386)->Arg(2000)->Arg(10000);

#ifdef SEER_BENCH_ONEDNN
void BM_WindowOnednn(benchmark::State& state) { Window(state, "flat", "onednn"); }
void BM_TrainOnednn(benchmark::State& state) { Train(state, "onednn"); }
BENCHMARK(BM_WindowOnednn)->Arg(36)->Arg(158)->Arg(386)->Arg(2000)->Arg(10000);
BENCHMARK(BM_TrainOnednn)->Arg(36)->Arg(158)->Arg(386)->Arg(2000)->Arg(10000);
#endif

SEER_FIGURE(pyramid386, Time("nn.window_us.eigen.pyramid386", "us", "", "BM_WindowPyramid/386"));
SEER_FIGURE(pyramid10000,
            Time("nn.window_us.eigen.pyramid10000", "us", "", "BM_WindowPyramid/10000"));
SEER_FIGURE(position_wise386,
            Time("nn.window_us.eigen.position_wise386", "us", "", "BM_WindowPositionWise/386"));

}  // namespace
}  // namespace seer::bench
