#include "predict/rival_measures.h"

#include <algorithm>
#include <limits>
#include <optional>

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
  ReadChannels(tick, topology, channels);
  ReadFlows(tick.services, topology.services().size(), channels);
  if (!ReadsEdges(topology.services().size(), edges)) return;
  SelfDepths(tick, topology, &self_depths_);
  OfMeasure& outstanding = columns_[static_cast<std::size_t>(Measure::kOutstanding)];
  OfMeasure& self = columns_[static_cast<std::size_t>(Measure::kSelf)];
  for (std::size_t i = 0; i < topology.services().size(); ++i) {
    outstanding.values[i] =
        self_depths_.outstanding_seen[i] != 0 ? self_depths_.outstanding[i] : kNone;
    self.values[i] = self_depths_.self_seen[i] != 0 ? self_depths_.self[i] : kNone;
  }
  ReadCalls(tick, topology);
}

// Makes room for what edges tell, or forgets it.
bool MeasureTable::ReadsEdges(std::size_t services, bool edges) {
  for (const Measure measure : {Measure::kOutstanding, Measure::kSelf}) {
    OfMeasure& column = columns_[static_cast<std::size_t>(measure)];
    if (!edges) Forget(services, &column);
    column.any = edges;
    column.values.resize(services, kNone);
  }
  return edges;
}

void MeasureTable::ReadChannels(const ClusterTick& tick, const Topology& topology,
                                ChannelMask channels) {
  const std::size_t services = topology.services().size();
  for (const Channel channel : kAllChannels) {
    OfMeasure& column = columns_[static_cast<std::size_t>(channel)];
    if (!channels.Has(channel) || !ReadChannel(tick.services, channel, services, &column)) {
      Forget(services, &column);
    }
  }
}

void MeasureTable::Follow(const Topology& topology) {
  const std::size_t services = topology.services().size();
  Links::Pairs into, out_of;
  for (std::size_t e = 0; e < topology.edges().size(); ++e) {
    const Edge& edge = topology.edges()[e];
    if (edge.removed) continue;
    const auto id = static_cast<std::uint32_t>(e);
    into.emplace_back(edge.callee.value(), id);
    if (edge.caller.valid() && edge.kind == EdgeKind::kSync) {
      out_of.emplace_back(edge.caller.value(), id);
    }
  }
  callees_.clear();
  for (const Edge& edge : topology.edges()) callees_.push_back(edge.callee.value());
  into_.Build(services, into);
  out_of_.Build(services, out_of);
  only_into_.assign(services, kNoEdge);
  for (std::uint32_t s = 0; s < services; ++s) {
    if (into_.Of(s).size() == 1) only_into_[s] = into_.Of(s)[0];
  }
}

void MeasureTable::ReadArrivals(const ClusterTick& tick, const Topology& topology,
                                ChannelMask channels, bool edges) {
  const std::size_t services = topology.services().size();
  ReadChannels(tick, topology, channels);
  arrivals_.resize(services);
  // As ReadFlows(): `running` only where `queued` does not count.
  bool all = false;
  for (const Channel channel : {Channel::kQueued, Channel::kRunning}) {
    if (all || !channels.Has(channel)) continue;
    const bool first = channel == Channel::kQueued || !channels.Has(Channel::kQueued);
    const std::uint8_t* const known = tick.services.known(channel).data();
    const std::uint32_t* const came = tick.services.arrivals(channel).data();
    double* const into = arrivals_.data();
    const std::size_t told = std::min(services, tick.services.size());
    unsigned every = ServiceTable::kFlow;
    for (std::size_t i = 0; i < told; ++i) every &= known[i];
    for (std::size_t i = 0; i < told; ++i) {
      const double before = first ? -1.0 : into[i];
      into[i] = before < 0 && (known[i] & ServiceTable::kFlow) != 0 ? came[i] : before;
    }
    if (first) std::fill(into + told, into + services, -1.0);
    all = every != 0 && told == services;
  }
  if (!channels.Has(Channel::kQueued) && !channels.Has(Channel::kRunning)) {
    std::fill(arrivals_.begin(), arrivals_.end(), -1.0);
  }
  if (!ReadsEdges(services, edges)) return;
  ReadSelf(tick, services);
  if (!all) ReadCalls(tick, topology);
}

// As SelfDepths(), which goes through all edges twice.
void MeasureTable::ReadSelf(const ClusterTick& tick, std::size_t services) {
  OfMeasure& outstanding = columns_[static_cast<std::size_t>(Measure::kOutstanding)];
  OfMeasure& self = columns_[static_cast<std::size_t>(Measure::kSelf)];
  const std::uint32_t* const only = only_into_.data();
  const std::uint8_t* const known = tick.edges.known().data();
  const float* const depths = tick.edges.depths().data();
  const std::size_t edges = tick.edges.size();
  const std::uint8_t* const held = tick.services.known(Channel::kBlocked).data();
  const float* const blocked = tick.services.depths(Channel::kBlocked).data();
  const std::size_t told = std::min(services, tick.services.size());
  float *const at = outstanding.values.data(), *const own = self.values.data();
  for (std::size_t s = 0; s < services; ++s) {
    const std::uint32_t e = only[s];
    // Nearly all: called by one, and both sides are seen.
    if (e < edges && s < told && (known[e] & EdgeTickTable::kDepth) != 0 &&
        (held[s] & ServiceTable::kDepth) != 0) {
      at[s] = depths[e];
      own[s] = static_cast<float>(static_cast<double>(depths[e]) - blocked[s]);
    } else {
      ReadSelfOf(tick, s);
    }
  }
  InferSelf(tick);
}

// Where a service has no probe, what its calls wait for stands at those it calls; where its callers
// have none, what stands at it is what it has queued and works on.
void MeasureTable::InferSelf(const ClusterTick& tick) {
  std::vector<float>& at = columns_[static_cast<std::size_t>(Measure::kOutstanding)].values;
  std::vector<float>& own = columns_[static_cast<std::size_t>(Measure::kSelf)].values;
  for (std::size_t s = 0; s < own.size(); ++s) {
    if (own[s] == own[s] || into_.Of(static_cast<std::uint32_t>(s)).empty()) continue;
    const float stands = at[s] == at[s] ? at[s] : StandingIn(s);
    if (stands != stands) continue;
    const ServiceId id(static_cast<std::uint32_t>(s));
    std::optional<double> told = tick.services.depth(id, Channel::kBlocked);
    if (!told) told = tick.services.mean(id, Channel::kBlocked);
    const float blocked = told ? static_cast<float>(*told) : BlockedByCallees(tick, s);
    if (blocked != blocked) continue;
    at[s] = stands;
    own[s] = stands - blocked;
  }
}

float MeasureTable::StandingIn(std::size_t service) const {
  const OfMeasure &queued = At(Measure::kQueued), &running = At(Measure::kRunning);
  if (!queued.any || !running.any) return kNone;
  return queued.values[service] + running.values[service];
}

float MeasureTable::BlockedByCallees(const ClusterTick& tick, std::size_t service) const {
  double sum = 0;
  for (const std::uint32_t e : out_of_.Of(static_cast<std::uint32_t>(service))) {
    const std::uint32_t callee = callees_[e];
    double there = static_cast<double>(StandingIn(callee));
    for (const std::uint32_t other : into_.Of(callee)) {
      if (other == e) continue;
      const auto depth = tick.edges.depth(EdgeId(other));
      if (!depth) return kNone;  // nobody tells whose calls stand there
      there -= *depth;
    }
    if (there != there) return kNone;
    sum += std::max(there, 0.0);
  }
  return static_cast<float>(sum);
}

void MeasureTable::ReadSelfOf(const ClusterTick& tick, std::size_t service) {
  // Sums over edges: nothing where one of them was not seen, or where there is none.
  struct Sum {
    double depth = 0, mean = 0;
    bool any = false, depths = true, means = true;
  };
  const auto sum_of = [&](absl::Span<const std::uint32_t> edges) {
    Sum sum;
    for (const std::uint32_t e : edges) {
      const EdgeId id(e);
      const std::optional<double> depth = tick.edges.depth(id), mean = tick.edges.mean(id);
      sum.any = true;
      sum.depths = sum.depths && depth.has_value();
      sum.means = sum.means && mean.has_value();
      sum.depth += depth.value_or(0);
      sum.mean += mean.value_or(0);
    }
    return sum;
  };
  float& at = columns_[static_cast<std::size_t>(Measure::kOutstanding)].values[service];
  float& own = columns_[static_cast<std::size_t>(Measure::kSelf)].values[service];
  at = own = kNone;
  const auto row = static_cast<std::uint32_t>(service);
  const ServiceId id(row);
  const Sum in = sum_of(into_.Of(row));
  double outstanding = 0;
  if (in.any && in.depths) {
    outstanding = in.depth;
  } else if (const auto depth = tick.services.outstanding(id)) {
    outstanding = *depth;
  } else if (in.any && in.means) {
    outstanding = in.mean;
  } else if (const auto mean = tick.services.outstanding_mean(id)) {
    outstanding = *mean;
  } else {
    return;
  }
  at = static_cast<float>(outstanding);
  double blocked = 0;
  if (const auto depth = tick.services.depth(id, Channel::kBlocked)) {
    blocked = *depth;
  } else if (const auto mean = tick.services.mean(id, Channel::kBlocked)) {
    blocked = *mean;
  } else if (const Sum out = sum_of(out_of_.Of(row)); out.any) {
    if (!out.depths && !out.means) return;
    blocked = out.depths ? out.depth : out.mean;
  }
  own = static_cast<float>(outstanding - blocked);
}

bool MeasureTable::ReadChannel(const ServiceTable& table, Channel channel, std::size_t services,
                               OfMeasure* column) {
  const std::size_t told = std::min(services, table.size());
  const std::uint8_t* const known = table.known(channel).data();
  unsigned any = 0, all = ServiceTable::kDepth;
  for (std::size_t i = 0; i < told; ++i) any |= known[i];
  if ((any & (ServiceTable::kDepth | ServiceTable::kMean)) == 0) return false;
  for (std::size_t i = 0; i < told; ++i) all &= known[i];
  column->any = true;
  column->values.resize(services);
  const auto depths = table.depths(channel), means = table.means(channel);
  float* const values = column->values.data();
  if (all != 0) {
    std::copy_n(depths.data(), told, values);
  } else {
    for (std::size_t i = 0; i < told; ++i) {
      const float depth = depths[i], mean = means[i];
      const float other = (known[i] & ServiceTable::kMean) != 0 ? mean : kNone;
      values[i] = (known[i] & ServiceTable::kDepth) != 0 ? depth : other;
    }
  }
  std::fill(values + told, values + services, kNone);
  return true;
}

// `queued` before `running`, as that is where a request comes first; departures are those of
// `running`, where it is done.
void MeasureTable::ReadFlows(const ServiceTable& table, std::size_t services,
                             ChannelMask channels) {
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
  for (const double arrivals : arrivals_) wanted = wanted || arrivals < 0;
  if (!wanted) return;
  unknown_made_.assign(arrivals_.size(), 1);
  for (std::size_t i = 0; i < arrivals_.size(); ++i) {
    if (arrivals_[i] >= 0) continue;
    unknown_made_[i] = 0;  // and nothing missing yet
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
