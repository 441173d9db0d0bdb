// Flow: TServer's events -> [TraceConnections] -> counts of connections
//
// How many connections a server has, and whether anybody hides its requests.
//
//   TThreadedServer server(seer::Trace("cart", processor), socket, transports, protocols);
//   seer::TraceConnections("cart", server);
//
// Connections that a thread pool has no worker for yet count in its queue
// (trace_thread_manager.h), those that were not accepted in the accept backlog (accept_probe.h).
//
// A TServer has one event handler. One that was set before goes on working, with its own contexts;
// one that is set later takes our events away, and the requests from then on are counted
// (ThriftCounts::events_lost). Where several servers serve one service, trace all of them or none.
//
// Threads: before the server starts. Cost: two atomic additions a connection, a few instructions a
//          request.
#pragma once

#include <memory>
#include <string_view>
#include <utility>

#include <thrift/server/TServer.h>

#include "seer/core/config.h"
#include "seer/thrift/internal/arrival.h"
#include "seer/thrift/internal/service_state.h"

SEER_BEGIN_NAMESPACE

// For hosts that install their event handlers themselves.
class ConnectionEvents final : public apache::thrift::server::TServerEventHandler {
 public:
  using TProtocol = apache::thrift::protocol::TProtocol;
  using TTransport = apache::thrift::transport::TTransport;

  // `next` may be null.
  ConnectionEvents(std::string_view service, std::shared_ptr<TServerEventHandler> next)
      : service_(internal::ServiceState::Of(service)), next_(std::move(next)) {}

  void preServe() override {
    service_.watches_connections.store(true, std::memory_order_relaxed);  // orders nothing
    if (next_) next_->preServe();
  }
  void* createContext(std::shared_ptr<TProtocol> in, std::shared_ptr<TProtocol> out) override {
    service_.connections.Add();
    return next_ ? next_->createContext(std::move(in), std::move(out)) : nullptr;
  }
  void deleteContext(void* context, std::shared_ptr<TProtocol> in,
                     std::shared_ptr<TProtocol> out) override {
    service_.disconnections.Add();
    if (next_) next_->deleteContext(context, std::move(in), std::move(out));
  }
  void processContext(void* context, std::shared_ptr<TTransport> transport) override {
    internal::request_announced = true;
    if (next_) next_->processContext(context, std::move(transport));
  }

 private:
  internal::ServiceState& service_;
  const std::shared_ptr<TServerEventHandler> next_;
};

// In front of the handler that the server has.
inline void TraceConnections(std::string_view service, apache::thrift::server::TServer& server) {
  // From now on every request of this service is announced, or counted as lost.
  internal::ServiceState::Of(service).watches_connections.store(
      true, std::memory_order_relaxed);  // orders nothing
  server.setServerEventHandler(
      std::make_shared<ConnectionEvents>(service, server.getEventHandler()));
}

SEER_END_NAMESPACE
