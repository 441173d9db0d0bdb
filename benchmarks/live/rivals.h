// How the predictors that need no training would have done on what was recorded while seer watched.
#pragma once

#include <string>
#include <vector>

namespace seer::bench {

struct RivalScore {
  std::string name;  // empty: there is nothing to foresee
  double recall = 0, precision = 0, culprit = 0, false_alarms_per_hour = 0;
  double f1() const {
    return recall + precision > 0 ? 2 * recall * precision / (recall + precision) : 0;
  }
};

// The one with the largest F1 of all, over the runs "watch" of these recordings; each has the
// threshold that it has by itself, as nothing was there to choose one by.
RivalScore BestRival(const std::vector<std::string>& recordings);

}  // namespace seer::bench
