// A tick of the cluster, saved and loaded (state_io.h).
#pragma once

#include "seer/core/config.h"
#include "seer/core/internal/state_io.h"
#include "seer/window/cluster_tick.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// The same value again, all of it.
void TickState(StateIo& io, ClusterTick& tick);

}  // namespace internal
SEER_END_NAMESPACE
