// seer in an HTTP server and client of one's own: what stands here is all that has to be added.
#pragma once

#include <map>
#include <string>
#include <utility>

#include "http.h"
#include "seer/trace/propagation.h"
#include "seer/trace/rpc_scope.h"

namespace example {

// Methods by route. Known ones only: a path that a client makes up must not become a name.
class Routes {
 public:
  explicit Routes(std::string service) : service_(std::move(service)) {}

  void Add(const std::string& route) {
    // Without a name the server serves all the same; status() of the registry tells why.
    routes_[route] = seer::ServedRpc::Add(service_, route).value_or(seer::ServedRpc());
  }
  seer::ServedRpc Of(const HttpRequest& request) const {
    const auto found = routes_.find(request.method + " " + request.path);
    return found == routes_.end() ? seer::ServedRpc() : found->second;
  }

 private:
  const std::string service_;
  std::map<std::string, seer::ServedRpc> routes_;
};

inline seer::Outcome OutcomeOf(const HttpReply& reply) {
  if (reply.status == 0) return seer::Outcome::kTransport;
  return reply.status >= 500 ? seer::Outcome::kFailed : seer::Outcome::kOk;
}

// The server's side: a request with its place in the queues. It waits from here on.
struct Job {
  Job(int connected, HttpRequest read, const Routes& routes)
      : socket(connected),
        request(std::move(read)),
        call(routes.Of(request), seer::Extract(request.headers)) {}

  int socket;
  HttpRequest request;
  seer::ServedCall call;
};

// In the worker: what the handler calls meanwhile belongs to the request.
template <typename Handler>
HttpReply Handle(Job* job, const Handler& handler) {
  job->call.Dequeued();
  const seer::HandlerScope handling(&job->call);
  return handler(job->request);
}

// The client's side: the context goes along as a header.
inline HttpReply TracedCall(const seer::CalledRpc& rpc, int port, HttpRequest request) {
  seer::OutgoingCall call(rpc);
  seer::Inject(call.context(), &request.headers);
  HttpReply reply = Call(port, request);
  call.End(OutcomeOf(reply));
  return reply;
}

}  // namespace example
