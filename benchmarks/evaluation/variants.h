// Figures and tables of what seer's trained predictor is worth with less (trained_predictor.h), and
// whether its probabilities are what they say.
#pragma once

#include <string>
#include <vector>

#include "absl/types/span.h"
#include "benchmarks/evaluation/predict_figures.h"
#include "benchmarks/evaluation/report.h"
#include "benchmarks/evaluation/score.h"
#include "benchmarks/evaluation/summary.h"

namespace seer::evaluation {

// `comparisons` have those of "seer" with each variant.
std::vector<PredictFigure> VariantFigures(absl::Span<const Judged> variants,
                                          absl::Span<const Comparison> comparisons);

std::vector<Section> VariantSections(const Score& whole, absl::Span<const Judged> variants,
                                     absl::Span<const Comparison> comparisons);

}  // namespace seer::evaluation
