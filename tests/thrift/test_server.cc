#include "tests/thrift/test_server.h"

#include <future>
#include <utility>

#include <thrift/concurrency/ThreadFactory.h>
#include <thrift/protocol/TBinaryProtocol.h>
#include <thrift/protocol/THeaderProtocol.h>
#include <thrift/server/TNonblockingServer.h>
#include <thrift/server/TSimpleServer.h>
#include <thrift/server/TThreadPoolServer.h>
#include <thrift/server/TThreadedServer.h>
#include <thrift/transport/TBufferTransports.h>
#include <thrift/transport/THttpClient.h>
#include <thrift/transport/THttpServer.h>
#include <thrift/transport/TNonblockingServerSocket.h>

namespace seer::testing_support {

using apache::thrift::TProcessor;
using apache::thrift::TProcessorFactory;
using apache::thrift::concurrency::ThreadFactory;
using apache::thrift::concurrency::ThreadManager;
using apache::thrift::protocol::TBinaryProtocol;
using apache::thrift::protocol::TBinaryProtocolFactory;
using apache::thrift::protocol::TProtocol;
using apache::thrift::server::TNonblockingServer;
using apache::thrift::server::TServerEventHandler;
using apache::thrift::server::TSimpleServer;
using apache::thrift::server::TThreadedServer;
using apache::thrift::server::TThreadPoolServer;
using apache::thrift::transport::TFramedTransport;
using apache::thrift::transport::TFramedTransportFactory;
using apache::thrift::transport::THttpClient;
using apache::thrift::transport::THttpServerTransportFactory;
using apache::thrift::transport::TNonblockingServerSocket;
using apache::thrift::transport::TServerSocket;
using apache::thrift::transport::TSocket;
using apache::thrift::transport::TTransport;

const char* NameOf(ServerKind kind) {
  switch (kind) {
    case ServerKind::kSimple:
      return "Simple";
    case ServerKind::kThreaded:
      return "Threaded";
    case ServerKind::kThreadPool:
      return "ThreadPool";
    case ServerKind::kNonblocking:
      return "Nonblocking";
    case ServerKind::kNonblockingWithPool:
      return "NonblockingWithPool";
    case ServerKind::kHttp:
      return "Http";
  }
  return "?";
}

// Tells when the server listens, and hands everything on to the handler of the test.
class TestServer::Started final : public TServerEventHandler {
 public:
  Started(std::shared_ptr<TServerEventHandler> next, std::promise<void>* listens)
      : next_(std::move(next)), listens_(listens) {}
  void preServe() override {
    if (next_) next_->preServe();
    listens_->set_value();
  }
  void* createContext(std::shared_ptr<TProtocol> in, std::shared_ptr<TProtocol> out) override {
    return next_ ? next_->createContext(in, out) : nullptr;
  }
  void deleteContext(void* context, std::shared_ptr<TProtocol> in,
                     std::shared_ptr<TProtocol> out) override {
    if (next_) next_->deleteContext(context, in, out);
  }
  void processContext(void* context, std::shared_ptr<TTransport> transport) override {
    if (next_) next_->processContext(context, transport);
  }

 private:
  const std::shared_ptr<TServerEventHandler> next_;
  std::promise<void>* const listens_;
};

TestServer::TestServer(const ServerParts& parts) : kind_(parts.kind), threads_(parts.threads) {
  auto protocols = parts.protocols;
  if (protocols == nullptr) protocols = std::make_shared<TBinaryProtocolFactory>();
  auto transports = parts.transports;
  if (transports == nullptr) transports = std::make_shared<TFramedTransportFactory>();
  auto factory = parts.factory;
  if (factory == nullptr) {
    factory = std::make_shared<apache::thrift::TSingletonProcessorFactory>(parts.processor);
  }
  const bool nonblocking =
      kind_ == ServerKind::kNonblocking || kind_ == ServerKind::kNonblockingWithPool;
  if (nonblocking) {
    nonblocking_socket_ = parts.nonblocking_socket;
    if (nonblocking_socket_ == nullptr) {
      nonblocking_socket_ = std::make_shared<TNonblockingServerSocket>("127.0.0.1", 0);
    }
  } else {
    socket_ = parts.socket;
    if (socket_ == nullptr) socket_ = std::make_shared<TServerSocket>("127.0.0.1", 0);
  }
  if (kind_ == ServerKind::kThreadPool || kind_ == ServerKind::kNonblockingWithPool) {
    if (threads_ == nullptr) threads_ = ThreadManager::newSimpleThreadManager(parts.workers);
    if (threads_->state() == ThreadManager::UNINITIALIZED) {
      threads_->threadFactory(std::make_shared<ThreadFactory>(false));
      threads_->start();
    }
  }
  switch (kind_) {
    case ServerKind::kSimple:
      server_ = std::make_shared<TSimpleServer>(factory, socket_, transports, protocols);
      break;
    case ServerKind::kHttp:
      transports = std::make_shared<THttpServerTransportFactory>();
      [[fallthrough]];
    case ServerKind::kThreaded:
      server_ = std::make_shared<TThreadedServer>(factory, socket_, transports, protocols);
      break;
    case ServerKind::kThreadPool:
      server_ =
          std::make_shared<TThreadPoolServer>(factory, socket_, transports, protocols, threads_);
      break;
    case ServerKind::kNonblocking:
    case ServerKind::kNonblockingWithPool: {
      // THeader answers with the protocol that has read: the server knows it by this.
      const bool header = dynamic_cast<apache::thrift::protocol::THeaderProtocolFactory*>(
                              protocols.get()) != nullptr;
      const auto unframed = std::make_shared<apache::thrift::transport::TTransportFactory>();
      server_ = std::make_shared<TNonblockingServer>(factory, unframed, unframed, protocols,
                                                     header ? nullptr : protocols,
                                                     nonblocking_socket_, threads_);
      break;
    }
  }
  std::promise<void> listens;
  server_->setServerEventHandler(std::make_shared<Started>(parts.events, &listens));
  thread_ = std::thread([this] { server_->serve(); });
  listens.get_future().wait();
  port_ = nonblocking ? nonblocking_socket_->getListenPort() : socket_->getPort();
}

void TestServer::Stop() {
  if (!thread_.joinable()) return;
  server_->stop();
  thread_.join();
  if (threads_ != nullptr) threads_->stop();
}

std::shared_ptr<TSocket> TestServer::Connect() const {
  auto socket = std::make_shared<TSocket>("127.0.0.1", port_);
  socket->setRecvTimeout(60'000);  // a test that would hang fails
  socket->open();
  return socket;
}

std::shared_ptr<TProtocol> ClientProtocol(const ServerParts& parts,
                                          std::shared_ptr<TTransport> socket) {
  std::shared_ptr<TTransport> transport;
  if (parts.kind == ServerKind::kHttp) {
    transport = std::make_shared<THttpClient>(socket, "localhost", "/");
  } else if (parts.transports != nullptr) {
    transport = parts.transports->getTransport(socket);
  } else {
    transport = std::make_shared<TFramedTransport>(socket);
  }
  if (parts.protocols != nullptr) return parts.protocols->getProtocol(transport);
  return std::make_shared<TBinaryProtocol>(transport);
}

}  // namespace seer::testing_support
