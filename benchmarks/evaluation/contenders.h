// Who is judged. A predictor joins with one line in AllContenders().
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "benchmarks/evaluation/fit.h"
#include "benchmarks/evaluation/joint.h"
#include "benchmarks/evaluation/logistic.h"
#include "benchmarks/evaluation/scenario_set.h"
#include "seer/predict/rivals.h"
#include "seer/predict/tick_predictor.h"

namespace seer::evaluation {

// What a trained contender may look at.
struct TrainingData {
  std::string folder;  // of the runs: RunFiles(folder, name)
  std::string models;  // a folder for models that were trained; empty: none is kept
  std::vector<std::string> train, validation;  // names of runs
  std::int64_t horizon_ms = 300;
  TrainingPlan plan;
  std::vector<LabelledRows> shared;  // of all services, by training seed
  JointRows joint{300, 1};
};

// A new predictor with this threshold of its score; with Scale::kOwn the threshold means nothing.
using MakePredictor = std::function<absl::StatusOr<std::unique_ptr<TickPredictor>>(double)>;

struct Contender {
  std::string name;  // "self-depth-z", "trees", "trees@2" of the second training seed
  Scale scale = Scale::kOwn;
  double probe = 1;      // the threshold at which it is asked on the validation runs
  double usual = 0;      // kRatio4: where nothing is known better
  bool trained = false;  // needs TrainingData
  bool rows = false;     // and what is collected there: `shared` and `joint`
  std::string form_of;   // another form of that contender: the better on validation is judged
  bool variant = false;  // of seer's own predictor: it stands in tables of its own
  int models = 0;        // that are trained for it, and not for another one: what takes long
  std::int64_t horizon_ms = 0;  // whose probability is judged; 0: the scenario set's
  // Above 0: instead of a rate of false alarms the threshold keeps to this precision.
  double least_precision = 0;
  // Unimplemented: not in this build; it is left out and the report says so.
  std::function<absl::StatusOr<MakePredictor>(const TrainingData*)> prepare;
};

// `workers`: of the services, as their operators know them.
std::vector<Contender> AllContenders(const ScenarioSet& set,
                                     const std::vector<ServiceWorkers>& workers = {});

// As whoever set the pools up knows them; an event loop has none.
std::vector<ServiceWorkers> WorkersOf(const cluster::Model& model);

// Alarms at random, so many an hour over all classes.
Contender RandomContender(const ScenarioSet& set, double alarms_per_hour);

// Of all training runs, in their order.
absl::Status CollectTrainingData(const ScenarioSet& set, std::size_t jobs, TrainingData* data);

// Calls handle(0) to handle(count - 1) from so many threads; the first error by index.
absl::Status ForEachInParallel(std::size_t jobs, std::size_t count,
                               const std::function<absl::Status(std::size_t)>& handle);

}  // namespace seer::evaluation
