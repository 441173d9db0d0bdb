#include "tests/predict/plain_tree_features.h"

#include <algorithm>
#include <cmath>
#include <optional>

namespace seer::testing {
namespace {

constexpr float kWarm = 30;              // values until one is usual
constexpr std::size_t kMostRing = 4096;  // ticks of a trailing window that are kept
constexpr double kUsualNs = 60e9;        // what is usual is learnt over
constexpr float kLargest = 1e9f;

// NaN never wins.
float Larger(float a, float b) { return b > a || std::isnan(a) ? b : a; }

float OrZero(float value) { return std::isnan(value) ? 0 : value; }

}  // namespace

void PlainTreeFeatures::Follow(float value, double seconds, float* mean) const {
  *mean += static_cast<float>(std::min(1.0, seconds_ / seconds)) * (value - *mean);
}

void PlainMeasures::Read(const ClusterTick& tick, const Topology& topology, ChannelMask channels,
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
  InferSelf(tick, topology);

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

void PlainTreeFeatures::Column::Resize(std::size_t services) {
  value.resize(services, kNone);
  mean.resize(services, 0.0f);
  deviation.resize(services, 0.0f);
  count.resize(services, 0.0f);
  z.resize(services, kNone);
}

// As RobustBaseline, for all services at once and without branches.
void PlainTreeFeatures::Column::Observe(float rate) {
  const std::size_t services = value.size();
  const float* const in = value.data();
  float *const means = mean.data(), *const deviations = deviation.data();
  float *const counts = count.data(), *const out = z.data();
  for (std::size_t i = 0; i < services; ++i) {
    const bool seen = in[i] == in[i];
    const float v = seen ? in[i] : 0.0f;
    const float m = means[i], d = deviations[i], n = counts[i];
    const float spread = std::max(1.2533f * d, std::sqrt(std::max(std::abs(m), 1.0f)));
    const float score = (v - m) / spread;
    out[i] = seen && n >= kWarm ? score : kNone;
    const float most = n >= 8.0f ? 4 * spread : kLargest;
    const float drawn = std::min(std::max(v, m - most), m + most);
    const float weight = std::max(rate, 1 / (n + 1));
    const float new_d = n > 0.0f ? d + weight * (std::abs(drawn - m) - d) : d;
    deviations[i] = seen ? new_d : d;
    means[i] = seen ? m + weight * (drawn - m) : m;
    counts[i] = seen ? n + 1 : n;
  }
}

void PlainTreeFeatures::Reset() {
  const TreeInputs inputs = inputs_;
  *this = PlainTreeFeatures(inputs);
}

// Requests that a service has queued and works on; none: it has no probe.
std::optional<float> PlainMeasures::Standing(std::size_t service) const {
  if (!Seen(service, Measure::kQueued) || !Seen(service, Measure::kRunning)) return std::nullopt;
  return static_cast<float>(Value(service, Measure::kQueued)) +
         static_cast<float>(Value(service, Measure::kRunning));
}

void PlainMeasures::InferSelf(const ClusterTick& tick, const Topology& topology) {
  const auto edges = topology.edges();
  // Of whom it calls, what stands there and is not somebody else's.
  const auto blocked_by_callees = [&](ServiceId service) -> std::optional<float> {
    double sum = 0;
    for (std::size_t e = 0; e < edges.size(); ++e) {
      const bool waits = !edges[e].removed && edges[e].kind == EdgeKind::kSync;
      if (!waits || edges[e].caller != service) continue;
      const std::optional<float> standing = Standing(edges[e].callee.index());
      if (!standing) return std::nullopt;
      double there = static_cast<double>(*standing);
      for (std::size_t o = 0; o < edges.size(); ++o) {
        if (edges[o].removed || o == e || edges[o].callee != edges[e].callee) continue;
        const auto depth = tick.edges.depth(EdgeId(static_cast<std::uint32_t>(o)));
        if (!depth) return std::nullopt;
        there -= *depth;
      }
      sum += std::max(there, 0.0);
    }
    return static_cast<float>(sum);
  };
  for (std::uint32_t s = 0; s < size(); ++s) {
    const ServiceId id(s);
    const bool called = std::any_of(edges.begin(), edges.end(), [&](const Edge& edge) {
      return !edge.removed && edge.callee == id;
    });
    if (Seen(s, Measure::kSelf) || !called) continue;
    std::optional<float> stands = Standing(s);
    if (Seen(s, Measure::kOutstanding)) {
      stands = static_cast<float>(Value(s, Measure::kOutstanding));
    }
    if (!stands) continue;
    std::optional<float> blocked = blocked_by_callees(id);
    if (const auto mean = tick.services.mean(id, Channel::kBlocked)) {
      blocked = static_cast<float>(*mean);
    }
    if (const auto depth = tick.services.depth(id, Channel::kBlocked)) {
      blocked = static_cast<float>(*depth);
    }
    if (!blocked) continue;
    values_[s * kMeasures + static_cast<std::size_t>(Measure::kOutstanding)] =
        static_cast<double>(*stands);
    values_[s * kMeasures + static_cast<std::size_t>(Measure::kSelf)] =
        static_cast<double>(*stands - *blocked);
    seen_[s] |= MeasureBit(Measure::kOutstanding);
    seen_[s] |= MeasureBit(Measure::kSelf);
  }
}

void PlainTreeFeatures::UseRows(const Topology& topology) {
  members_.Use(topology, false);
  masked_.reserve(4);
  const std::size_t services = topology.services().size();
  for (Column& column : columns_) column.Resize(services);
  for (std::size_t b = 0; b < kBack; ++b) {
    self_ring_[b].resize(services, kNone);
    outstanding_ring_[b].resize(services, kNone);
  }
  recent_rate_.resize(services, -1.0f);
  callee_self_.resize(services);
  callee_outstanding_.resize(services);
  caller_self_.resize(services);
  mate_self_.resize(services);
  edges_.clear();
  for (const Edge& edge : topology.edges()) {
    if (edge.removed || !edge.caller.valid() || edge.kind != EdgeKind::kSync) continue;
    edges_.push_back({edge.caller.value(), edge.callee.value()});
  }
  placed_.clear();
  for (const Instance& instance : topology.instances()) {
    if (instance.removed || !instance.node.valid()) continue;
    placed_.emplace_back(instance.service.value(), instance.node.value());
  }
  std::sort(placed_.begin(), placed_.end());
  placed_.erase(std::unique(placed_.begin(), placed_.end()), placed_.end());
  node_two_.resize(topology.nodes().size());

  const auto rows = topology.classes();
  classes_.resize(rows.size());
  for (std::size_t c = 0; c < rows.size(); ++c) {
    ClassState& state = classes_[c];
    const std::int64_t target_ns = rows[c].target.latency_ns;
    state.entry = rows[c].entry;
    state.target_s =
        static_cast<float>(static_cast<double>(std::max<std::int64_t>(target_ns, 1)) * 1e-9);
    state.near_bucket = LatencyHistogram::BucketOf(target_ns - target_ns / 5);
    state.half_bucket = LatencyHistogram::BucketOf(target_ns / 2);
    const auto first = members_.Of(ClassId(static_cast<std::uint32_t>(c)));
    state.group = static_cast<std::uint32_t>(c);
    for (std::size_t other = 0; other < c; ++other) {
      const auto list = members_.Of(ClassId(static_cast<std::uint32_t>(other)));
      const bool same = !rows[c].application.empty()
                            ? rows[c].application == rows[other].application
                            : list.data() == first.data();
      if (same) {
        state.group = classes_[other].group;
        break;
      }
    }
  }
  std::vector<std::uint32_t> groups;
  for (const ClassState& state : classes_) groups.push_back(state.group);
  ways_.UseRows(members_, topology, groups);
  PlainHeld none;
  none.own = none.slow = kNone;
  held_.resize(services, none);
}

void PlainTreeFeatures::Observe(const ClusterTick& tick, const Topology& topology, double gap) {
  seconds_ = static_cast<double>(tick.period.ns()) * 1e-9;
  rate_ = static_cast<float>(std::min(1.0, static_cast<double>(tick.period.ns()) / kUsualNs));
  for (double i = 0; i < std::min(gap, static_cast<double>(kBack)); ++i) {
    at_ = (at_ + 1) % kBack;
    std::fill(self_ring_[at_].begin(), self_ring_[at_].end(), kNone);
    std::fill(outstanding_ring_[at_].begin(), outstanding_ring_[at_].end(), kNone);
  }
  if (gap > 0) {
    // A trailing window with holes tells nothing of what is over: it begins anew.
    for (ClassState& state : classes_) {
      state.ring.clear();
      state.held.clear();
    }
  }
  ++observed_;
  ReadServices(tick, topology);
  ReadClasses(tick, topology);
  ReadWays();
  std::vector<float> counts;
  std::vector<bool> calm;
  for (const ClassState& state : classes_) {
    counts.push_back(state.count);
    calm.push_back(static_cast<double>(state.since_breach) * seconds_ >= 1);
  }
  ways_.Observe(counts, calm, held_, gap);
  for (std::size_t c = 0; c < classes_.size(); ++c) {
    ClassState& state = classes_[c];
    state.delays = {state.weighed.delay, state.delays[0], state.delays[1], state.delays[2]};
    state.weighed = ways_.Weigh(ClassId(static_cast<std::uint32_t>(c)), held_, {});
    const float delay = OrZero(state.weighed.delay) / state.target_s;
    Follow(delay, 2, &state.delay_slow);
    Follow(delay, 8, &state.delay_slower);
    const bool trouble =
        state.fill > 0.2f || (state.oldest > 0.6f && state.age > 1) || delay > 0.15f;
    state.trouble = trouble ? std::min(state.trouble + 1, 1000.0f) : 0;
  }
}

void PlainTreeFeatures::ReadWays() {
  const auto weight = static_cast<float>(std::min(1.0, seconds_ / 0.3));
  for (std::uint32_t s = 0; s < held_.size(); ++s) {
    PlainHeld& held = held_[s];
    const auto above = [&](Series series) {
      return columns_[series].value[s] - columns_[series].mean[s];
    };
    const float per = 1 / std::max(recent_rate_[s], 1.0f);
    const float all = above(kSelf), gap = above(kGap), queued = above(kQueued);
    held.came = columns_[kRate].value[s] * static_cast<float>(seconds_);
    const bool counted = columns_[kSelf].z[s] == columns_[kSelf].z[s] && recent_rate_[s] >= 0;
    held.excess = counted ? all / std::max(recent_rate_[s], 1.0f) : kNone;
    held.self_z = columns_[kSelf].z[s];
    held.rise = Rise(self_ring_, s, 2);
    held.gap_z = columns_[kGap].z[s];
    if (!(recent_rate_[s] >= 0) || std::isnan(all)) {
      held.own = held.slow = kNone;
      continue;
    }
    float own = std::max(all, 0.0f);
    const float works = all - gap - queued;
    float share = (columns_[kOutstanding].value[s] - columns_[kSelf].value[s]) /
                  std::max(columns_[kRunning].value[s], 1.0f);
    if (!std::isnan(works) && !std::isnan(share)) {
      share = std::min(std::max(share, 0.0f), 1.0f);
      own = std::max(gap, 0.0f) + std::max(works, 0.0f) + std::max(queued, 0.0f) * (1 - share);
    }
    held.own = std::isnan(held.own) ? own * per : held.own + weight * (own * per - held.own);
    held.slow = std::isnan(held.slow) ? all * per : held.slow + weight * (all * per - held.slow);
  }
}

void PlainTreeFeatures::ReadServices(const ClusterTick& tick, const Topology& topology) {
  measures_.Read(tick, topology, inputs_.channels, inputs_.edges);
  const std::size_t services = columns_[kSelf].value.size();
  constexpr std::pair<Series, Measure> kRead[] = {
      {kSelf, Measure::kSelf},     {kOutstanding, Measure::kOutstanding},
      {kQueued, Measure::kQueued}, {kRunning, Measure::kRunning},
      {kSocket, Measure::kSocket}, {kNic, Measure::kNic},
      {kAccept, Measure::kAccept}, {kSend, Measure::kSend}};
  for (const auto& [series, measure] : kRead) {
    float* const into = columns_[series].value.data();
    for (std::size_t s = 0; s < services; ++s) {
      into[s] = measures_.Seen(s, measure)
                    ? static_cast<float>(std::min(measures_.Value(s, measure), 1e9))
                    : kNone;
    }
  }
  const float weight = static_cast<float>(std::min(1.0, seconds_ / 0.5));
  for (std::size_t s = 0; s < services; ++s) {
    // NaN where one of them is.
    columns_[kGap].value[s] =
        columns_[kOutstanding].value[s] - columns_[kQueued].value[s] - columns_[kRunning].value[s];
    const double arrivals = measures_.Arrivals(s);
    float rate = kNone;
    if (arrivals >= 0) {
      rate = static_cast<float>(std::min(arrivals / seconds_, 1e9));
      recent_rate_[s] =
          recent_rate_[s] < 0 ? rate : recent_rate_[s] + weight * (rate - recent_rate_[s]);
    }
    columns_[kRate].value[s] = rate;
    columns_[kStay].value[s] = recent_rate_[s] >= 0 ? std::max(columns_[kSelf].value[s], 0.0f) *
                                                          1e6f / std::max(recent_rate_[s], 1.0f)
                                                    : kNone;
    if (std::isnan(columns_[kSelf].value[s])) columns_[kStay].value[s] = kNone;
  }
  for (Column& column : columns_) column.Observe(rate_);

  at_ = (at_ + 1) % kBack;
  const std::vector<float>& self = columns_[kSelf].z;
  const std::vector<float>& outstanding = columns_[kOutstanding].z;
  std::copy(self.begin(), self.end(), self_ring_[at_].begin());
  std::copy(outstanding.begin(), outstanding.end(), outstanding_ring_[at_].begin());

  std::fill(callee_self_.begin(), callee_self_.end(), kNone);
  std::fill(callee_outstanding_.begin(), callee_outstanding_.end(), kNone);
  std::fill(caller_self_.begin(), caller_self_.end(), kNone);
  for (const EdgePair& edge : edges_) {
    callee_self_[edge.caller] = Larger(callee_self_[edge.caller], self[edge.callee]);
    callee_outstanding_[edge.caller] =
        Larger(callee_outstanding_[edge.caller], outstanding[edge.callee]);
    caller_self_[edge.callee] = Larger(caller_self_[edge.callee], self[edge.caller]);
  }
  std::fill(node_two_.begin(), node_two_.end(), std::pair(kNone, kNone));
  for (const auto& [service, node] : placed_) {
    auto& [most, second] = node_two_[node];
    const float z = self[service];
    if (z > most || std::isnan(most)) {
      second = most;
      most = z;
    } else if (z > second || std::isnan(second)) {
      second = z;
    }
  }
  std::fill(mate_self_.begin(), mate_self_.end(), kNone);
  for (const auto& [service, node] : placed_) {
    const auto& [most, second] = node_two_[node];
    mate_self_[service] = Larger(mate_self_[service], self[service] >= most ? second : most);
  }
}

void PlainTreeFeatures::ReadClasses(const ClusterTick& tick, const Topology& topology) {
  const auto rows = topology.classes();
  for (std::size_t c = 0; c < classes_.size(); ++c) {
    ClassState& state = classes_[c];
    const QosTarget& target = rows[c].target;
    const ClassTick* const now = inputs_.latency && c < tick.classes.size() && tick.classes[c].seen
                                     ? &tick.classes[c]
                                     : nullptr;
    const double window_ticks = std::ceil(target.window_ms * 1e-3 / seconds_ - 1e-9);
    const auto ticks =
        static_cast<std::size_t>(std::clamp(window_ticks, 1.0, static_cast<double>(kMostRing)));
    if (state.ring.size() != ticks) {
      state.ring.assign(ticks, {});
      state.at = 0;
      state.over = state.near_sum = state.half = state.total = 0;
    }
    ClassRing& slot = state.ring[state.at];
    state.at = (state.at + 1) % ticks;
    state.over -= static_cast<double>(slot.over);
    state.near_sum -= static_cast<double>(slot.near);
    state.half -= static_cast<double>(slot.half);
    state.total -= static_cast<double>(slot.total);
    slot = {};
    const std::int64_t target_ns = std::max<std::int64_t>(target.latency_ns, 1);
    const auto of_target = [&](std::int64_t ns) {
      return static_cast<float>(static_cast<double>(ns) / static_cast<double>(target_ns));
    };
    state.age_before = state.age;
    state.p99_before = state.p99;
    state.over_now = state.oldest = state.age = state.p99 = state.p50 = state.count = kNone;
    state.near_now = state.half_now = state.p90 = kNone;
    double waits = 0;
    if (now != nullptr) {
      slot.over = static_cast<float>(now->over_target);
      slot.total = static_cast<float>(now->count);
      const auto buckets = now->latency.buckets();
      for (std::size_t b = buckets.size(); b-- > 0 && buckets[b].index >= state.half_bucket;) {
        slot.half += static_cast<float>(buckets[b].count);
        if (buckets[b].index >= state.near_bucket) {
          slot.near += static_cast<float>(buckets[b].count);
        }
      }
      slot.near = std::max(slot.near, slot.over);
      slot.half = std::max(slot.half, slot.near);
      state.over_now = slot.over;
      state.oldest = of_target(now->oldest_open_ns);
      if (state.usual_slow > 0) state.age = state.oldest / state.usual_slow;
      const bool whole = !now->latency.empty();
      if (now->count > 0 || whole) {
        state.p99 = of_target(whole ? now->latency.Quantile(0.99) : now->p99_ns);
        state.p50 = of_target(whole ? now->latency.Quantile(0.5) : now->p50_ns);
        if (whole) state.p90 = of_target(now->latency.Quantile(0.9));
      }
      state.near_now = slot.near;
      state.half_now = slot.half;
      state.count = slot.total;
      waits = now->oldest_open_ns > target.latency_ns ? 1 : 0;
    }
    state.over += static_cast<double>(slot.over);
    state.near_sum += static_cast<double>(slot.near);
    state.half += static_cast<double>(slot.half);
    state.total += static_cast<double>(slot.total);
    float came = 1;  // of what is usual
    if (state.entry.valid()) {
      const Column& rate = columns_[kRate];
      const std::size_t e = state.entry.index();
      if (rate.value[e] == rate.value[e] && rate.mean[e] > 1) came = rate.value[e] / rate.mean[e];
    }
    state.held.push_front(now != nullptr ? state.usual_count * came - slot.total : 0.0f);
    if (state.held.size() > 8) state.held.pop_back();
    const double share = static_cast<double>(target.allowed_ppm) * 1e-6;
    state.allowed = static_cast<float>(
        std::max(std::floor(share * state.total + 1e-9) + 1, static_cast<double>(target.min_over)));
    state.fills = {state.fill, state.fills[0], state.fills[1]};
    state.fill = now != nullptr ? static_cast<float>((state.over + waits)) / state.allowed : kNone;
    double leaves = 0;  // in the three oldest ticks
    for (std::size_t i = 0; i < std::min<std::size_t>(3, ticks); ++i) {
      leaves += static_cast<double>(state.ring[(state.at + i) % ticks].over);
    }
    state.leaves = static_cast<float>(leaves) / state.allowed;
    // The tail itself: how many have to be late for a violation (min_over) is not its matter.
    const double of_tail = std::floor(share * state.total + 1e-9) + 1;
    state.near = now != nullptr && state.near_sum + waits >= of_tail;
    state.since_breach = state.fill >= 1 ? 0 : std::min(state.since_breach + 1, 100'000.0f);
    if (now != nullptr) {
      const float weight = std::max(rate_, 1 / (state.ticks + 1));
      state.ticks += 1;
      state.usual_count += weight * (slot.total - state.usual_count);
      if (state.fill < 1) {
        const auto near = static_cast<float>(state.near_sum), half = static_cast<float>(state.half);
        state.usual_fill += weight * (state.fill - state.usual_fill);
        state.usual_near += weight * (near / state.allowed - state.usual_near);
        state.usual_half += weight * (half / state.allowed - state.usual_half);
      }
      if (state.p99 == state.p99 && state.fill < 1) {
        state.usual_p99 += weight * (state.p99 - state.usual_p99);
        const float above = state.p99 - state.usual_slow;
        const float pull = above > 0 ? 0.9f : 1 - 0.9f;  // nine times as fast up as down
        state.usual_slow += std::min(2 * weight * pull, 1.0f) * above;
      }
    }
    const float fill = OrZero(state.fill);
    state.peak = std::max(state.peak * (1 - static_cast<float>(std::min(1.0, seconds_ / 5))), fill);
    Follow(fill, 2, &state.fill_slow);
    Follow(fill, 8, &state.fill_slower);
    const auto list = members_.Of(ClassId(static_cast<std::uint32_t>(c)));
    bool seen = now != nullptr;
    for (std::size_t i = 0; i < list.size() && !seen; ++i) {
      for (const Series series : {kSelf, kOutstanding, kQueued, kSocket, kNic, kAccept}) {
        seen = seen || columns_[series].value[list[i]] == columns_[series].value[list[i]];
      }
    }
    state.known = seen && static_cast<float>(observed_) > kWarm;
  }
}

}  // namespace seer::testing
