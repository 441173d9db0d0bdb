// What holds for every rival, whatever it looks at (tick_predictor.h).
#include <cmath>
#include <limits>
#include <memory>
#include <random>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "seer/predict/rivals.h"
#include "tests/predict/small_cluster.h"
#include "tests/support/allocations.h"

namespace seer {
namespace {

using testing::Allocations;
using ::testing::HasSubstr;
using testing::SmallCluster;

class EveryRival : public ::testing::TestWithParam<RivalKind> {
 protected:
  EveryRival() : rival(MakeRival(GetParam()).value()) {}
  std::unique_ptr<TickPredictor> rival;
  SmallCluster cluster;
  Forecast forecast;
};

INSTANTIATE_TEST_SUITE_P(All, EveryRival, ::testing::ValuesIn(kAllRivals), [](const auto& kind) {
  std::string name(RivalName(kind.param));
  for (char& c : name) c = c == '-' ? '_' : c;
  return name;
});

void CheckForm(const Forecast& forecast, const Topology& topology) {
  for (const ClassForecast& row : forecast.classes) {
    EXPECT_TRUE(topology.IsLive(row.request_class));
    float last = 0;
    std::int64_t horizon = 0;
    for (const HorizonProbability& p : row.horizons) {
      EXPECT_GT(p.horizon_ns, horizon);
      EXPECT_GE(p.probability, last) << "a longer horizon holds the shorter";
      EXPECT_LE(p.probability, 1);
      last = p.probability;
      horizon = p.horizon_ns;
    }
    double sum = 0;
    bool load = false;
    double before = 1.001;
    for (const Initiator& initiator : row.initiators) {
      EXPECT_GE(initiator.probability, 0);
      EXPECT_LE(initiator.probability, before + 1e-6) << "the most likely first";
      EXPECT_TRUE(initiator.is_load() || topology.IsLive(initiator.service));
      before = initiator.probability;
      sum += initiator.probability;
      load = load || initiator.is_load();
    }
    EXPECT_NEAR(sum, 1, 1e-4);
    EXPECT_TRUE(load);
    for (const ForecastEvidence& evidence : row.evidence) {
      EXPECT_NE(evidence.service.valid(), evidence.edge.valid());
      EXPECT_GT(evidence.weight, 0);
      EXPECT_LE(evidence.weight, 1);
    }
  }
}

TEST_P(EveryRival, ForecastsAreWellFormed) {
  for (int i = 0; i < 300; ++i) {
    const double at_store = i % 100 > 80 ? 30.0 * (i % 100 - 80) : 0;
    ASSERT_TRUE(rival->Observe(cluster.Next(at_store), cluster.topology, &forecast).ok());
    EXPECT_EQ(forecast.tick, cluster.tick);
    CheckForm(forecast, cluster.topology);
  }
  EXPECT_EQ(forecast.classes.size(), 1u);
}

TEST_P(EveryRival, AllocatesNothingOnceItHasSeenTheTopology) {
  for (int i = 0; i < 200; ++i) {
    const double at_store = i > 100 ? 20.0 * (i - 100) : 0;
    ASSERT_TRUE(rival->Observe(cluster.Next(at_store), cluster.topology, &forecast).ok());
  }
  for (int i = 0; i < 100; ++i) {
    const ClusterTick tick = cluster.Next(i % 50 > 25 ? 500 : 0);
    Allocations allocations;
    const bool ok = rival->Observe(tick, cluster.topology, &forecast).ok();
    ASSERT_EQ(allocations.count(), 0u) << i;
    ASSERT_TRUE(ok);
  }
}

TEST_P(EveryRival, SaysNothingOfWhatItDoesNotSee) {
  for (int i = 0; i < 300; ++i) {
    ClusterTick tick;
    tick.tick = ++cluster.tick;
    tick.Reset(4, 4, 1);
    ASSERT_TRUE(rival->Observe(tick, cluster.topology, &forecast).ok());
    if (GetParam() == RivalKind::kRandom) continue;  // it does not look
    EXPECT_TRUE(forecast.classes.empty());
  }
}

TEST_P(EveryRival, KeepsWhatItSawForASecondAndNotLonger) {
  for (int i = 0; i < 300; ++i) {
    ASSERT_TRUE(rival->Observe(cluster.Next(), cluster.topology, &forecast).ok());
  }
  const std::size_t rows = forecast.classes.size();
  for (int i = 1; i <= 11; ++i) {
    ClusterTick tick;
    tick.tick = ++cluster.tick;
    tick.Reset(4, 4, 1);
    ASSERT_TRUE(rival->Observe(tick, cluster.topology, &forecast).ok());
    if (GetParam() == RivalKind::kRandom) continue;
    EXPECT_EQ(forecast.classes.size(), i <= 10 ? rows : 0) << i;
    EXPECT_FALSE(forecast.alarm());
  }
}

TEST_P(EveryRival, AThirdOfTheProbesMayFail) {
  std::mt19937 random(3);
  int alarms = 0;
  const auto with_holes = [&](double at_store) {
    const ClusterTick whole = cluster.Next(at_store);
    ClusterTick tick = whole;
    tick.edges.Reset(4);
    for (std::uint32_t i = 0; i < 4; ++i) {
      if (random() % 10 < 3) continue;
      tick.edges.SetDepth(EdgeId(i), *whole.edges.depth(EdgeId(i)));
      tick.edges.SetMade(EdgeId(i), *whole.edges.made(EdgeId(i)));
    }
    EXPECT_TRUE(rival->Observe(tick, cluster.topology, &forecast).ok());
    CheckForm(forecast, cluster.topology);
    return forecast.alarm();
  };
  for (int i = 0; i < 600; ++i) alarms += with_holes(0);
  if (GetParam() == RivalKind::kRandom || GetParam() == RivalKind::kUtilisation) return;
  EXPECT_EQ(alarms, 0);
  for (int i = 0; i < 40; ++i) alarms += with_holes(30 * i);
  EXPECT_GT(alarms, 0);
}

TEST_P(EveryRival, GarbageIsRefusedAndChangesNothing) {
  SmallCluster same;
  const auto twin = MakeRival(GetParam()).value();
  Forecast expected;
  for (int i = 0; i < 150; ++i) {
    const double at_store = i > 100 ? 10.0 * (i - 100) : 0;
    ASSERT_TRUE(rival->Observe(cluster.Next(at_store), cluster.topology, &forecast).ok());
    ASSERT_TRUE(twin->Observe(same.Next(at_store), same.topology, &expected).ok());

    ClusterTick bad;
    bad.Reset(4, 4, 1);
    bad.tick = cluster.tick;
    const Tick before = forecast.tick;
    absl::Status status = rival->Observe(bad, cluster.topology, &forecast);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr("in order"));
    bad.tick = std::numeric_limits<Tick>::max();
    EXPECT_FALSE(rival->Observe(bad, cluster.topology, &forecast).ok());
    bad.tick = cluster.tick + 1;
    bad.Reset(5, 4, 1);
    status = rival->Observe(bad, cluster.topology, &forecast);
    EXPECT_THAT(std::string(status.message()), HasSubstr("5 services"));
    EXPECT_EQ(forecast.tick, before);
  }
  ASSERT_EQ(forecast.classes.size(), expected.classes.size());
  for (std::size_t i = 0; i < expected.classes.size(); ++i) {
    EXPECT_EQ(forecast.classes[i].alarm, expected.classes[i].alarm);
    EXPECT_EQ(ProbabilityWithin(forecast.classes[i], 300'000'000),
              ProbabilityWithin(expected.classes[i], 300'000'000));
  }
}

TEST_P(EveryRival, HugeDepthsStayFinite) {
  for (int i = 0; i < 200; ++i) {
    ClusterTick tick = cluster.Next();
    if (i % 3 == 0) {
      for (std::uint32_t e = 0; e < 4; ++e) tick.edges.SetDepth(EdgeId(e), 3e38);
      tick.services.SetDepth(cluster.store, Channel::kQueued, 3e38);
      tick.services.SetMeanWait(cluster.store, Channel::kQueued, 3e38);
      tick.services.SetFlow(cluster.store, Channel::kQueued, 0xffffffffu, 0xffffffffu);
    }
    ASSERT_TRUE(rival->Observe(tick, cluster.topology, &forecast).ok());
    CheckForm(forecast, cluster.topology);
  }
}

TEST_P(EveryRival, ServicesComeAndGo) {
  for (int i = 0; i < 400; ++i) {
    if (i == 100) {
      const ServiceId cache = cluster.topology.AddService("cache", "shop").value();
      ASSERT_TRUE(cluster.topology.AddEdge(cluster.logic, cache).ok());
    }
    if (i == 200) {
      const ServiceId gone = *cluster.topology.FindService("cache");
      ASSERT_TRUE(cluster.topology.RemoveService(gone).ok());
    }
    if (i == 300) {
      ASSERT_TRUE(cluster.topology.RemoveRequestClass(cluster.buy).ok());
    }
    ASSERT_TRUE(rival->Observe(cluster.Next(), cluster.topology, &forecast).ok());
    CheckForm(forecast, cluster.topology);
    EXPECT_TRUE(i < 300 || forecast.classes.empty());
  }
}

TEST_P(EveryRival, AnotherEpochOrPeriodStartsAnew) {
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(rival->Observe(cluster.Next(), cluster.topology, &forecast).ok());
  }
  // An earlier tick, of another numbering with fewer rows.
  const Topology empty(99);
  ClusterTick tick;
  tick.tick = 5;
  ASSERT_TRUE(rival->Observe(tick, empty, &forecast).ok());
  EXPECT_TRUE(forecast.classes.empty());
  // And back, with longer ticks.
  SmallCluster slow;
  for (int i = 0; i < 10; ++i) {
    ClusterTick next = slow.Next();
    next.period = TickPeriod::FromNs(1'000'000'000).value();
    ASSERT_TRUE(rival->Observe(next, slow.topology, &forecast).ok());
    CheckForm(forecast, slow.topology);
  }
}

TEST_P(EveryRival, ResetIsAsIfNewlyMade) {
  SmallCluster other;
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(rival->Observe(other.Next(50), other.topology, &forecast).ok());
  }
  rival->Reset();
  const auto fresh = MakeRival(GetParam()).value();
  Forecast expected;
  for (int i = 0; i < 100; ++i) {
    const ClusterTick tick = cluster.Next(i > 80 ? 100 : 0);
    ASSERT_TRUE(rival->Observe(tick, cluster.topology, &forecast).ok());
    ASSERT_TRUE(fresh->Observe(tick, cluster.topology, &expected).ok());
    ASSERT_EQ(forecast.classes.size(), expected.classes.size());
    ASSERT_EQ(forecast.alarm(), expected.alarm());
  }
}

}  // namespace
}  // namespace seer
