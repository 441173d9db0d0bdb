#include "predict/judged_score.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"

SEER_BEGIN_NAMESPACE
namespace internal {

double AreaUnderCurve(std::vector<std::pair<double, bool>> said) {
  std::sort(said.begin(), said.end());
  double ranks = 0, ahead = 0;
  for (std::size_t i = 0; i < said.size();) {
    std::size_t end = i, of_these = 0;
    while (end < said.size() && said[end].first == said[i].first) {
      of_these += said[end++].second ? 1 : 0;
    }
    ranks += static_cast<double>(of_these) * (static_cast<double>(i + end) + 1) / 2;
    ahead += static_cast<double>(of_these);
    i = end;
  }
  const double calm = static_cast<double>(said.size()) - ahead;
  if (!(ahead > 0) || !(calm > 0)) return 0.5;
  return (ranks - ahead * (ahead + 1) / 2) / (ahead * calm);
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
