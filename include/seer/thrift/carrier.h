// Flow: TraceContext -> [a map among the arguments] -> TraceContext, by hand
//
// For interfaces that carry the context themselves, as DeathStarBench's do: the last argument of
// each method is a map<string, string>.
//
//   // caller: the map for this call
//   posts.ReadPosts(result, request, ids, seer::CarrierFor(carrier));
//
//   // callee
//   void ReadPosts(Result& result, int64_t request, const Ids& ids, const Map& carrier) override {
//     seer::CarrierScope scope(carrier);            // until the end of the handler
//     ...
//   }
//
// Between services that seer traces on both sides none of this is needed: the context is in the
// message already (make_traced.h). It is there for callers and callees with other tracers, which
// put their headers into the map and look for them there, and lets an estate change over service by
// service. Where the message brought a context that one stands, and the scope does nothing;
// otherwise the request's own span joins the carrier's trace too, as if the message had brought it.
//
// Threads: pure; a CarrierScope belongs to its thread and block. Cost: that of the map.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>

#include "seer/core/config.h"
#include "seer/thrift/internal/service_state.h"
#include "seer/trace/context.h"
#include "seer/trace/propagation.h"
#include "seer/trace/recorder.h"

SEER_BEGIN_NAMESPACE

using Carrier = std::map<std::string, std::string>;

// `carrier` with the headers of the current context instead of those that came with the request.
inline Carrier CarrierFor(Carrier carrier = {}) {
  Inject(CurrentContext(), &carrier);
  return carrier;
}

// Makes the context of a carrier current where none came with the request. Make it at the start of
// the handler: what was called before it belongs to another trace.
class CarrierScope {
 public:
  explicit CarrierScope(const Carrier& carrier) {
    RawSpan* const request =
        internal::handled_call != nullptr ? internal::handled_call->span : nullptr;
    if (request != nullptr ? request->parent_id != 0 : CurrentContext().valid()) return;
    TraceContext context = Extract(carrier);
    if (!context.valid()) return;
    if (request != nullptr) {
      request->trace_id = context.trace_id;
      request->parent_id = std::exchange(context.span_id, request->span_id);
    }
    scope_.emplace(std::move(context));
  }
  CarrierScope(const CarrierScope&) = delete;
  CarrierScope& operator=(const CarrierScope&) = delete;

 private:
  std::optional<ContextScope> scope_;
};

SEER_END_NAMESPACE
