// A whole evaluation: simulates the runs of a scenario set, trains, chooses thresholds on the
// validation runs, asks every contender about the test runs, and scores.
//
//   EvaluationOptions options;
//   options.scenarios = "benchmarks/evaluation/scenarios/quick.json";
//   options.graphs = "benchmarks/cluster/graphs";
//   options.folder = "build/evaluation";
//   absl::StatusOr<Evaluation> done = Evaluate(options);
//
// What is finished is kept below the folder, and a call that was killed goes on where it was:
//
//   runs-*        by what decides them of the scenario set, and the graphs (RunsDigest): neither
//                 another predictor nor another version of anything makes them anew
//   forecasts-*   of seer's own predictor, and its models: by the runs, what else the set says of
//                 training and thresholds, and `version`
//   rivals-*      of all others: so too, by `rivals_version`
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
#include "benchmarks/evaluation/figure.h"
#include "benchmarks/evaluation/report.h"
#include "benchmarks/evaluation/scenario_set.h"

namespace seer::evaluation {

// Each needs those before it.
enum class Stage : std::uint8_t { kRuns, kModels, kForecasts, kScores };
inline constexpr std::string_view kStageNames[] = {"runs", "models", "forecasts", "scores"};

struct EvaluationOptions {
  std::string scenarios;  // file
  std::string graphs;     // folder
  std::string folder;     // made where it is not there
  std::string runs;       // folder of the runs; empty: below `folder`
  // Of seer's predictor, and of the rivals: forecasts of other versions are not used.
  std::string version = "0", rivals_version = "0";
  Stage until = Stage::kScores;  // before it nothing is reported
  // Each application as one, instead of each request class for itself (by_application.h).
  bool per_application = false;
  std::size_t jobs = 2;
  std::vector<std::pair<std::string, std::string>> forecasts;  // name, CSV file: judged too
  // A folder with recordings of BuzzBlog (recordings.h); empty: none is looked at.
  std::string recordings;
  std::vector<std::string> only;              // contenders of these names; empty: all
  std::function<void(std::string_view)> say;  // progress
};

struct Evaluation {
  Report report;  // with Stage::kScores
  std::vector<EvaluationFigure> figures;
  std::string runs_folder;  // RunFiles; truth of the test runs together: violations.csv, ...
};

absl::StatusOr<Evaluation> Evaluate(const EvaluationOptions& options);

}  // namespace seer::evaluation
