// Flow: host -> [thrift node]: who this process is, what its services counted, and the off switch
//
// All that is traced in a process shares one node: the queues of QueueRegistry::Global() and the
// spans of SpanRecorder::Global(). Depths come out of it through a Collector or a Reader, spans
// through a SpanDrainer; what is neither stands here.
//
//   absl::StatusOr<seer::ThriftCounts> counts = seer::ThriftCountsOf("cart");
//   if (counts.ok() && counts->hooks_lost != 0) Warn("somebody set another event handler");
//
// Threads: any. Cost: ThriftCountsOf() takes a lock for the name.
#pragma once

#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "seer/core/config.h"
#include "seer/core/internal/strings.h"
#include "seer/thrift/internal/service_state.h"

SEER_BEGIN_NAMESPACE

// Since the process began.
struct ThriftCounts {
  std::uint64_t failed = 0;       // the handler threw what the interface does not declare
  std::uint64_t oneway = 0;       // calls without a reply
  std::uint64_t undecodable = 0;  // the arguments could not be read
  std::uint64_t unanswered = 0;   // the reply could not be written: the client was gone
  std::uint64_t unhandled = 0;    // reached no handler: unknown method or service, not a call
  std::uint64_t hooks_lost = 0;   // not traced: another TProcessorEventHandler was set later, or
                                  // a service in a multiplexer was not registered traced
  std::uint64_t events_lost = 0;  // requests that another TServerEventHandler hid from us
  std::uint64_t expired = 0;      // tasks that left the task queue unserved
  std::uint64_t connections = 0;  // opened
  std::uint64_t open_connections = 0;
};

// NotFound if nothing of this service is traced here; else why its queues could not be added.
inline absl::StatusOr<ThriftCounts> ThriftCountsOf(std::string_view service) {
  const internal::ServiceState* const state = internal::ServiceState::Find(service);
  if (state == nullptr) {
    return absl::NotFoundError(absl::StrCat("service: nothing of '", internal::ToAbsl(service),
                                            "' is traced in this process; Trace() it first"));
  }
  if (absl::Status status = state->status(); !status.ok()) return status;
  ThriftCounts counts;
  counts.failed = state->failed.Get();
  counts.oneway = state->oneway.Get();
  counts.undecodable = state->undecodable.Get();
  counts.unanswered = state->unanswered.Get();
  counts.unhandled = state->unhandled.Get();
  counts.hooks_lost = state->hooks_lost.Get();
  counts.events_lost = state->events_lost.Get();
  counts.expired = state->expired.Get();
  const std::uint64_t closed = state->disconnections.Get();  // first: never more than were opened
  counts.connections = state->connections.Get();
  counts.open_connections =
      counts.connections - (closed < counts.connections ? closed : counts.connections);
  return counts;
}

// Whose calls those are that no request of a traced server makes: of a load generator, a timer.
// Unless it is set: the first service that is traced in this process, else the program's name.
inline void SetThriftCaller(std::string_view service) {
  internal::ServiceState::SetProcess(&internal::ServiceState::Of(service));
}

// The off switch, on at first. While it is off, what is traced looks at it once a call and does
// nothing; what remains are the hooks that the generated code calls (benchmarks/thrift). Calls that
// are open when it is turned are counted to their end.
inline void SetThriftTracing(bool on) {
  internal::thrift_tracing.store(on, std::memory_order_relaxed);  // orders nothing
}
inline bool ThriftTracing() { return internal::ThriftTracingIsOn(); }

SEER_END_NAMESPACE
