#include "servers.h"

#include <functional>
#include <string>
#include <utility>

#include <thrift/concurrency/ThreadFactory.h>
#include <thrift/concurrency/ThreadManager.h>
#include <thrift/protocol/TBinaryProtocol.h>
#include <thrift/server/TNonblockingServer.h>
#include <thrift/server/TSimpleServer.h>
#include <thrift/server/TThreadPoolServer.h>
#include <thrift/server/TThreadedServer.h>
#include <thrift/transport/TBufferTransports.h>

#include "seer/thrift/trace.h"
#include "seer/thrift/trace_connections.h"
#include "seer/thrift/trace_thread_manager.h"
#include "seer/thrift/traced_server_socket.h"

namespace social {
namespace {

using apache::thrift::TProcessor;
using apache::thrift::concurrency::ThreadFactory;
using apache::thrift::concurrency::ThreadManager;
using apache::thrift::protocol::TBinaryProtocolFactory;
using apache::thrift::server::TNonblockingServer;
using apache::thrift::server::TServer;
using apache::thrift::server::TSimpleServer;
using apache::thrift::server::TThreadedServer;
using apache::thrift::server::TThreadPoolServer;
using apache::thrift::transport::TFramedTransportFactory;

class WhenListening : public apache::thrift::server::TServerEventHandler {
 public:
  explicit WhenListening(std::function<void()> tell) : tell_(std::move(tell)) {}
  void preServe() override { tell_(); }

 private:
  const std::function<void()> tell_;
};

std::shared_ptr<ThreadManager> Workers(const Role& role) {
  auto workers = seer::Trace(role.name, ThreadManager::newSimpleThreadManager(role.workers));
  workers->threadFactory(std::make_shared<ThreadFactory>());
  workers->start();
  return workers;
}

void ServeOn(const Role& role, TServer& server, std::function<void()> when_listening) {
  server.setServerEventHandler(std::make_shared<WhenListening>(std::move(when_listening)));
  seer::TraceConnections(role.name, server);
  server.serve();
}

void ServeNonblocking(const Role& role, const std::shared_ptr<TProcessor>& traced,
                      const Deployment& deployment) {
  auto socket = std::make_shared<seer::TracedNonblockingServerSocket>("127.0.0.1", 0);
  auto protocols = std::make_shared<TBinaryProtocolFactory>();
  const auto tell = [&] { deployment.Announce(role.name, socket->getListenPort()); };
  if (role.server == Server::kNonblockingPool) {
    TNonblockingServer server(traced, protocols, socket, Workers(role));
    ServeOn(role, server, tell);
  } else {
    TNonblockingServer server(traced, protocols, socket);
    ServeOn(role, server, tell);
  }
}

}  // namespace

void Serve(const Role& role, const std::shared_ptr<TProcessor>& processor,
           const Deployment& deployment) {
  const auto traced = seer::Trace(role.name, processor);
  auto socket = std::make_shared<seer::TracedServerSocket>("127.0.0.1", 0);
  auto transports = std::make_shared<TFramedTransportFactory>();
  auto protocols = std::make_shared<TBinaryProtocolFactory>();
  const auto tell = [&] { deployment.Announce(role.name, socket->getPort()); };
  switch (role.server) {
    case Server::kSimple: {
      TSimpleServer server(traced, socket, transports, protocols);
      return ServeOn(role, server, tell);
    }
    case Server::kThreaded: {
      TThreadedServer server(traced, socket, transports, protocols);
      return ServeOn(role, server, tell);
    }
    case Server::kThreadPool: {
      TThreadPoolServer server(traced, socket, transports, protocols, Workers(role));
      return ServeOn(role, server, tell);
    }
    case Server::kNonblocking:
    case Server::kNonblockingPool:
      return ServeNonblocking(role, traced, deployment);
    case Server::kConsumer:
      return;  // nothing to serve: consumer.h
  }
}

}  // namespace social
