// Flow: (ClusterTick, Violation) -> [TrainingSet] -> BatchSource -> Trainer
//
// Recorded runs as what a network is trained with: the window that ends with each tick, and what
// was right then. It does not matter where the ticks come from: a dataset (dataset/), a simulator,
// or a control plane that goes on learning.
//
//   seer::ModelInputs inputs;                                  // with a fitted normaliser
//   auto set = seer::TrainingSet::Create(inputs, {"memcached", "cart", "nginx"}, 20);
//   set->BeginRun(topology);                                   // for each run
//   for (const seer::ClusterTick& tick : run) set->Add(tick, topology);
//   set->EndRun(violations);                                   // with the topology's ids
//   trainer->Train(*set);
//
// What is right for a window that ends at time t:
//   initiator  the service that initiates the next violation of any class, if one starts within
//              the initiator's horizon; "load"; "no violation" where none starts. Not known where
//              nobody knows who did it, while a violation lasts, and near the end of a run.
//   hazard     for each class the first of the horizons within which one starts.
// Windows of which nothing is known are left out.
//
// A run's topology may have other services than the model: those it lacks are zeros, those the
// model lacks are ignored. Ticks that are missing are rows of zeros; where more than a window's
// are, no window spans them.
//
// Threads: one at a time. Cost: 4 bytes for each value of a tick: windows are cut out when asked
// for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "seer/core/config.h"
#include "seer/core/ids.h"
#include "seer/core/topology.h"
#include "seer/nn/batch.h"
#include "seer/predict/model_inputs.h"
#include "seer/window/cluster_tick.h"
#include "seer/window/violations.h"
#include "seer/window/window_builder.h"

SEER_BEGIN_NAMESPACE

class TrainingSet : public BatchSource {
 public:
  // InvalidArgument: inputs are not valid, no service or one twice, no ticks. `hazards`: whether
  // the network has outputs for them.
  static absl::StatusOr<TrainingSet> Create(const ModelInputs& inputs,
                                            std::vector<std::string> services, std::size_t ticks,
                                            bool hazards = true);

  // InvalidArgument: none of the model's services is in the topology.
  [[nodiscard]] absl::Status BeginRun(const Topology& topology);
  // In order; the topology is that of BeginRun() or a later version. FailedPrecondition: another
  // period than the model's, or no run has begun.
  [[nodiscard]] absl::Status Add(const ClusterTick& tick, const Topology& topology);
  // known_until_ns: violations that start later are not known of; 0: the end of the last tick.
  [[nodiscard]] absl::Status EndRun(absl::Span<const Violation> violations,
                                    std::int64_t known_until_ns = 0);

  // By output (services, no violation, load): windows for which it is right.
  absl::Span<const std::uint64_t> counts() const { return counts_; }
  std::uint64_t unknown_initiators() const { return unknown_; }

  // Weights for LossOptions against imbalance: where one window in a thousand is ahead of a
  // violation, a network learns best to say that there is never one. Windows ahead of violations
  // together weigh as much as the others, but one not more than `most` times another; who initiates
  // is not weighted.
  std::vector<float> OutputWeights(double most = 30) const;

  std::size_t windows() const override { return windows_.size(); }
  absl::Status Fill(absl::Span<const std::uint64_t> which, TrainingBatch* batch) override;

 private:
  struct Segment {
    Tick first = 0;
    std::size_t row = 0, rows = 0;
  };
  struct Row {
    std::size_t newest;  // in rows of a tick
    std::int32_t initiator;
  };
  TrainingSet() = default;
  void Label(const Segment& segment, absl::Span<const Violation> violations,
             std::int64_t known_until_ns);

  ModelInputs inputs_;
  std::vector<std::string> services_;
  std::size_t ticks_ = 0, row_values_ = 0;
  bool hazards_ = false;

  // Of the run that is open.
  std::optional<WindowBuilder> builder_;
  std::vector<std::size_t> places_;          // of the builder's services in the model
  std::vector<std::int32_t> model_service_;  // by ServiceId; -1: not in the model
  std::vector<ClassId> run_classes_;
  std::vector<Segment> segments_;

  std::vector<float> values_;           // all rows
  std::vector<std::uint8_t> recorded_;  // of each row: not one that is missing
  std::vector<Row> windows_;
  std::vector<std::int32_t> window_hazards_;  // windows x classes
  std::vector<std::uint64_t> counts_;
  std::uint64_t unknown_ = 0;
};

SEER_END_NAMESPACE
