// Flow: RPC -> [ServedCall, OutgoingCall] -> queue/ counters, SpanRecorder
//
// All that seer wants to know of an RPC, for a host whose RPCs are neither Thrift's nor
// OpenTracing's: one object for a request that is served, one for a call that is made. They count
// in the queues of the service (registry.h), record a span (recorder.h) and keep the context
// (context.h) together.
//
//   const auto get_cart = *seer::ServedRpc::Add("cart", "GET /cart");              // once; keep it
//   const auto find_user = *seer::CalledRpc::Add("cart", "user", "FindUser");
//
//   seer::ServedCall call(get_cart, seer::Extract(request.headers));               // it waits
//   jobs.push({std::move(request), std::move(call)});
//   ...
//   job.call.Dequeued();                                                           // a worker has
//   it
//   {
//     seer::HandlerScope handling(&job.call);                                      // it runs
//     seer::OutgoingCall user(find_user);
//     seer::Inject(user.context(), &headers);
//     Reply reply = client.FindUser(headers);
//     user.End(seer::Outcome::kOk);
//   }
//   Send(reply);
//   job.call.End(seer::Outcome::kOk);                                              // it is gone
//
// What is counted: a request stands in `queued` from ServedCall's construction to Dequeued() or the
// first HandlerScope, then in `running` until its end; a call in the edge's `outbound`. While a
// request has a call open it is also `blocked`: the call finds its request by the current context,
// so also in a thread that got it with Bind(). Calls that nobody waits for are CallKind::kAsync.
//
// A ServedCall or OutgoingCall that is destroyed without End() ended as failed: something threw.
//
// Threads: handles are plain values, used from any thread. A call belongs to one thread at a time
//          and may be moved to another. A HandlerScope belongs to its thread and block.
// Cost:    a request with one call takes 1.9 times what their two spans alone take (430 and 232 ns
// on a
//          machine that was busy; benchmarks/trace/rpc_scope_bench.cc): two queues each, and the
//          table of open requests. No lock, allocation or system call after a thread's first. At
//          most 8192 requests that run at the same time are seen as blocked.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "seer/core/config.h"
#include "seer/core/span.h"
#include "seer/queue/registry.h"
#include "seer/trace/context.h"
#include "seer/trace/internal/open_requests.h"
#include "seer/trace/recorder.h"

SEER_BEGIN_NAMESPACE

// A method that this process serves. The default one counts and records nowhere.
class ServedRpc {
 public:
  ServedRpc() = default;

  // With the registry and the recorder that the rest of seer uses. The same names give the same
  // method again; the rules for names are those of SpanRecorder::AddServed.
  static absl::StatusOr<ServedRpc> Add(std::string_view service, std::string_view method);
  static absl::StatusOr<ServedRpc> Add(QueueRegistry& queues, SpanRecorder& recorder,
                                       std::string_view service, std::string_view method);

  explicit operator bool() const { return static_cast<bool>(method_); }

 private:
  friend class ServedCall;
  ServedMethod method_;
  Queue queued_;
  Queue running_;
  Queue blocked_;
  std::uint64_t service_ = 0;  // a number of its name
};

// A method of another service, or of a database, that this process calls.
class CalledRpc {
 public:
  CalledRpc() = default;

  static absl::StatusOr<CalledRpc> Add(std::string_view caller, std::string_view callee,
                                       std::string_view method);
  static absl::StatusOr<CalledRpc> Add(QueueRegistry& queues, SpanRecorder& recorder,
                                       std::string_view caller, std::string_view callee,
                                       std::string_view method);

  explicit operator bool() const { return static_cast<bool>(method_); }

 private:
  friend class OutgoingCall;
  CalledMethod method_;
  Queue outbound_;
  Queue blocked_;
  std::uint64_t service_ = 0;
};

// A request from its arrival to its reply. Moved from, it is nothing.
class [[nodiscard]] ServedCall {
 public:
  // Received now, from `caller` (Extract() gives it; not valid: a trace begins here).
  ServedCall(const ServedRpc& rpc, const TraceContext& caller) noexcept
      : ticket_(rpc.queued_),
        span_(rpc.method_, caller),
        context_(span_.ContextUnder(caller)),
        running_(rpc.running_),
        blocked_(rpc.blocked_),
        service_(rpc.service_) {}
  ~ServedCall() { End(Outcome::kFailed); }
  ServedCall(ServedCall&& other) noexcept
      : ticket_(std::move(other.ticket_)),
        span_(std::move(other.span_)),
        context_(std::move(other.context_)),
        running_(std::exchange(other.running_, Queue())),
        blocked_(other.blocked_),
        service_(other.service_),
        open_(std::exchange(other.open_, {})),
        runs_(other.runs_),
        handled_(other.handled_),
        ended_(std::exchange(other.ended_, true)) {}
  ServedCall& operator=(ServedCall&&) = delete;

  // The context of what is done for this request; HandlerScope makes it current.
  const TraceContext& context() const noexcept { return context_; }

  // A worker has taken it from the task queue. Not for servers without one.
  void Dequeued() noexcept {
    if (ended_ || runs_) return;
    span_.Dequeued();
    Run();
  }
  // The reply has been given to the transport, or there will be none. Later calls do nothing.
  void End(Outcome outcome) noexcept;

  // That it runs, for readers who want to know of requests that never end (recorder.h).
  void Recorded() const noexcept { span_.Recorded(); }

 private:
  friend class HandlerScope;
  void Run() noexcept {
    runs_ = true;
    ticket_.MoveTo(running_);
  }
  void HandlerStarts() noexcept;

  Ticket ticket_;
  ServerSpan span_;
  TraceContext context_;
  Queue running_;
  Queue blocked_;
  std::uint64_t service_;
  internal::OpenRequest open_;
  bool runs_ = false;
  bool handled_ = false;
  bool ended_ = false;
};

// The handler runs, from here to the end of the block: the request's context is current. Further
// ones, also in other threads, continue it.
class [[nodiscard]] HandlerScope {
 public:
  // `call` outlives the scope and is not moved meanwhile.
  explicit HandlerScope(ServedCall* call) noexcept : call_(call), scope_(call->context_) {
    call_->HandlerStarts();
  }
  ~HandlerScope() { call_->span_.HandlerEnd(); }
  HandlerScope(const HandlerScope&) = delete;
  HandlerScope& operator=(const HandlerScope&) = delete;

 private:
  ServedCall* const call_;
  ContextScope scope_;
};

enum class CallKind : std::uint8_t {
  kSync,   // the request waits for the reply, here or in another thread
  kAsync,  // it does not
};

// A call from its beginning to its result. Moved from, it is nothing.
class [[nodiscard]] OutgoingCall {
 public:
  explicit OutgoingCall(const CalledRpc& rpc, CallKind kind = CallKind::kSync) noexcept
      : OutgoingCall(rpc, CurrentContext(), kind) {}
  // For a host that carries the context of the request by itself: ServedCall::context().
  OutgoingCall(const CalledRpc& rpc, const TraceContext& request, CallKind kind) noexcept;
  ~OutgoingCall() { End(Outcome::kFailed); }
  OutgoingCall(OutgoingCall&& other) noexcept
      : ticket_(std::move(other.ticket_)),
        span_(std::move(other.span_)),
        context_(std::move(other.context_)),
        blocked_(other.blocked_),
        request_(std::exchange(other.request_, {})) {}
  OutgoingCall& operator=(OutgoingCall&&) = delete;

  // What the callee has to be told: Inject() it into the request.
  const TraceContext& context() const noexcept { return context_; }

  void RequestSent() noexcept { span_.RequestSent(); }
  void FirstByte() noexcept { span_.FirstByte(); }
  // The application has the result. Later calls do nothing.
  void End(Outcome outcome) noexcept;

 private:
  Ticket ticket_;
  ClientSpan span_;
  TraceContext context_;
  Queue blocked_;
  internal::OpenRequest request_;
};

SEER_END_NAMESPACE
