// Flow: Topology, Snapshot of every node -> [Predictor] -> Forecast -> advise/
//
// What a control plane talks to: it is given what the nodes tell, in whatever order it comes, and
// says at any moment what is foreseen.
//
//   auto predictor = seer::Predictor::Load("shop.seer");                // StatusOr; or Create()
//   (*predictor)->ObserveWire(message);                                 // from every node
//   seer::Forecast forecast = (*predictor)->Predict();                  // once a tick, or more
//   often if (forecast.alarm()) Warn(forecast, *(*predictor)->topology());    // names for its ids
//
// Inside: TickMerger puts the snapshots together to ticks of the cluster, with all its tolerance of
// what is late, twice, out of order, restarted or missing; a TickPredictor looks at each of them.
// Without a model that is the rival of the options, which learns while it runs what is usual.
// Predict() gives the forecast of the newest tick that is complete or overdue.
//
// Another model. UseModel() hands over a predictor that is to take over. Trees after trees of the
// same inputs do so with the very next tick, as they go on from what the present ones have learnt
// of what is usual. Any other looks on beside the present one for `warm_ticks` ticks, and until it
// has a forecast for as many classes, or 600 ticks more; then it speaks with the very next tick, so
// that no tick goes without a forecast. One that refuses ticks does not take over.
//
// The clock. Nodes and control plane need clocks that agree to within a tick. When this machine's
// clock is set back by more than `clock_back_ns`, ticks begin anew at the earlier time: what was
// learnt is forgotten, the nodes are not. Counted in health().
//
// Replays. The same calls at the same times give the same forecasts, bit by bit.
//
// Threads: any number; a lock is held during each call, Predict() among them. It runs no code of
// the host's but the clock and the model.
// Cost:    an Observe() is a snapshot merged; the call that completes a tick also pays for the
// predictor's look at it (benchmarks/RESULTS.md). Nothing is allocated once the cluster has been
// seen, by Predict(Forecast*) neither. Memory: the merger's, the model's, `keep_ticks` ticks, and
// each node's topology.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "seer/core/clock.h"
#include "seer/core/config.h"
#include "seer/core/forecast.h"
#include "seer/core/snapshot.h"
#include "seer/core/topology.h"
#include "seer/predict/rivals.h"
#include "seer/predict/tick_predictor.h"
#include "seer/window/cluster_tick.h"
#include "seer/window/tick_merger.h"

SEER_BEGIN_NAMESPACE

struct PredictorOptions {
  TickMergerOptions merger;  // the period of the ticks, and how long they are waited for

  // Where there is no model.
  RivalKind rival = RivalKind::kSelfDepthZ;
  RivalOptions rival_options;

  std::uint32_t warm_ticks = 20;               // before another model takes over; at least 1
  std::size_t keep_ticks = 0;                  // for TicksSince(): at most 65536
  std::int64_t clock_back_ns = 5'000'000'000;  // at least a second
  const Clock* clock = nullptr;                // outlives the predictor; null: the system's
};

// How it fares, for the host's own metrics. Counts grow for ever.
struct PredictorHealth {
  std::string model;                // that speaks: TickPredictor::name()
  std::int64_t model_since_ns = 0;  // when it began to
  std::string next_model;           // that looks on; empty: none
  absl::Status next_model_status;   // why it refused the newest tick

  std::uint64_t ticks = 0;          // of which there was a forecast
  std::uint64_t refused_ticks = 0;  // by the model; model_status says why
  absl::Status model_status;
  std::uint64_t bad_messages = 0;  // that ObserveWire() refused
  std::uint64_t clock_set_back = 0;
  std::uint64_t models_changed = 0;

  // Of the newest tick.
  std::int64_t lag_ns = 0;  // from its end to now; 0 before the first
  std::uint32_t nodes_seen = 0;
  std::uint32_t nodes_expected = 0;
  double services_seen = 0;  // share of those of which some depth is known, if only to callers
  TickMergerStats merger;
};

class Predictor {
 public:
  // InvalidArgument names the option.
  static absl::StatusOr<std::unique_ptr<Predictor>> Create(const PredictorOptions& options = {});
  // With a trained model, as `seer train` writes it: trees (tree_model.h), or the checkpoint of a
  // network (model_predictor.h). Their errors.
  static absl::StatusOr<std::unique_ptr<Predictor>> Load(const std::string& path,
                                                         const PredictorOptions& options = {});
  // With a model of the host's choice.
  static absl::StatusOr<std::unique_ptr<Predictor>> Create(std::unique_ptr<TickPredictor> model,
                                                           const PredictorOptions& options = {});
  ~Predictor();
  Predictor(const Predictor&) = delete;
  Predictor& operator=(const Predictor&) = delete;

  // A node's topology: at first, and when it has a new version. As TickMerger::AddNode().
  [[nodiscard]] absl::Status Observe(const Topology& node);
  // InvalidArgument: ticks of another period. What is late, or there already, is no error; it is
  // counted.
  [[nodiscard]] absl::Status Observe(const Snapshot& snapshot);
  // An encoded Topology or Snapshot. What is neither, or is damaged, is an error and changes
  // nothing.
  [[nodiscard]] absl::Status ObserveWire(std::string_view bytes);
  // The node has gone for good; no tick waits for it any more.
  void RemoveNode(std::string_view node);

  // The newest tick's. Before the first: no classes, and a tick of 0.
  Forecast Predict();
  // Into memory that is used again.
  void Predict(Forecast* forecast);

  // What the forecasts' ids mean. A value that no later call changes; cheap where nothing has
  // changed since the last time.
  std::shared_ptr<const Topology> topology() const;
  // Appends the ticks after `last` that are kept (`keep_ticks`), oldest first.
  void TicksSince(Tick last, std::vector<ClusterTick>* ticks) const;

  // See above; one that looks on already is replaced. Null: the one that looks on is dropped.
  void UseModel(std::unique_ptr<TickPredictor> model);

  PredictorHealth health() const;

  // Everything that the forecasts to come depend on: nodes, ticks that are open, what model and
  // next model have learnt; not the ticks that are kept. mirror.h wraps it with the models
  // themselves, a version and a checksum. Unimplemented: a model that cannot be saved.
  [[nodiscard]] absl::Status SaveState(std::string* bytes) const;
  // Into a predictor that was made as that one: the same options, the same model, UseModel() with
  // the same next one. The same calls at the same times then give the same forecasts, bit by bit.
  // InvalidArgument: not such a state; FailedPrecondition: of another model or other options. After
  // an error the predictor knows no node.
  [[nodiscard]] absl::Status LoadState(std::string_view bytes);

 private:
  class Impl;
  explicit Predictor(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

SEER_END_NAMESPACE
