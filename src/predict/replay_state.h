// A window that is replayed, saved and loaded (state_io.h). Private to predict.
#pragma once

#include <cstddef>
#include <cstdint>

#include "predict/tick_order.h"
#include "seer/core/config.h"
#include "seer/core/internal/state_io.h"
#include "seer/predict/replay_buffer.h"
#include "seer/window/labels.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// Of the lists that it has, too.
inline std::size_t BytesOf(const ReplayWindow& window) {
  return sizeof(ReplayWindow) + window.hazards.size() * sizeof(std::int32_t) +
         window.values.size() * sizeof(std::int16_t);
}

constexpr std::size_t kLeastReplayWindow = 48;  // bytes of a saved one

// Whether it fits where it is loaded into is for the caller to ask.
inline void ReplayWindowState(StateIo& io, ReplayWindow& window) {
  io(window.end_ns), io(window.version), io(window.slots), io(window.initiator);
  io(window.hazards), io(window.weight), io(window.values);
  RequireTime(io, window.end_ns);
  io.Require(window.weight > 0 && window.weight <= 1, "a weight of nobody's");
  for (const std::int32_t hazard : window.hazards) {
    io.Require(hazard >= -1 && hazard <= static_cast<std::int32_t>(kMaxHorizons),
               "a horizon that is not there");
  }
}

}  // namespace internal
SEER_END_NAMESPACE
