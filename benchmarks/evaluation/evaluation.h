// A whole evaluation: simulates the runs of a scenario set, trains, chooses thresholds on the
// validation runs, asks every contender about the test runs, and scores.
//
//   EvaluationOptions options;
//   options.scenarios = "benchmarks/evaluation/scenarios/quick.json";
//   options.graphs = "benchmarks/cluster/graphs";
//   options.folder = "build/evaluation";
//   absl::StatusOr<Evaluation> done = Evaluate(options);
//
// What is finished is kept below the folder, the runs by scenario set and version of the simulator,
// the forecasts by these and the version of the predictors: a call that was killed goes on where it
// was, and one for a new predictor simulates nothing.
//
// The same scenario set gives the same report, byte by byte, whatever the number of jobs and
// whatever was there already.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "benchmarks/evaluation/contenders.h"
#include "benchmarks/evaluation/report.h"
#include "benchmarks/evaluation/scenario_set.h"

namespace seer::evaluation {

struct EvaluationOptions {
  std::string scenarios;  // file
  std::string graphs;     // folder
  std::string folder;     // made where it is not there
  // Of the simulator, and of everything: runs and forecasts of other versions are not used.
  std::string runs_version = "0", version = "0";
  // Each application as one, instead of each request class for itself (by_application.h).
  bool per_application = false;
  std::size_t jobs = 2;
  std::vector<std::pair<std::string, std::string>> forecasts;  // name, CSV file: judged too
  // A folder with recordings of BuzzBlog (recordings.h); empty: none is looked at.
  std::string recordings;
  std::vector<std::string> only;              // contenders of these names; empty: all
  std::function<void(std::string_view)> say;  // progress
};

struct EvaluationFigure {
  std::string id, unit;
  Metric metric;
};

struct Evaluation {
  Report report;
  std::vector<EvaluationFigure> figures;
  std::string runs_folder;  // RunFiles; truth of the test runs together: violations.csv, ...
};

absl::StatusOr<Evaluation> Evaluate(const EvaluationOptions& options);

// A line as benchmarks/run reads it.
std::string FigureLine(const EvaluationFigure& figure);

}  // namespace seer::evaluation
