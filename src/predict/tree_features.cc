#include "predict/tree_features.h"

#include <algorithm>
#include <cmath>
#include <utility>

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

constexpr std::size_t kMostRing = 4096;               // ticks of a trailing window that are kept
constexpr std::size_t kLeave = 3;                     // ticks whose late requests leave it next
constexpr double kSlow = 2, kSlower = 8, kFades = 5;  // seconds
// From which a class is in trouble.
// An expectile: above most of the ticks' tails, and not far above where they are all alike.
constexpr float kSlowOnes = 0.9f;
constexpr float kFilled = 0.2f, kOld = 0.6f, kHeldUp = 0.15f;

float OrZero(float value) { return value == value ? value : 0.0f; }

}  // namespace

void TreeFeatures::Reset() {
  const TreeInputs inputs = inputs_;
  services_ = ServiceColumns();
  members_.Clear();
  ways_.Clear();
  around_.clear();
  on_node_.clear();
  classes_.clear();
  lists_.Clear();
  masked_.clear();
  chosen_count_ = 0;
  compared_ = false;
  inputs_ = inputs;
}

void TreeFeatures::UseRows(const Topology& topology) {
  members_.Use(topology, false);
  masked_.reserve(kMaskable);
  services_.UseRows(topology);
  lists_.UseRows(members_, topology.services().size());
  chosen_count_ = 0;
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
  UseWays(topology);
}

void TreeFeatures::UseWays(const Topology& topology) {
  const auto rows = topology.classes();
  std::vector<std::uint32_t> groups(rows.size());
  std::vector<std::uint8_t> live(rows.size());
  for (std::size_t c = 0; c < rows.size(); ++c) {
    groups[c] = classes_[c].group;
    live[c] = topology.IsLive(ClassId(static_cast<std::uint32_t>(c))) ? 1 : 0;
  }
  ways_.UseRows(members_, groups, live, topology.services().size());
  around_.assign(topology.services().size(), {});
  on_node_.assign(topology.nodes().size(), {});
  compared_ = false;
  counts_.resize(rows.size());
  calm_.resize(rows.size());
}

void TreeFeatures::Observe(const ClusterTick& tick, const Topology& topology, double gap) {
  if (gap > 0) {
    // A trailing window with holes tells nothing of what is over: it begins anew.
    for (ClassState& state : classes_) {
      state.ring.clear();
      state.held.fill(0);
    }
  }
  compared_ = false;
  services_.Observe(tick, topology, inputs_, gap);
  ReadClasses(tick, topology);
  for (std::size_t c = 0; c < classes_.size(); ++c) {
    counts_[c] = classes_[c].count;
    calm_[c] = static_cast<double>(classes_[c].since_breach) * services_.seconds() >= 1 ? 1 : 0;
  }
  ways_.Observe(counts_, calm_, services_, gap);
  for (std::size_t c = 0; c < classes_.size(); ++c) {
    ClassState& state = classes_[c];
    state.delays = {state.weighed.delay, state.delays[0], state.delays[1], state.delays[2]};
    state.weighed = ways_.Weigh(ClassId(static_cast<std::uint32_t>(c)), {});
    const float delay = OrZero(state.weighed.delay) / state.target_s;
    state.delay_slow += Weight(kSlow) * (delay - state.delay_slow);
    state.delay_slower += Weight(kSlower) * (delay - state.delay_slower);
    const bool trouble =
        state.fill > kFilled || (state.oldest > kOld && state.age > 1) || delay > kHeldUp;
    state.trouble = trouble ? std::min(state.trouble + 1, 1000.0f) : 0;
  }
}

float TreeFeatures::Weight(double seconds) const {
  return static_cast<float>(std::min(1.0, services_.seconds() / seconds));
}

// How many requests of the class should have ended in this tick is told by how many came to its
// entry; those that did not are on their way, and the older ones among them will be late.
void TreeFeatures::Hold(ClassState* state, float ended, bool known) {
  state->held_at = (state->held_at + 1) % kHeldTicks;
  float came = 1;
  if (state->entry.valid()) {
    const std::size_t e = state->entry.index();
    const float usual = services_.mean(Series::kRate, e);
    const float rate = services_.value(Series::kRate, e);
    if (rate == rate && usual > 1) came = rate / usual;
  }
  state->held[state->held_at] = known ? state->usual_count * came - ended : 0.0f;
}

void TreeFeatures::ReadClasses(const ClusterTick& tick, const Topology& topology) {
  const auto rows = topology.classes();
  const double seconds = services_.seconds();
  for (std::size_t c = 0; c < classes_.size(); ++c) {
    ClassState& state = classes_[c];
    const QosTarget& target = rows[c].target;
    const ClassTick* const now = inputs_.latency && c < tick.classes.size() && tick.classes[c].seen
                                     ? &tick.classes[c]
                                     : nullptr;
    const double window_ticks = std::ceil(target.window_ms * 1e-3 / seconds - 1e-9);
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
    Hold(&state, slot.total, now != nullptr);
    const double share = static_cast<double>(target.allowed_ppm) * 1e-6;
    state.allowed = static_cast<float>(
        std::max(std::floor(share * state.total + 1e-9) + 1, static_cast<double>(target.min_over)));
    state.fills = {state.fill, state.fills[0], state.fills[1]};
    state.fill = now != nullptr ? static_cast<float>((state.over + waits)) / state.allowed : kNone;
    double leaves = 0;
    for (std::size_t i = 0; i < std::min<std::size_t>(kLeave, ticks); ++i) {
      leaves += static_cast<double>(state.ring[(state.at + i) % ticks].over);
    }
    state.leaves = static_cast<float>(leaves) / state.allowed;
    // The tail itself: how many have to be late for a violation (min_over) is not its matter.
    const double of_tail = std::floor(share * state.total + 1e-9) + 1;
    state.near = now != nullptr && state.near_sum + waits >= of_tail;
    state.since_breach = state.fill >= 1 ? 0 : std::min(state.since_breach + 1, 100'000.0f);
    if (now != nullptr) {
      const float weight = std::max(services_.rate(), 1 / (state.ticks + 1));
      state.ticks += 1;
      state.usual_count += weight * (slot.total - state.usual_count);
      if (state.fill < 1) {
        state.usual_fill += weight * (state.fill - state.usual_fill);
        state.usual_near +=
            weight * (static_cast<float>(state.near_sum) / state.allowed - state.usual_near);
        state.usual_half +=
            weight * (static_cast<float>(state.half) / state.allowed - state.usual_half);
      }
      if (state.p99 == state.p99 && state.fill < 1) {
        state.usual_p99 += weight * (state.p99 - state.usual_p99);
        const float above = state.p99 - state.usual_slow;
        const float pull = above > 0 ? kSlowOnes : 1 - kSlowOnes;
        state.usual_slow += std::min(2 * weight * pull, 1.0f) * above;
      }
    }
    const float fill = OrZero(state.fill);
    state.peak = std::max(state.peak * (1 - Weight(kFades)), fill);
    state.fill_slow += Weight(kSlow) * (fill - state.fill_slow);
    state.fill_slower += Weight(kSlower) * (fill - state.fill_slower);
    const auto list = members_.Of(ClassId(static_cast<std::uint32_t>(c)));
    bool seen = now != nullptr;
    for (std::size_t i = 0; i < list.size() && !seen; ++i) {
      for (const Series series : {Series::kSelf, Series::kOutstanding, Series::kQueued,
                                  Series::kSocket, Series::kNic, Series::kAccept}) {
        const float value = services_.value(series, list[i]);
        seen = seen || value == value;
      }
    }
    state.known = seen && static_cast<float>(services_.observed()) > ServiceColumns::kWarm;
  }
}

float TreeFeatures::Z(std::uint32_t service, Measure measure) const {
  constexpr std::pair<Measure, Series> kSeries[] = {
      {Measure::kSelf, Series::kSelf},     {Measure::kOutstanding, Series::kOutstanding},
      {Measure::kQueued, Series::kQueued}, {Measure::kRunning, Series::kRunning},
      {Measure::kSocket, Series::kSocket}, {Measure::kNic, Series::kNic},
      {Measure::kAccept, Series::kAccept}, {Measure::kSend, Series::kSend}};
  for (const auto& [of, series] : kSeries) {
    if (of == measure) return services_.z(series, service);
  }
  return kNone;
}

}  // namespace internal
SEER_END_NAMESPACE
