#include "servers.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include <thrift/concurrency/ThreadFactory.h>
#include <thrift/concurrency/ThreadManager.h>
#include <thrift/protocol/TBinaryProtocol.h>
#include <thrift/server/TNonblockingServer.h>
#include <thrift/server/TSimpleServer.h>
#include <thrift/server/TThreadPoolServer.h>
#include <thrift/server/TThreadedServer.h>
#include <thrift/transport/TBufferTransports.h>
#include <thrift/transport/THttpServer.h>

#include "seer/queue/registry.h"
#include "seer/thrift/node.h"
#include "seer/thrift/trace.h"
#include "seer/thrift/trace_connections.h"
#include "seer/thrift/trace_thread_manager.h"
#include "seer/thrift/traced_server_socket.h"
#include "seer/trace/recorder.h"
#include "switches.h"

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
using apache::thrift::transport::THttpServerTransportFactory;

// Handlers that wait where the switches say so.
class WaitingHandlers : public apache::thrift::TProcessorEventHandler {
 public:
  explicit WaitingHandlers(const Switches::Service& service) : service_(service) {}
  // The arguments are read: what follows is the handler's time.
  void postRead(void*, const char*, std::uint32_t) override { WaitAsSwitched(service_); }

 private:
  const Switches::Service& service_;
};

class WhenListening : public apache::thrift::server::TServerEventHandler {
 public:
  explicit WhenListening(std::function<void()> tell) : tell_(std::move(tell)) {}
  void preServe() override { tell_(); }

 private:
  const std::function<void()> tell_;
};

// The pool has as many workers as the switches say; one that shrinks waits for those at work.
[[noreturn]] void Resize(ThreadManager& workers, const Role& role, const SwitchBoard& board) {
  for (;;) {
    const std::size_t wanted = board.WorkersOf(role), now = workers.workerCount();
    if (wanted > now) workers.addWorker(wanted - now);
    if (wanted < now) workers.removeWorker(now - wanted);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

std::shared_ptr<ThreadManager> Workers(const Role& role, const SwitchBoard& board) {
  auto workers = seer::Trace(role.name, ThreadManager::newSimpleThreadManager(role.workers));
  workers->threadFactory(std::make_shared<ThreadFactory>());
  workers->start();
  std::thread([workers, &role, &board] { Resize(*workers, role, board); }).detach();
  return workers;
}

void ServeOn(const Role& role, TServer& server, std::function<void()> when_listening) {
  server.setServerEventHandler(std::make_shared<WhenListening>(std::move(when_listening)));
  seer::TraceConnections(role.name, server);
  server.serve();
}

void ServeNonblocking(const Role& role, const std::shared_ptr<TProcessor>& traced,
                      const Deployment& deployment, const SwitchBoard& board) {
  auto socket = std::make_shared<seer::TracedNonblockingServerSocket>("127.0.0.1", 0);
  auto protocols = std::make_shared<TBinaryProtocolFactory>();
  const auto tell = [&] { deployment.Announce(role.name, socket->getListenPort()); };
  if (role.server == Server::kNonblockingPool) {
    TNonblockingServer server(traced, protocols, socket, Workers(role, board));
    ServeOn(role, server, tell);
  } else {
    TNonblockingServer server(traced, protocols, socket);
    ServeOn(role, server, tell);
  }
}

}  // namespace

void Serve(const Role& role, const std::shared_ptr<TProcessor>& processor,
           const Deployment& deployment) {
  static const SwitchBoard board(deployment);
  TraceAsSwitched(board);
  processor->setEventHandler(std::make_shared<WaitingHandlers>(board.Of(role.name)));
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
    case Server::kHttp: {
      TThreadedServer server(traced, socket, std::make_shared<THttpServerTransportFactory>(),
                             protocols);
      return ServeOn(role, server, tell);
    }
    case Server::kThreaded: {
      TThreadedServer server(traced, socket, transports, protocols);
      return ServeOn(role, server, tell);
    }
    case Server::kThreadPool: {
      TThreadPoolServer server(traced, socket, transports, protocols, Workers(role, board));
      return ServeOn(role, server, tell);
    }
    case Server::kNonblocking:
    case Server::kNonblockingPool:
      return ServeNonblocking(role, traced, deployment, board);
    case Server::kConsumer:
      return;  // nothing to serve: WriteHomeTimelines()
  }
}

void PublishTo(const Deployment& deployment, const std::string& service) {
  seer::RegistryOptions queues;
  queues.directory = deployment.QueueDirectory();
  queues.instance = InstanceOf(service);
  seer::RecorderOptions spans;
  spans.directory = queues.directory;
  spans.instance = queues.instance;
  spans.records_per_thread = 512;
  for (const absl::Status& status : {seer::QueueRegistry::SetGlobalOptions(queues),
                                     seer::SpanRecorder::SetGlobalOptions(spans)}) {
    if (!status.ok()) throw std::runtime_error(std::string(status.message()));
  }
}

void TraceAsSwitched(const SwitchBoard& board) {
  std::thread([&board] {
    for (;;) {
      seer::SetThriftTracing(board->untraced.load(std::memory_order_relaxed) == 0);
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
  }).detach();
}

}  // namespace social
