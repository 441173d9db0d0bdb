// What it costs to join a group of mirrors, and what a step of retraining costs itself and whoever
// serves beside it, at 386 services.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "benchmarks/harness/figure.h"
#include "benchmarks/predict/nodes.h"
#include "seer/predict/mirror.h"
#include "seer/predict/model_predictor.h"
#include "seer/predict/predictor.h"
#include "seer/predict/retrainer.h"
#include "seer/predict/retrainer_thread.h"

namespace seer::bench {
namespace {

constexpr std::size_t kServices = 386;

struct Primary {
  Primary() {
    options.predictor.clock = &clock;
    options.model = EncodeCheckpoint(ModelOfTraces("hybrid", kServices)).value();
    mirror = Mirror::Create(options).value();
    (void)mirror->TakeOver(1).ok();
    for (const Topology& node : nodes) (void)mirror->Observe(node).ok();
    Ticks(30);
  }
  void Ticks(int count) {
    for (int t = 0; t < count; ++t) {
      ++tick;
      clock.Set(TickPeriod().EndNs(tick));
      for (const Topology& node : nodes)
        (void)mirror->Observe(SnapshotOf(node, tick, &random)).ok();
      mirror->Predict();
    }
  }

  std::mt19937 random{1};
  std::vector<Topology> nodes = NodesOf(kServices);
  ManualClock clock{1'700'000'000'000'000'000};
  Tick tick = TickPeriod().TickAt(clock.NowNs());
  MirrorOptions options;
  std::unique_ptr<Mirror> mirror;
};

// Somebody joins: the primary saves its state, it is loaded, and the second that went by meanwhile
// is caught up with.
void BM_CatchUp(benchmark::State& state) {
  Primary primary;
  const auto joiner = Mirror::Create(primary.options).value();
  for (auto _ : state) {
    const auto bytes = primary.mirror->SaveState();
    state.PauseTiming();
    primary.Ticks(10);
    state.ResumeTiming();
    if (!bytes.ok() || !joiner->LoadState(*bytes).ok()) state.SkipWithError("no state");
    const auto deltas = primary.mirror->DeltasAfter(joiner->sequence());
    for (const std::string& delta : *deltas) {
      if (!joiner->Apply(delta).ok()) state.SkipWithError("a delta was refused");
    }
    state.counters["bytes"] = static_cast<double>(bytes->size());
  }
  if (joiner->sequence() != primary.mirror->sequence()) state.SkipWithError("not caught up");
}
BENCHMARK(BM_CatchUp)->Iterations(5)->UseRealTime()->Unit(benchmark::kMillisecond);

// A tick as a primary, to compare with predict.tick386_us_p50: what mirroring adds.
void BM_PrimaryTick(benchmark::State& state) {
  Primary primary;
  for (auto _ : state) primary.Ticks(1);
}
BENCHMARK(BM_PrimaryTick)->Iterations(200)->UseRealTime()->Unit(benchmark::kMicrosecond);

// One that trains the whole of a network, without end; null: it has nothing to train.
std::unique_ptr<Retrainer> InTraining() {
  Topology topology(1);
  for (const Topology& node : NodesOf(kServices)) (void)topology.Merge(node).value();
  RetrainerOptions options;
  options.find_violations = false;
  options.label_delay_ns = 2'000'000'000;
  options.retrain_every_ns = 0;
  options.head_steps = 1;
  options.whole_steps = 1'000'000;
  options.drift_shift = 1e9;
  auto retrainer = Retrainer::Create(ModelOfTraces("hybrid", kServices), options).value();
  std::mt19937 random(1);
  ClusterTick tick;
  tick.tick = 17'000'000'000;
  bool more = false;
  for (int i = 0; i < 3000 && !more; ++i) {
    ++tick.tick;
    tick.Reset(topology.services().size(), topology.edges().size(), topology.classes().size());
    for (std::uint32_t e = 0; e < topology.edges().size(); ++e) {
      tick.edges.SetDepth(EdgeId(e), static_cast<double>(random() % 8));
    }
    (void)retrainer->Observe(tick, topology).ok();
    if (i % 50 == 49) {
      Violation violation;
      violation.request_class = ClassId(0);
      violation.start_ns = violation.end_ns = tick.period.EndNs(tick.tick);
      violation.initiation = Initiation::kService;
      violation.culprit = ServiceId(static_cast<std::uint32_t>(random() % kServices));
      violation.confidence = 1;
      retrainer->NoteViolation(violation);
    }
    if (i > 2500) more = retrainer->Step(0).value_or(false);
  }
  while (more && retrainer->health().stage != RetrainStage::kWhole) {
    more = retrainer->Step(0).value_or(false);
  }
  return more ? std::move(retrainer) : nullptr;
}

// One Step() of retraining: four minibatches of the whole network, on one core.
void BM_RetrainStep(benchmark::State& state) {
  const auto retrainer = InTraining();
  if (retrainer == nullptr) return state.SkipWithError("nothing to train");
  for (auto _ : state) {
    if (!retrainer->Step(0).ok()) state.SkipWithError("a step failed");
  }
}
BENCHMARK(BM_RetrainStep)->Iterations(3)->Unit(benchmark::kMillisecond);

// A predictor that serves, tick by tick, and how long each takes.
class Serving {
 public:
  Serving() {
    PredictorOptions options;
    options.clock = &clock_;
    predictor_ =
        Predictor::Create(MakeModelPredictor(ModelOfTraces("hybrid", kServices)).value(), options)
            .value();
    for (const Topology& node : nodes_) (void)predictor_->Observe(node).ok();
    std::vector<double> ignored;
    Ticks(40, &ignored);
  }
  void Ticks(int count, std::vector<double>* us) {
    for (int t = 0; t < count; ++t) {
      ++tick_;
      clock_.Set(TickPeriod().EndNs(tick_));
      std::vector<Snapshot> snapshots;
      for (const Topology& node : nodes_) snapshots.push_back(SnapshotOf(node, tick_, &random_));
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      const auto start = std::chrono::steady_clock::now();
      for (const Snapshot& snapshot : snapshots) (void)predictor_->Observe(snapshot).ok();
      predictor_->Predict(&forecast_);
      const std::chrono::duration<double, std::micro> took =
          std::chrono::steady_clock::now() - start;
      us->push_back(took.count());
    }
  }

 private:
  std::mt19937 random_{1};
  std::vector<Topology> nodes_ = NodesOf(kServices);
  ManualClock clock_{1'700'000'000'000'000'000};
  Tick tick_ = TickPeriod().TickAt(clock_.NowNs());
  std::unique_ptr<Predictor> predictor_;
  Forecast forecast_;
};

double P99(std::vector<double>* us) {
  std::sort(us->begin(), us->end());
  return (*us)[us->size() * 99 / 100];
}

// What serves while a thread beside it trains without rest, and alone: by turns.
void BM_ServingBesideSteps(benchmark::State& state) {
  constexpr int kTurns = 12, kTicks = 100;
  const auto retrainer = InTraining();
  if (retrainer == nullptr) return state.SkipWithError("nothing to train");
  Serving serving;
  std::vector<double> alone_us, beside_us;
  for (auto _ : state) {
    for (int turn = 0; turn < kTurns; ++turn) {
      serving.Ticks(kTicks, &alone_us);
      RetrainerThreadOptions all_the_time;
      all_the_time.cpu_share = 1;
      RetrainerThread thread(retrainer.get(), nullptr, all_the_time);
      serving.Ticks(kTicks, &beside_us);
      if (thread.cpu_ns() == 0 && retrainer->health().steps == 0) {
        state.SkipWithError("nothing was trained");
      }
    }
  }
  const double alone = P99(&alone_us), beside = P99(&beside_us);
  state.counters["alone_us"] = alone;
  state.counters["beside_us"] = beside;
  state.counters["ratio"] = beside / alone;
}
BENCHMARK(BM_ServingBesideSteps)->Iterations(1)->UseRealTime()->Unit(benchmark::kMillisecond);

SEER_FIGURE(catchup, Time("mirror.catchup_ms", "ms", "-", "BM_CatchUp"));
SEER_FIGURE(step, Time("retrain.step_s", "s", "<= 5", "BM_RetrainStep"));
SEER_FIGURE(beside,
            Counter("retrain.serving_p99_ratio", "x", "<= 1.05", "BM_ServingBesideSteps", "ratio"));

}  // namespace
}  // namespace seer::bench
