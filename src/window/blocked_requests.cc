#include "window/blocked_requests.h"

#include <algorithm>
#include <cstddef>

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

// Requests that are asked for containing a call, the latest first.
constexpr int kLookBack = 64;

// Requests by place and start, walked along with the calls, which come in the same order.
class Candidates {
 public:
  explicit Candidates(std::vector<BlockedRequests::Request>& requests) : requests_(requests) {
    std::sort(requests_.begin(), requests_.end(), [](const auto& a, const auto& b) {
      if (a.of != b.of) return a.of < b.of;
      if (a.start_ns != b.start_ns) return a.start_ns < b.start_ns;
      return a.end_ns < b.end_ns;
    });
  }

  // The number (from 1) of the request that contains the call, or else of the latest that had begun
  // and not ended; 0: none. `any`: there are requests at the place that began before the call.
  std::uint64_t Containing(const BlockedRequests::Call& call, bool* any) {
    while (next_ < requests_.size() &&
           (requests_[next_].of < call.of ||
            (requests_[next_].of == call.of && requests_[next_].start_ns <= call.start_ns))) {
      ++next_;
    }
    std::uint64_t begun = 0;
    *any = false;
    int looked = 0;
    for (std::size_t i = next_; i > 0 && looked < kLookBack; --i, ++looked) {
      const BlockedRequests::Request& request = requests_[i - 1];
      if (request.of != call.of) break;
      *any = true;
      if (request.end_ns >= call.end_ns) return i;
      if (begun == 0 && request.end_ns > call.start_ns) begun = i;
    }
    return begun;
  }

 private:
  std::vector<BlockedRequests::Request>& requests_;
  std::size_t next_ = 0;
};

}  // namespace

std::uint64_t BlockedRequests::FindParents(std::int64_t start_ns, std::int64_t end_ns) {
  bool needed = false;
  for (const Call& call : calls_) needed = needed || call.parent == 0;
  if (!needed) return 0;
  std::sort(calls_.begin(), calls_.end(), [](const Call& a, const Call& b) {
    if (a.of != b.of) return a.of < b.of;
    return a.start_ns < b.start_ns;
  });
  // What the service itself recorded goes before what its callers did.
  Candidates served(served_), called(called_);
  std::uint64_t orphans = 0;
  // No id of a span is looked for among them: these have parents of this numbering only.
  std::uint64_t alone = std::uint64_t{1} << 32;
  for (Call& call : calls_) {
    if (call.parent != 0) continue;
    bool any = false;
    if (!call.lonely) {
      call.parent = served.Containing(call, &any);
      if (!any) {
        call.parent = called.Containing(call, &any);
        if (call.parent != 0) call.parent += served_.size();
      }
    }
    if (call.parent != 0) continue;
    if (call.start_ns >= start_ns && call.start_ns < end_ns) ++orphans;
    call.parent = ++alone;  // of a request of its own: nobody knows what else that did
  }
  return orphans;
}

void BlockedRequests::SortByParent() {
  const auto before = [](const Call& a, const Call& b) {
    if (a.of != b.of) return a.of < b.of;
    if (a.parent != b.parent) return a.parent < b.parent;
    return a.start_ns < b.start_ns;
  };
  // Most requests' calls are in order already.
  if (!std::is_sorted(calls_.begin(), calls_.end(), before)) {
    std::sort(calls_.begin(), calls_.end(), before);
  }
}

}  // namespace internal
SEER_END_NAMESPACE
