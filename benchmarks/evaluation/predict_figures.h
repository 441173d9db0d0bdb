// The figures predict.* of seer's own trained predictor.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "benchmarks/evaluation/score.h"

namespace seer::evaluation {

struct PredictFigure {
  std::string id, unit;
  Metric metric;
};

// What an issue asks of it, as text; empty where nothing is.
std::string GoalOf(std::string_view id);

// The share of the violations with this value in a column that were hit; "cause" is one, too.
Metric RecallWhere(const Score& score, std::string_view column, std::string_view value);

// Of its score on the test runs. What the runs do not tell is left out.
std::vector<PredictFigure> PredictFigures(const Score& score);

// Of a rival of this name: "rival.self_depth_z.recall", ...
std::vector<PredictFigure> RivalFigures(std::string_view name, const Score& score);

}  // namespace seer::evaluation
