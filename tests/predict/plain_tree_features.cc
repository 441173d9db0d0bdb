#include "tests/predict/plain_tree_features.h"

#include <algorithm>
#include <cmath>

namespace seer::testing {
namespace {

constexpr float kWarm = 30;              // values until one is usual
constexpr std::size_t kMostRing = 4096;  // ticks of a trailing window that are kept
constexpr double kUsualNs = 60e9;        // what is usual is learnt over
constexpr float kLargest = 1e9f;

// NaN never wins.
float Larger(float a, float b) { return b > a || std::isnan(a) ? b : a; }

}  // namespace

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
    for (ClassState& state : classes_) state.ring.clear();
  }
  ++observed_;
  ReadServices(tick, topology);
  ReadClasses(tick, topology);
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
    state.oldest_before = state.oldest;
    state.p99_before = state.p99;
    state.over_now = state.oldest = state.p99 = state.p50 = state.count = kNone;
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
      const bool whole = !now->latency.empty();
      if (now->count > 0 || whole) {
        state.p99 = of_target(whole ? now->latency.Quantile(0.99) : now->p99_ns);
        state.p50 = of_target(whole ? now->latency.Quantile(0.5) : now->p50_ns);
      }
      state.count = slot.total;
      waits = now->oldest_open_ns > target.latency_ns ? 1 : 0;
    }
    state.over += static_cast<double>(slot.over);
    state.near_sum += static_cast<double>(slot.near);
    state.half += static_cast<double>(slot.half);
    state.total += static_cast<double>(slot.total);
    const double share = static_cast<double>(target.allowed_ppm) * 1e-6;
    state.allowed = static_cast<float>(
        std::max(std::floor(share * state.total + 1e-9) + 1, static_cast<double>(target.min_over)));
    state.fills = {state.fill, state.fills[0], state.fills[1]};
    state.fill = now != nullptr ? static_cast<float>((state.over + waits)) / state.allowed : kNone;
    // The tail itself: how many have to be late for a violation (min_over) is not its matter.
    const double of_tail = std::floor(share * state.total + 1e-9) + 1;
    state.near = now != nullptr && state.near_sum + waits >= of_tail;
    state.since_breach = state.fill >= 1 ? 0 : std::min(state.since_breach + 1, 100'000.0f);
    if (now != nullptr) {
      const float weight = std::max(rate_, 1 / (state.ticks + 1));
      state.ticks += 1;
      state.usual_count += weight * (slot.total - state.usual_count);
      if (state.p99 == state.p99 && state.fill < 1) {
        state.usual_p99 += weight * (state.p99 - state.usual_p99);
      }
    }
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

void PlainTreeFeatures::ClassRow(ClassId id, float* row) {
  const ClassState& state = classes_[id.index()];
  std::size_t n = 0;
  const auto put = [&](float value) { row[n++] = value; };
  put(state.fill);
  put(state.fills[2]);
  put(state.fill == state.fill ? state.allowed - static_cast<float>(state.over) : kNone);
  put(state.over_now);
  put(state.fill - state.fills[1]);
  put(state.oldest);
  put(state.oldest - state.oldest_before);
  put(state.p99);
  put(state.p99_before);
  put(state.p50);
  put(state.usual_p99 > 0 ? state.p99 / state.usual_p99 : kNone);
  put(state.fill == state.fill ? static_cast<float>(state.near_sum) / state.allowed : kNone);
  put(state.fill == state.fill ? static_cast<float>(state.half) / state.allowed : kNone);
  put(state.count / std::max(state.usual_count, 1.0f));
  put(state.fill == state.fill ? static_cast<float>(state.total) : kNone);
  put(static_cast<float>(static_cast<double>(state.since_breach) * seconds_));

  float fill = kNone, oldest = kNone, p99 = kNone, other_fill = kNone, other_oldest = kNone;
  float in_breach = 0, all_in_breach = 0;
  const float second = static_cast<float>(1 / seconds_);
  for (const ClassState& other : classes_) {
    if (&other == &state) continue;
    const bool breach = other.since_breach < second;
    all_in_breach += breach ? 1.0f : 0.0f;
    if (other.group != state.group) {
      other_fill = Larger(other_fill, other.fill);
      other_oldest = Larger(other_oldest, other.oldest);
      continue;
    }
    in_breach += breach ? 1.0f : 0.0f;
    fill = Larger(fill, other.fill);
    oldest = Larger(oldest, other.oldest);
    p99 = Larger(p99, other.p99);
  }
  for (const float value :
       {fill, oldest, p99, in_breach, other_fill, other_oldest, all_in_breach}) {
    put(value);
  }

  // All that the class's requests can wait for, and who stands out among them.
  float most[kSeries];
  std::fill(std::begin(most), std::end(most), kNone);
  float second_self = kNone, least_rate = kNone, rise1 = kNone, rise2 = kNone, rise4 = kNone;
  float outstanding_rise = kNone, abnormal = 0, excess_most = kNone, excess_sum = 0;
  top_count_ = 0;
  for (const std::uint32_t s : members_.Of(id)) {
    if (std::find(masked_.begin(), masked_.end(), s) != masked_.end()) continue;
    const float self = columns_[kSelf].z[s];
    if (self > most[kSelf] || std::isnan(most[kSelf])) {
      second_self = most[kSelf];
    } else if (self > second_self || std::isnan(second_self)) {
      second_self = self;
    }
    for (std::size_t k = 0; k < kSeries; ++k) most[k] = Larger(most[k], columns_[k].z[s]);
    const float rate_z = columns_[kRate].z[s];
    if (rate_z < least_rate || std::isnan(least_rate)) least_rate = rate_z;
    rise1 = Larger(rise1, Rise(self_ring_, s, 1));
    rise2 = Larger(rise2, Rise(self_ring_, s, 2));
    rise4 = Larger(rise4, Rise(self_ring_, s, 4));
    outstanding_rise = Larger(outstanding_rise, Rise(outstanding_ring_, s, 2));
    abnormal += self > 4 ? 1.0f : 0.0f;
    if (self == self && recent_rate_[s] >= 0) {
      const float excess =
          (columns_[kSelf].value[s] - columns_[kSelf].mean[s]) / std::max(recent_rate_[s], 1.0f);
      excess_most = Larger(excess_most, excess);
      excess_sum += std::max(excess, 0.0f);
    }
    // Whoever stands out in any way may be to blame.
    float score = Larger(self, 0.5f * columns_[kOutstanding].z[s]);
    for (const Series series : {kGap, kQueued, kSocket, kNic, kAccept}) {
      score = Larger(score, columns_[series].z[s]);
    }
    if (std::isnan(score)) continue;
    if (top_count_ == kCandidates && top_score_[kCandidates - 1] >= score) continue;
    if (top_count_ < kCandidates) ++top_count_;
    std::size_t place = top_count_ - 1;
    for (; place > 0 && top_score_[place - 1] < score; --place) {
      top_score_[place] = top_score_[place - 1];
      top_[place] = top_[place - 1];
    }
    top_score_[place] = score;
    top_[place] = s;
  }
  const float target_s = classes_[id.index()].target_s;
  const ServiceId entry = classes_[id.index()].entry;
  if (entry.valid() && std::find(masked_.begin(), masked_.end(), entry.value()) == masked_.end()) {
    const std::size_t e = entry.index();
    put(columns_[kSelf].z[e]);
    put(columns_[kOutstanding].z[e]);
    put(Rise(outstanding_ring_, e, 1));
    put(Rise(outstanding_ring_, e, 2));
    put(Rise(outstanding_ring_, e, 4));
    put(columns_[kRate].z[e]);
    put(recent_rate_[e] / std::max(columns_[kRate].mean[e], 1.0f));
    const float per =
        recent_rate_[e] >= 0 ? 1 / (std::max(recent_rate_[e], 1.0f) * target_s) : kNone;
    put(columns_[kOutstanding].value[e] * per);
    put((columns_[kOutstanding].value[e] - columns_[kOutstanding].mean[e]) * per);
  } else {
    for (int i = 0; i < 9; ++i) put(kNone);
  }
  put(most[kSelf]);
  put(second_self);
  for (const Series series :
       {kOutstanding, kQueued, kSocket, kNic, kAccept, kSend, kGap, kRunning, kStay}) {
    put(most[series]);
  }
  put(rise1);
  put(rise2);
  put(rise4);
  put(outstanding_rise);
  put(abnormal);
  put(excess_most / target_s);
  put(excess_sum / target_s);
  put(most[kRate]);
  put(least_rate);
  if (top_count_ > 0) {
    const std::uint32_t s = top_[0];
    put(columns_[kSelf].z[s]);
    put(Rise(self_ring_, s, 2));
    put(columns_[kGap].z[s]);
    put(callee_self_[s]);
    put(mate_self_[s]);
    put(columns_[kQueued].z[s]);
  } else {
    for (int i = 0; i < 6; ++i) put(kNone);
  }
}

void PlainTreeFeatures::ServiceRow(ClassId id, std::uint32_t service, float* row) const {
  std::size_t n = 0;
  const auto put = [&](float value) { row[n++] = value; };
  const bool load = service == kLoad;
  const ServiceId entry = classes_[id.index()].entry;
  put(load ? 1.0f : 0.0f);
  if (load && !entry.valid()) {
    while (n < kServiceColumns) put(kNone);
    return;
  }
  const std::uint32_t s = load ? entry.value() : service;
  const float target_s = classes_[id.index()].target_s;
  for (const Series series :
       {kSelf, kOutstanding, kQueued, kRunning, kSocket, kNic, kAccept, kSend, kGap, kRate}) {
    put(columns_[series].z[s]);
  }
  const float rate = std::max(recent_rate_[s], 1.0f);
  put(recent_rate_[s] >= 0 ? recent_rate_[s] / std::max(columns_[kRate].mean[s], 1.0f) : kNone);
  put(columns_[kStay].z[s]);
  for (const std::size_t back : {1u, 2u, 4u, 8u}) put(Rise(self_ring_, s, back));
  for (const std::size_t back : {1u, 2u, 4u, 8u}) put(Rise(outstanding_ring_, s, back));
  const float self = columns_[kSelf].z[s];
  const auto excess_of = [&](std::uint32_t i) {
    return recent_rate_[i] >= 0
               ? std::max(columns_[kSelf].value[i] - columns_[kSelf].mean[i], 0.0f) /
                     std::max(recent_rate_[i], 1.0f)
               : kNone;
  };
  float before = 1, other = kNone, excess_sum = 0;
  for (const std::uint32_t i : candidates()) {
    const float excess = excess_of(i);
    if (excess == excess) excess_sum += excess;
    if (i == s) continue;
    before += columns_[kSelf].z[i] > self ? 1.0f : 0.0f;
    other = Larger(other, columns_[kSelf].z[i]);
  }
  put(1 / before);
  put(self - other);
  put(callee_self_[s]);
  put(callee_outstanding_[s]);
  put(caller_self_[s]);
  put(mate_self_[s]);
  const float excess = excess_of(s);
  put(excess / target_s);
  put(excess_sum > 0 ? excess / excess_sum : 0.0f);
  put(columns_[kSelf].mean[s]);
  put(columns_[kSelf].value[s]);
  put(entry.valid() && entry.value() == s ? 1.0f : 0.0f);
  put(columns_[kStay].value[s] / std::max(columns_[kStay].mean[s], 1.0f));
  put((columns_[kGap].value[s] - columns_[kGap].mean[s]) / (rate * target_s));
  put((columns_[kQueued].value[s] - columns_[kQueued].mean[s]) / (rate * target_s));
  put(columns_[kRunning].value[s] / std::max(columns_[kRunning].mean[s], 0.1f));
}

float PlainTreeFeatures::Z(std::uint32_t service, Measure measure) const {
  switch (measure) {
    case Measure::kSelf:
      return columns_[kSelf].z[service];
    case Measure::kOutstanding:
      return columns_[kOutstanding].z[service];
    case Measure::kQueued:
      return columns_[kQueued].z[service];
    case Measure::kRunning:
      return columns_[kRunning].z[service];
    case Measure::kSocket:
      return columns_[kSocket].z[service];
    case Measure::kNic:
      return columns_[kNic].z[service];
    case Measure::kAccept:
      return columns_[kAccept].z[service];
    case Measure::kSend:
      return columns_[kSend].z[service];
    case Measure::kBlocked:
      break;
  }
  return kNone;
}

}  // namespace seer::testing
