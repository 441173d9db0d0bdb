// Each cause of a violation, one by one: that it breaches where it should, that the replay without
// it says so, and that it does so through the mechanism it is named after.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <functional>
#include <string>

#include "benchmarks/cluster/sim/initiator.h"
#include "benchmarks/cluster/sim/scenario.h"

namespace seer::cluster {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kStart = 2 * kSecond;
constexpr std::int64_t kEnd = 5 * kSecond;

// Each service on a server of its own, and four servers with none.
std::shared_ptr<Model> Build() {
  auto app = LoadApplication(SEER_GRAPHS "/social_network.json");
  EXPECT_TRUE(app.ok()) << app.status();
  ModelOptions options;
  options.placement = Placement::kSpread;
  auto model = BuildModel({*app}, UniformCluster(40), options);
  EXPECT_TRUE(model.ok()) << model.status();
  return *model;
}

std::uint32_t Find(const Model& model, const std::string& name) {
  const std::uint32_t service = model.FindService("social_network/" + name);
  EXPECT_NE(service, kNone) << name;
  return service;
}

// What could be seen of a service, before its fault (0) and while it lasts (1).
struct Seen {
  std::array<double, 2> threads = {}, blocked = {}, waiting_thread = {}, waiting_core = {};
  std::array<double, 2> calls = {};               // made by the service, a second
  std::array<double, 2> busy = {};                // its cores
  std::array<double, 2> lost = {};                // messages of all, a second
  std::array<double, 2> database = {};            // requests of the store behind it, a second
  std::array<double, kResources> pressure = {};   // the largest on its server
  std::array<double, kResources> elsewhere = {};  // the largest on the others
  std::array<double, 2> back = {};                // calls back, a second
  double nic = 0;                                 // the deepest NIC of its server, packets
  std::uint64_t failed = 0;
  std::int64_t slowest_ns = 0;
  std::vector<TruthRow> truth;
};

Seen Watch(const std::shared_ptr<Model>& model, const Fault& fault, std::uint32_t at,
           const std::string& database, double rate = 600) {
  Seen seen;
  ScenarioOptions options;
  options.seconds = 9;
  options.simulator.loads = {{rate, 0, 3600, 0}};
  options.simulator.faults = {fault};
  const std::uint32_t store = database.empty() ? at : Find(*model, database);
  const Model::ServiceInfo& info = model->services[at];
  const std::uint32_t server = model->instances[info.first_instance].server;
  std::array<std::uint64_t, 2> lost = {};
  std::array<double, 2> cores = {};
  options.control = [&](Simulator* s) {
    const std::int64_t now = s->now_ns();
    if (now <= kSecond || now > kEnd) return;
    const int during = now > kStart ? 1 : 0;
    for (std::uint32_t i = info.first_instance; i < info.first_instance + info.instances; ++i) {
      const Station& station = s->stations()[i];
      const auto most = [&](std::array<double, 2>* of, double value) {
        (*of)[during] = std::max((*of)[during], value);
      };
      most(&seen.threads, station.threads);
      most(&seen.blocked, station.blocked);
      most(&seen.waiting_thread, station.waiting_thread);
      most(&seen.waiting_core, station.waiting_core);
    }
    const double seconds = during == 0 ? 1 : 3;
    if (now == kSecond + kSecond / 10 || now == kStart + kSecond / 10) {
      lost[during] = s->link_totals().lost;
      cores[during] = s->CoreSeconds(info.first_instance);
    }
    seen.lost[during] = static_cast<double>(s->link_totals().lost - lost[during]) / seconds;
    seen.busy[during] = (s->CoreSeconds(info.first_instance) - cores[during]) / seconds;
    for (std::size_t v = 0; v < s->servers().size() && during == 1; ++v) {
      for (std::size_t r = 0; r < kResources; ++r) {
        const double pressure = s->servers()[v].pressure[r];
        if (v == server) {
          seen.pressure[r] = std::max(seen.pressure[r], pressure);
        } else {
          seen.elsewhere[r] = std::max(seen.elsewhere[r], pressure);
        }
      }
    }
  };
  TickPeriod period = options.simulator.period;
  seen.truth = RunScenario(model, options, [&](const ClusterTick& tick) {
    const std::int64_t now = period.EndNs(tick.tick) - options.simulator.start_ns;
    for (const ClassTick& c : tick.classes) {
      if (now > kStart) seen.slowest_ns = std::max(seen.slowest_ns, c.oldest_open_ns);
    }
    if (now <= kSecond || now > kEnd) return;
    const int during = now > kStart ? 1 : 0;
    const double seconds = during == 0 ? 1 : 3;
    for (std::size_t e = 0; e < model->edges.size(); ++e) {
      const EdgeId id(static_cast<std::uint32_t>(e));
      if (model->edges[e].caller == at) {
        seen.calls[during] += tick.edges.made(id).value_or(0) / seconds;
      }
      if (fault.tree != kNone && model->nodes[fault.tree].edge == e) {
        seen.back[during] += tick.edges.made(id).value_or(0) / seconds;
      }
      if (model->edges[e].callee == store && store != at) {
        seen.database[during] += tick.edges.made(id).value_or(0) / seconds;
      }
    }
    if (during == 1) {
      seen.nic = std::max(seen.nic, tick.services.depth(ServiceId(at), Channel::kNic).value_or(0));
    }
  });
  return seen;
}

Fault Of(FaultKind kind, std::uint32_t service, double magnitude) {
  Fault fault;
  fault.kind = kind;
  fault.service = service;
  fault.magnitude = magnitude;
  fault.start_ns = kStart;
  fault.end_ns = kEnd;
  return fault;
}

// Violations there are, all of them the fault's doing, and named as such. Each service is alone on
// its server.
void ExpectBreach(const Model& model, const Seen& seen, const Fault& fault) {
  const std::vector<std::uint32_t> hit = SiteOf(model, fault).services;
  ASSERT_FALSE(seen.truth.empty());
  for (const TruthRow& row : seen.truth) {
    EXPECT_EQ(row.fault, 0);
    EXPECT_EQ(row.cause, CauseOf(fault.kind));
    if (fault.service == kNone) {
      EXPECT_EQ(row.violation.initiation, Initiation::kLoad);
    } else {
      // A circle of calls is the doing of one of those in it.
      EXPECT_TRUE(std::count(hit.begin(), hit.end(), row.violation.culprit.value()) > 0 &&
                  (fault.kind == FaultKind::kCyclicSync ||
                   row.violation.culprit == ServiceId(fault.service)))
          << model.topology.service(row.violation.culprit).name;
    }
  }
}

double At(const Seen& seen, Resource resource) {
  return seen.pressure[static_cast<std::size_t>(resource)];
}

TEST(Causes, ABlockingCallHoldsThreadsAndNoCores) {
  const auto model = Build();
  const std::uint32_t service = Find(*model, "post-storage-service");
  const Fault fault = Of(FaultKind::kBlockingCall, service, 400);
  const Seen seen = Watch(model, fault, service, "");
  ExpectBreach(*model, seen, fault);
  EXPECT_GT(seen.threads[1], 10 * seen.threads[0]);
  EXPECT_LT(seen.busy[1], 1.2 * seen.busy[0]);
  EXPECT_LT(seen.waiting_core[1], 10);
}

TEST(Causes, ACyclicTrioCallsItself) {
  const auto model = Build();
  // text calls url-shorten, which calls compose-post: a chain of three.
  const std::uint32_t first = Find(*model, "text-service");
  const std::uint32_t last = Find(*model, "compose-post-service");
  Fault fault = Of(FaultKind::kCyclicSync, first, 0.95);
  fault.tree = *AddCallBack(model.get(), first, last, /*again=*/true);
  const Model::Node& back = model->nodes[fault.tree];
  EXPECT_EQ(model->edges[back.edge].caller, last);
  EXPECT_EQ(back.service, first);
  const Model::Node& middle = model->nodes[model->steps[back.first_step].first_node];
  EXPECT_NE(middle.service, last);
  EXPECT_EQ(model->nodes[model->steps[middle.first_step].first_node].service, last);
  const Seen seen = Watch(model, fault, first, "");
  ExpectBreach(*model, seen, fault);
  EXPECT_EQ(seen.back[0], 0);
  EXPECT_GT(seen.back[1], 100);
  EXPECT_GT(seen.blocked[1], 2 * seen.blocked[0] + 5);
}

TEST(Causes, ALockConvoyServesOneAtATime) {
  const auto model = Build();
  const std::uint32_t service = Find(*model, "post-storage-service");
  const Fault fault = Of(FaultKind::kLockConvoy, service, 12);
  const Seen seen = Watch(model, fault, service, "");
  ExpectBreach(*model, seen, fault);
  EXPECT_GT(seen.waiting_core[1], 20);
  EXPECT_LT(seen.waiting_core[0], 5);
  EXPECT_LE(seen.busy[1], 1.001);
}

TEST(Causes, AnExhaustedPoolDeadlocksUntilTheTimeOut) {
  const auto model = Build();
  const std::uint32_t service = Find(*model, "home-timeline-service");
  const std::uint32_t callee = Find(*model, "post-storage-service");
  Fault fault = Of(FaultKind::kPoolDeadlock, service, 2);
  fault.tree = *AddCallBack(model.get(), service, callee, /*again=*/false);
  const Seen seen = Watch(model, fault, service, "");
  ExpectBreach(*model, seen, fault);
  EXPECT_EQ(seen.threads[1], 2);
  EXPECT_EQ(seen.blocked[1], 2);
  EXPECT_GT(seen.waiting_thread[1], 100);
  EXPECT_GT(seen.slowest_ns, kSecond);  // the time-out of the call back
}

TEST(Causes, ARetryStormMultipliesCalls) {
  const auto model = Build();
  const std::uint32_t service = Find(*model, "home-timeline-service");
  const Fault fault = Of(FaultKind::kRetryStorm, service, 0.3);
  const Seen seen = Watch(model, fault, service, "");
  ExpectBreach(*model, seen, fault);
  EXPECT_GT(seen.calls[1], 1.5 * seen.calls[0]);
}

TEST(Causes, ADropRuleLosesMessagesWhichComeAfterTheirTimeOut) {
  const auto model = Build();
  const std::uint32_t service = Find(*model, "post-storage-service");
  const Fault fault = Of(FaultKind::kDropRule, service, 0.1);
  const Seen seen = Watch(model, fault, service, "");
  ExpectBreach(*model, seen, fault);
  EXPECT_EQ(seen.lost[0], 0);
  EXPECT_GT(seen.lost[1], 20);
  EXPECT_GT(seen.slowest_ns, Simulator::kRtoNs);
}

TEST(Causes, PoorProvisioningQueuesForCores) {
  const auto model = Build();
  const std::uint32_t service = Find(*model, "post-storage-service");
  const Fault fault = Of(FaultKind::kUnderProvisioned, service, 0.05);
  const Seen seen = Watch(model, fault, service, "");
  ExpectBreach(*model, seen, fault);
  EXPECT_GT(seen.waiting_core[1], 20);
  EXPECT_GT(seen.threads[1], 5 * seen.threads[0]);
}

TEST(Causes, ContentionIsPressureOnOneResourceOfOneServer) {
  struct Case {
    FaultKind kind;
    Resource resource;
    const char* service;
    double magnitude;
  };
  for (const Case& c : {
           Case{FaultKind::kCpuContention, Resource::kCpu, "post-storage-service", 10},
           Case{FaultKind::kCacheContention, Resource::kCache, "post-storage-service", 40},
           Case{FaultKind::kMemoryBandwidth, Resource::kMemoryBandwidth, "post-storage-service",
                50},
           Case{FaultKind::kMemoryCapacity, Resource::kMemoryCapacity, "post-storage-service", 10},
           Case{FaultKind::kDiskContention, Resource::kStorage, "post-storage-mongodb", 20},
       }) {
    SCOPED_TRACE(FaultKindName(c.kind));
    const auto model = Build();
    const std::uint32_t service = Find(*model, c.service);
    const Fault fault = Of(c.kind, service, c.magnitude);
    const Seen seen = Watch(model, fault, service, "");
    ExpectBreach(*model, seen, fault);
    EXPECT_GT(At(seen, c.resource), 1);
    for (Resource other : kAllResources) {
      if (other != c.resource) {
        EXPECT_LT(At(seen, other), 0.5) << ResourceName(other);
      }
    }
    EXPECT_LT(seen.elsewhere[static_cast<std::size_t>(c.resource)], 0.05 * At(seen, c.resource));
  }
}

TEST(Causes, AFaultyPartitionHitsOnlyWhoIsPlacedOnThatNode) {
  const auto model = Build();
  const std::uint32_t service = Find(*model, "post-storage-service");
  const std::uint32_t server = model->instances[model->services[service].first_instance].server;
  Fault fault = Of(FaultKind::kMemoryPartition, service, 50);
  fault.server = server;
  const Seen hit = Watch(model, fault, service, "");
  ExpectBreach(*model, hit, fault);
  EXPECT_GT(At(hit, Resource::kMemoryBandwidth), 1);
  EXPECT_LT(hit.elsewhere[static_cast<std::size_t>(Resource::kMemoryBandwidth)], 0.5);
  // The same partition on a node that hosts none of them.
  std::vector<int> hosted(model->cluster.servers.size(), 0);
  for (const Model::InstanceInfo& instance : model->instances) ++hosted[instance.server];
  const auto empty = std::find(hosted.begin(), hosted.end(), 0);
  ASSERT_NE(empty, hosted.end());
  fault.server = static_cast<std::uint32_t>(empty - hosted.begin());
  EXPECT_TRUE(Watch(model, fault, service, "").truth.empty());
}

TEST(Causes, IncastFillsThePortsBuffer) {
  const auto model = Build();
  const std::uint32_t service = Find(*model, "post-storage-service");
  const Fault fault = Of(FaultKind::kIncast, service, 0.05);
  const Seen seen = Watch(model, fault, service, "");
  ExpectBreach(*model, seen, fault);
  EXPECT_EQ(seen.lost[0], 0);
  EXPECT_GT(seen.lost[1], 10);
  EXPECT_GT(seen.slowest_ns, Simulator::kRtoNs);
}

TEST(Causes, IncastComesInBurstsBetweenWhichNothingIsLost) {
  const auto model = Build();
  const std::uint32_t service = Find(*model, "post-storage-service");
  SimulatorOptions options;
  options.loads = {{3000, 0, 3600, 0}};
  options.faults = {Of(FaultKind::kIncast, service, 0.1)};
  Simulator simulator(model, options);
  simulator.RunUntil(kStart + 20'000'000);
  int quiet = 0, lossy = 0;
  std::uint64_t before = simulator.link_totals().lost;
  for (int ms = 0; ms < 1000; ++ms) {
    simulator.RunUntil(simulator.now_ns() + 1'000'000);
    const std::uint64_t lost = simulator.link_totals().lost;
    ++(lost > before ? lossy : quiet);
    before = lost;
  }
  // One burst of 2 ms in 20, and so at most three of its milliseconds.
  EXPECT_GT(lossy, 50);
  EXPECT_LE(lossy, 150);
  EXPECT_GE(quiet, 850);
}

TEST(Causes, LessBandwidthQueuesInTheNic) {
  const auto model = Build();
  const std::uint32_t service = Find(*model, "post-storage-service");
  const Fault fault = Of(FaultKind::kBandwidth, service, 0.9997);
  const Seen seen = Watch(model, fault, service, "");
  ExpectBreach(*model, seen, fault);
  EXPECT_GT(seen.nic, 20);
}

TEST(Causes, ADetourIsSlowAndLosesAFew) {
  const auto model = Build();
  const std::uint32_t service = Find(*model, "post-storage-service");
  const Fault fault = Of(FaultKind::kRouting, service, 30);
  const Seen seen = Watch(model, fault, service, "");
  ExpectBreach(*model, seen, fault);
  EXPECT_GT(seen.lost[1], 0);
  EXPECT_LT(seen.waiting_core[1], 10);
}

TEST(Causes, AFailedSwitchHitsAll) {
  const auto model = Build();
  const std::uint32_t service = Find(*model, "post-storage-service");
  Fault fault = Of(FaultKind::kSwitchFailure, kNone, 1);
  fault.end_ns = fault.start_ns + 300'000'000;
  const Seen seen = Watch(model, fault, service, "");
  ExpectBreach(*model, seen, fault);
  EXPECT_GT(3 * seen.lost[1], 150);  // in 0.3 s
}

TEST(Causes, AColdCacheSendsItsReadersToTheStore) {
  const auto model = Build();
  const std::uint32_t service = Find(*model, "post-storage-memcached");
  const Fault fault = Of(FaultKind::kCacheFlush, service, 1);
  const Seen seen = Watch(model, fault, service, "post-storage-mongodb", 3000);
  EXPECT_GT(seen.database[1], 2 * seen.database[0]);
  for (const TruthRow& row : seen.truth) EXPECT_EQ(row.cause, "cache");
}

TEST(Causes, ALoadSpikeHasNoCulprit) {
  const auto model = Build();
  const std::uint32_t service = Find(*model, "post-storage-service");
  Fault fault = Of(FaultKind::kLoadSpike, kNone, 20);
  fault.application = 0;
  const Seen seen = Watch(model, fault, service, "");
  ExpectBreach(*model, seen, fault);
  for (const TruthRow& row : seen.truth) EXPECT_FALSE(row.violation.culprit.valid());
  EXPECT_GT(seen.calls[1], 5 * seen.calls[0]);
}

TEST(Causes, DeepQueuesOffThePathAndMildNeighboursHarmNobody) {
  const auto model = Build();
  const std::uint32_t off = Find(*model, "write-home-timeline-service");
  const Seen deep = Watch(model, Of(FaultKind::kOffPath, off, 1000), off, "");
  EXPECT_TRUE(deep.truth.empty());
  EXPECT_GT(deep.waiting_core[1] + deep.waiting_thread[1] + deep.threads[1],
            10 * deep.threads[0] + 20);
  Fault neighbour = Of(FaultKind::kNoisyNeighbour, kNone, 0.5);
  neighbour.server = 5;
  neighbour.mild = true;
  EXPECT_TRUE(Watch(model, neighbour, off, "").truth.empty());
}

TEST(Causes, ARampBreachesLaterThanAStep) {
  const auto model = Build();
  const std::uint32_t service = Find(*model, "post-storage-service");
  Fault fault = Of(FaultKind::kUnderProvisioned, service, 0.05);
  const Seen step = Watch(model, fault, service, "");
  fault.ramp_ns = 2 * kSecond;
  const Seen ramp = Watch(model, fault, service, "");
  ASSERT_FALSE(step.truth.empty());
  ASSERT_FALSE(ramp.truth.empty());
  EXPECT_GT(ramp.truth[0].violation.start_ns, step.truth[0].violation.start_ns + 500'000'000);
}

TEST(Causes, SchedulesHoldOutKindsAndServices) {
  const auto model = Build();
  const std::uint32_t service = Find(*model, "post-storage-service");
  ScheduleOptions options;
  options.seconds = 20 * 3600;
  options.not_kinds = {FaultKind::kCpuContention, FaultKind::kIncast};
  options.not_services = {service};
  auto faults = DrawFaults(model.get(), options);
  EXPECT_GT(faults.size(), 200u);
  for (const Fault& fault : faults) {
    EXPECT_NE(fault.kind, FaultKind::kCpuContention);
    EXPECT_NE(fault.kind, FaultKind::kIncast);
    EXPECT_NE(fault.service, service);
  }
  options = {};
  options.seconds = 5 * 3600;
  options.only_kinds = {FaultKind::kLockConvoy};
  options.only_services = {service};
  faults = DrawFaults(model.get(), options);
  EXPECT_GT(faults.size(), 30u);
  for (const Fault& fault : faults) {
    EXPECT_EQ(fault.kind, FaultKind::kLockConvoy);
    EXPECT_EQ(fault.service, service);
  }
}

}  // namespace
}  // namespace seer::cluster
