#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "seer/core/topology.h"

namespace seer {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;

const QosTarget kTarget = QosTarget::Percentile(0.99, 20ms, 1s);

// A node's view: one service with an instance here, which calls another.
Topology NodeView(const std::string& node, const std::string& service, const std::string& callee) {
  Topology t = *Topology::OfNode(node, 5);
  const NodeId here = *t.AddNode(node);
  const ServiceId s = *t.AddService(service);
  const ServiceId c = *t.AddService(callee);
  EXPECT_TRUE(t.AddInstance(s, service + "-0", here, "/kube/" + service, {100}).ok());
  EXPECT_TRUE(t.AddEdge(s, c).ok());
  EXPECT_TRUE(t.AddMethod(c, "Get").ok());
  return t;
}

TopologyMap MustMerge(Topology& ours, const Topology& theirs) {
  auto map = ours.Merge(theirs);
  EXPECT_TRUE(map.ok()) << map.status();
  return *std::move(map);
}

void ExpectSameIds(const TopologyMap& a, const TopologyMap& b) {
  EXPECT_EQ(a.services, b.services);
  EXPECT_EQ(a.instances, b.instances);
  EXPECT_EQ(a.nodes, b.nodes);
  EXPECT_EQ(a.edges, b.edges);
  EXPECT_EQ(a.classes, b.classes);
  EXPECT_EQ(a.methods, b.methods);
}

// Merging once more changes nothing and tells the same ids.
void ExpectIdempotent(Topology& ours, const Topology& theirs, const TopologyMap& first) {
  const Topology before = ours;
  const TopologyMap second = MustMerge(ours, theirs);
  EXPECT_EQ(ours, before);
  ExpectSameIds(first, second);
  EXPECT_EQ(second.added + second.renamed_services + second.moved_instances +
                second.removed_instances + second.changed_targets,
            0u);
}

TEST(TopologyMerge, AddsWhatIsMissingAndMapsByName) {
  Topology ours;
  ASSERT_TRUE(ours.AddService("posts", "social").ok());
  const Topology theirs = NodeView("n1", "home", "posts");
  const TopologyMap map = MustMerge(ours, theirs);
  EXPECT_THAT(map.services, ElementsAre(ServiceId(1), ServiceId(0)));
  EXPECT_EQ(map[ServiceId(1)], ServiceId(0));
  EXPECT_FALSE(map[ServiceId(2)].valid()) << "an id that the node has not told yet";
  EXPECT_FALSE(map[ServiceId()].valid());
  EXPECT_EQ(ours.version(), 2u) << "one merge, one change";
  EXPECT_EQ(map.added, 5u) << "home, n1, home-0, the edge, the method";
  EXPECT_EQ(ours.service(ServiceId(0)).application, "social") << "not known to the node: kept";
  EXPECT_TRUE(ours.FindEdge(ServiceId(1), ServiceId(0)).has_value());
  EXPECT_TRUE(ours.FindMethod(ServiceId(0), "Get").has_value());
  EXPECT_EQ(ours.instance(map[InstanceId(0)]).pids, std::vector<std::int32_t>{100});
  EXPECT_EQ(ours.origin().node, "") << "merging does not change who numbers here";
  ExpectIdempotent(ours, theirs, map);
}

TEST(TopologyMerge, ManyNodesBecomeOneTopology) {
  Topology ours;
  std::vector<Topology> nodes;
  for (int i = 0; i < 50; ++i) {
    const std::string next = "s" + std::to_string((i + 1) % 50);
    nodes.push_back(NodeView("n" + std::to_string(i), "s" + std::to_string(i), next));
  }
  for (const Topology& node : nodes) MustMerge(ours, node);
  EXPECT_EQ(ours.live_services(), 50u);
  EXPECT_EQ(ours.live_nodes(), 50u);
  EXPECT_EQ(ours.live_instances(), 50u);
  EXPECT_EQ(ours.live_edges(), 50u);
  EXPECT_EQ(ours.version(), 50u);
  for (const Topology& node : nodes) {
    const Topology before = ours;
    const TopologyMap map = MustMerge(ours, node);
    EXPECT_EQ(ours, before);
    for (std::uint32_t i = 0; i < node.services().size(); ++i) {
      EXPECT_EQ(ours.service(map[ServiceId(i)]).name, node.service(ServiceId(i)).name);
    }
  }
}

TEST(TopologyMerge, AReplicaThatAppearsElsewhereHasMoved) {
  Topology ours;
  Topology first = NodeView("n1", "home", "posts");
  const TopologyMap before = MustMerge(ours, first);
  Topology second = *Topology::OfNode("n2", 8);
  const NodeId n2 = *second.AddNode("n2");
  const ServiceId home = *second.AddService("home");
  ASSERT_TRUE(second.AddInstance(home, "home-0", n2, "/kube/new", {7}).ok());
  const TopologyMap map = MustMerge(ours, second);
  EXPECT_EQ(map.moved_instances, 1u);
  const InstanceId id = map[InstanceId(0)];
  EXPECT_EQ(id, before[InstanceId(0)]) << "a move keeps the id";
  EXPECT_EQ(ours.node(ours.instance(id).node).name, "n2");
  EXPECT_EQ(ours.instance(id).cgroup, "/kube/new");

  // The old node notices last; it must not remove what runs elsewhere by now.
  ASSERT_TRUE(first.RemoveInstance(InstanceId(0)).ok());
  const TopologyMap late = MustMerge(ours, first);
  EXPECT_EQ(late.removed_instances, 0u);
  EXPECT_TRUE(ours.IsLive(id));
  EXPECT_FALSE(late[InstanceId(0)].valid()) << "late counts must not enter the new node's";
  ExpectIdempotent(ours, first, late);
}

TEST(TopologyMerge, AnInstanceRemovedOnItsNodeIsRemovedHere) {
  Topology ours;
  Topology theirs = NodeView("n1", "home", "posts");
  const InstanceId id = MustMerge(ours, theirs)[InstanceId(0)];
  ASSERT_TRUE(theirs.RemoveService(ServiceId(0)).ok());
  const TopologyMap map = MustMerge(ours, theirs);
  EXPECT_EQ(map.removed_instances, 1u);
  EXPECT_FALSE(ours.IsLive(id));
  EXPECT_TRUE(ours.FindService("home").has_value()) << "other nodes may have the service";
  EXPECT_EQ(map[ServiceId(0)], *ours.FindService("home"));
  EXPECT_EQ(ours.live_edges(), 1u);
  EXPECT_TRUE(map[EdgeId(0)].valid());
  ExpectIdempotent(ours, theirs, map);

  // It comes back under the same name: alive again, in spite of the tombstone.
  const ServiceId home = *theirs.AddService("home");
  ASSERT_TRUE(theirs.AddInstance(home, "home-0", NodeId(0)).ok());
  const TopologyMap again = MustMerge(ours, theirs);
  EXPECT_EQ(again.removed_instances, 0u);
  EXPECT_TRUE(ours.IsLive(again[InstanceId(1)]));
  EXPECT_NE(again[InstanceId(1)], id);
  EXPECT_FALSE(again[InstanceId(0)].valid());
  ExpectIdempotent(ours, theirs, again);
}

TEST(TopologyMerge, WhoDoesNotPlaceAnInstanceDoesNotMoveIt) {
  Topology ours;
  MustMerge(ours, NodeView("n1", "home", "posts"));
  Topology theirs;
  ASSERT_TRUE(theirs.AddInstance(*theirs.AddService("home"), "home-0").ok());
  const Topology before = ours;
  MustMerge(ours, theirs);
  EXPECT_EQ(ours, before);
}

TEST(TopologyMerge, ARenameKeepsOurId) {
  Topology ours;
  Topology theirs = NodeView("n1", "home", "posts");
  const ServiceId id = MustMerge(ours, theirs)[ServiceId(0)];
  ASSERT_TRUE(theirs.RenameService(ServiceId(0), "home-v2").ok());
  const TopologyMap map = MustMerge(ours, theirs);
  EXPECT_EQ(map.renamed_services, 1u);
  EXPECT_EQ(map[ServiceId(0)], id);
  EXPECT_EQ(ours.service(id).name, "home-v2");
  EXPECT_EQ(ours.service(id).renamed_from, "home");
  ExpectIdempotent(ours, theirs, map);
}

TEST(TopologyMerge, ARenameGivesWayToAServiceOfTheNewName) {
  Topology ours;
  const ServiceId old_one = *ours.AddService("home");
  const ServiceId new_one = *ours.AddService("home-v2");
  Topology theirs;
  ASSERT_TRUE(theirs.RenameService(*theirs.AddService("home"), "home-v2").ok());
  const TopologyMap map = MustMerge(ours, theirs);
  EXPECT_EQ(map[ServiceId(0)], new_one);
  EXPECT_EQ(ours.service(old_one).name, "home");
}

TEST(TopologyMerge, AFreedNameIsAnotherService) {
  Topology ours;
  const ServiceId id = *ours.AddService("home");
  Topology theirs;
  ASSERT_TRUE(theirs.RenameService(*theirs.AddService("home"), "home-v2").ok());
  ASSERT_TRUE(theirs.AddService("home").ok());
  const TopologyMap map = MustMerge(ours, theirs);
  EXPECT_THAT(map.services, ElementsAre(id, ServiceId(1)));
  EXPECT_EQ(ours.service(id).name, "home-v2");
  ExpectIdempotent(ours, theirs, map);
}

TEST(TopologyMerge, AChangedTargetIsTakenOverAndCounted) {
  Topology ours;
  const ServiceId entry = *ours.AddService("nginx");
  const ClassId id = *ours.AddRequestClass("social", "read", kTarget, entry);
  Topology theirs;
  ASSERT_TRUE(theirs.AddRequestClass("social", "write", kTarget).ok());
  ASSERT_TRUE(theirs.AddRequestClass("social", "read", QosTarget::Percentile(0.95, 9ms, 1s)).ok());
  const TopologyMap map = MustMerge(ours, theirs);
  EXPECT_EQ(map.changed_targets, 1u);
  EXPECT_EQ(map.added, 1u);
  EXPECT_EQ(map[ClassId(1)], id);
  EXPECT_EQ(ours.request_class(id).target.latency_ns, 9'000'000);
  EXPECT_EQ(ours.request_class(id).entry, entry) << "not known to the other: kept";
  ExpectIdempotent(ours, theirs, map);
}

TEST(TopologyMerge, ARemovedCallerIsNotTheVirtualClient) {
  Topology ours;
  const ServiceId posts = *ours.AddService("posts");
  ASSERT_TRUE(ours.AddEdge(ServiceId(), posts).ok());
  Topology theirs;
  const ServiceId gone = *theirs.AddService("gone");
  ASSERT_TRUE(theirs.AddEdge(gone, *theirs.AddService("posts")).ok());
  ASSERT_TRUE(theirs.RemoveService(gone).ok());
  const TopologyMap map = MustMerge(ours, theirs);
  EXPECT_FALSE(map[gone].valid());
  EXPECT_FALSE(map[EdgeId(0)].valid());
}

TEST(TopologyMerge, ATombstoneMapsToTheNameThatLivesAgain) {
  Topology ours;
  Topology theirs;
  const ServiceId first = *theirs.AddService("home");
  ASSERT_TRUE(theirs.RemoveService(first).ok());
  const ServiceId second = *theirs.AddService("home");
  const TopologyMap map = MustMerge(ours, theirs);
  EXPECT_TRUE(map[first].valid());
  EXPECT_EQ(map[first], map[second]);
  ExpectIdempotent(ours, theirs, map);
}

TEST(TopologyMerge, MergingItselfChangesNothing) {
  Topology ours = NodeView("n1", "home", "posts");
  ASSERT_TRUE(ours.RenameService(ServiceId(0), "home-v2").ok());
  ASSERT_TRUE(ours.RemoveInstance(InstanceId(0)).ok());
  const Topology before = ours;
  const TopologyMap map = MustMerge(ours, ours);
  EXPECT_EQ(ours, before);
  EXPECT_THAT(map.services, ElementsAre(ServiceId(0), ServiceId(1)));
}

TEST(TopologyMerge, AllOrNothingWhenATableIsFull) {
  TopologyTables tables;
  tables.nodes.resize(Topology::kMaxRows - 1);
  for (std::size_t i = 0; i < tables.nodes.size(); ++i) tables.nodes[i].name = std::to_string(i);
  Topology ours = *Topology::FromTables(Origin(), std::move(tables));
  const Topology before = ours;
  Topology theirs;
  ASSERT_TRUE(theirs.AddService("new").ok());
  ASSERT_TRUE(theirs.AddNode("0").ok());
  ASSERT_TRUE(theirs.AddNode("new").ok());
  Topology too_much = theirs;
  ASSERT_TRUE(too_much.AddNode("newer").ok());
  EXPECT_EQ(ours.Merge(too_much).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ours, before);
  // Two nodes, but only one of them is new here: fits exactly.
  MustMerge(ours, theirs);
  EXPECT_EQ(ours.nodes().size(), Topology::kMaxRows);
  EXPECT_EQ(ours.version(), 1u);
}

TEST(TopologyMerge, RandomNodeHistoriesMergeIdempotentlyAndFaithfully) {
  for (std::uint32_t seed = 0; seed < 30; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const auto below = [&random](std::size_t bound) {
      return static_cast<std::uint32_t>(random() % bound);
    };
    Topology ours;
    std::vector<Topology> nodes;
    for (int i = 0; i < 3; ++i) {
      nodes.push_back(*Topology::OfNode("n" + std::to_string(i), 1));
      ASSERT_TRUE(nodes.back().AddNode("n" + std::to_string(i)).ok());
    }
    for (int step = 0; step < 200; ++step) {
      Topology& node = nodes[below(nodes.size())];
      const std::string name = "s" + std::to_string(below(12));
      const ServiceId a(below(node.services().size() + 1));
      const ServiceId b(below(node.services().size() + 1));
      // Many of these are refused, as they should be: only those that count are looked at below.
      switch (below(7)) {
        case 0:
          node.AddService(name).IgnoreError();
          break;
        case 1:
          node.AddInstance(a, name, NodeId(0)).IgnoreError();
          break;
        case 2:
          node.AddEdge(a, b).IgnoreError();
          break;
        case 3:
          node.RenameService(a, name).IgnoreError();
          break;
        case 4:
          node.RemoveInstance(InstanceId(below(node.instances().size() + 1))).IgnoreError();
          break;
        case 5:
          if (below(4) == 0) node.RemoveService(a).IgnoreError();
          break;
        default: {
          const TopologyMap map = MustMerge(ours, node);
          ExpectIdempotent(ours, node, map);
          for (std::uint32_t i = 0; i < node.services().size(); ++i) {
            if (!node.IsLive(ServiceId(i))) continue;
            EXPECT_EQ(ours.FindService(node.service(ServiceId(i)).name), map[ServiceId(i)]);
          }
          for (std::uint32_t i = 0; i < node.instances().size(); ++i) {
            const Instance& theirs = node.instance(InstanceId(i));
            const InstanceId id = map[InstanceId(i)];
            ASSERT_EQ(id.valid(), !theirs.removed);
            if (!id.valid()) continue;
            ASSERT_TRUE(ours.IsLive(id));
            EXPECT_EQ(ours.instance(id).service, map[theirs.service]);
            EXPECT_EQ(ours.instance(id).node, map[theirs.node]);
          }
          for (std::uint32_t i = 0; i < node.edges().size(); ++i) {
            const Edge& theirs = node.edge(EdgeId(i));
            if (theirs.removed) continue;
            EXPECT_EQ(ours.FindEdge(map[theirs.caller], map[theirs.callee]), map[EdgeId(i)]);
          }
        }
      }
    }
  }
}

TEST(TopologyCompacted, DropsTombstonesAndTellsTheNewIds) {
  Topology t = NodeView("n1", "home", "posts");
  const ServiceId extra = *t.AddService("extra");
  ASSERT_TRUE(t.AddEdge(ServiceId(), extra).ok());
  ASSERT_TRUE(t.AddRequestClass("", "c", kTarget, extra).ok());
  ASSERT_TRUE(t.RemoveService(ServiceId(0)).ok());
  auto compacted = t.Compacted(6);
  ASSERT_TRUE(compacted.ok()) << compacted.status();
  const Topology& small = compacted->topology;
  EXPECT_EQ(small.origin(), (Origin{"n1", 6, 0}));
  EXPECT_EQ(small.services().size(), 2u);
  EXPECT_EQ(small.instances().size(), 0u);
  EXPECT_FALSE(compacted->map[ServiceId(0)].valid());
  EXPECT_EQ(compacted->map[ServiceId(1)], ServiceId(0));
  EXPECT_EQ(compacted->map[extra], ServiceId(1));
  EXPECT_EQ(small.FindService("extra"), ServiceId(1));
  EXPECT_EQ(small.FindEdge(ServiceId(), ServiceId(1)), compacted->map[EdgeId(1)]);
  EXPECT_EQ(small.request_class(ClassId(0)).entry, ServiceId(1));
  EXPECT_EQ(small.method(MethodId(0)).service, ServiceId(0));
  EXPECT_EQ(t.Compacted(5).status().code(), absl::StatusCode::kInvalidArgument)
      << "ids must not change within an epoch";
}

}  // namespace
}  // namespace seer
