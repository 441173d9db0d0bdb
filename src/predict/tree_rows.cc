// The rows that trees look at: of a class, and of who may be to blame.
#include <algorithm>
#include <cmath>
#include <limits>

#include "predict/tree_features.h"

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

constexpr std::size_t kMostAround = 64;  // of neighbours that are looked at
// Of the target, from which on it is told how old a request is; below, what is usual is the
// measure.
constexpr float kOldFrom = 0.6f;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// NaN never wins.
float Larger(float a, float b) { return b > a || std::isnan(a) ? b : a; }

}  // namespace

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
  put(std::max(state.oldest, kOldFrom));
  put(state.age - state.age_before);
  put(state.p99);
  put(state.p99_before);
  put(state.usual_slow > 0 ? state.p50 / state.usual_slow : kNone);
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

  // Whoever is first in the list is told of; the others only where ways are not known yet.
  compared_ = false;
  const bool by_way =
      ways_.Candidates(id, services_, masked_, absl::MakeSpan(chosen_), &chosen_count_);
  const Standouts& all =
      lists_.Of(members_.ListOf(id), members_.Of(id), services_, masked_, by_way ? 1 : kCandidates);
  if (!by_way) {
    chosen_count_ = std::min(all.count, kCandidates);
    std::copy_n(all.top.begin(), chosen_count_, chosen_.begin());
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

  const ClassWays::Weighed weighed = masked_.empty() ? state.weighed : ways_.Weigh(id, masked_);
  put(weighed.delay / target_s);
  put(weighed.most / target_s);
  put(weighed.slow / target_s);
  put(weighed.own / target_s);
  put((weighed.delay - state.delays[0]) / target_s);
  put((weighed.delay - state.delays[1]) / target_s);
  put((weighed.delay - state.delays[3]) / target_s);
  put(weighed.self);
  put(weighed.rise);
  put(weighed.gap);
  put(weighed.abnormal);
  put(state.near_now / state.allowed);
  put(state.half_now / state.allowed);
  put(state.fill == state.fill ? state.leaves : kNone);
  put(state.usual_slow > 0 ? state.p90 / state.usual_slow : kNone);
  put(state.usual_p99 > 0 ? state.usual_p99 : kNone);
  float held = 0;
  for (std::size_t i = 0; i < kHeldTicks; ++i) {
    held += state.held[(state.held_at + kHeldTicks - i) % kHeldTicks];
    if (i == 1 || i == 3 || i == 7) put(held / state.allowed);
  }
  put(held / std::max(state.usual_count, 0.1f));
  put(state.fill_slow);
  put(state.fill_slower);
  put(state.delay_slow);
  put(state.delay_slower);
  put(state.peak);
  put(static_cast<float>(static_cast<double>(state.trouble) * services_.seconds()));
  put(state.age);
  put(state.usual_fill);
  put(state.usual_near);
  put(state.usual_half);
  put(state.usual_slow > 0 ? state.usual_slow : kNone);
}

void TreeFeatures::Compared::Use(absl::Span<const std::uint32_t> candidates,
                                 const float* of_services) {
  values.fill(kNone);
  most = second = kNone;
  of_most = kLoad;
  sum = 0;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const float value = of_services[candidates[i]];
    values[i] = value;
    sum += value > 0 ? value : 0.0f;
    if (value > most || std::isnan(most)) {
      second = most;
      most = value;
      of_most = candidates[i];
    } else if (value > second || std::isnan(second)) {
      second = value;
    }
  }
}

// The candidates of the last ClassRow(), with each other.
void TreeFeatures::Compare(ClassId id) {
  compared_ = true;
  delays_ = ways_.DelaysOf(id, classes_[id.index()].target_s);
  by_self_.Use(candidates(), services_.zs(Series::kSelf));
  by_way_.Use(candidates(), delays_.way);
  by_own_.Use(candidates(), delays_.own);
  excess_sum_ = 0;
  for (const std::uint32_t s : candidates()) {
    const float excess = Excess(s);
    if (excess == excess) excess_sum_ += excess;
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
  if (!compared_) Compare(id);
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
  put(1 / by_self_.Before(self));
  put(self - by_self_.MostBut(s));
  const ServiceColumns::Neighbours& near = services_.neighbours(s);
  put(near.callee_self);
  put(near.callee_outstanding);
  put(near.caller_self);
  put(near.mate_self);
  const float excess = Excess(s);
  put(excess / target_s);
  put(excess_sum_ > 0 ? excess / excess_sum_ : 0.0f);
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
  PutWays(id, s, row + n);
}

// Who holds the class's requests up, of its candidates; and whether the service's surroundings are
// in the same trouble, as where a server or its network is.
void TreeFeatures::PutWays(ClassId id, std::uint32_t s, float* row) {
  std::size_t n = 0;
  const auto put = [&](float value) { row[n++] = value; };
  const float target_s = classes_[id.index()].target_s;
  const float visits = ways_.visits(id, s);
  const float way = delays_.way[s];
  put(visits);
  const auto compare = [&](float mine, const Compared& with) {
    put(mine);
    put(with.sum > 0 ? mine / with.sum : 0.0f);
    put(1 / with.Before(mine));
    put(mine - with.MostBut(s));
  };
  compare(way, by_way_);
  compare(delays_.own[s], by_own_);
  const float per = visits / (std::max(services_.recent_rate(s), 1.0f) * target_s);
  const auto above = [&](Series series) {
    return services_.value(series, s) - services_.mean(series, s);
  };
  put((above(Series::kSelf) - above(Series::kGap) - above(Series::kQueued)) * per);
  const Around& around = AroundOf(s);
  put(around.callee_gap);
  put(around.callee_gap_least);
  put(around.caller_gap);
  put(around.mate_gap);
  put(around.node_self);
  put(around.node_gap);
  unsigned before = 1;
  float on_node = 0;
  for (const std::uint32_t node :
       services_.nodes(s).first(std::min(services_.nodes(s).size(), kMostAround))) {
    const auto mates = services_.mates(node);
    for (const std::uint32_t mate : mates.first(std::min(mates.size(), kMostAround))) {
      before += delays_.way[mate] > way ? 1 : 0;  // not itself
      const float delay = delays_.own[mate];
      on_node += delay > 0 ? delay : 0.0f;
    }
  }
  put(1 / static_cast<float>(before));
  float callees = 0, callees_gap = 0, caller = kNone;
  const auto called = services_.callees(s), calling = services_.callers(s);
  for (const std::uint32_t callee : called.first(std::min(called.size(), kMostAround))) {
    const float delay = delays_.way[callee];
    callees += delay > 0 ? delay : 0.0f;
    const float gap = services_.value(Series::kGap, callee) - services_.mean(Series::kGap, callee);
    if (!(gap > 0)) continue;
    const float waits =
        ways_.visits(id, callee) * gap / (std::max(services_.recent_rate(callee), 1.0f) * target_s);
    callees_gap += waits > 0 ? waits : 0.0f;
  }
  for (const std::uint32_t each : calling.first(std::min(calling.size(), kMostAround))) {
    caller = Larger(caller, delays_.way[each]);
  }
  put(callees);
  put(caller);
  put(callees_gap);
  put((services_.value(Series::kOutstanding, s) - services_.value(Series::kSelf, s)) /
      std::max(services_.value(Series::kRunning, s), 1.0f));
  put(above(Series::kGap) / std::max(above(Series::kSelf), 1.0f));
  const ClassWays::Weather weather = ways_.weather(id);
  const float all_own = classes_[id.index()].weighed.own / target_s;
  put(all_own > 0 ? on_node / all_own : kNone);
  put(around.node_nic);
  put(weather.self);
  put(weather.gap);
  put(weather.self_share);
  put(weather.gap_share);
  put(around.node_self - weather.self);
  put(around.node_gap - weather.gap);
}

const TreeFeatures::Around& TreeFeatures::AroundOf(std::uint32_t service) {
  Around& found = around_[service];
  if (found.tick == services_.observed()) return found;
  found = Around();
  found.tick = services_.observed();
  const auto first = [](absl::Span<const std::uint32_t> some) {
    return some.first(std::min(some.size(), kMostAround));
  };
  for (const std::uint32_t callee : first(services_.callees(service))) {
    const float z = services_.z(Series::kGap, callee);
    found.callee_gap = Larger(found.callee_gap, z);
    if (z < found.callee_gap_least || std::isnan(found.callee_gap_least)) {
      found.callee_gap_least = z;
    }
  }
  for (const std::uint32_t caller : first(services_.callers(service))) {
    found.caller_gap = Larger(found.caller_gap, services_.z(Series::kGap, caller));
  }
  for (const std::uint32_t node : first(services_.nodes(service))) {
    const OnNode& there = Node(node);
    found.mate_gap =
        Larger(found.mate_gap, there.of_most_gap == service ? there.second_gap : there.most_gap);
    found.node_nic = Larger(found.node_nic, there.nic);
    found.node_self = Larger(found.node_self, there.self);
    found.node_gap = Larger(found.node_gap, there.gap);
  }
  return found;
}

const TreeFeatures::OnNode& TreeFeatures::Node(std::uint32_t node) {
  OnNode& found = on_node_[node];
  if (found.tick == services_.observed()) return found;
  found = OnNode();
  found.tick = services_.observed();
  const auto all = services_.mates(node);
  const auto mates = all.first(std::min(all.size(), kMostAround));
  const float* const nics = services_.zs(Series::kNic);
  const float* const selves = services_.zs(Series::kSelf);
  const float* const gaps = services_.zs(Series::kGap);
  // A few that are far out of the ordinary do not speak for all of them.
  float self_sum = 0, self_count = 0, gap_sum = 0, gap_count = 0;
  float most = -kInfinity, second = -kInfinity;
  const auto add = [](float z, float* sum, float* count) {
    const float cut = std::min(std::max(z, -2.0f), 8.0f);
    *sum += z == z ? cut : 0.0f;
    *count += z == z ? 1.0f : 0.0f;
  };
  for (const std::uint32_t mate : mates) {
    const float gap = gaps[mate];
    add(selves[mate], &self_sum, &self_count);
    add(gap, &gap_sum, &gap_count);
    if (services_.live(Series::kNic)) found.nic = Larger(found.nic, nics[mate]);
    // Without a branch: nobody can guess which is the largest yet.
    const float known = gap == gap ? gap : -kInfinity;
    found.of_most_gap = known > most ? mate : found.of_most_gap;
    second = std::max(second, std::min(most, known));
    most = std::max(most, known);
  }
  found.most_gap = most > -kInfinity ? most : kNone;
  found.second_gap = second > -kInfinity ? second : kNone;
  found.self = self_count > 0 ? self_sum / self_count : kNone;
  found.gap = gap_count > 0 ? gap_sum / gap_count : kNone;
  return found;
}

}  // namespace internal
SEER_END_NAMESPACE
