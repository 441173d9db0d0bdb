// What it costs to join a group of mirrors, and what a step of retraining costs, at 386 services.
#include <benchmark/benchmark.h>

#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "benchmarks/harness/figure.h"
#include "seer/nn/network.h"
#include "seer/predict/mirror.h"
#include "seer/predict/model_inputs.h"
#include "seer/predict/retrainer.h"

namespace seer::bench {
namespace {

constexpr std::size_t kServices = 386, kOnANode = 20;

std::string Name(std::size_t number) { return "service-" + std::to_string(number); }

// The paper's hybrid network over what traces tell.
Checkpoint Model() {
  ModelInputs inputs;
  inputs.inputs = WindowInputs::OfTraces();
  inputs.horizons_ns = {100'000'000, 300'000'000, 1'000'000'000};
  inputs.classes = {"page"};
  Checkpoint checkpoint;
  checkpoint.config = ModelConfig::Named("hybrid", kServices, inputs.inputs.size()).value();
  checkpoint.config.extras = ModelInputs::kExtras;
  checkpoint.config.hazard_classes = 1;
  checkpoint.config.hazard_horizons = 3;
  const Network network = Network::Create(checkpoint.config).value();
  checkpoint.parameters.resize(network.parameters());
  network.Initialize(1, absl::MakeSpan(checkpoint.parameters));
  for (std::size_t s = 0; s < kServices; ++s) checkpoint.services.push_back({Name(s), true});
  checkpoint.sections[ModelInputs::kSection] = EncodeModelInputs(inputs);
  return checkpoint;
}

// Nodes of twenty services; each service is called by one before it in a tree of three branches.
std::vector<Topology> Nodes() {
  std::vector<Topology> nodes;
  for (std::size_t first = 0; first < kServices; first += kOnANode) {
    const std::string node_name = "node-" + std::to_string(nodes.size());
    Topology topology = Topology::OfNode(node_name, 1).value();
    const NodeId node = topology.AddNode(node_name).value();
    const auto service = [&](std::size_t number) {
      const auto there = topology.FindService(Name(number));
      return there ? *there : topology.AddService(Name(number)).value();
    };
    for (std::size_t s = first; s < std::min(first + kOnANode, kServices); ++s) {
      const ServiceId id = service(s);
      (void)topology.AddInstance(id, Name(s) + "-0", node).value();
      for (std::size_t callee = 3 * s + 1; callee <= 3 * s + 3 && callee < kServices; ++callee) {
        (void)topology.AddEdge(id, service(callee)).value();
      }
      if (s == 0) {
        (void)topology.AddEdge(ServiceId(), id).value();
        (void)topology.AddRequestClass("", "page", QosTarget{20'000'000, 10'000, 1000, 1}, id)
            .value();
      }
    }
    nodes.push_back(std::move(topology));
  }
  return nodes;
}

Snapshot At(const Topology& topology, Tick tick, std::mt19937* random) {
  Snapshot snapshot;
  snapshot.origin = topology.origin();
  snapshot.tick = tick;
  snapshot.instances.Reset(topology.instances().size());
  snapshot.edges.Reset(topology.edges().size());
  snapshot.classes.resize(topology.classes().size());
  for (std::uint32_t i = 0; i < topology.instances().size(); ++i) {
    for (const Channel channel : {Channel::kQueued, Channel::kRunning, Channel::kBlocked}) {
      ChannelSample sample;
      sample.depth = static_cast<std::uint32_t>((*random)() % 8);
      snapshot.instances.Set(InstanceId(i), channel, sample);
    }
  }
  for (std::uint32_t e = 0; e < topology.edges().size(); ++e) {
    snapshot.edges.Set(EdgeId(e), {static_cast<std::uint32_t>((*random)() % 8), 0, 12});
  }
  for (ClassSample& sample : snapshot.classes) sample.count = 100;
  return snapshot;
}

struct Primary {
  Primary() {
    options.predictor.clock = &clock;
    options.model = EncodeCheckpoint(Model()).value();
    mirror = Mirror::Create(options).value();
    (void)mirror->TakeOver(1).ok();
    for (const Topology& node : nodes) (void)mirror->Observe(node).ok();
    Ticks(30);
  }
  void Ticks(int count) {
    for (int t = 0; t < count; ++t) {
      ++tick;
      clock.Set(TickPeriod().EndNs(tick));
      for (const Topology& node : nodes) (void)mirror->Observe(At(node, tick, &random)).ok();
      mirror->Predict();
    }
  }

  std::mt19937 random{1};
  std::vector<Topology> nodes = Nodes();
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

// One Step() of retraining: four minibatches of the whole network, on one core.
void BM_RetrainStep(benchmark::State& state) {
  Topology topology(1);
  for (const Topology& node : Nodes()) (void)topology.Merge(node).value();
  RetrainerOptions options;
  options.find_violations = false;
  options.label_delay_ns = 2'000'000'000;
  options.retrain_every_ns = 0;
  options.head_steps = 1;
  options.whole_steps = 1'000'000;
  options.drift_shift = 1e9;
  const auto retrainer = Retrainer::Create(Model(), options).value();
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
  if (!more) state.SkipWithError("nothing to train");
  for (auto _ : state) {
    if (!retrainer->Step(0).ok()) state.SkipWithError("a step failed");
  }
}
BENCHMARK(BM_RetrainStep)->Iterations(3)->Unit(benchmark::kMillisecond);

SEER_FIGURE(catchup, Time("mirror.catchup_ms", "ms", "-", "BM_CatchUp"));
SEER_FIGURE(step, Time("retrain.step_s", "s", "<= 5", "BM_RetrainStep"));

}  // namespace
}  // namespace seer::bench
