// A call to a store, from its beginning to its result.
#pragma once

#include <memory>

#include "seer/trace/rpc_scope.h"
#include "stores.h"
#include "tcp.h"

namespace social {

// What `call` returns. Where it throws, the call has failed.
template <typename Call>
auto TracedCall(const seer::CalledRpc& rpc, Call call) {
  seer::OutgoingCall outgoing(rpc);
  auto result = call();
  outgoing.End(seer::Outcome::kOk);
  return result;
}

inline Pool<TcpStream>::Make Connecting(const Use& use) {
  return [&deployment = use.deployment, store = use.store] {
    return std::make_unique<TcpStream>(store, deployment.Port(store));
  };
}

}  // namespace social
