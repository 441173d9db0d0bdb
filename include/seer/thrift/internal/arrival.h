// Flow: (internal) socket, task queue -> [Arrival] -> hooks: how the next message got here
//
// Which thread reads a message, queues it and hands it to the processor differs from server to
// server; that the last of these steps on a thread belongs to the message that is processed next
// does not. So what is known of a message travels in a variable of the thread: the traced socket
// writes it, the traced task queue carries it from the reading thread to the worker, and the hooks
// read it. No connection has to be looked up.
//
// Stamps are raw, as ServedMethod::Stamp() gives them; 0: not known.
#pragma once

#include <cstdint>

#include "seer/core/config.h"
#include "seer/core/tsc_clock.h"
#include "seer/thrift/internal/thread_local.h"

SEER_BEGIN_NAMESPACE
namespace internal {

struct Arrival {
  std::uint64_t received = 0;    // the kernel had the last byte that was read
  std::uint64_t queued = 0;      // into the task queue
  std::uint64_t dequeued = 0;    // out of it
  const void* socket = nullptr;  // that wrote `received`
};
SEER_INTERNAL_THREAD_LOCAL Arrival arrival;

// Set by ConnectionEvents just before a request is processed, see events_lost.
SEER_INTERNAL_THREAD_LOCAL bool request_announced = false;

// Stamps as the recorder's methods take them, for who has no method yet.
inline const TscClock& StampClock() {
  static const auto* const clock = new TscClock();  // never destroyed; calibrates for 2 ms
  return *clock;
}

}  // namespace internal
SEER_END_NAMESPACE
