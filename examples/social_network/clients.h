// Traced clients of the other services.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include <thrift/protocol/TBinaryProtocol.h>
#include <thrift/transport/TBufferTransports.h>
#include <thrift/transport/TSocket.h>

#include "deployment.h"
#include "pool.h"
#include "seer/thrift/make_traced.h"

namespace social {

enum class Connections { kKept, kForOneCall };

template <typename Client>
class Callee {
 public:
  Callee(const Deployment& deployment, const std::string& name,
         Connections connections = Connections::kKept)
      : connections_(connections), pool_([&deployment, name] {
          auto socket = std::make_shared<apache::thrift::transport::TSocket>("127.0.0.1",
                                                                             deployment.Port(name));
          socket->setConnTimeout(2000);
          socket->setRecvTimeout(10'000);
          auto framed = std::make_shared<apache::thrift::transport::TFramedTransport>(socket);
          auto client = std::make_unique<Client>(
              seer::MakeTraced<apache::thrift::protocol::TBinaryProtocol>(name, framed));
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
