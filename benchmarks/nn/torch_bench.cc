// The same through libtorch, and how much faster seer is.
#include <benchmark/benchmark.h>

#include <cmath>
#include <string>
#include <vector>

#include "benchmarks/harness/figure.h"
#include "benchmarks/nn/flat.h"
#include "benchmarks/nn/torch_peer.h"
#include "seer/nn/backend.h"
#include "seer/nn/optimizer.h"

namespace seer::bench {
namespace {

void BM_WindowTorch(benchmark::State& state) {
  const Flat flat(static_cast<std::size_t>(state.range(0)));
  TorchPeer peer(flat.network, flat.weights, /*training=*/false);
  std::vector<float> out(flat.network.outputs()), ours(out);
  for (auto _ : state) {
    peer.Window(flat.batch.inputs.data(), out.data());
    benchmark::DoNotOptimize(out.data());
  }
  // Only what computes the same may be compared.
  auto engine = *FindBackend("eigen")->NewInference(flat.network, flat.weights);
  auto workspace = *engine->NewWorkspace(1);
  if (!engine
           ->Run(absl::MakeConstSpan(flat.batch.inputs).subspan(0, flat.network.window_values()), 1,
                 workspace.get(), absl::MakeSpan(ours))
           .ok()) {
    state.SkipWithError("Run failed");
    return;
  }
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (std::abs(out[i] - ours[i]) > 1e-5f) state.SkipWithError("libtorch computes something else");
  }
}
BENCHMARK(BM_WindowTorch)->Arg(36)->Arg(158)->Arg(386)->Arg(2000)->Arg(10000);

void BM_TrainTorch(benchmark::State& state) {
  Flat flat(static_cast<std::size_t>(state.range(0)));
  TorchPeer peer(flat.network, flat.weights, /*training=*/true);
  std::vector<double> losses;
  for (auto _ : state) losses.push_back(peer.Train(flat.batch.inputs, flat.batch.initiator));
  auto engine = *FindBackend("eigen")->NewTraining(flat.network, flat.batch.windows);
  const LossOptions loss;
  StepContext step;
  step.loss = &loss;
  LossSum sum;
  engine->Gradient(flat.weights, flat.batch, 0, 32, step, {}, {}, &sum);
  if (std::abs(sum.mean() - losses.front()) > 1e-4) {
    state.SkipWithError("libtorch computes something else");
  }
}
BENCHMARK(BM_TrainTorch)->Arg(36)->Arg(158)->Arg(386)->Arg(2000)->Arg(10000);

[[maybe_unused]] const int figures = [] {
  struct Goal {
    const char *services, *window, *train;
  };
  for (const Goal& goal :
       {Goal{"36", ">= 9", ">= 2.4"}, Goal{"158", "", ""}, Goal{"386", ">= 3", ">= 1.4"},
        Goal{"2000", "", ""}, Goal{"10000", ">= 1.2", ">= 1.4"}}) {
    const std::string n = goal.services;
    Register(Speedup("nn.window_vs_torch.eigen." + n, goal.window, "BM_Window/" + n,
                     "BM_WindowTorch/" + n, "libtorch, tuned"));
    Register(Speedup("nn.train_vs_torch.eigen." + n, goal.train, "BM_Train/" + n,
                     "BM_TrainTorch/" + n, "libtorch, tuned"));
    // What has to be computed when a tick comes: libtorch knows only the whole window.
    Register(Speedup("nn.slide_vs_torch.eigen." + n, "", "BM_Slide/" + n, "BM_WindowTorch/" + n,
                     "libtorch, tuned"));
#ifdef SEER_BENCH_ONEDNN
    Register(Speedup("nn.window_vs_torch.onednn." + n, "", "BM_WindowOnednn/" + n,
                     "BM_WindowTorch/" + n, "libtorch, tuned"));
    Register(Speedup("nn.train_vs_torch.onednn." + n, "", "BM_TrainOnednn/" + n,
                     "BM_TrainTorch/" + n, "libtorch, tuned"));
#endif
  }
  return 0;
}();

}  // namespace
}  // namespace seer::bench
