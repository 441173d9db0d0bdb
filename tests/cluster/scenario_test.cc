#include "benchmarks/cluster/sim/scenario.h"

#include <gtest/gtest.h>

#include <array>

namespace seer::cluster {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

std::shared_ptr<Model> Build(std::uint64_t seed = 1) {
  auto app = LoadApplication(SEER_GRAPHS "/social_network.json");
  EXPECT_TRUE(app.ok()) << app.status();
  ModelOptions options;
  options.seed = seed;
  auto model = BuildModel({*app}, DefaultCluster(), options);
  EXPECT_TRUE(model.ok()) << model.status();
  return *model;
}

ScenarioOptions Scenario(double seconds, double rate) {
  ScenarioOptions options;
  options.seconds = seconds;
  options.simulator.loads = {{rate, 0, 3600, 0}};
  return options;
}

TEST(Scenario, SchedulesKeepThePapersProportions) {
  auto model = Build();
  ScheduleOptions options;
  options.seed = 3;
  options.seconds = 200 * 3600;
  const std::vector<Fault> faults = DrawFaults(model.get(), options);
  std::array<double, kCauseGroups> groups = {};
  double severe = 0;
  std::int64_t end = 0;
  for (const Fault& fault : faults) {
    EXPECT_GE(fault.start_ns, end + 19 * kSecond);
    EXPECT_GT(fault.end_ns, fault.start_ns);
    EXPECT_TRUE(fault.service == kNone || fault.service < model->services.size());
    EXPECT_GT(fault.magnitude, 0) << FaultKindName(fault.kind);
    end = fault.end_ns;
    if (fault.mild) continue;
    ++severe;
    ++groups[static_cast<std::size_t>(GroupOf(fault.kind))];
  }
  EXPECT_NEAR(severe / 200, options.severe_per_hour, 2.5);
  const auto share = [&](CauseGroup group) {
    return groups[static_cast<std::size_t>(group)] / severe;
  };
  EXPECT_NEAR(share(CauseGroup::kApplication), share(CauseGroup::kCompute), 0.05);
  EXPECT_GT(share(CauseGroup::kCompute), share(CauseGroup::kNetwork) + 0.05);
  EXPECT_GT(share(CauseGroup::kNetwork), share(CauseGroup::kCacheMemory));
  EXPECT_GT(share(CauseGroup::kCacheMemory), share(CauseGroup::kDisk) + 0.02);
  EXPECT_GT(share(CauseGroup::kDisk), 0.02);
  // Another seed, another schedule; the same, the same.
  auto again = Build();
  EXPECT_EQ(DrawFaults(again.get(), options), faults);
  options.seed = 4;
  auto other = Build();
  EXPECT_NE(DrawFaults(other.get(), options), faults);
}

TEST(Scenario, TruthNamesTheFaultThatTheViolationNeeds) {
  auto model = Build();
  ScenarioOptions options = Scenario(25, 500);
  Fault fault;
  fault.kind = FaultKind::kUnderProvisioned;
  fault.service = model->FindService("social_network/post-storage-service");
  fault.magnitude = 0.05;
  fault.start_ns = 5 * kSecond;
  fault.end_ns = 8 * kSecond;
  Fault innocent;  // at the same time, and not to blame
  innocent.kind = FaultKind::kNoisyNeighbour;
  innocent.server = 3;
  innocent.magnitude = 0.3;
  innocent.start_ns = 5 * kSecond;
  innocent.end_ns = 9 * kSecond;
  options.simulator.faults = {fault, innocent};
  int ticks = 0;
  const auto truth = RunScenario(model, options, [&](const ClusterTick&) { ++ticks; });
  EXPECT_EQ(ticks, 250);
  ASSERT_FALSE(truth.empty());
  for (const TruthRow& row : truth) {
    EXPECT_EQ(row.fault, 0);
    EXPECT_EQ(row.violation.initiation, Initiation::kService);
    EXPECT_EQ(row.violation.culprit, ServiceId(fault.service));
    EXPECT_EQ(row.cause, "application");
    EXPECT_GE(row.violation.start_ns - options.simulator.start_ns, 5 * kSecond);
  }
}

TEST(Scenario, WhatWouldHaveHappenedAnywayIsLoad) {
  // Always overloaded: the fault on top is not why.
  auto model = Build();
  ScenarioOptions options = Scenario(12, 500);
  Fault always;
  always.kind = FaultKind::kLoadSpike;
  always.application = 0;
  always.magnitude = 30;
  always.start_ns = 5 * kSecond;
  always.end_ns = 7 * kSecond;
  Fault fault;
  fault.kind = FaultKind::kLockConvoy;
  fault.service = model->FindService("social_network/ads-service");
  fault.magnitude = 1.2;
  fault.start_ns = 5 * kSecond;
  fault.end_ns = 7 * kSecond;
  options.simulator.faults = {always, fault};
  const auto truth = RunScenario(model, options, nullptr);
  ASSERT_FALSE(truth.empty());
  for (const TruthRow& row : truth) EXPECT_EQ(row.violation.initiation, Initiation::kLoad);
}

TEST(Scenario, ADrawnRunIsReproducedAndMostSevereFaultsBreach) {
  const auto run = [] {
    auto model = Build();
    ScenarioOptions options = Scenario(150, 300);
    ScheduleOptions schedule;
    schedule.seconds = 150;
    schedule.rate = 300;
    schedule.severe_per_hour = 120;
    schedule.harmless_per_hour = 0;
    schedule.gap_seconds = 8;
    schedule.mean_seconds = 5;
    options.simulator.faults = DrawFaults(model.get(), schedule);
    std::vector<std::int64_t> starts;
    for (const TruthRow& row : RunScenario(model, options, nullptr)) {
      starts.push_back(row.violation.start_ns);
    }
    return starts;
  };
  const auto starts = run();
  EXPECT_EQ(run(), starts);
  EXPECT_GE(starts.size(), 1u);
}

TEST(Scenario, UpdatesChangeWhatIsCalled) {
  auto model = Build();
  ScenarioOptions options = Scenario(6, 300);
  options.truth = false;
  const std::uint32_t ads = model->FindService("social_network/ads-service");
  CallSpec calls = model->source[0].requests[0].calls;  // read-home-timeline: no advertisement
  CallSpec advertisement;
  advertisement.service = ads;
  calls.then[0][0].then.push_back({advertisement});
  Update update;
  update.at_ns = 3 * kSecond;
  update.root = *AddTree(model.get(), 0, kNone, calls);
  options.updates = {update};
  double before = 0, after = 0;
  int tick_number = 0;
  RunScenario(model, options, [&](const ClusterTick& tick) {
    const auto arrivals = tick.services.arrivals(ServiceId(ads), Channel::kSocket);
    (tick_number++ < 30 ? before : after) += *arrivals;
  });
  EXPECT_GT(after, 10 * before + 100);
  EXPECT_GE(DrawUpdates(model.get(), 3, 100, 8).size(), 7u);
}

// The paper's Fig. 13 on two applications; each kind by what it changes.
TEST(Scenario, EachKindOfUpdateDoesWhatItIsNamedAfter) {
  std::vector<Application> apps;
  for (const char* name : {"social_network", "ecommerce"}) {
    auto app = LoadApplication(std::string(SEER_GRAPHS "/") + name + ".json");
    ASSERT_TRUE(app.ok()) << app.status();
    apps.push_back(*std::move(app));
  }
  for (Update::Kind kind : kAllUpdateKinds) {
    SCOPED_TRACE(std::string(UpdateKindName(kind)));
    auto model = *BuildModel(apps, DefaultCluster(), {});
    const std::size_t services = model->services.size();
    const std::uint32_t others = model->applications[1].first_service;
    const auto rows = MakeUpdate(model.get(), kind, 0, 3 * kSecond, 5);
    ASSERT_TRUE(rows.ok()) << rows.status();
    ASSERT_FALSE(rows->empty());
    ScenarioOptions options = Scenario(6, 400);
    options.simulator.loads.push_back({0, 0, 3600, 0});  // the other one is idle by itself
    options.truth = false;
    options.updates = *rows;
    std::vector<double> before(model->services.size(), 0), after = before;
    double latency[2] = {}, count[2] = {};
    int number = 0;
    RunScenario(model, options, [&](const ClusterTick& tick) {
      const int then = number++ < 30 ? 0 : 1;
      for (std::size_t e = 0; e < model->edges.size(); ++e) {
        (then == 0 ? before : after)[model->edges[e].callee] +=
            *tick.edges.made(EdgeId(static_cast<std::uint32_t>(e)));
      }
      for (const ClassTick& c : tick.classes) {
        latency[then] +=
            static_cast<double>(c.latency.Quantile(0.5)) * static_cast<double>(c.count);
        count[then] += static_cast<double>(c.count);
      }
    });
    const auto sum = [&](const std::vector<double>& of, std::size_t from, std::size_t to) {
      double all = 0;
      for (std::size_t s = from; s < to; ++s) all += of[s];
      return all;
    };
    const auto of_kind = [&](const std::vector<double>& of, Kind wanted) {
      double all = 0;
      for (std::size_t s = 0; s < services; ++s) {
        if (model->services[s].spec.kind == wanted) all += of[s];
      }
      return all;
    };
    const std::size_t all = model->services.size();
    EXPECT_EQ(all, services + (kind == Update::kOtherApplication ? 0 : 1));
    EXPECT_EQ(sum(before, services, all), 0);
    EXPECT_EQ(sum(before, others, services), 0);
    switch (kind) {
      case Update::kNewService:
        EXPECT_GT(sum(after, services, all), 5);
        EXPECT_EQ(model->services.back().spec.kind, Kind::kLogic);
        break;
      case Update::kBackEnd:
        EXPECT_GT(of_kind(before, Kind::kDatabase), 50);
        EXPECT_LT(of_kind(after, Kind::kDatabase), 0.05 * of_kind(before, Kind::kDatabase));
        EXPECT_GT(sum(after, services, all), 50);
        break;
      case Update::kFrontEnd: {
        const std::uint32_t nginx = model->FindService("social_network/nginx-thrift");
        EXPECT_GT(before[nginx], 900);
        EXPECT_LT(after[nginx], 20);  // of requests that were under way
        EXPECT_GT(sum(after, services, all), 900);
        break;
      }
      case Update::kOtherApplication:
        EXPECT_GT(sum(after, others, services), 5);
        break;
      case Update::kNoEffect:
        EXPECT_GT(sum(after, services, all), 5);
        EXPECT_NEAR(latency[1] / count[1], latency[0] / count[0], 0.1 * latency[0] / count[0]);
        break;
    }
  }
  auto alone = *BuildModel({apps[0]}, DefaultCluster(), {});
  EXPECT_FALSE(MakeUpdate(alone.get(), Update::kOtherApplication, 0, 0, 1).ok());
  EXPECT_FALSE(MakeUpdate(alone.get(), Update::kBackEnd, 7, 0, 1).ok());
}

// The paper's Fig. 2: fewer hops, fewer cores left idle by one slow part, the same work.
TEST(Scenario, TheMonolithAnswersWithFewerHops) {
  auto app = LoadApplication(SEER_GRAPHS "/social_network.json");
  ASSERT_TRUE(app.ok());
  double p50[3] = {};
  int i = 0;
  for (const Application& variant : {*app, ThreeTier(*app), Monolith(*app)}) {
    auto model = BuildModel({variant}, DefaultCluster(), {});
    ASSERT_TRUE(model.ok()) << model.status();
    ScenarioOptions options = Scenario(5, 300);
    options.truth = false;
    LatencyHistogram all;
    RunScenario(*model, options, [&](const ClusterTick& tick) {
      for (const ClassTick& c : tick.classes) all.Merge(c.latency);
    });
    p50[i++] = static_cast<double>(all.Quantile(0.5));
  }
  EXPECT_LT(p50[1], p50[0]);
  EXPECT_LT(p50[2], p50[1]);
}

}  // namespace
}  // namespace seer::cluster
