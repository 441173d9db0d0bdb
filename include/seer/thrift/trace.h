// Flow: request -> [Trace(processor)] -> queues, spans, context -> handler
//
// Wraps a processor in one line, on every server and with every protocol:
//
//   TThreadedServer server(seer::Trace("cart", processor), socket, transports, protocols);
//
// From then on the service has the depths `running` and `blocked`, each request leaves a span with
// the stamps of its way (core/span.h), and what the handler calls belongs to the request's trace:
// the caller's context comes out of the arguments (make_traced.h puts it there), or begins here.
// Replies are byte for byte those of the plain processor.
//
//   kReceived      the kernel had the request (traced_server_socket.h), or it came into the task
//                  queue (trace_thread_manager.h); else when its header had been read
//   kDequeued      the application saw it: out of the task queue, or out of the socket. Unknown
//                  where kReceived is already that moment
//   kHandlerStart  the arguments are read        kHandlerEnd   the handler has returned
//   kReplySent     the reply was given to the transport; in a TNonblockingServer that is memory,
//                  and sending follows
//
// So what lies before kHandlerStart and after kHandlerEnd is network and decoding, what lies
// between is the application's.
//
// Event handlers of the host's go on working with their own contexts: one that was on the processor
// before, and one that is set on what Trace() returns. One that is set on the inner processor later
// takes the hooks away: such calls are counted (ThriftCounts::hooks_lost), and not traced.
//
// Several services in one TMultiplexedProcessor are registered traced, each under its own name:
//
//   seer::RegisterTraced(*mux, "orders-v2", processor);
//
// To trace the multiplexer too is of use for what it turns away (unknown services); a service in it
// that is not registered traced then counts as hooks_lost.
//
// Where the context is looked for: seer's clients write it as the first field of the arguments,
// where it is found at once in binary and compact protocol, if the transport has a buffer (framed,
// buffered, memory, THeader). In JSON, and over transports without one (HTTP, zlib, a bare socket
// or descriptor, TLS or not), every field is looked at. Tracers of Java and others write it at the
// end of the arguments, or of the first struct in them; for their clients say so:
//
//   seer::ThriftTraceOptions options;
//   options.search_arguments = true;
//   TThreadedServer server(seer::Trace("cart", processor, options), ...);
//
// Threads: set-up before the server starts; the processor then from any thread, as the inner one.
//          A handler that goes on in another thread takes the context along with Bind()
//          (context.h).
// Cost:    about 900 instructions a call with a context, of them four reads of the clock
//          (benchmarks/thrift); no cost per field, also with cpp:templates. Where every field is
//          looked at, a virtual call for each, and cpp:templates take their general way. Off
//          (SetThriftTracing): about 200, as the generated code still calls hooks.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <thrift/TProcessor.h>
#include <thrift/processor/TMultiplexedProcessor.h>
#include <thrift/transport/TTransportException.h>

#include "seer/core/config.h"
#include "seer/thrift/internal/args_reader.h"
#include "seer/thrift/internal/call_hooks.h"
#include "seer/thrift/internal/service_state.h"

SEER_BEGIN_NAMESPACE

struct ThriftTraceOptions {
  // Clients may write the context anywhere in the arguments: look at every field.
  bool search_arguments = false;
};

namespace internal {

// The hooks of this service on a processor. Those that are there already serve several wrappers: a
// factory may hand out the same processor for every connection.
inline std::shared_ptr<CallHooks> InstallHooks(ServiceState& service,
                                               apache::thrift::TProcessor& processor) {
  auto installed = processor.getEventHandler();
  auto hooks = std::dynamic_pointer_cast<CallHooks>(installed);
  if (hooks != nullptr && &hooks->service() == &service) return hooks;
  hooks = std::make_shared<CallHooks>(service, std::move(installed));
  processor.setEventHandler(hooks);
  return hooks;
}

class TracedProcessor final : public apache::thrift::TProcessor {
 public:
  TracedProcessor(ServiceState& service, std::shared_ptr<TProcessor> inner,
                  const ThriftTraceOptions& options)
      : inner_(std::move(inner)),
        service_(service),
        hooks_(InstallHooks(service, *inner_)),
        options_(options) {}

  bool process(std::shared_ptr<apache::thrift::protocol::TProtocol> in,
               std::shared_ptr<apache::thrift::protocol::TProtocol> out,
               void* connection) override {
    const bool traced = ThriftTracingIsOn();
    if (__builtin_expect(!traced && eventHandler_ == nullptr, 0)) {
      return inner_->process(std::move(in), std::move(out), connection);
    }
    OpenCall call(hooks_.get(), traced, in.get(), eventHandler_.get());
    const bool announced = std::exchange(request_announced, false);
    if (traced) {
      const ArgsPlace args = ArgsOf(*in);
      call.buffer = args.buffer;
      // In a multiplexer the service's own wrapper does so, or nobody.
      if (__builtin_expect((args.reader || options_.search_arguments) && !is_mux_, 0)) {
        in = std::make_shared<ArgsReader>(in, &call.context);
      }
    }
    bool keep = false;
    try {
      keep = inner_->process(std::move(in), std::move(out), connection);
    } catch (const apache::thrift::transport::TTransportException&) {
      throw;  // before the first hook: the connection's end, which is no request
    } catch (...) {
      if (traced && !call.seen) service_.unhandled.Add();
      throw;
    }
    if (__builtin_expect(traced && !call.seen, 0)) CountUnseen();
    if (__builtin_expect(!announced, 0)) CountUnannounced(call);
    return keep;
  }

 private:
  // Processed, but the hooks were not called: nobody has this method, or nobody calls us any more.
  void CountUnseen() const {
    const bool lost = is_mux_ || !hooks_->ReachedFrom(inner_->getEventHandler().get());
    (lost ? service_.hooks_lost : service_.unhandled).Add();
  }
  // Nobody was told of this request beforehand, though somebody asked to be.
  void CountUnannounced(const OpenCall& call) const {
    const bool asked = service_.watches_connections.load(std::memory_order_relaxed);  // no order
    if (asked && call.traced && call.seen && handled_call == nullptr) service_.events_lost.Add();
  }

  const std::shared_ptr<TProcessor> inner_;
  ServiceState& service_;
  const std::shared_ptr<CallHooks> hooks_;
  const ThriftTraceOptions options_;
  // It calls no hooks of its own, only those of the services in it.
  const bool is_mux_ =
      dynamic_cast<apache::thrift::TMultiplexedProcessor*>(inner_.get()) != nullptr;
};

class TracedProcessorFactory final : public apache::thrift::TProcessorFactory {
 public:
  TracedProcessorFactory(ServiceState& service, std::shared_ptr<TProcessorFactory> inner,
                         const ThriftTraceOptions& options)
      : inner_(std::move(inner)), service_(service), options_(options) {}

  std::shared_ptr<apache::thrift::TProcessor> getProcessor(
      const apache::thrift::TConnectionInfo& connection) override {
    auto processor = inner_->getProcessor(connection);
    if (processor == nullptr) return processor;
    return std::make_shared<TracedProcessor>(service_, std::move(processor), options_);
  }

 private:
  const std::shared_ptr<TProcessorFactory> inner_;
  ServiceState& service_;
  const ThriftTraceOptions options_;
};

inline ServiceState& ServedHere(std::string_view name) {
  ServiceState& service = ServiceState::Of(name);
  service.Serve();
  return service;
}

}  // namespace internal

// The processor, traced as service `name` (1 to 63 bytes; ThriftCountsOf() says if the node has no
// place for it: it then serves as well, and counts nowhere). Null stays null.
inline std::shared_ptr<apache::thrift::TProcessor> Trace(
    std::string_view name, std::shared_ptr<apache::thrift::TProcessor> processor,
    const ThriftTraceOptions& options = {}) {
  if (processor == nullptr) return processor;
  return std::make_shared<internal::TracedProcessor>(internal::ServedHere(name),
                                                     std::move(processor), options);
}

// For servers that make a processor for each connection.
inline std::shared_ptr<apache::thrift::TProcessorFactory> Trace(
    std::string_view name, std::shared_ptr<apache::thrift::TProcessorFactory> factory,
    const ThriftTraceOptions& options = {}) {
  if (factory == nullptr) return factory;
  return std::make_shared<internal::TracedProcessorFactory>(internal::ServedHere(name),
                                                            std::move(factory), options);
}

// A service of several behind one port, under the name that clients address it by.
inline void RegisterTraced(apache::thrift::TMultiplexedProcessor& mux, std::string_view name,
                           std::shared_ptr<apache::thrift::TProcessor> processor,
                           const ThriftTraceOptions& options = {}) {
  mux.registerProcessor(std::string(name), Trace(name, std::move(processor), options));
}
// The one that serves clients which address none.
inline void RegisterTracedDefault(apache::thrift::TMultiplexedProcessor& mux, std::string_view name,
                                  std::shared_ptr<apache::thrift::TProcessor> processor,
                                  const ThriftTraceOptions& options = {}) {
  mux.registerDefault(Trace(name, std::move(processor), options));
}

SEER_END_NAMESPACE
