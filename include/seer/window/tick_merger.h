// Flow: Snapshot -> [TickMerger] -> ClusterTick -> WindowBuilder, ViolationDetector, dataset/
//
// The snapshots of all nodes put together into ticks of the whole cluster, in the control plane's
// numbering, instances summed to services.
//
//   seer::Topology topology;                                     // the control plane's
//   seer::TickMerger merger(options, &topology, [&](const seer::ClusterTick& tick) { ... });
//   merger.AddNode(node_topology, clock.NowNs());                // when a node has a new version
//   merger.Add(snapshot, clock.NowNs());                         // as they come, in any order
//   merger.AdvanceTo(clock.NowNs());                             // at least once a tick
//
// A tick is given when all nodes that are expected have sent theirs, or `deadline_ns` after its
// end, in order, each once. A node is expected from its topology on until it was silent for
// `forget_ns`. A tick in which nobody spoke is given too, with everything missing; after a pause of
// more than max_open_ticks the time between is left out, and counted.
//
// What goes wrong, and what becomes of it (all of it is counted):
//   late          a snapshot of a tick that was given already is dropped.
//   duplicate     the first snapshot of a node and tick counts. So too when a node restarts within
//   a
//                 tick and both its lives tell about it.
//   restarted     a new epoch replaces the node's numbering; the last one is kept besides, for what
//                 is still on its way.
//   unknown       a snapshot whose numbering is not known waits for AddNode(), `unknown_ns` at most
//                 and `max_waiting` of them; one that has a later version of it than is known waits
//                 until its tick is given, and then counts with the rows that are known.
//   ahead         a snapshot of a tick that has not begun by our clock is dropped.
//   missing       what a silent node told last time is missing of its services, not zero: sums over
//                 some of the instances would look like queues that have become shorter. Request
//                 classes are told as far as they were seen.
//
// Sums. A depth with a width counts as the middle. Where several instances of a service on one node
// see the same shared queue (ChannelSample::shared), it counts once. A mean or flow is known if all
// instances that tell the channel's depth tell it; a mean wait is weighted by departures.
//
// Threads: one at a time; the sink must not call back. Cost: see benchmarks/window; nothing is
// allocated once the tables have their size. Memory: 57 bytes for each service and channel of as
// many ticks as were ever open at a time, at most max_open_ticks; the snapshots that wait.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "seer/core/config.h"
#include "seer/core/snapshot.h"
#include "seer/core/tick.h"
#include "seer/core/topology.h"
#include "seer/window/cluster_tick.h"

SEER_BEGIN_NAMESPACE

struct TickMergerOptions {
  TickPeriod period;
  std::int64_t deadline_ns = 50'000'000;    // after a tick's end
  std::int64_t unknown_ns = 2'000'000'000;  // how long a snapshot waits for its numbering
  std::int64_t forget_ns = 5'000'000'000;   // a silent node is no longer expected
  std::size_t max_waiting = 1024;           // snapshots
  std::size_t max_nodes = 1 << 16;
  std::size_t max_open_ticks = 64;  // at least the deadline's ticks + 3; at most 4096
};

struct TickMergerStats {
  std::uint64_t merged = 0;  // snapshots that are in a tick
  std::uint64_t late = 0;
  std::uint64_t duplicates = 0;
  std::uint64_t ahead = 0;
  std::uint64_t other_period = 0;
  std::uint64_t unknown = 0;          // whose numbering did not come in time
  std::uint64_t waiting_dropped = 0;  // beyond max_waiting
  std::uint64_t unknown_rows = 0;     // rows of a version that is not known, left out
  std::uint64_t restarts = 0;
  std::uint64_t missing = 0;        // (tick, node) that was expected and did not come
  std::uint64_t forgotten = 0;      // nodes that fell silent
  std::uint64_t ticks = 0;          // given
  std::uint64_t skipped_ticks = 0;  // in a pause, not given
  // What the nodes themselves lost, of the snapshots that are in ticks.
  std::uint64_t spans_dropped = 0;
  std::uint64_t missed_ticks = 0;
};

class TickMerger {
 public:
  using TickSink = std::function<void(const ClusterTick&)>;

  // The topology outlives this; others may change it in between (TopologyBuilder).
  TickMerger(const TickMergerOptions& options, Topology* topology, TickSink sink);
  ~TickMerger();
  TickMerger(TickMerger&&) noexcept;
  TickMerger& operator=(TickMerger&&) noexcept;

  // A node's topology: at first, after a restart, and when its version grows. What waited for it is
  // merged. As Topology::Merge(); ResourceExhausted beyond max_nodes. `node` may not be empty.
  [[nodiscard]] absl::Status AddNode(const Topology& node, std::int64_t now_ns);
  // The node has gone for good: it is not expected any more.
  void RemoveNode(std::string_view node);

  void Add(const Snapshot& snapshot, std::int64_t now_ns);
  void AdvanceTo(std::int64_t now_ns);
  // Gives what is open, without waiting.
  void Finish();

  std::size_t expected_nodes() const;
  const TickMergerStats& stats() const;

  // All that it knows, behind what is in `bytes`; and into one with the same options and topology,
  // which then gives the same ticks from the same calls. InvalidArgument: not such a state, and
  // nothing has changed.
  void SaveState(std::string* bytes) const;
  [[nodiscard]] absl::Status LoadState(std::string_view bytes);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

SEER_END_NAMESPACE
