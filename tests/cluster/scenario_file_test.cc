#include "benchmarks/cluster/sim/scenario_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace seer::cluster {
namespace {

using ::testing::HasSubstr;

constexpr char kScenarios[] = SEER_GRAPHS "/../scenarios/";

constexpr char kSmall[] = R"({
  "name": "small", "seed": 7, "seconds": 3, "tick_ms": 50,
  "applications": [
    {"graph": "hotel", "load": {"rate": 200, "amplitude": 0.5, "period_s": 2}},
    {"random": {"services": 20, "seed": 4}, "load": {"rate": 100}},
    {"application": {"app": "tiny", "services": [{"name": "a", "server": "TThreadedServer"},
        {"name": "b", "kind": "db", "server": "mongod", "times_us": [50, 70.5, 1200]}],
      "request_types": [{"name": "r", "calls": {"s": "a", "then": [{"s": "b", "p": 0.3}]}}]},
     "load": {"rate": 50}}],
  "service_times": [{"service": "hotel/*", "factor": 1.25}],
  "cluster": {"servers": [{"count": 3, "cores": 16}, {"speed": 1.5, "nic_gbps": 25}]},
  "placement": {"strategy": "spread"},
  "faults": [
    {"kind": "pool-deadlock", "start_s": 0.3, "end_s": 2.1, "service": "hotel/frontend",
     "callee": "hotel/search", "magnitude": 2},
    {"kind": "memory-partition", "start_s": 1, "ramp_s": 0.1, "end_s": 2, "server": 2,
     "magnitude": 1.5, "mild": true},
    {"kind": "load-spike", "start_s": 1, "end_s": 2, "application": "tiny", "magnitude": 3}],
  "schedule": {"severe_per_hour": 600, "gap_s": 0, "not_kinds": ["drop-rule"],
               "not_services": ["hotel/search"]},
  "updates": [{"kind": "back-end", "at_s": 1.5, "application": "hotel"}]
})";

std::vector<ClusterTick> TicksOf(const ScenarioSpec& spec) {
  auto built = BuildScenario(spec, SEER_GRAPHS);
  EXPECT_TRUE(built.ok()) << built.status();
  std::vector<ClusterTick> ticks;
  if (!built.ok()) return ticks;
  built->options.truth = false;
  RunScenario(built->model, built->options, [&](const ClusterTick& t) { ticks.push_back(t); });
  return ticks;
}

TEST(ScenarioFile, WrittenBackItReadsAndRunsAsTheSame) {
  const auto spec = ScenarioFromJson(kSmall);
  ASSERT_TRUE(spec.ok()) << spec.status();
  const std::string canonical = ScenarioToJson(*spec);
  const auto again = ScenarioFromJson(canonical);
  ASSERT_TRUE(again.ok()) << again.status() << canonical;
  EXPECT_EQ(ScenarioToJson(*again), canonical);
  EXPECT_THAT(canonical, HasSubstr("\"start_s\": 0.3,"));
  const auto ticks = TicksOf(*spec);
  EXPECT_EQ(ticks.size(), 60u);
  EXPECT_EQ(ticks, TicksOf(*again));
}

TEST(ScenarioFile, EveryShippedScenarioIsBuiltAndRuns) {
  for (const char* name : {"default", "large", "updates", "monolith", "fig2-microservices",
                           "fig2-monolith", "fig2-three-tier"}) {
    SCOPED_TRACE(name);
    auto spec = LoadScenario(std::string(kScenarios) + name + ".json");
    ASSERT_TRUE(spec.ok()) << spec.status();
    EXPECT_EQ(spec->name, name);
    const auto again = ScenarioFromJson(ScenarioToJson(*spec));
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(ScenarioToJson(*again), ScenarioToJson(*spec));
    const auto built = BuildScenario(*spec, SEER_GRAPHS);
    ASSERT_TRUE(built.ok()) << built.status();
    if (spec->schedule.has_value()) {
      EXPECT_FALSE(built->options.simulator.faults.empty());
    }
    spec->seconds = 1;
    std::uint64_t requests = 0;
    for (const ClusterTick& tick : TicksOf(*spec)) {
      for (const ClassTick& c : tick.classes) requests += c.count;
    }
    EXPECT_GT(requests, 700u);
  }
}

TEST(ScenarioFile, TheLargeOneHasThePapersContainersOnAHundredServers) {
  const auto spec = LoadScenario(std::string(kScenarios) + "large.json");
  ASSERT_TRUE(spec.ok()) << spec.status();
  const auto built = BuildScenario(*spec, SEER_GRAPHS);
  ASSERT_TRUE(built.ok()) << built.status();
  EXPECT_EQ(built->model->instances.size(), 386u);
  EXPECT_EQ(built->model->cluster.servers.size(), 100u);
  std::vector<int> hosted(100, 0);
  for (const auto& instance : built->model->instances) ++hosted[instance.server];
  EXPECT_GE(*std::min_element(hosted.begin(), hosted.end()), 1);
}

TEST(ScenarioFile, SaysWhatItWasTold) {
  const auto spec = ScenarioFromJson(kSmall);
  ASSERT_TRUE(spec.ok()) << spec.status();
  const auto built = BuildScenario(*spec, SEER_GRAPHS);
  ASSERT_TRUE(built.ok()) << built.status();
  const Model& model = *built->model;
  EXPECT_EQ(model.cluster.servers.size(), 4u);
  EXPECT_EQ(model.cluster.servers[0].cores, 16u);
  EXPECT_EQ(model.cluster.servers[3].speed, 1.5);
  EXPECT_EQ(model.source[0].services[1].mean_service_us,
            1.25 * LoadApplication(SEER_GRAPHS "/hotel.json")->services[1].mean_service_us);
  EXPECT_EQ(built->options.simulator.period.ns(), 50'000'000);
  EXPECT_EQ(built->options.simulator.loads[0].amplitude, 0.5);
  const auto& faults = built->options.simulator.faults;
  ASSERT_GE(faults.size(), 3u);
  const Fault& deadlock = faults[faults.size() - 3];
  EXPECT_EQ(deadlock.kind, FaultKind::kPoolDeadlock);
  EXPECT_EQ(deadlock.service, model.FindService("hotel/frontend"));
  EXPECT_EQ(model.edges[model.nodes[deadlock.tree].edge].caller, model.FindService("hotel/search"));
  EXPECT_EQ(faults.back().application, 2u);
  EXPECT_EQ(faults[faults.size() - 2].server, 2u);
  ASSERT_FALSE(built->options.updates.empty());
  EXPECT_EQ(built->options.updates[0].at_ns, 1'500'000'000);
  const std::uint32_t tiny = model.FindService("tiny/b");
  EXPECT_EQ(model.services[tiny].times, 3u);
}

TEST(ScenarioFile, ErrorsNameThePathAndTheFix) {
  struct Case {
    const char* from;
    const char* to;
    const char* message;
  };
  for (const Case& c : {
           Case{"\"seed\": 7", "\"sead\": 7", "sead: there is no such field"},
           Case{"\"seed\": 7", "\"seed\": -7", "seed: not a seed"},
           Case{"\"tick_ms\": 50", "\"tick_ms\": 5", "tick_ms: give 10 to 5000"},
           Case{"{\"graph\": \"hotel\", ", "{", "applications[0]: give one of graph, random"},
           Case{"\"rate\": 200", "\"rate\": -1", "applications[0].load.rate: give 0 to"},
           Case{"\"services\": 20", "\"services\": 2", "applications[1].random.services: give 4"},
           Case{"{\"s\": \"a\"", "{\"s\": \"z\"",
                "applications[2].application.request_types[0].calls.s: no such service"},
           Case{"70.5", "-70.5", "services[1].times_us: give 0 to 1e9"},
           Case{"\"count\": 3", "\"count\": 0", "cluster.servers[0].count: give at least 1"},
           Case{"\"spread\"", "\"apart\"", "placement.strategy: give one of random, spread"},
           Case{"pool-deadlock", "deadlock", "faults[0].kind: give one of blocking-call, "},
           Case{"\"end_s\": 2.1", "\"end_s\": 0.2", "faults[0].end_s: not after start_s"},
           Case{"\"callee\": \"hotel/search\", ", "", "faults[0].callee: missing"},
           Case{"\"server\": 2,", "", "faults[1].server: missing"},
           Case{"\"mild\": true", "\"mild\": 1", "faults[1].mild: give true or false"},
           Case{"\"drop-rule\"", "\"dropping\"", "schedule.not_kinds: there is no kind 'dropping'"},
           Case{"\"back-end\"", "\"backend\"", "updates[0].kind: give one of new-service"},
       }) {
    SCOPED_TRACE(c.message);
    std::string json = kSmall;
    const std::size_t at = json.find(c.from);
    ASSERT_NE(at, std::string::npos);
    json.replace(at, std::string(c.from).size(), c.to);
    const auto spec = ScenarioFromJson(json);
    ASSERT_FALSE(spec.ok());
    EXPECT_EQ(spec.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(spec.status().message()), HasSubstr(c.message));
  }
  EXPECT_FALSE(ScenarioFromJson("").ok());
  EXPECT_FALSE(ScenarioFromJson("[]").ok());
  EXPECT_FALSE(ScenarioFromJson("{}").ok());
  EXPECT_EQ(LoadScenario("/nowhere.json").status().code(), absl::StatusCode::kNotFound);
}

// A byte changed, a piece cut out or doubled: an error or another scenario, never a crash.
TEST(ScenarioFile, DamagedFilesAreReadOrRefused) {
  const std::string whole = kSmall;
  std::uint64_t random = 1;
  const auto below = [&](std::size_t n) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    return static_cast<std::size_t>(random >> 33) % n;
  };
  int read = 0, refused = 0;
  for (int i = 0; i < 3000; ++i) {
    std::string json = whole;
    for (std::size_t n = 1 + below(3); n > 0; --n) {
      const std::size_t at = below(json.size());
      switch (below(4)) {
        case 0:
          json[at] = static_cast<char>(below(256));
          break;
        case 1:
          json[at] = "0123456789-.eE{}[],:\"\\ "[below(23)];
          break;
        case 2:
          json.erase(at, below(40));
          break;
        default:
          json.insert(at, json.substr(below(json.size()), below(40)));
      }
      if (json.empty()) json = "{";
    }
    const auto spec = ScenarioFromJson(json);
    ++(spec.ok() ? read : refused);
    if (spec.ok()) {
      const auto again = ScenarioFromJson(ScenarioToJson(*spec));
      ASSERT_TRUE(again.ok()) << again.status() << json;
      EXPECT_EQ(ScenarioToJson(*again), ScenarioToJson(*spec));
    } else {
      EXPECT_FALSE(spec.status().message().empty());
    }
  }
  EXPECT_GT(read, 50);
  EXPECT_GT(refused, 1000);
}

TEST(ScenarioFile, NamesThatDoNotExistAreNotFound) {
  struct Case {
    const char* from;
    const char* to;
    const char* message;
  };
  for (const Case& c : {
           Case{"\"graph\": \"hotel\"", "\"graph\": \"motel\"", "applications[0]: "},
           Case{"hotel/*", "motel/*", "service_times[0].service: there is no 'motel/*'"},
           Case{"\"callee\": \"hotel/search\"", "\"callee\": \"search\"", "faults[0].callee"},
           Case{"\"application\": \"tiny\"", "\"application\": \"huge\"", "faults[2].application"},
           Case{"[\"hotel/search\"]", "[\"search\"]", "schedule.not_services"},
           Case{"\"application\": \"hotel\"", "\"application\": \"x\"", "updates[0].application"},
       }) {
    SCOPED_TRACE(c.message);
    std::string json = kSmall;
    const std::size_t at = json.find(c.from);
    ASSERT_NE(at, std::string::npos);
    json.replace(at, std::string(c.from).size(), c.to);
    const auto spec = ScenarioFromJson(json);
    ASSERT_TRUE(spec.ok()) << spec.status();
    const auto built = BuildScenario(*spec, SEER_GRAPHS);
    ASSERT_FALSE(built.ok());
    EXPECT_EQ(built.status().code(), absl::StatusCode::kNotFound) << built.status();
    EXPECT_THAT(std::string(built.status().message()), HasSubstr(c.message));
  }
}

TEST(ScenarioFile, ApplicationsAreWrittenBackToo) {
  for (const char* name : {"social_network", "media", "ecommerce", "banking", "hotel"}) {
    SCOPED_TRACE(name);
    const auto app = LoadApplication(std::string(SEER_GRAPHS "/") + name + ".json");
    ASSERT_TRUE(app.ok()) << app.status();
    const std::string json = ApplicationToJson(*app);
    const auto again = ApplicationFromJson(json);
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(ApplicationToJson(*again), json);
    EXPECT_EQ(MeanDemandUs(*again), MeanDemandUs(*app));
    for (std::size_t s = 0; s < app->services.size(); ++s) {
      EXPECT_EQ(again->services[s].model, app->services[s].model);
      EXPECT_EQ(again->services[s].sensitivity, app->services[s].sensitivity);
      EXPECT_EQ(again->services[s].threads, app->services[s].threads);
    }
  }
}

}  // namespace
}  // namespace seer::cluster
