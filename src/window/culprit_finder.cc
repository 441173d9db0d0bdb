// CulpritFinder of labels.h.
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <utility>

#include "seer/window/labels.h"
#include "window/request_sums.h"
#include "window/suspects.h"
#include "window/troubles.h"

SEER_BEGIN_NAMESPACE
namespace {

constexpr std::size_t kMaxKeptTicks = 1 << 16;
constexpr std::int64_t kTimeLimit = std::int64_t{1} << 62;
// One wrong clock must not end all attribution: so far away time moves only when many say so.
constexpr std::int64_t kMaxJumpNs = 3'600'000'000'000;
constexpr int kJumpVotes = 16;
// Of the time that a service works longer, what another grew by for which it may have waited then.
constexpr double kLeastCause = 0.15;
// What requests of all classes weigh, in slow requests of the class.
constexpr double kPoolWeight = 5;
// Who gives up a call before it took so many times as long as calls there usually do is impatient.
constexpr double kPatience = 1.5;

using internal::Bucket;
using internal::kFewVisits;
using internal::LinkSums;
using internal::NetworkTrouble;
using internal::Pool;
using internal::Spent;
using internal::Sums;
using internal::Suspicion;
// By tick. Those that are not there saw no request.
using Buckets = std::map<Tick, Bucket>;

// Of the requests that come to a service, what they spend there.
struct Usual {
  double mean = 0, spread = 0;
};

}  // namespace

class CulpritFinder::Impl {
 public:
  Impl(const Topology* topology, const CulpritOptions& options)
      : topology_(topology), options_(options) {
    const std::int64_t ticks = std::max<std::int64_t>(options.keep_ns / options.period.ns(), 1);
    kept_ = std::min(static_cast<std::size_t>(ticks), kMaxKeptTicks);
  }

  void Observe(const RequestTrace& trace);
  Attribution Find(const Violation& violation, absl::Span<const Violation> others) const;

 private:
  // [first, second), and several of them.
  using Range = std::pair<Tick, Tick>;
  using Ranges = std::vector<Range>;
  // Forgets what is too old to be asked for.
  Bucket& Open(Buckets& buckets, Tick tick) const {
    while (!buckets.empty() && buckets.begin()->first <= newest_ - static_cast<Tick>(kept_)) {
      buckets.erase(buckets.begin());
    }
    return buckets[tick];
  }
  static const Bucket* Look(const Buckets& buckets, Tick tick) {
    const auto found = buckets.find(tick);
    return found == buckets.end() ? nullptr : &found->second;
  }
  Tick TickAt(std::int64_t ns) const { return options_.period.TickAt(ns); }
  bool Pass(Tick tick);

  Sums Sum(const Buckets& ring, const Ranges& ranges) const;
  double RateGrowth(const Buckets& ring, const Ranges& usual, const Violation& violation,
                    double* spreads) const;
  Pool PoolAll(const Ranges& usual, Range now) const;
  double Excess(const Pool& pool, std::uint32_t service, Tick tick, double* visits) const;
  std::int64_t GrownSince(const Pool& pool, Range range, std::uint32_t service,
                          const Usual& usual) const;
  static void BlameImpatience(const Sums& before, const Sums& now, std::vector<double>* failures,
                              std::vector<double>* shifted);
  static void BlameNetwork(const Sums& before, const Sums& now, const NetworkTrouble& network,
                           const internal::Placement& placement,
                           std::vector<Suspicion>* suspicions);
  static double ByItself(const Pool& pool, std::uint32_t service, const Suspicion& at);

  const Topology* topology_;
  CulpritOptions options_;
  std::size_t kept_;
  std::vector<Buckets> classes_;  // by ClassId
  Buckets all_;                   // requests of all classes, nothing else
  Tick newest_ = std::numeric_limits<Tick>::min();
  int jump_votes_ = 0;
};

// False if the tick is too old, or nobody's.
bool CulpritFinder::Impl::Pass(Tick tick) {
  const auto kept = static_cast<Tick>(kept_);
  if (newest_ == std::numeric_limits<Tick>::min()) newest_ = tick;
  const Tick far = std::max<Tick>(kMaxJumpNs / options_.period.ns(), kept);
  if (tick - newest_ > far || newest_ - tick > far) {
    if (++jump_votes_ < kJumpVotes) return false;
    classes_.clear();
    all_.clear();
    newest_ = tick;
  }
  jump_votes_ = 0;
  if (tick <= newest_ - kept) return false;
  newest_ = std::max(newest_, tick);
  return true;
}

void CulpritFinder::Impl::Observe(const RequestTrace& trace) {
  if (trace.hops.empty() || !topology_->Has(trace.request_class)) return;
  if (trace.start_ns() < -kTimeLimit / 2 || trace.start_ns() > kTimeLimit) return;
  const Tick tick = TickAt(trace.start_ns());
  if (!Pass(tick)) return;
  if (classes_.size() <= trace.request_class.index()) {
    classes_.resize(trace.request_class.index() + 1);
  }
  ++Open(all_, tick).requests;
  Bucket& bucket = Open(classes_[trace.request_class.index()], tick);
  const bool slow =
      trace.latency_ns() > topology_->request_class(trace.request_class).target.latency_ns;
  bucket.Add(trace, slow, topology_->services().size());
}

Sums CulpritFinder::Impl::Sum(const Buckets& ring, const Ranges& ranges) const {
  Sums sums(topology_->services().size());
  for (const Range& range : ranges) {
    for (auto at = ring.lower_bound(range.first); at != ring.end() && at->first < range.second;
         ++at) {
      sums.Add(at->second);
    }
  }
  return sums;
}

// Requests that began before the violation, over what is usual; the largest of two times.
double CulpritFinder::Impl::RateGrowth(const Buckets& ring, const Ranges& usual,
                                       const Violation& violation, double* spreads) const {
  std::uint64_t before = 0;
  std::uint64_t ticks = 0;
  for (auto range = usual.rbegin(); range != usual.rend(); ++range) {  // the oldest first
    for (Tick tick = range->first; tick < range->second; ++tick) {
      if (const Bucket* bucket = Look(all_, tick)) before += bucket->requests;
      if (Look(all_, tick) != nullptr || ticks > 0) ++ticks;  // from where the traces begin
    }
  }
  double growth = 1;
  *spreads = 0;
  if (before == 0 || ticks == 0 || ring.empty()) return growth;
  const Tick end = TickAt(violation.start_ns - 1) + 1;
  for (const std::int64_t span_ns : {options_.onset_ns, options_.onset_ns / 3}) {
    const Tick length = std::max<Tick>(span_ns / options_.period.ns(), 1);
    std::uint64_t now = 0;
    for (Tick tick = end - length; tick < end; ++tick) {
      if (const Bucket* bucket = Look(all_, tick)) now += bucket->requests;
    }
    const double expected =
        static_cast<double>(before) / static_cast<double>(ticks) * static_cast<double>(length);
    const double ratio = static_cast<double>(now) / expected;
    if (ratio <= growth) continue;
    growth = ratio;
    *spreads = (static_cast<double>(now) - expected) / std::sqrt(std::max(expected, 1.0));
  }
  return growth;
}

Pool CulpritFinder::Impl::PoolAll(const Ranges& usual, Range now) const {
  std::vector<Sums> was, is;
  for (const Buckets& buckets : classes_) {
    was.push_back(Sum(buckets, usual));
    is.push_back(Sum(buckets, {now}));
  }
  return Pool(std::move(was), std::move(is), topology_->services().size());
}

// What requests of all classes spent at a service in one tick beyond their class's usual.
double CulpritFinder::Impl::Excess(const Pool& pool, std::uint32_t service, Tick tick,
                                   double* visits) const {
  double excess = 0;
  *visits = 0;
  for (std::size_t c = 0; c < classes_.size(); ++c) {
    const Sums& was = pool.usual[c];
    if (was.visits[service] < kFewVisits || pool.now[c].visits[service] <= 0) continue;
    const Bucket* const bucket = Look(classes_[c], tick);
    if (bucket == nullptr) continue;
    for (const Spent& spent : bucket->spent) {
      if (spent.service != service) continue;
      excess += static_cast<double>(spent.own) + spent.queue -
                spent.visits * (was.own[service] + was.queue[service]) / was.visits[service];
      *visits += spent.visits;
    }
  }
  return excess;
}

// The end of the first tick from which on the service took longer than usual.
std::int64_t CulpritFinder::Impl::GrownSince(const Pool& pool, Range range, std::uint32_t service,
                                             const Usual& usual) const {
  for (Tick tick = range.first; tick < range.second; ++tick) {
    double visits = 0;
    const double excess = Excess(pool, service, tick, &visits);
    if (visits <= 0) continue;
    const double limit = std::max(options_.min_spread * usual.spread / std::sqrt(visits),
                                  options_.min_growth * usual.mean);
    if (excess / visits > limit) return options_.period.EndNs(tick);
  }
  return options_.period.EndNs(range.second - 1);
}

// Calls that their caller gave up after hardly longer than such calls usually take are its own
// doing: their time and their failures are its own, not the callee's. `shifted`: by service, of the
// slow requests' time.
void CulpritFinder::Impl::BlameImpatience(const Sums& before, const Sums& now,
                                          std::vector<double>* failures,
                                          std::vector<double>* shifted) {
  for (const auto& [ends, sums] : now.links) {
    const auto [caller, callee] = ends;
    if (sums.give_ups <= 0 || caller >= shifted->size() || callee >= shifted->size()) continue;
    const auto usual = before.links.find(ends);
    if (usual == before.links.end() || usual->second.answers < kFewVisits) continue;
    const double takes = usual->second.answered / usual->second.answers;
    if (sums.given_up / sums.give_ups >= kPatience * takes) continue;
    const double failed = std::min(sums.failed_by_give_up, (*failures)[callee]);
    (*failures)[callee] -= failed;
    (*failures)[caller] += failed;
    (*shifted)[callee] -= sums.slow_given_up;
    (*shifted)[caller] += sums.slow_given_up;
  }
}

// Of a service's growth what it did itself: its own time, and of the queue in front of it the part
// in which its workers worked, and did not wait for those they called.
double CulpritFinder::Impl::ByItself(const Pool& pool, std::uint32_t service, const Suspicion& at) {
  double works = 0, waits = 0;
  for (const Sums& now : pool.now) {
    works += now.own[service];
    for (const auto& [ends, sums] : now.links) {
      if (ends.first == service) waits += sums.answered + sums.given_up;
    }
  }
  const auto own = static_cast<double>(at.suspect.own_growth_ns);
  return own + std::max(at.growth - own, 0.0) * works / std::max(works + waits, 1.0);
}

// Where ways became long the service whose ways they are is in trouble: its calls into others count
// as its own, not as theirs. So do, where it is one host's network, the calls of all services on
// it.
void CulpritFinder::Impl::BlameNetwork(const Sums& before, const Sums& now,
                                       const NetworkTrouble& network,
                                       const internal::Placement& placement,
                                       std::vector<Suspicion>* suspicions) {
  if (now.slow == 0) return;
  const auto slow = static_cast<double>(now.slow);
  struct Growth {
    std::uint32_t caller, callee;
    double link, most;
  };
  std::vector<Growth> grown;
  std::vector<double> as_callee(suspicions->size(), 0), as_caller(suspicions->size(), 0);
  for (const auto& [ends, sums] : now.links) {
    const auto usual = before.links.find(ends);
    const LinkSums none;
    const LinkSums& then = usual == before.links.end() ? none : usual->second;
    const double link = sums.slow_link - sums.slow_calls * then.link / std::max(then.calls, 1.0);
    const double reply = sums.slow_reply - sums.slow_calls * then.reply / std::max(then.calls, 1.0);
    const Growth growth{ends.first, ends.second, link / slow, std::max(link, reply) / slow};
    if (growth.most <= 0 || growth.callee >= suspicions->size()) continue;
    grown.push_back(growth);
    as_callee[growth.callee] += growth.most;
    if (growth.caller < suspicions->size()) as_caller[growth.caller] += growth.most;
  }
  std::uint32_t worst = 0;
  for (std::uint32_t s = 1; s < suspicions->size(); ++s) {
    // Of the two ends of one way the callee, as ever.
    const double sum = as_callee[s] + as_caller[s];
    const double best = as_callee[worst] + as_caller[worst];
    if (sum > 1.1 * best || (sum > 0.9 * best && as_callee[s] > as_callee[worst])) worst = s;
  }
  for (const Growth& growth : grown) {
    const bool by_caller = network.host == NodeId::kNone
                               ? growth.caller == worst && growth.callee != worst
                               : placement.StandsOn(growth.caller, network.host) &&
                                     !placement.StandsOn(growth.callee, network.host);
    if (!by_caller || growth.link <= 0 || growth.caller >= suspicions->size()) continue;
    (*suspicions)[growth.caller].growth += growth.link;
    (*suspicions)[growth.callee].growth -= growth.link;
  }
}

Attribution CulpritFinder::Impl::Find(const Violation& violation,
                                      absl::Span<const Violation> others) const {
  Attribution found;
  const ClassId id = violation.request_class;
  if (!topology_->Has(id) || id.index() >= classes_.size() || classes_[id.index()].empty()) {
    return found;
  }
  if (violation.start_ns < -kTimeLimit / 2 || violation.start_ns > kTimeLimit) return found;
  const Buckets& ring = classes_[id.index()];
  const auto kept = static_cast<Tick>(kept_);
  Range onset{TickAt(violation.start_ns - options_.onset_ns),
              TickAt(violation.start_ns + options_.after_ns) + 1};
  onset.first = std::max(onset.first, onset.second - kept);
  const Ranges usual_ranges =
      internal::CalmTicks(onset.first, onset.second - kept, options_, options_.period, others);
  const Sums now = Sum(ring, {onset});
  const Sums before = Sum(ring, usual_ranges);
  found.slow_requests = now.slow;

  const internal::Placement placement(*topology_);
  double rate_spreads = 0;
  found.request_rate_growth = RateGrowth(ring, usual_ranges, violation, &rate_spreads);
  if (before.requests < options_.min_slow) return found;
  const auto slow = static_cast<double>(now.slow);
  const Range around{std::max(TickAt(violation.start_ns - options_.after_ns), onset.first),
                     onset.second};
  const Pool pool = PoolAll(usual_ranges, around);

  // Whose part of the requests' time grew, beyond what is usual for it? The slow requests of the
  // class tell it; where they are few, those of all classes beside them.
  const std::vector<std::uint32_t> depths =
      internal::CallDepths(*topology_, topology_->request_class(id).entry);
  std::vector<Suspicion> suspicions(depths.size());
  std::vector<double> errors(depths.size(), 0);
  std::vector<Usual> usuals(depths.size());
  // A request that failed is as bad as one that took twice its target. Only failures that are more
  // than usual count.
  std::vector<double> failures(depths.size(), 0);
  double failed = 0;
  const double more_requests =
      static_cast<double>(now.requests) / static_cast<double>(before.requests);
  for (std::size_t s = 0; s < failures.size(); ++s) {
    const double usual = before.failures[s] * more_requests;
    const double excess = now.failures[s] - usual;
    if (excess < static_cast<double>(options_.min_slow) ||
        excess < options_.min_spread * std::sqrt(usual)) {
      continue;
    }
    failures[s] = excess;
    failed += excess;
  }
  found.slow_requests += static_cast<std::uint64_t>(failed);
  std::vector<double> given_up(depths.size(), 0);
  BlameImpatience(before, now, &failures, &given_up);
  const double bad = slow + failed;
  const double weight = bad / (bad + kPoolWeight);
  const auto late_ns = 2 * static_cast<double>(topology_->request_class(id).target.latency_ns);
  double total_growth = 0;
  for (std::uint32_t s = 0; s < suspicions.size(); ++s) {
    Suspicion& at = suspicions[s];
    // Against what a request usually spends there that comes there at all: the slow ones may be
    // those that go a longer way, as they always did.
    const double visits = std::max(before.visits[s], 1.0);
    const double slow_visits = now.slow_visits[s];
    const double per_slow = bad > 0 ? 1 / bad : 0;
    const double own = (now.slow_own[s] - slow_visits * before.own[s] / visits) * per_slow;
    const double queue = (now.slow_queue[s] - slow_visits * before.queue[s] / visits) * per_slow;
    const double comes = before.visits[s] / static_cast<double>(before.requests);
    const double pooled = pool.visits[s] > 0 ? comes / pool.visits[s] : 0;
    const double by_failing = (failures[s] * late_ns + given_up[s]) * per_slow;
    const double own_growth =
        weight * (own + by_failing) + (1 - weight) * pooled * pool.own_excess[s];
    at.growth = weight * (own + queue + by_failing) + (1 - weight) * pooled * pool.excess[s];
    at.suspect.own_growth_ns = static_cast<std::int64_t>(own_growth);
    total_growth += std::max(at.growth, 0.0);

    Usual& usual = usuals[s];
    usual.mean = (before.own[s] + before.queue[s]) / visits;
    const double mean_us = usual.mean / 1000;
    usual.spread = std::sqrt(std::max(before.square[s] / visits - mean_us * mean_us, 0.0)) * 1000;
    const double by_slow =
        weight * slow_visits * per_slow / std::sqrt(std::clamp(slow_visits, 1.0, 16.0));
    const double by_pool = (1 - weight) * comes / std::sqrt(std::clamp(pool.visits[s], 1.0, 16.0));
    errors[s] = usual.spread * std::hypot(by_slow, by_pool);
  }
  if (total_growth <= 0) return found;
  const NetworkTrouble network = LookAtNetwork(pool, placement);
  if (network.any) BlameNetwork(before, now, network, placement, &suspicions);
  for (std::uint32_t s = 0; s < suspicions.size(); ++s) {
    Suspicion& at = suspicions[s];
    if (at.growth <= 0) continue;
    at.spreads = errors[s] > 0 ? at.growth / errors[s] : 1e3;
    at.suspect.service = ServiceId(s);
    at.suspect.queue_growth_ns = static_cast<std::int64_t>(at.growth) - at.suspect.own_growth_ns;
    at.suspect.share = static_cast<float>(std::min(at.growth / total_growth, 1.0));
    at.suspect.depth = depths[s];
    const double comes = before.visits[s] / static_cast<double>(before.requests);
    at.abnormal = at.growth >= options_.min_share * total_growth &&
                  at.growth >= options_.min_growth * usuals[s].mean * std::min(comes, 1.0) &&
                  at.spreads >= options_.min_spread;
    if (at.abnormal) at.suspect.since_ns = GrownSince(pool, onset, s, usuals[s]);
  }

  // Who waits for another in its own time (for a connection, a lock) holds up only those requests
  // that want the other. A service that works longer also for those that do not is slow itself.
  const auto may_wait_for = [&](std::uint32_t waiter, std::uint32_t other) {
    const Suspicion& at = suspicions[waiter];
    const auto own = static_cast<double>(at.suspect.own_growth_ns);
    // Both on a host in trouble: what hits the one hits the other.
    if (placement.StandsOn(waiter, network.host) && placement.StandsOn(other, network.host)) {
      return false;
    }
    if (ByItself(pool, waiter, at) > suspicions[other].growth &&
        placement.ShareHost(waiter, other)) {
      return false;
    }
    if (own < 0.5 * at.growth) return true;
    if (suspicions[other].growth < kLeastCause * own) return false;
    double with = 0, without = 0, visits_with = 0, visits_without = 0;
    for (std::size_t c = 0; c < classes_.size(); ++c) {
      const Sums& was = pool.usual[c];
      const Sums& is = pool.now[c];
      if (was.visits[waiter] < kFewVisits || is.visits[waiter] <= 0) continue;
      const double excess =
          is.own[waiter] - is.visits[waiter] * was.own[waiter] / was.visits[waiter];
      const bool wants = was.visits[other] > 0 || is.visits[other] > 0;
      (wants ? with : without) += excess;
      (wants ? visits_with : visits_without) += is.visits[waiter];
    }
    if (visits_without < kFewVisits || visits_with <= 0) return true;
    return without / visits_without < 0.5 * with / visits_with;
  };

  // The deepest of those that grew: none below it grew, unless clearly later.
  const std::int64_t slack_ns = std::max<std::int64_t>(3 * options_.period.ns(), 300'000'000);
  internal::Choice choice =
      internal::ChooseCulprit(*topology_, suspicions, slack_ns, may_wait_for, &found.suspects);

  const double enough = std::min(1.0, 0.2 + 0.08 * bad);
  if (found.request_rate_growth >= options_.load_growth && rate_spreads >= options_.min_spread) {
    found.initiation = Initiation::kLoad;
    const double over = found.request_rate_growth / options_.load_growth - 1;
    found.confidence = static_cast<float>(enough * std::min(1.0, 0.5 + over));
    return found;
  }
  if (network.nobodys) {
    found.initiation = Initiation::kLoad;
    found.confidence = static_cast<float>(0.5 * enough);
    return found;
  }
  if (choice.culprit == nullptr) return found;
  if (network.host != NodeId::kNone) {
    // What hits a host hits all that stand there: who of them held up the requests the longest.
    for (std::uint32_t s = 0; s < suspicions.size(); ++s) {
      if (!suspicions[s].abnormal || !placement.StandsOn(s, network.host)) continue;
      if (!placement.StandsOn(choice.culprit->suspect.service.value(), network.host) ||
          suspicions[s].growth > choice.culprit->growth) {
        choice.culprit = &suspicions[s];
      }
    }
  }
  const double sure = std::min(1.0, choice.culprit->spreads / (2 * options_.min_spread));
  found.initiation = Initiation::kService;
  found.culprit = choice.culprit->suspect.service;
  found.confidence = static_cast<float>(enough * sure * choice.explained);
  const Attribution::Suspect& front = choice.culprit->suspect;
  if (!network.any && front.queue_growth_ns >= 3 * front.own_growth_ns) {
    const std::uint32_t awaited =
        internal::WhomTheyWaitFor(PoolAll(usual_ranges, onset), front.service.value());
    if (awaited != front.service.value()) {
      found.culprit = ServiceId(awaited);
      found.confidence *= 0.8f;
    }
  }
  internal::PutFirst(found.culprit, suspicions, &found.suspects);
  return found;
}

CulpritFinder::CulpritFinder(const Topology* topology, const CulpritOptions& options)
    : impl_(std::make_unique<Impl>(topology, options)) {}
CulpritFinder::~CulpritFinder() = default;
CulpritFinder::CulpritFinder(CulpritFinder&&) noexcept = default;
CulpritFinder& CulpritFinder::operator=(CulpritFinder&&) noexcept = default;
void CulpritFinder::Observe(const RequestTrace& trace) { impl_->Observe(trace); }
Attribution CulpritFinder::Find(const Violation& violation,
                                absl::Span<const Violation> others) const {
  return impl_->Find(violation, others);
}

SEER_END_NAMESPACE
