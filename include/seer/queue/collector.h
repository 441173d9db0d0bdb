// Flow: Reader, DepthProbes -> [Collector] -> Snapshot, Topology -> host's transport
//
// The heart of a node agent: at the end of every tick it reads the queues of all processes of the
// node, asks the probes, and makes one Snapshot of it, in the node's own numbering, which it
// discovers and keeps by itself.
//
//   seer::CollectorOptions options;
//   options.node = "node-17";
//   absl::StatusOr<std::unique_ptr<seer::Collector>> collector = seer::Collector::Create(options);
//   absl::Status status = (*collector)->Start([&](const seer::Collection& now) {
//     if (now.topology_changed) bus.Publish(seer::Encode(now.topology));
//     bus.Publish(seer::Encode(now.snapshot));
//   });
//
// or, from a loop of the host's own, at or soon after the end of each tick:
//
//   bus.Publish(seer::Encode(collector->Tick()));
//
// Ticks. Tick() at time t makes the snapshot of the last tick that has ended, floor(t / period) -
// 1; health.late_ns tells how long ago that was. Ticks for which nobody called are not made up: the
// next snapshot counts them in health.missed_ticks, and holds what arrived and left in them. A
// second call within a tick gives the same snapshot again; nothing that it read is lost. So it does
// while the clock is less than a second behind the last snapshot; when it was set back further, the
// snapshots follow it in a new epoch, so that nobody takes the repeated ticks for old ones.
//
// Rows. A process publishes queues of services (registry.h): each service in it is one instance,
// named by the process. Processes of the same service and instance are added up, and so are several
// queues of one channel, widths too; a mean wait is weighted by the requests that left. Whoever
// counts outbound calls makes an edge. What nobody publishes any more is removed after the grace
// period. When most rows of a table are tombstones, ids are given anew in another epoch.
//
// A channel that one of its queues could not be read of is missing, never too small. `peak` needs
// more than one look during the tick: samples_per_tick with Start(), Sample() with Tick(). Means
// are of timed queues only, and only where all queues of the channel are timed.
//
// Threads: one at a time, and no other while started, except: Declare(), DeclareClass() and
//          Withdraw() from any thread at any time, Stop() from any one thread. The callback runs on
//          the collector's thread, under no lock; it may call everything but Start(), and must not
//          destroy the collector.
// Cost:    that of Reader::Read() and 20 ns for each queue on a 2.6 GHz EPYC guest, 9 us for 387
//          queues of one process (benchmarks/queue/collector_bench.cc). No allocation while the
//          queues stay the same, but for the reader's look through the directory once a second.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "seer/core/clock.h"
#include "seer/core/config.h"
#include "seer/core/snapshot.h"
#include "seer/core/tick.h"
#include "seer/core/topology.h"
#include "seer/queue/depth_probe.h"
#include "seer/queue/reader.h"

SEER_BEGIN_NAMESPACE

class QueueRegistry;

struct CollectorOptions {
  std::string node;  // its name in the cluster; empty: the machine's host name
  TickPeriod period;
  ReaderOptions reader;
  // How often Start() looks during a tick, 1 to 100; more than once gives peaks.
  int samples_per_tick = 1;
  // How long a row outlives the last process that published it; at most a day.
  std::chrono::nanoseconds grace = std::chrono::seconds(60);
  // Live rows of each table of the topology: 1 to Topology::kMaxRows / 8.
  std::size_t max_rows = 16384;
  // Of the topology; must differ from that of earlier lives of the agent. 0: the present time.
  std::uint64_t epoch = 0;
  const Clock* clock = nullptr;  // outlives the collector; null: the system's
};

// What no process tells: an instance that publishes nothing (a database, say), or where one runs.
struct DeclaredInstance {
  std::string service;
  std::string instance;
  std::string application;  // may be empty: not known
  std::string cgroup;       // path below the cgroup root; may be empty
  // Empty: those of the processes that publish, as they see them themselves: declare them where
  // containers have process ids of their own.
  std::vector<std::int32_t> pids;
};

// A class of requests that come in on this node, for whoever fills in Snapshot::classes
// (trace/span_probe.h does).
struct DeclaredClass {
  std::string application;  // may be empty
  std::string name;
  QosTarget target;
  std::string service;  // where its requests come in; may be empty: not known
};

// Monotone counts for exporters (open_metrics.h): of all queues that the collector ever saw, since
// they were added. What a process counted stays when it ends.
struct ChannelTotal {
  InstanceId instance;
  Channel channel = Channel::kQueued;
  std::uint64_t enqueued = 0;
  std::uint64_t dequeued = 0;
};
struct EdgeTotal {
  EdgeId edge;
  std::uint64_t made = 0;
};
struct CollectorTotals {
  std::vector<ChannelTotal> channels;
  std::vector<EdgeTotal> edges;
  std::uint64_t snapshots = 0;
  std::uint64_t callback_errors = 0;  // times that the callback threw
  // Sums over all ticks; late_ns, processes and segments_skipped are those of the last one.
  NodeHealth health;
};

// What Start() hands over: valid during the call.
struct Collection {
  const Snapshot& snapshot;
  const Topology& topology;
  const CollectorTotals& totals;
  bool topology_changed;  // since the snapshot before
};

class Collector {
 public:
  using Callback = std::function<void(const Collection&)>;

  // InvalidArgument names the option.
  static absl::StatusOr<std::unique_ptr<Collector>> Create(const CollectorOptions& options);
  ~Collector();  // stops
  Collector(const Collector&) = delete;
  Collector& operator=(const Collector&) = delete;

  // A registry of this process that is anonymous; a shared one is found in the directory.
  [[nodiscard]] absl::Status Add(const QueueRegistry& registry);
  // Asked in the order in which they were added, guarded (GuardedDepthProbe).
  void AddProbe(std::unique_ptr<DepthProbe> probe);

  // From the next look on; again to change it. InvalidArgument names the field.
  [[nodiscard]] absl::Status Declare(const DeclaredInstance& instance);
  // It goes after the grace period, unless a process publishes it.
  void Withdraw(std::string_view service, std::string_view instance);
  // From the next look on, for good; the same application and name again change the rest.
  [[nodiscard]] absl::Status DeclareClass(const DeclaredClass& request_class);

  // The snapshot of the tick that ended last. Valid until the next call.
  const Snapshot& Tick();
  // A further look in the middle of a tick.
  void Sample();

  const Topology& topology() const;
  const CollectorTotals& totals() const;
  // Segments that could not be read, with the reason.
  absl::Span<const SkippedSegment> skipped() const;

  // Tick() on a thread of the collector's own, soon after the end of each tick. FailedPrecondition
  // if it is started already; ResourceExhausted if there is no thread to be had.
  [[nodiscard]] absl::Status Start(Callback callback);
  // The callback is not running and will not be called again, unless the caller is the callback.
  void Stop();

 private:
  class Impl;
  explicit Collector(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

SEER_END_NAMESPACE
