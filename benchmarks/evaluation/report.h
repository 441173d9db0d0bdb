// A score for people and for programs. The same score gives the same bytes.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/types/span.h"
#include "benchmarks/evaluation/score.h"

namespace seer::evaluation {

// A table that compares the predictors, with plots below it (HTML only).
struct Section {
  std::string title;
  std::string text;
  std::vector<std::vector<std::string>> table;  // rows of cells; the first is the header
  std::vector<std::string> plots;               // SVG documents
};

struct Report {
  std::string title = "Forecasts";
  std::vector<std::string> notes;  // where the data came from, what was left out
  std::vector<Section> sections;   // stand before everything else
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

// "0.93 [0.88, 0.96]", or "-".
std::string MetricText(const Metric& metric);

// Plots, as SVG documents: recall against precision of all scores; p_violation against frequency,
// and the leads of the hits, of one.
std::string PrSvg(absl::Span<const Score> scores);
std::string ReliabilitySvg(const Score& score);
std::string LeadSvg(const Score& score);

// Several predictors in one plot, each with a line, dots at its working points, and its name
// beside.
struct CurvePoint {
  double x, y;
};
struct Curve {
  std::string name;
  std::vector<CurvePoint> points, marks;
};
std::string CurvesSvg(std::string_view title, std::string_view x, std::string_view y, double x_most,
                      absl::Span<const Curve> curves);
// Recall (y) against false alarms an hour (x, logarithmic from 0.1 to 10000).
std::string TradeOffSvg(absl::Span<const Curve> curves);
// For each group as many bars, 0 to 1, as there are names; NaN: none.
struct BarGroup {
  std::string name;
  std::vector<double> values;
};
std::string BarsSvg(std::string_view title, absl::Span<const std::string> names,
                    absl::Span<const BarGroup> groups);

}  // namespace seer::evaluation
