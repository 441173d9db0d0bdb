#include "benchmarks/evaluation/figure.h"

#include "benchmarks/evaluation/report_text.h"

namespace seer::evaluation {

std::string FigureLine(const EvaluationFigure& figure) {
  const Metric& m = figure.metric;
  return "{\"id\": " + JsonString(figure.id) + ", \"value\": " + JsonNumber(m.value) +
         ", \"unit\": " + JsonString(figure.unit) + ", \"low\": " + JsonNumber(m.low) +
         ", \"high\": " + JsonNumber(m.high) + ", \"of\": " + std::to_string(m.of) +
         ", \"peer\": " + JsonString(figure.peer) + ", \"goal\": " + JsonString(figure.goal) + "}";
}

}  // namespace seer::evaluation
