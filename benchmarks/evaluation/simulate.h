// One run of a scenario set, simulated once and kept: what a predictor may see as a dataset, and
// apart from it what only the judge knows.
//
//   SimulateRun(prepared, oracle_options, folder);       // nothing, if it is there already
//   RunFiles files(folder, "test-17");
//   files.ticks         test-17.seerdata                 a predictor may open this one, no other
//   files.truth         test-17.violations.csv           with culprit, cause, kind, onset, unseen
//   files.tails         test-17.tails.csv                tails at half of their target and above
//   files.oracle        test-17.oracle.csv
//   files.range         test-17.run.csv                  from when to when
//
// A run that was killed leaves nothing that looks finished: the truth is renamed into its place
// last.
//
// Threads: runs are independent. Cost: a simulation; see sim/scenario.h and oracle.h.
#pragma once

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "benchmarks/evaluation/oracle.h"
#include "benchmarks/evaluation/rows.h"
#include "benchmarks/evaluation/scenario_set.h"
#include "seer/core/topology.h"
#include "seer/window/cluster_tick.h"

namespace seer::evaluation {

struct RunFiles {
  RunFiles(const std::string& folder, const std::string& run);
  std::string ticks, truth, tails, oracle, range;
  bool done() const;  // all are there
};

absl::Status SimulateRun(const ScenarioSet& set, const PreparedRun& run,
                         const OracleOptions& oracle, const std::string& folder);

// Every tick of a recorded run, which has one topology.
absl::Status ForEachTick(
    const std::string& path,
    const std::function<absl::Status(const ClusterTick&, const Topology&)>& handle);

// Violations, tails and how long was watched, of a finished run.
absl::Status ReadTruth(const RunFiles& files, Recording* recording);

}  // namespace seer::evaluation
