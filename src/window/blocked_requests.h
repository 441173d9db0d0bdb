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
    std::uint64_t trace;   // 0: not known
    std::uint64_t parent;  // span id of the request that made it; 0: not known
    std::int64_t start_ns, end_ns;
    std::uint32_t service;  // the caller
  };
  // A request at the service that serves it.
  struct Request {
    std::uint64_t trace;
    std::int64_t start_ns, end_ns;
    std::uint32_t service;
    bool from_caller;  // only the caller recorded it
  };

  void Clear() {
    calls_.clear();
    requests_.clear();
  }
  void Add(const Call& call) { calls_.push_back(call); }
  // Needed only where a call has no parent id.
  void Add(const Request& request) { requests_.push_back(request); }

  // For each service with blocked requests in [start, end): visit(service, ns blocked, requests
  // blocked at the end). A service may come several times. Returns the calls that begin in the tick
  // and belong to no request that is known.
  template <typename Visit>
  std::uint64_t ForEach(std::int64_t start_ns, std::int64_t end_ns, const Visit& visit);

 private:
  static constexpr int kLookBack = 64;  // requests that are asked for containing a call

  std::uint64_t FindParents(std::int64_t start_ns, std::int64_t end_ns);
  std::uint64_t ParentOf(const Call& call) const;
  void SortCalls();

  std::vector<Call> calls_;
  std::vector<Request> requests_;
};

template <typename Visit>
std::uint64_t BlockedRequests::ForEach(std::int64_t start_ns, std::int64_t end_ns,
                                       const Visit& visit) {
  const std::uint64_t orphans = FindParents(start_ns, end_ns);
  SortCalls();
  for (std::size_t i = 0; i < calls_.size();) {
    const Call& first = calls_[i];
    std::int64_t blocked_ns = 0;
    std::int64_t until_ns = start_ns;
    bool open = false;
    for (; i < calls_.size(); ++i) {
      const Call& call = calls_[i];
      if (call.service != first.service || call.trace != first.trace ||
          call.parent != first.parent) {
        break;
      }
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
