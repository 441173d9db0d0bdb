// CulpritFinder of labels.h.
#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <utility>

#include "seer/window/labels.h"

SEER_BEGIN_NAMESPACE
namespace {

constexpr std::size_t kMaxKeptTicks = 1 << 16;
constexpr std::int64_t kTimeLimit = std::int64_t{1} << 62;

// What the requests that began in a tick spent at one service, on their critical paths. In ns.
struct Spent {
  std::uint32_t service = 0;
  float own = 0, queue = 0;
  float square = 0;                    // of the sum of both, request by request, in us^2
  float slow_own = 0, slow_queue = 0;  // of the slow requests
};

struct Bucket {
  Tick tick = std::numeric_limits<Tick>::min();
  std::uint32_t requests = 0, slow = 0;
  double latency = 0, slow_latency = 0;
  std::vector<Spent> spent;
};

struct Usual {
  double mean = 0, own = 0, queue = 0, spread = 0;
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
  Attribution Find(const Violation& violation) const;

 private:
  struct Range {
    Tick from, to;  // [from, to)
  };
  struct Sums {
    std::uint64_t requests = 0, slow = 0;
    double latency = 0, slow_latency = 0;
    std::vector<double> own, queue, square, slow_own, slow_queue;  // by service
  };
  struct Suspicion {
    bool abnormal = false;
    double growth = 0;  // ns per slow request
    double spreads = 0;
    Attribution::Suspect suspect;
  };

  Bucket& Open(std::vector<Bucket>& ring, Tick tick) const {
    Bucket& bucket = ring[Slot(tick)];
    if (bucket.tick != tick) {
      bucket.tick = tick;
      bucket.requests = bucket.slow = 0;
      bucket.latency = bucket.slow_latency = 0;
      bucket.spent.clear();
    }
    return bucket;
  }
  const Bucket* Look(const std::vector<Bucket>& ring, Tick tick) const {
    const Bucket& bucket = ring[Slot(tick)];
    return bucket.tick == tick ? &bucket : nullptr;
  }
  std::size_t Slot(Tick tick) const {
    const auto size = static_cast<Tick>(kept_);
    return static_cast<std::size_t>((tick % size + size) % size);
  }
  Tick TickAt(std::int64_t ns) const { return options_.period.TickAt(ns); }

  Sums Sum(const std::vector<Bucket>& ring, Range range) const;
  std::vector<std::uint32_t> Depths(ServiceId entry) const;
  double RateGrowth(const std::vector<Bucket>& ring, Range usual, const Violation& violation,
                    double* spreads) const;
  std::int64_t GrownSince(const std::vector<Bucket>& ring, Range range, std::uint32_t service,
                          const Usual& usual) const;
  std::vector<bool> Below(std::uint32_t service) const;

  const Topology* topology_;
  CulpritOptions options_;
  std::size_t kept_;
  std::vector<std::vector<Bucket>> classes_;  // by ClassId: a ring of ticks
  std::vector<Bucket> all_;                   // requests of all classes, nothing else
  Tick newest_ = std::numeric_limits<Tick>::min();
};

void CulpritFinder::Impl::Observe(const RequestTrace& trace) {
  if (trace.hops.empty() || !topology_->Has(trace.request_class)) return;
  if (trace.start_ns() < -kTimeLimit / 2 || trace.start_ns() > kTimeLimit) return;
  const Tick tick = TickAt(trace.start_ns());
  if (newest_ != std::numeric_limits<Tick>::min() && tick <= newest_ - static_cast<Tick>(kept_)) {
    return;
  }
  newest_ = std::max(newest_, tick);
  if (classes_.size() <= trace.request_class.index()) {
    classes_.resize(trace.request_class.index() + 1);
  }
  std::vector<Bucket>& ring = classes_[trace.request_class.index()];
  if (ring.empty()) ring.resize(kept_);
  if (all_.empty()) all_.resize(kept_);
  ++Open(all_, tick).requests;
  Bucket& bucket = Open(ring, tick);
  const bool slow =
      trace.latency_ns() > topology_->request_class(trace.request_class).target.latency_ns;
  const auto latency = static_cast<double>(trace.latency_ns());
  ++bucket.requests;
  bucket.latency += latency;
  if (slow) {
    ++bucket.slow;
    bucket.slow_latency += latency;
  }
  // A request may come to a service several times: its parts are one value.
  std::vector<std::pair<std::uint32_t, std::pair<double, double>>> parts;
  for (const Hop& hop : trace.hops) {
    if (!hop.callee.valid() || hop.critical_own_ns + hop.critical_queue_ns <= 0) continue;
    auto part = std::find_if(parts.begin(), parts.end(),
                             [&](const auto& p) { return p.first == hop.callee.value(); });
    if (part == parts.end()) part = parts.insert(parts.end(), {hop.callee.value(), {0, 0}});
    part->second.first += static_cast<double>(hop.critical_own_ns);
    part->second.second += static_cast<double>(hop.critical_queue_ns);
  }
  for (const auto& [service, time] : parts) {
    auto spent = std::find_if(bucket.spent.begin(), bucket.spent.end(),
                              [s = service](const Spent& row) { return row.service == s; });
    if (spent == bucket.spent.end()) {
      spent = bucket.spent.insert(bucket.spent.end(), Spent());
      spent->service = service;
    }
    const auto own = static_cast<float>(time.first);
    const auto queue = static_cast<float>(time.second);
    spent->own += own;
    spent->queue += queue;
    const float us = (own + queue) / 1000;
    spent->square += us * us;
    if (slow) {
      spent->slow_own += own;
      spent->slow_queue += queue;
    }
  }
}

CulpritFinder::Impl::Sums CulpritFinder::Impl::Sum(const std::vector<Bucket>& ring,
                                                   Range range) const {
  Sums sums;
  const std::size_t services = topology_->services().size();
  for (auto* column : {&sums.own, &sums.queue, &sums.square, &sums.slow_own, &sums.slow_queue}) {
    column->assign(services, 0);
  }
  for (Tick tick = range.from; tick < range.to; ++tick) {
    const Bucket* bucket = Look(ring, tick);
    if (bucket == nullptr) continue;
    sums.requests += bucket->requests;
    sums.slow += bucket->slow;
    sums.latency += bucket->latency;
    sums.slow_latency += bucket->slow_latency;
    for (const Spent& spent : bucket->spent) {
      if (spent.service >= services) continue;
      sums.own[spent.service] += spent.own;
      sums.queue[spent.service] += spent.queue;
      sums.square[spent.service] += spent.square;
      sums.slow_own[spent.service] += spent.slow_own;
      sums.slow_queue[spent.service] += spent.slow_queue;
    }
  }
  return sums;
}

// Calls from where the class's requests enter; from outside where that is not known.
std::vector<std::uint32_t> CulpritFinder::Impl::Depths(ServiceId entry) const {
  constexpr auto kFar = std::numeric_limits<std::uint32_t>::max();
  std::vector<std::uint32_t> depths(topology_->services().size(), kFar);
  std::deque<std::uint32_t> queue;
  const auto reach = [&](ServiceId id, std::uint32_t depth) {
    if (depths[id.index()] != kFar) return;
    depths[id.index()] = depth;
    queue.push_back(id.value());
  };
  std::vector<std::vector<std::uint32_t>> callees(depths.size());
  for (const Edge& edge : topology_->edges()) {
    if (edge.removed || edge.kind == EdgeKind::kAsync) continue;
    if (edge.caller.valid()) {
      callees[edge.caller.index()].push_back(edge.callee.value());
    } else if (!topology_->IsLive(entry)) {
      reach(edge.callee, 0);
    }
  }
  if (topology_->IsLive(entry)) reach(entry, 0);
  while (!queue.empty()) {
    const std::uint32_t service = queue.front();
    queue.pop_front();
    for (const std::uint32_t callee : callees[service]) {
      reach(ServiceId(callee), depths[service] + 1);
    }
  }
  return depths;
}

// The services that this one calls, and those that they call.
std::vector<bool> CulpritFinder::Impl::Below(std::uint32_t service) const {
  std::vector<bool> below(topology_->services().size(), false);
  for (bool changed = true; changed;) {
    changed = false;
    for (const Edge& edge : topology_->edges()) {
      if (edge.removed || edge.kind == EdgeKind::kAsync || !edge.caller.valid()) continue;
      const bool from = edge.caller.value() == service || below[edge.caller.index()];
      if (!from || below[edge.callee.index()]) continue;
      below[edge.callee.index()] = true;
      changed = true;
    }
  }
  return below;
}

// Requests that began before the violation, over what is usual; the largest of two times.
double CulpritFinder::Impl::RateGrowth(const std::vector<Bucket>& ring, Range usual,
                                       const Violation& violation, double* spreads) const {
  std::uint64_t before = 0;
  std::uint64_t ticks = 0;
  for (Tick tick = usual.from; tick < usual.to; ++tick) {
    if (const Bucket* bucket = Look(all_, tick)) before += bucket->requests;
    if (Look(all_, tick) != nullptr || ticks > 0) ++ticks;  // from where the traces begin
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

// The end of the first tick from which on the service took longer than usual.
std::int64_t CulpritFinder::Impl::GrownSince(const std::vector<Bucket>& ring, Range range,
                                             std::uint32_t service, const Usual& usual) const {
  for (Tick tick = range.from; tick < range.to; ++tick) {
    const Bucket* bucket = Look(ring, tick);
    if (bucket == nullptr || bucket->requests == 0) continue;
    for (const Spent& spent : bucket->spent) {
      if (spent.service != service) continue;
      const auto n = static_cast<double>(bucket->requests);
      const double mean = (static_cast<double>(spent.own) + spent.queue) / n;
      const double limit = usual.mean + std::max(options_.min_spread * usual.spread / std::sqrt(n),
                                                 options_.min_growth * usual.mean);
      if (mean > limit) return options_.period.EndNs(tick);
    }
  }
  return options_.period.EndNs(range.to - 1);
}

Attribution CulpritFinder::Impl::Find(const Violation& violation) const {
  Attribution found;
  const ClassId id = violation.request_class;
  if (!topology_->Has(id) || id.index() >= classes_.size() || classes_[id.index()].empty()) {
    return found;
  }
  if (violation.start_ns < -kTimeLimit / 2 || violation.start_ns > kTimeLimit) return found;
  const std::vector<Bucket>& ring = classes_[id.index()];
  const auto kept = static_cast<Tick>(kept_);
  Range onset{TickAt(violation.start_ns - options_.onset_ns),
              TickAt(violation.start_ns + options_.after_ns) + 1};
  onset.from = std::max(onset.from, onset.to - kept);
  Range usual_range{TickAt(violation.start_ns - options_.onset_ns - options_.baseline_ns),
                    onset.from};
  usual_range.from = std::max(usual_range.from, onset.to - kept);
  const Sums now = Sum(ring, onset);
  const Sums before = Sum(ring, usual_range);
  found.slow_requests = now.slow;

  double rate_spreads = 0;
  found.request_rate_growth = RateGrowth(ring, usual_range, violation, &rate_spreads);
  if (now.slow < options_.min_slow || before.requests < options_.min_slow) return found;
  const auto slow = static_cast<double>(now.slow);
  const auto requests = static_cast<double>(before.requests);
  const double latency_growth = now.slow_latency / slow - before.latency / requests;
  if (latency_growth <= 0) return found;

  // Whose part of the slow requests' time grew, beyond what is usual for it?
  const std::vector<std::uint32_t> depths = Depths(topology_->request_class(id).entry);
  std::vector<Suspicion> suspicions(depths.size());
  for (std::uint32_t s = 0; s < suspicions.size(); ++s) {
    Suspicion& at = suspicions[s];
    Usual usual;
    usual.own = before.own[s] / requests;
    usual.queue = before.queue[s] / requests;
    usual.mean = usual.own + usual.queue;
    const double mean_us = usual.mean / 1000;
    usual.spread = std::sqrt(std::max(before.square[s] / requests - mean_us * mean_us, 0.0)) * 1000;
    const double own_growth = now.slow_own[s] / slow - usual.own;
    const double queue_growth = now.slow_queue[s] / slow - usual.queue;
    at.growth = own_growth + queue_growth;
    if (at.growth <= 0) continue;
    const double error = usual.spread / std::sqrt(std::min(slow, 16.0));
    at.spreads = error > 0 ? at.growth / error : 1e3;
    at.suspect.service = ServiceId(s);
    at.suspect.own_growth_ns = static_cast<std::int64_t>(own_growth);
    at.suspect.queue_growth_ns = static_cast<std::int64_t>(queue_growth);
    at.suspect.share = static_cast<float>(std::min(at.growth / latency_growth, 1.0));
    at.suspect.depth = depths[s];
    at.abnormal = at.growth >= options_.min_share * latency_growth &&
                  at.growth >= options_.min_growth * usual.mean &&
                  at.spreads >= options_.min_spread;
    if (at.abnormal) at.suspect.since_ns = GrownSince(ring, onset, s, usual);
  }

  // The deepest of those that grew: none below it grew, unless clearly later.
  const std::int64_t slack_ns = std::max<std::int64_t>(3 * options_.period.ns(), 300'000'000);
  double abnormal_growth = 0;
  for (const Suspicion& each : suspicions) {
    if (each.abnormal) abnormal_growth += each.growth;
  }
  std::vector<std::vector<bool>> below(suspicions.size());
  const auto better = [](const Suspicion& a, const Suspicion& b, std::int64_t slack) {
    if (std::abs(a.suspect.since_ns - b.suspect.since_ns) > slack) {
      return a.suspect.since_ns < b.suspect.since_ns;
    }
    return a.growth > b.growth;
  };
  const Suspicion* culprit = nullptr;
  for (std::uint32_t s = 0; s < suspicions.size(); ++s) {
    const Suspicion& at = suspicions[s];
    if (!at.abnormal) continue;
    found.suspects.push_back(at.suspect);
    if (below[s].empty()) below[s] = Below(s);
    bool deepest = true;
    for (std::uint32_t other = 0; other < suspicions.size(); ++other) {
      if (other == s || !suspicions[other].abnormal || !below[s][other]) continue;
      if (below[other].empty()) below[other] = Below(other);
      if (below[other][s]) {  // they call each other: who grew more
        deepest = deepest && !better(suspicions[other], at, slack_ns);
        continue;
      }
      deepest = deepest && suspicions[other].suspect.since_ns > at.suspect.since_ns + slack_ns;
    }
    if (deepest && (culprit == nullptr || better(at, *culprit, slack_ns))) culprit = &at;
  }
  std::sort(found.suspects.begin(), found.suspects.end(),
            [&](const Attribution::Suspect& a, const Attribution::Suspect& b) {
              const bool a_first = culprit != nullptr && a.service == culprit->suspect.service;
              const bool b_first = culprit != nullptr && b.service == culprit->suspect.service;
              if (a_first != b_first) return a_first;
              return a.share > b.share;
            });

  const double enough = std::min(1.0, slow / 10);
  if (found.request_rate_growth >= options_.load_growth && rate_spreads >= options_.min_spread) {
    found.initiation = Initiation::kLoad;
    const double over = found.request_rate_growth / options_.load_growth - 1;
    found.confidence = static_cast<float>(enough * std::min(1.0, 0.5 + over));
    return found;
  }
  if (culprit == nullptr) return found;
  // What the culprit explains: its own growth, and that of those who wait for it.
  double explained = 0;
  for (std::uint32_t s = 0; s < suspicions.size(); ++s) {
    if (!suspicions[s].abnormal) continue;
    if (&suspicions[s] == culprit || below[s][culprit->suspect.service.index()]) {
      explained += suspicions[s].growth;
    }
  }
  found.initiation = Initiation::kService;
  found.culprit = culprit->suspect.service;
  const double sure = std::min(1.0, culprit->spreads / (2 * options_.min_spread));
  found.confidence = static_cast<float>(enough * sure * explained / abnormal_growth);
  return found;
}

CulpritFinder::CulpritFinder(const Topology* topology, const CulpritOptions& options)
    : impl_(std::make_unique<Impl>(topology, options)) {}
CulpritFinder::~CulpritFinder() = default;
CulpritFinder::CulpritFinder(CulpritFinder&&) noexcept = default;
CulpritFinder& CulpritFinder::operator=(CulpritFinder&&) noexcept = default;
void CulpritFinder::Observe(const RequestTrace& trace) { impl_->Observe(trace); }
Attribution CulpritFinder::Find(const Violation& violation) const { return impl_->Find(violation); }

SEER_END_NAMESPACE
