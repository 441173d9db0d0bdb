// A figure as every program of the evaluation writes it: a line of JSON for benchmarks/run.
//
//   file << FigureLine({"oracle.recall", "", {0.9, 0.8, 0.95, 40}, ">= 0.8", ""}) << "\n";
#pragma once

#include <string>

#include "benchmarks/evaluation/score.h"

namespace seer::evaluation {

struct EvaluationFigure {
  std::string id, unit;
  Metric metric;           // where nothing but a value is known: {value, NaN, NaN, 0}
  std::string goal, peer;  // "" where there is none
};

// A line as benchmarks/harness/figures.sh reads it, without its end.
std::string FigureLine(const EvaluationFigure& figure);

}  // namespace seer::evaluation
