// Flow: queue/ counters, probe/ -> [Collector] -> Snapshot -> host's transport -> window/
//
// What one node knew at the end of one tick: how many requests stood in each channel of each
// instance, how many calls were open on each edge, how each request class did. The node's own ids
// throughout (see Origin); what was not seen is missing, never zero.
//
//   seer::Snapshot snapshot;
//   snapshot.instances.Reset(topology.instances().size());
//   seer::ChannelSample queued;
//   queued.depth = 12;
//   snapshot.instances.Set(nginx, seer::Channel::kQueued, queued);
//   if (auto sample = snapshot.instances.Get(nginx, seer::Channel::kAccept)) Use(sample->depth);
//   for (std::uint32_t depth : snapshot.instances.depths(seer::Channel::kQueued)) ...
//
// "During the tick" means since the node's snapshot before: when ticks were missed between the two
// (NodeHealth::missed_ticks), what happened in them is in this snapshot.
//
// Invariants: a missing cell holds zeros; all columns have the table's size or are empty, and an
// empty column stands for zeros. Reset() keeps the memory, so a snapshot that is filled anew every
// tick, or decoded into again (wire.h), allocates nothing once it has seen its largest tick.
//
// Threads: a plain value.
// Cost:    Set and Get about 10 ns (benchmarks/RESULTS.md); 12 to 16 bytes per instance and channel
// in use, 4 more where there are peaks and 8 more where queues are timed.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/types/span.h"
#include "seer/core/channel.h"
#include "seer/core/config.h"
#include "seer/core/ids.h"
#include "seer/core/latency_histogram.h"
#include "seer/core/origin.h"
#include "seer/core/tick.h"

SEER_BEGIN_NAMESPACE

namespace internal {
struct SnapshotWire;  // src/core/wire_snapshot.cc
}

// One channel of one instance at the end of a tick, in the channel's unit.
struct ChannelSample {
  std::uint32_t depth = 0;  // the true depth was in [depth, depth + width]
  std::uint32_t width = 0;  // 0 = exact
  // During the tick; they mean something only where `counted`, as kernel queues do not tell.
  std::uint32_t arrivals = 0;
  std::uint32_t departures = 0;
  bool counted = false;
  bool shared = false;  // the depth is the aggregate of a queue that other services use too

  // The deepest that the node saw of the queue if it looked more than once during the tick, the
  // look at the tick's end included; 0 if it did not. So the deepest that the queue was is at least
  // max(depth, peak); between two looks it may have been deeper.
  std::uint32_t peak = 0;

  // Of a queue that keeps the times itself (`timed`) and so misses nothing between two looks; else
  // zeros. What is too large for its field is the field's largest value.
  bool timed = false;
  std::uint32_t mean_depth_milli = 0;  // mean over all moments of the tick, in thousandths
  // Mean over the requests that left during the tick; 0 if none did. Microseconds, as 32 bits of
  // nanoseconds would end at 4 s, which a backlog exceeds; they reach 71 minutes.
  std::uint32_t mean_wait_us = 0;

  friend bool operator==(const ChannelSample& a, const ChannelSample& b) {
    return a.depth == b.depth && a.width == b.width && a.arrivals == b.arrivals &&
           a.departures == b.departures && a.counted == b.counted && a.shared == b.shared &&
           a.peak == b.peak && a.timed == b.timed && a.mean_depth_milli == b.mean_depth_milli &&
           a.mean_wait_us == b.mean_wait_us;
  }
};

// Why a node sees nothing of a channel, for the people who wonder.
enum class Missing : std::uint8_t {
  kNotMissing,
  kNoProbe,       // nothing was set up to look
  kNoPermission,  // the probe lacks the privilege
  kNotSupported,  // this kernel or driver does not tell
  kFailed,        // the probe failed this time
};
inline constexpr std::size_t kMissings = 5;
// "no-permission", ...
std::string_view MissingName(Missing missing);

// Instances x channels, by column.
class ChannelTable {
 public:
  explicit ChannelTable(std::size_t instances = 0) { Reset(instances); }

  // Forgets every sample and every reason.
  void Reset(std::size_t instances);
  std::size_t size() const { return coverage_.size(); }

  // An instance outside the table is a bug of the caller and is ignored. So are the means of a
  // sample that is not `timed`.
  void Set(InstanceId instance, Channel channel, const ChannelSample& sample);
  // Nothing where the channel was not seen, or the instance is unknown to this table.
  std::optional<ChannelSample> Get(InstanceId instance, Channel channel) const;
  // Which channels of the instance were seen; empty for an unknown instance.
  ChannelMask coverage(InstanceId instance) const { return MaskIn(coverage_, instance); }
  // Which of those are `counted`, `shared`, and `timed`: where a mean of zero is a mean.
  ChannelMask counted(InstanceId instance) const { return MaskIn(counted_, instance); }
  ChannelMask shared(InstanceId instance) const { return MaskIn(shared_, instance); }
  ChannelMask timed(InstanceId instance) const { return MaskIn(timed_, instance); }

  // Beside kSocket and kSend, in bytes: unread and unsent data. After Set(), as what was not seen
  // has no bytes either: else ignored. 0 where unknown.
  void SetBytes(InstanceId instance, Channel channel, std::uint64_t bytes);
  std::uint64_t bytes(InstanceId instance, Channel channel) const;

  // Whole columns by InstanceId, empty where no instance has a value other than zero.
  absl::Span<const std::uint32_t> depths(Channel channel) const { return At(channel).depth; }
  absl::Span<const std::uint32_t> widths(Channel channel) const { return At(channel).width; }
  absl::Span<const std::uint32_t> arrivals(Channel channel) const { return At(channel).arrivals; }
  absl::Span<const std::uint32_t> departures(Channel channel) const {
    return At(channel).departures;
  }
  absl::Span<const std::uint32_t> peaks(Channel channel) const { return At(channel).peak; }
  absl::Span<const std::uint32_t> mean_depths_milli(Channel channel) const {
    return At(channel).mean_depth_milli;
  }
  absl::Span<const std::uint32_t> mean_waits_us(Channel channel) const {
    return At(channel).mean_wait_us;
  }

  void set_missing(Channel channel, Missing why) { missing_[Index(channel)] = why; }
  Missing missing(Channel channel) const { return missing_[Index(channel)]; }

  friend bool operator==(const ChannelTable& a, const ChannelTable& b);
  friend bool operator!=(const ChannelTable& a, const ChannelTable& b) { return !(a == b); }

 private:
  friend struct internal::SnapshotWire;
  struct Columns {
    std::vector<std::uint32_t> depth, width, arrivals, departures;
    std::vector<std::uint32_t> bytes_low, bytes_high;
    std::vector<std::uint32_t> peak, mean_depth_milli, mean_wait_us;
  };
  static std::size_t Index(Channel channel) { return static_cast<std::size_t>(channel); }
  const Columns& At(Channel channel) const { return columns_[Index(channel)]; }
  static ChannelMask MaskIn(const std::vector<std::uint8_t>& masks, InstanceId instance) {
    return instance.value() < masks.size() ? ChannelMask(masks[instance.value()]) : ChannelMask();
  }

  std::array<Columns, kChannels> columns_;
  // By InstanceId, one bit per channel (ChannelMask).
  std::vector<std::uint8_t> coverage_, counted_, shared_;
  std::vector<std::uint8_t> timed_;  // so too, or empty: then nothing is timed and has means
  std::array<Missing, kChannels> missing_ = {};
};

// One call edge at the end of a tick, as the caller's side sees it. The edge's `outbound` depth.
struct EdgeSample {
  std::uint32_t outstanding = 0;  // calls sent and not answered: in [outstanding, + width]
  std::uint32_t width = 0;
  std::uint32_t made = 0;  // calls begun during the tick
  friend bool operator==(const EdgeSample& a, const EdgeSample& b) {
    return a.outstanding == b.outstanding && a.width == b.width && a.made == b.made;
  }
};

class EdgeTable {
 public:
  explicit EdgeTable(std::size_t edges = 0) { Reset(edges); }

  void Reset(std::size_t edges);
  std::size_t size() const { return seen_.size(); }
  void Set(EdgeId edge, const EdgeSample& sample);
  std::optional<EdgeSample> Get(EdgeId edge) const;

  // Whole columns by EdgeId, empty where all are zero.
  absl::Span<const std::uint32_t> outstanding() const { return outstanding_; }
  absl::Span<const std::uint32_t> made() const { return made_; }

  friend bool operator==(const EdgeTable& a, const EdgeTable& b);
  friend bool operator!=(const EdgeTable& a, const EdgeTable& b) { return !(a == b); }

 private:
  friend struct internal::SnapshotWire;
  std::vector<std::uint8_t> seen_;  // 0 or 1
  std::vector<std::uint32_t> outstanding_, width_, made_;
};

// One request class during a tick, as this node's front ends saw it.
struct ClassSample {
  std::uint32_t count = 0;          // requests that ended
  std::uint32_t over_target = 0;    // of those, slower than the class's target
  std::int64_t oldest_open_ns = 0;  // age of the oldest request still open; 0 = none
  LatencyHistogram latency;
  friend bool operator==(const ClassSample& a, const ClassSample& b) {
    return a.count == b.count && a.over_target == b.over_target &&
           a.oldest_open_ns == b.oldest_open_ns && a.latency == b.latency;
  }
};

// What seer itself lost or could not do on this node during the tick, and how much it looked at.
struct NodeHealth {
  std::uint64_t spans_dropped = 0;     // rings that were full
  std::uint64_t counter_errors = 0;    // leaves without an enter, corrected
  std::uint64_t segments_skipped = 0;  // shared-memory segments that could not be read
  std::uint64_t probe_errors = 0;
  std::int64_t late_ns = 0;  // how long after the tick's end the counters were read
  // Ticks directly before this one that have no snapshot: what happened in them is in this one.
  std::uint64_t missed_ticks = 0;
  std::uint64_t processes = 0;       // whose counters were read
  std::uint64_t dead_processes = 0;  // found dead during the tick
  std::uint64_t inexact_reads = 0;  // counters that moved while they were read: depths with a width
  friend bool operator==(const NodeHealth& a, const NodeHealth& b) {
    return a.spans_dropped == b.spans_dropped && a.counter_errors == b.counter_errors &&
           a.segments_skipped == b.segments_skipped && a.probe_errors == b.probe_errors &&
           a.late_ns == b.late_ns && a.missed_ticks == b.missed_ticks &&
           a.processes == b.processes && a.dead_processes == b.dead_processes &&
           a.inexact_reads == b.inexact_reads;
  }
};

struct Snapshot {
  Origin origin;  // the node, and which numbering the ids below belong to
  Tick tick = 0;
  TickPeriod period;
  ChannelTable instances;
  EdgeTable edges;
  std::vector<ClassSample> classes;  // by ClassId
  NodeHealth health;

  friend bool operator==(const Snapshot& a, const Snapshot& b) {
    return a.origin == b.origin && a.tick == b.tick && a.period == b.period &&
           a.instances == b.instances && a.edges == b.edges && a.classes == b.classes &&
           a.health == b.health;
  }
  friend bool operator!=(const Snapshot& a, const Snapshot& b) { return !(a == b); }
};

SEER_END_NAMESPACE
