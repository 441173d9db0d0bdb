#include "benchmarks/cluster/sim/act.h"

#include <gtest/gtest.h>

#include "benchmarks/cluster/sim/simulator.h"
#include "tests/cluster/stations.h"

namespace seer::cluster {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kMs = 1'000'000;

std::shared_ptr<Model> Build(const Application& app) {
  auto model = BuildModel({app}, UniformCluster(2), {});
  EXPECT_TRUE(model.ok()) << model.status();
  return *model;
}

Simulator Started(const std::shared_ptr<Model>& model, std::vector<Fault> faults = {}) {
  SimulatorOptions options;
  options.loads = {{500, 0, 3600, 0}};
  options.faults = std::move(faults);
  options.background = 0;
  return Simulator(model, options);
}

Recommendation To(const Simulator& simulator, Action action, double to, double undo,
                  std::int64_t hold_ns) {
  static std::uint64_t last_id = 0;
  Recommendation r;
  r.id = ++last_id;
  r.target.service = "one/station";
  r.action = action;
  r.to = to;
  r.upper = 1e12;
  r.undo = undo;
  r.expires_ns = simulator.options().start_ns + simulator.now_ns() + hold_ns;
  return r;
}

Application Pressed(Resource resource) {
  Application app = OneStation(2, 200, 1);
  app.services[0].sensitivity[static_cast<std::size_t>(resource)] = 1;
  return app;
}

Fault During(FaultKind kind, double magnitude, std::int64_t from_ns, std::int64_t until_ns) {
  Fault fault;
  fault.kind = kind;
  fault.service = 0;
  fault.magnitude = magnitude;
  fault.start_ns = from_ns;
  fault.end_ns = until_ns;
  return fault;
}

// Mean latency of the requests that end in the next so many ns, in us.
double LatencyUs(Simulator* simulator, std::int64_t ns) {
  simulator->KeepFinished(true);
  (void)simulator->TakeFinished();
  simulator->RunUntil(simulator->now_ns() + ns);
  double sum = 0;
  std::size_t count = 0;
  for (const Finished& f : simulator->TakeFinished()) {
    sum += static_cast<double>(f.end_ns - f.start_ns) / 1000;
    ++count;
  }
  return count > 0 ? sum / static_cast<double>(count) : 0;
}

TEST(Act, UndoingVoidsTheExpiry) {
  Simulator simulator = Started(Build(OneStation(2, 200, 1)));
  const Recommendation first = To(simulator, Action::kCpuLimit, 4, 2, 5 * kSecond);
  ASSERT_TRUE(simulator.Act(first).ok());
  simulator.RunUntil(kSecond);
  EXPECT_EQ(simulator.stations()[0].plan_cores, 4);
  ASSERT_TRUE(simulator.Undo(first.id).ok());
  simulator.RunUntil(2 * kSecond);
  EXPECT_EQ(simulator.stations()[0].plan_cores, 2);
  EXPECT_FALSE(simulator.Undo(first.id).ok());
  // Another one is in force when the first would have expired, and stays.
  const Recommendation second = To(simulator, Action::kCpuLimit, 6, 2, 10 * kSecond);
  ASSERT_TRUE(simulator.Act(second).ok());
  simulator.RunUntil(7 * kSecond);
  EXPECT_EQ(simulator.stations()[0].plan_cores, 6);
  simulator.RunUntil(13 * kSecond);
  EXPECT_EQ(simulator.stations()[0].plan_cores, 2);
}

TEST(Act, UndoneBeforeItTookEffectItNeverDoes) {
  Simulator simulator = Started(Build(OneStation(2, 200, 1)));
  const Recommendation more = To(simulator, Action::kReplicas, 3, 1, 60 * kSecond);
  ASSERT_TRUE(simulator.Act(more).ok());
  simulator.RunUntil(kSecond);
  ASSERT_TRUE(simulator.Undo(more.id).ok());
  simulator.RunUntil(5 * kSecond);
  EXPECT_EQ(simulator.stations()[0].plan_cores, 2);
  EXPECT_EQ(simulator.cost().core_seconds, 0);
}

TEST(Act, WhoTakesOverInheritsWhatWasThereFirst) {
  Simulator simulator = Started(Build(OneStation(2, 200, 1)));
  ASSERT_TRUE(simulator.Act(To(simulator, Action::kCpuLimit, 4, 2, 2 * kSecond)).ok());
  simulator.RunUntil(kSecond);
  ASSERT_TRUE(simulator.Act(To(simulator, Action::kCpuLimit, 8, 4, 3 * kSecond)).ok());
  simulator.RunUntil(3 * kSecond);
  EXPECT_EQ(simulator.stations()[0].plan_cores, 8);  // the first one's expiry is void
  simulator.RunUntil(5 * kSecond);
  EXPECT_EQ(simulator.stations()[0].plan_cores, 2);
}

TEST(Act, ReplicasAndLimitsMultiply) {
  Simulator simulator = Started(Build(OneStation(2, 200, 1)));
  ASSERT_TRUE(simulator.Act(To(simulator, Action::kCpuLimit, 4, 2, 20 * kSecond)).ok());
  ASSERT_TRUE(simulator.Act(To(simulator, Action::kReplicas, 3, 1, 10 * kSecond)).ok());
  simulator.RunUntil(2 * kSecond);
  EXPECT_EQ(simulator.stations()[0].plan_cores, 4);
  simulator.RunUntil(4 * kSecond);
  EXPECT_EQ(simulator.stations()[0].plan_cores, 12);
  simulator.RunUntil(15 * kSecond);
  EXPECT_EQ(simulator.stations()[0].plan_cores, 4);
}

TEST(Act, MoreProcessorWeighsAgainstNeighbours) {
  Simulator simulator = Started(Build(Pressed(Resource::kCpu)),
                                {During(FaultKind::kCpuContention, 5, kSecond, 9 * kSecond)});
  simulator.RunUntil(kSecond);
  const double before = LatencyUs(&simulator, kSecond);
  ASSERT_TRUE(simulator.Act(To(simulator, Action::kCpuLimit, 8, 2, 60 * kSecond)).ok());
  simulator.RunUntil(3 * kSecond);
  EXPECT_LT(LatencyUs(&simulator, kSecond), 0.5 * before);
}

// Limits take effect on what is being done, too.
TEST(Act, WhoIsBeingServedGoesOnFaster) {
  Application app = Pressed(Resource::kCpu);
  app.services[0].mean_service_us = 400;
  for (const bool acts : {false, true}) {
    SCOPED_TRACE(acts);
    Simulator simulator =
        Started(Build(app), {During(FaultKind::kCpuContention, 500, kSecond, 20 * kSecond)});
    simulator.RunUntil(1100 * kMs);
    simulator.KeepFinished(true);
    (void)simulator.TakeFinished();
    if (acts) {
      ASSERT_TRUE(simulator.Act(To(simulator, Action::kCpuLimit, 1600, 2, 60 * kSecond)).ok());
    }
    simulator.RunUntil(1200 * kMs);
    // Each takes 0.8 s; two are being served, and all others wait for them.
    EXPECT_EQ(simulator.TakeFinished().size() > 10, acts);
  }
}

TEST(Act, APoolHasTheSizeThatItWasGivenWhateverABugLeftOfIt) {
  Simulator simulator = Started(Build(OneStation(2, 200, 1)),
                                {During(FaultKind::kPoolDeadlock, 1, kSecond, 20 * kSecond)});
  simulator.RunUntil(2 * kSecond);
  EXPECT_EQ(simulator.stations()[0].thread_limit, 1);
  ASSERT_TRUE(simulator.Act(To(simulator, Action::kPoolSize, 50, 0, 2 * kSecond)).ok());
  simulator.RunUntil(3 * kSecond);
  EXPECT_EQ(simulator.stations()[0].thread_limit, 50);
  simulator.RunUntil(5 * kSecond);  // it has expired
  EXPECT_EQ(simulator.stations()[0].thread_limit, 1);
}

TEST(Act, ReplicasElsewhereHaveTheirOwnLocksNoDetourAndNoRuleOfTheServer) {
  for (const auto& [kind, magnitude] :
       {std::pair{FaultKind::kLockConvoy, 6.0}, std::pair{FaultKind::kRouting, 20.0},
        std::pair{FaultKind::kDropRule, 0.2}}) {
    SCOPED_TRACE(FaultKindName(kind));
    Simulator simulator =
        Started(Build(OneStation(2, 200, 1)), {During(kind, magnitude, kSecond, 60 * kSecond)});
    simulator.RunUntil(3 * kSecond);
    const double before = LatencyUs(&simulator, kSecond);
    EXPECT_GT(before, 1500);
    ASSERT_TRUE(simulator.Act(To(simulator, Action::kReplicas, 2, 1, 50 * kSecond)).ok());
    simulator.RunUntil(12 * kSecond);
    EXPECT_LT(LatencyUs(&simulator, kSecond), 0.7 * before);
    EXPECT_EQ(simulator.stations()[0].core_limit, kind == FaultKind::kLockConvoy ? 2 : 4);
  }
}

TEST(Act, AShareOfTheLinkKeepsBurstsAndOthersBytesAway) {
  for (const auto& [kind, magnitude] :
       {std::pair{FaultKind::kIncast, 0.1}, std::pair{FaultKind::kBandwidth, 0.9999}}) {
    SCOPED_TRACE(FaultKindName(kind));
    const std::shared_ptr<Model> model = Build(OneStation(2, 200, 1));
    Simulator simulator = Started(model, {During(kind, magnitude, kSecond, 20 * kSecond)});
    const double healthy = LatencyUs(&simulator, kSecond);
    Simulator other = simulator;
    ASSERT_TRUE(simulator.Act(To(simulator, Action::kNetworkShare, 1e9, 0, 60 * kSecond)).ok());
    for (Simulator* s : {&simulator, &other}) s->RunUntil(5 * kSecond);
    EXPECT_GT(LatencyUs(&other, 2 * kSecond), 2 * healthy);
    EXPECT_LT(LatencyUs(&simulator, 2 * kSecond), 1.1 * healthy);
    // Neither the one nor the other: a detour.
    Simulator far = Started(model, {During(FaultKind::kRouting, 5, kSecond, 20 * kSecond)});
    ASSERT_TRUE(far.Act(To(far, Action::kNetworkShare, 1e9, 0, 60 * kSecond)).ok());
    far.RunUntil(2 * kSecond);
    EXPECT_GT(LatencyUs(&far, kSecond), 9000);
  }
}

TEST(Act, AShareOfTheDiskKeepsOthersReadsAway) {
  Application app = OneStation(2, 200, 1);
  app.services[0].disk_p = 0.5;
  app.services[0].disk_us = 300;
  Simulator simulator =
      Started(Build(app), {During(FaultKind::kDiskContention, 3, kSecond, 20 * kSecond)});
  const double healthy = LatencyUs(&simulator, kSecond);
  simulator.RunUntil(3 * kSecond);
  EXPECT_GT(LatencyUs(&simulator, kSecond), 3 * healthy);
  ASSERT_TRUE(simulator.Act(To(simulator, Action::kIoShare, 1e9, 0, 60 * kSecond)).ok());
  simulator.RunUntil(8 * kSecond);
  EXPECT_LT(LatencyUs(&simulator, 2 * kSecond), 1.3 * healthy);
}

// A limit on requests drops some: for their users that is as bad as late.
TEST(Act, RefusedRequestsAreCountedAndMissTheirTarget) {
  Application app = OneStation(2, 200, 1);
  app.requests[0].qos_p99_ms = 50;
  Simulator simulator = Started(Build(app));
  Recommendation limit = To(simulator, Action::kRateLimit, 100, 0, 60 * kSecond);
  ASSERT_TRUE(simulator.Act(limit).ok());
  simulator.RunUntil(kSecond);
  ClusterTick tick;
  simulator.Observe(&tick);
  const std::uint64_t refused = simulator.cost().refused;
  simulator.RunUntil(3 * kSecond);
  simulator.Observe(&tick);
  EXPECT_NEAR(static_cast<double>(simulator.cost().refused - refused), 800, 100);
  EXPECT_EQ(tick.classes[0].over_target, simulator.cost().refused - refused);
  EXPECT_NEAR(static_cast<double>(tick.classes[0].count - tick.classes[0].over_target), 200, 30);
}

// What each fault is, as counters of the instance would tell.
TEST(Act, ReadingsTellTheNetworkTheProcessorAndTheApplicationApart) {
  struct Case {
    FaultKind kind;
    double magnitude;
    int resource;  // whose delay is large; -1: none's
  };
  for (const Case& c : {Case{FaultKind::kIncast, 0.1, static_cast<int>(Resource::kNetwork)},
                        Case{FaultKind::kRouting, 5, static_cast<int>(Resource::kNetwork)},
                        Case{FaultKind::kUnderProvisioned, 0.04, static_cast<int>(Resource::kCpu)},
                        Case{FaultKind::kLockConvoy, 6, -1}, Case{FaultKind::kDropRule, 0.2, -1},
                        Case{FaultKind::kBlockingCall, 20, -1}}) {
    SCOPED_TRACE(FaultKindName(c.kind));
    Simulator simulator = Started(Build(OneStation(2, 200, 1)),
                                  {During(c.kind, c.magnitude, 2 * kSecond, 20 * kSecond)});
    const auto delays = [&] {
      simulator.ReadHardware();
      simulator.RunUntil(simulator.now_ns() + kSecond);
      simulator.ReadHardware();
      return simulator.Hardware(0);
    };
    const HwReading healthy = delays();
    simulator.RunUntil(2500 * kMs);
    const HwReading now = delays();
    for (const Resource resource : kAllResources) {
      SCOPED_TRACE(ResourceName(resource));
      const auto per_request = [&](const HwReading& reading) {
        return reading.instance[resource].delay_us.value /
               static_cast<double>(std::max<std::uint64_t>(1, reading.requests));
      };
      const double rise = per_request(now) - per_request(healthy);
      if (static_cast<int>(resource) == c.resource) {
        EXPECT_GT(rise, 400);
      } else {
        EXPECT_LT(rise, 60);
      }
    }
  }
}

}  // namespace
}  // namespace seer::cluster
