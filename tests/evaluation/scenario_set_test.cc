#include "benchmarks/evaluation/scenario_set.h"

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "benchmarks/cluster/sim/initiator.h"
#include "benchmarks/cluster/sim/substream.h"
#include "benchmarks/evaluation/csv.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace seer::evaluation {
namespace {

using ::testing::HasSubstr;

constexpr char kScenarios[] = SEER_SOURCE "/benchmarks/evaluation/scenarios/";
constexpr char kGraphs[] = SEER_SOURCE "/benchmarks/cluster/graphs";

ScenarioSet Shipped(const std::string& name) {
  const std::string json = ReadFile(kScenarios + name).value();
  auto set = ParseScenarioSet(name, json);
  EXPECT_TRUE(set.ok()) << set.status();
  return *std::move(set);
}

std::string Error(std::string_view json) {
  return std::string(ParseScenarioSet("set.json", json).status().message());
}

// Of hundreds the first and last few of each set.
std::vector<RunPlan> SomeOf(const std::vector<RunPlan>& plans) {
  std::vector<RunPlan> some;
  for (std::size_t i = 0; i < plans.size(); ++i) {
    const bool edge = i < 2 || i + 2 >= plans.size() || plans[i].set != plans[i - 1].set ||
                      plans[i].set != plans[i + 1].set;
    if (edge) some.push_back(plans[i]);
  }
  return some;
}

TEST(ScenarioSet, WrongFilesAreRefusedWithTheField) {
  EXPECT_EQ(Error(R"({"version": 1, "apps": ["hotel"]})"), "");
  EXPECT_THAT(Error("[]"), HasSubstr("not a JSON object"));
  EXPECT_THAT(Error("{"), HasSubstr("not a JSON object"));
  EXPECT_THAT(Error(R"({"apps": ["hotel"]})"), HasSubstr("version"));
  EXPECT_THAT(Error(R"({"version": 2, "apps": ["hotel"]})"), HasSubstr("version"));
  EXPECT_THAT(Error(R"({"version": 1})"), HasSubstr("apps"));
  EXPECT_THAT(Error(R"({"version": 1, "apps": ["hotel"], "raet": 1})"),
              HasSubstr("set.json: raet: there is no such field"));
  EXPECT_THAT(Error(R"({"version": 1, "apps": ["hotel"], "train": {"runs": 0}})"),
              HasSubstr("train.runs: give a number from 1"));
  EXPECT_THAT(Error(R"({"version": 1, "apps": ["hotel"], "train": {"runs": 1.5}})"),
              HasSubstr("train.runs: give a whole number"));
  EXPECT_THAT(Error(R"({"version": 1, "apps": ["hotel"], "test": 3})"), HasSubstr("test: "));
  EXPECT_THAT(Error(R"({"version": 1, "apps": [1]})"), HasSubstr("apps: "));
  EXPECT_THAT(Error(R"({"version": 1, "apps": ["hotel"], "oracle": {"leads_ms": [150]}})"),
              HasSubstr("multiples of tick_ms"));
  EXPECT_THAT(Error(R"({"version": 1, "apps": ["hotel"], "held_out": {"causes": ["rain"]}})"),
              HasSubstr("'rain'"));
}

// What is shipped: no run, placement, seed, load or schedule of faults in two sets.
TEST(ScenarioSet, SetsOfTheShippedFilesShareNothing) {
  for (const char* name : {"quick.json", "full.json", "tiny.json", "loop.json", "loop2.json"}) {
    SCOPED_TRACE(name);
    const ScenarioSet set = Shipped(name);
    std::vector<SplitRow> rows;
    std::vector<RunPlan> plans = RunsOf(set);
    EXPECT_EQ(plans.size(), set.train.runs + set.validation.runs + set.test.runs);
    for (const RunPlan& plan : SomeOf(plans)) {  // seeds of all
      auto run = Prepare(set, plan, kGraphs);
      ASSERT_TRUE(run.ok()) << run.status();
      rows.push_back(run->split);
    }
    EXPECT_TRUE(CheckSplits(rows).ok()) << CheckSplits(rows);
    std::vector<std::uint64_t> seeds;
    for (const RunPlan& plan : plans) seeds.push_back(plan.seed);
    std::sort(seeds.begin(), seeds.end());
    EXPECT_EQ(std::adjacent_find(seeds.begin(), seeds.end()), seeds.end());
  }
}

// A model of quick's training runs may serve in the loop's test runs, which nobody else has.
TEST(ScenarioSet, TheLoopsTestRunsAreNobodyElses) {
  const ScenarioSet quick = Shipped("quick.json");
  std::vector<std::uint64_t> taken;
  for (const char* name :
       {"quick.json", "full.json", "tiny.json", "social.json", "social-three-tier.json"}) {
    for (const RunPlan& plan : RunsOf(Shipped(name))) taken.push_back(plan.seed);
  }
  std::vector<std::uint64_t> tests;
  for (const char* name : {"loop.json", "loop2.json"}) {
    SCOPED_TRACE(name);
    const ScenarioSet loop = Shipped(name);
    for (const RunPlan& plan : RunsOf(loop)) {
      const bool is_test = plan.set == "test";
      EXPECT_EQ(std::count(taken.begin(), taken.end(), plan.seed), is_test ? 0 : 1) << plan.name;
      if (is_test) tests.push_back(plan.seed);
    }
    EXPECT_EQ(loop.training.rounds, quick.training.rounds);
    EXPECT_EQ(loop.culprits, quick.culprits);
    EXPECT_EQ(loop.causes, quick.causes);
  }
  EXPECT_EQ(std::set<std::uint64_t>(tests.begin(), tests.end()).size(), 14u);
}

TEST(ScenarioSet, ASeedInTwoSetsIsFound) {
  ScenarioSet set = Shipped("tiny.json");
  set.test.first_seed = set.train.first_seed;
  std::vector<SplitRow> rows;
  for (const RunPlan& plan : RunsOf(set)) rows.push_back(Prepare(set, plan, kGraphs)->split);
  const std::string message(CheckSplits(rows).message());
  EXPECT_THAT(message, HasSubstr("seed '"));
  EXPECT_THAT(message, HasSubstr("placement '"));
}

TEST(ScenarioSet, WhatIsHeldOutOccursInTheTestAlone) {
  ScenarioSet set = Shipped("tiny.json");
  ASSERT_FALSE(set.culprits.empty());
  ASSERT_FALSE(set.causes.empty());
  int seen[2] = {0, 0};
  for (const std::string name : {"train", "test"}) {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
      const auto run = Prepare(set, {name, name + std::to_string(seed), seed, 60}, kGraphs);
      ASSERT_TRUE(run.ok()) << run.status();
      for (const cluster::Fault& fault : run->scenario.simulator.faults) {
        const bool culprit =
            fault.service != cluster::kNone &&
            run->model->topology.service(ServiceId(fault.service)).name == set.culprits[0];
        const bool cause = cluster::FaultKindName(fault.kind) == set.causes[0];
        // Nor a fault that hits it among others.
        const auto hit = cluster::SiteOf(*run->model, fault).services;
        const bool near = std::any_of(hit.begin(), hit.end(), [&](std::uint32_t service) {
          return run->model->topology.service(ServiceId(service)).name == set.culprits[0];
        });
        seen[name == "test"] += culprit || cause || near;
      }
    }
  }
  EXPECT_EQ(seen[0], 0);
  EXPECT_GT(seen[1], 20);
}

// Whoever changes what a frozen set is made of, its file, the graphs, or how placement, load and
// faults are drawn, makes another edition of it: another number and day in the file, and here.
TEST(ScenarioSet, FrozenSetsAreAsTheyWereFrozen) {
  struct Frozen {
    const char* file;
    std::uint32_t edition;
    const char* day;
    std::uint64_t digest;
  };
  for (const Frozen& frozen : {Frozen{"quick.json", 2, "2026-11-21", 1377819189943858384u},
                               Frozen{"full.json", 2, "2026-11-21", 780320040638529310u},
                               Frozen{"loop.json", 1, "2026-11-22", 3084138502287728869u},
                               Frozen{"loop2.json", 1, "2026-11-22", 2953018498040933438u}}) {
    SCOPED_TRACE(frozen.file);
    const ScenarioSet set = Shipped(frozen.file);
    EXPECT_EQ(set.edition, frozen.edition);
    EXPECT_EQ(set.frozen, frozen.day);
    std::uint64_t digest = 1;
    for (const RunPlan& plan : SomeOf(RunsOf(set))) {
      const auto run = Prepare(set, plan, kGraphs);
      ASSERT_TRUE(run.ok()) << run.status();
      for (const auto& [trait, value] : run->split.traits) {
        digest = cluster::Sub(digest, cluster::KeyOf(value));
      }
    }
    EXPECT_EQ(digest, frozen.digest);
  }
}

// Runs are kept by their set, whatever becomes of the simulator's sources: so what a frozen set's
// runs are is frozen too. Whoever changes it makes another edition of quick and full.
TEST(ScenarioSet, RunsOfTheEditionAreAsTheyWere) {
  ScenarioSet set = Shipped("quick.json");
  set.test.severe_per_hour = 1000;  // something of everything in little time
  set.test.harmless_per_hour = 400;
  std::uint64_t digest = 1;
  const auto add = [&](std::uint64_t value) { digest = cluster::Sub(digest, value); };
  const auto run = Prepare(set, {"test", "run", 3101, 2}, kGraphs);
  ASSERT_TRUE(run.ok()) << run.status();
  const std::size_t faults = run->scenario.simulator.faults.size();
  const auto truth = cluster::RunScenario(run->model, run->scenario, [&](const ClusterTick& tick) {
    for (const ClassTick& c : tick.classes) {
      for (const std::uint64_t value :
           {c.count, c.over_target, static_cast<std::uint64_t>(c.oldest_open_ns),
            static_cast<std::uint64_t>(c.latency.Quantile(0.99))}) {
        add(value);
      }
    }
    for (const Channel channel : kAllChannels) {
      for (const float depth : tick.services.depths(channel)) {
        add(static_cast<std::uint64_t>(depth));
      }
    }
    for (const std::uint32_t made : tick.edges.made()) add(made);
  });
  for (const cluster::TruthRow& row : truth) {
    add(static_cast<std::uint64_t>(row.violation.start_ns));
    add(static_cast<std::uint64_t>(row.violation.end_ns));
    add(row.violation.culprit.valid() ? row.violation.culprit.value() : 1'000'000);
    add(static_cast<std::uint64_t>(row.fault + 1));
    add(cluster::KeyOf(row.cause + row.reason));
  }
  EXPECT_GE(faults, 5u);
  EXPECT_GE(truth.size(), 3u);
  EXPECT_EQ(digest, 11658459442244838159u);
}

TEST(ScenarioSet, WhatDecidesTheRunsAndWhatDoesNot) {
  const ScenarioSet set = Shipped("quick.json");
  const std::string digest = RunsDigest(set, kGraphs).value();
  ScenarioSet same = set;
  same.training.seeds = 7;
  same.training.rounds = 3;
  same.false_alarms_per_hour = 1;
  same.horizon_ms = 200;
  EXPECT_EQ(RunsDigest(same, kGraphs).value(), digest)
      << "it is made of the runs, or asked of them";
  const std::vector<void (*)(ScenarioSet*)> changes = {
      [](ScenarioSet* s) { ++s->edition; },
      [](ScenarioSet* s) { s->apps.pop_back(); },
      [](ScenarioSet* s) { s->apps[0] += "@monolith"; },
      [](ScenarioSet* s) { ++s->servers; },
      [](ScenarioSet* s) { s->containers = 386; },
      [](ScenarioSet* s) { s->rate += 0.5; },
      [](ScenarioSet* s) { s->diurnal = 0; },
      [](ScenarioSet* s) { s->tick_ms = 200; },
      [](ScenarioSet* s) { s->culprits.pop_back(); },
      [](ScenarioSet* s) { s->causes.clear(); },
      [](ScenarioSet* s) { ++s->validation.runs; },
      [](ScenarioSet* s) { s->test.minutes = 11; },
      [](ScenarioSet* s) { ++s->train.first_seed; },
      [](ScenarioSet* s) { s->test.service_time_spread = 0; },
      [](ScenarioSet* s) { s->train.held_out = true; },
      [](ScenarioSet* s) { ++s->oracle.futures; },
      [](ScenarioSet* s) { s->oracle.leads_ms.pop_back(); }};
  for (std::size_t i = 0; i < changes.size(); ++i) {
    ScenarioSet other = set;
    changes[i](&other);
    EXPECT_NE(RunsDigest(other, kGraphs).value(), digest) << i;
  }
}

TEST(ScenarioSet, AnApplicationMayBeAMonolithOrThreeTiersOfTheSameWork) {
  EXPECT_THAT(Error(R"({"version": 1, "apps": ["hotel@two-tier"]})"), HasSubstr("hotel@two-tier"));
  std::vector<std::size_t> services;
  for (const char* file : {"social.json", "social-three-tier.json", "social-monolith.json"}) {
    const ScenarioSet set = Shipped(file);
    const auto run = Prepare(set, RunsOf(set).back(), kGraphs);
    ASSERT_TRUE(run.ok()) << run.status();
    services.push_back(run->model->services.size());
    EXPECT_FALSE(run->scenario.simulator.faults.empty());
    EXPECT_EQ(run->model->topology.classes().size(), 9u);
  }
  EXPECT_EQ(services[1], 3u);
  EXPECT_EQ(services[2], 2u);
  EXPECT_GE(services[0], 36u);
}

TEST(ScenarioSet, TheTestsServiceTimesAreOthersAndAllOfARunHangsOnItsSeed) {
  ScenarioSet set = Shipped("tiny.json");
  const auto prepare = [&](const char* name, std::uint64_t seed) {
    return Prepare(set, {name, "run", seed, 2}, kGraphs).value();
  };
  const PreparedRun train = prepare("train", 1), test = prepare("test", 1);
  const PreparedRun again = prepare("test", 1), other = prepare("test", 2);
  EXPECT_EQ(again.split.traits, test.split.traits);
  for (std::size_t i = 0; i < test.split.traits.size(); ++i) {
    EXPECT_NE(other.split.traits[i], test.split.traits[i]) << test.split.traits[i].first;
  }
  const double most = 1 + set.test.service_time_spread;
  int changed = 0;
  for (std::size_t s = 0; s < train.model->services.size(); ++s) {
    const double factor = test.model->services[s].spec.mean_service_us /
                          train.model->services[s].spec.mean_service_us;
    EXPECT_LE(factor, most * 1.000001);
    EXPECT_GE(factor, 1 / most * 0.999999);
    changed += factor > 1.01 || factor < 0.99;
  }
  EXPECT_GT(changed, static_cast<int>(train.model->services.size()) / 2);
}

}  // namespace
}  // namespace seer::evaluation
