// An alarm, saved and loaded (state_io.h).
#pragma once

#include <cstdint>

#include "predict/tick_order.h"
#include "seer/core/config.h"
#include "seer/core/internal/state_io.h"
#include "seer/predict/alarm.h"

SEER_BEGIN_NAMESPACE
namespace internal {

inline void AlarmState(StateIo& io, AlarmLatch& latch) {
  std::uint8_t bits = latch.bits();
  std::int64_t since_ns = latch.since_ns();
  io(bits), io(since_ns);
  io.Require(bits <= 3, "alarm: neither on nor off");
  RequireTime(io, since_ns);
  if (io.loading() && io.ok()) latch.Set(bits, since_ns);
}

}  // namespace internal
SEER_END_NAMESPACE
