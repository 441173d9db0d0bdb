// seer's own trained predictor among the contenders: trained by the library as `seer train` does
// it, on the training runs, with the alarm chosen on the validation runs.
//
//   seer             the model as it is; seer@2, ... of further training seeds
//
// And what it is worth with less, each a contender of its own that stands in tables of its own:
//
//   seer-1s          the same model; its alarm is at the horizon of 1 s, with the highest recall on
//                    the validation runs of those with a precision of 80 %
//   seer-missing30   the same model, where 30 % of the services have no probe (blind.h)
//   seer-nic, -kernel, -app   models of these queues alone, and the classes' latencies
//   seer-unseen-app  a model for each application that has never seen a request class of it
//
// A model that is trained is kept below TrainingData::models: whoever was killed does not train
// again.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "benchmarks/evaluation/contenders.h"
#include "benchmarks/evaluation/scenario_set.h"
#include "seer/predict/tree_trainer.h"

namespace seer::evaluation {

inline constexpr char kTrainedPredictor[] = "seer";

std::vector<Contender> TrainedPredictors(const ScenarioSet& set);

// How it is trained: its options are the library's but for the rate of false alarms.
TreeTrainingOptions TrainedPredictorOptions(const ScenarioSet& set);

// The runs of these names as the library takes them, with the judge's truth as labels.
absl::StatusOr<std::vector<LabelledRun>> LabelledRuns(const std::string& folder,
                                                      const std::vector<std::string>& names);

// The topology with the request classes of one application only, or of all others.
absl::StatusOr<Topology> WithClassesOf(Topology topology, std::string_view application,
                                       bool of_others);

// The model that `seer` is, of the first training seed; trained if it is not there yet.
absl::StatusOr<TreeModel> TheTrainedModel(const ScenarioSet& set, const TrainingData& data);

}  // namespace seer::evaluation
