#include "benchmarks/cluster/sim/application.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "benchmarks/cluster/sim/model.h"

namespace seer::cluster {
namespace {

using ::testing::HasSubstr;

Application Load(const std::string& name) {
  auto app = LoadApplication(SEER_GRAPHS "/" + name + ".json");
  EXPECT_TRUE(app.ok()) << app.status();
  return app.ok() ? *app : Application();
}

TEST(Application, FiveGraphsHaveTheServicesOfTable1) {
  struct Case {
    const char* name;
    std::size_t services;
    double visits;
  };
  for (const Case& c :
       {Case{"social_network", 36, 8.5}, Case{"media", 38, 13.2}, Case{"ecommerce", 41, 6.8},
        Case{"banking", 28, 10.4}, Case{"hotel", 15, 8.1}}) {
    SCOPED_TRACE(c.name);
    const Application app = Load(c.name);
    EXPECT_EQ(app.name, c.name);
    EXPECT_EQ(app.services.size(), c.services);
    EXPECT_NEAR(MeanVisits(app), c.visits, 0.06);
  }
}

TEST(Application, ServerSoftwareTellsTheModel) {
  const Application app = Load("social_network");
  for (const ServiceSpec& s : app.services) {
    if (s.name == "nginx-thrift" || s.name == "user-memcached" || s.name == "compose-post-redis") {
      EXPECT_EQ(s.model, ServerModel::kEventLoop) << s.name;
      EXPECT_GE(s.threads, 1000u) << s.name;
    }
    if (s.name == "text-service") {
      EXPECT_EQ(s.model, ServerModel::kThreadPerConnection);
      EXPECT_EQ(s.pool, 128u);
      EXPECT_EQ(s.threads, 128u);
    }
    if (s.kind == Kind::kCache) {  // the paper's section 6.2: compute first
      EXPECT_GT(s.sensitivity[0], s.sensitivity[1]);
      EXPECT_GT(s.sensitivity[0], s.sensitivity[2]);
    }
  }
}

constexpr char kSmall[] = R"({"app": "a", "services": [{"name": "x"}, {"name": "y", "cv": 0.5}],
  "request_types": [{"name": "r", "calls": {"s": "x", "then": [{"par": [{"s": "y", "n": 3},
  {"s": "y", "p": 0.5, "us": 7}]}, {"s": "y", "async": true}]}}]})";

TEST(Application, ReadsTrees) {
  const auto app = ApplicationFromJson(kSmall);
  ASSERT_TRUE(app.ok()) << app.status();
  const CallSpec& root = app->requests[0].calls;
  ASSERT_EQ(root.then.size(), 2u);
  ASSERT_EQ(root.then[0].size(), 2u);
  EXPECT_EQ(root.then[0][0].n, 3u);
  EXPECT_EQ(root.then[0][1].p, 0.5);
  EXPECT_EQ(root.then[0][1].us, 7);
  EXPECT_TRUE(root.then[1][0].async);
  EXPECT_DOUBLE_EQ(MeanVisits(*app), 1 + 3 + 0.5 + 1);
  EXPECT_DOUBLE_EQ(MeanDemandUs(*app)[1], 300 + 3.5 + 100);
}

TEST(Application, ErrorsNameThePathAndTheFix) {
  struct Case {
    const char* from;
    const char* to;
    const char* message;
  };
  for (const Case& c : {
           Case{"\"app\": \"a\", ", "", "app: missing: add it"},
           Case{"{\"name\": \"x\"}", "{}", "services[0].name: missing"},
           Case{"\"cv\": 0.5", "\"cv\": \"big\"", "services[1].cv: not a number"},
           Case{"\"cv\": 0.5", "\"cv\": -1", "services[1].cv: give 0 to 20"},
           Case{"\"cv\": 0.5", "\"threads\": 2.5", "services[1].threads: not a count"},
           Case{"\"cv\": 0.5", "\"kind\": \"gpu\"", "services[1].kind: give"},
           Case{"\"n\": 3", "\"n\": 0", "request_types[0].calls.then[0][0].n: give 1"},
           Case{"\"p\": 0.5", "\"p\": 1.5", "calls.then[0][1].p: not a probability"},
           Case{"{\"s\": \"x\"", "{\"s\": \"z\"", "request_types[0].calls.s: no such service"},
           Case{"\"par\": [{", "\"par\": [3, {", "then[0].par[0]: not an object"},
           Case{"\"name\": \"y\"", "\"name\": \"x\"", "services[1].name: that name is taken"},
           Case{"}]})", "}]", "not JSON"},
       }) {
    SCOPED_TRACE(c.message);
    std::string json = kSmall;
    const std::size_t at = std::string(c.from) == "}]})" ? json.size() - 1 : json.find(c.from);
    ASSERT_NE(at, std::string::npos);
    json.replace(at, std::min(json.size() - at, std::string(c.from).size()), c.to);
    if (std::string(c.from) == "}]})") json.resize(json.size() - 4);
    const auto app = ApplicationFromJson(json);
    ASSERT_FALSE(app.ok());
    EXPECT_EQ(app.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(app.status().message()), HasSubstr(c.message));
  }
}

TEST(Application, DeepNestingIsRefusedNotFollowed) {
  std::string json =
      R"({"app":"a","services":[{"name":"x"}],"request_types":[{"name":"r","calls":)";
  for (int i = 0; i < 500; ++i) json += R"({"s":"x","then":[)";
  json += R"({"s":"x"})";
  for (int i = 0; i < 500; ++i) json += "]}";
  json += "}]}";
  EXPECT_FALSE(ApplicationFromJson(json).ok());
}

TEST(Application, RandomGraphsAreValidUpToTenThousandServices) {
  for (std::uint32_t size : {4u, 50u, 1000u, 10'000u}) {
    SCOPED_TRACE(size);
    const Application app = RandomApplication(size, 7);
    EXPECT_EQ(app.services.size(), size);
    EXPECT_TRUE(Validate(app).ok()) << Validate(app);
    EXPECT_GT(MeanVisits(app), 1);
    EXPECT_LT(MeanVisits(app), 500);
    if (size <= 1000) {
      EXPECT_TRUE(BuildModel({app}, UniformCluster(20), {}).ok());
    }
  }
  EXPECT_NE(MeanVisits(RandomApplication(50, 1)), MeanVisits(RandomApplication(50, 2)));
  EXPECT_EQ(MeanVisits(RandomApplication(50, 1)), MeanVisits(RandomApplication(50, 1)));
}

TEST(Application, MonolithAndThreeTierDoTheSameWork) {
  for (const char* name : {"social_network", "media", "hotel"}) {
    SCOPED_TRACE(name);
    const Application app = Load(name);
    double total = 0;
    for (double us : MeanDemandUs(app)) total += us;
    for (const Application& folded : {Monolith(app), ThreeTier(app)}) {
      ASSERT_TRUE(Validate(folded).ok()) << Validate(folded);
      EXPECT_LE(folded.services.size(), 3u);
      double sum = 0;
      for (double us : MeanDemandUs(folded)) sum += us;
      EXPECT_NEAR(sum, total, 0.001 * total);
      EXPECT_LT(MeanVisits(folded), MeanVisits(app));
    }
  }
}

TEST(Model, PlacementDependsOnSeedAndStrategy) {
  const std::vector<Application> apps = {Load("social_network"), Load("hotel")};
  auto servers = [&](Placement placement, std::uint64_t seed) {
    ModelOptions options;
    options.placement = placement;
    options.seed = seed;
    const auto model = BuildModel(apps, DefaultCluster(), options);
    EXPECT_TRUE(model.ok()) << model.status();
    std::vector<std::uint32_t> where;
    for (const auto& instance : (*model)->instances) where.push_back(instance.server);
    return where;
  };
  EXPECT_EQ(servers(Placement::kRandom, 1), servers(Placement::kRandom, 1));
  EXPECT_NE(servers(Placement::kRandom, 1), servers(Placement::kRandom, 2));
  const auto by_app = servers(Placement::kByApplication, 1);
  for (std::size_t i = 0; i < 36; ++i) EXPECT_LT(by_app[i], 10u);
  for (std::size_t i = 36; i < by_app.size(); ++i) EXPECT_GE(by_app[i], 10u);
  const auto spread = servers(Placement::kSpread, 1);
  std::vector<int> count(20, 0);
  for (std::uint32_t server : spread) ++count[server];
  for (int n : count) EXPECT_GE(n, 1);
}

TEST(Model, PackingFillsServersAndSpreadingLevelsThem) {
  const std::vector<Application> apps = {Load("social_network"), Load("media"), Load("ecommerce")};
  const auto promised = [&](Placement placement, const ClusterSpec& cluster) {
    ModelOptions options;
    options.placement = placement;
    const auto model = BuildModel(apps, cluster, options);
    EXPECT_TRUE(model.ok()) << model.status();
    std::vector<double> parts(cluster.servers.size(), 0);
    for (const auto& instance : (*model)->instances) {
      parts[instance.server] +=
          static_cast<double>((*model)->services[instance.service].spec.cores) /
          cluster.servers[instance.server].cores;
    }
    return parts;
  };
  const auto packed = promised(Placement::kPack, DefaultCluster());
  EXPECT_LE(*std::max_element(packed.begin(), packed.end()), 2.0001);
  EXPECT_GT(packed[0], 1.5);
  EXPECT_EQ(packed.back(), 0);
  // Of servers that differ each gets as much as it can carry.
  const auto spread = promised(Placement::kSpread, HeterogeneousCluster(20, 3));
  EXPECT_LT(*std::max_element(spread.begin(), spread.end()),
            *std::min_element(spread.begin(), spread.end()) + 0.6);
}

TEST(Model, HeterogeneousServersDifferInCoresSpeedAndMemory) {
  const ClusterSpec cluster = HeterogeneousCluster(60, 5);
  ASSERT_EQ(cluster.servers.size(), 60u);
  std::map<std::uint32_t, int> cores;
  for (const ServerSpec& server : cluster.servers) {
    ++cores[server.cores];
    EXPECT_EQ(server.speed, server.cores == 32 ? 0.8 : server.cores == 48 ? 1.2 : 1.0);
    EXPECT_EQ(server.memory_gb, server.cores == 32 ? 64 : server.cores == 48 ? 256 : 128);
  }
  EXPECT_EQ(cores.size(), 3u);
  for (const auto& [count, servers] : cores) EXPECT_GT(servers, 8) << count;
}

TEST(Model, ReplicasReachThePapersContainers) {
  std::vector<Application> apps = {Load("social_network")};
  AddReplicas(386, &apps);
  const auto model = BuildModel(apps, UniformCluster(100), {});
  ASSERT_TRUE(model.ok());
  EXPECT_EQ((*model)->instances.size(), 386u);
  EXPECT_EQ((*model)->topology.live_instances(), 386u);
}

TEST(Model, RefusesWhatCannotRun) {
  const Application app = Load("hotel");
  EXPECT_FALSE(BuildModel({}, DefaultCluster(), {}).ok());
  EXPECT_FALSE(BuildModel({app}, UniformCluster(0), {}).ok());
  EXPECT_FALSE(BuildModel({app, app}, DefaultCluster(), {}).ok());  // names twice
  ClusterSpec broken = DefaultCluster();
  broken.servers[3].nic_gbps = 0;
  EXPECT_FALSE(BuildModel({app}, broken, {}).ok());
}

}  // namespace
}  // namespace seer::cluster
