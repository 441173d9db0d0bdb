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
#include "seer/nn/network.h"
#include "seer/predict/model_inputs.h"
#include "seer/predict/model_predictor.h"
#include "seer/predict/predictor.h"
#include "seer/predict/tree_model.h"

namespace seer::bench {
namespace {

constexpr std::size_t kOnANode = 20;
constexpr int kVariants = 16;  // of each node's snapshot, so that depths change

struct Node {
  Topology topology;
  std::vector<Snapshot> snapshots;
};

// `services` of one instance each, which their node counts in three channels; each is called by one
// before it in a tree of three branches. The first is the entry of one request class.
std::vector<Node> MakeNodes(std::size_t services) {
  std::mt19937 random(1);
  const auto name = [](std::size_t number) { return "service-" + std::to_string(number); };
  std::vector<Node> nodes;
  for (std::size_t first = 0; first < services; first += kOnANode) {
    const std::string node_name = "node-" + std::to_string(nodes.size());
    Topology topology = Topology::OfNode(node_name, 1).value();
    const NodeId node = topology.AddNode(node_name).value();
    const auto service = [&](std::size_t number) {
      const auto there = topology.FindService(name(number));
      return there ? *there : topology.AddService(name(number)).value();
    };
    for (std::size_t s = first; s < std::min(first + kOnANode, services); ++s) {
      const ServiceId id = service(s);
      (void)topology.AddInstance(id, name(s) + "-0", node).value();
      for (std::size_t callee = 3 * s + 1; callee <= 3 * s + 3 && callee < services; ++callee) {
        (void)topology.AddEdge(id, service(callee)).value();
      }
      if (s == 0) {
        (void)topology.AddEdge(ServiceId(), id).value();
        (void)topology.AddRequestClass("", "page", QosTarget{20'000'000, 10'000, 1000, 1}, id)
            .value();
      }
    }
    Node made{std::move(topology), {}};
    for (int v = 0; v < kVariants; ++v) {
      Snapshot snapshot;
      snapshot.origin = made.topology.origin();
      snapshot.instances.Reset(made.topology.instances().size());
      snapshot.edges.Reset(made.topology.edges().size());
      snapshot.classes.resize(made.topology.classes().size());
      for (std::uint32_t i = 0; i < made.topology.instances().size(); ++i) {
        for (const Channel channel : {Channel::kQueued, Channel::kRunning, Channel::kBlocked}) {
          ChannelSample sample;
          sample.depth = static_cast<std::uint32_t>(random() % 8);
          sample.counted = true;
          sample.arrivals = sample.departures = 40;
          snapshot.instances.Set(InstanceId(i), channel, sample);
        }
      }
      for (std::uint32_t e = 0; e < made.topology.edges().size(); ++e) {
        snapshot.edges.Set(EdgeId(e), {static_cast<std::uint32_t>(random() % 8), 0, 12});
      }
      for (ClassSample& sample : snapshot.classes) sample.count = 100;
      made.snapshots.push_back(std::move(snapshot));
    }
    nodes.push_back(std::move(made));
  }
  return nodes;
}

// The paper's network over all inputs that applications' instrumentation gives; the weights do not
// matter for the time it takes.
std::unique_ptr<TickPredictor> MakeModel(const char* config, std::size_t services) {
  ModelInputs inputs;
  inputs.inputs = WindowInputs::OfTraces();
  inputs.horizons_ns = {100'000'000, 300'000'000, 1'000'000'000};
  inputs.classes = {"page"};
  Checkpoint checkpoint;
  checkpoint.config = ModelConfig::Named(config, services, inputs.inputs.size()).value();
  checkpoint.config.extras = ModelInputs::kExtras;
  checkpoint.config.hazard_classes = 1;
  checkpoint.config.hazard_horizons = 3;
  const Network network = Network::Create(checkpoint.config).value();
  checkpoint.parameters.resize(network.parameters());
  network.Initialize(1, absl::MakeSpan(checkpoint.parameters));
  for (std::size_t s = 0; s < services; ++s) {
    checkpoint.services.push_back({"service-" + std::to_string(s), true});
  }
  checkpoint.sections[ModelInputs::kSection] = EncodeModelInputs(inputs);
  return MakeModelPredictor(checkpoint).value();
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
