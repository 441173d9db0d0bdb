// What is asked of every model that was judged on held-back time, a network or trees. Private to
// the retrainer (include/seer/predict/retrainer.h).
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE
namespace internal {

struct JudgedScore {
  std::size_t ahead = 0, calm = 0;  // moments with and without a violation ahead
  std::size_t violations = 0;       // that were held back
  double auc = 0.5;                 // P(a moment of the first kind looks more like one)
  double culprits = 0;              // where somebody is blamed: how often the right one
};

// Of how much those of both kinds look like the first: Mann and Whitney; half of those that look
// alike. Where there are none of a kind 0.5.
double AreaUnderCurve(std::vector<float> ahead, std::vector<float> calm);

// Empty: there is enough to judge by, the labels mean something, and the candidate is no worse at
// telling the two kinds apart and at naming who initiates. Else why not.
std::string WhyBlinder(const JudgedScore& serving, const JudgedScore& candidate,
                       std::size_t fewest);

}  // namespace internal
SEER_END_NAMESPACE
