// What a tick costs the control plane: every node's snapshot taken, merged, and a forecast made.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "benchmarks/harness/figure.h"
#include "benchmarks/predict/nodes.h"
#include "seer/predict/model_predictor.h"
#include "seer/predict/predictor.h"
#include "seer/predict/tree_model.h"

namespace seer::bench {
namespace {

constexpr int kVariants = 16;  // of each node's snapshot, so that depths change

struct Node {
  Topology topology;
  std::vector<Snapshot> snapshots;
};

std::vector<Node> MakeNodes(std::size_t services) {
  std::mt19937 random(1);
  std::vector<Node> nodes;
  for (Topology& topology : NodesOf(services)) {
    Node made{std::move(topology), {}};
    for (int v = 0; v < kVariants; ++v) {
      made.snapshots.push_back(SnapshotOf(made.topology, 0, &random));
    }
    nodes.push_back(std::move(made));
  }
  return nodes;
}

std::unique_ptr<TickPredictor> MakeModel(const char* config, std::size_t services) {
  return MakeModelPredictor(ModelOfTraces(config, services)).value();
}

// A model of trees as large as training allows them by default, with splits at random: every tree
// of 100 and 60 is asked to its full depth of five.
std::unique_ptr<TickPredictor> MakeTrees() {
  std::mt19937 random(1);
  const auto trees = [&](std::size_t columns, std::size_t outputs, int count) {
    std::string text = "trees " + std::to_string(columns) + " " + std::to_string(outputs) + " " +
                       std::to_string(count) + "\nbase";
    for (std::size_t k = 0; k < outputs; ++k) text += " -4";
    text += "\n";
    constexpr int kInner = 31;
    for (int t = 0; t < count; ++t) {
      text += "tree 63\n";
      for (int i = 0; i < kInner; ++i) {
        text += std::to_string(random() % columns) + " " + std::to_string(random() % 5) + " " +
                std::to_string(2 * i + 1) + "\n";
      }
      for (int i = 0; i <= kInner; ++i) {
        text += "leaf";
        for (std::size_t k = 0; k < outputs; ++k) {
          text += random() % 2 == 0 ? " 0.01" : " -0.01";
        }
        text += "\n";
      }
    }
    return BoostedTrees::Decode(text).value();
  };
  TreeModel model;
  model.horizons_ns = {100'000'000, 200'000'000,   300'000'000,
                       500'000'000, 1'000'000'000, 2'000'000'000};
  model.violations = trees(TreeModel::kClassColumns, model.horizons_ns.size(), 100);
  model.initiators = trees(TreeModel::kServiceColumns, 1, 60);
  model.calibration.threshold = 0.02;  // so low that the initiators are ranked in every tick
  return MakeTreePredictor(std::move(model)).value();
}

void RunTicks(benchmark::State& state, std::unique_ptr<TickPredictor> model, std::size_t services,
              int ticks) {
  const std::vector<Node> nodes = MakeNodes(services);
  ManualClock clock(1'700'000'000'000'000'000);
  PredictorOptions options;
  options.clock = &clock;
  const auto predictor = Predictor::Create(std::move(model), options).value();
  for (const Node& node : nodes) {
    if (!predictor->Observe(node.topology).ok()) state.SkipWithError("a node was refused");
  }
  const TickPeriod period;
  Tick tick = period.TickAt(clock.NowNs());
  std::vector<std::vector<Snapshot>> snapshots;
  for (const Node& node : nodes) snapshots.push_back(node.snapshots);
  Forecast forecast;
  std::vector<double> us;
  for (auto _ : state) {
    us.clear();
    for (int t = 0; t < ticks + 40; ++t) {
      ++tick;
      clock.Set(period.EndNs(tick));
      for (auto& of_node : snapshots) of_node[static_cast<std::size_t>(t % kVariants)].tick = tick;
      const auto start = std::chrono::steady_clock::now();
      for (const auto& of_node : snapshots) {
        predictor->Observe(of_node[static_cast<std::size_t>(t % kVariants)]).IgnoreError();
      }
      predictor->Predict(&forecast);
      const std::chrono::duration<double, std::micro> took =
          std::chrono::steady_clock::now() - start;
      if (t >= 40) us.push_back(took.count());  // 40 to warm up
    }
    if (forecast.tick != tick || forecast.classes.size() != 1) {
      state.SkipWithError("no forecast");
    }
  }
  std::sort(us.begin(), us.end());
  state.counters["p50"] = us[us.size() / 2];
  state.counters["p99"] = us[us.size() * 99 / 100];
}

void BM_Tick386(benchmark::State& state) { RunTicks(state, MakeTrees(), 386, 1000); }
void BM_Tick10k(benchmark::State& state) { RunTicks(state, MakeTrees(), 10'000, 100); }
void BM_TickHybrid386(benchmark::State& state) {
  RunTicks(state, MakeModel("hybrid", 386), 386, 1000);
}
void BM_TickRival386(benchmark::State& state) {
  RunTicks(state, MakeRival(RivalKind::kSelfDepthZ).value(), 386, 1000);
}
BENCHMARK(BM_Tick386)->Iterations(1)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(BM_Tick10k)->Iterations(1)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(BM_TickHybrid386)->Iterations(1)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(BM_TickRival386)->Iterations(1)->UseRealTime()->Unit(benchmark::kMillisecond);

constexpr char kTrees[] = "BM_Tick386";
SEER_FIGURE(p50, Counter("predict.tick386_us_p50", "us", "<= 60", kTrees, "p50"));
SEER_FIGURE(p99, Counter("predict.tick386_us_p99", "us", "<= 150", kTrees, "p99"));
SEER_FIGURE(large, Counter("predict.tick10k_us", "us", "<= 1500", "BM_Tick10k", "p50"));
SEER_FIGURE(hybrid, Counter("predict.hybrid386_us", "us", "-", "BM_TickHybrid386", "p50"));
SEER_FIGURE(rival, Counter("predict.rival386_us", "us", "-", "BM_TickRival386", "p50"));

}  // namespace
}  // namespace seer::bench
