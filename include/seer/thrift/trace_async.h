// Flow: request -> [Trace(async processor)] -> queues, spans, context -> handler, later its reply
//
// For code that was generated with cpp:cob_style, whose handlers answer when they like and on
// whatever thread:
//
//   auto processor = seer::Trace("cart", std::make_shared<CartAsyncProcessor>(handler));
//   TEvhttpServer server(std::make_shared<TAsyncProtocolProcessor>(processor, protocols), 9090);
//
// A request begins when its header has been read and ends when its completion callback is called,
// once: Thrift's hooks are called twice for each request there, and end only one of them. One whose
// handler drops the callback, or throws, ends as failed when the last copy of the callback is gone.
//
// The request's context is current while process() runs the handler. What goes on later, in another
// callback or thread, takes it along with Bind() (trace/context.h).
//
// The rest is as in trace.h. Threads: as the inner processor. Cost: that of trace.h and one
// allocation a call.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include <thrift/async/TAsyncProcessor.h>

#include "seer/core/config.h"
#include "seer/thrift/internal/args_reader.h"
#include "seer/thrift/internal/call_hooks.h"
#include "seer/thrift/internal/service_state.h"
#include "seer/thrift/trace.h"

SEER_BEGIN_NAMESPACE

namespace internal {

class AsyncHooks;

// What the hooks of a reply saw on this thread, for the callback that follows them there.
struct AsyncReply {
  std::uint64_t handler_end = 0;  // 0: there was no reply
  std::uint64_t sent = 0;
  bool failed = false;
};
SEER_INTERNAL_THREAD_LOCAL AsyncReply async_reply;

// One request, kept alive by the copies of its completion callback.
class AsyncCall {
 public:
  // The first of several calls ends the request.
  void Finish(ServiceState& service) noexcept {
    // [A] Whoever finishes first is the only one to touch `served`. What process() did to it
    // happened before: the callback was handed over after that.
    if (finished_.exchange(true, std::memory_order_acq_rel)) return;
    if (!served.active()) {
      service.unhandled.Add();  // answered by the generated code: unknown method
      return;
    }
    const AsyncReply reply = std::exchange(async_reply, AsyncReply());
    served.FinishAsync(reply.handler_end, reply.sent, reply.failed);
  }
  ThriftRequest served;

 private:
  std::atomic<bool> finished_{false};
};

// A request while process() is on this thread's stack.
struct AsyncEntry {
  AsyncEntry(const AsyncHooks* its_hooks, AsyncCall* its_call,
             apache::thrift::protocol::TProtocol* input) noexcept;
  ~AsyncEntry();
  AsyncEntry(const AsyncEntry&) = delete;
  AsyncEntry& operator=(const AsyncEntry&) = delete;

  const AsyncHooks* const hooks;
  AsyncCall* const call;
  AsyncEntry* const outer;
  apache::thrift::protocol::TProtocol* const in;
  bool begun = false;
  TraceContext caller;
  HandledCall handled;  // here and not in the call: it belongs to this thread
  HandledCall* handled_before = nullptr;
  std::optional<ContextScope> scope;
};
SEER_INTERNAL_THREAD_LOCAL AsyncEntry* async_entry = nullptr;

// The host's handler is called with contexts of its own, as the generated code does it: twice.
class AsyncHooks final : public apache::thrift::TProcessorEventHandler {
 public:
  AsyncHooks(ServiceState& service, std::shared_ptr<TProcessorEventHandler> next)
      : service_(service), next_(std::move(next)) {}

  void* getContext(const char* fn_name, void* connection) override {
    void* const next = next_ ? next_->getContext(fn_name, connection) : nullptr;
    AsyncEntry* const entry = Entering();
    if (entry != nullptr) {
      entry->begun = true;
      entry->call->served.Begin(service_, fn_name, handled_call != nullptr);
      if (!TakeContext(entry->in, &entry->caller)) {
        const ContextReader more = more_context.load(std::memory_order_acquire);  // [A]
        if (more != nullptr) more(entry->in, &entry->caller);
      }
      reading_ = entry;
    } else if (ThriftTracingIsOn()) {  // the reply begins
      async_reply = AsyncReply();
      async_reply.handler_end = StampClock().Stamp();
    }
    return next;
  }
  void preRead(void* ctx, const char* fn_name) override {
    if (next_) next_->preRead(ctx, fn_name);
  }
  void postRead(void* ctx, const char* fn_name, std::uint32_t bytes) override {
    if (AsyncEntry* const entry = std::exchange(reading_, nullptr)) {
      entry->call->served.HandlerBegins(entry->caller);
      entry->call->served.Continue(&entry->caller);
      entry->scope.emplace(std::move(entry->caller));
      entry->handled.service = &service_;
      entry->handled.id = entry->call->served.span_id();
      entry->handled_before = std::exchange(handled_call, &entry->handled);
    }
    if (next_) next_->postRead(ctx, fn_name, bytes);
  }
  void preWrite(void* ctx, const char* fn_name) override {
    if (next_) next_->preWrite(ctx, fn_name);
  }
  void postWrite(void* ctx, const char* fn_name, std::uint32_t bytes) override {
    if (async_reply.handler_end != 0) async_reply.sent = StampClock().Stamp();
    if (next_) next_->postWrite(ctx, fn_name, bytes);
  }
  void asyncComplete(void* ctx, const char* fn_name) override {
    if (next_) next_->asyncComplete(ctx, fn_name);  // before the handler: says nothing
  }
  void handlerError(void* ctx, const char* fn_name) override {
    if (async_reply.handler_end != 0) async_reply.failed = true;
    if (next_) next_->handlerError(ctx, fn_name);
  }
  void freeContext(void* ctx, const char* fn_name) override {
    reading_ = nullptr;
    async_reply = AsyncReply();  // of a reply that ended without its callback
    if (next_) next_->freeContext(ctx, fn_name);
  }

  ServiceState& service() const noexcept { return service_; }

 private:
  AsyncEntry* Entering() const noexcept {
    AsyncEntry* const entry = async_entry;
    return entry != nullptr && entry->hooks == this && !entry->begun ? entry : nullptr;
  }

  // Between getContext and postRead, which follow each other on one thread.
  static inline thread_local AsyncEntry* reading_ = nullptr;

  ServiceState& service_;
  const std::shared_ptr<TProcessorEventHandler> next_;
};

inline AsyncEntry::AsyncEntry(const AsyncHooks* its_hooks, AsyncCall* its_call,
                              apache::thrift::protocol::TProtocol* input) noexcept
    : hooks(its_hooks), call(its_call), outer(async_entry), in(input) {
  async_entry = this;
}
inline AsyncEntry::~AsyncEntry() {
  if (scope.has_value()) {
    scope.reset();
    handled_call = handled_before;
    // This thread waits for nothing any more, whatever goes on elsewhere.
    if (handled.downstream != 0) handled.service->blocked().Leave();
  }
  async_entry = outer;
}

class TracedAsyncProcessor final : public apache::thrift::async::TAsyncProcessor {
 public:
  TracedAsyncProcessor(ServiceState& service, std::shared_ptr<TAsyncProcessor> inner,
                       const ThriftTraceOptions& options)
      : inner_(std::move(inner)), service_(service), options_(options) {
    auto installed = inner_->getEventHandler();
    hooks_ = std::dynamic_pointer_cast<AsyncHooks>(installed);
    if (hooks_ == nullptr || &hooks_->service() != &service) {
      hooks_ = std::make_shared<AsyncHooks>(service, std::move(installed));
      inner_->setEventHandler(hooks_);
    }
  }

  void process(std::function<void(bool)> done,
               std::shared_ptr<apache::thrift::protocol::TProtocol> in,
               std::shared_ptr<apache::thrift::protocol::TProtocol> out) override {
    if (!ThriftTracingIsOn()) {
      inner_->process(std::move(done), std::move(in), std::move(out));
      return;
    }
    const auto call = std::make_shared<AsyncCall>();
    AsyncEntry entry(hooks_.get(), call.get(), in.get());
    if (ArgsOf(*in).reader || options_.search_arguments) {
      in = std::make_shared<ArgsReader>(in, &entry.caller);
    }
    try {
      inner_->process(
          [call, service = &service_, done = std::move(done)](bool ok) {
            call->Finish(*service);
            done(ok);
          },
          in, std::move(out));
    } catch (const apache::thrift::transport::TTransportException&) {
      throw;
    } catch (...) {
      if (!entry.begun) service_.unhandled.Add();
      throw;
    }
  }

 private:
  const std::shared_ptr<TAsyncProcessor> inner_;
  ServiceState& service_;
  const ThriftTraceOptions options_;
  std::shared_ptr<AsyncHooks> hooks_;
};

class TracedAsyncProcessorFactory final : public apache::thrift::async::TAsyncProcessorFactory {
 public:
  TracedAsyncProcessorFactory(ServiceState& service, std::shared_ptr<TAsyncProcessorFactory> inner,
                              const ThriftTraceOptions& options)
      : inner_(std::move(inner)), service_(service), options_(options) {}

  std::shared_ptr<apache::thrift::async::TAsyncProcessor> getProcessor(
      const apache::thrift::TConnectionInfo& connection) override {
    auto processor = inner_->getProcessor(connection);
    if (processor == nullptr) return processor;
    return std::make_shared<TracedAsyncProcessor>(service_, std::move(processor), options_);
  }

 private:
  const std::shared_ptr<TAsyncProcessorFactory> inner_;
  ServiceState& service_;
  const ThriftTraceOptions options_;
};

}  // namespace internal

// As in trace.h.
inline std::shared_ptr<apache::thrift::async::TAsyncProcessor> Trace(
    std::string_view name, std::shared_ptr<apache::thrift::async::TAsyncProcessor> processor,
    const ThriftTraceOptions& options = {}) {
  if (processor == nullptr) return processor;
  return std::make_shared<internal::TracedAsyncProcessor>(internal::ServedHere(name),
                                                          std::move(processor), options);
}
inline std::shared_ptr<apache::thrift::async::TAsyncProcessorFactory> Trace(
    std::string_view name, std::shared_ptr<apache::thrift::async::TAsyncProcessorFactory> factory,
    const ThriftTraceOptions& options = {}) {
  if (factory == nullptr) return factory;
  return std::make_shared<internal::TracedAsyncProcessorFactory>(internal::ServedHere(name),
                                                                 std::move(factory), options);
}

SEER_END_NAMESPACE
