// What requests spent where, tick by tick, and sums of that: what CulpritFinder keeps of the
// traces. Private to the room.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "seer/core/config.h"
#include "seer/core/internal/id_index.h"
#include "seer/window/trace_assembler.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// What the requests that began in a tick spent at one service, on their critical paths. In ns.
struct Spent {
  explicit Spent(std::uint64_t key) : service(static_cast<std::uint32_t>(key)) {}
  std::uint64_t key() const { return service; }

  std::uint32_t service;
  float own = 0, queue = 0;
  float square = 0;                           // of the sum of both, request by request, in us^2
  float slow_own = 0, slow_queue = 0;         // of the slow requests
  std::uint32_t visits = 0, slow_visits = 0;  // requests on whose path it lay
  std::uint32_t failures = 0;                 // requests that failed because it did
  // Of its workers, on the critical path or not: at work, and waiting for those they called.
  float works = 0, waits = 0;
};

// What they spent on the way between two services, both ways: no worker had them. Part of the
// callee's `queue`. The reply's way alone knows no queue and no pool of connections: it is the
// network's. Told by two clocks, so that only its growth means something.
struct Between {
  explicit Between(std::uint64_t key)
      : caller(static_cast<std::uint32_t>(key >> 32)), callee(static_cast<std::uint32_t>(key)) {}
  static std::uint64_t KeyOf(std::uint32_t caller, std::uint32_t callee) {
    return std::uint64_t{caller} << 32 | callee;
  }
  std::uint64_t key() const { return KeyOf(caller, callee); }

  std::uint32_t caller, callee;  // caller: none for outside
  float link = 0, reply = 0, slow_link = 0, slow_reply = 0;
  std::uint32_t calls = 0, slow_calls = 0;
  // Calls as the caller saw them, on the critical path or not: those that were answered, those that
  // it gave up, and those that failed.
  float answered = 0, given_up = 0, failed = 0;
  std::uint32_t answers = 0, give_ups = 0, fails = 0;
  // Of the answered ones that both sides saw: the ways, and the replies' alone.
  float ways = 0, replies = 0;
  std::uint32_t seen = 0;
  float slow_given_up = 0;              // of the slow requests' critical paths
  std::uint32_t failed_by_give_up = 0;  // requests
};

// Rows in the order in which their keys came, found by key.
template <typename Row>
class RowsByKey {
 public:
  Row& At(std::uint64_t key) {
    const std::size_t hash = Hash(key);
    const std::uint32_t row =
        index_.Find(hash, [&](std::uint32_t r) { return rows_[r].key() == key; });
    if (row != IdIndex::kNone) return rows_[row];
    if (rows_.size() > IdIndex::kMaxId) return nobodys_;
    index_.Insert(hash, static_cast<std::uint32_t>(rows_.size()),
                  [&](std::uint32_t r) { return Hash(rows_[r].key()); });
    return rows_.emplace_back(key);
  }
  auto begin() const { return rows_.begin(); }
  auto end() const { return rows_.end(); }

 private:
  static std::size_t Hash(std::uint64_t key) {
    key = (key ^ key >> 32) * 0x9e3779b97f4a7c15u;
    return key ^ key >> 32;
  }

  std::vector<Row> rows_;
  IdIndex index_;
  Row nobodys_ = Row(0);  // where there are too many
};

struct Bucket {
  std::uint32_t requests = 0, slow = 0;
  RowsByKey<Spent> spent;
  RowsByKey<Between> between;

  // Adds a request, whose hops are not empty. Hops of or from services from `services` on are of
  // another topology: left out.
  void Add(const RequestTrace& trace, bool is_slow, std::size_t services);
};

// The same over several ticks.
struct LinkSums {
  double link = 0, reply = 0, slow_link = 0, slow_reply = 0, calls = 0, slow_calls = 0;
  double answered = 0, given_up = 0, failed = 0, answers = 0, give_ups = 0, fails = 0;
  double ways = 0, replies = 0, seen = 0;
  double slow_given_up = 0, failed_by_give_up = 0;
};
struct Sums {
  explicit Sums(std::size_t services);
  void Add(const Bucket& bucket);

  std::uint64_t requests = 0, slow = 0;
  // By service.
  std::vector<double> own, queue, square, slow_own, slow_queue, visits, slow_visits, failures;
  std::vector<double> works, waits;
  std::map<std::pair<std::uint32_t, std::uint32_t>, LinkSums> links;  // by caller and callee
};

}  // namespace internal
SEER_END_NAMESPACE
