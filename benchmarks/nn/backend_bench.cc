// Time of one window and of one training step, one thread.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "benchmarks/harness/figure.h"
#include "benchmarks/nn/flat.h"
#include "seer/nn/backend.h"
#ifdef SEER_BENCH_ONEDNN
#include "seer/nn/onednn.h"
#endif
#include "seer/nn/optimizer.h"
#include "seer/nn/trainer.h"

namespace seer::bench {
namespace {

const Backend* BackendNamed(const char* name) {
#ifdef SEER_BENCH_ONEDNN
  AddBackend(OnednnBackend()).IgnoreError();
#endif
  return FindBackend(name);
}

void Window(benchmark::State& state, const char* name, const char* backend, bool cold = false) {
  const Flat flat(static_cast<std::size_t>(state.range(0)), name);
  auto engine = *BackendNamed(backend)->NewInference(flat.network, flat.weights);
  auto workspace = *engine->NewWorkspace(1);
  std::vector<float> out(flat.network.outputs());
  const auto inputs =
      absl::MakeConstSpan(flat.batch.inputs).subspan(0, flat.network.window_values());
  for (auto _ : state) {
    if (cold) {
      state.PauseTiming();
      ColdCaches();
      state.ResumeTiming();
    }
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
void BM_WindowNative(benchmark::State& state) { Window(state, "flat", "native"); }
void BM_WindowNativePyramid(benchmark::State& state) { Window(state, "pyramid", "native"); }
void BM_WindowNativePositionWise(benchmark::State& state) {
  Window(state, "position_wise", "native");
}
void BM_ColdWindow(benchmark::State& state) { Window(state, "flat", "native", true); }
BENCHMARK(BM_ColdWindow)->Arg(36)->Arg(386)->Arg(2000)->Arg(10000);
BENCHMARK(BM_Window)->Arg(36)->Arg(158)->Arg(386)->Arg(2000)->Arg(10000);
BENCHMARK(BM_WindowPyramid)->Arg(386)->Arg(10000);
BENCHMARK(BM_WindowPositionWise)->Arg(386);
BENCHMARK(BM_WindowNative)->Arg(36)->Arg(158)->Arg(386)->Arg(2000)->Arg(10000);
BENCHMARK(BM_WindowNativePyramid)->Arg(386)->Arg(10000);
BENCHMARK(BM_WindowNativePositionWise)->Arg(386);

void Train(benchmark::State& state, const char* backend) {
  TrainingSteps steps(static_cast<std::size_t>(state.range(0)), BackendNamed(backend));
  for (auto _ : state) {
    if (!steps.Run()) {
      state.SkipWithError("the gradient is not finite");
      return;
    }
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(steps.windows()));
}
void BM_Train(benchmark::State& state) { Train(state, "eigen"); }
void BM_TrainNative(benchmark::State& state) { Train(state, "native"); }
BENCHMARK(BM_Train)->Arg(36)->Arg(158)->Arg(386)->Arg(2000)->Arg(10000);
BENCHMARK(BM_TrainNative)->Arg(36)->Arg(158)->Arg(386)->Arg(2000)->Arg(10000);

// Tick by tick. The window that slides gives the same outputs as the whole window.
void Ticks(benchmark::State& state, const char* name, const char* backend, RunMode mode,
           bool cold = false) {
  const Flat flat(static_cast<std::size_t>(state.range(0)), name);
  auto engine = *FindBackend(backend)->NewInference(flat.network, flat.weights);
  auto session = *engine->NewSession(mode);
  std::vector<float> out(flat.network.outputs());
  const std::size_t services = flat.network.services();
  std::size_t t = 0;
  for (auto _ : state) {
    if (cold) {
      state.PauseTiming();
      ColdCaches();
      state.ResumeTiming();
    }
    const auto tick =
        absl::MakeConstSpan(flat.batch.inputs).subspan(t++ % 640 * services, services);
    if (!session->Push(tick, absl::MakeSpan(out)).ok()) {
      state.SkipWithError("Push failed");
      return;
    }
    benchmark::DoNotOptimize(out.data());
  }
}
void BM_ColdStream(benchmark::State& state) {
  Ticks(state, "flat", "native", RunMode::kStream, true);
}
BENCHMARK(BM_ColdStream)->Arg(36)->Arg(386)->Arg(2000)->Arg(10000);
void BM_Slide(benchmark::State& state) { Ticks(state, "flat", "eigen", RunMode::kSlide); }
void BM_SlideNative(benchmark::State& state) { Ticks(state, "flat", "native", RunMode::kSlide); }
void BM_StreamNative(benchmark::State& state) { Ticks(state, "flat", "native", RunMode::kStream); }
void BM_StreamPyramid(benchmark::State& state) {
  Ticks(state, "pyramid", "native", RunMode::kStream);
}
void BM_SlidePyramid(benchmark::State& state) {
  Ticks(state, "pyramid", "native", RunMode::kSlide);
}
void BM_SlideHybrid(benchmark::State& state) { Ticks(state, "hybrid", "native", RunMode::kSlide); }
void BM_SlidePositionWise(benchmark::State& state) {
  Ticks(state, "position_wise", "native", RunMode::kSlide);
}
BENCHMARK(BM_Slide)->Arg(36)->Arg(158)->Arg(386)->Arg(2000)->Arg(10000);
BENCHMARK(BM_SlideNative)->Arg(36)->Arg(158)->Arg(386)->Arg(2000)->Arg(10000);
BENCHMARK(BM_StreamNative)->Arg(36)->Arg(158)->Arg(386)->Arg(2000)->Arg(10000);
BENCHMARK(BM_StreamPyramid)->Arg(386);
BENCHMARK(BM_SlidePyramid)->Arg(386);
BENCHMARK(BM_SlideHybrid)->Arg(386);
BENCHMARK(BM_SlidePositionWise)->Arg(386);

// The same with weights of 16 bits, and how far its logits are from those of 32, as a share of the
// largest.
void BM_StreamBfloat16(benchmark::State& state) {
  const Flat flat(static_cast<std::size_t>(state.range(0)));
  InferenceOptions whole, halves;
  whole.logits = halves.logits = halves.bfloat16_weights = true;
  auto engine = *FindBackend("native")->NewInference(flat.network, flat.weights, halves);
  auto exact = *FindBackend("native")->NewInference(flat.network, flat.weights, whole);
  auto session = *engine->NewSession(RunMode::kStream),
       other = *exact->NewSession(RunMode::kStream);
  std::vector<float> out(flat.network.outputs()), expected(out);
  const std::size_t services = flat.network.services();
  std::size_t t = 0;
  const auto push = [&](TickSession& to, std::vector<float>& outputs) {
    const auto tick = absl::MakeConstSpan(flat.batch.inputs).subspan(t % 640 * services, services);
    if (!to.Push(tick, absl::MakeSpan(outputs)).ok()) state.SkipWithError("Push failed");
  };
  float error = 0, largest = 0;
  for (; t < 40; ++t) {
    push(*session, out);
    push(*other, expected);
    for (std::size_t i = 0; i < out.size(); ++i) {
      error = std::max(error, std::abs(out[i] - expected[i]));
      largest = std::max(largest, std::abs(expected[i]));
    }
  }
  for (auto _ : state) {
    push(*session, out);
    ++t;
  }
  state.counters["error"] = static_cast<double>(error / largest);
}
BENCHMARK(BM_StreamBfloat16)->Arg(386)->Arg(2000)->Arg(10000);

// A tick of 8 applications, by one session and by one for each.
void BM_StreamTogether(benchmark::State& state) {
  constexpr std::size_t kApplications = 8;
  const bool together = state.range(1) != 0;
  const Flat flat(static_cast<std::size_t>(state.range(0)));
  auto engine = *FindBackend("native")->NewInference(flat.network, flat.weights);
  const std::size_t services = flat.network.services(), outputs = flat.network.outputs();
  const std::size_t each = together ? kApplications : 1;
  std::vector<std::unique_ptr<TickSession>> sessions;
  for (std::size_t a = 0; a < kApplications; a += each) {
    sessions.push_back(*engine->NewSessionOf(each, RunMode::kStream));
  }
  std::vector<float> out(each * outputs);
  std::size_t t = 0;
  for (auto _ : state) {
    for (const auto& session : sessions) {
      const auto ticks = absl::MakeConstSpan(flat.batch.inputs)
                             .subspan(t % (640 - each) * services, each * services);
      t += each;
      if (!session->Push(ticks, absl::MakeSpan(out)).ok()) state.SkipWithError("Push failed");
    }
  }
}
BENCHMARK(BM_StreamTogether)->Args({386, 1})->Args({386, 0})->Args({2000, 1})->Args({2000, 0});

// An epoch of the trainer: the same steps by one thread and by two.
void BM_TrainThreads(benchmark::State& state) {
  const Flat flat(386);
  MemorySource source(flat.network);
  const std::size_t values = flat.network.window_values();
  for (std::size_t w = 0; w < 256; ++w) {
    MemorySource::Truth truth;
    truth.initiator = flat.batch.initiator[w % 32];
    const auto inputs = absl::MakeConstSpan(flat.batch.inputs).subspan(w % 32 * values, values);
    if (!source.Add(inputs, truth).ok()) state.SkipWithError("Add failed");
  }
  TrainerOptions options;
  options.backend = "native";
  options.threads = static_cast<std::uint32_t>(state.range(0));
  options.epochs = 1;
  for (auto _ : state) {
    auto trainer = Trainer::Create(flat.network, options);
    if (!trainer.ok() || !(*trainer)->Train(source).ok()) state.SkipWithError("Train failed");
  }
}
BENCHMARK(BM_TrainThreads)->Arg(1)->Arg(2)->UseRealTime();

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
SEER_FIGURE(native_pyramid386,
            Time("nn.window_us.pyramid386", "us", "<= 45", "BM_WindowNativePyramid/386"));
SEER_FIGURE(native_pyramid10000,
            Time("nn.window_us.pyramid10000", "us", "<= 600", "BM_WindowNativePyramid/10000"));
SEER_FIGURE(native_position_wise386,
            Time("nn.window_us.position_wise386", "us", "", "BM_WindowNativePositionWise/386"));
SEER_FIGURE(stream_pyramid386,
            Time("nn.stream_us.pyramid386", "us", "<= 4", "BM_StreamPyramid/386"));
SEER_FIGURE(slide_pyramid386, Time("nn.slide_us.pyramid386", "us", "", "BM_SlidePyramid/386"));
SEER_FIGURE(slide_hybrid386, Time("nn.slide_us.hybrid386", "us", "", "BM_SlideHybrid/386"));
SEER_FIGURE(slide_position_wise386,
            Time("nn.slide_us.position_wise386", "us", "", "BM_SlidePositionWise/386"));
SEER_FIGURE(together386, Speedup("nn.stream_together.386", "", "BM_StreamTogether/386/1",
                                 "BM_StreamTogether/386/0", "8 sessions"));
SEER_FIGURE(together2000, Speedup("nn.stream_together.2000", "", "BM_StreamTogether/2000/1",
                                  "BM_StreamTogether/2000/0", "8 sessions"));
[[maybe_unused]] const int with_size = [] {
  for (const std::string n : {"386", "2000", "10000"}) {
    Register(Speedup("nn.stream_bfloat16." + n, "", "BM_StreamBfloat16/" + n,
                     "BM_StreamNative/" + n, "32 bits"));
    Register(Counter("nn.bfloat16_error." + n, "", "", "BM_StreamBfloat16/" + n, "error"));
  }
  for (const std::string n : {"36", "386", "2000", "10000"}) {
    Register(Time("nn.cold_window_us." + n, "us", "", "BM_ColdWindow/" + n));
    Register(Time("nn.cold_stream_us." + n, "us", "", "BM_ColdStream/" + n));
  }
  return 0;
}();
SEER_FIGURE(two_threads, Speedup("nn.train_two_threads", ">= 1.6", "BM_TrainThreads/2",
                                 "BM_TrainThreads/1", "one thread"));

#ifdef SEER_BENCH_ONEDNN
[[maybe_unused]] const int against_onednn = [] {
  for (const std::string n : {"36", "158", "386", "2000", "10000"}) {
    Register(Speedup("nn.window_vs_onednn." + n, ">= 2.5", "BM_WindowNative/" + n,
                     "BM_WindowOnednn/" + n, "oneDNN"));
    Register(Speedup("nn.train_vs_onednn." + n, ">= 1.2", "BM_TrainNative/" + n,
                     "BM_TrainOnednn/" + n, "oneDNN"));
  }
  return 0;
}();
#endif

}  // namespace
}  // namespace seer::bench
