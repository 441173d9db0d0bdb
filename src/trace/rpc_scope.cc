#include "seer/trace/rpc_scope.h"

#include "seer/core/channel.h"
#include "seer/core/internal/status_macros.h"

SEER_BEGIN_NAMESPACE

absl::StatusOr<ServedRpc> ServedRpc::Add(std::string_view service, std::string_view method) {
  return Add(QueueRegistry::Global(), SpanRecorder::Global(), service, method);
}
absl::StatusOr<ServedRpc> ServedRpc::Add(QueueRegistry& queues, SpanRecorder& recorder,
                                         std::string_view service, std::string_view method) {
  ServedRpc rpc;
  SEER_ASSIGN_OR_RETURN(rpc.method_, recorder.AddServed(service, method));
  SEER_ASSIGN_OR_RETURN(rpc.queued_, queues.AddQueue(service, Channel::kQueued));
  SEER_ASSIGN_OR_RETURN(rpc.running_, queues.AddQueue(service, Channel::kRunning));
  SEER_ASSIGN_OR_RETURN(rpc.blocked_, queues.AddQueue(service, Channel::kBlocked));
  rpc.service_ = internal::ServiceNumber(service);
  return rpc;
}

absl::StatusOr<CalledRpc> CalledRpc::Add(std::string_view caller, std::string_view callee,
                                         std::string_view method) {
  return Add(QueueRegistry::Global(), SpanRecorder::Global(), caller, callee, method);
}
absl::StatusOr<CalledRpc> CalledRpc::Add(QueueRegistry& queues, SpanRecorder& recorder,
                                         std::string_view caller, std::string_view callee,
                                         std::string_view method) {
  CalledRpc rpc;
  SEER_ASSIGN_OR_RETURN(rpc.method_, recorder.AddCalled(caller, callee, method));
  SEER_ASSIGN_OR_RETURN(rpc.outbound_, queues.AddOutbound(caller, callee));
  SEER_ASSIGN_OR_RETURN(rpc.blocked_, queues.AddQueue(caller, Channel::kBlocked));
  rpc.service_ = internal::ServiceNumber(caller);
  return rpc;
}

void ServedCall::HandlerStarts() noexcept {
  if (ended_) return;
  if (!runs_) Run();
  if (std::exchange(handled_, true)) return;  // continued
  open_ = internal::OpenTheRequest(internal::OpenRequestKey(context_.span_id, service_));
  span_.HandlerStart();
}

void ServedCall::End(Outcome outcome) noexcept {
  if (std::exchange(ended_, true)) return;
  internal::CloseTheRequest(std::exchange(open_, {}), blocked_);
  span_.End(outcome);
  ticket_.Leave();
}

OutgoingCall::OutgoingCall(const CalledRpc& rpc, const TraceContext& request,
                           CallKind kind) noexcept
    : ticket_(rpc.outbound_),
      span_(rpc.method_, request),
      context_(span_.ContextUnder(request)),
      blocked_(rpc.blocked_) {
  if (kind == CallKind::kSync && request.valid()) {
    request_ =
        internal::CallStarts(internal::OpenRequestKey(request.span_id, rpc.service_), blocked_);
  }
}

void OutgoingCall::End(Outcome outcome) noexcept {
  span_.End(outcome);
  ticket_.Leave();
  internal::CallEnds(std::exchange(request_, {}), blocked_);
}

SEER_END_NAMESPACE
