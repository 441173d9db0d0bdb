#include "queue/cells.h"

#include <algorithm>
#include <cmath>
#include <limits>

SEER_BEGIN_NAMESPACE
namespace internal {

namespace {

constexpr std::uint32_t kMax32 = std::numeric_limits<std::uint32_t>::max();

std::uint32_t Saturated(std::uint64_t value) {
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(value, kMax32));
}
// To the nearest; numbers of a hostile segment can be anything.
std::uint32_t Rounded(double value) {
  if (!(value > 0)) return 0;
  return value < kMax32 ? static_cast<std::uint32_t>(std::lround(value)) : kMax32;
}
// Sums of sums that hostile segments name: up to the largest number, and not around it.
void Increase(std::uint64_t* sum, std::uint64_t by) {
  *sum = *sum > std::numeric_limits<std::uint64_t>::max() - by
             ? std::numeric_limits<std::uint64_t>::max()
             : *sum + by;
}

}  // namespace

std::uint32_t Cells::Find(const QueuePlace& place) const {
  if (place.edge.valid()) {
    const std::size_t at = place.edge.index();
    return at < by_edge_.size() ? by_edge_[at] : kNone;
  }
  if (!place.instance.valid()) return kNone;
  const std::size_t at =
      place.instance.index() * kChannels + static_cast<std::size_t>(place.channel);
  return at < by_channel_.size() ? by_channel_[at] : kNone;
}

std::uint32_t Cells::FindOrAdd(const QueuePlace& place) {
  if (!place.instance.valid() && !place.edge.valid()) return kNone;
  if (const std::uint32_t found = Find(place); found != kNone) return found;
  const auto number = static_cast<std::uint32_t>(cells_.size());
  if (place.edge.valid()) {
    by_edge_[place.edge.index()] = number;
  } else {
    by_channel_[place.instance.index() * kChannels + static_cast<std::size_t>(place.channel)] =
        number;
  }
  cells_.emplace_back();
  cells_.back().place = place;
  return number;
}

void Cells::Place(const Topology& topology, absl::Span<const QueuePlace> places) {
  by_channel_.resize(topology.instances().size() * kChannels, kNone);
  by_edge_.resize(topology.edges().size(), kNone);
  by_queue_.clear();
  for (const QueuePlace& place : places) by_queue_.push_back(FindOrAdd(place));
}

void Cells::Keep(const Topology& topology, const TopologyMap* map) {
  std::vector<std::uint32_t> moved(cells_.size(), kNone);
  std::size_t kept = 0;
  for (std::size_t i = 0; i < cells_.size(); ++i) {
    Cell cell = cells_[i];
    if (map != nullptr) {
      cell.place.instance = (*map)[cell.place.instance];
      cell.place.edge = (*map)[cell.place.edge];
    }
    const bool is_edge = cells_[i].place.edge.valid();
    const bool live =
        is_edge ? topology.IsLive(cell.place.edge) : topology.IsLive(cell.place.instance);
    if (!live) continue;
    moved[i] = static_cast<std::uint32_t>(kept);
    cells_[kept++] = cell;
  }
  cells_.resize(kept);
  for (std::uint32_t& cell : by_queue_) cell = cell == kNone ? kNone : moved[cell];
  by_channel_.assign(topology.instances().size() * kChannels, kNone);
  by_edge_.assign(topology.edges().size(), kNone);
  for (std::size_t i = 0; i < cells_.size(); ++i) {
    const QueuePlace& place = cells_[i].place;
    std::uint32_t& at = place.edge.valid() ? by_edge_[place.edge.index()]
                                           : by_channel_[place.instance.index() * kChannels +
                                                         static_cast<std::size_t>(place.channel)];
    at = static_cast<std::uint32_t>(i);
  }
}

void Cells::Add(absl::Span<const QueueReading> readings, bool any_unread, double elapsed_ns) {
  SEER_DCHECK(readings.size() == by_queue_.size());
  for (Cell& cell : cells_) cell.depth = cell.width = 0;
  for (std::size_t i = 0; i < readings.size(); ++i) {
    if (by_queue_[i] == kNone) continue;
    const QueueReading& reading = readings[i];
    Cell& cell = cells_[by_queue_[i]];
    cell.seen = true;
    // What the reader left out is all zeros, and a queue that counts would say so.
    cell.unread |= any_unread && !reading.counted && reading.enqueued == 0 && reading.dequeued == 0;
    cell.depth += reading.depth;
    cell.width += reading.width;
    cell.arrivals += reading.arrivals;
    cell.departures += reading.departures;
    cell.counted &= reading.counted;
    // The first time with all that was counted before, so that the totals differ by the depth.
    Increase(&cell.all_enqueued, reading.counted ? reading.arrivals : reading.enqueued);
    Increase(&cell.all_dequeued, reading.counted ? reading.departures : reading.dequeued);
    cell.timed &= reading.timed;
    if (!reading.timed) continue;
    cell.area += reading.mean_depth * elapsed_ns;
    cell.waited += reading.mean_wait_ns * reading.departures;
    cell.left += reading.departures;
  }
  for (Cell& cell : cells_) cell.peak = std::max(cell.peak, cell.depth);
  ++looks_;
  elapsed_ns_ += elapsed_ns;
}

ChannelSample Cells::SampleOf(const Cell& cell) const {
  ChannelSample sample;
  sample.depth = Saturated(cell.depth);
  sample.width = Saturated(cell.width);
  sample.counted = cell.counted;
  if (cell.counted) {
    sample.arrivals = Saturated(cell.arrivals);
    sample.departures = Saturated(cell.departures);
  }
  if (looks_ > 1) sample.peak = Saturated(cell.peak);
  sample.timed = cell.timed && elapsed_ns_ > 0;
  if (sample.timed) {
    sample.mean_depth_milli = Rounded(cell.area / elapsed_ns_ * 1000);
    if (cell.left > 0) sample.mean_wait_us = Rounded(cell.waited / cell.left / 1000);
  }
  return sample;
}

ChannelMask Cells::TakeTo(Snapshot* snapshot, CollectorTotals* totals) {
  ChannelMask channels;
  totals->channels.clear();
  totals->edges.clear();
  for (Cell& cell : cells_) {
    const bool is_edge = cell.place.edge.valid();
    if (cell.seen && !is_edge) channels.Add(cell.place.channel);
    if (is_edge) {
      totals->edges.push_back({cell.place.edge, cell.all_enqueued});
    } else {
      totals->channels.push_back(
          {cell.place.instance, cell.place.channel, cell.all_enqueued, cell.all_dequeued});
    }
    if (cell.seen && !cell.unread) {
      const ChannelSample sample = SampleOf(cell);
      if (is_edge) {
        snapshot->edges.Set(cell.place.edge, {sample.depth, sample.width, sample.arrivals});
      } else {
        snapshot->instances.Set(cell.place.instance, cell.place.channel, sample);
      }
    }
    Cell next;
    next.place = cell.place;
    next.all_enqueued = cell.all_enqueued;
    next.all_dequeued = cell.all_dequeued;
    cell = next;
  }
  looks_ = 0;
  elapsed_ns_ = 0;
  return channels;
}

}  // namespace internal
SEER_END_NAMESPACE
