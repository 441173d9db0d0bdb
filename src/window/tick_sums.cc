#include "window/tick_sums.h"

#include <algorithm>
#include <limits>
#include <utility>

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

std::uint32_t Narrow(std::uint64_t value) {
  return static_cast<std::uint32_t>(
      std::min<std::uint64_t>(value, std::numeric_limits<std::uint32_t>::max()));
}

}  // namespace

void TickSums::Clear() {
  for (auto& column : cells_) std::fill(column.begin(), column.end(), Cell());
  std::fill(edges_.begin(), edges_.end(), EdgeCell());
  for (ClassTick& row : classes_) {
    row.seen = false;
    row.count = row.over_target = 0;
    row.oldest_open_ns = 0;
    row.latency.Clear();
  }
}

void TickSums::Fit(const Topology& topology) {
  if (cells_[0].size() < topology.services().size()) {
    for (auto& column : cells_) column.resize(topology.services().size());
    channels_.resize(topology.services().size(), 0);
  }
  if (edges_.size() < topology.edges().size()) edges_.resize(topology.edges().size());
  if (classes_.size() < topology.classes().size()) classes_.resize(topology.classes().size());
}

void TickSums::AddSample(Cell& cell, std::uint32_t service, Channel channel,
                         const ChannelSample& sample) {
  const double depth = sample.depth + sample.width / 2.0;
  ++cell.told;
  if (sample.counted) {
    ++cell.counted;
    cell.arrivals += sample.arrivals;
    cell.departures += sample.departures;
  }
  if (sample.timed) {
    ++cell.timed;
    cell.mean += sample.mean_depth_milli / 1000.0;
    cell.waited_us += static_cast<double>(sample.mean_wait_us) * sample.departures;
  }
  if (!sample.shared) {
    cell.depth += depth;
    return;
  }
  for (Shared& known : shared_) {
    if (known.service != service || known.channel != channel) continue;
    cell.depth += std::max(0.0, depth - known.depth);
    known.depth = std::max(known.depth, depth);
    return;
  }
  shared_.push_back({service, channel, depth});
  cell.depth += depth;
}

std::uint64_t TickSums::Add(const Snapshot& snapshot, const TopologyMap& map,
                            const Topology& topology, NodeReport* report) {
  Fit(topology);
  shared_.clear();
  report->services.clear();
  report->edges.clear();
  std::uint64_t unknown = 0;

  const auto instances = topology.instances();
  for (std::size_t i = 0; i < snapshot.instances.size(); ++i) {
    const InstanceId local(static_cast<std::uint32_t>(i));
    const ChannelMask coverage = snapshot.instances.coverage(local);
    if (coverage.empty()) continue;
    const InstanceId ours = map[local];
    if (ours.value() >= instances.size()) {
      unknown += i >= map.instances.size() ? 1 : 0;  // a tombstone is no loss
      continue;
    }
    const ServiceId service = instances[ours.index()].service;
    if (service.value() >= channels_.size()) continue;
    for (const Channel channel : kAllChannels) {
      if (!coverage.Has(channel)) continue;
      AddSample(cells_[static_cast<std::size_t>(channel)][service.index()], service.value(),
                channel, *snapshot.instances.Get(local, channel));
    }
    std::uint8_t& told = channels_[service.index()];
    if (told == 0) report->services.push_back({service.value(), 0});
    told = static_cast<std::uint8_t>(told | coverage.bits());
  }
  for (NodeReport::ServiceChannels& row : report->services) {
    row.channels = channels_[row.service];
    channels_[row.service] = 0;
  }

  for (std::size_t i = 0; i < snapshot.edges.size(); ++i) {
    const EdgeId local(static_cast<std::uint32_t>(i));
    const auto sample = snapshot.edges.Get(local);
    if (!sample) continue;
    const EdgeId ours = map[local];
    if (ours.value() >= edges_.size()) {
      unknown += i >= map.edges.size() ? 1 : 0;
      continue;
    }
    EdgeCell& cell = edges_[ours.index()];
    cell.told = true;
    cell.depth += sample->outstanding + sample->width / 2.0;
    cell.made += sample->made;
    report->edges.push_back(ours.value());
  }

  for (std::size_t i = 0; i < snapshot.classes.size(); ++i) {
    const ClassId ours = map[ClassId(static_cast<std::uint32_t>(i))];
    if (ours.value() >= classes_.size()) {
      unknown += i >= map.classes.size() ? 1 : 0;
      continue;
    }
    const ClassSample& sample = snapshot.classes[i];
    ClassTick& row = classes_[ours.index()];
    row.seen = true;
    row.count += sample.count;
    row.over_target += sample.over_target;
    row.oldest_open_ns = std::max(row.oldest_open_ns, sample.oldest_open_ns);
    row.latency.Merge(sample.latency);
  }
  return unknown;
}

void TickSums::Miss(const NodeReport& report) {
  for (const NodeReport::ServiceChannels& row : report.services) {
    if (row.service >= cells_[0].size()) continue;
    const ChannelMask channels(row.channels);
    for (std::size_t c = 0; c < kChannels; ++c) {
      if (channels.Has(kAllChannels[c])) cells_[c][row.service].missed = true;
    }
  }
  for (const std::uint32_t edge : report.edges) {
    if (edge < edges_.size()) edges_[edge].missed = true;
  }
}

void TickSums::State(StateIo& io, const Topology& topology) {
  if (io.loading()) Fit(topology);
  // Only the cells in use: a tick is mostly put together from the nodes that told first.
  for (auto& column : cells_) {
    std::vector<std::uint32_t> used;
    for (std::size_t i = 0; i < column.size() && !io.loading(); ++i) {
      if (column[i].told > 0 || column[i].missed) used.push_back(static_cast<std::uint32_t>(i));
    }
    io(used);
    for (const std::uint32_t i : used) {
      io.Require(i < column.size(), "tick: a service that is not there");
      if (!io.ok()) return;
      Cell& cell = column[i];
      io(cell.depth), io(cell.mean), io(cell.waited_us);
      io(cell.arrivals), io(cell.departures);
      io(cell.told), io(cell.timed), io(cell.counted), io(cell.missed);
    }
  }
  std::vector<std::uint32_t> used;
  for (std::size_t i = 0; i < edges_.size() && !io.loading(); ++i) {
    if (edges_[i].told || edges_[i].missed) used.push_back(static_cast<std::uint32_t>(i));
  }
  io(used);
  for (const std::uint32_t i : used) {
    io.Require(i < edges_.size(), "tick: an edge that is not there");
    if (!io.ok()) return;
    io(edges_[i].depth), io(edges_[i].made), io(edges_[i].told), io(edges_[i].missed);
  }
  std::uint32_t classes = static_cast<std::uint32_t>(classes_.size());
  io(classes);
  io.Require(classes <= classes_.size(), "tick: a class that is not there");
  for (std::size_t i = 0; i < classes && io.ok(); ++i) {
    ClassTick& row = classes_[i];
    io(row.seen), io(row.count), io(row.over_target), io(row.oldest_open_ns);
    std::vector<LatencyHistogram::Bucket> buckets(row.latency.buckets().begin(),
                                                  row.latency.buckets().end());
    io(buckets);
    if (!io.loading() || !io.ok()) continue;
    auto latency = LatencyHistogram::FromBuckets(std::move(buckets));
    io.Require(latency.ok(), "tick: latencies that contradict each other");
    if (latency.ok()) row.latency = *std::move(latency);
  }
}

void TickSums::Write(const Topology& topology, ClusterTick* out) const {
  out->topology_version = topology.version();
  out->Reset(topology.services().size(), topology.edges().size(), topology.classes().size());
  const std::size_t services = std::min(cells_[0].size(), topology.services().size());
  for (std::size_t c = 0; c < kChannels; ++c) {
    for (std::size_t i = 0; i < services; ++i) {
      const Cell& cell = cells_[c][i];
      if (cell.told == 0 || cell.missed) continue;
      const ServiceId id(static_cast<std::uint32_t>(i));
      const Channel channel = kAllChannels[c];
      out->services.SetDepth(id, channel, cell.depth);
      if (cell.counted == cell.told) {
        out->services.SetFlow(id, channel, Narrow(cell.arrivals), Narrow(cell.departures));
      }
      if (cell.timed == cell.told) {
        out->services.SetMean(id, channel, cell.mean);
        if (cell.departures > 0 && cell.counted == cell.told) {
          out->services.SetMeanWait(id, channel,
                                    cell.waited_us / static_cast<double>(cell.departures));
        }
      }
    }
  }
  for (std::size_t i = 0; i < std::min(edges_.size(), topology.edges().size()); ++i) {
    const EdgeCell& cell = edges_[i];
    if (!cell.told || cell.missed) continue;
    const EdgeId id(static_cast<std::uint32_t>(i));
    out->edges.SetDepth(id, cell.depth);
    out->edges.SetMade(id, Narrow(cell.made));
  }
  for (std::size_t i = 0; i < std::min(classes_.size(), out->classes.size()); ++i) {
    out->classes[i] = classes_[i];
  }
}

}  // namespace internal
SEER_END_NAMESPACE
