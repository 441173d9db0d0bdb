#include "window/suspects.h"

#include <algorithm>
#include <cstdlib>
#include <deque>

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

// The services that this one calls and waits for, and those that they call.
std::vector<bool> Below(const std::vector<std::vector<std::uint32_t>>& callees,
                        std::uint32_t service) {
  std::vector<bool> below(callees.size(), false);
  std::vector<std::uint32_t> stack = {service};
  while (!stack.empty()) {
    const std::uint32_t at = stack.back();
    stack.pop_back();
    for (const std::uint32_t callee : callees[at]) {
      if (below[callee]) continue;
      below[callee] = true;
      stack.push_back(callee);
    }
  }
  return below;
}

std::vector<std::vector<std::uint32_t>> SyncCallees(const Topology& topology) {
  std::vector<std::vector<std::uint32_t>> callees(topology.services().size());
  for (const Edge& edge : topology.edges()) {
    if (edge.removed || edge.kind == EdgeKind::kAsync || !edge.caller.valid()) continue;
    callees[edge.caller.index()].push_back(edge.callee.value());
  }
  return callees;
}

// Of two that do not wait for each other: who explains far more, else who grew first, else more.
bool Better(const Suspicion& a, const Suspicion& b, std::int64_t slack_ns) {
  constexpr double kFarMore = 3;
  if (a.growth > kFarMore * b.growth) return true;
  if (b.growth > kFarMore * a.growth) return false;
  if (std::abs(a.suspect.since_ns - b.suspect.since_ns) > slack_ns) {
    return a.suspect.since_ns < b.suspect.since_ns;
  }
  return a.growth > b.growth;
}

}  // namespace

std::vector<std::pair<Tick, Tick>> CalmTicks(Tick before, Tick oldest,
                                             const CulpritOptions& options, TickPeriod period,
                                             absl::Span<const Violation> others) {
  std::vector<std::pair<Tick, Tick>> calm;
  const Tick wanted = std::max<Tick>(options.baseline_ns / period.ns(), 1);
  Tick found = 0;
  for (Tick tick = before - 1; tick >= oldest && found < wanted; --tick) {
    const std::int64_t end_ns = period.EndNs(tick);
    const bool disturbed = std::any_of(others.begin(), others.end(), [&](const Violation& other) {
      return end_ns > other.start_ns - options.onset_ns &&
             end_ns <= other.end_ns + options.after_ns;
    });
    if (disturbed) continue;
    ++found;
    if (!calm.empty() && calm.back().first == tick + 1) {
      calm.back().first = tick;
    } else {
      calm.emplace_back(tick, tick + 1);
    }
  }
  if (found < std::min<Tick>(wanted, 10)) calm = {{std::max(before - wanted, oldest), before}};
  return calm;
}

std::vector<std::uint32_t> CallDepths(const Topology& topology, ServiceId entry) {
  std::vector<std::uint32_t> depths(topology.services().size(), kFarAway);
  const std::vector<std::vector<std::uint32_t>> callees = SyncCallees(topology);
  std::deque<std::uint32_t> queue;
  const auto reach = [&](std::uint32_t service, std::uint32_t depth) {
    if (depths[service] != kFarAway) return;
    depths[service] = depth;
    queue.push_back(service);
  };
  if (topology.IsLive(entry)) {
    reach(entry.value(), 0);
  } else {
    for (const Edge& edge : topology.edges()) {
      const bool counts = !edge.removed && edge.kind != EdgeKind::kAsync && !edge.caller.valid();
      if (counts) reach(edge.callee.value(), 0);
    }
  }
  while (!queue.empty()) {
    const std::uint32_t service = queue.front();
    queue.pop_front();
    for (const std::uint32_t callee : callees[service]) reach(callee, depths[service] + 1);
  }
  return depths;
}

bool Calls(const Topology& topology, ServiceId from, ServiceId to) {
  if (!topology.Has(from) || !topology.Has(to)) return false;
  return Below(SyncCallees(topology), from.value())[to.index()];
}

bool ShareHost(const Topology& topology, ServiceId a, ServiceId b) {
  for (const Instance& one : topology.instances()) {
    if (one.removed || !one.node.valid() || one.service != a) continue;
    for (const Instance& other : topology.instances()) {
      if (!other.removed && other.service == b && other.node == one.node) return true;
    }
  }
  return false;
}

Choice ChooseCulprit(const Topology& topology, absl::Span<const Suspicion> suspicions,
                     std::int64_t slack_ns,
                     const std::function<bool(std::uint32_t, std::uint32_t)>& may_wait_for,
                     std::vector<Attribution::Suspect>* suspects) {
  Choice choice;
  const std::vector<std::vector<std::uint32_t>> callees = SyncCallees(topology);
  std::vector<std::vector<bool>> below(suspicions.size());
  double abnormal_growth = 0;
  bool any_deepest = false;
  for (std::uint32_t s = 0; s < suspicions.size(); ++s) {
    if (!suspicions[s].abnormal) continue;
    below[s] = Below(callees, s);
    abnormal_growth += suspicions[s].growth;
    suspects->push_back(suspicions[s].suspect);
  }
  for (std::uint32_t s = 0; s < suspicions.size(); ++s) {
    const Suspicion& at = suspicions[s];
    if (!at.abnormal) continue;
    bool deepest = true;
    for (std::uint32_t other = 0; other < suspicions.size(); ++other) {
      if (other == s || !suspicions[other].abnormal || !below[s][other]) continue;
      if (!may_wait_for(s, other)) continue;
      if (below[other][s]) {  // they call each other: who grew more
        deepest = deepest && !Better(suspicions[other], at, slack_ns);
        continue;
      }
      deepest = deepest && suspicions[other].suspect.since_ns > at.suspect.since_ns + slack_ns;
    }
    if (!deepest) continue;
    any_deepest = true;
    if (choice.culprit == nullptr || Better(at, *choice.culprit, slack_ns)) choice.culprit = &at;
  }
  // Where all call each other in a circle: who grew most.
  for (std::uint32_t s = 0; s < suspicions.size() && !any_deepest; ++s) {
    if (!suspicions[s].abnormal) continue;
    if (choice.culprit == nullptr || suspicions[s].growth > choice.culprit->growth) {
      choice.culprit = &suspicions[s];
    }
  }
  if (choice.culprit != nullptr && abnormal_growth > 0) {
    const std::uint32_t culprit = choice.culprit->suspect.service.value();
    for (std::uint32_t s = 0; s < suspicions.size(); ++s) {
      if (!suspicions[s].abnormal) continue;
      if (s == culprit || below[s][culprit]) choice.explained += suspicions[s].growth;
    }
    choice.explained /= abnormal_growth;
  }
  std::sort(suspects->begin(), suspects->end(),
            [&](const Attribution::Suspect& a, const Attribution::Suspect& b) {
              const auto is_culprit = [&](const Attribution::Suspect& each) {
                return choice.culprit != nullptr && each.service == choice.culprit->suspect.service;
              };
              if (is_culprit(a) != is_culprit(b)) return is_culprit(a);
              return a.share > b.share;
            });
  return choice;
}

void PutFirst(ServiceId culprit, absl::Span<const Suspicion> suspicions,
              std::vector<Attribution::Suspect>* suspects) {
  const auto at = std::find_if(suspects->begin(), suspects->end(),
                               [&](const auto& each) { return each.service == culprit; });
  if (at != suspects->end()) {
    std::rotate(suspects->begin(), at, at + 1);
    return;
  }
  Attribution::Suspect suspect = suspicions[culprit.index()].suspect;
  suspect.service = culprit;
  suspects->insert(suspects->begin(), suspect);
}

}  // namespace internal
SEER_END_NAMESPACE
