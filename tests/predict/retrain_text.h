// What tests of retrainers, of networks and of trees, have in common.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "seer/predict/retrainer.h"

namespace seer::testing {

// All the work that there is now.
inline void StepAll(Retrainer* retrainer, std::int64_t now_ns) {
  for (bool more = true; more;) {
    const auto step = retrainer->Step(now_ns);
    ASSERT_TRUE(step.ok()) << step.status();
    more = *step;
  }
}

// For people.
inline std::string Text(const std::vector<RetrainDecision>& decisions) {
  std::string text;
  for (const RetrainDecision& each : decisions) {
    text += std::string(RetrainStageName(each.stage)) + (each.replaced ? " yes " : " no: ") +
            each.reason + " " + std::to_string(each.serving_loss) + " " +
            std::to_string(each.candidate_loss) + " of " + std::to_string(each.held_back_ahead) +
            "/" + std::to_string(each.held_back) + "\n";
  }
  return text;
}

}  // namespace seer::testing
