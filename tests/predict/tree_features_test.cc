// The features of trees against those that were computed one by one (plain_tree_features.h), bit by
// bit: in clusters drawn at random, of which a part is seen.
#include "predict/tree_features.h"

#include <array>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "predict/rival_measures.h"
#include "tests/predict/plain_tree_features.h"
#include "tests/predict/small_cluster.h"

namespace seer {
namespace {

using internal::Measure;
using internal::TreeFeatures;
using testing::PlainTreeFeatures;
using testing::SmallCluster;

// Zeros have no sign here: a tree does not ask for it.
std::uint32_t Bits(float value) {
  if (std::isnan(value)) return 0x7fc00000u;
  if (value == 0) return 0;
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

// What is seen of a cluster.
struct Sight {
  const char* name;
  double channels = 1, edges = 1;  // probability that a cell is known
  double flows = 1;                // that a channel that is known counts
  ChannelMask mask = ChannelMask::All();
  bool use_edges = true, latency = true;
};

class RandomCluster {
 public:
  RandomCluster(unsigned seed, std::size_t services, const Sight& sight)
      : random_(seed), sight_(sight) {
    for (std::size_t n = 0; n < services / 4 + 1; ++n) {
      nodes_.push_back(topology.AddNode("node-" + std::to_string(n)).value());
    }
    for (std::size_t s = 0; s < services; ++s) Grow();
    for (int c = 0; c < 5; ++c) {
      // The last two have no entry: they wait for all of their application, or for everybody.
      const ServiceId entry =
          c < 3 ? ServiceId(static_cast<std::uint32_t>(c == 2 ? 0 : c)) : ServiceId();
      const std::string application = c == 4 ? "" : c % 2 == 0 ? "shop" : "bank";
      classes.push_back(topology
                            .AddRequestClass(application, "class-" + std::to_string(c),
                                             QosTarget{20'000'000 * (c + 1), 10'000, 1000, 1},
                                             entry)
                            .value());
    }
  }

  // One more service, called by some of those that are there, with instances.
  void Grow() {
    const std::size_t number = topology.services().size();
    const ServiceId id =
        topology.AddService("service-" + std::to_string(number), number % 2 == 0 ? "shop" : "bank")
            .value();
    if (number < 2) (void)topology.AddEdge(ServiceId(), id).value();
    for (int i = 0; i < 2 && number > 0; ++i) {
      const ServiceId caller(static_cast<std::uint32_t>(random_() % number));
      const EdgeKind kind = random_() % 8 == 0 ? EdgeKind::kAsync : EdgeKind::kSync;
      (void)topology.AddEdge(caller, id, kind).ok();
    }
    for (std::size_t i = 0; i < 1 + random_() % 3; ++i) {
      const NodeId node = random_() % 10 == 0 ? NodeId() : nodes_[random_() % nodes_.size()];
      (void)topology
          .AddInstance(id, "instance-" + std::to_string(number) + "-" + std::to_string(i), node)
          .ok();
    }
  }

  ClusterTick Next() {
    ClusterTick t;
    t.tick = ++tick;
    t.topology_version = topology.version();
    t.Reset(topology.services().size(), topology.edges().size(), topology.classes().size());
    const auto known = [&](double share) {
      return std::uniform_real_distribution<double>()(random_) < share;
    };
    const auto depth = [&](std::size_t i) {
      const bool sick = (static_cast<std::size_t>(tick) / 20 + i) % 17 == 0;
      return static_cast<double>(random_() % 8) + (sick ? static_cast<double>(tick % 20) * 5 : 0) +
             (random_() % 500 == 0 ? 9e18 : 0);
    };
    for (std::size_t s = 0; s < topology.services().size(); ++s) {
      const ServiceId id(static_cast<std::uint32_t>(s));
      for (const Channel channel : kAllChannels) {
        // Some channels are never told of, some from a moment on.
        if (channel == Channel::kNic || (channel == Channel::kSocket && tick % 200 < 100)) continue;
        if (!known(sight_.channels)) continue;
        if (random_() % 4 == 0) t.services.SetMean(id, channel, depth(s));
        if (random_() % 8 != 0) t.services.SetDepth(id, channel, depth(s));
        if (known(sight_.flows)) {
          t.services.SetFlow(id, channel, 30 + Draw(20), 30 + Draw(20));
        }
      }
      if (random_() % 16 == 0) t.services.SetOutstanding(id, depth(s));
      if (random_() % 16 == 0) t.services.SetOutstandingMean(id, depth(s));
    }
    for (std::size_t e = 0; e < topology.edges().size(); ++e) {
      const EdgeId id(static_cast<std::uint32_t>(e));
      if (!known(sight_.edges)) continue;
      t.edges.SetDepth(id, depth(e));
      if (random_() % 4 == 0) t.edges.SetMean(id, depth(e));
      if (random_() % 8 != 0) t.edges.SetMade(id, static_cast<std::uint32_t>(random_() % 40));
    }
    for (ClassTick& row : t.classes) {
      row.seen = random_() % 10 != 0;
      if (!row.seen) continue;
      row.count = random_() % 100;
      row.over_target = random_() % 6 == 0 ? row.count / 10 : 0;
      row.oldest_open_ns = static_cast<std::int64_t>(random_() % 60'000'000);
      if (random_() % 2 == 0) {
        for (std::uint64_t r = 0; r < row.count; ++r) {
          row.latency.Record(static_cast<std::int64_t>(1'000'000 + random_() % 30'000'000));
        }
      } else {
        row.p50_ns = 10'000'000;
        row.p99_ns = static_cast<std::int64_t>(random_() % 40'000'000);
      }
    }
    return t;
  }

  std::uint32_t Draw(std::size_t below) { return static_cast<std::uint32_t>(random_() % below); }

  Topology topology{17};
  std::vector<ClassId> classes;
  Tick tick = 1000;

 private:
  std::mt19937 random_;
  const Sight sight_;
  std::vector<NodeId> nodes_;
};

std::string Where(std::string_view column, Tick tick, std::uint32_t service) {
  return std::string(column) + ", tick " + std::to_string(tick) + ", service " +
         std::to_string(service);
}

// Both rows of a class, the candidates, and a row of each of them; returns how many values differ.
void CheckClass(ClassId id, Tick tick, TreeFeatures* fast, PlainTreeFeatures* plain) {
  std::array<float, TreeFeatures::kClassColumns> a, b;
  fast->ClassRow(id, a.data());
  plain->ClassRow(id, b.data());
  for (std::size_t i = 0; i < a.size(); ++i) {
    ASSERT_EQ(Bits(a[i]), Bits(b[i]))
        << Where(TreeFeatures::ClassColumnName(i), tick, 0) << ": " << a[i] << " " << b[i];
  }
  const auto first = fast->candidates(), second = plain->candidates();
  ASSERT_EQ(std::vector<std::uint32_t>(first.begin(), first.end()),
            std::vector<std::uint32_t>(second.begin(), second.end()));
  std::vector<std::uint32_t> asked(first.begin(), first.end());
  asked.push_back(TreeFeatures::kLoad);
  std::array<float, TreeFeatures::kServiceColumns> c, d;
  for (const std::uint32_t service : asked) {
    fast->ServiceRow(id, service, c.data());
    plain->ServiceRow(id, service, d.data());
    for (std::size_t i = 0; i < c.size(); ++i) {
      ASSERT_EQ(Bits(c[i]), Bits(d[i])) << Where(TreeFeatures::ServiceColumnName(i), tick, service)
                                        << ": " << c[i] << " " << d[i];
    }
  }
}

// front -> logic -> store: nobody tells what the logic calls, nor how many of its requests wait.
TEST(MeasureTable, DepthsThatAreMissingAreInferredFromTheOtherQueues) {
  SmallCluster cluster;
  internal::MeasureTable table;
  table.Follow(cluster.topology);
  ClusterTick tick;
  tick.tick = 1;
  tick.Reset(4, 4, 1);
  tick.edges.SetDepth(cluster.in, 20);
  tick.edges.SetDepth(cluster.to_logic, 15);
  tick.services.SetDepth(cluster.front, Channel::kBlocked, 15);
  const auto read = [&](Measure measure, ServiceId service) {
    table.ReadArrivals(tick, cluster.topology, ChannelMask::All(), true);
    return table.Column(measure)[service.index()];
  };
  EXPECT_EQ(read(Measure::kSelf, cluster.front), 5);
  EXPECT_TRUE(std::isnan(read(Measure::kSelf, cluster.logic))) << "the store has no probe yet";
  tick.services.SetDepth(cluster.store, Channel::kQueued, 6);
  tick.services.SetDepth(cluster.store, Channel::kRunning, 4);
  tick.services.SetDepth(cluster.store, Channel::kBlocked, 0);
  EXPECT_EQ(read(Measure::kSelf, cluster.logic), 5) << "ten of its fifteen are at the store";
  EXPECT_EQ(read(Measure::kSelf, cluster.store), 10) << "as nobody tells who calls it";
  EXPECT_EQ(read(Measure::kOutstanding, cluster.store), 10);
  EXPECT_EQ(table.BlockedByCallees(tick, cluster.logic.index()), 10);
  // Somebody else calls the store: his calls are not the logic's.
  const EdgeId other = cluster.topology.AddEdge(cluster.archive, cluster.store).value();
  table.Follow(cluster.topology);
  tick.edges.Reset(5);
  tick.edges.SetDepth(cluster.in, 20);
  tick.edges.SetDepth(cluster.to_logic, 15);
  EXPECT_TRUE(std::isnan(read(Measure::kSelf, cluster.logic))) << "whose are they?";
  tick.edges.SetDepth(other, 7);
  EXPECT_EQ(read(Measure::kSelf, cluster.logic), 12);
  table.ReadArrivals(tick, cluster.topology, ChannelMask::KernelOnly(), true);
  EXPECT_TRUE(std::isnan(table.Column(Measure::kSelf)[cluster.logic.index()])) << "not looked at";
}

class TreeFeaturesOf : public ::testing::TestWithParam<Sight> {};

TEST_P(TreeFeaturesOf, AreBitForBitThoseComputedOneByOne) {
  const Sight sight = GetParam();
  TreeInputs inputs;
  inputs.channels = sight.mask;
  inputs.edges = sight.use_edges;
  inputs.latency = sight.latency;
  for (const std::size_t services : {std::size_t{3}, std::size_t{70}}) {
    RandomCluster cluster(static_cast<unsigned>(services), services, sight);
    TreeFeatures fast(inputs);
    PlainTreeFeatures plain(inputs);
    fast.UseRows(cluster.topology);
    plain.UseRows(cluster.topology);
    std::size_t rows = 0;
    for (int i = 0; i < 300; ++i) {
      if (i == 120 || i == 121) cluster.Grow();
      if (i == 180) (void)cluster.topology.RemoveService(ServiceId(2)).ok();
      if (i == 120 || i == 121 || i == 180) {
        fast.UseRows(cluster.topology);
        plain.UseRows(cluster.topology);
      }
      const double gap = i == 200 ? 3 : i == 230 ? 1e9 : 0;
      ClusterTick tick = cluster.Next();
      if (i % 37 == 36) {  // nothing was seen
        tick.Reset(tick.services.size(), tick.edges.size(), tick.classes.size());
      }
      fast.Observe(tick, cluster.topology, gap);
      plain.Observe(tick, cluster.topology, gap);
      for (const ClassId id : cluster.classes) {
        ASSERT_EQ(fast.known(id), plain.known(id));
        ASSERT_EQ(fast.near(id), plain.near(id));
        if (!fast.known(id)) continue;
        ++rows;
        ASSERT_NO_FATAL_FAILURE(CheckClass(id, tick.tick, &fast, &plain));
        for (std::size_t m = 0; m < 2 && i % 5 == 0; ++m) {
          const std::uint32_t masked = cluster.Draw(services);
          fast.Mask(masked);
          plain.Mask(masked);
          ASSERT_NO_FATAL_FAILURE(CheckClass(id, tick.tick, &fast, &plain));
        }
        fast.Unmask();
        plain.Unmask();
      }
    }
    EXPECT_GT(rows, sight.latency ? 1000u : 500u);
  }
}

// A model that goes on from what was saved sees the same.
TEST_P(TreeFeaturesOf, GoOnFromWhatWasSaved) {
  TreeInputs inputs;
  inputs.channels = GetParam().mask;
  RandomCluster cluster(5, 20, GetParam());
  TreeFeatures first(inputs), second(inputs);
  first.UseRows(cluster.topology);
  for (int i = 0; i < 130; ++i) first.Observe(cluster.Next(), cluster.topology, 0);  // ways, too
  std::string bytes;
  internal::StateIo save(&bytes);
  first.State(save);
  internal::StateIo load{std::string_view(bytes)};
  second.State(load);
  ASSERT_TRUE(load.status().ok()) << load.status();
  second.UseRows(cluster.topology);
  for (int i = 0; i < 30; ++i) {
    const ClusterTick tick = cluster.Next();
    first.Observe(tick, cluster.topology, 0);
    second.Observe(tick, cluster.topology, 0);
    std::array<float, TreeFeatures::kClassColumns> a, b;
    for (const ClassId id : cluster.classes) {
      ASSERT_EQ(first.known(id), second.known(id));
      if (!first.known(id)) continue;
      first.ClassRow(id, a.data());
      second.ClassRow(id, b.data());
      for (std::size_t c = 0; c < a.size(); ++c) ASSERT_EQ(Bits(a[c]), Bits(b[c])) << i;
    }
  }
  std::string one, other;
  internal::StateIo save_one(&one), save_other(&other);
  first.State(save_one);
  second.State(save_other);
  EXPECT_EQ(one, other);
}

INSTANTIATE_TEST_SUITE_P(
    Sights, TreeFeaturesOf,
    ::testing::Values(Sight{"all"}, Sight{"half", 0.5, 0.7, 0.5}, Sight{"traces", 0, 1, 0},
                      Sight{"kernel", 1, 1, 1, ChannelMask::KernelOnly(), false},
                      Sight{"application", 1, 0.9, 1, ChannelMask::AppOnly(), true, false},
                      Sight{"no_counts", 1, 1, 0}),
    [](const auto& sight) { return std::string(sight.param.name); });

}  // namespace
}  // namespace seer
