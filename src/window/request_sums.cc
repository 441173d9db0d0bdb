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

Spent* At(std::uint32_t service, std::vector<Spent>* rows) {
  for (Spent& row : *rows) {
    if (row.service == service) return &row;
  }
  rows->emplace_back().service = service;
  return &rows->back();
}

Between* At(std::uint32_t caller, std::uint32_t callee, std::vector<Between>* rows) {
  for (Between& row : *rows) {
    if (row.caller == caller && row.callee == callee) return &row;
  }
  rows->emplace_back().caller = caller;
  rows->back().callee = callee;
  return &rows->back();
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
  }
}

}  // namespace

void Bucket::Add(const RequestTrace& trace, bool is_slow) {
  const auto took = static_cast<double>(trace.latency_ns());
  ++requests;
  latency += took;
  if (is_slow) {
    ++slow;
    slow_latency += took;
  }
  if (const Hop* const failed = WhereItFailed(trace)) {
    if (failed->callee.valid()) ++At(failed->callee.value(), &spent)->failures;
    if (failed->callee.valid() && failed->outcome == Outcome::kTimedOut) {
      ++At(failed->caller.value(), failed->callee.value(), &between)->failed_by_give_up;
    }
  }
  // A request may come to a service several times: its parts are one value.
  std::vector<std::pair<std::uint32_t, std::pair<double, double>>> parts;
  for (const Hop& hop : trace.hops) {
    if (!hop.callee.valid()) continue;
    if (hop.has_client && !hop.async) {
      Between* const row = At(hop.caller.value(), hop.callee.value(), &between);
      AddCall(hop, is_slow, row);
      AddLink(hop, is_slow, row);
    }
    if (hop.critical_own_ns + hop.critical_queue_ns <= 0) continue;
    auto part = std::find_if(parts.begin(), parts.end(),
                             [&](const auto& p) { return p.first == hop.callee.value(); });
    if (part == parts.end()) part = parts.insert(parts.end(), {hop.callee.value(), {0, 0}});
    part->second.first += static_cast<double>(hop.critical_own_ns);
    part->second.second += static_cast<double>(hop.critical_queue_ns);
  }
  for (const auto& [service, time] : parts) {
    Spent* const row = At(service, &spent);
    const auto own = static_cast<float>(time.first);
    const auto queue = static_cast<float>(time.second);
    row->own += own;
    row->queue += queue;
    const float us = (own + queue) / 1000;
    row->square += us * us;
    ++row->visits;
    if (is_slow) {
      ++row->slow_visits;
      row->slow_own += own;
      row->slow_queue += queue;
    }
  }
}

}  // namespace internal
SEER_END_NAMESPACE
