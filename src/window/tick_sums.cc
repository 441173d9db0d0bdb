#include "window/tick_sums.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "seer/core/internal/edge_columns.h"

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

constexpr std::uint32_t kMost = std::numeric_limits<std::uint32_t>::max();

std::uint32_t Narrow(std::uint64_t value) {
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(value, kMost));
}

// What is too large stays the largest value.
void AddTo(std::uint32_t* sum, std::uint32_t value) {
  const std::uint32_t added = *sum + value;
  *sum = added < value ? kMost : added;
}

// As the setters of ServiceTable: what was loaded may be anything.
bool Valid(double value) { return std::isfinite(value) && value >= 0; }

// More than the depths of all instances that a topology may have together.
constexpr double kDeepest = 1e18;
bool CanBeDepth(double value) { return value >= 0 && value <= kDeepest; }

// An empty column stands for zeros.
std::uint32_t ValueAt(absl::Span<const std::uint32_t> column, std::size_t i) {
  return column.empty() ? 0 : column[i];
}

// Snapshots come from all over the memory: what will be read of one is asked for at once, not cache
// line after cache line.
void Prefetch(absl::Span<const std::uint32_t> column) {
#if defined(__GNUC__)
  constexpr std::size_t kLine = 16, kMostLines = 8;  // the processor sees that it goes on
  for (std::size_t i = 0; i < std::min(column.size(), kMostLines * kLine); i += kLine) {
    __builtin_prefetch(column.data() + i);
  }
#else
  (void)column;
#endif
}

template <typename T>
void Zero(std::vector<T>* values) {
  std::fill(values->begin(), values->end(), T());
}

// Those that were written, and zeros in the rest.
template <typename T>
void ZeroBehind(std::size_t written, std::vector<T>* values) {
  std::fill(values->begin() + static_cast<std::ptrdiff_t>(written), values->end(), T());
}

// Those marked, by number; loading, those that were.
std::vector<std::uint32_t> Marked(StateIo& io, const std::vector<std::uint8_t>& marks) {
  std::vector<std::uint32_t> used;
  for (std::size_t i = 0; i < marks.size() && !io.loading(); ++i) {
    if (marks[i] != 0) used.push_back(static_cast<std::uint32_t>(i));
  }
  io(used);
  return used;
}

}  // namespace

void TickSums::Clear() {
  for (Column& column : columns_) {
    if (!column.used) continue;
    Zero(&column.depths);
    Zero(&column.arrivals);
    Zero(&column.departures);
    Zero(&column.marks);
    if (column.has_timed) Zero(&column.timed);
    column.used = column.has_timed = column.has_holes = false;
  }
  Zero(&edges_.depths);
  Zero(&edges_.made);
  Zero(&edges_.marks);
  edges_.has_missed = false;
  for (ClassTick& row : classes_) {
    row.seen = false;
    row.count = row.over_target = 0;
    row.oldest_open_ns = 0;
    row.latency.Clear();
  }
}

void TickSums::Fit(const Topology& topology) {
  const std::size_t services = topology.services().size(), edges = topology.edges().size();
  if (told_.size() < services) {
    for (Column& column : columns_) {
      column.depths.resize(services);
      column.arrivals.resize(services);
      column.departures.resize(services);
      column.marks.resize(services);
      column.timed.resize(services);
    }
    told_.resize(services, 0);
  }
  if (edges_.marks.size() < edges) {
    edges_.depths.resize(edges);
    edges_.made.resize(edges);
    edges_.marks.resize(edges);
  }
  if (classes_.size() < topology.classes().size()) classes_.resize(topology.classes().size());
  if (version_ != topology.version() || service_of_.size() != topology.instances().size()) {
    version_ = topology.version();
    service_of_.clear();
    for (const Instance& instance : topology.instances()) {
      service_of_.push_back(instance.service.value());
    }
  }
}

// Where several instances see the same queue, it counts once: what is new of it.
double TickSums::OfShared(std::uint32_t service, Channel channel, double depth) {
  for (Shared& known : shared_) {
    if (known.service != service || known.channel != channel) continue;
    const double more = std::max(0.0, depth - known.depth);
    known.depth = std::max(known.depth, depth);
    return more;
  }
  shared_.push_back({service, channel, depth});
  return depth;
}

// Of all of the snapshot's instances that were found, one channel.
void TickSums::AddChannel(const ChannelTable& table, Channel channel) {
  Column& column = columns_[static_cast<std::size_t>(channel)];
  column.used = true;
  const auto depths = table.depths(channel), widths = table.widths(channel);
  const auto arrivals = table.arrivals(channel), departures = table.departures(channel);
  for (const Found& found : found_) {
    if (!found.coverage.Has(channel)) continue;
    const std::size_t i = found.local, s = found.service;
    const InstanceId local(found.local);
    unsigned mark = kTold;
    if (table.counted(local).Has(channel)) {
      AddTo(&column.arrivals[s], ValueAt(arrivals, i));
      AddTo(&column.departures[s], ValueAt(departures, i));
    } else {
      mark |= kUncounted;
      column.has_holes = true;
    }
    if (table.timed(local).Has(channel)) {
      column.has_timed = true;
      TimedCell& timed = column.timed[s];
      timed.mean += ValueAt(table.mean_depths_milli(channel), i) / 1000.0;
      timed.waited_us +=
          static_cast<double>(ValueAt(table.mean_waits_us(channel), i)) * ValueAt(departures, i);
    } else {
      mark |= kUntimed;
    }
    column.marks[s] = static_cast<std::uint8_t>(column.marks[s] | mark);
    const double depth = ValueAt(depths, i) + ValueAt(widths, i) / 2.0;
    column.depths[s] +=
        table.shared(local).Has(channel) ? OfShared(found.service, channel, depth) : depth;
  }
}

void TickSums::AddPlainChannel(const ChannelTable& table, Channel channel) {
  Column& column = columns_[static_cast<std::size_t>(channel)];
  column.used = true;
  const auto depths = table.depths(channel);
  const auto arrivals = table.arrivals(channel), departures = table.departures(channel);
  // By pointers of their own: a byte that is written might be part of anything.
  double* const sums = column.depths.data();
  std::uint32_t *const came = column.arrivals.data(), *const left = column.departures.data();
  std::uint8_t* const marks = column.marks.data();
  const Found* const begin = found_.data();
  const Found* const end = begin + found_.size();
  const auto add = [=](const Found& found, std::uint32_t depth, std::uint32_t in,
                       std::uint32_t out) {
    const std::size_t s = found.service;
    sums[s] += depth;
    AddTo(&came[s], in);
    AddTo(&left[s], out);
    marks[s] = static_cast<std::uint8_t>(marks[s] | kTold | kUntimed);
  };
  if (!depths.empty() && !arrivals.empty() && !departures.empty()) {
    const std::uint32_t *const depth = depths.data(), *const in = arrivals.data();
    const std::uint32_t* const out = departures.data();
    for (const Found* found = begin; found != end; ++found) {
      const std::size_t i = found->local;
      add(*found, depth[i], in[i], out[i]);
    }
    return;
  }
  for (const Found* found = begin; found != end; ++found) {
    const std::size_t i = found->local;
    add(*found, ValueAt(depths, i), ValueAt(arrivals, i), ValueAt(departures, i));
  }
}

std::uint64_t TickSums::Add(const Snapshot& snapshot, const TopologyMap& map,
                            const Topology& topology, NodeReport* report) {
  Fit(topology);
  shared_.clear();
  const ChannelTable& table = snapshot.instances;
  const std::size_t instances = table.size();
  std::uint64_t unknown = 0;
  if (!report->services.empty()) {
    const ChannelMask before(report->services.front().channels);  // likely the same again
    for (const Channel channel : kAllChannels) {
      if (!before.Has(channel)) continue;
      Prefetch(table.depths(channel));
      Prefetch(table.arrivals(channel));
      Prefetch(table.departures(channel));
    }
    Prefetch(snapshot.edges.outstanding());
    Prefetch(snapshot.edges.made());
  }
  found_.resize(instances);
  report->services.resize(instances);
  std::size_t found = 0, services = 0;
  unsigned channels = 0, plain = ~0u;  // of any of them; told and counted by all, and no more
  for (std::size_t i = 0; i < instances; ++i) {
    const InstanceId local(static_cast<std::uint32_t>(i));
    const ChannelMask coverage = table.coverage(local);
    if (coverage.empty()) continue;
    const InstanceId ours = map[local];
    if (ours.value() >= service_of_.size()) {
      unknown += i >= map.instances.size() ? 1 : 0;  // a tombstone is no loss
      continue;
    }
    const std::uint32_t service = service_of_[ours.index()];
    if (service >= told_.size()) continue;
    found_[found++] = {local.value(), service, coverage};
    channels |= coverage.bits();
    plain &= coverage.bits() & table.counted(local).bits() &
             ~static_cast<unsigned>(table.shared(local).bits() | table.timed(local).bits());
    std::uint8_t& told = told_[service];
    if (told == 0) report->services[services++] = {service, 0};
    told = static_cast<std::uint8_t>(told | coverage.bits());
  }
  found_.resize(found);
  report->services.resize(services);
  for (const Channel channel : kAllChannels) {
    if (!ChannelMask(static_cast<std::uint8_t>(channels)).Has(channel)) continue;
    if (ChannelMask(static_cast<std::uint8_t>(plain)).Has(channel) &&
        table.widths(channel).empty()) {
      AddPlainChannel(table, channel);
    } else {
      AddChannel(table, channel);
    }
  }
  for (NodeReport::ServiceChannels& row : report->services) {
    row.channels = told_[row.service];
    told_[row.service] = 0;
  }
  return unknown + AddEdges(snapshot.edges, map, report) + AddClasses(snapshot, map);
}

std::uint64_t TickSums::AddEdges(const EdgeTable& table, const TopologyMap& map,
                                 NodeReport* report) {
  std::uint64_t unknown = 0;
  const EdgeColumns columns = ColumnsOf(table);
  report->edges.resize(columns.size);
  std::uint32_t* const told = report->edges.data();
  double* const depths = edges_.depths.data();
  std::uint32_t* const made = edges_.made.data();
  std::uint8_t* const marks = edges_.marks.data();
  const std::size_t known = edges_.marks.size();
  std::size_t count = 0;
  for (std::size_t i = 0; i < columns.size; ++i) {
    if (columns.seen[i] == 0) continue;
    const std::size_t e = map[EdgeId(static_cast<std::uint32_t>(i))].value();
    if (e >= known) {
      unknown += i >= map.edges.size() ? 1 : 0;
      continue;
    }
    const std::uint32_t depth = columns.outstanding == nullptr ? 0 : columns.outstanding[i];
    const std::uint32_t width = columns.width == nullptr ? 0 : columns.width[i];
    depths[e] += depth + width / 2.0;
    AddTo(&made[e], columns.made == nullptr ? 0 : columns.made[i]);
    marks[e] = static_cast<std::uint8_t>(marks[e] | kTold);
    told[count++] = static_cast<std::uint32_t>(e);
  }
  report->edges.resize(count);
  return unknown;
}

std::uint64_t TickSums::AddClasses(const Snapshot& snapshot, const TopologyMap& map) {
  std::uint64_t unknown = 0;
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
      std::uint8_t& mark = columns_[c].marks[row.service];
      mark = static_cast<std::uint8_t>(mark | kMissed);
      columns_[c].used = columns_[c].has_holes = true;
    }
  }
  for (const std::uint32_t edge : report.edges) {
    if (edge >= edges_.marks.size()) continue;
    edges_.marks[edge] = static_cast<std::uint8_t>(edges_.marks[edge] | kMissed);
    edges_.has_missed = true;
  }
}

void TickSums::State(StateIo& io, const Topology& topology) {
  if (io.loading()) Fit(topology);
  // Only the cells in use: a tick is mostly put together from the nodes that told first.
  for (Column& column : columns_) {
    for (const std::uint32_t i : Marked(io, column.marks)) {
      io.Require(i < column.marks.size(), "tick: a service that is not there");
      if (!io.ok()) return;
      CellState(io, i, &column);
      if (!io.ok()) return;
    }
  }
  for (const std::uint32_t i : Marked(io, edges_.marks)) {
    io.Require(i < edges_.marks.size(), "tick: an edge that is not there");
    if (!io.ok()) return;
    std::uint8_t& mark = edges_.marks[i];
    bool told = (mark & kTold) != 0, missed = (mark & kMissed) != 0;
    std::uint64_t made = edges_.made[i];
    io(edges_.depths[i]), io(made), io(told), io(missed);
    io.Require(CanBeDepth(edges_.depths[i]) && (told || missed), "tick: an edge of nothing");
    if (!io.ok()) return;
    edges_.made[i] = Narrow(made);
    mark = static_cast<std::uint8_t>((told ? kTold : 0) | (missed ? kMissed : 0));
    edges_.has_missed = edges_.has_missed || missed;
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

// The bytes are of a time when instances were counted: told, those that keep times, those that
// count. All or not all of them is what matters.
void TickSums::CellState(StateIo& io, std::size_t i, Column* column) {
  std::uint8_t& mark = column->marks[i];
  TimedCell& cell = column->timed[i];
  std::uint64_t arrivals = column->arrivals[i], departures = column->departures[i];
  std::uint32_t told = (mark & kTold) != 0 ? 1 : 0;
  std::uint32_t timed = (mark & kUntimed) != 0 ? 0 : told;
  std::uint32_t counted = (mark & kUncounted) != 0 ? 0 : told;
  bool missed = (mark & kMissed) != 0;
  io(column->depths[i]), io(cell.mean), io(cell.waited_us);
  io(arrivals), io(departures);
  io(told), io(timed), io(counted), io(missed);
  io.Require(CanBeDepth(column->depths[i]) && (told > 0 || missed), "tick: a cell of nothing");
  if (!io.ok()) return;
  column->arrivals[i] = Narrow(arrivals);
  column->departures[i] = Narrow(departures);
  mark = static_cast<std::uint8_t>((told > 0 ? kTold : 0) | (timed != told ? kUntimed : 0) |
                                   (counted != told ? kUncounted : 0) | (missed ? kMissed : 0));
  column->used = true;
  column->has_timed = column->has_timed || cell.mean != 0 || cell.waited_us != 0 || timed > 0;
  column->has_holes = column->has_holes || missed || counted != told;
}

// Where every cell that was told is told, counted by all and without times.
void TickSums::WriteWhole(const Column& column, std::size_t services, ServiceTable::Columns* out) {
  const double* const sums = column.depths.data();
  const std::uint8_t* const marks = column.marks.data();
  float* const depths = out->depth.data();
  std::uint8_t* const knowns = out->known.data();
  unsigned before = 0;
  for (std::size_t i = 0; i < services; ++i) before |= knowns[i];
  if ((before & (ServiceTable::kMean | ServiceTable::kMeanWait)) != 0) {
    Zero(&out->mean);
    Zero(&out->wait_us);
  }
  static_assert(kTold == 1, "a bit that can be multiplied with");
  constexpr unsigned kBoth = ServiceTable::kDepth | ServiceTable::kFlow;
  for (std::size_t i = 0; i < services; ++i) depths[i] = static_cast<float>(sums[i]);
  for (std::size_t i = 0; i < services; ++i) {
    knowns[i] = static_cast<std::uint8_t>((marks[i] & kTold) * kBoth);
  }
  std::copy_n(column.arrivals.begin(), services, out->arrivals.begin());
  std::copy_n(column.departures.begin(), services, out->departures.begin());
  ZeroBehind(services, &out->depth);
  ZeroBehind(services, &out->arrivals);
  ZeroBehind(services, &out->departures);
  ZeroBehind(services, &out->known);
}

void TickSums::WriteChannel(const Column& column, std::size_t services,
                            ServiceTable::Columns* out) {
  // By pointers of their own: a byte that is written might be part of anything.
  const std::uint8_t* const marks = column.marks.data();
  float* const depths = out->depth.data();
  std::uint32_t *const arrivals = out->arrivals.data(), *const left = out->departures.data();
  std::uint8_t* const knowns = out->known.data();
  for (std::size_t i = 0; i < services; ++i) {
    const unsigned mark = marks[i];
    if ((mark & (kTold | kMissed)) != kTold) continue;
    unsigned known = ServiceTable::kDepth;
    depths[i] = static_cast<float>(column.depths[i]);
    const bool counted = (mark & kUncounted) == 0;
    if (counted) {
      known |= ServiceTable::kFlow;
      arrivals[i] = column.arrivals[i];
      left[i] = column.departures[i];
    }
    if (column.has_timed && (mark & kUntimed) == 0) {
      const TimedCell& timed = column.timed[i];
      if (Valid(timed.mean)) {
        known |= ServiceTable::kMean;
        out->mean[i] = static_cast<float>(timed.mean);
      }
      const double wait_us = timed.waited_us / static_cast<double>(column.departures[i]);
      if (column.departures[i] > 0 && counted && Valid(wait_us)) {
        known |= ServiceTable::kMeanWait;
        out->wait_us[i] = static_cast<float>(wait_us);
      }
    }
    knowns[i] = static_cast<std::uint8_t>(known);
  }
}

void TickSums::WriteEdges(EdgeTickTable* out) const {
  const std::size_t edges = std::min(edges_.marks.size(), out->size());
  const double* const sums = edges_.depths.data();
  const std::uint8_t* const marks = edges_.marks.data();
  float* const depths = out->depth_.data();
  std::uint8_t* const knowns = out->known_.data();
  constexpr unsigned kBoth = EdgeTickTable::kDepth | EdgeTickTable::kMade;
  for (std::size_t i = 0; i < edges; ++i) depths[i] = static_cast<float>(sums[i]);
  for (std::size_t i = 0; i < edges; ++i) {
    knowns[i] = static_cast<std::uint8_t>((marks[i] & kTold) * kBoth);
  }
  std::copy_n(edges_.made.begin(), edges, out->made_.begin());
  ZeroBehind(edges, &out->depth_);
  ZeroBehind(edges, &out->made_);
  ZeroBehind(edges, &out->known_);
  for (std::size_t i = 0; i < edges && edges_.has_missed; ++i) {
    if ((marks[i] & kMissed) == 0) continue;
    depths[i] = 0;
    out->made_[i] = 0;
    knowns[i] = 0;
  }
}

void TickSums::Write(const Topology& topology, ClusterTick* out) const {
  const std::size_t services = topology.services().size(), edges = topology.edges().size();
  const std::size_t classes = topology.classes().size();
  out->topology_version = topology.version();
  // What has its size is written over: clearing it first would be as much again.
  if (out->services.size() != services || out->edges.size() != edges ||
      out->classes.size() != classes) {
    out->Reset(services, edges, classes);
  }
  const std::size_t known = std::min(told_.size(), services);
  for (std::size_t c = 0; c < kChannels; ++c) {
    const Column& column = columns_[c];
    ServiceTable::Columns& to = out->services.columns_[c];
    const bool whole = column.used && !column.has_holes && !column.has_timed;
    if (to.used && !whole) {
      for (auto* const values : {&to.depth, &to.mean, &to.wait_us}) Zero(values);
      for (auto* const values : {&to.arrivals, &to.departures}) Zero(values);
      Zero(&to.known);
    }
    to.used = column.used;
    if (whole) {
      WriteWhole(column, known, &to);
    } else if (column.used) {
      WriteChannel(column, known, &to);
    }
  }
  WriteEdges(&out->edges);
  const ClassTick none;
  for (std::size_t i = 0; i < classes; ++i) {
    out->classes[i] = i < classes_.size() ? classes_[i] : none;
  }
}

}  // namespace internal
SEER_END_NAMESPACE
