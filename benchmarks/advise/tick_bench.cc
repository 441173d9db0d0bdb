// What the control loop costs in a tick without alarm, beyond the prediction: the forecast is
// taken, the instances' requests are counted, and those whose turn it is are read for their
// baseline.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "benchmarks/harness/figure.h"
#include "seer/advise/control_loop.h"

namespace seer::bench {
namespace {

constexpr std::size_t kServices = 386;
constexpr std::size_t kOnANode = 20;
constexpr int kTicks = 400;

// What a monitor on another machine would have sent: all of it there already.
class ReadyMonitor final : public HwMonitor {
 public:
  absl::Status Read(const HwTarget& target, HwReading* reading) override {
    ClearReading(target, reading);
    reading->interval_ns = 10'000'000'000;
    for (const Resource resource : kAllResources) {
      reading->instance[resource].delay_us = {500, Quality::kOk, Reason::kNone, Scope::kCgroup};
    }
    ++reads;
    return absl::OkStatus();
  }
  std::size_t reads = 0;
};

std::vector<Topology> MakeNodes() {
  std::vector<Topology> nodes;
  const auto name = [](std::size_t s) { return "service-" + std::to_string(s); };
  for (std::size_t first = 0; first < kServices; first += kOnANode) {
    const std::string node_name = "node-" + std::to_string(nodes.size());
    Topology topology = Topology::OfNode(node_name, 1).value();
    const NodeId node = topology.AddNode(node_name).value();
    const auto service = [&](std::size_t s) {
      const auto there = topology.FindService(name(s));
      return there ? *there : topology.AddService(name(s), "shop").value();
    };
    for (std::size_t s = first; s < std::min(first + kOnANode, kServices); ++s) {
      const ServiceId id = service(s);
      (void)topology.AddInstance(id, name(s) + "-0", node, "shop/" + name(s)).value();
      for (std::size_t callee = 3 * s + 1; callee <= 3 * s + 3 && callee < kServices; ++callee) {
        (void)topology.AddEdge(id, service(callee)).value();
      }
      if (s == 0) {
        (void)topology.AddEdge(ServiceId(), id).value();
        (void)topology.AddRequestClass("shop", "page", QosTarget{20'000'000, 10'000, 1000, 1}, id)
            .value();
      }
    }
    nodes.push_back(std::move(topology));
  }
  return nodes;
}

void BM_QuietTick386(benchmark::State& state) {
  const std::vector<Topology> nodes = MakeNodes();
  ManualClock clock(1'700'000'000'000'000'000);
  PredictorOptions predictor_options;
  predictor_options.clock = &clock;
  predictor_options.keep_ticks = 16;
  const auto predictor = Predictor::Create(predictor_options).value();
  std::vector<Snapshot> snapshots;
  for (const Topology& node : nodes) {
    if (!predictor->Observe(node).ok()) state.SkipWithError("a node was refused");
    Snapshot snapshot;
    snapshot.origin = node.origin();
    snapshot.instances.Reset(node.instances().size());
    snapshot.edges.Reset(node.edges().size());
    snapshot.classes.resize(node.classes().size());
    for (std::uint32_t i = 0; i < node.instances().size(); ++i) {
      ChannelSample sample;
      sample.depth = 3;
      sample.counted = true;
      sample.arrivals = sample.departures = 40;
      for (const Channel channel : {Channel::kQueued, Channel::kRunning}) {
        snapshot.instances.Set(InstanceId(i), channel, sample);
      }
    }
    for (std::uint32_t e = 0; e < node.edges().size(); ++e) {
      snapshot.edges.Set(EdgeId(e), {3, 0, 12});
    }
    for (ClassSample& sample : snapshot.classes) sample.count = 100;
    snapshots.push_back(std::move(snapshot));
  }

  ReadyMonitor monitor;
  RuleAdvisorOptions rules;
  rules.in_place = [](const ActionTarget&, Action) { return std::nullopt; };
  const auto advisor = RuleAdvisor::Create(rules).value();
  ControlLoopOptions options;
  options.clock = options.steady = &clock;
  options.monitor = [&](const Topology&, InstanceId) { return &monitor; };
  const auto loop = ControlLoop::Create(predictor.get(), advisor.get(), options).value();

  const TickPeriod period;
  Tick tick = period.TickAt(clock.NowNs());
  Forecast forecast;
  std::vector<double> with, without;
  std::size_t alarms = 0;
  for (auto _ : state) {
    with.clear();
    without.clear();
    for (int t = 0; t < kTicks + 200; ++t) {
      ++tick;
      clock.Set(period.EndNs(tick));
      for (Snapshot& snapshot : snapshots) {
        snapshot.tick = tick;
        predictor->Observe(snapshot).IgnoreError();
      }
      using Time = std::chrono::steady_clock;
      using Micros = std::chrono::duration<double, std::micro>;
      const auto start = Time::now();
      predictor->Predict(&forecast);
      const auto between = Time::now();
      alarms += loop->Tick().alarms;
      const auto end = Time::now();
      if (t < 200) continue;  // to warm up
      without.push_back(Micros(between - start).count());
      with.push_back(Micros(end - between).count());
    }
    if (forecast.tick != tick || alarms != 0) state.SkipWithError("no forecast, or an alarm");
    if (monitor.reads < kServices) state.SkipWithError("no baselines were sampled");
  }
  std::sort(with.begin(), with.end());
  std::sort(without.begin(), without.end());
  const auto median = [](const std::vector<double>& sorted) { return sorted[sorted.size() / 2]; };
  state.counters["beyond_us"] = median(with) - median(without);
  state.counters["p99_us"] = with[with.size() * 99 / 100];
}
BENCHMARK(BM_QuietTick386)
    ->Iterations(1)
    ->Repetitions(3)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

SEER_FIGURE(tick, Counter("advise.tick_us", "us", "<= 100", "BM_QuietTick386", "beyond_us"));

}  // namespace
}  // namespace seer::bench
