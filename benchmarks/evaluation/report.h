// A score for people and for programs. The same score gives the same bytes.
#pragma once

#include <string>
#include <vector>

#include "absl/types/span.h"
#include "benchmarks/evaluation/score.h"

namespace seer::evaluation {

struct Report {
  std::string title = "Forecasts";
  std::vector<std::string> notes;  // where the data came from, what was left out
  std::vector<Score> scores;
  std::vector<Comparison> comparisons;
};

// {"title", "notes": [], "predictors": [{"name", "metrics": {id: {"value", "low", "high", "of"}},
// "counts", "groups", "pr", "calibration", "violations"}], "comparisons": []}; null for what is no
// number.
std::string ToJson(const Report& report);
std::string ToText(const Report& report);  // a table, predictors as columns
std::string ToMarkdown(const Report& report);
std::string ToHtml(const Report& report);  // one file, the plots inside

// Plots, as SVG documents: recall against precision of all scores; p_violation against frequency,
// and the leads of the hits, of one.
std::string PrSvg(absl::Span<const Score> scores);
std::string ReliabilitySvg(const Score& score);
std::string LeadSvg(const Score& score);

}  // namespace seer::evaluation
