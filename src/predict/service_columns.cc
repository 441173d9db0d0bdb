#include "predict/service_columns.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "predict/side_by_side.h"

// Compiled for speed, and so that square roots and selections become vector instructions
// (src/predict/CMakeLists.txt): neither changes a bit of any result.

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

constexpr double kUsualNs = 60e9;  // what is usual is learnt over
constexpr float kLargest = 1e9f;
constexpr std::pair<ServiceColumns::Series, Measure> kRead[] = {
    {ServiceColumns::kSelf, Measure::kSelf},
    {ServiceColumns::kOutstanding, Measure::kOutstanding},
    {ServiceColumns::kQueued, Measure::kQueued},
    {ServiceColumns::kRunning, Measure::kRunning},
    {ServiceColumns::kSocket, Measure::kSocket},
    {ServiceColumns::kNic, Measure::kNic},
    {ServiceColumns::kAccept, Measure::kAccept},
    {ServiceColumns::kSend, Measure::kSend}};
constexpr std::size_t kBlock = 64;  // services whose digests stay in the first cache
constexpr std::size_t kSome = 128;  // whose columns do
static_assert(kSome % ServiceColumns::kStride == 0);

// NaN never wins.
float Larger(float a, float b) { return b > a || std::isnan(a) ? b : a; }

// As RobustBaseline, for all services at once and without branches.
SEER_ALWAYS_INLINE void LearnEach(std::size_t services, float rate, const float* __restrict in,
                                  float* __restrict means, float* __restrict deviations,
                                  float* __restrict counts, float* __restrict out) {
  constexpr float kNone = ServiceColumns::kNone, kWarm = ServiceColumns::kWarm;
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

using LearnFunction = void (*)(std::size_t, float, const float*, float*, float*, float*, float*);
void LearnPlain(std::size_t services, float rate, const float* in, float* means, float* deviations,
                float* counts, float* out) {
  LearnEach(services, rate, in, means, deviations, counts, out);
}

#ifdef SEER_FOR_AVX2
SEER_FOR_AVX2 void LearnAvx2(std::size_t services, float rate, const float* in, float* means,
                             float* deviations, float* counts, float* out) {
  LearnEach(services, rate, in, means, deviations, counts, out);
}
LearnFunction ChooseLearn() { return HasAvx2() ? LearnAvx2 : LearnPlain; }
#else
LearnFunction ChooseLearn() { return LearnPlain; }
#endif

std::size_t Padded(std::size_t services) {
  return (services + ServiceColumns::kStride - 1) / ServiceColumns::kStride *
         ServiceColumns::kStride;
}

}  // namespace

void ServiceColumns::Column::Resize(std::size_t services) {
  value.resize(services, kNone);
  mean.resize(services, 0.0f);
  deviation.resize(services, 0.0f);
  count.resize(services, 0.0f);
  z.resize(services, kNone);
  live = true;
}

void ServiceColumns::UseRows(const Topology& topology) {
  const std::size_t services = topology.services().size(), padded = Padded(services);
  measures_.Follow(topology);
  for (Column& column : columns_) column.Resize(padded);
  for (std::size_t b = 0; b < kBack; ++b) {
    self_ring_[b].resize(padded, kNone);
    outstanding_ring_[b].resize(padded, kNone);
  }
  recent_rate_.resize(services, -1.0f);
  Digest none;
  std::fill(std::begin(none.lane), std::end(none.lane), kNone);
  digests_.assign(services, none);
  digested_ = 0;
  scores_.assign(padded, -std::numeric_limits<float>::infinity());
  excess_.assign(padded, kNone);

  Links::Pairs pairs;
  for (const Edge& edge : topology.edges()) {
    if (edge.removed || !edge.caller.valid() || edge.kind != EdgeKind::kSync) continue;
    pairs.emplace_back(edge.caller.value(), edge.callee.value());
  }
  callees_.Build(services, pairs);
  for (auto& [caller, callee] : pairs) std::swap(caller, callee);
  callers_.Build(services, pairs);
  pairs.clear();
  for (const Instance& instance : topology.instances()) {
    if (instance.removed || !instance.node.valid()) continue;
    pairs.emplace_back(instance.service.value(), instance.node.value());
  }
  std::sort(pairs.begin(), pairs.end());
  pairs.erase(std::unique(pairs.begin(), pairs.end()), pairs.end());
  nodes_.Build(services, pairs);
  for (auto& [service, node] : pairs) std::swap(service, node);
  mates_.Build(topology.nodes().size(), pairs);
  neighbours_.assign(services, {});
  node_two_.assign(topology.nodes().size(), {});
}

void ServiceColumns::Observe(const ClusterTick& tick, const Topology& topology,
                             const TreeInputs& inputs, double gap) {
  seconds_ = static_cast<double>(tick.period.ns()) * 1e-9;
  rate_ = static_cast<float>(std::min(1.0, static_cast<double>(tick.period.ns()) / kUsualNs));
  for (double i = 0; i < std::min(gap, static_cast<double>(kBack)); ++i) {
    at_ = (at_ + 1) % kBack;
    std::fill(self_ring_[at_].begin(), self_ring_[at_].end(), kNone);
    std::fill(outstanding_ring_[at_].begin(), outstanding_ring_[at_].end(), kNone);
  }
  ++observed_;
  measures_.ReadArrivals(tick, topology, inputs.channels, inputs.edges);
  FindLive();
  at_ = (at_ + 1) % kBack;
  const std::size_t services = recent_rate_.size();
  for (std::size_t first = 0; first < services; first += kSome) {
    const std::size_t end = std::min(first + kSome, services);
    ReadDepths(first, end);
    ReadRates(first, end);
    Learn(first, Padded(end));
    Compare(first, end);
  }
}

void ServiceColumns::FindLive() {
  const auto set = [this](Series series, bool live) {
    Column& column = columns_[series];
    if (column.live && !live) {
      std::fill(column.value.begin(), column.value.end(), kNone);
      std::fill(column.z.begin(), column.z.end(), kNone);
      column.stale = true;
    }
    column.live = live;
  };
  for (const auto& [series, measure] : kRead) set(series, measures_.AnySeen(measure));
  set(kGap, columns_[kOutstanding].live && columns_[kQueued].live && columns_[kRunning].live);
  columns_[kRate].live = columns_[kStay].live = true;
}

void ServiceColumns::ReadDepths(std::size_t first, std::size_t end) {
  for (const auto& [series, measure] : kRead) {
    Column& column = columns_[series];
    if (!column.live) continue;
    const float* const seen = measures_.Column(measure).data();
    float* const into = column.value.data();
    for (std::size_t s = first; s < end; ++s) into[s] = std::min(seen[s], kLargest);
  }
  if (!columns_[kGap].live) return;
  const float* const outstanding = columns_[kOutstanding].value.data();
  const float* const queued = columns_[kQueued].value.data();
  const float* const running = columns_[kRunning].value.data();
  float* const into = columns_[kGap].value.data();
  for (std::size_t s = first; s < end; ++s) into[s] = outstanding[s] - queued[s] - running[s];
}

void ServiceColumns::ReadRates(std::size_t first, std::size_t end) {
  const float weight = static_cast<float>(std::min(1.0, seconds_ / 0.5));
  const double* const arrivals = measures_.arrivals().data();
  const double seconds = seconds_;
  const float* const self = columns_[kSelf].value.data();
  float* const recent = recent_rate_.data();
  float* const rates = columns_[kRate].value.data();
  float* const stays = columns_[kStay].value.data();
  for (std::size_t s = first; s < end; ++s) {
    const bool known = arrivals[s] >= 0;
    const float rate = static_cast<float>(std::min(arrivals[s] / seconds, 1e9));
    rates[s] = known ? rate : kNone;
    const float before = recent[s];
    const float moved = before < 0 ? rate : before + weight * (rate - before);
    recent[s] = known ? moved : before;
  }
  for (std::size_t s = first; s < end; ++s) {
    const float stay = std::max(self[s], 0.0f) * 1e6f / std::max(recent[s], 1.0f);
    stays[s] = recent[s] >= 0 && self[s] == self[s] ? stay : kNone;
  }
}

void ServiceColumns::Learn(std::size_t first, std::size_t end) {
  const LearnFunction learn = ChooseLearn();
  for (Column& column : columns_) {
    if (!column.live) continue;
    learn(end - first, rate_, column.value.data() + first, column.mean.data() + first,
          column.deviation.data() + first, column.count.data() + first, column.z.data() + first);
  }
  const auto keep = [&](const Column& column, std::vector<float>* slot) {
    std::copy(column.z.data() + first, column.z.data() + end, slot->data() + first);
  };
  keep(columns_[kSelf], &self_ring_[at_]);
  keep(columns_[kOutstanding], &outstanding_ring_[at_]);
}

// What follows from the columns of a tick.
void ServiceColumns::Compare(std::size_t first, std::size_t end) {
  const float* const self = columns_[kSelf].value.data();
  const float* const usual = columns_[kSelf].mean.data();
  const float* const self_z = columns_[kSelf].z.data();
  const float* const outstanding_z = columns_[kOutstanding].z.data();
  const float* const recent = recent_rate_.data();
  float* const excesses = excess_.data();
  for (std::size_t s = first; s < end; ++s) {
    const float excess = (self[s] - usual[s]) / std::max(recent[s], 1.0f);
    excesses[s] = recent[s] >= 0 && self_z[s] == self_z[s] ? excess : kNone;
  }
  // Whoever stands out in any way may be to blame.
  float* const scores = scores_.data();
  for (std::size_t s = first; s < end; ++s) {
    constexpr float kNever = -std::numeric_limits<float>::infinity();
    const float a = self_z[s], b = 0.5f * outstanding_z[s];
    const float known = a > kNever ? a : kNever;
    scores[s] = b > known ? b : known;
  }
  for (const Series series : {kGap, kQueued, kSocket, kNic, kAccept}) {
    if (!columns_[series].live) continue;
    const float* const z = columns_[series].z.data();
    for (std::size_t s = first; s < end; ++s) scores[s] = z[s] > scores[s] ? z[s] : scores[s];
  }
}

void ServiceColumns::Digests() {
  const std::size_t services = recent_rate_.size();
  const float *const self_now = self_before(0), *const self_1 = self_before(1);
  const float *const self_2 = self_before(2), *const self_4 = self_before(4);
  const float *const out_now = outstanding_before(0), *const out_2 = outstanding_before(2);
  for (std::size_t first = 0; first < services; first += kBlock) {
    const std::size_t end = std::min(first + kBlock, services);
    for (std::size_t k = 0; k < kSeries; ++k) {
      if (!columns_[k].live && !columns_[k].stale) continue;
      const float* const z = columns_[k].z.data();
      for (std::size_t s = first; s < end; ++s) digests_[s].lane[k] = z[s];
    }
    for (std::size_t s = first; s < end; ++s) {
      float* const lane = digests_[s].lane;
      lane[kRise1] = self_now[s] - self_1[s];
      lane[kRise2] = self_now[s] - self_2[s];
      lane[kRise4] = self_now[s] - self_4[s];
      lane[kOutstandingRise] = out_now[s] - out_2[s];
      lane[kExcess] = excess_[s];
    }
  }
  for (Column& column : columns_) column.stale = false;
  digested_ = observed_;
}

const ServiceColumns::NodeTwo& ServiceColumns::OfNode(std::uint32_t node) {
  NodeTwo& two = node_two_[node];
  if (two.tick == observed_) return two;
  two = NodeTwo();
  two.tick = observed_;
  // Without a branch: nobody can guess which is the largest yet.
  constexpr float kNever = -std::numeric_limits<float>::infinity();
  const float* const self = columns_[kSelf].z.data();
  float most = kNever, second = kNever;
  for (const std::uint32_t service : mates_.Of(node)) {
    const float z = self[service] == self[service] ? self[service] : kNever;
    second = std::max(second, std::min(most, z));
    most = std::max(most, z);
  }
  two.most = most > kNever ? most : kNone;
  two.second = second > kNever ? second : kNone;
  return two;
}

const ServiceColumns::Neighbours& ServiceColumns::neighbours(std::uint32_t service) {
  Neighbours& found = neighbours_[service];
  if (found.tick == observed_) return found;
  found = Neighbours();
  found.tick = observed_;
  const std::vector<float>& self = columns_[kSelf].z;
  const std::vector<float>& outstanding = columns_[kOutstanding].z;
  for (const std::uint32_t callee : callees_.Of(service)) {
    found.callee_self = Larger(found.callee_self, self[callee]);
    found.callee_outstanding = Larger(found.callee_outstanding, outstanding[callee]);
  }
  for (const std::uint32_t caller : callers_.Of(service)) {
    found.caller_self = Larger(found.caller_self, self[caller]);
  }
  for (const std::uint32_t node : nodes_.Of(service)) {
    const NodeTwo& two = OfNode(node);
    found.mate_self = Larger(found.mate_self, self[service] >= two.most ? two.second : two.most);
  }
  return found;
}

void ServiceColumns::State(StateIo& io) {
  io(rate_), io(seconds_), io(observed_);
  for (Column& column : columns_) {
    for (std::vector<float>* const values :
         {&column.value, &column.mean, &column.deviation, &column.count, &column.z}) {
      io.AnyFloats(*values);
    }
  }
  io.AnyFloats(recent_rate_);
  std::uint64_t at = at_;
  io(at);
  io.Require(at < kBack, "trees: a tick that is not kept");
  if (io.ok()) at_ = static_cast<std::size_t>(at);
  for (std::size_t b = 0; b < kBack; ++b) {
    io.AnyFloats(self_ring_[b]);
    io.AnyFloats(outstanding_ring_[b]);
  }
}

}  // namespace internal
SEER_END_NAMESPACE
