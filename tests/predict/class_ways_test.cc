// Which services requests pass, learnt from counters alone.
#include "predict/class_ways.h"

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "seer/core/topology.h"

namespace seer {
namespace {

using internal::ClassMembers;
using internal::ClassWays;
using internal::ServiceColumns;

// A front end, through which all requests come, and three services behind it: requests of the first
// class pass A, and B every second time; of the other one C, twice.
class Shop {
 public:
  Shop() {
    for (const char* const name : {"front", "a", "b", "c"}) {
      (void)topology.AddService(name, "shop").value();
    }
    (void)topology.AddEdge(ServiceId(), ServiceId(0)).value();
    for (std::uint32_t s = 1; s < 4; ++s) {
      (void)topology.AddEdge(ServiceId(0), ServiceId(s)).value();
    }
    for (const char* const name : {"first", "second"}) {
      (void)topology
          .AddRequestClass("shop", name, QosTarget{10'000'000, 10'000, 1000, 1}, ServiceId(0))
          .value();
    }
    UseRows();
  }

  void UseRows() {
    columns.UseRows(topology);
    members.Use(topology, false);
    const std::vector<std::uint32_t> groups(topology.classes().size(), 0);
    const std::vector<std::uint8_t> live(topology.classes().size(), 1);
    ways.UseRows(members, groups, live, topology.services().size());
  }

  void Run(int ticks, bool calm = true, double behind_a = 0) {
    for (int i = 0; i < ticks; ++i) {
      const auto first = static_cast<std::uint32_t>(random_() % 20);
      const auto second = static_cast<std::uint32_t>(random_() % 8);
      ClusterTick tick;
      tick.tick = ++tick_;
      tick.Reset(topology.services().size(), topology.edges().size(), 2);
      const std::uint32_t made[] = {first + second, first, first / 2, 2 * second};
      for (std::uint32_t s = 0; s < 4; ++s) {
        const ServiceId id(s);
        tick.services.SetDepth(id, Channel::kQueued, 0);
        tick.services.SetDepth(id, Channel::kRunning, s == 0 ? 4 + behind_a : 1);
        tick.services.SetFlow(id, Channel::kRunning, made[s], made[s]);
        tick.edges.SetDepth(EdgeId(s), s == 1 ? 1 + behind_a : 1);
        if (s == 0) tick.edges.SetDepth(EdgeId(s), 4 + behind_a);
      }
      columns.Observe(tick, topology, TreeInputs(), 0);
      const std::vector<float> counts = {static_cast<float>(first), static_cast<float>(second)};
      const std::vector<std::uint8_t> calms(2, calm ? 1 : 0);
      ways.Observe(counts, calms, columns, 0);
    }
  }

  Topology topology{3};
  ServiceColumns columns;
  ClassMembers members;
  ClassWays ways;

 private:
  std::mt19937 random_{7};
  Tick tick_ = 100;
};

TEST(ClassWays, AreLearntFromWhatEndedAndWhatCame) {
  Shop shop;
  EXPECT_TRUE(std::isnan(shop.ways.visits(ClassId(0), 1)));
  shop.Run(79);
  EXPECT_TRUE(std::isnan(shop.ways.visits(ClassId(0), 1))) << "twenty blocks are not over";
  shop.Run(2000);
  const float visits[2][4] = {{1, 1, 0.5f, 0}, {1, 0, 0, 2}};
  for (std::uint32_t c = 0; c < 2; ++c) {
    for (std::uint32_t s = 0; s < 4; ++s) {
      EXPECT_NEAR(shop.ways.visits(ClassId(c), s), visits[c][s], 0.06) << c << " " << s;
    }
  }
  EXPECT_TRUE(std::isnan(shop.ways.visits(ClassId(0), 77)));
  EXPECT_TRUE(std::isnan(shop.ways.visits(ClassId(77), 0)));
}

TEST(ClassWays, OfTwoClassesOnlyTheOneThatPassesWaits) {
  Shop shop;
  shop.Run(2000);
  shop.Run(5, true, 30);
  const ClassWays::Weighed first = shop.ways.Weigh(ClassId(0), {});
  const ClassWays::Weighed second = shop.ways.Weigh(ClassId(1), {});
  EXPECT_GT(first.own, 0.1f);  // thirty calls of a hundred a second
  EXPECT_GT(first.self, 4);
  EXPECT_EQ(first.abnormal, 1);
  EXPECT_LT(second.own, 0.05f * first.own);
  EXPECT_LT(second.self, 1);
  EXPECT_EQ(second.abnormal, 0);
  // Without the service nobody waits.
  const std::vector<std::uint32_t> a = {1, 1};
  EXPECT_LT(shop.ways.Weigh(ClassId(0), a).own, 0.05f * first.own);
  EXPECT_EQ(shop.ways.Weigh(ClassId(0), {}).own, first.own);
}

TEST(ClassWays, NothingIsLearntWhileAClassIsInViolation) {
  Shop shop;
  shop.Run(400, false);
  EXPECT_TRUE(std::isnan(shop.ways.visits(ClassId(0), 1)));
}

TEST(ClassWays, StayWhenServicesAndClassesCome) {
  Shop shop;
  shop.Run(1000);
  const float before = shop.ways.visits(ClassId(0), 2);
  ASSERT_GT(before, 0.3f);
  (void)shop.topology.AddService("d", "shop").value();
  (void)shop.topology.AddEdge(ServiceId(1), ServiceId(4)).value();
  (void)shop.topology
      .AddRequestClass("shop", "third", QosTarget{10'000'000, 10'000, 1000, 1}, ServiceId(0))
      .value();
  shop.UseRows();
  EXPECT_EQ(shop.ways.visits(ClassId(0), 2), before);
  EXPECT_TRUE(std::isnan(shop.ways.visits(ClassId(2), 4)));
}

TEST(ClassWays, TooManyClassesOrServicesAreLeftAlone) {
  Shop shop;
  for (int c = 0; c < 64; ++c) {
    (void)shop.topology
        .AddRequestClass("shop", "c" + std::to_string(c), QosTarget{10'000'000, 10'000, 1000, 1},
                         ServiceId(0))
        .value();
  }
  shop.UseRows();
  EXPECT_TRUE(std::isnan(shop.ways.visits(ClassId(0), 1)));
  EXPECT_TRUE(std::isnan(shop.ways.Weigh(ClassId(0), {}).delay));
}

// Whatever is loaded: an error, or a state to go on from.
TEST(ClassWays, AStateThatDoesNotFitIsRefused) {
  Shop shop;
  shop.Run(100);
  std::string bytes;
  internal::StateIo save(&bytes);
  shop.ways.State(save);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    std::string changed = bytes;
    changed[i] = static_cast<char>(changed[i] ^ 0x5a);
    internal::StateIo load{std::string_view(changed)};
    ClassWays other;
    other.State(load);
    if (!load.status().ok()) continue;
    const std::vector<std::uint32_t> groups(2, 0);
    const std::vector<std::uint8_t> live(2, 1);
    other.UseRows(shop.members, groups, live, 4);
    (void)other.Weigh(ClassId(0), {});
  }
  internal::StateIo load{std::string_view(bytes).substr(0, bytes.size() - 3)};
  ClassWays other;
  other.State(load);
  EXPECT_FALSE(load.status().ok());
}

}  // namespace
}  // namespace seer
