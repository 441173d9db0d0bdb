#include "predict/tick_state.h"

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "predict/tick_order.h"

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

template <typename T>
std::vector<T> Copy(absl::Span<const T> values) {
  return std::vector<T>(values.begin(), values.end());
}

void Channels(StateIo& io, ServiceTable& table) {
  for (const Channel channel : kAllChannels) {
    // The whole columns: what is missing is zero in them, and the tables are read all at once.
    std::vector<std::uint8_t> known = Copy(table.known(channel));
    std::vector<float> depths = Copy(table.depths(channel)), means = Copy(table.means(channel));
    std::vector<float> waits = Copy(table.mean_waits_us(channel));
    std::vector<std::uint32_t> arrivals = Copy(table.arrivals(channel));
    std::vector<std::uint32_t> departures = Copy(table.departures(channel));
    io(known), io(depths), io(means), io(waits), io(arrivals), io(departures);
    if (!io.loading()) continue;
    const std::size_t n = table.size();
    io.Require(known.size() == n && depths.size() == n && means.size() == n && waits.size() == n &&
                   arrivals.size() == n && departures.size() == n,
               "tick: columns of another length");
    for (std::size_t i = 0; i < n && io.ok(); ++i) {
      const ServiceId id(static_cast<std::uint32_t>(i));
      if ((known[i] & ServiceTable::kDepth) != 0) {
        table.SetDepth(id, channel, static_cast<double>(depths[i]));
      }
      if ((known[i] & ServiceTable::kMean) != 0) {
        table.SetMean(id, channel, static_cast<double>(means[i]));
      }
      if ((known[i] & ServiceTable::kFlow) != 0) {
        table.SetFlow(id, channel, arrivals[i], departures[i]);
      }
      if ((known[i] & ServiceTable::kMeanWait) != 0) {
        table.SetMeanWait(id, channel, static_cast<double>(waits[i]));
      }
    }
  }
}

void Outstanding(StateIo& io, ServiceTable& table) {
  std::vector<std::uint8_t> known = Copy(table.outstanding_known());
  std::vector<float> depths = Copy(table.outstanding_depths());
  std::vector<float> means = Copy(table.outstanding_means());
  io(known), io(depths), io(means);
  if (!io.loading()) return;
  const std::size_t n = table.size();
  io.Require(known.size() == n && depths.size() == n && means.size() == n,
             "tick: columns of another length");
  for (std::size_t i = 0; i < n && io.ok(); ++i) {
    const ServiceId id(static_cast<std::uint32_t>(i));
    if ((known[i] & ServiceTable::kDepth) != 0) {
      table.SetOutstanding(id, static_cast<double>(depths[i]));
    }
    if ((known[i] & ServiceTable::kMean) != 0) {
      table.SetOutstandingMean(id, static_cast<double>(means[i]));
    }
  }
}

void Edges(StateIo& io, EdgeTickTable& table) {
  std::vector<std::uint8_t> known = Copy(table.known());
  std::vector<float> depths = Copy(table.depths()), means = Copy(table.means());
  std::vector<std::uint32_t> made = Copy(table.made());
  io(known), io(depths), io(means), io(made);
  if (!io.loading()) return;
  const std::size_t n = table.size();
  io.Require(known.size() == n && depths.size() == n && means.size() == n && made.size() == n,
             "tick: columns of another length");
  for (std::size_t i = 0; i < n && io.ok(); ++i) {
    const EdgeId id(static_cast<std::uint32_t>(i));
    if ((known[i] & EdgeTickTable::kDepth) != 0) table.SetDepth(id, static_cast<double>(depths[i]));
    if ((known[i] & EdgeTickTable::kMean) != 0) table.SetMean(id, static_cast<double>(means[i]));
    if ((known[i] & EdgeTickTable::kMade) != 0) table.SetMade(id, made[i]);
  }
}

}  // namespace

void TickState(StateIo& io, ClusterTick& tick) {
  std::int64_t period_ns = tick.period.ns();
  io(period_ns);
  std::size_t services = tick.services.size(), edges = tick.edges.size();
  std::size_t classes = tick.classes.size();
  if (!io.Count(&services, 21 * kChannels) || !io.Count(&edges, 13) || !io.Count(&classes, 41)) {
    return;
  }
  if (io.loading()) {
    const auto period = TickPeriod::FromNs(period_ns);
    io.Require(period.ok(), "tick: a period that cannot be");
    if (!io.ok()) return;
    tick.Reset(services, edges, classes);  // of all of it
    tick.period = *period;
  }
  io(tick.tick), io(tick.topology_version), io(tick.nodes_seen), io(tick.nodes_expected);
  io.Require(tick.period.Contains(tick.tick), "tick: a time that cannot be");
  if (!io.ok()) return;
  RequireTime(io, tick.period.EndNs(tick.tick));
  Channels(io, tick.services);
  Outstanding(io, tick.services);
  Edges(io, tick.edges);
  for (ClassTick& row : tick.classes) {
    if (!io.ok()) return;
    io(row.seen), io(row.count), io(row.over_target), io(row.oldest_open_ns);
    io(row.p50_ns), io(row.p99_ns);
    std::vector<LatencyHistogram::Bucket> buckets = Copy(row.latency.buckets());
    io(buckets);
    if (!io.loading() || !io.ok()) continue;
    auto latency = LatencyHistogram::FromBuckets(std::move(buckets));
    io.Require(latency.ok(), "tick: latencies that contradict each other");
    if (latency.ok()) row.latency = *std::move(latency);
  }
}

}  // namespace internal
SEER_END_NAMESPACE
