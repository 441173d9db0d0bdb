#include "predict/rival_measures.h"

SEER_BEGIN_NAMESPACE
namespace internal {

void MeasureTable::Read(const ClusterTick& tick, const Topology& topology, ChannelMask channels,
                        bool edges) {
  const std::size_t services = topology.services().size();
  values_.assign(services * kMeasures, 0.0);
  seen_.assign(services, 0);
  arrivals_.assign(services, -1.0);
  departures_.assign(services, -1.0);
  wait_ms_.assign(services, -1.0);
  const std::size_t rows = tick.services.size();

  for (const Channel channel : kAllChannels) {
    if (!channels.Has(channel)) continue;
    const auto measure = static_cast<std::size_t>(channel);
    const auto known = tick.services.known(channel);
    const auto depths = tick.services.depths(channel);
    const auto means = tick.services.means(channel);
    for (std::size_t i = 0; i < rows; ++i) {
      if ((known[i] & (ServiceTable::kDepth | ServiceTable::kMean)) == 0) continue;
      values_[i * kMeasures + measure] =
          (known[i] & ServiceTable::kDepth) != 0 ? depths[i] : means[i];
      seen_[i] |= static_cast<std::uint16_t>(1u << measure);
    }
  }

  // `running` first, so that `queued` overwrites its arrivals; departures are those of `running`,
  // where the request is done.
  for (const Channel channel : {Channel::kRunning, Channel::kQueued}) {
    if (!channels.Has(channel)) continue;
    const auto known = tick.services.known(channel);
    const auto arrivals = tick.services.arrivals(channel);
    const auto departures = tick.services.departures(channel);
    const auto waits = tick.services.mean_waits_us(channel);
    for (std::size_t i = 0; i < rows; ++i) {
      if ((known[i] & ServiceTable::kFlow) != 0) {
        arrivals_[i] = arrivals[i];
        if (departures_[i] < 0) departures_[i] = departures[i];
      }
      if (channel == Channel::kQueued && (known[i] & ServiceTable::kMeanWait) != 0) {
        wait_ms_[i] = waits[i] / 1000.0;
      }
    }
  }

  if (!edges) return;
  SelfDepths(tick, topology, &self_depths_);
  for (std::size_t i = 0; i < services; ++i) {
    if (self_depths_.outstanding_seen[i] != 0) {
      values_[i * kMeasures + static_cast<std::size_t>(Measure::kOutstanding)] =
          self_depths_.outstanding[i];
      seen_[i] |= MeasureBit(Measure::kOutstanding);
    }
    if (self_depths_.self_seen[i] != 0) {
      values_[i * kMeasures + static_cast<std::size_t>(Measure::kSelf)] = self_depths_.self[i];
      seen_[i] |= MeasureBit(Measure::kSelf);
    }
  }

  // Calls made, for services whose own channels do not count: known if every edge into it is.
  unknown_made_.assign(services, 1);
  for (std::size_t i = 0; i < services; ++i) {
    if (arrivals_[i] < 0) unknown_made_[i] = 0;  // wanted, and nothing missing yet
  }
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
