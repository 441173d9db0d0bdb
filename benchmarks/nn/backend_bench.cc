// Time of one window and of one training step, one thread.
#include <benchmark/benchmark.h>

#include <vector>

#include "benchmarks/harness/figure.h"
#include "benchmarks/nn/flat.h"
#include "seer/nn/backend.h"
#include "seer/nn/optimizer.h"

namespace seer::bench {
namespace {

void Window(benchmark::State& state, const char* name) {
  const Flat flat(static_cast<std::size_t>(state.range(0)), name);
  auto engine = *FindBackend("eigen")->NewInference(flat.network, flat.weights);
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
void BM_Window(benchmark::State& state) { Window(state, "flat"); }
void BM_WindowPyramid(benchmark::State& state) { Window(state, "pyramid"); }
void BM_WindowPositionWise(benchmark::State& state) { Window(state, "position_wise"); }
BENCHMARK(BM_Window)->Arg(36)->Arg(158)->Arg(386)->Arg(2000)->Arg(10000);
BENCHMARK(BM_WindowPyramid)->Arg(386)->Arg(10000);
BENCHMARK(BM_WindowPositionWise)->Arg(386);

void BM_Train(benchmark::State& state) {
  Flat flat(static_cast<std::size_t>(state.range(0)));
  auto engine = *FindBackend("eigen")->NewTraining(flat.network, flat.batch.windows);
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
BENCHMARK(BM_Train)->Arg(36)->Arg(158)->Arg(386)->Arg(2000)->Arg(10000);

SEER_FIGURE(pyramid386, Time("nn.window_us.eigen.pyramid386", "us", "", "BM_WindowPyramid/386"));
SEER_FIGURE(pyramid10000,
            Time("nn.window_us.eigen.pyramid10000", "us", "", "BM_WindowPyramid/10000"));
SEER_FIGURE(position_wise386,
            Time("nn.window_us.eigen.position_wise386", "us", "", "BM_WindowPositionWise/386"));

}  // namespace
}  // namespace seer::bench
