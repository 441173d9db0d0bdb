// Flow: (internal) TProcessorEventHandler's calls -> [CallHooks] -> queues, spans, context
//
// One request, from process() to its return: OpenCall lies on the stack of TracedProcessor's
// process(), and CallHooks fills it in when the generated code calls the hooks. What those do
// (research by experiment, Thrift 0.17):
//
//   reply, declared exception    getContext preRead postRead preWrite postWrite freeContext
//   any other std::exception     getContext preRead postRead handlerError freeContext
//   oneway                       getContext preRead postRead asyncComplete freeContext
//   arguments undecodable        getContext preRead freeContext
//   client gone                  getContext preRead postRead preWrite freeContext
//   not a std::exception         getContext preRead postRead freeContext
//   unknown method               nothing
//
// freeContext is the one that always comes, so that is where a request ends. getContext is where it
// begins: process() itself may have waited for it for as long as the connection was idle.
//
// Threads: the hooks are called by many threads; an OpenCall belongs to one. Cost: no lock, no
//          allocation; instructions in benchmarks/RESULTS.md.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>

#include <thrift/TProcessor.h>

#include "seer/core/config.h"
#include "seer/core/span.h"
#include "seer/thrift/internal/args_context.h"
#include "seer/thrift/internal/arrival.h"
#include "seer/thrift/internal/service_state.h"
#include "seer/trace/context.h"
#include "seer/trace/recorder.h"

SEER_BEGIN_NAMESPACE
namespace internal {

class CallHooks;

// The stamps, ids and outcome of one request, its place in `running`, and its context while it is
// handled. Shared by the hooks of synchronous and asynchronous processors.
class ThriftRequest {
 public:
  ThriftRequest() = default;
  ThriftRequest(const ThriftRequest&) = delete;
  ThriftRequest& operator=(const ThriftRequest&) = delete;
  ~ThriftRequest() {
    if (active()) End();
  }

  bool active() const noexcept { return service_ != nullptr; }
  HandledCall& handled() noexcept { return handled_; }

  // The message's header has been read. `nested`: within another request of this thread, which is
  // the one that arrived.
  void Begin(ServiceState& service, std::string_view reported_name, bool nested) noexcept {
    service_ = &service;
    method_ = &service.Served(reported_name);
    if (raw_.known != 0) {  // a processor that takes several requests from one message
      raw_ = RawSpan();
      phase_ = Phase::kArguments;
    }
    const Arrival& came = arrival;
    if (__builtin_expect(nested || (came.received | came.dequeued) == 0, 1)) {
      raw_.Set(kReceived, method_->Stamp());
    } else if (came.dequeued != 0) {
      raw_.Set(kReceived, came.received != 0 ? came.received : came.queued);
      raw_.Set(kDequeued, came.dequeued);
    } else {
      raw_.Set(kReceived, came.received);
      raw_.Set(kDequeued, method_->Stamp());
    }
    service.running().Enter();
  }

  // The arguments have been read; `caller` as they told it.
  void HandlerBegins(const TraceContext& caller) noexcept {
    SetIds(caller);
    handled_.service = service_;
    handled_.id = raw_.span_id;
    handled_.downstream = 0;
    handled_.span = &raw_;
    raw_.Set(kHandlerStart, method_->Stamp());
    phase_ = Phase::kHandler;
  }
  void HandlerEnds() noexcept {
    raw_.Set(kHandlerEnd, method_->Stamp());
    phase_ = Phase::kReply;
  }
  void HandlerFailed() noexcept {
    HandlerEnds();
    phase_ = Phase::kFailed;
  }
  void Replied() noexcept {
    raw_.Set(kReplySent, method_->Stamp());
    phase_ = Phase::kReplied;
  }
  void OnewayDone() noexcept {
    HandlerEnds();
    phase_ = Phase::kOneway;
  }

  // The end of a request whose reply was written apart from process(): raw stamps, 0 = not there.
  void FinishAsync(std::uint64_t handler_end, std::uint64_t sent, bool failed) noexcept {
    if (phase_ == Phase::kHandler) {
      raw_.Set(kHandlerEnd, handler_end != 0 ? handler_end : method_->Stamp());
      if (sent != 0) raw_.Set(kReplySent, sent);
      phase_ = failed             ? Phase::kFailed
               : sent != 0        ? Phase::kReplied
               : handler_end != 0 ? Phase::kReply
                                  : Phase::kOneway;
    }
    End();
  }

  // Makes of the caller's context that in which the handler works.
  void Continue(TraceContext* caller) const noexcept {
    if (__builtin_expect(raw_.parent_id == 0, 0)) {  // it was not valid: a trace begins here
      *caller = TraceContext();
      caller->trace_id = raw_.trace_id;
      caller->flags = TraceContext::kSampled | TraceContext::kRandomId;
    }
    caller->span_id = raw_.span_id;
  }

  // Once for each Begin().
  void End() noexcept {
    ServiceState& service = *std::exchange(service_, nullptr);
    if (__builtin_expect(phase_ == Phase::kReplied, 1)) {
      raw_.outcome = Outcome::kOk;
    } else {
      EndOtherwise(service);
    }
    if (__builtin_expect(handled_.downstream != 0, 0)) {
      handled_.downstream = 0;
      service.blocked().Leave();
    }
    handled_.id = 0;
    if (__builtin_expect(raw_.known == kUsual, 1)) {
      RecordUsual();
    } else {
      method_->Record(raw_);
    }
    service.running().Leave();
  }

  std::uint64_t span_id() const noexcept { return raw_.span_id; }

 private:
  enum class Phase : std::uint8_t { kArguments, kHandler, kReply, kReplied, kOneway, kFailed };
  static constexpr auto kReceived = static_cast<std::size_t>(ServerStamp::kReceived);
  static constexpr auto kDequeued = static_cast<std::size_t>(ServerStamp::kDequeued);
  static constexpr auto kHandlerStart = static_cast<std::size_t>(ServerStamp::kHandlerStart);
  static constexpr auto kHandlerEnd = static_cast<std::size_t>(ServerStamp::kHandlerEnd);
  static constexpr auto kReplySent = static_cast<std::size_t>(ServerStamp::kReplySent);
  static constexpr std::uint32_t kUsual =
      1u << kReceived | 1u << kHandlerStart | 1u << kHandlerEnd | 1u << kReplySent;

  [[gnu::noinline, gnu::cold]] void EndOtherwise(ServiceState& service) noexcept {
    switch (phase_) {
      case Phase::kReplied:
        break;
      case Phase::kOneway:
        raw_.outcome = Outcome::kOk;
        service.oneway.Add();
        break;
      case Phase::kArguments:
        raw_.outcome = Outcome::kUndecodable;
        service.undecodable.Add();
        SetIds(TraceContext());
        break;
      case Phase::kReply:
        raw_.outcome = Outcome::kTransport;
        service.unanswered.Add();
        break;
      case Phase::kHandler:  // left by what is not a std::exception
        raw_.Set(kHandlerEnd, method_->Stamp());
        raw_.outcome = Outcome::kFailed;
        service.failed.Add();
        break;
      case Phase::kFailed:  // the reply that says so has been sent, unless it was a oneway call
        raw_.Set(kReplySent, method_->Stamp());
        raw_.outcome = Outcome::kFailed;
        service.failed.Add();
        break;
    }
  }

  // Recording is one function of half as many instructions where it is known which stamps there
  // are.
  [[gnu::flatten]] void RecordUsual() const noexcept {
    RawSpan span;
    span.trace_id = raw_.trace_id;
    span.span_id = raw_.span_id;
    span.parent_id = raw_.parent_id;
    span.Set(kReceived, raw_.stamps[kReceived]);
    span.Set(kHandlerStart, raw_.stamps[kHandlerStart]);
    span.Set(kHandlerEnd, raw_.stamps[kHandlerEnd]);
    span.Set(kReplySent, raw_.stamps[kReplySent]);
    span.outcome = raw_.outcome;
    method_->Record(span);
  }

  void SetIds(const TraceContext& caller) noexcept {
    const SpanIds ids = SpanIds::Under(caller);
    raw_.trace_id = ids.trace_id;
    raw_.span_id = ids.span_id;
    raw_.parent_id = ids.parent_id;
  }

  ServiceState* service_ = nullptr;  // null: not begun, or ended
  const ServedMethod* method_ = nullptr;
  RawSpan raw_;
  HandledCall handled_;
  Phase phase_ = Phase::kArguments;
};

// A request on the stack of process(). They nest: a handler may call a processor of its own
// process, and a traced processor may be traced again.
struct OpenCall {
  OpenCall(const CallHooks* its_hooks, bool is_traced, apache::thrift::protocol::TProtocol* input,
           apache::thrift::TProcessorEventHandler* set_on_wrapper) noexcept;
  ~OpenCall();
  OpenCall(const OpenCall&) = delete;
  OpenCall& operator=(const OpenCall&) = delete;

  const CallHooks* const hooks;
  const bool traced;  // else it only leads to wrapper_next
  OpenCall* const outer;
  apache::thrift::protocol::TProtocol* const in;
  apache::thrift::transport::TBufferBase* buffer = nullptr;  // ArgsPlace::buffer
  // A handler that the host set on the wrapper, where only we can know of it. May be null.
  apache::thrift::TProcessorEventHandler* const wrapper_next;
  void* next_context = nullptr;
  void* wrapper_context = nullptr;
  bool seen = false;    // the hooks were called
  bool active = false;  // from getContext to freeContext
  ThriftRequest served;
  TraceContext context;  // the caller's, and that of the handler while it works
  // What was current before it, from postRead on (a ContextScope would copy it).
  bool handled = false;
  const TraceContext* context_before = nullptr;
  HandledCall* handled_before = nullptr;
};
SEER_INTERNAL_THREAD_LOCAL OpenCall* open_call = nullptr;

inline OpenCall::OpenCall(const CallHooks* its_hooks, bool is_traced,
                          apache::thrift::protocol::TProtocol* input,
                          apache::thrift::TProcessorEventHandler* set_on_wrapper) noexcept
    : hooks(its_hooks),
      traced(is_traced),
      outer(open_call),
      in(input),
      wrapper_next(set_on_wrapper) {
  open_call = this;
}
inline OpenCall::~OpenCall() { open_call = outer; }

// What is installed on the processor that is traced, in front of the handler that was there.
class CallHooks final : public apache::thrift::TProcessorEventHandler {
 public:
  CallHooks(ServiceState& service, std::shared_ptr<TProcessorEventHandler> next)
      : service_(service), next_(std::move(next)) {}

  void* getContext(const char* fn_name, void* connection) override {
    // The host's handlers first: while one of them may throw, nothing has been counted.
    void* const next = next_ ? next_->getContext(fn_name, connection) : nullptr;
    OpenCall* call = open_call;
    while (call != nullptr && (call->hooks != this || call->active)) call = call->outer;
    if (call == nullptr) return next;  // tracing is off, or somebody calls the inner processor
    call->next_context = next;
    if (call->wrapper_next != nullptr) {
      try {
        call->wrapper_context = call->wrapper_next->getContext(fn_name, connection);
      } catch (...) {
        if (next_) next_->freeContext(next, fn_name);
        throw;
      }
    }
    call->seen = true;
    call->active = true;
    // Of a multiplexer that is traced itself, in whose service this one is.
    if (call->outer != nullptr) call->outer->seen = true;
    if (call->traced) {
      call->served.Begin(service_, fn_name, handled_call != nullptr);
      ReadContext(call);
    }
    return call;
  }

  void preRead(void* ctx, const char* fn_name) override {
    OpenCall* const call = Mine(ctx);
    if (call == nullptr) {
      if (next_) next_->preRead(ctx, fn_name);
      return;
    }
    if (next_) next_->preRead(call->next_context, fn_name);
    if (call->wrapper_next) call->wrapper_next->preRead(call->wrapper_context, fn_name);
  }

  void postRead(void* ctx, const char* fn_name, std::uint32_t bytes) override {
    OpenCall* const call = Mine(ctx);
    if (call == nullptr) {
      if (next_) next_->postRead(ctx, fn_name, bytes);
      return;
    }
    if (call->traced) {
      call->served.HandlerBegins(call->context);
      call->served.Continue(&call->context);
      call->context_before = std::exchange(current_context, &call->context);
      call->handled_before = std::exchange(handled_call, &call->served.handled());
      call->handled = true;
    }
    if (next_) next_->postRead(call->next_context, fn_name, bytes);
    if (call->wrapper_next) call->wrapper_next->postRead(call->wrapper_context, fn_name, bytes);
  }

  void preWrite(void* ctx, const char* fn_name) override {
    OpenCall* const call = Mine(ctx);
    if (call == nullptr) {
      if (next_) next_->preWrite(ctx, fn_name);
      return;
    }
    if (call->traced) call->served.HandlerEnds();
    if (next_) next_->preWrite(call->next_context, fn_name);
    if (call->wrapper_next) call->wrapper_next->preWrite(call->wrapper_context, fn_name);
  }

  void postWrite(void* ctx, const char* fn_name, std::uint32_t bytes) override {
    OpenCall* const call = Mine(ctx);
    if (call == nullptr) {
      if (next_) next_->postWrite(ctx, fn_name, bytes);
      return;
    }
    if (call->traced) call->served.Replied();
    if (next_) next_->postWrite(call->next_context, fn_name, bytes);
    if (call->wrapper_next) call->wrapper_next->postWrite(call->wrapper_context, fn_name, bytes);
  }

  void asyncComplete(void* ctx, const char* fn_name) override {
    OpenCall* const call = Mine(ctx);
    if (call == nullptr) {
      if (next_) next_->asyncComplete(ctx, fn_name);
      return;
    }
    if (call->traced) call->served.OnewayDone();
    if (next_) next_->asyncComplete(call->next_context, fn_name);
    if (call->wrapper_next) call->wrapper_next->asyncComplete(call->wrapper_context, fn_name);
  }

  void handlerError(void* ctx, const char* fn_name) override {
    OpenCall* const call = Mine(ctx);
    if (call == nullptr) {
      if (next_) next_->handlerError(ctx, fn_name);
      return;
    }
    if (call->traced) call->served.HandlerFailed();
    if (next_) next_->handlerError(call->next_context, fn_name);
    if (call->wrapper_next) call->wrapper_next->handlerError(call->wrapper_context, fn_name);
  }

  void freeContext(void* ctx, const char* fn_name) override {
    OpenCall* const call = Mine(ctx);
    if (call == nullptr) {
      if (next_) next_->freeContext(ctx, fn_name);
      return;
    }
    // In the reverse order of postRead: what is set on the wrapper may be another wrapper's hooks,
    // whose scope lies within ours.
    if (call->wrapper_next) call->wrapper_next->freeContext(call->wrapper_context, fn_name);
    if (std::exchange(call->handled, false)) {
      SEER_DCHECK(current_context == &call->context);  // scopes end in the order of blocks
      current_context = call->context_before;
      handled_call = call->handled_before;
    }
    call->active = false;
    if (call->traced) {
      call->served.End();
      call->context = TraceContext();  // a processor may take several requests from one message
    }
    if (next_) next_->freeContext(call->next_context, fn_name);
  }

  ServiceState& service() const noexcept { return service_; }

  // Whether the hooks of a processor whose event handler is `installed` reach this one.
  bool ReachedFrom(const TProcessorEventHandler* installed) const {
    const auto* hooks = dynamic_cast<const CallHooks*>(installed);
    while (hooks != nullptr && hooks != this) {
      hooks = dynamic_cast<const CallHooks*>(hooks->next_.get());
    }
    return hooks == this;
  }

 private:
  // Null: `ctx` is the host's own. (An address on this thread's stack is nobody else's context.)
  OpenCall* Mine(void* ctx) const noexcept {
    if (ctx == nullptr) return nullptr;  // tracing is off
    OpenCall* call = open_call;
    while (call != nullptr && call != ctx) call = call->outer;  // hardly ever more than one
    return call != nullptr && call->hooks == this && call->active ? call : nullptr;
  }

  static void ReadContext(OpenCall* call) noexcept {
    if (TakeContext(call->in, &call->context, call->buffer)) return;
    // [A] acquire, pairs with the release of who sets it: whatever the reader needs is there.
    const ContextReader more = more_context.load(std::memory_order_acquire);
    if (more != nullptr) more(call->in, &call->context);
  }

  ServiceState& service_;
  const std::shared_ptr<TProcessorEventHandler> next_;
};

}  // namespace internal
SEER_END_NAMESPACE
