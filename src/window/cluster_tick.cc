#include "seer/window/cluster_tick.h"

#include <cmath>

SEER_BEGIN_NAMESPACE
namespace {

bool Valid(double value) { return std::isfinite(value) && value >= 0; }

template <typename T>
std::optional<T> IfKnown(std::uint8_t known, std::uint8_t bit, T value) {
  if ((known & bit) == 0) return std::nullopt;
  return value;
}

}  // namespace

void ServiceTable::Reset(std::size_t services) {
  size_ = services;
  for (Columns& columns : columns_) {
    if (!columns.used && columns.known.size() == services) continue;
    columns.used = false;
    columns.depth.assign(services, 0.0f);
    columns.mean.assign(services, 0.0f);
    columns.wait_us.assign(services, 0.0f);
    columns.arrivals.assign(services, 0);
    columns.departures.assign(services, 0);
    columns.known.assign(services, 0);
  }
  outstanding_.depth.assign(services, 0.0f);
  outstanding_.mean.assign(services, 0.0f);
  outstanding_.known.assign(services, 0);
}

ServiceTable::Columns* ServiceTable::Cell(ServiceId service, Channel channel) {
  const auto index = static_cast<std::size_t>(channel);
  if (service.value() >= size_ || index >= kChannels) return nullptr;
  columns_[index].used = true;
  return &columns_[index];
}

void ServiceTable::SetDepth(ServiceId service, Channel channel, double depth) {
  Columns* const columns = Cell(service, channel);
  if (columns == nullptr || !Valid(depth)) return;
  columns->depth[service.index()] = static_cast<float>(depth);
  columns->known[service.index()] |= kDepth;
}

void ServiceTable::SetMean(ServiceId service, Channel channel, double mean) {
  Columns* const columns = Cell(service, channel);
  if (columns == nullptr || !Valid(mean)) return;
  columns->mean[service.index()] = static_cast<float>(mean);
  columns->known[service.index()] |= kMean;
}

void ServiceTable::SetFlow(ServiceId service, Channel channel, std::uint32_t arrivals,
                           std::uint32_t departures) {
  Columns* const columns = Cell(service, channel);
  if (columns == nullptr) return;
  columns->arrivals[service.index()] = arrivals;
  columns->departures[service.index()] = departures;
  columns->known[service.index()] |= kFlow;
}

void ServiceTable::SetMeanWait(ServiceId service, Channel channel, double wait_us) {
  Columns* const columns = Cell(service, channel);
  if (columns == nullptr || !Valid(wait_us)) return;
  columns->wait_us[service.index()] = static_cast<float>(wait_us);
  columns->known[service.index()] |= kMeanWait;
}

void ServiceTable::SetOutstanding(ServiceId service, double depth) {
  if (service.value() >= size_ || !Valid(depth)) return;
  outstanding_.depth[service.index()] = static_cast<float>(depth);
  outstanding_.known[service.index()] |= kDepth;
}

void ServiceTable::SetOutstandingMean(ServiceId service, double mean) {
  if (service.value() >= size_ || !Valid(mean)) return;
  outstanding_.mean[service.index()] = static_cast<float>(mean);
  outstanding_.known[service.index()] |= kMean;
}

std::optional<double> ServiceTable::depth(ServiceId service, Channel channel) const {
  if (service.value() >= size_) return std::nullopt;
  const Columns& columns = At(channel);
  return IfKnown<double>(columns.known[service.index()], kDepth, columns.depth[service.index()]);
}

std::optional<double> ServiceTable::mean(ServiceId service, Channel channel) const {
  if (service.value() >= size_) return std::nullopt;
  const Columns& columns = At(channel);
  return IfKnown<double>(columns.known[service.index()], kMean, columns.mean[service.index()]);
}

std::optional<std::uint32_t> ServiceTable::arrivals(ServiceId service, Channel channel) const {
  if (service.value() >= size_) return std::nullopt;
  const Columns& columns = At(channel);
  return IfKnown(columns.known[service.index()], kFlow, columns.arrivals[service.index()]);
}

std::optional<std::uint32_t> ServiceTable::departures(ServiceId service, Channel channel) const {
  if (service.value() >= size_) return std::nullopt;
  const Columns& columns = At(channel);
  return IfKnown(columns.known[service.index()], kFlow, columns.departures[service.index()]);
}

std::optional<double> ServiceTable::mean_wait_us(ServiceId service, Channel channel) const {
  if (service.value() >= size_) return std::nullopt;
  const Columns& columns = At(channel);
  return IfKnown<double>(columns.known[service.index()], kMeanWait,
                         columns.wait_us[service.index()]);
}

std::optional<double> ServiceTable::outstanding(ServiceId service) const {
  if (service.value() >= size_) return std::nullopt;
  return IfKnown<double>(outstanding_.known[service.index()], kDepth,
                         outstanding_.depth[service.index()]);
}

std::optional<double> ServiceTable::outstanding_mean(ServiceId service) const {
  if (service.value() >= size_) return std::nullopt;
  return IfKnown<double>(outstanding_.known[service.index()], kMean,
                         outstanding_.mean[service.index()]);
}

bool operator==(const ServiceTable& a, const ServiceTable& b) {
  if (a.size_ != b.size_ || a.outstanding_.known != b.outstanding_.known ||
      a.outstanding_.depth != b.outstanding_.depth || a.outstanding_.mean != b.outstanding_.mean) {
    return false;
  }
  for (std::size_t i = 0; i < kChannels; ++i) {
    const ServiceTable::Columns& x = a.columns_[i];
    const ServiceTable::Columns& y = b.columns_[i];
    if (x.known != y.known || x.depth != y.depth || x.mean != y.mean || x.wait_us != y.wait_us ||
        x.arrivals != y.arrivals || x.departures != y.departures) {
      return false;
    }
  }
  return true;
}

void EdgeTickTable::Reset(std::size_t edges) {
  depth_.assign(edges, 0.0f);
  mean_.assign(edges, 0.0f);
  made_.assign(edges, 0);
  known_.assign(edges, 0);
}

void EdgeTickTable::SetDepth(EdgeId edge, double outstanding) {
  if (edge.value() >= size() || !Valid(outstanding)) return;
  depth_[edge.index()] = static_cast<float>(outstanding);
  known_[edge.index()] |= kDepth;
}

void EdgeTickTable::SetMean(EdgeId edge, double mean) {
  if (edge.value() >= size() || !Valid(mean)) return;
  mean_[edge.index()] = static_cast<float>(mean);
  known_[edge.index()] |= kMean;
}

void EdgeTickTable::SetMade(EdgeId edge, std::uint32_t made) {
  if (edge.value() >= size()) return;
  made_[edge.index()] = made;
  known_[edge.index()] |= kMade;
}

std::optional<double> EdgeTickTable::depth(EdgeId edge) const {
  if (edge.value() >= size()) return std::nullopt;
  return IfKnown<double>(known_[edge.index()], kDepth, depth_[edge.index()]);
}

std::optional<double> EdgeTickTable::mean(EdgeId edge) const {
  if (edge.value() >= size()) return std::nullopt;
  return IfKnown<double>(known_[edge.index()], kMean, mean_[edge.index()]);
}

std::optional<std::uint32_t> EdgeTickTable::made(EdgeId edge) const {
  if (edge.value() >= size()) return std::nullopt;
  return IfKnown(known_[edge.index()], kMade, made_[edge.index()]);
}

bool operator==(const EdgeTickTable& a, const EdgeTickTable& b) {
  return a.known_ == b.known_ && a.depth_ == b.depth_ && a.mean_ == b.mean_ && a.made_ == b.made_;
}

void ClusterTick::Reset(std::size_t services_count, std::size_t edges_count,
                        std::size_t classes_count) {
  services.Reset(services_count);
  edges.Reset(edges_count);
  classes.resize(classes_count);
  for (ClassTick& row : classes) {
    row.seen = false;
    row.count = row.over_target = 0;
    row.oldest_open_ns = row.p50_ns = row.p99_ns = 0;
    row.latency.Clear();
  }
  nodes_seen = nodes_expected = 0;
}

bool operator==(const ClusterTick& a, const ClusterTick& b) {
  return a.tick == b.tick && a.period == b.period && a.topology_version == b.topology_version &&
         a.services == b.services && a.edges == b.edges && a.classes == b.classes &&
         a.nodes_seen == b.nodes_seen && a.nodes_expected == b.nodes_expected;
}

namespace {

// Sums over edges: nothing where one of them was not seen, or where there is none.
struct EdgeSum {
  std::optional<double> depth, mean;
  std::optional<double> either() const { return depth ? depth : mean; }
};

// Over the edges that `chosen` picks.
template <typename Chosen>
EdgeSum SumOverEdges(const ClusterTick& tick, const Topology& topology, const Chosen& chosen) {
  double depths = 0;
  double means = 0;
  bool have_depths = true;
  bool have_means = true;
  bool any = false;
  const auto edges = topology.edges();
  for (std::size_t i = 0; i < edges.size(); ++i) {
    if (edges[i].removed || !chosen(edges[i])) continue;
    any = true;
    const EdgeId edge(static_cast<std::uint32_t>(i));
    const std::optional<double> depth = tick.edges.depth(edge);
    const std::optional<double> mean = tick.edges.mean(edge);
    have_depths = have_depths && depth.has_value();
    have_means = have_means && mean.has_value();
    depths += depth.value_or(0);
    means += mean.value_or(0);
  }
  EdgeSum sum;
  if (any && have_depths) sum.depth = depths;
  if (any && have_means) sum.mean = means;
  return sum;
}

}  // namespace

std::optional<double> Outstanding(const ClusterTick& tick, const Topology& topology,
                                  ServiceId service) {
  const EdgeSum edges =
      SumOverEdges(tick, topology, [&](const Edge& edge) { return edge.callee == service; });
  if (edges.depth) return edges.depth;
  if (const auto depth = tick.services.outstanding(service)) return depth;
  if (edges.mean) return edges.mean;
  return tick.services.outstanding_mean(service);
}

std::optional<double> SelfDepth(const ClusterTick& tick, const Topology& topology,
                                ServiceId service) {
  const std::optional<double> outstanding = Outstanding(tick, topology, service);
  if (!outstanding) return std::nullopt;
  if (const auto blocked = tick.services.depth(service, Channel::kBlocked)) {
    return *outstanding - *blocked;
  }
  if (const auto blocked = tick.services.mean(service, Channel::kBlocked)) {
    return *outstanding - *blocked;
  }
  bool calls = false;
  for (const Edge& edge : topology.edges()) {
    calls = calls || (!edge.removed && edge.caller == service && edge.kind == EdgeKind::kSync);
  }
  if (!calls) return *outstanding;
  const std::optional<double> outbound =
      SumOverEdges(tick, topology, [&](const Edge& edge) {
        return edge.caller == service && edge.kind == EdgeKind::kSync;
      }).either();
  if (!outbound) return std::nullopt;
  return *outstanding - *outbound;
}

void SelfDepths(const ClusterTick& tick, const Topology& topology, SelfDepthTable* table) {
  constexpr std::uint8_t kInDepth = 1, kInMean = 2, kOutDepth = 4, kOutMean = 8;
  const std::size_t services = topology.services().size();
  table->sums_.assign(services, {});
  table->outstanding.assign(services, 0.0f);
  table->self.assign(services, 0.0f);
  table->outstanding_seen.assign(services, 0);
  table->self_seen.assign(services, 0);

  const auto edges = topology.edges();
  const auto depths = tick.edges.depths();
  const auto means = tick.edges.means();
  const auto known = tick.edges.known();
  for (std::size_t i = 0; i < edges.size(); ++i) {
    const Edge& edge = edges[i];
    if (edge.removed) continue;
    const std::uint8_t bits = i < known.size() ? known[i] : std::uint8_t{0};
    const bool has_depth = (bits & EdgeTickTable::kDepth) != 0;
    const bool has_mean = (bits & EdgeTickTable::kMean) != 0;
    const double depth = has_depth ? depths[i] : 0;
    const double mean = has_mean ? means[i] : 0;
    SelfDepthTable::Sums& callee = table->sums_[edge.callee.index()];
    callee.in = true;
    callee.in_depth += depth;
    callee.in_mean += mean;
    callee.missing |= (has_depth ? 0 : kInDepth) | (has_mean ? 0 : kInMean);
    if (!edge.caller.valid() || edge.kind != EdgeKind::kSync) continue;
    SelfDepthTable::Sums& caller = table->sums_[edge.caller.index()];
    caller.out = true;
    caller.out_depth += depth;
    caller.out_mean += mean;
    caller.missing |= (has_depth ? 0 : kOutDepth) | (has_mean ? 0 : kOutMean);
  }

  const auto whole_known = tick.services.outstanding_known();
  const auto whole_depths = tick.services.outstanding_depths();
  const auto whole_means = tick.services.outstanding_means();
  const auto blocked_known = tick.services.known(Channel::kBlocked);
  const auto blocked_depths = tick.services.depths(Channel::kBlocked);
  const auto blocked_means = tick.services.means(Channel::kBlocked);
  for (std::size_t i = 0; i < services; ++i) {
    const SelfDepthTable::Sums& sums = table->sums_[i];
    const bool there = i < tick.services.size();
    const std::uint8_t whole = there ? whole_known[i] : std::uint8_t{0};
    const std::uint8_t held = there ? blocked_known[i] : std::uint8_t{0};
    double outstanding = 0;
    if (sums.in && (sums.missing & kInDepth) == 0) {
      outstanding = sums.in_depth;
    } else if ((whole & ServiceTable::kDepth) != 0) {
      outstanding = whole_depths[i];
    } else if (sums.in && (sums.missing & kInMean) == 0) {
      outstanding = sums.in_mean;
    } else if ((whole & ServiceTable::kMean) != 0) {
      outstanding = whole_means[i];
    } else {
      continue;
    }
    table->outstanding[i] = static_cast<float>(outstanding);
    table->outstanding_seen[i] = 1;
    double blocked = 0;
    if ((held & ServiceTable::kDepth) != 0) {
      blocked = blocked_depths[i];
    } else if ((held & ServiceTable::kMean) != 0) {
      blocked = blocked_means[i];
    } else if (sums.out) {
      if ((sums.missing & kOutDepth) == 0) {
        blocked = sums.out_depth;
      } else if ((sums.missing & kOutMean) == 0) {
        blocked = sums.out_mean;
      } else {
        continue;
      }
    }
    table->self[i] = static_cast<float>(outstanding - blocked);
    table->self_seen[i] = 1;
  }
}

SEER_END_NAMESPACE
