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

void WindowTorch(benchmark::State& state, const char* name, bool cold) {
  const Flat flat(static_cast<std::size_t>(state.range(0)), name);
  TorchPeer peer(flat.network, flat.weights, /*training=*/false);
  std::vector<float> out(flat.network.outputs()), ours(out);
  for (auto _ : state) {
    if (cold) {
      state.PauseTiming();
      ColdCaches();
      state.ResumeTiming();
    }
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
void BM_WindowTorch(benchmark::State& state) { WindowTorch(state, "flat", false); }
void BM_WindowTorchPyramid(benchmark::State& state) { WindowTorch(state, "pyramid", false); }
void BM_WindowTorchPositionWise(benchmark::State& state) {
  WindowTorch(state, "position_wise", false);
}
void BM_ColdWindowTorch(benchmark::State& state) { WindowTorch(state, "flat", true); }
BENCHMARK(BM_WindowTorchPyramid)->Arg(386)->Arg(10000);
BENCHMARK(BM_WindowTorchPositionWise)->Arg(386);
BENCHMARK(BM_ColdWindowTorch)->Arg(36)->Arg(386)->Arg(2000)->Arg(10000);
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

// A tick, with the state that the one before it left.
void StreamTorch(benchmark::State& state, const char* name) {
  const Flat flat(static_cast<std::size_t>(state.range(0)), name);
  TorchPeer peer(flat.network, flat.weights, /*training=*/false);
  auto engine = *FindBackend("native")->NewInference(flat.network, flat.weights);
  auto session = *engine->NewSession(RunMode::kStream);
  std::vector<float> out(flat.network.outputs()), ours(out);
  const std::size_t services = flat.network.services();
  const auto tick = [&](std::size_t t) {
    return absl::MakeConstSpan(flat.batch.inputs).subspan(t % 640 * services, services);
  };
  std::size_t t = 0;
  for (; t < 30; ++t) {
    peer.Tick(tick(t).data(), out.data());
    if (!session->Push(tick(t), absl::MakeSpan(ours)).ok()) state.SkipWithError("Push failed");
    for (std::size_t i = 0; i < out.size(); ++i) {
      if (std::abs(out[i] - ours[i]) > 1e-5f) {
        state.SkipWithError("libtorch computes something else");
      }
    }
  }
  for (auto _ : state) {
    peer.Tick(tick(t++).data(), out.data());
    benchmark::DoNotOptimize(out.data());
  }
}
void BM_StreamTorch(benchmark::State& state) { StreamTorch(state, "flat"); }
void BM_StreamTorchPyramid(benchmark::State& state) { StreamTorch(state, "pyramid"); }
BENCHMARK(BM_StreamTorchPyramid)->Arg(386);
BENCHMARK(BM_StreamTorch)->Arg(36)->Arg(158)->Arg(386)->Arg(2000)->Arg(10000);

[[maybe_unused]] const int others = [] {
  const auto against = [&](const std::string& id, const std::string& ours,
                           const std::string& peer) {
    Register(Speedup(id, "", ours, peer, "libtorch, tuned"));
  };
  const std::string window = "nn.window_vs_torch.native.", pyramid = "BM_WindowTorchPyramid/";
  against(window + "pyramid386", "BM_WindowNativePyramid/386", pyramid + "386");
  against(window + "pyramid10000", "BM_WindowNativePyramid/10000", pyramid + "10000");
  against(window + "position_wise386", "BM_WindowNativePositionWise/386",
          "BM_WindowTorchPositionWise/386");
  against("nn.slide_vs_torch.native.pyramid386", "BM_SlidePyramid/386", pyramid + "386");
  against("nn.slide_vs_torch.native.position_wise386", "BM_SlidePositionWise/386",
          "BM_WindowTorchPositionWise/386");
  against("nn.stream_vs_torch.native.pyramid386", "BM_StreamPyramid/386",
          "BM_StreamTorchPyramid/386");
  for (const std::string n : {"36", "386", "2000", "10000"}) {
    against("nn.cold_window_vs_torch.native." + n, "BM_ColdWindow/" + n, "BM_ColdWindowTorch/" + n);
  }
  return 0;
}();

[[maybe_unused]] const int figures = [] {
  struct Goal {
    const char *services, *window, *train, *native_window, *native_slide, *native_stream,
        *native_train;
  };
  for (const Goal& goal :
       {Goal{"36", ">= 9", ">= 2.4", ">= 14", ">= 19", ">= 17", ">= 3.2"},
        Goal{"158", "", "", ">= 9", ">= 20", ">= 12", ">= 2.3"},
        Goal{"386", ">= 3", ">= 1.4", ">= 6", ">= 18", ">= 6.5", ">= 1.9"},
        Goal{"2000", "", "", ">= 3.3", ">= 10", ">= 5", ">= 2.2"},
        Goal{"10000", ">= 1.2", ">= 1.4", ">= 2.1", ">= 5.5", ">= 3", ">= 2.5"}}) {
    const std::string n = goal.services;
    const auto against = [&](const std::string& id, const char* wanted, const std::string& ours,
                             const std::string& peer) {
      Register(Speedup(id + n, wanted, ours + n, peer + n, "libtorch, tuned"));
    };
    against("nn.window_vs_torch.eigen.", goal.window, "BM_Window/", "BM_WindowTorch/");
    against("nn.train_vs_torch.eigen.", goal.train, "BM_Train/", "BM_TrainTorch/");
    // What has to be computed when a tick comes: libtorch knows only the whole window.
    against("nn.slide_vs_torch.eigen.", "", "BM_Slide/", "BM_WindowTorch/");
    against("nn.window_vs_torch.native.", goal.native_window, "BM_WindowNative/",
            "BM_WindowTorch/");
    against("nn.slide_vs_torch.native.", goal.native_slide, "BM_SlideNative/", "BM_WindowTorch/");
    against("nn.stream_vs_torch.native.", goal.native_stream, "BM_StreamNative/",
            "BM_StreamTorch/");
    against("nn.train_vs_torch.native.", goal.native_train, "BM_TrainNative/", "BM_TrainTorch/");
#ifdef SEER_BENCH_ONEDNN
    against("nn.window_vs_torch.onednn.", "", "BM_WindowOnednn/", "BM_WindowTorch/");
    against("nn.train_vs_torch.onednn.", "", "BM_TrainOnednn/", "BM_TrainTorch/");
#endif
  }
  return 0;
}();

}  // namespace
}  // namespace seer::bench
