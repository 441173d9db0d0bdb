#include "window/troubles.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <map>
#include <utility>

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

// Of the time that requests took longer, what the ways have at least.
constexpr double kNetworkShare = 0.2;
// Of what the ways grew by: what replies have at least, where it is the network's; what others may
// have grown by where it is the network's even without.
constexpr double kRepliesShare = 0.05, kOthersShare = 0.1;
// What has one host at an end where that host's network is to blame; and where everybody's is, what
// none has, and how many ways of which share there are at least.
constexpr double kOneHostsShare = 0.7, kNoHostsShare = 0.5, kOneWaysShare = 0.02;
constexpr std::ptrdiff_t kManyWays = 6;
// What the ways from outside have where the network is in front of the hosts; what of it their
// replies have at most: who loses requests alone never had them; and how many requests tell it.
constexpr double kWayInShare = 0.85, kWayInReplies = 0.25;
constexpr std::uint64_t kFewLate = 6;
// Workers wait where they work less than that of their time; for one that has at least that share
// of what they wait longer.
constexpr double kWorkersWork = 0.2, kOneWaitsShare = 0.5;
// Of the queue in front of workers, what their waiting that was seen has at least.
constexpr double kAccountsFor = 0.5;

struct Way {
  double all = 0, reply = 0;
};
using Ends = std::pair<std::uint32_t, std::uint32_t>;

std::map<Ends, Way> GrownWays(const Pool& pool, const Placement& placement) {
  std::map<Ends, Way> ways;
  for (std::size_t c = 0; c < pool.now.size(); ++c) {
    for (const auto& [ends, now] : pool.now[c].links) {
      const auto found = pool.usual[c].links.find(ends);
      if (found == pool.usual[c].links.end() || found->second.seen < kFewVisits) continue;
      if (placement.ShareHost(ends.first, ends.second)) continue;
      const LinkSums& usual = found->second;
      Way& way = ways[ends];
      way.all += now.ways - now.seen * usual.ways / usual.seen;
      way.reply += now.replies - now.seen * usual.replies / usual.seen;
    }
  }
  for (auto way = ways.begin(); way != ways.end();) {
    way = way->second.all > 0 ? std::next(way) : ways.erase(way);
  }
  return ways;
}

// What services grew by that was not on the way to them.
double GrownElsewhere(const Pool& pool) {
  std::vector<double> rest = pool.excess;
  for (std::size_t c = 0; c < pool.now.size(); ++c) {
    for (const auto& [ends, now] : pool.now[c].links) {
      const auto usual = pool.usual[c].links.find(ends);
      if (usual == pool.usual[c].links.end() || ends.second >= rest.size()) continue;
      rest[ends.second] -=
          now.link - now.calls * usual->second.link / std::max(usual->second.calls, 1.0);
    }
  }
  double sum = 0;
  for (const double each : rest) sum += std::max(each, 0.0);
  return sum;
}

// Of a service: what its workers do, and what its callers wait for without an answer.
struct Workers {
  double works = 0, waits = 0, unanswered = 0;
};
struct Waiting {
  double usual = 0, now = 0;
  double growth() const { return now - usual; }
};

}  // namespace

Placement::Placement(const Topology& topology) {
  for (const Instance& instance : topology.instances()) {
    if (instance.removed || !instance.node.valid() || !instance.service.valid()) continue;
    rows_.emplace_back(instance.service.value(), instance.node.value());
  }
  std::sort(rows_.begin(), rows_.end());
  rows_.erase(std::unique(rows_.begin(), rows_.end()), rows_.end());
}

bool Placement::StandsOn(std::uint32_t service, std::uint32_t host) const {
  return std::binary_search(rows_.begin(), rows_.end(), std::pair(service, host));
}

bool Placement::ShareHost(std::uint32_t a, std::uint32_t b) const {
  for (auto row = std::lower_bound(rows_.begin(), rows_.end(), std::pair(a, 0u));
       row != rows_.end() && row->first == a; ++row) {
    if (StandsOn(b, row->second)) return true;
  }
  return false;
}

std::vector<std::uint32_t> Placement::HostsOf(std::uint32_t service) const {
  std::vector<std::uint32_t> hosts;
  for (auto row = std::lower_bound(rows_.begin(), rows_.end(), std::pair(service, 0u));
       row != rows_.end() && row->first == service; ++row) {
    hosts.push_back(row->second);
  }
  return hosts;
}

Pool::Pool(std::vector<Sums> usual_sums, std::vector<Sums> now_sums, std::size_t services)
    : usual(std::move(usual_sums)),
      now(std::move(now_sums)),
      own_excess(services, 0),
      excess(services, 0),
      visits(services, 0) {
  for (std::size_t c = 0; c < now.size(); ++c) {
    const Sums& was = usual[c];
    const Sums& is = now[c];
    for (std::size_t s = 0; s < services; ++s) {
      if (was.visits[s] < kFewVisits || is.visits[s] <= 0) continue;
      const double more = is.visits[s] / was.visits[s];
      const double own = is.own[s] - more * was.own[s];
      own_excess[s] += own;
      excess[s] += own + is.queue[s] - more * was.queue[s];
      visits[s] += is.visits[s];
    }
  }
}

NetworkTrouble LookAtNetwork(const Pool& pool, const Placement& placement) {
  NetworkTrouble trouble;
  const std::map<Ends, Way> ways = GrownWays(pool, placement);
  std::map<std::uint32_t, double> by_host;
  Way all, in;
  std::uint64_t slow = 0;
  for (const Sums& now : pool.now) slow += now.slow;
  for (const auto& [ends, way] : ways) {
    const double reply = std::max(way.reply, 0.0);
    all.all += way.all;
    all.reply += reply;
    if (ends.first == ServiceId::kNone) {
      in.all += way.all;
      in.reply += reply;
    }
    for (const std::uint32_t service : {ends.first, ends.second}) {
      for (const std::uint32_t host : placement.HostsOf(service)) by_host[host] += way.all;
    }
  }
  if (all.all <= 0) return trouble;
  const double elsewhere = GrownElsewhere(pool);
  if (all.all < kNetworkShare * (all.all + elsewhere)) return trouble;
  const bool alone = elsewhere <= kOthersShare * all.all;
  trouble.any = alone || all.reply >= kRepliesShare * all.all;
  if (!trouble.any) return trouble;

  std::uint32_t most = NodeId::kNone;
  double largest = 0, next = 0;
  for (const auto& [host, grown] : by_host) {
    if (grown > largest) {
      next = std::exchange(largest, grown);
      most = host;
    } else {
      next = std::max(next, grown);
    }
  }
  const auto many = std::count_if(ways.begin(), ways.end(), [&](const auto& way) {
    return way.second.all > kOneWaysShare * all.all;
  });
  const bool everywhere = largest > 0 && largest < kNoHostsShare * all.all && many >= kManyWays;
  const bool in_front = alone && in.all >= kWayInShare * all.all &&
                        in.reply <= kWayInReplies * in.all && slow >= kFewLate;
  trouble.nobodys = everywhere || in_front;
  if (!trouble.nobodys && largest >= kOneHostsShare * all.all && largest > 1.1 * next) {
    trouble.host = most;
  }
  return trouble;
}

std::uint32_t WhomTheyWaitFor(const Pool& pool, std::uint32_t service) {
  const std::size_t services = pool.excess.size();
  std::vector<Workers> workers(services);
  std::map<Ends, Waiting> calls;
  for (std::size_t c = 0; c < pool.now.size(); ++c) {
    for (std::size_t s = 0; s < services; ++s) {
      workers[s].works += pool.now[c].works[s];
      workers[s].waits += pool.now[c].waits[s];
    }
    for (const auto& [ends, now] : pool.now[c].links) {
      if (ends.first >= services || ends.second >= services) continue;
      Waiting& waiting = calls[ends];
      waiting.now += now.answered + now.given_up + now.failed;
      workers[ends.second].unanswered += now.given_up;
      const auto usual = pool.usual[c].links.find(ends);
      if (usual == pool.usual[c].links.end() || usual->second.answers < kFewVisits) continue;
      waiting.usual +=
          (now.answers + now.give_ups + now.fails) * usual->second.answered / usual->second.answers;
    }
  }
  std::vector<std::uint32_t> trail = {service};
  while (trail.size() <= services) {
    const std::uint32_t at = trail.back();
    const Workers& here = workers[at];
    if (here.works > kWorkersWork * (here.works + here.waits)) break;
    double all = 0, most = 0;
    std::uint32_t next = at;
    for (auto call = calls.lower_bound({at, 0}); call != calls.end() && call->first.first == at;
         ++call) {
      const double growth = call->second.growth();
      all += std::max(growth, 0.0);
      if (growth > most && growth > 0.5 * call->second.usual) {
        most = growth;
        next = call->first.second;
      }
    }
    if (next == at || most < kOneWaitsShare * all) break;
    if (at == service && all < kAccountsFor * pool.excess[at]) break;
    const auto circle = std::find(trail.begin(), trail.end(), next);
    if (circle != trail.end()) {
      return *std::max_element(circle, trail.end(), [&](std::uint32_t a, std::uint32_t b) {
        return workers[a].unanswered < workers[b].unanswered;
      });
    }
    trail.push_back(next);
  }
  return trail.back();
}

}  // namespace internal
SEER_END_NAMESPACE
