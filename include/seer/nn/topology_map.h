// Flow: (Checkpoint, names of services) -> [MapOnto] -> Checkpoint
//
// A model keeps the order of services it was trained with. When the application changes, it is
// mapped onto the new set of services and goes on learning, instead of beginning anew:
//
//   still there   keeps its place, weights and the optimizer's moments
//   gone          keeps them too, but is not live; if it comes back, it is as before
//   new           gets a place in a new block behind the others, with zero weights, and `prior` as
//                 its logit
//
//   auto mapped = seer::MapOnto(checkpoint, {"nginx", "cart", "recommender"});
//
// A new block is convolved by itself and its features enter with zero weights, so the logits of the
// old services are what they were, to the bit, whatever the new ones do; until training goes on. A
// trunk that pools over the services (position_wise) sees all of them, and new ones change what the
// old ones get: such a model is mapped only if that is asked for (`may_change_old_outputs`), and
// should be validated anew. Training begins a new epoch 0 with the moments it had.
//
// Threads: a pure function. Cost: a copy of the weights.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "seer/core/config.h"
#include "seer/nn/checkpoint.h"

SEER_BEGIN_NAMESPACE

struct MapOptions {
  // The logit that new services begin with; none: the mean bias of the live ones. A shared head has
  // its weights for all services and does not ask.
  std::optional<float> prior;
  // Map also where new services change the outputs of the old ones.
  bool may_change_old_outputs = false;
};

// FailedPrecondition: the checkpoint does not name its services, or there are new ones and its
// trunk pools over all of them. InvalidArgument: a name is empty, too long or there twice.
absl::StatusOr<Checkpoint> MapOnto(const Checkpoint& checkpoint,
                                   absl::Span<const std::string> services,
                                   const MapOptions& options = {});

SEER_END_NAMESPACE
