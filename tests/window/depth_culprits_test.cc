#include "seer/window/depth_culprits.h"

#include <chrono>
#include <functional>
#include <random>

#include "gtest/gtest.h"

namespace seer {
namespace {

constexpr std::int64_t kMs = 1'000'000;

// client -> front -> { left, right -> deep }. Ticks of 100 ms; a violation starts at 50 s.
class DepthCulprits : public ::testing::Test {
 protected:
  // Calls that stand at each service itself, and requests a tick.
  struct Stands {
    double front = 1, left = 2, right = 1, deep = 3;
    std::uint32_t requests = 20;
  };

  DepthCulprits() {
    front = topology.AddService("front").value();
    left = topology.AddService("left").value();
    right = topology.AddService("right").value();
    deep = topology.AddService("deep").value();
    in = topology.AddEdge(ServiceId(), front).value();
    to_left = topology.AddEdge(front, left).value();
    to_right = topology.AddEdge(front, right).value();
    to_deep = topology.AddEdge(right, deep).value();
    page = topology
               .AddRequestClass("", "page",
                                QosTarget::Percentile(0.99, std::chrono::milliseconds(60),
                                                      std::chrono::seconds(1)),
                                front)
               .value();
  }

  ClusterTick TickOf(Tick number, const Stands& stands) {
    ClusterTick tick;
    tick.Reset(4, 4, 1);
    tick.tick = number;
    const auto noisy = [&](double depth) {
      return static_cast<double>(std::poisson_distribution<int>(depth)(random_));
    };
    const double at_deep = noisy(stands.deep);
    const double at_right = at_deep + noisy(stands.right);
    const double at_left = noisy(stands.left);
    tick.edges.SetDepth(to_deep, at_deep);
    tick.edges.SetDepth(to_right, at_right);
    tick.edges.SetDepth(to_left, at_left);
    tick.edges.SetDepth(in, at_right + at_left + noisy(stands.front));
    tick.edges.SetMade(in, stands.requests);
    tick.classes[0].seen = true;
    tick.classes[0].count = stands.requests;
    return tick;
  }

  // As usual until 49 s, then something else.
  Attribution Find(const Stands& fault, const std::function<void(ClusterTick*)>& change = {}) {
    DepthCulpritFinder finder;
    for (Tick t = 0; t < 520; ++t) {
      ClusterTick tick = TickOf(t, t < 490 ? Stands() : fault);
      if (change) change(&tick);
      finder.Observe(tick, topology);
    }
    Violation violation;
    violation.request_class = page;
    violation.start_ns = 50'000 * kMs;
    violation.end_ns = 52'000 * kMs;
    return finder.Find(violation, topology);
  }

  Topology topology;
  ServiceId front, left, right, deep;
  EdgeId in, to_left, to_right, to_deep;
  ClassId page;
  std::mt19937 random_{5};
};

TEST_F(DepthCulprits, TheServiceAtWhichCallsStand) {
  for (const auto service : {0, 1, 2, 3}) {
    SCOPED_TRACE(service);
    Stands fault;
    double* const stands[] = {&fault.front, &fault.left, &fault.right, &fault.deep};
    *stands[service] = 60;
    const Attribution found = Find(fault);
    EXPECT_EQ(found.initiation, Initiation::kService);
    EXPECT_EQ(found.culprit, ServiceId(static_cast<std::uint32_t>(service)));
    EXPECT_GT(found.confidence, 0.5f);
    EXPECT_LE(found.confidence, 0.7f) << "depths never tell as much as traces";
    ASSERT_FALSE(found.suspects.empty());
    EXPECT_NEAR(static_cast<double>(found.suspects[0].since_ns) / 1e6, 49'100, 250);
    // 58 more than usual, at 200 requests a second.
    EXPECT_NEAR(static_cast<double>(found.suspects[0].queue_growth_ns) / 1e9, 58 / 200.0, 0.03);
  }
}

TEST_F(DepthCulprits, BackPressureDoesNotBlameThoseWhoWait) {
  Stands fault;
  fault.deep = 30;  // all its workers; the others wait before it
  fault.right = 100;
  fault.front = 200;
  const Attribution found = Find(fault);
  EXPECT_EQ(found.culprit, deep);
  EXPECT_EQ(found.suspects.size(), 3u);
}

TEST_F(DepthCulprits, MoreRequestsThanUsualAreLoad) {
  Stands fault;
  fault.deep = 60;
  fault.requests = 40;
  const Attribution found = Find(fault);
  EXPECT_EQ(found.initiation, Initiation::kLoad);
  EXPECT_GT(found.request_rate_growth, 1.4);
  EXPECT_FALSE(found.suspects.empty()) << "who gave way is told all the same";
  // Without the edges' counts those that end are asked.
  const auto forget = [&](ClusterTick* tick) {
    const double depth = *tick->edges.depth(in);
    EdgeTickTable edges;
    edges.Reset(4);
    for (const EdgeId edge : {to_left, to_right, to_deep}) {
      edges.SetDepth(edge, *tick->edges.depth(edge));
    }
    edges.SetDepth(in, depth);
    tick->edges = edges;
  };
  EXPECT_EQ(Find(fault, forget).initiation, Initiation::kLoad);
}

TEST_F(DepthCulprits, NothingToGoByIsUnknown) {
  EXPECT_EQ(Find(Stands()).initiation, Initiation::kUnknown) << "all as usual";
  Stands fault;
  fault.deep = 60;
  const Attribution blind =
      Find(fault, [](ClusterTick* tick) { tick->edges.Reset(tick->edges.size()); });
  EXPECT_EQ(blind.initiation, Initiation::kUnknown) << "nobody saw a depth";
  // Only what lies behind: the rest is not known, and not thought to be zero.
  const Attribution partly = Find(fault, [&](ClusterTick* tick) {
    const double depth = *tick->edges.depth(to_deep);
    tick->edges.Reset(tick->edges.size());
    tick->edges.SetDepth(to_deep, depth);
  });
  EXPECT_EQ(partly.culprit, deep);
  EXPECT_EQ(partly.suspects.size(), 1u);

  DepthCulpritFinder finder;
  Violation violation;
  EXPECT_EQ(finder.Find(violation, topology).initiation, Initiation::kUnknown);
  finder.Observe(TickOf(3, fault), topology);
  for (const std::int64_t at : {INT64_MIN, std::int64_t{0}, INT64_MAX}) {
    violation.start_ns = at;
    EXPECT_EQ(finder.Find(violation, topology).initiation, Initiation::kUnknown);
  }
}

TEST_F(DepthCulprits, AnotherRecordingBeginsAnew) {
  DepthCulpritFinder finder;
  Stands fault;
  fault.deep = 60;
  for (Tick t = 0; t < 490; ++t) finder.Observe(TickOf(t, Stands()), topology);
  for (Tick t = 480; t < 520; ++t) finder.Observe(TickOf(t, fault), topology);
  Violation violation;
  violation.request_class = page;
  violation.start_ns = 50'000 * kMs;
  EXPECT_EQ(finder.Find(violation, topology).initiation, Initiation::kUnknown)
      << "what is usual in it nobody knows yet";
}

}  // namespace
}  // namespace seer
