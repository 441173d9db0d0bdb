#include "predict/judged_score.h"

#include <cmath>

#include "absl/strings/str_format.h"
#include "predict/tree_bins.h"

SEER_BEGIN_NAMESPACE
namespace internal {

double AreaUnderCurve(std::vector<float> ahead, std::vector<float> calm) {
  if (ahead.empty() || calm.empty()) return 0.5;
  SortFloats(&ahead);
  SortFloats(&calm);
  double won = 0;
  std::size_t below = 0, not_above = 0;
  for (const float one : ahead) {
    while (below < calm.size() && calm[below] < one) ++below;
    while (not_above < calm.size() && calm[not_above] <= one) ++not_above;
    won += static_cast<double>(below + not_above) / 2;
  }
  return won / (static_cast<double>(ahead.size()) * static_cast<double>(calm.size()));
}

std::string WhyBlinder(const JudgedScore& serving, const JudgedScore& candidate,
                       std::size_t fewest) {
  if (candidate.violations < fewest) {
    return absl::StrFormat("%d held-back violations: %d are needed", candidate.violations, fewest);
  }
  if (candidate.calm == 0) return "nothing held back without a violation ahead";
  // Chance gives 0.5, with a deviation of 1 / sqrt(12 n).
  const double chance = 0.5 + 2.5 / std::sqrt(12.0 * static_cast<double>(candidate.violations));
  if (candidate.auc < chance) {
    return absl::StrFormat(
        "the labels say nothing: area under the curve %.2f, chance gives up to %.2f with %d "
        "violations",
        candidate.auc, chance, candidate.violations);
  }
  if (candidate.auc < serving.auc - 0.005) {
    return absl::StrFormat("area under the curve %.3f, was %.3f", candidate.auc, serving.auc);
  }
  if (candidate.culprits < serving.culprits - 0.02) {
    return absl::StrFormat("culprits right in %.1f %%, was %.1f %%", 100 * candidate.culprits,
                           100 * serving.culprits);
  }
  return "";
}

}  // namespace internal
SEER_END_NAMESPACE
