#include "window/blocked_requests.h"

#include <algorithm>
#include <cstddef>
#include <utility>

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

// Requests that are asked for containing a call, the latest first.
constexpr int kLookBack = 64;

// Sorts by place first: places are evenly spread numbers, so that their first bits tell each item
// its stretch of the result, and few have to be compared. A third of the time of std::sort.
template <typename Item, typename Before>
void SortByPlace(std::vector<Item>& items, std::vector<Item>& scratch,
                 std::vector<std::uint32_t>& ends, const Before& before) {
  constexpr std::size_t kFew = 32;
  if (items.size() < kFew || items.size() > (std::size_t{1} << 30)) {
    std::sort(items.begin(), items.end(), before);
    return;
  }
  int bits = 5;
  while ((std::size_t{1} << bits) < items.size()) ++bits;
  const int shift = 64 - bits;
  ends.assign(std::size_t{1} << bits, 0);
  for (const Item& item : items) ++ends[item.of >> shift];
  std::uint32_t begin = 0;
  for (std::uint32_t& end : ends) begin += std::exchange(end, begin);
  scratch.resize(items.size());
  for (const Item& item : items) scratch[ends[item.of >> shift]++] = item;
  items.swap(scratch);
  begin = 0;
  for (const std::uint32_t end : ends) {
    const auto from = items.begin() + begin;
    const auto to = items.begin() + end;
    begin = end;
    if (to - from < 2) continue;
    if (static_cast<std::size_t>(to - from) > kFew) {
      std::sort(from, to, before);
      continue;
    }
    for (auto it = from + 1; it != to; ++it) {
      const Item item = *it;
      auto hole = it;
      for (; hole != from && before(item, *(hole - 1)); --hole) *hole = *(hole - 1);
      *hole = item;
    }
  }
}

// Requests by place and start, walked along with the calls, which come in the same order.
class Candidates {
 public:
  explicit Candidates(const std::vector<BlockedRequests::Request>& requests)
      : requests_(requests) {}

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
  const std::vector<BlockedRequests::Request>& requests_;
  std::size_t next_ = 0;
};

}  // namespace

std::uint64_t BlockedRequests::FindParents(std::int64_t start_ns, std::int64_t end_ns) {
  bool needed = false;
  for (const Call& call : calls_) needed = needed || call.parent == 0;
  if (!needed) return 0;
  SortByPlace(calls_, call_scratch_, ends_, [](const Call& a, const Call& b) {
    if (a.of != b.of) return a.of < b.of;
    return a.start_ns < b.start_ns;
  });
  for (std::vector<Request>* requests : {&served_, &called_}) {
    SortByPlace(*requests, request_scratch_, ends_, [](const Request& a, const Request& b) {
      if (a.of != b.of) return a.of < b.of;
      if (a.start_ns != b.start_ns) return a.start_ns < b.start_ns;
      return a.end_ns < b.end_ns;
    });
  }
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
    SortByPlace(calls_, call_scratch_, ends_, before);
  }
}

}  // namespace internal
SEER_END_NAMESPACE
