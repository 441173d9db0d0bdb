#include "seer/predict/rivals.h"

#include <chrono>
#include <cmath>
#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "predict/load_rivals.h"
#include "tests/predict/small_cluster.h"

namespace seer {
namespace {

using ::testing::HasSubstr;
using testing::SmallCluster;

std::unique_ptr<TickPredictor> Make(RivalKind kind, const RivalOptions& options = {}) {
  return MakeRival(kind, options).value();
}

// Healthy ticks, a minute by default: not one of them may alarm.
void Settle(SmallCluster* cluster, TickPredictor* rival, int ticks = 600) {
  Forecast forecast;
  int alarms = 0;
  for (int i = 0; i < ticks; ++i) {
    ASSERT_TRUE(rival->Observe(cluster->Next(), cluster->topology, &forecast).ok());
    alarms += forecast.alarm();
  }
  EXPECT_EQ(alarms, 0) << rival->name();
}

// Ticks until the alarm, with the store's backlog growing by `step` each tick; -1: none.
int TicksToAlarm(SmallCluster* cluster, TickPredictor* rival, double step, Forecast* forecast) {
  for (int i = 1; i <= 100; ++i) {
    EXPECT_TRUE(rival->Observe(cluster->Next(step * i), cluster->topology, forecast).ok());
    if (forecast->alarm()) return i;
  }
  return -1;
}

TEST(Rivals, NamesGoBothWays) {
  for (const RivalKind kind : kAllRivals) {
    EXPECT_EQ(RivalFromName(RivalName(kind)), kind);
    EXPECT_EQ(Make(kind)->name(), RivalName(kind));
    EXPECT_GT(DefaultThreshold(kind), 0);
  }
  EXPECT_EQ(RivalFromName("oracle"), std::nullopt);
  EXPECT_FALSE(MakeRival(static_cast<RivalKind>(99)).ok());
}

TEST(Rivals, OptionsOutOfRangeAreNamed) {
  struct Case {
    const char* field;
    void (*set)(RivalOptions&);
  };
  for (const Case& c : {
           Case{"threshold", [](RivalOptions& o) { o.threshold = -1; }},
           Case{"threshold", [](RivalOptions& o) { o.threshold = std::nan(""); }},
           Case{"baseline_ns", [](RivalOptions& o) { o.baseline_ns = 0; }},
           Case{"warmup_ns", [](RivalOptions& o) { o.warmup_ns = o.baseline_ns + 1; }},
           Case{"hold_ns", [](RivalOptions& o) { o.hold_ns = -1; }},
           Case{"slope_horizon_ns", [](RivalOptions& o) { o.slope_horizon_ns = -1; }},
           Case{"alarm_horizon_ns", [](RivalOptions& o) { o.alarm_horizon_ns = 0; }},
           Case{"horizons_ns", [](RivalOptions& o) { o.horizons_ns.clear(); }},
           Case{"horizons_ns",
                [](RivalOptions& o) {
                  o.horizons_ns = {2, 2};
                }},
           Case{"alarm.clear_ratio", [](RivalOptions& o) { o.alarm.clear_ratio = 2; }},
           Case{"load_growth", [](RivalOptions& o) { o.load_growth = 1; }},
           Case{"max_initiators", [](RivalOptions& o) { o.max_initiators = 0; }},
           Case{"workers[x]",
                [](RivalOptions& o) {
                  o.workers = {{"x", 0}};
                }},
           Case{"alarms_per_hour", [](RivalOptions& o) { o.alarms_per_hour = -1; }},
       }) {
    RivalOptions options;
    c.set(options);
    const auto rival = MakeRival(RivalKind::kMmc, options);
    EXPECT_THAT(std::string(rival.status().message()), HasSubstr(c.field));
  }
}

TEST(Rivals, ForeseeABacklogThatGrows) {
  for (const RivalKind kind :
       {RivalKind::kLargestDepth, RivalKind::kLargestDepthZ, RivalKind::kSelfDepthZ,
        RivalKind::kDeepestAbnormal, RivalKind::kQueueSlope, RivalKind::kQueueWait,
        RivalKind::kUtilisation, RivalKind::kMmc}) {
    SCOPED_TRACE(RivalName(kind));
    SmallCluster cluster;
    RivalOptions options;
    options.workers = {{"front", 30}, {"logic", 30}, {"store", 30}};
    const auto rival = Make(kind, options);
    Settle(&cluster, rival.get());
    Forecast forecast;
    const int ticks = TicksToAlarm(&cluster, rival.get(), 10, &forecast);
    EXPECT_GT(ticks, 0);
    EXPECT_LT(ticks, 30);
    ASSERT_EQ(forecast.classes.size(), 1u);
    EXPECT_GE(ProbabilityWithin(forecast.classes[0], 300'000'000), 0.49f);
  }
}

TEST(Rivals, NoWorkersNeedBeToldToSeeABacklog) {
  for (const RivalKind kind : {RivalKind::kQueueWait, RivalKind::kMmc}) {
    SCOPED_TRACE(RivalName(kind));
    SmallCluster cluster;
    const auto rival = Make(kind);
    Settle(&cluster, rival.get());
    Forecast forecast;
    const int ticks = TicksToAlarm(&cluster, rival.get(), 10, &forecast);
    EXPECT_GT(ticks, 0);
    EXPECT_EQ(forecast.classes[0].initiators.front().service, cluster.store);
  }
}

TEST(Rivals, TheSlopeSeesABacklogBeforeTheDepthDoes) {
  SmallCluster cluster;
  SmallCluster same;
  RivalOptions options;
  options.threshold = 20;
  const auto slope = Make(RivalKind::kQueueSlope, options);
  const auto depth = Make(RivalKind::kLargestDepthZ, options);
  Settle(&cluster, slope.get());
  Settle(&same, depth.get());
  Forecast forecast;
  const int first = TicksToAlarm(&cluster, slope.get(), 5, &forecast);
  EXPECT_LT(first, TicksToAlarm(&same, depth.get(), 5, &forecast));
}

TEST(Rivals, BackPressureMisleadsTheLongestQueueAndNotTheSelfDepth) {
  struct Case {
    RivalKind kind;
    const char* blamed;
  };
  for (const Case& c :
       {Case{RivalKind::kLargestDepth, "front"}, Case{RivalKind::kSelfDepthZ, "store"},
        Case{RivalKind::kDeepestAbnormal, "store"}, Case{RivalKind::kQueueWait, "store"}}) {
    SCOPED_TRACE(RivalName(c.kind));
    SmallCluster cluster;
    const auto rival = Make(c.kind);
    Settle(&cluster, rival.get());
    Forecast forecast;
    ASSERT_GT(TicksToAlarm(&cluster, rival.get(), 20, &forecast), 0);
    const Initiator& first = forecast.classes[0].initiators.front();
    ASSERT_TRUE(first.service.valid());
    EXPECT_EQ(cluster.topology.service(first.service).name, c.blamed);
  }
}

TEST(Rivals, AQueueThatNoRequestWaitsForIsNobodysConcern) {
  for (const RivalKind kind : {RivalKind::kLargestDepth, RivalKind::kLargestDepthZ,
                               RivalKind::kSelfDepthZ, RivalKind::kDeepestAbnormal}) {
    SCOPED_TRACE(RivalName(kind));
    SmallCluster cluster;
    const auto rival = Make(kind);
    Settle(&cluster, rival.get());
    Forecast forecast;
    for (int i = 0; i < 20; ++i) {
      ASSERT_TRUE(rival->Observe(cluster.Next(0, 500), cluster.topology, &forecast).ok());
      EXPECT_FALSE(forecast.alarm()) << "the archive is called asynchronously";
    }
  }
}

TEST(Rivals, TooManyRequestsAreTheLoadsFault) {
  SmallCluster cluster;
  const auto rival = Make(RivalKind::kSelfDepthZ);
  Settle(&cluster, rival.get());
  Forecast forecast;
  for (int i = 0; i < 30; ++i) {
    ASSERT_TRUE(rival->Observe(cluster.Next(20 * i, 0, 4), cluster.topology, &forecast).ok());
  }
  EXPECT_TRUE(forecast.alarm());
  EXPECT_TRUE(forecast.classes[0].initiators.front().is_load());
}

TEST(Rivals, EvidenceIsWhatTheAlarmRestsOn) {
  SmallCluster cluster;
  const auto rival = Make(RivalKind::kSelfDepthZ);
  Settle(&cluster, rival.get());
  Forecast forecast;
  ASSERT_GT(TicksToAlarm(&cluster, rival.get(), 20, &forecast), 0);
  ASSERT_EQ(forecast.classes[0].evidence.size(), 1u);
  EXPECT_EQ(forecast.classes[0].evidence[0].edge, cluster.to_store);
  EXPECT_GT(forecast.classes[0].evidence[0].weight, 0.2f);

  // Masked from the start, the same ticks do not alarm.
  SmallCluster masked;
  const auto blind = Make(RivalKind::kSelfDepthZ);
  const auto without = [&](double at_store) {
    ClusterTick tick = masked.Next(at_store);
    const ClusterTick whole = tick;
    tick.edges.Reset(whole.edges.size());
    for (const EdgeId edge : {masked.in, masked.to_logic, masked.to_archive}) {
      tick.edges.SetDepth(edge, *whole.edges.depth(edge));
      tick.edges.SetMade(edge, *whole.edges.made(edge));
    }
    return tick;
  };
  for (int i = 0; i < 700; ++i) {
    const double at_store = i < 600 ? 0 : 20.0 * (i - 599);
    ASSERT_TRUE(blind->Observe(without(at_store), masked.topology, &forecast).ok());
    ASSERT_FALSE(forecast.alarm());
  }
}

TEST(Rivals, TheChannelMaskReproducesTheAblations) {
  // Only the kernel's queues are looked at: the backlog shows in the socket queue of the store.
  SmallCluster cluster;
  RivalOptions options;
  options.channels = ChannelMask::KernelOnly();
  options.edges = false;
  const auto rival = Make(RivalKind::kSelfDepthZ, options);
  Forecast forecast;
  bool alarm_before = false;
  for (int i = 0; i < 620; ++i) {
    ClusterTick tick = cluster.Next(i < 600 ? 0 : 100);  // the edges know of it and are not asked
    tick.services.SetDepth(cluster.store, Channel::kSocket, i < 610 ? 2 : 60);
    ASSERT_TRUE(rival->Observe(tick, cluster.topology, &forecast).ok());
    if (i == 609) alarm_before = forecast.alarm();
  }
  EXPECT_FALSE(alarm_before);
  EXPECT_TRUE(forecast.alarm());
  ASSERT_EQ(forecast.classes[0].evidence.size(), 1u);
  EXPECT_EQ(forecast.classes[0].evidence[0].service, cluster.store);
  EXPECT_EQ(forecast.classes[0].evidence[0].channel, Channel::kSocket);
}

TEST(Rivals, TheQueueWaitIsTheMeasuredOneWhereThereIsOne) {
  SmallCluster cluster;
  const auto rival = Make(RivalKind::kQueueWait);
  Forecast forecast;
  for (const double wait_ms : {5.0, 40.0}) {
    for (int i = 0; i < 50; ++i) {
      ClusterTick tick = cluster.Next();
      tick.services.SetMeanWait(cluster.logic, Channel::kQueued, wait_ms * 1000);
      ASSERT_TRUE(rival->Observe(tick, cluster.topology, &forecast).ok());
    }
    EXPECT_EQ(forecast.alarm(), wait_ms > 20);
  }
  EXPECT_EQ(forecast.classes[0].initiators.front().service, cluster.logic);
}

TEST(Rivals, ErlangsFormulaIsTheTextbooks) {
  EXPECT_NEAR(internal::ErlangC(1, 0.5), 0.5, 1e-9) << "M/M/1: rho";
  EXPECT_NEAR(internal::ErlangC(2, 1), 1.0 / 3, 1e-9);
  EXPECT_NEAR(internal::ErlangC(10, 8), 0.409, 5e-4);
  EXPECT_EQ(internal::ErlangC(4, 4), 1) << "at saturation everybody waits";
  EXPECT_EQ(internal::ErlangC(4, 0), 0);
  EXPECT_GE(internal::ErlangC(1e9, 0.99e9), 0);
}

TEST(Rivals, RandomAlarmsComeAtTheirRateAndAreTheSameAgain) {
  const auto run = [](std::uint64_t seed, std::vector<Tick>* alarms) {
    SmallCluster cluster;
    RivalOptions options;
    options.alarms_per_hour = 3600;  // one a second
    options.seed = seed;
    const auto rival = Make(RivalKind::kRandom, options);
    Forecast forecast;
    for (int i = 0; i < 6000; ++i) {
      ASSERT_TRUE(rival->Observe(cluster.Next(), cluster.topology, &forecast).ok());
      if (forecast.alarm()) alarms->push_back(forecast.tick);
    }
  };
  std::vector<Tick> first, again, other;
  run(1, &first);
  run(1, &again);
  run(2, &other);
  EXPECT_EQ(first, again);
  EXPECT_NE(first, other);
  EXPECT_NEAR(static_cast<double>(first.size()), 600, 120) << "five deviations";
}

// The store's queue is that of every class: with own_requests a class waits for requests of its
// own.
TEST(Rivals, WithOwnRequestsAClassAlarmsOnceItsRequestsAreSlow) {
  for (const bool slow : {false, true}) {
    SCOPED_TRACE(slow);
    RivalOptions options;
    options.own_requests = true;
    SmallCluster cluster;
    const auto rival = Make(RivalKind::kSelfDepthZ, options);
    Forecast forecast;
    bool alarm = false;
    for (int i = 0; i < 700; ++i) {
      const bool fault = i >= 600;
      ClusterTick tick = cluster.Next(fault ? 20.0 * (i - 600) : 0);
      const int ms = 12 + (slow && fault ? 5 * (i - 600) : 0);
      tick.classes[0].latency.Record(ms * 1'000'000, 50);
      ASSERT_TRUE(rival->Observe(tick, cluster.topology, &forecast).ok());
      EXPECT_TRUE(fault || !forecast.alarm()) << i;
      alarm = alarm || forecast.alarm();
    }
    EXPECT_EQ(alarm, slow);
  }
}

TEST(Rivals, WithOwnRequestsThatNobodySeesItIsAsWithout) {
  RivalOptions options;
  options.own_requests = true;
  SmallCluster a, b;
  const auto with = Make(RivalKind::kSelfDepthZ, options), without = Make(RivalKind::kSelfDepthZ);
  Forecast x, y;
  for (int i = 0; i < 640; ++i) {
    const double at_store = i < 600 ? 0 : 10.0 * (i - 600);
    ClusterTick seen = a.Next(at_store), same = b.Next(at_store);
    seen.classes[0] = same.classes[0] = ClassTick();
    ASSERT_TRUE(with->Observe(seen, a.topology, &x).ok());
    ASSERT_TRUE(without->Observe(same, b.topology, &y).ok());
    EXPECT_EQ(x.alarm(), y.alarm());
  }
  EXPECT_TRUE(x.alarm());
  options.own_spreads = 0;
  EXPECT_THAT(std::string(options.Validate().message()), HasSubstr("own_spreads"));
}

}  // namespace
}  // namespace seer
