// The two halves of TickPredictor::SaveState() and LoadState() that all predictors have in common.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "predict/tick_order.h"
#include "seer/core/config.h"
#include "seer/core/internal/state_io.h"
#include "seer/core/topology.h"
#include "seer/predict/tick_predictor.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// `state(io)` saves or loads what was learnt, and `order` with it.
template <typename State>
absl::Status SavePredictor(std::string* bytes, const State& state) {
  StateIo io(bytes);
  state(io);
  return io.status();
}

// `rebuild()` makes everything that follows from what was loaded and the topology; its status
// counts too. After an error the predictor is as newly made.
template <typename State, typename Rebuild>
absl::Status LoadPredictor(std::string_view bytes, const Topology& topology, const TickOrder& order,
                           TickPredictor* predictor, const State& state, const Rebuild& rebuild) {
  predictor->Reset();
  StateIo io(bytes);
  state(io);
  io.Require(!order.IsOf(topology) || !order.IsAhead(topology),
             "predictor: of a later version of the topology");
  absl::Status status = io.status();
  if (status.ok()) status = rebuild();
  if (!status.ok()) predictor->Reset();
  return status;
}

}  // namespace internal
SEER_END_NAMESPACE
