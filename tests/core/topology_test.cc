#include "seer/core/topology.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace seer {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

using absl::StatusCode;

const QosTarget kTarget = QosTarget::Percentile(0.99, 20ms, 1s);

std::string Message(const absl::Status& status) { return std::string(status.message()); }

TEST(QosTarget, FactoriesSayWhatPeopleSay) {
  EXPECT_EQ(kTarget, (QosTarget{20'000'000, 10'000, 1000, 1}));
  EXPECT_EQ(QosTarget::AtMost(0.02, 90ms, 1s), (QosTarget{90'000'000, 20'000, 1000, 1}));
  EXPECT_EQ(QosTarget::FewerThan(5, 90ms, 10s), (QosTarget{90'000'000, 0, 10'000, 5}));
}

TEST(QosTarget, BreachedBy) {
  struct Case {
    QosTarget target;
    std::uint64_t over, total;
    bool breached;
  };
  const QosTarget five = QosTarget::FewerThan(5, 90ms, 10s);
  const std::uint64_t huge = std::numeric_limits<std::uint64_t>::max();
  for (const Case& c : std::vector<Case>{{kTarget, 1, 100, false},
                                         {kTarget, 2, 100, true},
                                         {kTarget, 1, 99, true},
                                         {kTarget, 0, 0, false},
                                         {kTarget, 10'000, 1'000'000, false},
                                         {kTarget, 10'001, 1'000'000, true},
                                         {kTarget, huge / 100, huge, false},
                                         {kTarget, huge / 100 + 1, huge, true},
                                         {five, 4, 4, false},
                                         {five, 5, 1000, true}}) {
    SCOPED_TRACE(testing::Message() << c.over << " of " << c.total);
    EXPECT_EQ(c.target.BreachedBy(c.over, c.total), c.breached);
  }
}

TEST(QosTarget, BadTargetsAreRefusedByName) {
  struct Case {
    QosTarget target;
    const char* field;
  };
  Topology topology;
  for (const Case& c :
       std::vector<Case>{{QosTarget::Percentile(99, 20ms, 1s), "allowed_ppm"},
                         {QosTarget::Percentile(0, 20ms, 1s), "allowed_ppm"},
                         {QosTarget::Percentile(std::nan(""), 20ms, 1s), "allowed_ppm"},
                         {QosTarget::AtMost(-0.1, 20ms, 1s), "allowed_ppm"},
                         {QosTarget::AtMost(1, 20ms, 1s), "allowed_ppm"},
                         {QosTarget::Percentile(0.99, 0ms, 1s), "latency_ns"},
                         {QosTarget::Percentile(0.99, 2h, 1s), "latency_ns"},
                         {QosTarget::Percentile(0.99, 20ms, 9ms), "window_ms"},
                         {QosTarget::Percentile(0.99, 20ms, -1s), "window_ms"},
                         {QosTarget::Percentile(0.99, 20ms, 24h * 365), "window_ms"},
                         {QosTarget::FewerThan(0, 20ms, 1s), "min_over"}}) {
    const absl::Status status = topology.AddRequestClass("shop", "buy", c.target).status();
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_THAT(Message(status), HasSubstr(std::string("classes[new].target.") + c.field));
  }
  EXPECT_EQ(topology.version(), 0u);
}

TEST(Topology, NamesHaveOneTo255BytesAndNoControlCharacters) {
  for (const std::string& good : {std::string("a"), std::string(255, 'x'),
                                  std::string("caf\xc3\xa9"), std::string("a b/c.d:e")}) {
    SCOPED_TRACE(good);
    Topology topology;
    EXPECT_TRUE(topology.AddService(good).ok());
    EXPECT_TRUE(topology.AddNode(good).ok());
    EXPECT_TRUE(Topology::OfNode(good, 1).ok());
  }
  for (const std::string& bad : {std::string(), std::string(256, 'x'), std::string("a\nb"),
                                 std::string("\x7f"), std::string("a\0b", 3)}) {
    SCOPED_TRACE(bad);
    Topology topology;
    const ServiceId s = *topology.AddService("s");
    for (const absl::Status& status :
         {topology.AddService(bad).status(), topology.AddNode(bad).status(),
          topology.AddInstance(s, bad).status(), topology.AddMethod(s, bad).status(),
          topology.AddRequestClass("", bad, kTarget).status(), topology.RenameService(s, bad),
          Topology::OfNode(bad, 1).status()}) {
      EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << status;
    }
    EXPECT_EQ(topology.version(), 1u);
  }
}

TEST(Topology, MessagesNameTheFieldTheValueAndTheFix) {
  Topology topology;
  const ServiceId cart = *topology.AddService("cart");
  EXPECT_EQ(Message(topology.AddService("cart").status()),
            "services[new]: 'cart' is services[0] already; use that id, or another name");
  EXPECT_EQ(Message(topology.AddService("a\tb").status()),
            "services[new].name: 'a\\tb' has a control character at byte 1; leave it out");
  EXPECT_EQ(Message(topology.AddEdge(cart, ServiceId(7)).status()),
            "edges[new].callee: id 7 is not among the 1 services; use ids of this topology and "
            "epoch only");
  ASSERT_TRUE(topology.RemoveService(cart).ok());
  EXPECT_EQ(Message(topology.AddMethod(cart, "Get").status()),
            "methods[new].service: id 0 ('cart') was removed; use the id of a live row");
}

TEST(Topology, EachKindOfRowIsUniqueInItsScope) {
  Topology t;
  const ServiceId a = *t.AddService("a");
  const ServiceId b = *t.AddService("b");
  EXPECT_TRUE(t.AddNode("n").ok());
  EXPECT_TRUE(t.AddInstance(a, "1").ok());
  EXPECT_TRUE(t.AddInstance(b, "1").ok()) << "unique within a service only";
  EXPECT_TRUE(t.AddEdge(a, b).ok());
  EXPECT_TRUE(t.AddEdge(b, a).ok());
  EXPECT_TRUE(t.AddEdge(ServiceId(), a).ok());
  EXPECT_TRUE(t.AddEdge(a, a).ok()) << "self-calls are calls";
  EXPECT_TRUE(t.AddRequestClass("x", "read", kTarget).ok());
  EXPECT_TRUE(t.AddRequestClass("y", "read", kTarget).ok());
  EXPECT_TRUE(t.AddMethod(a, "Get").ok());
  EXPECT_TRUE(t.AddMethod(b, "Get").ok());
  const Topology before = t;
  for (const absl::Status& status :
       {t.AddService("a", "other").status(), t.AddNode("n").status(),
        t.AddInstance(a, "1").status(), t.AddEdge(a, b, EdgeKind::kAsync).status(),
        t.AddEdge(ServiceId(), a).status(), t.AddEdge(a, a).status(),
        t.AddRequestClass("x", "read", kTarget, a).status(), t.AddMethod(b, "Get").status(),
        t.RenameService(a, "b")}) {
    EXPECT_EQ(status.code(), StatusCode::kAlreadyExists) << status;
  }
  EXPECT_EQ(t, before);
}

TEST(Topology, UnknownIdsAndNamesAreNotFound) {
  Topology t;
  const ServiceId gone = *t.AddService("gone");
  const NodeId dead = *t.AddNode("dead");
  const ServiceId s = *t.AddService("s");
  ASSERT_TRUE(t.RemoveService(gone).ok());
  ASSERT_TRUE(t.RemoveNode(dead).ok());
  const Topology before = t;
  for (const absl::Status& status : {t.RemoveService(gone),
                                     t.RemoveService(ServiceId(99)),
                                     t.RenameService(gone, "x"),
                                     t.SetApplication(gone, "x"),
                                     t.RemoveNode(dead),
                                     t.AddInstance(gone, "i").status(),
                                     t.AddInstance(s, "i", dead).status(),
                                     t.AddInstance(s, "i", NodeId(9)).status(),
                                     t.RemoveInstance(InstanceId(0)),
                                     t.MoveInstance(InstanceId(0), NodeId()),
                                     t.SetPids(InstanceId(0), {1}),
                                     t.SetCgroup(InstanceId(0), "c"),
                                     t.AddEdge(gone, s).status(),
                                     t.AddEdge(s, gone).status(),
                                     t.RemoveEdge(EdgeId(0)),
                                     t.SetKind(EdgeId(0), EdgeKind::kSync),
                                     t.AddRequestClass("", "c", kTarget, gone).status(),
                                     t.RemoveRequestClass(ClassId(0)),
                                     t.SetTarget(ClassId(0), kTarget),
                                     t.SetEntry(ClassId(0), s),
                                     t.AddMethod(gone, "m").status(),
                                     t.RemoveMethod(MethodId(0))}) {
    EXPECT_EQ(status.code(), StatusCode::kNotFound) << status;
  }
  EXPECT_EQ(t.AddEdge(s, ServiceId()).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(t.RemoveService(ServiceId()).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(t, before);
  EXPECT_FALSE(t.FindService("gone").has_value());
  EXPECT_FALSE(t.FindService("never").has_value());
  EXPECT_FALSE(t.FindInstance(ServiceId(), "i").has_value());
  EXPECT_TRUE(t.Has(gone));
  EXPECT_FALSE(t.IsLive(gone));
  EXPECT_FALSE(t.Has(ServiceId(2)));
  EXPECT_FALSE(t.Has(ServiceId()));
  EXPECT_TRUE(t.IsLive(s));
}

TEST(Topology, OnlyChangesRaiseTheVersion) {
  Topology t;
  const ServiceId s = *t.AddService("s", "app");
  const NodeId n = *t.AddNode("n");
  const InstanceId i = *t.AddInstance(s, "i", n, "/kube/i", {7});
  const EdgeId e = *t.AddEdge(ServiceId(), s);
  const ClassId c = *t.AddRequestClass("app", "c", kTarget, s);
  const NodeId m = *t.AddNode("m");
  const std::vector<std::pair<const char*, std::function<absl::Status()>>> calls = {
      {"RenameService", [&] { return t.RenameService(s, "s2"); }},
      {"SetApplication", [&] { return t.SetApplication(s, "app2"); }},
      {"MoveInstance", [&] { return t.MoveInstance(i, m); }},
      {"SetCgroup", [&] { return t.SetCgroup(i, "/kube/j"); }},
      {"SetPids",
       [&] {
         return t.SetPids(i, {7, 8});
       }},
      {"SetKind", [&] { return t.SetKind(e, EdgeKind::kAsync); }},
      {"SetTarget", [&] { return t.SetTarget(c, QosTarget::Percentile(0.95, 20ms, 1s)); }},
      {"SetEntry", [&] { return t.SetEntry(c, ServiceId()); }}};
  std::uint64_t version = t.version();
  EXPECT_EQ(version, 6u);
  for (const auto& [name, call] : calls) {
    SCOPED_TRACE(name);
    EXPECT_TRUE(call().ok());
    EXPECT_EQ(t.version(), ++version);
    EXPECT_TRUE(call().ok());
    EXPECT_EQ(t.version(), version) << "the second call changes nothing";
  }
}

TEST(Topology, ARenameKeepsTheIdAndFreesTheName) {
  Topology t;
  const ServiceId s = *t.AddService("old");
  ASSERT_TRUE(t.AddInstance(s, "i").ok());
  ASSERT_TRUE(t.RenameService(s, "new").ok());
  EXPECT_EQ(t.FindService("new"), s);
  EXPECT_FALSE(t.FindService("old").has_value());
  EXPECT_EQ(t.service(s).renamed_from, "old");
  EXPECT_TRUE(t.FindInstance(s, "i").has_value());
  const ServiceId other = *t.AddService("old");
  EXPECT_NE(other, s);
}

TEST(Topology, RemovingAServiceRemovesWhatIsItsOwn) {
  Topology t;
  const ServiceId a = *t.AddService("a");
  const ServiceId b = *t.AddService("b");
  const InstanceId i = *t.AddInstance(a, "i", NodeId(), "/cg", {5});
  const InstanceId j = *t.AddInstance(b, "j");
  for (auto [x, y] : {std::pair{ServiceId(), a}, {a, a}, {a, b}, {b, a}, {b, b}}) {
    ASSERT_TRUE(t.AddEdge(x, y).ok());
  }
  const MethodId m = *t.AddMethod(a, "Get");
  const ClassId c = *t.AddRequestClass("", "c", kTarget, a);
  const std::uint64_t version = t.version();
  ASSERT_TRUE(t.RemoveService(a).ok());
  EXPECT_EQ(t.version(), version + 1) << "one call, one change";
  EXPECT_EQ(t.live_services(), 1u);
  EXPECT_EQ(t.live_edges(), 1u);
  EXPECT_EQ(t.live_methods(), 0u);
  EXPECT_TRUE(t.FindEdge(b, b).has_value());
  EXPECT_TRUE(t.IsLive(j));
  EXPECT_TRUE(t.IsLive(c));
  EXPECT_FALSE(t.request_class(c).entry.valid());
  // The ids of earlier snapshots still resolve.
  EXPECT_EQ(t.service(a).name, "a");
  EXPECT_EQ(t.instance(i).name, "i");
  EXPECT_EQ(t.method(m).name, "Get");
  EXPECT_TRUE(t.instance(i).cgroup.empty());
  EXPECT_TRUE(t.instance(i).pids.empty());

  const ServiceId again = *t.AddService("a");
  EXPECT_EQ(again, ServiceId(2)) << "a name that returns gets a new id";
  EXPECT_FALSE(t.FindInstance(again, "i").has_value());
}

TEST(Topology, InstancesMoveBetweenNodesAndDieWithThem) {
  Topology t;
  const ServiceId s = *t.AddService("s");
  const NodeId n = *t.AddNode("n");
  const NodeId m = *t.AddNode("m");
  const InstanceId i = *t.AddInstance(s, "i", n, "/cg", {5});
  const InstanceId j = *t.AddInstance(s, "j", n);
  ASSERT_TRUE(t.MoveInstance(i, m).ok());
  EXPECT_EQ(t.instance(i).node, m);
  EXPECT_TRUE(t.instance(i).pids.empty()) << "the pids were those of the old node";
  ASSERT_TRUE(t.RemoveNode(n).ok());
  EXPECT_TRUE(t.IsLive(i));
  EXPECT_FALSE(t.IsLive(j));
  EXPECT_EQ(t.MoveInstance(i, n).code(), StatusCode::kNotFound);
}

TEST(Topology, PidsAndCgroupsHaveLimits) {
  Topology t;
  const ServiceId s = *t.AddService("s");
  const InstanceId i = *t.AddInstance(s, "i");
  EXPECT_TRUE(t.SetPids(i, std::vector<std::int32_t>(Topology::kMaxPids, 1)).ok());
  EXPECT_TRUE(t.SetCgroup(i, std::string(Topology::kMaxCgroupBytes, 'x')).ok());
  for (const absl::Status& status :
       {t.SetPids(i, std::vector<std::int32_t>(Topology::kMaxPids + 1, 1)), t.SetPids(i, {0}),
        t.SetPids(i, {5, -1}), t.SetCgroup(i, std::string(Topology::kMaxCgroupBytes + 1, 'x')),
        t.SetCgroup(i, "a\n"), t.AddInstance(s, "j", NodeId(), "", {-5}).status(),
        t.AddEdge(s, s, static_cast<EdgeKind>(2)).status()}) {
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << status;
  }
}

TEST(Topology, FromTablesRebuildsTombstonesToo) {
  Topology t = *Topology::OfNode("node-1", 77);
  const ServiceId a = *t.AddService("a");
  const ServiceId b = *t.AddService("b");
  const NodeId n = *t.AddNode("n");
  ASSERT_TRUE(t.AddInstance(a, "i", n, "/cg", {1, 2}).ok());
  ASSERT_TRUE(t.AddEdge(a, b, EdgeKind::kAsync).ok());
  ASSERT_TRUE(t.AddRequestClass("x", "c", kTarget, a).ok());
  ASSERT_TRUE(t.AddMethod(b, "m").ok());
  ASSERT_TRUE(t.RemoveService(a).ok());
  ASSERT_TRUE(t.AddService("a").ok());
  ASSERT_TRUE(t.RenameService(b, "c").ok());

  TopologyTables tables;
  tables.services.assign(t.services().begin(), t.services().end());
  tables.instances.assign(t.instances().begin(), t.instances().end());
  tables.nodes.assign(t.nodes().begin(), t.nodes().end());
  tables.edges.assign(t.edges().begin(), t.edges().end());
  tables.classes.assign(t.classes().begin(), t.classes().end());
  tables.methods.assign(t.methods().begin(), t.methods().end());
  const auto rebuilt = Topology::FromTables(t.origin(), tables);
  ASSERT_TRUE(rebuilt.ok()) << rebuilt.status();
  EXPECT_EQ(*rebuilt, t);
  EXPECT_EQ(rebuilt->FindService("a"), ServiceId(2));
  EXPECT_EQ(rebuilt->live_instances(), 0u);
}

TEST(Topology, FromTablesNamesTheRowThatBreaksARule) {
  struct Case {
    std::function<void(TopologyTables&)> spoil;
    StatusCode code;
    const char* place;
  };
  for (const Case& c : std::vector<Case>{
           {[](auto& t) { t.services[1].name = ""; }, StatusCode::kInvalidArgument,
            "services[1].name"},
           {[](auto& t) { t.services[1].name = "a"; }, StatusCode::kAlreadyExists, "services[1]"},
           {[](auto& t) { t.services[0].application = "\n"; }, StatusCode::kInvalidArgument,
            "services[0].application"},
           {[](auto& t) { t.services[0].renamed_from = "\n"; }, StatusCode::kInvalidArgument,
            "services[0].renamed_from"},
           {[](auto& t) { t.services[1].removed = true; }, StatusCode::kNotFound,
            "edges[0].callee"},
           {[](auto& t) { t.instances[0].service = ServiceId(2); }, StatusCode::kNotFound,
            "instances[0].service"},
           {[](auto& t) {
              t.instances[0].removed = true;
              t.instances[0].service = ServiceId();
            },
            StatusCode::kInvalidArgument, "instances[0].service"},
           {[](auto& t) { t.nodes[0].removed = true; }, StatusCode::kNotFound, "instances[0].node"},
           {[](auto& t) { t.instances[0].pids = {0}; }, StatusCode::kInvalidArgument,
            "instances[0].pids"},
           {[](auto& t) { t.edges[0].kind = static_cast<EdgeKind>(9); },
            StatusCode::kInvalidArgument, "edges[0].kind"},
           {[](auto& t) { t.edges.push_back(t.edges[0]); }, StatusCode::kAlreadyExists, "edges[1]"},
           {[](auto& t) { t.classes[0].target.window_ms = 0; }, StatusCode::kInvalidArgument,
            "classes[0].target.window_ms"},
           {[](auto& t) { t.classes[0].entry = ServiceId(5); }, StatusCode::kNotFound,
            "classes[0].entry"},
           {[](auto& t) { t.methods[0].service = ServiceId(5); }, StatusCode::kNotFound,
            "methods[0].service"},
           {[](auto& t) { t.methods.resize(Topology::kMaxRows + 1); },
            StatusCode::kResourceExhausted, "methods"}}) {
    SCOPED_TRACE(c.place);
    TopologyTables tables;
    tables.services = {{"a", "", "", false}, {"b", "", "", false}};
    tables.nodes = {{"n", false}};
    tables.instances = {{"i", ServiceId(0), NodeId(0), "", {}, false}};
    tables.edges = {{ServiceId(0), ServiceId(1), EdgeKind::kSync, false}};
    tables.classes = {{"c", "", ServiceId(0), kTarget, false}};
    tables.methods = {{"m", ServiceId(0), false}};
    ASSERT_TRUE(Topology::FromTables(Origin(), tables).ok());
    c.spoil(tables);
    const absl::Status status = Topology::FromTables(Origin(), std::move(tables)).status();
    EXPECT_EQ(status.code(), c.code) << status;
    EXPECT_THAT(Message(status), HasSubstr(std::string(c.place) + ":"));
  }
}

TEST(Topology, AFullTableRefusesRowsAndCompactionMakesRoom) {
  TopologyTables tables;
  tables.nodes.resize(Topology::kMaxRows);
  for (std::size_t i = 0; i < tables.nodes.size(); ++i) {
    tables.nodes[i].name = std::to_string(i);
    tables.nodes[i].removed = i % 2 == 0;
  }
  auto full = Topology::FromTables(Origin(), std::move(tables));
  ASSERT_TRUE(full.ok()) << full.status();
  EXPECT_EQ(full->AddNode("one more").status().code(), StatusCode::kResourceExhausted);
  auto compacted = full->Compacted(1);
  ASSERT_TRUE(compacted.ok());
  EXPECT_TRUE(compacted->topology.AddNode("one more").ok());
}

// A random history against a plain model: names to ids, by std::map.
TEST(Topology, AgreesWithANaiveModelOverRandomHistories) {
  for (std::uint32_t seed = 0; seed < 20; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    Topology t;
    std::map<std::string, std::uint32_t> services;
    std::map<std::pair<std::uint32_t, std::uint32_t>, std::uint32_t> edges;
    std::uint32_t next_service = 0, next_edge = 0;
    std::uint64_t version = 0;
    const auto name = [&random] { return "s" + std::to_string(random() % 40); };
    const auto any_id = [&] { return static_cast<std::uint32_t>(random() % (next_service + 1)); };
    const auto is_live = [&services](std::uint32_t id) {
      for (const auto& [key, value] : services) {
        if (value == id) return true;
      }
      return false;
    };
    for (int step = 0; step < 600; ++step) {
      switch (random() % 6) {
        case 0:
        case 1: {
          const std::string wanted = name();
          const bool fresh = services.emplace(wanted, next_service).second;
          ASSERT_EQ(t.AddService(wanted).ok(), fresh);
          next_service += fresh;
          version += fresh;
          break;
        }
        case 2: {
          const std::uint32_t id = any_id();
          const bool live = is_live(id);
          ASSERT_EQ(t.RemoveService(ServiceId(id)).ok(), live);
          if (!live) break;
          for (auto it = services.begin(); it != services.end();) {
            it = it->second == id ? services.erase(it) : std::next(it);
          }
          for (auto it = edges.begin(); it != edges.end();) {
            const bool gone = it->first.first == id || it->first.second == id;
            it = gone ? edges.erase(it) : std::next(it);
          }
          ++version;
          break;
        }
        case 3: {
          const std::uint32_t id = any_id();
          const std::string wanted = name();
          const auto taken = services.find(wanted);
          const bool own = taken != services.end() && taken->second == id;
          const bool allowed = is_live(id) && (taken == services.end() || own);
          ASSERT_EQ(t.RenameService(ServiceId(id), wanted).ok(), allowed);
          if (!allowed || own) break;
          for (auto it = services.begin(); it != services.end();) {
            it = it->second == id ? services.erase(it) : std::next(it);
          }
          services[wanted] = id;
          ++version;
          break;
        }
        default: {
          const std::uint32_t caller = any_id(), callee = any_id();
          const bool fresh =
              is_live(caller) && is_live(callee) && edges.count({caller, callee}) == 0;
          ASSERT_EQ(t.AddEdge(ServiceId(caller), ServiceId(callee)).ok(), fresh);
          if (!fresh) break;
          edges[{caller, callee}] = next_edge++;
          ++version;
        }
      }
      ASSERT_EQ(t.version(), version);
      ASSERT_EQ(t.live_services(), services.size());
      ASSERT_EQ(t.live_edges(), edges.size());
    }
    for (int i = 0; i < 40; ++i) {
      const std::string key = "s" + std::to_string(i);
      const auto it = services.find(key);
      const auto found = t.FindService(key);
      ASSERT_EQ(found.has_value(), it != services.end()) << key;
      if (found) {
        EXPECT_EQ(found->value(), it->second);
      }
    }
    for (const auto& [pair, id] : edges) {
      EXPECT_EQ(t.FindEdge(ServiceId(pair.first), ServiceId(pair.second)), EdgeId(id));
    }
  }
}

}  // namespace
}  // namespace seer
