// seer's own trained predictor among the contenders: trained by the library as `seer train` does
// it, on the training runs, with the alarm chosen on the validation runs.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "benchmarks/evaluation/contenders.h"
#include "benchmarks/evaluation/scenario_set.h"
#include "seer/predict/tree_trainer.h"

namespace seer::evaluation {

inline constexpr char kTrainedPredictor[] = "seer";

Contender TrainedPredictor(const ScenarioSet& set);

// How it is trained: its options are the library's but for the rate of false alarms.
TreeTrainingOptions TrainedPredictorOptions(const ScenarioSet& set);

// The runs of these names as the library takes them, with the judge's truth as labels.
absl::StatusOr<std::vector<LabelledRun>> LabelledRuns(const std::string& folder,
                                                      const std::vector<std::string>& names);

}  // namespace seer::evaluation
