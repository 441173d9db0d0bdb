// The trained rivals: a model with weights shared by all services says of each whether it initiates
// a violation within the horizon; P(violation) is that of the likeliest, and the blame goes by
// shares.
//
//   TrainingRows rows(horizon_ms);
//   for (run of the training set) rows.Add(run, violations);     // RecordedRun, with culprits
//   auto model = LogisticRegression::Fit(rows.data());
//   auto rival = MakeTrainedRival("logistic", EachRow([model](auto row) { ... }), horizon_ms, 0.5);
//
// "load" is a service more: its row are the features of the class's entry, marked as such.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "benchmarks/evaluation/features.h"
#include "benchmarks/evaluation/logistic.h"
#include "benchmarks/evaluation/replay.h"
#include "seer/predict/alarm.h"
#include "seer/predict/tick_predictor.h"

namespace seer::evaluation {

// A service's features, and one that is 1 in the row that stands for "load".
inline constexpr std::size_t kTrainedColumns = ServiceFeatures::kCount + 1;

class TrainingRows {
 public:
  // Of ticks in which nothing starts within the horizon, every `stride`-th is taken, and weighs as
  // many: that the few which matter are not drowned, and the probabilities stay those of the run.
  explicit TrainingRows(std::int64_t horizon_ms, std::size_t stride = 10)
      : horizon_ms_(horizon_ms), stride_(stride) {}

  // `violations` of the run. Ticks within one teach nothing, nor do those before one without
  // culprit.
  void Add(const RecordedRun& run, const std::vector<ViolationRow>& violations);
  // The same tick by tick: Begin() of each run, then all its ticks in order. `quiet` is how many
  // quiet ticks were passed over before, so that other seeds take other ones.
  void Begin(std::size_t quiet = 0);
  void Observe(const ClusterTick& tick, const Topology& topology,
               const std::vector<ViolationRow>& violations);
  // With others that are shown the same ticks.
  void Share(std::shared_ptr<SharedFeatures> features) { shared_ = std::move(features); }
  const LabelledRows& data() const { return data_; }

 private:
  std::int64_t horizon_ms_;
  std::size_t stride_;
  std::size_t quiet_ = 0;
  std::shared_ptr<SharedFeatures> shared_ = std::make_shared<SharedFeatures>();
  std::vector<float> row_;
  LabelledRows data_;
};

// Of rows of kTrainedColumns values, one behind the other, the probability of each.
using ServiceModel = std::function<void(absl::Span<const float> rows, absl::Span<double> p)>;
// Of a function of one row.
ServiceModel EachRow(std::function<double(absl::Span<const float> row)> model);

// `threshold` of P(violation), above 0 and below 1.
std::unique_ptr<TickPredictor> MakeTrainedRival(std::string name, ServiceModel model,
                                                std::int64_t horizon_ms, double threshold,
                                                const AlarmOptions& alarm = {});

}  // namespace seer::evaluation
