// The figures predict.* of seer's own trained predictor.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "benchmarks/evaluation/score.h"

namespace seer::evaluation {

struct PredictFigure {
  std::string id, unit;
  Metric metric;
};

// Of its score on the test runs. What the runs do not tell is left out.
std::vector<PredictFigure> PredictFigures(const Score& score);

}  // namespace seer::evaluation
