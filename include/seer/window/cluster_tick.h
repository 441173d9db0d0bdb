// Flow: Snapshot -> [TickMerger] -> ClusterTick -> WindowBuilder, dataset/
//
// One tick of the whole cluster, in the control plane's numbering: instances summed to services,
// nodes put together. What a recorded run (dataset/) is a sequence of.
//
//   seer::ClusterTick tick;
//   tick.Reset(topology.services().size(), topology.edges().size(), topology.classes().size());
//   tick.services.SetDepth(nginx, seer::Channel::kQueued, 12);
//   if (auto depth = tick.services.depth(nginx, seer::Channel::kQueued)) ...
//   if (auto self = seer::SelfDepth(tick, topology, nginx)) ...
//
// A depth is the true number at the tick's end, where something counted it; a mean is over all
// moments of the tick, where something kept the times or intervals were known. Either may be there
// without the other: a recording of means has no depths. What was not seen is missing, never zero.
//
// Calls that stand at a service are told by the edges into it (`outbound`, caller by caller). Where
// a recording has only their number, whoever made them, it is the service's `outstanding`: no edge
// is given a share of it. Outstanding() below asks both; two that are known say the same number.
//
// Invariants: a missing cell holds zero; every column has the table's size; depths and means are
// finite and not negative (Set ignores what is not). Reset() keeps the memory.
//
// Threads: a plain value. Cost: 21 bytes per service and channel, 9 per service for `outstanding`,
// 13 per edge, and the classes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/types/span.h"
#include "seer/core/channel.h"
#include "seer/core/config.h"
#include "seer/core/ids.h"
#include "seer/core/latency_histogram.h"
#include "seer/core/tick.h"
#include "seer/core/topology.h"

SEER_BEGIN_NAMESPACE

namespace internal {
class TickSums;  // src/window/tick_sums.h
}

// Services x channels, by column.
class ServiceTable {
 public:
  void Reset(std::size_t services);
  std::size_t size() const { return size_; }

  void SetDepth(ServiceId service, Channel channel, double depth);
  void SetMean(ServiceId service, Channel channel, double mean);
  // Requests that came into and left the channel during the tick.
  void SetFlow(ServiceId service, Channel channel, std::uint32_t arrivals,
               std::uint32_t departures);
  // Mean over the requests that left the channel during the tick.
  void SetMeanWait(ServiceId service, Channel channel, double wait_us);
  // Calls that stand at the service as a whole, where nobody tells who made them.
  void SetOutstanding(ServiceId service, double depth);
  void SetOutstandingMean(ServiceId service, double mean);

  std::optional<double> depth(ServiceId service, Channel channel) const;
  std::optional<double> mean(ServiceId service, Channel channel) const;
  std::optional<std::uint32_t> arrivals(ServiceId service, Channel channel) const;
  std::optional<std::uint32_t> departures(ServiceId service, Channel channel) const;
  std::optional<double> mean_wait_us(ServiceId service, Channel channel) const;
  std::optional<double> outstanding(ServiceId service) const;
  std::optional<double> outstanding_mean(ServiceId service) const;

  // What is known of a cell.
  enum Known : std::uint8_t { kDepth = 1, kMean = 2, kFlow = 4, kMeanWait = 8 };

  // Whole columns by ServiceId; `known` holds the bits above.
  absl::Span<const float> depths(Channel channel) const { return At(channel).depth; }
  absl::Span<const float> means(Channel channel) const { return At(channel).mean; }
  absl::Span<const std::uint32_t> arrivals(Channel channel) const { return At(channel).arrivals; }
  absl::Span<const std::uint32_t> departures(Channel channel) const {
    return At(channel).departures;
  }
  absl::Span<const float> mean_waits_us(Channel channel) const { return At(channel).wait_us; }
  absl::Span<const std::uint8_t> known(Channel channel) const { return At(channel).known; }
  // kDepth and kMean of `outstanding`.
  absl::Span<const float> outstanding_depths() const { return outstanding_.depth; }
  absl::Span<const float> outstanding_means() const { return outstanding_.mean; }
  absl::Span<const std::uint8_t> outstanding_known() const { return outstanding_.known; }

  friend bool operator==(const ServiceTable& a, const ServiceTable& b);

 private:
  friend class internal::TickSums;  // fills whole columns
  struct Columns {
    std::vector<float> depth, mean, wait_us;
    std::vector<std::uint32_t> arrivals, departures;
    std::vector<std::uint8_t> known;
    bool used = false;  // since Reset(); else all zeros
  };
  const Columns& At(Channel channel) const { return columns_[static_cast<std::size_t>(channel)]; }
  Columns* Cell(ServiceId service, Channel channel);

  std::size_t size_ = 0;
  std::array<Columns, kChannels> columns_;
  Columns outstanding_;  // depth, mean and known; the rest stays empty
};

// Edges: the channel `outbound`, as the callers see it.
class EdgeTickTable {
 public:
  void Reset(std::size_t edges);
  std::size_t size() const { return depth_.size(); }

  void SetDepth(EdgeId edge, double outstanding);
  void SetMean(EdgeId edge, double mean);
  void SetMade(EdgeId edge, std::uint32_t made);  // calls begun during the tick

  std::optional<double> depth(EdgeId edge) const;
  std::optional<double> mean(EdgeId edge) const;
  std::optional<std::uint32_t> made(EdgeId edge) const;

  enum Known : std::uint8_t { kDepth = 1, kMean = 2, kMade = 4 };
  absl::Span<const float> depths() const { return depth_; }
  absl::Span<const float> means() const { return mean_; }
  absl::Span<const std::uint32_t> made() const { return made_; }
  absl::Span<const std::uint8_t> known() const { return known_; }

  friend bool operator==(const EdgeTickTable& a, const EdgeTickTable& b);

 private:
  friend class internal::TickSums;
  std::vector<float> depth_, mean_;
  std::vector<std::uint32_t> made_;
  std::vector<std::uint8_t> known_;
};

// One request class during the tick.
struct ClassTick {
  bool seen = false;
  std::uint64_t count = 0;          // requests that ended
  std::uint64_t over_target = 0;    // of those, slower than the class's target
  std::int64_t oldest_open_ns = 0;  // age of the oldest request still open; 0 = none or not known
  // Either the latencies, or where a recording has only these two, they: 0 = not known.
  LatencyHistogram latency;
  std::int64_t p50_ns = 0;
  std::int64_t p99_ns = 0;

  friend bool operator==(const ClassTick& a, const ClassTick& b) {
    return a.seen == b.seen && a.count == b.count && a.over_target == b.over_target &&
           a.oldest_open_ns == b.oldest_open_ns && a.latency == b.latency && a.p50_ns == b.p50_ns &&
           a.p99_ns == b.p99_ns;
  }
};

struct ClusterTick {
  Tick tick = 0;
  TickPeriod period;
  std::uint64_t topology_version = 0;  // of the numbering below
  ServiceTable services;               // by ServiceId
  EdgeTickTable edges;                 // by EdgeId
  std::vector<ClassTick> classes;      // by ClassId
  // Nodes whose snapshot is in this tick, and nodes that should have sent one.
  std::uint32_t nodes_seen = 0;
  std::uint32_t nodes_expected = 0;

  // Everything missing. Keeps the memory.
  void Reset(std::size_t services_count, std::size_t edges_count, std::size_t classes_count);

  friend bool operator==(const ClusterTick& a, const ClusterTick& b);
};

// Calls that stand at a service: the sum of `outbound` over the live edges into it, where every one
// of them was seen; else what was counted of the service as a whole; else nothing. A depth, and a
// mean only where neither of the two is known as a depth.
std::optional<double> Outstanding(const ClusterTick& tick, const Topology& topology,
                                  ServiceId service);
// Outstanding less blocked, signed: what stands at the service itself and not at those it calls.
// Where `blocked` was not seen, the service's own synchronous outbound calls stand for it; where
// one of these edges was not seen either, nothing is known.
std::optional<double> SelfDepth(const ClusterTick& tick, const Topology& topology,
                                ServiceId service);

// Both for all services in one pass over the edges, without allocation once the tables have their
// size: the same values as the functions above. By ServiceId; what is missing is 0 and not seen.
struct SelfDepthTable {
  std::vector<float> outstanding;
  std::vector<float> self;
  std::vector<std::uint8_t> outstanding_seen;
  std::vector<std::uint8_t> self_seen;

 private:
  friend void SelfDepths(const ClusterTick& tick, const Topology& topology, SelfDepthTable* table);
  struct Sums {
    double in_depth = 0, in_mean = 0, out_depth = 0, out_mean = 0;
    std::uint8_t missing = 0;  // bits: some edge without in depth, in mean, out depth, out mean
    bool in = false, out = false;
  };
  std::vector<Sums> sums_;
};
void SelfDepths(const ClusterTick& tick, const Topology& topology, SelfDepthTable* table);

SEER_END_NAMESPACE
