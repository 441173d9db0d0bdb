#include "benchmarks/evaluation/blind.h"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace seer::evaluation {
namespace {

Topology Chain(int services, const std::string& node) {
  Topology topology;
  const NodeId here = topology.AddNode(node).value();
  ServiceId caller;
  for (int i = 0; i < services; ++i) {
    const ServiceId service = topology.AddService("service-" + std::to_string(i), "shop").value();
    EXPECT_TRUE(topology.AddInstance(service, "0", here).ok());
    EXPECT_TRUE(topology.AddEdge(caller, service).ok());
    caller = service;
  }
  return topology;
}

ClusterTick Full(const Topology& topology) {
  ClusterTick tick;
  tick.tick = 7;
  tick.topology_version = topology.version();
  tick.Reset(topology.services().size(), topology.edges().size(), 1);
  tick.classes[0].seen = true;
  tick.classes[0].count = 5;
  for (std::uint32_t s = 0; s < topology.services().size(); ++s) {
    tick.services.SetDepth(ServiceId(s), Channel::kQueued, s + 1);
    tick.services.SetMean(ServiceId(s), Channel::kRunning, 0.5);
    tick.services.SetFlow(ServiceId(s), Channel::kQueued, 3, 2);
    tick.services.SetMeanWait(ServiceId(s), Channel::kQueued, 40);
    tick.edges.SetDepth(EdgeId(s), s + 2);
    tick.edges.SetMade(EdgeId(s), 9);
  }
  return tick;
}

TEST(Blind, WhoSeesEverythingSeesTheSameTick) {
  const Topology topology = Chain(20, "node-1");
  const ClusterTick tick = Full(topology);
  EXPECT_TRUE(Blind(0).Of(tick, topology) == tick);
}

TEST(Blind, AMissingProbeTellsNeitherChannelsNorCallsAndClientsStillTell) {
  const Topology topology = Chain(200, "node-1");
  Blind blind(0.3);
  const std::vector<bool> missing = blind.Missing(topology);
  const auto count = std::count(missing.begin(), missing.end(), true);
  EXPECT_GT(count, 40);
  EXPECT_LT(count, 80);
  const ClusterTick tick = Full(topology);
  const ClusterTick& seen = blind.Of(tick, topology);
  EXPECT_TRUE(seen.classes == tick.classes);
  EXPECT_TRUE(seen.edges.depth(EdgeId(0)).has_value()) << "from outside";
  for (std::uint32_t s = 0; s < 200; ++s) {
    SCOPED_TRACE(s);
    const ServiceId id(s);
    EXPECT_EQ(seen.services.depth(id, Channel::kQueued).has_value(), !missing[s]);
    EXPECT_EQ(seen.services.mean(id, Channel::kRunning).has_value(), !missing[s]);
    EXPECT_EQ(seen.services.arrivals(id, Channel::kQueued).has_value(), !missing[s]);
    EXPECT_EQ(seen.services.mean_wait_us(id, Channel::kQueued).has_value(), !missing[s]);
    if (s == 0) continue;
    EXPECT_EQ(seen.edges.depth(EdgeId(s)).has_value(), !missing[s - 1]);
    EXPECT_EQ(seen.edges.made(EdgeId(s)).has_value(), !missing[s - 1]);
  }
}

TEST(Blind, AnotherPlacementMissesOtherProbesAndTheSameOneTheSame) {
  const Topology here = Chain(100, "node-1"), there = Chain(100, "node-2");
  EXPECT_EQ(Blind(0.3).Missing(here), Blind(0.3).Missing(here));
  EXPECT_NE(Blind(0.3).Missing(here), Blind(0.3).Missing(there));
}

// Says how many services it saw.
class Counter final : public TickPredictor {
 public:
  std::string_view name() const override { return "counter"; }
  absl::Status Observe(const ClusterTick& tick, const Topology&, Forecast* forecast) override {
    forecast->tick = 0;
    for (const std::uint8_t known : tick.services.known(Channel::kQueued)) {
      forecast->tick += known != 0 ? 1 : 0;
    }
    return absl::OkStatus();
  }
  void Reset() override {}
};

TEST(Blind, APredictorBehindItSeesTheNextRunsProbesAfterReset) {
  const auto predictor = MakeBlind("blind", std::make_unique<Counter>(), 0.5);
  EXPECT_EQ(predictor->name(), "blind");
  Forecast forecast;
  for (const std::string node : {"node-1", "node-2", "node-1"}) {
    const Topology topology = Chain(50, node);
    const std::vector<bool> missing = Blind(0.5).Missing(topology);
    predictor->Reset();
    ASSERT_TRUE(predictor->Observe(Full(topology), topology, &forecast).ok());
    EXPECT_EQ(forecast.tick, std::count(missing.begin(), missing.end(), false));
  }
}

}  // namespace
}  // namespace seer::evaluation
