#include "window/request_sums.h"

#include <algorithm>
#include <utility>

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

bool Fails(const Hop& hop) {
  return hop.outcome == Outcome::kFailed || hop.outcome == Outcome::kTimedOut ||
         hop.outcome == Outcome::kTransport || hop.outcome == Outcome::kRejected;
}

// Of a request that failed: the hop at the end of the calls that failed one because of the other.
// None where it did not fail.
const Hop* WhereItFailed(const RequestTrace& trace) {
  if (!Fails(trace.hops[0])) return nullptr;
  std::size_t at = 0;
  for (std::size_t i = 1; i < trace.hops.size(); ++i) {  // parents come before their children
    const Hop& hop = trace.hops[i];
    if (hop.parent == static_cast<std::int32_t>(at) && Fails(hop) && !hop.async) at = i;
  }
  return &trace.hops[at];
}

// The part of a hop's waiting that neither side can have caused by itself.
void AddLink(const Hop& hop, bool slow, Between* between) {
  if (!hop.has_server || hop.critical_queue_ns <= 0 || hop.queue_ns <= 0) return;
  const auto client =
      static_cast<double>(hop.client_end_ns) - static_cast<double>(hop.client_start_ns);
  const auto server =
      static_cast<double>(hop.server_end_ns) - static_cast<double>(hop.server_start_ns);
  const double on_path =
      static_cast<double>(hop.critical_queue_ns) / static_cast<double>(hop.queue_ns);
  const double link = std::clamp(client - server, 0.0, static_cast<double>(hop.queue_ns)) * on_path;
  const double reply =
      (static_cast<double>(hop.client_end_ns) - static_cast<double>(hop.server_end_ns)) * on_path;
  between->link += static_cast<float>(link);
  between->reply += static_cast<float>(reply);
  ++between->calls;
  if (!slow) return;
  ++between->slow_calls;
  between->slow_link += static_cast<float>(link);
  between->slow_reply += static_cast<float>(reply);
}

void AddCall(const Hop& hop, bool slow, Between* between) {
  const auto took = static_cast<float>(static_cast<double>(hop.client_end_ns) -
                                       static_cast<double>(hop.client_start_ns));
  if (hop.outcome == Outcome::kTimedOut) {
    between->given_up += took;
    ++between->give_ups;
    if (slow) {
      between->slow_given_up +=
          static_cast<float>(hop.critical_own_ns) + static_cast<float>(hop.critical_queue_ns);
    }
  } else if (!Fails(hop)) {
    between->answered += took;
    ++between->answers;
    if (!hop.has_server) return;
    const auto reply = static_cast<float>(static_cast<double>(hop.client_end_ns) -
                                          static_cast<double>(hop.server_end_ns));
    const auto served = static_cast<float>(static_cast<double>(hop.server_end_ns) -
                                           static_cast<double>(hop.server_start_ns));
    between->ways += took - served;
    between->replies += reply;
    ++between->seen;
  } else {
    between->failed += took;
    ++between->fails;
  }
}

}  // namespace

void Bucket::Add(const RequestTrace& trace, bool is_slow, std::size_t services) {
  const auto known = [&](const Hop& hop) {
    return hop.callee.valid() && hop.callee.index() < services &&
           (!hop.caller.valid() || hop.caller.index() < services);
  };
  const auto between_of = [&](const Hop& hop) -> Between& {
    return between.At(Between::KeyOf(hop.caller.value(), hop.callee.value()));
  };
  ++requests;
  slow += is_slow ? 1 : 0;
  if (const Hop* const failed = WhereItFailed(trace); failed != nullptr && known(*failed)) {
    ++spent.At(failed->callee.value()).failures;
    if (failed->outcome == Outcome::kTimedOut) ++between_of(*failed).failed_by_give_up;
  }
  // A request may come to a service several times: its parts are one value.
  std::vector<std::pair<std::uint32_t, std::pair<double, double>>> parts;
  for (const Hop& hop : trace.hops) {
    if (!known(hop)) continue;
    if (hop.has_client && !hop.async) {
      Between& row = between_of(hop);
      AddCall(hop, is_slow, &row);
      AddLink(hop, is_slow, &row);
    }
    if (hop.has_server) {
      Spent& row = spent.At(hop.callee.value());
      row.works += static_cast<float>(hop.own_ns);
      row.waits += static_cast<float>(hop.latency_ns() - hop.queue_ns - hop.own_ns);
    }
    if (hop.critical_own_ns + hop.critical_queue_ns <= 0) continue;
    auto part = std::find_if(parts.begin(), parts.end(),
                             [&](const auto& p) { return p.first == hop.callee.value(); });
    if (part == parts.end()) part = parts.insert(parts.end(), {hop.callee.value(), {0, 0}});
    part->second.first += static_cast<double>(hop.critical_own_ns);
    part->second.second += static_cast<double>(hop.critical_queue_ns);
  }
  for (const auto& [service, time] : parts) {
    Spent& row = spent.At(service);
    const auto own = static_cast<float>(time.first);
    const auto queue = static_cast<float>(time.second);
    row.own += own;
    row.queue += queue;
    const float us = (own + queue) / 1000;
    row.square += us * us;
    ++row.visits;
    if (is_slow) {
      ++row.slow_visits;
      row.slow_own += own;
      row.slow_queue += queue;
    }
  }
}

Sums::Sums(std::size_t services) {
  for (auto* column : {&own, &queue, &square, &slow_own, &slow_queue, &visits, &slow_visits,
                       &failures, &works, &waits}) {
    column->assign(services, 0);
  }
}

void Sums::Add(const Bucket& bucket) {
  requests += bucket.requests;
  slow += bucket.slow;
  for (const Spent& spent : bucket.spent) {
    const std::uint32_t s = spent.service;
    if (s >= own.size()) continue;
    own[s] += spent.own;
    queue[s] += spent.queue;
    square[s] += spent.square;
    slow_own[s] += spent.slow_own;
    slow_queue[s] += spent.slow_queue;
    visits[s] += spent.visits;
    slow_visits[s] += spent.slow_visits;
    failures[s] += spent.failures;
    works[s] += spent.works;
    waits[s] += spent.waits;
  }
  for (const Between& between : bucket.between) {
    LinkSums& to = links[{between.caller, between.callee}];
    to.link += between.link;
    to.reply += between.reply;
    to.slow_link += between.slow_link;
    to.slow_reply += between.slow_reply;
    to.calls += between.calls;
    to.slow_calls += between.slow_calls;
    to.answered += between.answered;
    to.given_up += between.given_up;
    to.answers += between.answers;
    to.give_ups += between.give_ups;
    to.failed += between.failed;
    to.fails += between.fails;
    to.ways += between.ways;
    to.replies += between.replies;
    to.seen += between.seen;
    to.slow_given_up += between.slow_given_up;
    to.failed_by_give_up += between.failed_by_give_up;
  }
}

}  // namespace internal
SEER_END_NAMESPACE
