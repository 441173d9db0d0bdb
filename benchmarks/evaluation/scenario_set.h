// A scenario set: which runs an evaluation is made of, frozen in a file before anything is tuned.
//
//   auto set = ParseScenarioSet("scenarios/full.json", bytes);
//   for (const RunPlan& plan : RunsOf(*set)) {
//     auto run = Prepare(*set, plan, graphs_folder);          // model, load, faults
//     rows.push_back(run->split);
//   }
//   absl::Status apart = CheckSplits(rows);
//
// A run's seed decides its placement, its load and its faults. Of the sets with "held_out": false
// all faults of the culprits and kinds that are held out are taken away: what is learnt there never
// met them. "service_time_spread" s: each service takes between 1 / (1 + s) and 1 + s times as long
// as its file says, drawn anew for each run, the calls' own times included.
//
// An application is the name of a graph; "social_network@monolith" and "social_network@three-tier"
// do the same work as one process or three tiers (the paper's Fig. 2; sim/application.h).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "benchmarks/cluster/sim/scenario.h"
#include "benchmarks/evaluation/splits.h"

namespace seer::evaluation {

struct SetPlan {
  std::uint32_t runs = 1;
  double minutes = 10;
  std::uint64_t first_seed = 1;  // of the first run; the next one's is one more
  double severe_per_hour = 14;
  double harmless_per_hour = 8;
  bool held_out = true;  // what is held out occurs
  double service_time_spread = 0;
};

struct OraclePlan {
  std::uint32_t futures = 32;
  std::uint32_t violations = 200;  // of the test set, the first of each run
  std::uint32_t quiet_ticks = 200;
  std::vector<std::int64_t> leads_ms = {100, 300, 1000};  // at which it looks, before a violation
  std::int64_t horizon_ms = 2000;                         // how far it looks
};

struct TrainingPlan {
  std::uint32_t seeds = 1;
  std::uint32_t stride = 10;        // of the quiet ticks every so many are learnt from
  std::uint32_t joint_stride = 50;  // so for the joint trees
  int rounds = 100;
  int depth = 5;
  // Of the test runs so many, the first ones, are shown to the variants of seer's own predictor and
  // to further training seeds; 0: all. They are compared with the others on these runs.
  std::uint32_t variant_runs = 0;
};

struct ScenarioSet {
  std::uint32_t edition = 1;  // of the set: one more when anything that it decides changes
  std::string frozen;         // the day from which on it is not changed
  std::string name;
  std::vector<std::string> apps;
  std::uint32_t servers = 20;
  std::uint32_t containers = 0;  // replicas until there are so many; 0: as in the files
  double rate = 1000;            // of each application, per second
  double rate_spread = 0;        // each application's is between 1 - s and 1 + s times that
  double diurnal = 0;            // amplitude; an hour long, the phase drawn
  std::int64_t tick_ms = 100;
  std::int64_t horizon_ms = 300;      // of the forecasts
  double false_alarms_per_hour = 1;   // besides near misses: what thresholds are chosen for
  std::vector<std::string> culprits;  // held out: "application/service"
  std::vector<std::string> causes;    // held out: kinds of faults
  SetPlan train, validation, test;
  TrainingPlan training;
  OraclePlan oracle;
};

// InvalidArgument with the file and the field; unknown fields are errors.
absl::StatusOr<ScenarioSet> ParseScenarioSet(std::string_view file, std::string_view json);

struct RunPlan {
  std::string set;   // "train", "validation", "test"
  std::string name;  // "test-17"
  std::uint64_t seed = 0;
  double minutes = 0;
};
// In this order: train, validation, test.
std::vector<RunPlan> RunsOf(const ScenarioSet& set);

// Of all that decides what the runs are: the set but for what is trained on them and asked of them,
// and the graphs' files. Not of the simulator: that it gives the runs of an edition byte by byte is
// for a test to see (RunsOfTheEdition), so that runs of hours are not lost to a comment.
absl::StatusOr<std::string> RunsDigest(const ScenarioSet& set, const std::string& graphs);

struct PreparedRun {
  RunPlan plan;
  std::shared_ptr<const cluster::Model> model;
  cluster::ScenarioOptions scenario;
  SplitRow split;  // with digests of placement, load and faults
};
absl::StatusOr<PreparedRun> Prepare(const ScenarioSet& set, const RunPlan& plan,
                                    const std::string& graphs);

}  // namespace seer::evaluation
