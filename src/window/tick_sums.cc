#include "window/tick_sums.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

std::uint32_t Narrow(std::uint64_t value) {
  return static_cast<std::uint32_t>(
      std::min<std::uint64_t>(value, std::numeric_limits<std::uint32_t>::max()));
}

// As the setters of ServiceTable: what was loaded may be anything.
bool Valid(double value) { return std::isfinite(value) && value >= 0; }

// An empty column stands for zeros.
std::uint32_t ValueAt(absl::Span<const std::uint32_t> column, std::size_t i) {
  return column.empty() ? 0 : column[i];
}

}  // namespace

void TickSums::Clear() {
  for (Column& column : columns_) {
    if (column.has_cells) std::fill(column.cells.begin(), column.cells.end(), Cell());
    if (column.has_timed) std::fill(column.timed.begin(), column.timed.end(), TimedCell());
    if (column.has_missed) std::fill(column.missed.begin(), column.missed.end(), std::uint8_t{0});
    column.has_cells = column.has_timed = column.has_missed = false;
  }
  std::fill(edges_.begin(), edges_.end(), EdgeCell());
  for (ClassTick& row : classes_) {
    row.seen = false;
    row.count = row.over_target = 0;
    row.oldest_open_ns = 0;
    row.latency.Clear();
  }
}

void TickSums::Fit(const Topology& topology) {
  const std::size_t services = topology.services().size();
  if (told_.size() < services) {
    for (Column& column : columns_) {
      column.cells.resize(services);
      column.timed.resize(services);
      column.missed.resize(services, 0);
    }
    told_.resize(services, 0);
  }
  if (edges_.size() < topology.edges().size()) edges_.resize(topology.edges().size());
  if (classes_.size() < topology.classes().size()) classes_.resize(topology.classes().size());
  if (version_ != topology.version() || service_of_.size() != topology.instances().size()) {
    version_ = topology.version();
    service_of_.clear();
    for (const Instance& instance : topology.instances()) {
      service_of_.push_back(instance.service.value());
    }
  }
}

// Where several instances see the same queue, it counts once.
void TickSums::AddShared(Cell* cell, std::uint32_t service, Channel channel, double depth) {
  for (Shared& known : shared_) {
    if (known.service != service || known.channel != channel) continue;
    cell->depth += std::max(0.0, depth - known.depth);
    known.depth = std::max(known.depth, depth);
    return;
  }
  shared_.push_back({service, channel, depth});
  cell->depth += depth;
}

// Of all of the snapshot's instances that were found, one channel.
void TickSums::AddChannel(const Snapshot& snapshot, Channel channel) {
  const ChannelTable& table = snapshot.instances;
  Column& column = columns_[static_cast<std::size_t>(channel)];
  column.has_cells = true;
  const auto depths = table.depths(channel), widths = table.widths(channel);
  const auto arrivals = table.arrivals(channel), departures = table.departures(channel);
  Cell* const cells = column.cells.data();
  for (const Found& found : found_) {
    if (!found.coverage.Has(channel)) continue;
    const std::size_t i = found.local;
    const InstanceId local(found.local);
    Cell& cell = cells[found.service];
    ++cell.told;
    if (table.counted(local).Has(channel)) {
      ++cell.counted;
      cell.arrivals += ValueAt(arrivals, i);
      cell.departures += ValueAt(departures, i);
    }
    if (table.timed(local).Has(channel)) {
      column.has_timed = true;
      TimedCell& timed = column.timed[found.service];
      ++timed.timed;
      timed.mean += ValueAt(table.mean_depths_milli(channel), i) / 1000.0;
      timed.waited_us +=
          static_cast<double>(ValueAt(table.mean_waits_us(channel), i)) * ValueAt(departures, i);
    }
    const double depth = ValueAt(depths, i) + ValueAt(widths, i) / 2.0;
    if (table.shared(local).Has(channel)) {
      AddShared(&cell, found.service, channel, depth);
    } else {
      cell.depth += depth;
    }
  }
}

std::uint64_t TickSums::Add(const Snapshot& snapshot, const TopologyMap& map,
                            const Topology& topology, NodeReport* report) {
  Fit(topology);
  shared_.clear();
  report->services.clear();
  report->edges.clear();
  std::uint64_t unknown = 0;

  const std::size_t instances = snapshot.instances.size();
  found_.clear();
  std::uint8_t channels = 0;
  for (std::size_t i = 0; i < instances; ++i) {
    const InstanceId local(static_cast<std::uint32_t>(i));
    const ChannelMask coverage = snapshot.instances.coverage(local);
    if (coverage.empty()) continue;
    const InstanceId ours = map[local];
    if (ours.value() >= service_of_.size()) {
      unknown += i >= map.instances.size() ? 1 : 0;  // a tombstone is no loss
      continue;
    }
    const std::uint32_t service = service_of_[ours.index()];
    if (service >= told_.size()) continue;
    found_.push_back({local.value(), service, coverage});
    channels = static_cast<std::uint8_t>(channels | coverage.bits());
    std::uint8_t& told = told_[service];
    if (told == 0) report->services.push_back({service, 0});
    told = static_cast<std::uint8_t>(told | coverage.bits());
  }
  for (const Channel channel : kAllChannels) {
    if (ChannelMask(channels).Has(channel)) AddChannel(snapshot, channel);
  }
  for (NodeReport::ServiceChannels& row : report->services) {
    row.channels = told_[row.service];
    told_[row.service] = 0;
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
    cell.told = 1;
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
    if (row.service >= told_.size()) continue;
    const ChannelMask channels(row.channels);
    for (std::size_t c = 0; c < kChannels; ++c) {
      if (!channels.Has(kAllChannels[c])) continue;
      columns_[c].missed[row.service] = 1;
      columns_[c].has_missed = true;
    }
  }
  for (const std::uint32_t edge : report.edges) {
    if (edge < edges_.size()) edges_[edge].missed = 1;
  }
}

void TickSums::State(StateIo& io, const Topology& topology) {
  if (io.loading()) Fit(topology);
  // Only the cells in use: a tick is mostly put together from the nodes that told first.
  for (Column& column : columns_) {
    const std::size_t services = column.cells.size();
    std::vector<std::uint32_t> used;
    for (std::size_t i = 0; i < services && !io.loading(); ++i) {
      if (column.cells[i].told > 0 || column.missed[i] != 0) {
        used.push_back(static_cast<std::uint32_t>(i));
      }
    }
    io(used);
    for (const std::uint32_t i : used) {
      io.Require(i < services, "tick: a service that is not there");
      if (!io.ok()) return;
      Cell& cell = column.cells[i];
      TimedCell& timed = column.timed[i];
      bool missed = column.missed[i] != 0;
      io(cell.depth), io(timed.mean), io(timed.waited_us);
      io(cell.arrivals), io(cell.departures);
      io(cell.told), io(timed.timed), io(cell.counted), io(missed);
      column.missed[i] = missed ? 1 : 0;
      column.has_missed = column.has_missed || missed;
    }
    // What is loaded may be in any of them.
    if (io.loading() && !used.empty()) column.has_cells = column.has_timed = true;
  }
  std::vector<std::uint32_t> used;
  for (std::size_t i = 0; i < edges_.size() && !io.loading(); ++i) {
    if (edges_[i].told != 0 || edges_[i].missed != 0) used.push_back(static_cast<std::uint32_t>(i));
  }
  io(used);
  for (const std::uint32_t i : used) {
    io.Require(i < edges_.size(), "tick: an edge that is not there");
    if (!io.ok()) return;
    bool told = edges_[i].told != 0, missed = edges_[i].missed != 0;
    io(edges_[i].depth), io(edges_[i].made), io(told), io(missed);
    edges_[i].told = told ? 1 : 0;
    edges_[i].missed = missed ? 1 : 0;
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

void TickSums::WriteChannel(const Column& column, std::size_t services,
                            ServiceTable::Columns* out) {
  out->used = true;
  // By pointers of their own: a byte that is written might be part of anything.
  const Cell* const cells = column.cells.data();
  float* const depths = out->depth.data();
  std::uint32_t *const arrivals = out->arrivals.data(), *const left = out->departures.data();
  std::uint8_t* const knowns = out->known.data();
  const std::uint8_t* const missed = column.has_missed ? column.missed.data() : nullptr;
  const TimedCell* const timed = column.has_timed ? column.timed.data() : nullptr;
  for (std::size_t i = 0; i < services; ++i) {
    const Cell& cell = cells[i];
    if (cell.told == 0 || (missed != nullptr && missed[i] != 0)) continue;
    std::uint8_t known = 0;
    if (Valid(cell.depth)) {
      known |= ServiceTable::kDepth;
      depths[i] = static_cast<float>(cell.depth);
    }
    const bool counted = cell.counted == cell.told;
    if (counted) {
      known |= ServiceTable::kFlow;
      arrivals[i] = Narrow(cell.arrivals);
      left[i] = Narrow(cell.departures);
    }
    if (timed != nullptr && timed[i].timed == cell.told) {
      if (Valid(timed[i].mean)) {
        known |= ServiceTable::kMean;
        out->mean[i] = static_cast<float>(timed[i].mean);
      }
      const double wait_us = timed[i].waited_us / static_cast<double>(cell.departures);
      if (cell.departures > 0 && counted && Valid(wait_us)) {
        known |= ServiceTable::kMeanWait;
        out->wait_us[i] = static_cast<float>(wait_us);
      }
    }
    knowns[i] = known;
  }
}

void TickSums::Write(const Topology& topology, ClusterTick* out) const {
  out->topology_version = topology.version();
  out->Reset(topology.services().size(), topology.edges().size(), topology.classes().size());
  const std::size_t services = std::min(told_.size(), topology.services().size());
  for (std::size_t c = 0; c < kChannels; ++c) {
    if (columns_[c].has_cells) WriteChannel(columns_[c], services, &out->services.columns_[c]);
  }
  EdgeTickTable& edges = out->edges;
  for (std::size_t i = 0; i < std::min(edges_.size(), topology.edges().size()); ++i) {
    const EdgeCell& cell = edges_[i];
    if (cell.told == 0 || cell.missed != 0) continue;
    edges.made_[i] = Narrow(cell.made);
    edges.known_[i] = EdgeTickTable::kMade;
    if (!Valid(cell.depth)) continue;
    edges.depth_[i] = static_cast<float>(cell.depth);
    edges.known_[i] |= EdgeTickTable::kDepth;
  }
  for (std::size_t i = 0; i < std::min(classes_.size(), out->classes.size()); ++i) {
    out->classes[i] = classes_[i];
  }
}

}  // namespace internal
SEER_END_NAMESPACE
