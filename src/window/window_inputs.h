// The raw inputs of all services out of one tick. Private to the room.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "seer/core/config.h"
#include "seer/core/topology.h"
#include "seer/window/cluster_tick.h"
#include "seer/window/window_builder.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// values and seen are services x inputs, by ServiceId; resized here. Deltas hold the plain value:
// whoever has the tick before subtracts. `scratch` keeps memory between calls.
void ReadInputs(const ClusterTick& tick, const Topology& topology,
                absl::Span<const WindowInput> inputs, SelfDepthTable* self,
                std::vector<float>* scratch, std::vector<float>* values,
                std::vector<std::uint8_t>* seen);

}  // namespace internal
SEER_END_NAMESPACE
