#include "benchmarks/cluster/sim/simulator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "tests/cluster/stations.h"

namespace seer::cluster {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

std::vector<Application> Apps(std::vector<std::string> names) {
  std::vector<Application> apps;
  for (const std::string& name : names) {
    auto app = LoadApplication(SEER_GRAPHS "/" + name + ".json");
    EXPECT_TRUE(app.ok()) << app.status();
    apps.push_back(*std::move(app));
  }
  return apps;
}

std::shared_ptr<Model> Build(const std::vector<Application>& apps, bool ideal = false,
                             ClusterSpec cluster = DefaultCluster()) {
  ModelOptions options;
  options.ideal = ideal;
  auto model = BuildModel(apps, cluster, options);
  EXPECT_TRUE(model.ok()) << model.status();
  return *model;
}

SimulatorOptions Loads(std::size_t apps, double rate, std::uint64_t seed = 1) {
  SimulatorOptions options;
  options.seed = seed;
  options.loads.assign(apps, {rate, 0, 3600, 0});
  return options;
}

std::vector<ClusterTick> Ticks(Simulator* simulator, int count) {
  std::vector<ClusterTick> ticks(count);
  for (ClusterTick& tick : ticks) {
    simulator->RunTick();
    simulator->Observe(&tick);
  }
  return ticks;
}

Fault At(FaultKind kind, std::uint32_t service, double magnitude, std::int64_t start = kSecond,
         std::int64_t end = 3 * kSecond) {
  Fault fault;
  fault.kind = kind;
  fault.service = service;
  fault.magnitude = magnitude;
  fault.start_ns = start;
  fault.end_ns = end;
  return fault;
}

// One of each kind on the social network, all at once if need be.
std::vector<Fault> EveryFault(Model* model) {
  const auto find = [&](const char* name) {
    const std::uint32_t service = model->FindService(std::string("social_network/") + name);
    EXPECT_NE(service, kNone) << name;
    return service;
  };
  const std::uint32_t text = find("text-service");
  const std::uint32_t posts = find("post-storage-service");
  const std::uint32_t home = find("home-timeline-service");
  std::vector<Fault> faults;
  faults.push_back(At(FaultKind::kBlockingCall, posts, 200));
  Fault cyclic = At(FaultKind::kCyclicSync, home, 0.8);
  CallSpec back;
  back.service = home;
  CallSpec down;
  down.service = posts;
  back.then = {{down}};
  cyclic.tree = *AddTree(model, 0, posts, back);
  faults.push_back(cyclic);
  faults.push_back(At(FaultKind::kLockConvoy, find("user-service"), 20));
  Fault deadlock = At(FaultKind::kPoolDeadlock, text, 1);
  CallSpec leaf;
  leaf.service = text;
  deadlock.tree = *AddTree(model, 0, find("url-shorten-service"), leaf);
  faults.push_back(deadlock);
  faults.push_back(At(FaultKind::kRetryStorm, find("user-timeline-service"), 0.4));
  faults.push_back(At(FaultKind::kDropRule, find("user-memcached"), 0.3));
  faults.push_back(At(FaultKind::kUnderProvisioned, posts, 0.05));
  for (FaultKind kind :
       {FaultKind::kCpuContention, FaultKind::kCacheContention, FaultKind::kMemoryBandwidth,
        FaultKind::kMemoryCapacity, FaultKind::kDiskContention}) {
    faults.push_back(At(kind, find("post-storage-memcached"), 2));
  }
  faults.push_back(At(FaultKind::kIncast, find("home-timeline-redis"), 0.02));
  faults.push_back(At(FaultKind::kBandwidth, find("media-frontend"), 0.999));
  faults.push_back(At(FaultKind::kRouting, find("media-mongodb"), 3));
  faults.push_back(At(FaultKind::kSwitchFailure, kNone, 1, 2 * kSecond, 2 * kSecond + 100'000'000));
  faults.push_back(At(FaultKind::kCacheFlush, find("post-storage-memcached"), 1));
  Fault partition = At(FaultKind::kMemoryPartition, kNone, 3);
  partition.server = 4;
  faults.push_back(partition);
  Fault neighbour = At(FaultKind::kNoisyNeighbour, kNone, 0.5);
  neighbour.server = 5;
  faults.push_back(neighbour);
  Fault spike = At(FaultKind::kLoadSpike, kNone, 3);
  spike.application = 0;
  faults.push_back(spike);
  faults.push_back(At(FaultKind::kOffPath, find("write-home-timeline-service"), 30));
  return faults;
}

void ExpectEmpty(const Simulator& simulator) {
  EXPECT_EQ(simulator.open_requests(), 0u);
  for (const Station& station : simulator.stations()) {
    const std::string& name = simulator.model().topology.service(ServiceId(station.service)).name;
    EXPECT_EQ(station.threads, 0) << name;
    EXPECT_EQ(station.cores, 0) << name;
    EXPECT_EQ(station.waiting_thread, 0) << name;
    EXPECT_EQ(station.waiting_core, 0) << name;
    EXPECT_EQ(station.blocked, 0) << name;
    EXPECT_EQ(station.unsent, 0) << name;
    EXPECT_EQ(station.arrived, station.finished) << name;
  }
  for (const EdgeState& edge : simulator.edges()) EXPECT_EQ(edge.outstanding, 0u);
}

TEST(Simulator, OneSeedGivesOneRun) {
  const auto model = Build(Apps({"social_network", "hotel"}));
  Simulator a(model, Loads(2, 500, 3));
  Simulator b(model, Loads(2, 500, 3));
  Simulator c(model, Loads(2, 500, 4));
  const auto ticks = Ticks(&a, 20);
  EXPECT_EQ(ticks, Ticks(&b, 20));
  EXPECT_NE(ticks, Ticks(&c, 20));
}

TEST(Simulator, AnApplicationBehavesAsItsGraphSays) {
  const auto apps = Apps({"social_network"});
  const auto model = Build(apps);
  Simulator simulator(model, Loads(1, 1000));
  std::uint64_t requests = 0, over = 0;
  std::vector<std::uint64_t> of_class(model->classes.size(), 0);
  for (const ClusterTick& tick : Ticks(&simulator, 100)) {
    for (std::size_t c = 0; c < tick.classes.size(); ++c) {
      requests += tick.classes[c].count;
      over += tick.classes[c].over_target;
      of_class[c] += tick.classes[c].count;
    }
  }
  EXPECT_NEAR(static_cast<double>(requests), 10'000, 400);
  EXPECT_LT(static_cast<double>(over), 0.005 * static_cast<double>(requests));  // healthy
  for (std::size_t c = 0; c < of_class.size(); ++c) {
    const double share = apps[0].requests[c].weight;
    EXPECT_NEAR(static_cast<double>(of_class[c]), 10'000 * share,
                5 * std::sqrt(10'000 * share) + 60);
  }
  // About three events a call.
  EXPECT_NEAR(static_cast<double>(simulator.events()) / static_cast<double>(requests),
              3 * MeanVisits(apps[0]) + 1, 2);
}

TEST(Simulator, ACloneGoesOnAsTheOriginal) {
  auto model = Build(Apps({"social_network", "media"}));
  SimulatorOptions options = Loads(2, 800);
  options.faults = EveryFault(model.get());
  Simulator original(model, options);
  original.RunUntil(1'550'000'000);  // in the midst of it
  Simulator clone = original;
  EXPECT_EQ(Ticks(&original, 25), Ticks(&clone, 25));
  EXPECT_EQ(original.events(), clone.events());
}

TEST(Simulator, AReseededCloneHasAnotherFutureFromTheSamePresent) {
  const auto model = Build(Apps({"social_network"}));
  Simulator original(model, Loads(1, 800));
  original.RunUntil(kSecond);
  Simulator a = original;
  Simulator b = original;
  Simulator again = original;
  a.Reseed(1);
  b.Reseed(2);
  again.Reseed(1);
  EXPECT_EQ(a.open_requests(), original.open_requests());
  const auto of_a = Ticks(&a, 5);
  EXPECT_NE(of_a, Ticks(&b, 5));
  EXPECT_EQ(of_a, Ticks(&again, 5));
}

TEST(Simulator, AFaultReshufflesNothingElse) {
  // On ideal hardware applications share nothing: what one suffers the other cannot notice.
  auto model = Build(Apps({"social_network", "hotel"}), /*ideal=*/true);
  SimulatorOptions options = Loads(2, 500);
  Simulator without(model, options);
  options.faults = {
      At(FaultKind::kBlockingCall, model->FindService("social_network/text-service"), 50),
      At(FaultKind::kLoadSpike, kNone, 2)};
  options.faults[1].application = 0;
  Simulator with(model, options);
  const auto a = Ticks(&without, 30);
  const auto b = Ticks(&with, 30);
  const std::size_t hotel = model->applications[1].first_class;
  bool differs = false;
  for (std::size_t t = 0; t < a.size(); ++t) {
    for (std::size_t c = hotel; c < a[t].classes.size(); ++c) {
      EXPECT_EQ(a[t].classes[c], b[t].classes[c]);
    }
    if (t < 10) {
      EXPECT_EQ(a[t], b[t]);  // before the faults
    }
    differs = differs || !(a[t] == b[t]);
  }
  EXPECT_TRUE(differs);
  // Of the application itself, requests that do not pass the service take exactly as long.
  Simulator disabled(model, options);
  disabled.Disable(0);
  disabled.Disable(1);
  EXPECT_EQ(Ticks(&disabled, 30), a);
}

TEST(Simulator, EveryKindOfFaultAloneAndAllTogetherLeaveNothingBehind) {
  const auto apps = Apps({"social_network"});
  for (std::size_t only = 0; only <= kFaultKinds; ++only) {
    auto model = Build(apps);
    SimulatorOptions options = Loads(1, 600);
    std::vector<Fault> faults = EveryFault(model.get());
    ASSERT_EQ(faults.size(), kFaultKinds);
    if (only < kFaultKinds) {
      SCOPED_TRACE(FaultKindName(faults[only].kind));
      faults = {faults[only]};
      EXPECT_NE(FaultKindName(faults[0].kind), "?");
      options.faults = faults;
    } else {
      options.faults = faults;
    }
    SCOPED_TRACE(only);
    Simulator simulator(model, options);
    simulator.RunUntil(3 * kSecond + 100'000'000);
    EXPECT_GT(simulator.open_requests(), 0u);
    simulator.SetRate(0, 0);
    simulator.RunUntil(40 * kSecond);
    ExpectEmpty(simulator);
    if (HasFailure()) return;
  }
}

TEST(Simulator, FaultsThatShouldHurtDo) {
  const auto apps = Apps({"social_network"});
  for (FaultKind kind : {FaultKind::kBlockingCall, FaultKind::kUnderProvisioned,
                         FaultKind::kDropRule, FaultKind::kCpuContention, FaultKind::kSwitchFailure,
                         FaultKind::kPoolDeadlock, FaultKind::kBandwidth}) {
    SCOPED_TRACE(FaultKindName(kind));
    auto model = Build(apps);
    SimulatorOptions options = Loads(1, 600);
    std::vector<Fault> faults = EveryFault(model.get());
    for (const Fault& fault : faults) {
      if (fault.kind == kind) options.faults = {fault};
    }
    if (kind == FaultKind::kCpuContention) {
      options.faults[0].service = model->FindService("social_network/post-storage-service");
      options.faults[0].magnitude = 5;
    }
    Simulator simulator(model, options);
    const auto ticks = Ticks(&simulator, 30);
    std::uint64_t before = 0, during = 0, oldest = 0;
    for (std::size_t t = 0; t < ticks.size(); ++t) {
      for (const ClassTick& c : ticks[t].classes) {
        (t < 10 ? before : during) += c.over_target;
        oldest = std::max(oldest, static_cast<std::uint64_t>(c.oldest_open_ns));
      }
    }
    // What hangs has not ended yet: then the oldest is old.
    EXPECT_TRUE(during > 10 * before + 10 || oldest > 500'000'000) << during << " " << oldest;
  }
}

TEST(Simulator, WaitingThreadsWaitWhereTheServerModelSays) {
  struct Case {
    ServerModel model;
    Channel thread;
    Channel core;
  };
  for (const Case& c : {Case{ServerModel::kWorkers, Channel::kQueued, Channel::kRunning},
                        Case{ServerModel::kThreadPerConnection, Channel::kAccept, Channel::kSocket},
                        Case{ServerModel::kEventLoop, Channel::kAccept, Channel::kSocket},
                        Case{ServerModel::kGoroutines, Channel::kQueued, Channel::kRunning}}) {
    SCOPED_TRACE(static_cast<int>(c.model));
    Application app = OneStation(2, 1000, 0);
    app.services[0].model = c.model;
    app.services[0].threads = 5;
    const auto model = Build({app}, /*ideal=*/true, UniformCluster(1));
    Simulator simulator(model, Loads(1, 4000));  // twice what it can take
    const ClusterTick tick = Ticks(&simulator, 5).back();
    const ServiceId id(0);
    const double waiting = *tick.services.depth(id, c.thread);
    EXPECT_GT(waiting, 500);
    EXPECT_EQ(*tick.services.depth(id, c.core), c.core == Channel::kRunning ? 5 : 3);
    EXPECT_EQ(*tick.services.depth(id, Channel::kRunning), c.core == Channel::kRunning ? 5 : 2);
    EXPECT_EQ(*tick.services.depth(id, Channel::kBlocked), 0);
    EXPECT_EQ(*tick.edges.depth(EdgeId(0)), waiting + 5);
    EXPECT_GT(tick.classes[0].oldest_open_ns, 100'000'000);
  }
}

TEST(Simulator, BackPressureStandsAtTheCaller) {
  // The callee is slow; its callers' threads are all blocked, and others wait before them.
  Application app = OneStation(8, 100, 1);
  app.services[0].threads = 20;
  app.services.push_back(OneStation(1, 5000, 1).services[0]);
  app.services[1].name = "slow";
  CallSpec slow;
  slow.service = 1;
  app.requests[0].calls.then = {{slow}};
  const auto model = Build({app}, /*ideal=*/true, UniformCluster(1));
  Simulator simulator(model, Loads(1, 400));
  const ClusterTick tick = Ticks(&simulator, 20).back();
  EXPECT_GT(*tick.services.depth(ServiceId(0), Channel::kQueued), 100);
  EXPECT_EQ(*tick.services.depth(ServiceId(0), Channel::kBlocked), 20);
  // What SelfDepth is for: calls at the slow one, none of them passed on.
  EXPECT_EQ(*SelfDepth(tick, model->topology, ServiceId(1)), 20);
}

TEST(Simulator, PoolsBoundCallsAndTimeOut) {
  Application app = OneStation(8, 10, 0);
  app.services[0].pool = 3;
  app.services[0].pool_timeout_ms = 50;
  app.services.push_back(OneStation(3, 100'000, 0).services[0]);
  app.services[1].name = "slow";
  CallSpec slow;
  slow.service = 1;
  app.requests[0].calls.then = {{slow}};
  const auto model = Build({app}, /*ideal=*/true, UniformCluster(1));
  Simulator simulator(model, Loads(1, 300));  // 30 a second get through
  simulator.KeepFinished(true);
  const ClusterTick tick = Ticks(&simulator, 20).back();
  EXPECT_EQ(simulator.stations()[1].threads, 3);
  std::size_t failed = 0, good = 0;
  for (const Finished& f : simulator.TakeFinished()) {
    ++(f.failed ? failed : good);
    EXPECT_LE(f.end_ns - f.start_ns, 150'100'000);
    if (f.failed) {
      EXPECT_NEAR(static_cast<double>(f.end_ns - f.start_ns), 50e6, 0.1e6);
    }
  }
  EXPECT_NEAR(static_cast<double>(good), 60, 5);
  EXPECT_GT(failed, 400u);
}

TEST(Simulator, HardwareReadingsShowWhichResourceIsShort) {
  const auto apps = Apps({"social_network"});
  for (const auto& [kind, resource] :
       {std::pair{FaultKind::kCpuContention, Resource::kCpu},
        std::pair{FaultKind::kCacheContention, Resource::kCache},
        std::pair{FaultKind::kMemoryBandwidth, Resource::kMemoryBandwidth}}) {
    SCOPED_TRACE(FaultKindName(kind));
    auto model = Build(apps);
    const std::uint32_t service = model->FindService("social_network/post-storage-memcached");
    SimulatorOptions options = Loads(1, 600);
    options.faults = {At(kind, service, 3)};
    Simulator simulator(model, options);
    simulator.RunUntil(kSecond);
    simulator.ReadHardware();
    simulator.RunUntil(2 * kSecond);
    simulator.ReadHardware();
    const HwReading reading = simulator.Hardware(model->services[service].first_instance);
    EXPECT_EQ(reading.interval_ns, kSecond);
    EXPECT_GT(reading.requests, 400u);
    for (Resource other : kAllResources) {
      if (other == resource) continue;
      EXPECT_GT(reading.instance[resource].delay_us.value, reading.instance[other].delay_us.value);
      EXPECT_GE(reading.node[resource].saturation.value, reading.node[other].saturation.value);
    }
  }
}

TEST(Simulator, ActionsTakeEffectAfterTheirDelayAndExpire) {
  Application app = OneStation(2, 1000, 1);
  const auto model = Build({app}, /*ideal=*/true, UniformCluster(1));
  Simulator simulator(model, Loads(1, 1500));
  Recommendation more;
  more.target.service = "one/station";
  more.action = Action::kCpuLimit;
  more.from = 2;
  more.to = 4;
  more.upper = 8;
  more.undo = 2;
  more.expires_ns = simulator.options().start_ns + 2 * kSecond;
  simulator.RunUntil(kSecond);
  ASSERT_TRUE(simulator.Act(more).ok());
  simulator.RunUntil(kSecond + 25'000'000);
  EXPECT_EQ(simulator.stations()[0].plan_cores, 2);
  simulator.RunUntil(kSecond + 35'000'000);
  EXPECT_EQ(simulator.stations()[0].plan_cores, 4);
  simulator.RunUntil(2 * kSecond + 30'000'000);
  EXPECT_EQ(simulator.stations()[0].plan_cores, 2);
  EXPECT_EQ(simulator.cost().actions, 1u);

  more.to = 9;
  EXPECT_EQ(simulator.Act(more).code(), absl::StatusCode::kOutOfRange);
  more.target.service = "nobody";
  EXPECT_EQ(simulator.Act(more).code(), absl::StatusCode::kNotFound);
}

TEST(Simulator, MeasuredTimesAreDrawnEachAsLikely) {
  Application app = OneStation(100, 0, 0);
  app.services[0].times_us = {100, 200, 200, 700};
  const auto model = Build({app}, /*ideal=*/true, UniformCluster(1));
  EXPECT_DOUBLE_EQ(MeanDemandUs(app)[0], 300);
  Simulator simulator(model, Loads(1, 1000));
  simulator.KeepFinished(true);
  simulator.RunUntil(20 * kSecond);
  std::map<std::int64_t, double> count;
  double all = 0;
  for (const Finished& f : simulator.TakeFinished()) ++count[f.end_ns - f.start_ns], ++all;
  ASSERT_EQ(count.size(), 3u);
  EXPECT_NEAR(count[100'000] / all, 0.25, 0.02);
  EXPECT_NEAR(count[200'000] / all, 0.5, 0.02);
  EXPECT_NEAR(count[700'000] / all, 0.25, 0.02);
}

TEST(Simulator, GivenMomentsReplaceTheLoad) {
  const auto model = Build({OneStation(8, 50, 1)}, /*ideal=*/true, UniformCluster(1));
  SimulatorOptions options = Loads(1, 1000);
  const std::vector<std::int64_t> due = {5, 1'000'000, 1'000'000, 700'000'000};
  options.arrivals = {std::make_shared<const std::vector<std::int64_t>>(due)};
  Simulator a(model, options);
  Simulator b = a;
  b.Reseed(4);
  std::vector<std::int64_t> latencies[2];
  for (Simulator* s : {&a, &b}) {
    s->KeepFinished(true);
    s->RunUntil(kSecond);
    std::vector<std::int64_t> starts;
    for (const Finished& f : s->TakeFinished()) {
      starts.push_back(f.start_ns);
      latencies[s == &a ? 0 : 1].push_back(f.end_ns - f.start_ns);
    }
    std::sort(starts.begin(), starts.end());
    EXPECT_EQ(starts, due);
  }
  EXPECT_NE(latencies[0], latencies[1]);  // the services' own draws are others
}

TEST(Simulator, ARateLimitDropsAndCounts) {
  const auto model = Build({OneStation(2, 1000, 1)}, /*ideal=*/true, UniformCluster(1));
  Simulator simulator(model, Loads(1, 3000));
  Recommendation limit;
  limit.target.service = "one/station";
  limit.action = Action::kRateLimit;
  limit.to = 1000;
  limit.upper = 5000;
  ASSERT_TRUE(simulator.Act(limit).ok());
  simulator.RunUntil(5 * kSecond);
  EXPECT_LT(simulator.open_requests(), 300u);
  EXPECT_NEAR(static_cast<double>(simulator.cost().refused), 4.9 * 2000, 500);
}

}  // namespace
}  // namespace seer::cluster
