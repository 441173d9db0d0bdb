// Flow: Span, dataset/ importers -> [SpanInterval] -> SpanDepths, TraceAssembler
//
// One RPC as one side saw it, in the control plane's numbering: what seer's own spans and the
// traces of other tracers have in common.
//
//   seer::SpanInterval call;                       // a row of an RPC log, as the caller saw it
//   call.caller = front, call.callee = cart, call.edge = front_to_cart;
//   call.start_ns = start_ns, call.end_ns = end_ns;
//   depths.Add(call);
//
// Ids. In OpenTelemetry, Jaeger and seer the two sides of a call are two spans, and the server's
// parent is the client's span; in Zipkin they may share one id. Both are understood. Where there
// are no ids (0), a call's parent is the request of the caller, in the same trace, that contains
// it.
//
// Threads: a plain value. Cost: 104 bytes.
#pragma once

#include <cstdint>

#include "seer/core/config.h"
#include "seer/core/ids.h"
#include "seer/core/span.h"

SEER_BEGIN_NAMESPACE

struct SpanInterval {
  TraceId trace;                // not valid: not known
  std::uint64_t span_id = 0;    // 0: not known
  std::uint64_t parent_id = 0;  // 0: none, or not known

  ServiceId caller;       // none: the client outside, or not known
  ServiceId callee;       // none: not known
  EdgeId edge;            // none: not known, and then no edge counts it
  ClassId request_class;  // where a request of a class comes in from outside; else none
  NodeId host;            // whose clock took the times; none: not known
  SpanSide side = SpanSide::kClient;
  Outcome outcome = Outcome::kOk;
  bool root = false;   // the request comes in from outside here: the start of its trace
  bool async = false;  // the caller does not wait for the end

  // Unix time. The interval is [start_ns, end_ns): from the call to its result at the caller; from
  // the request's arrival to the reply at the callee.
  std::int64_t start_ns = 0;
  std::int64_t end_ns = 0;
  // At the callee, where `queue_known`: when a worker took the request. It waited from start_ns to
  // then, and runs from then to end_ns. Where it is not known it counts as running all the time.
  std::int64_t work_ns = 0;
  bool queue_known = false;

  std::int64_t running_from_ns() const { return queue_known ? work_ns : start_ns; }
};

SEER_END_NAMESPACE
