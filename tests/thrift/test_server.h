// Every server of Thrift's, on a port of its own, in a thread of its own.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include <thrift/TProcessor.h>
#include <thrift/concurrency/ThreadManager.h>
#include <thrift/protocol/TProtocol.h>
#include <thrift/server/TServer.h>
#include <thrift/transport/TNonblockingServerTransport.h>
#include <thrift/transport/TServerSocket.h>
#include <thrift/transport/TSocket.h>

namespace seer::testing_support {

enum class ServerKind {
  kSimple,
  kThreaded,
  kThreadPool,
  kNonblocking,          // the handler runs on the thread that reads
  kNonblockingWithPool,  // requests go through a task queue
  kHttp,                 // THttpServer transports under a TThreadedServer
};
inline constexpr ServerKind kAllServerKinds[] = {ServerKind::kSimple,
                                                 ServerKind::kThreaded,
                                                 ServerKind::kThreadPool,
                                                 ServerKind::kNonblocking,
                                                 ServerKind::kNonblockingWithPool,
                                                 ServerKind::kHttp};
const char* NameOf(ServerKind kind);

struct ServerParts {
  ServerKind kind = ServerKind::kThreaded;
  // One of the two.
  std::shared_ptr<apache::thrift::TProcessor> processor;
  std::shared_ptr<apache::thrift::TProcessorFactory> factory;
  // Null: framed binary.
  std::shared_ptr<apache::thrift::protocol::TProtocolFactory> protocols;
  std::shared_ptr<apache::thrift::transport::TTransportFactory> transports;
  // Null: plain ones, with `workers` threads.
  std::shared_ptr<apache::thrift::concurrency::ThreadManager> threads;
  std::shared_ptr<apache::thrift::transport::TServerSocket> socket;
  std::shared_ptr<apache::thrift::transport::TNonblockingServerTransport> nonblocking_socket;
  std::shared_ptr<apache::thrift::server::TServerEventHandler> events;
  std::size_t workers = 4;
};

class TestServer {
 public:
  // Serves when the constructor returns.
  explicit TestServer(const ServerParts& parts);
  ~TestServer() { Stop(); }
  void Stop();

  int port() const { return port_; }
  // A socket to it, open.
  std::shared_ptr<apache::thrift::transport::TSocket> Connect() const;

  apache::thrift::server::TServer& server() { return *server_; }

 private:
  class Started;

  const ServerKind kind_;
  std::shared_ptr<apache::thrift::concurrency::ThreadManager> threads_;
  std::shared_ptr<apache::thrift::server::TServer> server_;
  std::shared_ptr<apache::thrift::transport::TServerSocket> socket_;
  std::shared_ptr<apache::thrift::transport::TNonblockingServerTransport> nonblocking_socket_;
  std::thread thread_;
  int port_ = 0;
};

// What a client of such a server puts on its socket: framed binary where the parts say nothing.
std::shared_ptr<apache::thrift::protocol::TProtocol> ClientProtocol(
    const ServerParts& parts, std::shared_ptr<apache::thrift::transport::TTransport> socket);

}  // namespace seer::testing_support
