#include "predict/rival_measures.h"

#include <algorithm>
#include <limits>

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

constexpr float kNone = std::numeric_limits<float>::quiet_NaN();

}  // namespace

void MeasureTable::Forget(std::size_t services, OfMeasure* column) {
  if (!column->any && column->values.size() == services) return;  // as it is
  column->any = false;
  column->values.assign(services, kNone);
}

void MeasureTable::Read(const ClusterTick& tick, const Topology& topology, ChannelMask channels,
                        bool edges) {
  const std::size_t services = topology.services().size();
  for (OfMeasure& column : columns_) Forget(services, &column);
  for (const Channel channel : kAllChannels) {
    if (channels.Has(channel)) ReadChannel(tick.services, channel);
  }
  ReadFlows(tick.services, channels);
  if (!edges) return;
  SelfDepths(tick, topology, &self_depths_);
  OfMeasure& outstanding = columns_[static_cast<std::size_t>(Measure::kOutstanding)];
  OfMeasure& self = columns_[static_cast<std::size_t>(Measure::kSelf)];
  outstanding.any = self.any = true;
  for (std::size_t i = 0; i < services; ++i) {
    outstanding.values[i] =
        self_depths_.outstanding_seen[i] != 0 ? self_depths_.outstanding[i] : kNone;
    self.values[i] = self_depths_.self_seen[i] != 0 ? self_depths_.self[i] : kNone;
  }
  ReadCalls(tick, topology);
}

void MeasureTable::ReadChannel(const ServiceTable& table, Channel channel) {
  const auto known = table.known(channel);
  const auto depths = table.depths(channel), means = table.means(channel);
  OfMeasure& column = columns_[static_cast<std::size_t>(channel)];
  float* const values = column.values.data();
  unsigned any = 0;
  for (std::size_t i = 0; i < known.size(); ++i) any |= known[i];
  if ((any & (ServiceTable::kDepth | ServiceTable::kMean)) == 0) return;
  column.any = true;
  for (std::size_t i = 0; i < known.size(); ++i) {
    const float depth = depths[i], mean = means[i];
    const float other = (known[i] & ServiceTable::kMean) != 0 ? mean : kNone;
    values[i] = (known[i] & ServiceTable::kDepth) != 0 ? depth : other;
  }
}

// `queued` before `running`, as that is where a request comes first; departures are those of
// `running`, where it is done.
void MeasureTable::ReadFlows(const ServiceTable& table, ChannelMask channels) {
  const std::size_t services = columns_[0].values.size();
  arrivals_.assign(services, -1.0);
  departures_.assign(services, -1.0);
  wait_ms_.assign(services, -1.0);
  for (const Channel channel : {Channel::kRunning, Channel::kQueued}) {
    if (!channels.Has(channel)) continue;
    const auto known = table.known(channel);
    const auto arrivals = table.arrivals(channel);
    const auto departures = table.departures(channel);
    const auto waits = table.mean_waits_us(channel);
    unsigned any = 0;
    for (std::size_t i = 0; i < known.size(); ++i) any |= known[i];
    if ((any & (ServiceTable::kFlow | ServiceTable::kMeanWait)) == 0) continue;
    for (std::size_t i = 0; i < known.size(); ++i) {
      if ((known[i] & ServiceTable::kFlow) != 0) {
        arrivals_[i] = arrivals[i];
        if (departures_[i] < 0) departures_[i] = departures[i];
      }
      if (channel == Channel::kQueued && (known[i] & ServiceTable::kMeanWait) != 0) {
        wait_ms_[i] = waits[i] / 1000.0;
      }
    }
  }
}

// Calls made, for services whose own channels do not count: known if every edge into it is.
void MeasureTable::ReadCalls(const ClusterTick& tick, const Topology& topology) {
  bool wanted = false;
  unknown_made_.assign(arrivals_.size(), 1);
  for (std::size_t i = 0; i < arrivals_.size(); ++i) {
    if (arrivals_[i] >= 0) continue;
    unknown_made_[i] = 0;  // and nothing missing yet
    wanted = true;
  }
  if (!wanted) return;
  const auto rows_of_edges = topology.edges();
  const auto made = tick.edges.made();
  const auto known = tick.edges.known();
  for (std::size_t i = 0; i < rows_of_edges.size(); ++i) {
    if (rows_of_edges[i].removed) continue;
    const std::size_t callee = rows_of_edges[i].callee.index();
    if (unknown_made_[callee] != 0) continue;
    if (i >= known.size() || (known[i] & EdgeTickTable::kMade) == 0) {
      unknown_made_[callee] = 1;
      arrivals_[callee] = -1;
      continue;
    }
    if (arrivals_[callee] < 0) arrivals_[callee] = 0;
    arrivals_[callee] += made[i];
  }
}

}  // namespace internal
SEER_END_NAMESPACE
