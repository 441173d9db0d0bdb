// How many requests of each service have a synchronous call open: the union of the calls of each
// request within one tick. Private to the room; used by SpanDepths for one tick after the other.
#pragma once

#include <cstdint>
#include <vector>

#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE
namespace internal {

class BlockedRequests {
 public:
  // A synchronous call, whole: not cut to the tick.
  struct Call {
    std::uint64_t of;      // Place() of the trace and the caller
    std::uint64_t parent;  // span id of the request that made it; 0: not known
    std::int64_t start_ns, end_ns;
    std::uint32_t service;  // the caller
    bool lonely;            // no trace to look for its request in
  };
  // A request at the service that serves it.
  struct Request {
    std::uint64_t of;  // Place() of the trace and the service
    std::int64_t start_ns, end_ns;
  };

  // One number for a trace and a service. Two that are not the same differ but for one pair in
  // 2^64.
  static std::uint64_t Place(std::uint64_t trace, std::uint32_t service) {
    std::uint64_t x = trace + 0x9e3779b97f4a7c15u * (std::uint64_t{service} + 1);
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
  }

  void Clear() {
    calls_.clear();
    served_.clear();
    called_.clear();
  }
  void Add(const Call& call) { calls_.push_back(call); }
  // Needed only where a call has no parent id. `by_caller`: its own service did not record it.
  void Add(const Request& request, bool by_caller) {
    (by_caller ? called_ : served_).push_back(request);
  }

  // For each service with blocked requests in [start, end): visit(service, ns blocked, requests
  // blocked at the end). A service may come several times. Returns the calls that begin in the tick
  // and belong to no request that is known.
  template <typename Visit>
  std::uint64_t ForEach(std::int64_t start_ns, std::int64_t end_ns, const Visit& visit);

 private:
  std::uint64_t FindParents(std::int64_t start_ns, std::int64_t end_ns);
  void SortByParent();

  std::vector<Call> calls_;
  std::vector<Request> served_, called_;
  // For sorting.
  std::vector<Call> call_scratch_;
  std::vector<Request> request_scratch_;
  std::vector<std::uint32_t> ends_;
};

template <typename Visit>
std::uint64_t BlockedRequests::ForEach(std::int64_t start_ns, std::int64_t end_ns,
                                       const Visit& visit) {
  const std::uint64_t orphans = FindParents(start_ns, end_ns);
  SortByParent();
  for (std::size_t i = 0; i < calls_.size();) {
    const Call& first = calls_[i];
    std::int64_t blocked_ns = 0;
    std::int64_t until_ns = start_ns;
    bool open = false;
    for (; i < calls_.size(); ++i) {
      const Call& call = calls_[i];
      if (call.of != first.of || call.parent != first.parent) break;
      const std::int64_t from = call.start_ns > until_ns ? call.start_ns : until_ns;
      const std::int64_t to = call.end_ns < end_ns ? call.end_ns : end_ns;
      if (to > from) {
        blocked_ns += to - from;
        until_ns = to;
      }
      open = open || (call.start_ns < end_ns && call.end_ns >= end_ns);
    }
    visit(first.service, blocked_ns, open ? 1u : 0u);
  }
  return orphans;
}

}  // namespace internal
SEER_END_NAMESPACE
