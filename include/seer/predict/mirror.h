// Flow: Topology, Snapshot -> [Mirror] -> StateDelta -> [Mirror] of a stand-by -> Forecast
//
// A predictor that survives the loss of its machine. One of several mirrors is the primary: it
// talks to the nodes, as a Predictor does, and keeps what it did as deltas. The others apply them
// in their order and have the same forecasts, bit by bit. Transport and election are the host's.
//
//   auto mirror = seer::Mirror::Create(options);                       // on each machine
//
//   (*mirror)->TakeOver(term);                                         // the one that was elected
//   (*mirror)->ObserveWire(message);                                   // from every node
//   seer::Forecast forecast = (*mirror)->Predict();                    // once a tick
//   const auto deltas = (*mirror)->DeltasAfter(sent);                  // StatusOr
//   for (const std::string& delta : *deltas) Send(delta);
//
//   absl::Status status = (*mirror)->Apply(delta);                     // the others
//   if (absl::IsOutOfRange(status) || absl::IsFailedPrecondition(status)) {
//     (*mirror)->LoadState(Ask(primary)).IgnoreError();                // its SaveState()
//   }
//
// Election. The host gives each primary a `term` above all that were before, as any election
// service does, and elects whoever has the largest sequence(). TakeOver() is a delta too: a primary
// that learns of a higher term is one no more. What the old primary did and sent to nobody is as if
// it had not been: nodes that send again lose nothing, and what comes twice counts once.
//
// A joiner, new or after a pause: SaveState() of any of them and the deltas after its sequence.
//
// Nothing is applied twice or out of order: each delta names the one before it by its checksum, and
// carries that of the forecast that came of it. Stand-bys compare: where processors or builds
// differ so much that a network's last bits do, they say so (Internal) instead of drifting away.
//
// Models travel as bytes: those of EncodeCheckpoint() or EncodeTreeModel(), or what `make_model`
// understands.
//
// Threads: any number; a lock is held during each call. Cost: a Predictor's, a copy of each message
// and 64 bytes, and a checksum of each forecast; memory: `keep_bytes`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "seer/core/config.h"
#include "seer/core/forecast.h"
#include "seer/core/snapshot.h"
#include "seer/core/topology.h"
#include "seer/predict/predictor.h"
#include "seer/predict/state_delta.h"
#include "seer/predict/tick_predictor.h"

SEER_BEGIN_NAMESPACE

struct MirrorOptions {
  PredictorOptions predictor;  // the same in all mirrors, but for the clock
  std::string model;           // bytes of the first model; empty: predictor.rival
  // Model bytes to a predictor; none: as Predictor::Load(). Called without a lock.
  std::function<absl::StatusOr<std::unique_ptr<TickPredictor>>(std::string_view)> make_model;
  std::size_t keep_bytes = std::size_t{64} << 20;  // of deltas, for those who missed some
};

class Mirror {
 public:
  // A stand-by that knows nothing yet. InvalidArgument names the option.
  static absl::StatusOr<std::unique_ptr<Mirror>> Create(const MirrorOptions& options = {});
  ~Mirror();
  Mirror(const Mirror&) = delete;
  Mirror& operator=(const Mirror&) = delete;

  // ---- The primary. FailedPrecondition: this is a stand-by.

  // InvalidArgument: the term is not above all that this one has heard of.
  [[nodiscard]] absl::Status TakeOver(std::uint64_t term);
  // As Predictor's. What is refused as no message is no delta.
  [[nodiscard]] absl::Status Observe(const Topology& node);
  [[nodiscard]] absl::Status Observe(const Snapshot& snapshot);
  [[nodiscard]] absl::Status ObserveWire(std::string_view bytes);
  [[nodiscard]] absl::Status RemoveNode(std::string_view node);
  // As Predictor::UseModel(). Empty: the one that looks on is dropped.
  [[nodiscard]] absl::Status UseModel(std::string_view model);
  // Looks at the clock. On a stand-by: the forecast of what was applied last.
  Forecast Predict();

  // ---- Stand-bys.

  // One encoded delta. After an error nothing was applied, but for Internal:
  //   AlreadyExists       it was applied before
  //   OutOfRange          some before it are missing: ask for DeltasAfter(sequence())
  //   FailedPrecondition  of another history, or of a primary that was replaced; the message says
  //                       whether this mirror needs the state of another
  //   DataLoss, InvalidArgument, Unimplemented  as DecodeDelta(), or a payload that is not right
  //   Internal            the forecast differs from the primary's: everything is refused until
  //                       LoadState()
  [[nodiscard]] absl::Status Apply(std::string_view delta);

  // ---- All of them.

  bool primary() const;
  std::uint64_t term() const;
  std::uint64_t sequence() const;  // of the last delta; 0: none yet

  // Encoded, in order, those after `sequence`, and at most `most_bytes` of them or one. OutOfRange:
  // they are not kept any more, or not known here.
  absl::StatusOr<std::vector<std::string>> DeltasAfter(std::uint64_t sequence,
                                                       std::size_t most_bytes = std::size_t{16}
                                                                                << 20) const;

  // Everything: sequence, models, what they have learnt, nodes. Versioned, with a checksum.
  // Unimplemented: the model cannot be saved.
  absl::StatusOr<std::string> SaveState() const;
  // Becomes a stand-by with that state. DataLoss: cut off or damaged. InvalidArgument,
  // FailedPrecondition: not made by a mirror with these options. After an error this one is as it
  // was.
  [[nodiscard]] absl::Status LoadState(std::string_view bytes);

  // The newest forecast, without looking at the clock.
  Forecast forecast() const;
  std::shared_ptr<const Topology> topology() const;
  void TicksSince(Tick last, std::vector<ClusterTick>* ticks) const;
  PredictorHealth health() const;

 private:
  class Impl;
  explicit Mirror(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

SEER_END_NAMESPACE
