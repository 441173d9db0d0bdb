// Flow: Fault, KeptSpan -> [DelayBook] -> TruthRow::violation.culprit
//
// A fault of a server or of its network hits every service there: which of them initiated a
// violation? The one that the fault made hold up the violation's requests the longest.
//
//   DelayBook book(model, SiteOf(model, fault), {{class, from_ns, until_ns}});
//   book.Add(with.TakeKeptSpans(), /*with_fault=*/true);       // a replay with the fault
//   book.Add(without.TakeKeptSpans(), /*with_fault=*/false);   // and one without it
//   std::uint32_t service = book.Initiator(0);
//
// The requests are those of the violation's class that began in [from, until) and missed their
// target, or failed, in the run with the fault. Each of them has its twin, of the same random
// numbers, in the replay without: what a service held up the one longer than the other is the
// fault's doing. Time is told along the critical path, by the simulator's own stamps. A service
// holds a request up
//   - while it works on it, and does not wait for another itself;
//   - while the request waits for one of its cores, connections or threads; for threads only by the
//     part of them that did not wait for others, whose doing that is;
//   - while a message is under way to it or back. Where the network was hit: to the end that stands
//     on a server that was.
// Nothing here is shared with window/, whose labels are judged by it.
//
// Threads: one at a time. Cost: about 1 us a span. Memory: the spans of requests that are open.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "benchmarks/cluster/sim/fault.h"
#include "benchmarks/cluster/sim/model.h"
#include "benchmarks/cluster/sim/state.h"

namespace seer::cluster {

// Whom a fault hits.
struct Site {
  std::vector<bool> instances;          // by index
  std::vector<std::uint32_t> services;  // of them, ascending
  bool network = false;                 // only the messages of the instances' servers
};
Site SiteOf(const Model& model, const Fault& fault);

class DelayBook {
 public:
  struct Asked {
    std::uint32_t request_class = 0;
    std::int64_t from_ns = 0, until_ns = 0;  // unix time
  };
  // The model outlives this.
  DelayBook(const Model* model, Site site, std::vector<Asked> asked);

  // As they came; all of the run with the fault first.
  void Add(absl::Span<const KeptSpan> spans, bool with_fault);
  // None where no request says so.
  std::uint32_t Initiator(std::size_t asked) const;
  // By service, in ns; over all requests.
  absl::Span<const double> Growth(std::size_t asked) const { return rows_[asked].growth; }

 private:
  struct Row {
    Asked asked;
    std::vector<double> growth;  // by service
  };
  struct Key {
    std::uint64_t high, low;
    bool operator==(const Key& o) const { return high == o.high && low == o.low; }
  };
  struct HashKey {
    std::size_t operator()(const Key& key) const { return key.low ^ key.high; }
  };

  void Close(const KeptSpan& root, const std::vector<KeptSpan>& spans, bool with_fault);
  void Book(const KeptSpan& root, const std::vector<KeptSpan>& spans);

  const Model* model_;
  Site site_;
  std::vector<Row> rows_;
  std::vector<bool> wanted_;  // by class
  std::unordered_map<Key, std::vector<KeptSpan>, HashKey> open_;
  std::unordered_map<Key, std::vector<std::size_t>, HashKey> slow_;  // with the fault: rows
  std::vector<double> delays_;                                       // of one request, by service
};

}  // namespace seer::cluster
