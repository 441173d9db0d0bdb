// What the collector adds up between two snapshots: one cell for each channel of an instance and
// each edge that some queue counts in.
//
// Several queues can count in one cell, and the node can look several times during a tick:
//
//   depth, width       of the last look: sums over the queues
//   peak               the deepest sum of all looks
//   arrivals, ...      sums over queues and looks
//   mean depth         the sum over queues of the areas under their depths, over the time
//   mean wait          the sum over queues of what their requests waited, over the requests
//
// Threads: one at a time. Cost: 136 bytes per cell; Add() a few nanoseconds per queue.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "queue/node_rows.h"
#include "seer/core/config.h"
#include "seer/core/snapshot.h"
#include "seer/queue/collector.h"
#include "seer/queue/reader.h"

SEER_BEGIN_NAMESPACE
namespace internal {

class Cells {
 public:
  // The queues of the following readings count here. Cells that no queue counts in any more stay,
  // with what they hold.
  void Place(const Topology& topology, absl::Span<const QueuePlace> places);
  // Drops the cells of rows that are gone; after an epoch `map` tells the new ids.
  void Keep(const Topology& topology, const TopologyMap* map);

  // One look: `readings` as placed. `any_unread`: some of them may not have been read.
  void Add(absl::Span<const QueueReading> readings, bool any_unread, double elapsed_ns);

  // Writes what was seen since the last TakeTo() into tables of the topology's size, and into the
  // totals; begins anew. Returns the channels that some queue counted in.
  ChannelMask TakeTo(Snapshot* snapshot, CollectorTotals* totals);

 private:
  static constexpr std::uint32_t kNone = 0xffffffffu;

  struct Cell {
    QueuePlace place;

    // At the last look.
    std::uint64_t depth = 0;
    std::uint64_t width = 0;
    // Since the last TakeTo().
    std::uint64_t peak = 0;
    std::uint64_t arrivals = 0;
    std::uint64_t departures = 0;
    double area = 0;    // requests times nanoseconds
    double waited = 0;  // nanoseconds, of `left` requests
    double left = 0;
    bool seen = false;
    bool counted = true;
    bool timed = true;
    bool unread = false;

    std::uint64_t all_enqueued = 0;
    std::uint64_t all_dequeued = 0;
  };

  std::uint32_t Find(const QueuePlace& place) const;
  std::uint32_t FindOrAdd(const QueuePlace& place);
  ChannelSample SampleOf(const Cell& cell) const;

  std::vector<Cell> cells_;
  std::vector<std::uint32_t> by_channel_;  // instance * kChannels + channel
  std::vector<std::uint32_t> by_edge_;
  std::vector<std::uint32_t> by_queue_;
  std::uint32_t looks_ = 0;  // since the last TakeTo()
  double elapsed_ns_ = 0;
};

}  // namespace internal
SEER_END_NAMESPACE
