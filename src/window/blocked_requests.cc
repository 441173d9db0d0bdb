#include "window/blocked_requests.h"

#include <algorithm>
#include <cstddef>
#include <tuple>

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

auto RequestKey(const BlockedRequests::Request& r) {
  return std::make_tuple(r.trace, r.service, r.from_caller, r.start_ns, r.end_ns);
}

}  // namespace

std::uint64_t BlockedRequests::FindParents(std::int64_t start_ns, std::int64_t end_ns) {
  bool needed = false;
  for (const Call& call : calls_) needed = needed || call.parent == 0;
  if (!needed) return 0;
  std::sort(requests_.begin(), requests_.end(), [](const Request& a, const Request& b) {
    return RequestKey(a) < RequestKey(b);  //
  });
  std::uint64_t orphans = 0;
  for (std::size_t i = 0; i < calls_.size(); ++i) {
    Call& call = calls_[i];
    if (call.parent != 0) continue;
    call.parent = call.trace == 0 ? 0 : ParentOf(call);
    if (call.parent == 0) {
      if (call.start_ns >= start_ns && call.start_ns < end_ns) ++orphans;
      // A request of its own: nobody knows what else it did. Ids of requests are below 2^32.
      call.parent = (std::uint64_t{1} << 32) + i;
    }
  }
  return orphans;
}

// The request's index + 1, or 0.
std::uint64_t BlockedRequests::ParentOf(const Call& call) const {
  for (const bool from_caller : {false, true}) {
    const Request probe{call.trace, call.start_ns, INT64_MAX, call.service, from_caller};
    const auto after = std::upper_bound(
        requests_.begin(), requests_.end(), probe,
        [](const Request& a, const Request& b) { return RequestKey(a) < RequestKey(b); });
    std::uint64_t begun = 0;  // the latest that had begun and not ended
    bool any = false;
    int looked = 0;
    for (auto it = after; it != requests_.begin() && looked < kLookBack; ++looked) {
      --it;
      if (it->trace != call.trace || it->service != call.service || it->from_caller != from_caller)
        break;
      any = true;
      const auto index = static_cast<std::uint64_t>(it - requests_.begin()) + 1;
      if (it->end_ns >= call.end_ns) return index;
      if (begun == 0 && it->end_ns > call.start_ns) begun = index;
    }
    if (begun != 0) return begun;
    if (any) return 0;
  }
  return 0;
}

void BlockedRequests::SortCalls() {
  std::sort(calls_.begin(), calls_.end(), [](const Call& a, const Call& b) {
    return std::tie(a.service, a.trace, a.parent, a.start_ns) <
           std::tie(b.service, b.trace, b.parent, b.start_ns);
  });
}

}  // namespace internal
SEER_END_NAMESPACE
