// The other way to use boosted trees: one model for each application that sees the features of all
// its services side by side, as a network with a fixed number of inputs does. It knows its services
// by their places; a culprit that no violation of the training runs had, it cannot name.
//
//   JointRows rows(horizon_ms, 50);
//   for (run of the training set) for (tick) rows.Observe(tick, topology, violations);
//   auto model = TrainJoint(rows, TreeOptions());             // Unimplemented without XGBoost
//   auto rival = MakeJointRival("trees-joint", *model, horizon_ms, threshold);
//
// All runs have the same topology.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "benchmarks/evaluation/features.h"
#include "benchmarks/evaluation/logistic.h"
#include "benchmarks/evaluation/rows.h"
#include "benchmarks/evaluation/trees.h"
#include "seer/predict/alarm.h"
#include "seer/predict/tick_predictor.h"

namespace seer::evaluation {

// An application: its services' features, and which of its classes is asked about.
struct JointPart {
  std::vector<std::uint32_t> services, classes;
  LabelledRows alarms;                // a row for each class: whether it will violate
  LabelledRows blames;                // a row for each tick before a violation; without labels
  std::vector<std::string> culprits;  // of the rows of `blames`
};

class JointRows {
 public:
  JointRows(std::int64_t horizon_ms, std::size_t stride)
      : horizon_ms_(horizon_ms), stride_(stride) {}

  void Begin();  // of each run
  void Observe(const ClusterTick& tick, const Topology& topology,
               const std::vector<ViolationRow>& violations);
  // With others that are shown the same ticks.
  void Share(std::shared_ptr<SharedFeatures> features) { shared_ = std::move(features); }
  // What another one collected, behind what is there.
  void Append(const JointRows& other);
  const std::vector<JointPart>& parts() const { return parts_; }

 private:
  std::int64_t horizon_ms_;
  std::size_t stride_;
  std::size_t quiet_ = 0;
  std::shared_ptr<SharedFeatures> shared_ = std::make_shared<SharedFeatures>();
  std::vector<JointPart> parts_;
};

struct JointModel {
  struct Culprit {
    std::string name;  // a service, or "load"
    Trees trees;
  };
  struct Part {
    std::vector<std::uint32_t> services, classes;
    bool alarms = false;  // false: its training runs had no violation
    Trees trees;
    std::vector<Culprit> culprits;
    std::string only;  // where there was only one
  };
  std::vector<Part> parts;
};
absl::StatusOr<JointModel> TrainJoint(const JointRows& rows, const TreeOptions& options);

std::unique_ptr<TickPredictor> MakeJointRival(std::string name,
                                              std::shared_ptr<const JointModel> model,
                                              std::int64_t horizon_ms, double threshold,
                                              const AlarmOptions& alarm = {});

}  // namespace seer::evaluation
