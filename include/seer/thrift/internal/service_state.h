// Flow: (internal) hooks, clients -> [ServiceState] -> QueueRegistry, SpanRecorder
//
// What the process knows of one service, its own (queues, methods, what went wrong) or one that it
// calls (the edge to it). Made on first use, found by name, never destroyed: calls may still be
// open when the program ends.
//
// Threads: everything from any thread. HandledCall and DownstreamCall belong to the thread that
//          made them. Cost: Of() and EdgeTo() take a lock, so keep what they return; the rest a few
//          ns.
#pragma once

#include <atomic>
#include <cerrno>  // program_invocation_short_name
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "seer/core/channel.h"
#include "seer/core/config.h"
#include "seer/core/internal/mutex.h"
#include "seer/queue/registry.h"
#include "seer/thrift/internal/method_table.h"
#include "seer/thrift/internal/thread_local.h"
#include "seer/trace/recorder.h"

namespace apache::thrift::protocol {
class TProtocol;
}

SEER_BEGIN_NAMESPACE

struct TraceContext;

namespace internal {

// Looked at once a call; see SetThriftTracing().
inline std::atomic<bool> thrift_tracing{true};
inline bool ThriftTracingIsOn() noexcept {
  return thrift_tracing.load(std::memory_order_relaxed);  // orders nothing
}

// Further places where a context may stand in a request (thrift_header.h). Null: none.
using ContextReader = bool (*)(apache::thrift::protocol::TProtocol*, TraceContext*) noexcept;
inline std::atomic<ContextReader> more_context{nullptr};

// The calls of one caller to one callee.
class EdgeState {
 public:
  EdgeState(std::string caller, std::string callee, Queue outbound)
      : caller_(std::move(caller)), callee_(std::move(callee)), outbound_(outbound) {}

  // Open calls. A QueueScope or Ticket of it makes a leave without an enter impossible.
  const Queue& outbound() const { return outbound_; }
  // `message` as it is sent. Inside a TMultiplexedProtocol that is "service:method".
  const CalledMethod& Called(std::string_view message) {
    return methods_.Find(message, [this](std::string_view name) {
      const std::size_t colon = name.rfind(':');
      if (colon != std::string_view::npos) name.remove_prefix(colon + 1);
      return SpanRecorder::Global()
          .AddCalled(caller_, callee_, name.substr(0, kMaxMethodName))
          .value_or(CalledMethod());
    });
  }

  static constexpr std::size_t kMaxMethodName = 124;

 private:
  const std::string caller_;
  const std::string callee_;
  const Queue outbound_;
  MethodTable<CalledMethod> methods_;
};

// What is not a depth. Relaxed throughout: counts that order nothing.
class Tally {
 public:
  void Add(std::uint64_t n = 1) noexcept { count_.fetch_add(n, std::memory_order_relaxed); }
  std::uint64_t Get() const noexcept { return count_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> count_{0};
};

class ServiceState {
 public:
  // The service of this name; a name that the registry refuses gives one that counts nowhere, and
  // whose status() says why.
  static ServiceState& Of(std::string_view name) {
    All& all = AllServices();
    MutexLock lock(&all.mutex);
    const auto found = all.services.find(name);
    if (found != all.services.end()) return *found->second;
    auto* const service = new ServiceState(std::string(name));  // never destroyed, see above
    all.services.emplace(service->name(), service);
    return *service;
  }
  // Null where nobody asked for it yet.
  static ServiceState* Find(std::string_view name) {
    All& all = AllServices();
    MutexLock lock(&all.mutex);
    const auto found = all.services.find(name);
    return found == all.services.end() ? nullptr : found->second;
  }

  const std::string& name() const { return name_; }

  // A server of it lives in this process: from now on it has depths. Idempotent.
  void Serve() {
    MutexLock lock(&mutex_);
    if (serves_) return;
    serves_ = true;
    QueueRegistry& registry = QueueRegistry::Global();
    Keep(registry.AddQueue(name_, Channel::kRunning), &running_);
    Keep(registry.AddQueue(name_, Channel::kBlocked), &blocked_);
    ServiceState* none = nullptr;
    // Relaxed: states are never destroyed and were published under the lock of AllServices().
    AllServices().first_served.compare_exchange_strong(none, this, std::memory_order_relaxed);
  }
  // Requests in a task queue, and connections in that of a thread pool. Idempotent.
  TimedQueue AddTaskQueue() {
    MutexLock lock(&mutex_);
    if (!queued_) Keep(QueueRegistry::Global().AddTimedQueue(name_, Channel::kQueued), &queued_);
    return queued_;
  }
  Queue AddPoolQueue() {
    MutexLock lock(&mutex_);
    if (!pool_) Keep(QueueRegistry::Global().AddQueue(name_, Channel::kAccept, "pool"), &pool_);
    return pool_;
  }

  // Valid once Serve() has been called, and before: they count nowhere then.
  const Queue& running() const { return running_; }
  const Queue& blocked() const { return blocked_; }

  // `reported`: what a processor calls it, "Echo.echo". The recorder knows "echo".
  const ServedMethod& Served(std::string_view reported) {
    return methods_.Find(reported, [this](std::string_view name) {
      const std::size_t dot = name.rfind('.');
      if (dot != std::string_view::npos && dot + 1 < name.size()) name.remove_prefix(dot + 1);
      return SpanRecorder::Global()
          .AddServed(name_, name.substr(0, EdgeState::kMaxMethodName))
          .value_or(ServedMethod());
    });
  }

  // The edge from this service to another. Lives for ever.
  EdgeState& EdgeTo(std::string_view callee) {
    MutexLock lock(&mutex_);
    auto& edge = edges_[std::string(callee)];
    if (!edge) {
      Queue outbound;
      Keep(QueueRegistry::Global().AddOutbound(name_, callee), &outbound);
      edge = std::make_unique<EdgeState>(name_, std::string(callee), outbound);
    }
    return *edge;
  }

  // The first that went wrong when something was added.
  absl::Status status() const {
    MutexLock lock(&mutex_);
    return status_;
  }

  Tally failed;       // the handler threw what the interface does not declare
  Tally oneway;       // calls without a reply
  Tally undecodable;  // the arguments could not be read
  Tally unanswered;   // the reply could not be written
  Tally unhandled;    // messages that reached no handler: unknown method, not a call
  Tally hooks_lost;   // calls whose hooks did not run: another event handler was set later
  Tally events_lost;  // likewise of the server's event handler
  Tally expired;      // tasks that left the task queue unserved
  Tally connections;  // opened, closed: since the start
  Tally disconnections;
  // Somebody watches the connections: each request should be announced (ConnectionEvents).
  std::atomic<bool> watches_connections{false};

  // Who calls where no server call is being handled: SetThriftCaller(), else the first service
  // that is served here, else the program's name.
  static ServiceState& Process() {
    All& all = AllServices();
    // Relaxed: see Serve().
    ServiceState* service = all.caller.load(std::memory_order_relaxed);
    if (service == nullptr) service = all.first_served.load(std::memory_order_relaxed);
    if (service != nullptr) return *service;
    static ServiceState& program = Of(ProgramName());
    return program;
  }
  static void SetProcess(ServiceState* service) {
    AllServices().caller.store(service, std::memory_order_relaxed);  // see Serve()
  }

 private:
  explicit ServiceState(std::string name) : name_(std::move(name)) {}

  struct All {
    Mutex mutex;
    std::map<std::string, ServiceState*, std::less<>> services ABSL_GUARDED_BY(mutex);
    std::atomic<ServiceState*> caller{nullptr};
    std::atomic<ServiceState*> first_served{nullptr};
  };
  static All& AllServices() {
    static All* const all = new All;  // never destroyed, see above
    return *all;
  }
  static std::string ProgramName() {
    std::string name = program_invocation_short_name;
    name.resize(name.size() < 63 ? name.size() : 63);
    return name.empty() ? "client" : name;
  }

  template <typename AnyQueue>
  void Keep(absl::StatusOr<AnyQueue> added, AnyQueue* queue) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (added.ok()) {
      *queue = *added;
    } else if (status_.ok()) {
      status_ = added.status();
    }
  }

  const std::string name_;
  // Written by the first Serve(), before the processor that reads them is handed out.
  Queue running_;
  Queue blocked_;
  MethodTable<ServedMethod> methods_;
  mutable Mutex mutex_;
  bool serves_ ABSL_GUARDED_BY(mutex_) = false;
  TimedQueue queued_ ABSL_GUARDED_BY(mutex_);
  Queue pool_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::unique_ptr<EdgeState>> edges_ ABSL_GUARDED_BY(mutex_);
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
};

// The request that this thread is handling.
struct HandledCall {
  ServiceState* service = nullptr;
  std::uint64_t id = 0;          // its span's; never that of another call
  std::uint32_t downstream = 0;  // synchronous calls that are open within it
  RawSpan* span = nullptr;       // not recorded yet
};
SEER_INTERNAL_THREAD_LOCAL HandledCall* handled_call = nullptr;

// Who a call from this thread comes from.
inline ServiceState& CallerHere() {
  return handled_call != nullptr ? *handled_call->service : ServiceState::Process();
}

// A synchronous call that is open: the request that this thread handles, if it does, counts as
// blocked meanwhile. One that is given up on another thread, or after the handler returned, does no
// harm: the handler's end leaves the queue.
class DownstreamCall {
 public:
  DownstreamCall() = default;  // none
  ~DownstreamCall() { End(); }
  DownstreamCall(const DownstreamCall&) = delete;
  DownstreamCall& operator=(const DownstreamCall&) = delete;

  // Where none is open.
  void Begin() noexcept {
    HandledCall* const within = handled_call;
    if (within == nullptr) return;
    within_ = within;
    id_ = within->id;
    if (within->downstream++ == 0) within->service->blocked().Enter();
  }

  // A second call does nothing.
  void End() noexcept {
    HandledCall* const within = std::exchange(within_, nullptr);
    // Compared before it is looked into: the call may be long gone.
    if (within == nullptr || within != handled_call || within->id != id_) return;
    if (within->downstream != 0 && --within->downstream == 0) within->service->blocked().Leave();
  }

 private:
  HandledCall* within_ = nullptr;
  std::uint64_t id_ = 0;
};

}  // namespace internal
SEER_END_NAMESPACE
