#include "predict/tree_features.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "predict/lanes.h"

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

constexpr std::size_t kMostRing = 4096;  // ticks of a trailing window that are kept
constexpr float kInfinity = std::numeric_limits<float>::infinity();

constexpr std::string_view kClassNames[] = {"fill",
                                            "fill 3 before",
                                            "requests to breach",
                                            "over now",
                                            "fill rise 2",
                                            "oldest",
                                            "oldest rise",
                                            "p99",
                                            "p99 before",
                                            "p50",
                                            "p99 of usual",
                                            "near",
                                            "half",
                                            "count of usual",
                                            "requests",
                                            "since breach",
                                            "siblings fill",
                                            "siblings oldest",
                                            "siblings p99",
                                            "siblings in breach",
                                            "others fill",
                                            "others oldest",
                                            "all in breach",
                                            "entry self z",
                                            "entry outstanding z",
                                            "entry rise 1",
                                            "entry rise 2",
                                            "entry rise 4",
                                            "entry rate z",
                                            "entry rate growth",
                                            "entry delay",
                                            "entry excess delay",
                                            "self z",
                                            "second self z",
                                            "outstanding z",
                                            "queued z",
                                            "socket z",
                                            "nic z",
                                            "accept z",
                                            "send z",
                                            "gap z",
                                            "running z",
                                            "stay z",
                                            "self rise 1",
                                            "self rise 2",
                                            "self rise 4",
                                            "outstanding rise 2",
                                            "abnormal",
                                            "excess delay",
                                            "sum of excess delays",
                                            "rate z",
                                            "least rate z",
                                            "first self z",
                                            "first self rise 2",
                                            "first gap z",
                                            "first callee self z",
                                            "first mate self z",
                                            "first queued z"};
constexpr std::string_view kServiceNames[] = {"is load",
                                              "self z",
                                              "outstanding z",
                                              "queued z",
                                              "running z",
                                              "socket z",
                                              "nic z",
                                              "accept z",
                                              "send z",
                                              "gap z",
                                              "rate z",
                                              "rate growth",
                                              "stay z",
                                              "self rise 1",
                                              "self rise 2",
                                              "self rise 4",
                                              "self rise 8",
                                              "outstanding rise 1",
                                              "outstanding rise 2",
                                              "outstanding rise 4",
                                              "outstanding rise 8",
                                              "rank of self",
                                              "above others",
                                              "callee self z",
                                              "callee outstanding z",
                                              "caller self z",
                                              "mate self z",
                                              "excess delay",
                                              "share of excess",
                                              "usual self",
                                              "self",
                                              "is entry",
                                              "stay of usual",
                                              "gap delay",
                                              "queue delay",
                                              "running of usual"};
static_assert(std::size(kClassNames) == TreeFeatures::kClassColumns);
static_assert(std::size(kServiceNames) == TreeFeatures::kServiceColumns);

// NaN never wins.
float Larger(float a, float b) { return b > a || std::isnan(a) ? b : a; }

}  // namespace

std::string_view TreeFeatures::ClassColumnName(std::size_t i) { return kClassNames[i]; }
std::string_view TreeFeatures::ServiceColumnName(std::size_t i) { return kServiceNames[i]; }

void TreeFeatures::Reset() {
  const TreeInputs inputs = inputs_;
  services_ = ServiceColumns();
  members_.Clear();
  classes_.clear();
  aggregates_.clear();
  masked_.clear();
  masked_aggregate_ = Aggregate();
  aggregate_ = &masked_aggregate_;
  inputs_ = inputs;
}

void TreeFeatures::UseRows(const Topology& topology) {
  members_.Use(topology, false);
  masked_.reserve(kMaskable);
  services_.UseRows(topology);
  aggregates_.assign(members_.lists(), {});
  aggregate_ = &masked_aggregate_;
  masked_aggregate_.blocks.reserve((topology.services().size() + kBlock - 1) / kBlock);
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

void TreeFeatures::Observe(const ClusterTick& tick, const Topology& topology, double gap) {
  if (gap > 0) {
    // A trailing window with holes tells nothing of what is over: it begins anew.
    for (ClassState& state : classes_) state.ring.clear();
  }
  services_.Observe(tick, topology, inputs_, gap);
  ReadClasses(tick, topology);
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
      const float weight = std::max(services_.rate(), 1 / (state.ticks + 1));
      state.ticks += 1;
      state.usual_count += weight * (slot.total - state.usual_count);
      if (state.p99 == state.p99 && state.fill < 1) {
        state.usual_p99 += weight * (state.p99 - state.usual_p99);
      }
    }
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

// One cache line each. Without branches that are hard to guess; `all`: nobody is masked.
void TreeFeatures::CollectBlock(absl::Span<const std::uint32_t> members, bool all,
                                Block* block) const {
  Lanes lanes(-kInfinity);
  float most_self = -kInfinity, second_self = -kInfinity, least_rate = kInfinity;
  std::uint32_t abnormal = 0;
  for (const std::uint32_t s : members) {
    if (!all && IsMasked(s)) continue;
    const float* const lane = services_.digest(s).lane;
    lanes.Take(lane);
    const float self = lane[Series::kSelf], rate = lane[Series::kRate];
    if (self > second_self) {
      second_self = self > most_self ? most_self : self;
      most_self = self > most_self ? self : most_self;
    }
    least_rate = rate < least_rate ? rate : least_rate;
    abnormal += self > 4 ? 1 : 0;
  }
  lanes.Tell(block->most.data());
  block->most_self = most_self;
  block->second_self = second_self;
  block->least_rate = least_rate;
  block->abnormal = abnormal;
}

void TreeFeatures::Sum(absl::Span<const Block> blocks, Aggregate* into) {
  Lanes lanes(-kInfinity);
  float most_self = -kInfinity, second_self = -kInfinity, least_rate = kInfinity;
  std::uint32_t abnormal = 0;
  for (const Block& block : blocks) {
    lanes.Take(block.most.data());
    for (const float self : {block.most_self, block.second_self}) {
      if (!(self > second_self)) continue;
      second_self = self > most_self ? most_self : self;
      most_self = self > most_self ? self : most_self;
    }
    least_rate = block.least_rate < least_rate ? block.least_rate : least_rate;
    abnormal += block.abnormal;
  }
  lanes.Tell(into->most.data());
  for (float& most : into->most) most = most == -kInfinity ? kNone : most;
  into->second_self = second_self == -kInfinity ? kNone : second_self;
  into->least_rate = least_rate == kInfinity ? kNone : least_rate;
  into->abnormal = static_cast<float>(abnormal);
}

void TreeFeatures::Collect(absl::Span<const std::uint32_t> members, Aggregate* into) const {
  into->blocks.resize((members.size() + kBlock - 1) / kBlock);
  float excess_sum = 0, floor = -kInfinity;
  std::size_t count = 0;
  for (std::size_t b = 0; b < into->blocks.size(); ++b) {
    const auto some = members.subspan(b * kBlock, kBlock);
    CollectBlock(some, true, &into->blocks[b]);
    into->blocks[b].excess_before = excess_sum;
    for (const std::uint32_t s : some) {
      const float excess = services_.digest(s).lane[ServiceColumns::kExcess];
      excess_sum += excess > 0 ? excess : 0.0f;
      // Those that stand out most, and of equals the first.
      const float score = services_.score(s);
      if (!(score > floor)) continue;
      if (count < into->top.size()) ++count;
      std::size_t place = count - 1;
      for (; place > 0 && into->top_score[place - 1] < score; --place) {
        into->top_score[place] = into->top_score[place - 1];
        into->top[place] = into->top[place - 1];
      }
      into->top_score[place] = score;
      into->top[place] = s;
      if (count == into->top.size()) floor = into->top_score.back();
    }
  }
  Sum(into->blocks, into);
  into->excess_sum = excess_sum;
  into->count = count;
}

// As Collect(), without those that are masked; `all` is the same with them.
void TreeFeatures::CollectUnmasked(absl::Span<const std::uint32_t> members, const Aggregate& all,
                                   Aggregate* into) const {
  into->blocks.assign(all.blocks.begin(), all.blocks.end());
  std::size_t first = all.blocks.size(), place_count = 0;
  std::array<std::size_t, kMaskable> places;  // of those that are masked, in the list
  for (const std::uint32_t masked : masked_) {
    const auto place = std::lower_bound(members.begin(), members.end(), masked);
    if (place == members.end() || *place != masked) continue;
    const auto at = static_cast<std::size_t>(place - members.begin());
    if (std::find(places.begin(), places.begin() + place_count, at) !=
        places.begin() + place_count) {
      continue;
    }
    std::size_t slot = place_count++;  // in order
    for (; slot > 0 && places[slot - 1] > at; --slot) places[slot] = places[slot - 1];
    places[slot] = at;
    const std::size_t b = at / kBlock;
    CollectBlock(members.subspan(b * kBlock, kBlock), false, &into->blocks[b]);
    first = std::min(first, b);
  }
  Sum(into->blocks, into);
  into->excess_sum = all.excess_sum;
  if (first < all.blocks.size()) {
    // In the same order as before: the same sum, to the last bit.
    float sum = all.blocks[first].excess_before;
    std::size_t i = first * kBlock;
    const auto add_until = [&](std::size_t end) {
      for (; i < end; ++i) {
        const float excess = services_.excess(members[i]);
        sum += excess > 0 ? excess : 0.0f;
      }
    };
    for (std::size_t m = 0; m < place_count; ++m) {
      add_until(places[m]);
      i = places[m] + 1;
    }
    add_until(members.size());
    into->excess_sum = sum;
  }
  into->count = 0;
  for (std::size_t i = 0; i < all.count; ++i) {
    if (IsMasked(all.top[i])) continue;
    into->top[into->count] = all.top[i];
    into->top_score[into->count++] = all.top_score[i];
  }
}

float TreeFeatures::Excess(std::uint32_t service) const {
  return services_.recent_rate(service) >= 0 ? std::max(services_.value(Series::kSelf, service) -
                                                            services_.mean(Series::kSelf, service),
                                                        0.0f) /
                                                   std::max(services_.recent_rate(service), 1.0f)
                                             : kNone;
}

void TreeFeatures::ClassRow(ClassId id, float* row) {
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
  put(static_cast<float>(static_cast<double>(state.since_breach) * services_.seconds()));

  float fill = kNone, oldest = kNone, p99 = kNone, other_fill = kNone, other_oldest = kNone;
  float in_breach = 0, all_in_breach = 0;
  const float second = static_cast<float>(1 / services_.seconds());
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

  Aggregate& shared = aggregates_[members_.ListOf(id)];
  if (shared.tick != services_.observed()) {
    Collect(members_.Of(id), &shared);
    shared.tick = services_.observed();
  }
  aggregate_ = &shared;
  if (!masked_.empty()) {
    CollectUnmasked(members_.Of(id), shared, &masked_aggregate_);
    aggregate_ = &masked_aggregate_;
  }
  const Aggregate& all = *aggregate_;
  for (std::size_t i = 0; i < candidates().size(); ++i) {
    rivalling_[i] = {services_.z(Series::kSelf, all.top[i]), Excess(all.top[i])};
  }

  const float target_s = classes_[id.index()].target_s;
  const ServiceId entry = classes_[id.index()].entry;
  if (entry.valid() && !IsMasked(entry.value())) {
    const std::size_t e = entry.index();
    const float recent = services_.recent_rate(e);
    put(services_.z(Series::kSelf, e));
    put(services_.z(Series::kOutstanding, e));
    put(services_.OutstandingRise(e, 1));
    put(services_.OutstandingRise(e, 2));
    put(services_.OutstandingRise(e, 4));
    put(services_.z(Series::kRate, e));
    put(recent / std::max(services_.mean(Series::kRate, e), 1.0f));
    const float per = recent >= 0 ? 1 / (std::max(recent, 1.0f) * target_s) : kNone;
    const float outstanding = services_.value(Series::kOutstanding, e);
    put(outstanding * per);
    put((outstanding - services_.mean(Series::kOutstanding, e)) * per);
  } else {
    for (int i = 0; i < 9; ++i) put(kNone);
  }
  put(all.most[Series::kSelf]);
  put(all.second_self);
  for (const Series series :
       {Series::kOutstanding, Series::kQueued, Series::kSocket, Series::kNic, Series::kAccept,
        Series::kSend, Series::kGap, Series::kRunning, Series::kStay}) {
    put(all.most[series]);
  }
  put(all.most[ServiceColumns::kRise1]);
  put(all.most[ServiceColumns::kRise2]);
  put(all.most[ServiceColumns::kRise4]);
  put(all.most[ServiceColumns::kOutstandingRise]);
  put(all.abnormal);
  put(all.most[ServiceColumns::kExcess] / target_s);
  put(all.excess_sum / target_s);
  put(all.most[Series::kRate]);
  put(all.least_rate);
  if (all.count > 0) {
    const std::uint32_t s = all.top[0];
    const ServiceColumns::Neighbours& near = services_.neighbours(s);
    put(services_.z(Series::kSelf, s));
    put(services_.SelfRise(s, 2));
    put(services_.z(Series::kGap, s));
    put(near.callee_self);
    put(near.mate_self);
    put(services_.z(Series::kQueued, s));
  } else {
    for (int i = 0; i < 6; ++i) put(kNone);
  }
}

bool TreeFeatures::Stirs(const float* row) {
  // By the places of kClassNames; what is NaN does not stir.
  constexpr std::size_t kFill = 0, kOldest = 5, kP99 = 7, kSince = 15, kSiblings = 16, kSelfZ = 32;
  constexpr std::size_t kOutstandingZ = 34;
  return row[kFill] > 0.3f || row[kOldest] > 0.6f || row[kP99] > 0.7f || row[kSince] < 5 ||
         row[kSiblings] > 0.6f || row[kSelfZ] > 6 || row[kOutstandingZ] > 6;
}

void TreeFeatures::ServiceRow(ClassId id, std::uint32_t service, float* row) {
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
       {Series::kSelf, Series::kOutstanding, Series::kQueued, Series::kRunning, Series::kSocket,
        Series::kNic, Series::kAccept, Series::kSend, Series::kGap, Series::kRate}) {
    put(services_.z(series, s));
  }
  const float recent = services_.recent_rate(s);
  const float rate = std::max(recent, 1.0f);
  put(recent >= 0 ? recent / std::max(services_.mean(Series::kRate, s), 1.0f) : kNone);
  put(services_.z(Series::kStay, s));
  for (const std::size_t back : {1u, 2u, 4u, 8u}) put(services_.SelfRise(s, back));
  for (const std::size_t back : {1u, 2u, 4u, 8u}) put(services_.OutstandingRise(s, back));
  const float self = services_.z(Series::kSelf, s);
  float before = 1, other = kNone, excess_sum = 0;
  const absl::Span<const std::uint32_t> all = candidates();
  for (std::size_t i = 0; i < all.size(); ++i) {
    const Rivalling& one = rivalling_[i];
    if (one.excess == one.excess) excess_sum += one.excess;
    if (all[i] == s) continue;
    before += one.self > self ? 1.0f : 0.0f;
    other = Larger(other, one.self);
  }
  put(1 / before);
  put(self - other);
  const ServiceColumns::Neighbours& near = services_.neighbours(s);
  put(near.callee_self);
  put(near.callee_outstanding);
  put(near.caller_self);
  put(near.mate_self);
  const float excess = Excess(s);
  put(excess / target_s);
  put(excess_sum > 0 ? excess / excess_sum : 0.0f);
  const auto above = [&](Series series) {
    return services_.value(series, s) - services_.mean(series, s);
  };
  put(services_.mean(Series::kSelf, s));
  put(services_.value(Series::kSelf, s));
  put(entry.valid() && entry.value() == s ? 1.0f : 0.0f);
  put(services_.value(Series::kStay, s) / std::max(services_.mean(Series::kStay, s), 1.0f));
  put(above(Series::kGap) / (rate * target_s));
  put(above(Series::kQueued) / (rate * target_s));
  put(services_.value(Series::kRunning, s) / std::max(services_.mean(Series::kRunning, s), 0.1f));
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
