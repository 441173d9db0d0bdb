// Traced clients of the other services.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include <thrift/protocol/TBinaryProtocol.h>
#include <thrift/transport/TBufferTransports.h>
#include <thrift/transport/THttpClient.h>
#include <thrift/transport/TSocket.h>

#include "deployment.h"
#include "pool.h"
#include "seer/thrift/make_traced.h"

namespace social {

enum class Connections { kKept, kForOneCall, kHttp };

inline constexpr int kPatienceMs = 2000;  // with an answer: then a call has failed

template <typename Client>
class Callee {
 public:
  Callee(const Deployment& deployment, const std::string& name,
         Connections connections = Connections::kKept)
      : Callee(deployment, name, name, connections) {}
  // `listener`: who listens for the service, where something stands before it.
  Callee(const Deployment& deployment, const std::string& name, const std::string& listener,
         Connections connections)
      : connections_(connections), pool_([&deployment, name, listener, connections] {
          using apache::thrift::transport::TTransport;
          auto socket = std::make_shared<apache::thrift::transport::TSocket>(
              "127.0.0.1", deployment.Port(listener));
          socket->setConnTimeout(2000);
          socket->setRecvTimeout(kPatienceMs);
          std::shared_ptr<TTransport> transport;
          if (connections == Connections::kHttp) {
            transport =
                std::make_shared<apache::thrift::transport::THttpClient>(socket, "localhost", "/");
          } else {
            transport = std::make_shared<apache::thrift::transport::TFramedTransport>(socket);
          }
          auto client = std::make_unique<Client>(
              seer::MakeTraced<apache::thrift::protocol::TBinaryProtocol>(name, transport));
          socket->open();
          return client;
        }) {}

  // What the service answers: `call` gets a client. Throws what the client does.
  template <typename Call>
  auto operator()(Call call) {
    if (connections_ == Connections::kForOneCall) return call(*pool_.New());
    return pool_.With(std::move(call));
  }

 private:
  const Connections connections_;
  Pool<Client> pool_;
};

}  // namespace social
