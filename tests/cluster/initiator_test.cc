#include "benchmarks/cluster/sim/initiator.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "benchmarks/cluster/sim/scenario.h"

namespace seer::cluster {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

// Requests go from front to middle to deep; nobody calls idle. On two servers front and idle stand
// on the one, middle and deep on the other.
Application Chain(std::uint32_t middle_threads) {
  Application app;
  app.name = "chain";
  const auto add = [&](const char* name, std::uint32_t cores) {
    ServiceSpec service;
    service.name = name;
    service.cores = cores;
    service.threads = 1000;
    service.mean_service_us = 500;
    app.services.push_back(service);
  };
  add("front", 25);
  add("middle", 15);
  add("deep", 25);
  add("idle", 15);
  app.services[1].threads = middle_threads;
  CallSpec deep, middle, front;
  deep.service = 2;
  middle.service = 1;
  middle.then = {{deep}};
  front.then = {{middle}};
  app.requests = {{"request", 1, 20, front}};
  return app;
}

std::shared_ptr<Model> Build(const Application& app, std::uint32_t servers) {
  ModelOptions options;
  options.placement = Placement::kSpread;
  auto model = BuildModel({app}, UniformCluster(servers), options);
  EXPECT_TRUE(model.ok()) << model.status();
  return *model;
}

std::vector<TruthRow> Play(const std::shared_ptr<Model>& model, Fault fault) {
  fault.start_ns = 3 * kSecond;
  fault.end_ns = 6 * kSecond;
  ScenarioOptions options;
  options.seconds = 14;
  options.simulator.loads = {{400, 0, 3600, 0}};
  options.simulator.faults = {fault};
  return RunScenario(model, options, nullptr);
}

void ExpectAll(const std::vector<TruthRow>& truth, const Model& model, const std::string& culprit) {
  ASSERT_FALSE(truth.empty());
  for (const TruthRow& row : truth) {
    EXPECT_EQ(row.fault, 0);
    EXPECT_EQ(row.violation.initiation, Initiation::kService);
    ASSERT_TRUE(row.violation.culprit.valid());
    EXPECT_EQ(model.topology.service(row.violation.culprit).name, "chain/" + culprit);
  }
}

TEST(Initiator, OnAServerInTroubleItIsTheServiceThatHoldsRequestsUp) {
  Application app = Chain(1000);
  app.services[2].sensitivity[static_cast<std::size_t>(Resource::kCpu)] = 1;
  const auto model = Build(app, 1);
  Fault fault;
  fault.kind = FaultKind::kCpuContention;
  fault.service = model->FindService("chain/idle");  // drawn, and not concerned
  fault.magnitude = 10;
  ASSERT_EQ(SiteOf(*model, fault).services.size(), 4u);
  ExpectAll(Play(model, fault), *model, "deep");
  EXPECT_EQ(Play(model, fault).front().reason, "fault");
}

TEST(Initiator, AQueueInFrontOfThreadsThatWaitForAnotherIsTheOthersDoing) {
  Application app = Chain(6);  // middle runs out of threads: the longest wait is there
  app.services[2].sensitivity[static_cast<std::size_t>(Resource::kCpu)] = 1;
  app.services[1].sensitivity[static_cast<std::size_t>(Resource::kCpu)] = 0.01;
  const auto model = Build(app, 1);
  Fault fault;
  fault.kind = FaultKind::kCpuContention;
  fault.service = model->FindService("chain/front");
  fault.magnitude = 10;
  ExpectAll(Play(model, fault), *model, "deep");
}

TEST(Initiator, OfANetworkInTroubleItIsTheEndOnTheServerThatWasHit) {
  const auto model = Build(Chain(1000), 2);
  const auto server_of = [&](const char* name) {
    return model->instances[model->services[model->FindService(name)].first_instance].server;
  };
  ASSERT_EQ(server_of("chain/deep"), server_of("chain/middle"));
  ASSERT_EQ(server_of("chain/front"), server_of("chain/idle"));
  ASSERT_NE(server_of("chain/front"), server_of("chain/deep"));
  Fault fault;
  fault.kind = FaultKind::kRouting;
  fault.magnitude = 20;
  fault.service = model->FindService("chain/deep");  // to which messages do not leave the server
  ExpectAll(Play(model, fault), *model, "middle");
  // The same ways, and those from outside: front's.
  fault.service = model->FindService("chain/idle");
  ExpectAll(Play(model, fault), *model, "front");
}

TEST(Initiator, OfAFaultOfOneServiceThereIsNothingToAsk) {
  const auto model = Build(Chain(1000), 1);
  Fault fault;
  fault.kind = FaultKind::kBlockingCall;
  fault.service = model->FindService("chain/middle");
  fault.magnitude = 100;
  EXPECT_EQ(SiteOf(*model, fault).services, std::vector<std::uint32_t>{fault.service});
  ExpectAll(Play(model, fault), *model, "middle");
}

TEST(Initiator, WhatComesAfterTheFaultIsItsAftermath) {
  const auto model = Build(Chain(1000), 2);
  Fault fault;
  fault.kind = FaultKind::kSwitchFailure;
  fault.start_ns = 3 * kSecond;
  fault.end_ns = fault.start_ns + kSecond / 10;  // messages come 200 ms later
  ScenarioOptions options;
  options.seconds = 12;
  options.simulator.loads = {{400, 0, 3600, 0}};
  options.simulator.faults = {fault};
  const auto truth = RunScenario(model, options, nullptr);
  ASSERT_FALSE(truth.empty());
  EXPECT_EQ(truth.front().fault, 0);
  EXPECT_EQ(truth.front().violation.initiation, Initiation::kLoad);
}

TEST(Initiator, ALoadThatIsTooMuchWithoutAnyFaultIsNobodysDoing) {
  Application app = Chain(1000);
  app.services[2].cores = 1;
  app.services[2].mean_service_us = 3000;  // 1.2 times what it can do
  const auto model = Build(app, 1);
  Fault fault;
  fault.kind = FaultKind::kBlockingCall;
  fault.service = model->FindService("chain/idle");
  const auto truth = Play(model, fault);
  ASSERT_FALSE(truth.empty());
  for (const TruthRow& row : truth) {
    EXPECT_EQ(row.fault, -1);
    EXPECT_EQ(row.reason, "load");
    EXPECT_EQ(row.violation.initiation, Initiation::kLoad);
  }
}

// Two faults of one service, each of which is enough.
TEST(Initiator, WhatTwoFaultsDoEachByItselfIsSeveral) {
  const auto model = Build(Chain(1000), 1);
  ScenarioOptions options;
  options.seconds = 14;
  options.simulator.loads = {{400, 0, 3600, 0}};
  for (const char* name : {"chain/middle", "chain/deep"}) {
    Fault fault;
    fault.kind = FaultKind::kBlockingCall;
    fault.service = model->FindService(name);
    fault.magnitude = 100;
    fault.start_ns = 3 * kSecond;
    fault.end_ns = 6 * kSecond;
    options.simulator.faults.push_back(fault);
  }
  const auto truth = RunScenario(model, options, nullptr);
  ASSERT_FALSE(truth.empty());
  EXPECT_EQ(truth.front().reason, "several");
  EXPECT_EQ(truth.front().fault, 1);
  EXPECT_EQ(truth.front().violation.confidence, 0.5f);
}

}  // namespace
}  // namespace seer::cluster
