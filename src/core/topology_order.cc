// How the order is found.
//
// 1. One depth-first search from where requests enter finds the strongly connected components
//    (Tarjan) and the closing edges: those that lead back into the path of calls that is being
//    followed. Without them the graph is acyclic and the post-order of the search is a valid order.
//
// 2. The length of an edge is rank(caller) - rank(callee); of a closing edge the reverse, for its
//    callee calls, through others, its caller, and so stands behind it in every valid order. So the
//    total length is the sum of weight(x) * rank(x), where weight(x) counts the edges of which x is
//    the end that stands behind, less those of which it is the end that stands before.
//
// 3. That is the scheduling problem 1|prec|sum w_j C_j with unit times. If A stands directly before
//    B and no service of B must follow one of A, exchanging them pays if and only if B has the
//    greater mean weight. A sweep (class Sweep) takes the services in their present order and lets
//    each move forward past everything of a smaller mean that it need not follow; where it must
//    follow, the two join into one block, which moves on together. Each move shortens the total, so
//    sweeps never make an order worse. A sweep from the back, with the signs reversed, finds what
//    the other cannot; they alternate until they hardly help. For trees of calls one of the two is
//    exact: there it does what the algorithms of Horn (1972) and Lawler (1978) do.
//
// 4. Other graphs have local minima. So the best order is shaken (class Improver, Shaken) and swept
//    again, as often as a fixed amount of work allows: two hundred times for thirty services, a few
//    times for a thousand, not at all for ten thousand.
#include "seer/core/topology_order.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "core/order_sweep.h"

SEER_BEGIN_NAMESPACE

namespace {

using internal::Adjacency;
using internal::Index;
using internal::kNone;
using internal::Sweep;

constexpr int kMaxRounds = 16;  // of sweeps; each but the last shortens the order by 1/kMinGain
constexpr std::int64_t kMinGain = 500;
// Work for one topology, in services and calls looked at by a sweep: some 15 ns each.
constexpr std::int64_t kMaxWork = 150'000;
constexpr int kMaxShakes = 200;

struct Call {
  Index caller;
  Index callee;
};

// The live services, numbered from 0 in the order of their ids, and the calls between them.
struct CallGraph {
  std::vector<ServiceId> ids;
  std::vector<Call> calls;
  std::vector<EdgeId> call_ids;
  std::vector<std::uint8_t> is_entry;
  std::vector<ServiceId> self_calls;

  explicit CallGraph(const Topology& topology) {
    const auto services = topology.services();
    std::vector<Index> number(services.size(), kNone);
    ids.reserve(topology.live_services());
    for (Index i = 0; i < services.size(); ++i) {
      if (services[i].removed) continue;
      number[i] = static_cast<Index>(ids.size());
      ids.emplace_back(i);
    }
    std::vector<std::uint8_t> called_outside(ids.size(), 0);
    std::vector<std::uint8_t> called_inside(ids.size(), 0);
    calls.reserve(topology.live_edges());
    call_ids.reserve(topology.live_edges());
    const auto edges = topology.edges();
    for (Index i = 0; i < edges.size(); ++i) {
      const Edge& edge = edges[i];
      if (edge.removed) continue;
      const Index callee = number[edge.callee.index()];
      if (!edge.caller.valid()) {
        called_outside[callee] = 1;
      } else if (edge.caller == edge.callee) {
        self_calls.push_back(edge.callee);
      } else {
        called_inside[callee] = 1;
        calls.push_back({number[edge.caller.index()], callee});
        call_ids.emplace_back(i);
      }
    }
    std::sort(self_calls.begin(), self_calls.end());
    is_entry.resize(ids.size());
    for (Index x = 0; x < ids.size(); ++x) is_entry[x] = called_outside[x] || !called_inside[x];
  }

  Index size() const { return static_cast<Index>(ids.size()); }
};

// Step 1.
struct Search {
  std::vector<Index> post_order;         // callees first
  std::vector<std::uint8_t> is_closing;  // by call
  std::vector<std::vector<ServiceId>> cycles;

  explicit Search(const CallGraph& graph)
      : is_closing(graph.calls.size(), 0),
        graph_(graph),
        out_(Adjacency::Of(
            graph.size(), static_cast<Index>(graph.calls.size()),
            [&graph](Index e) { return graph.calls[e].caller; }, [](Index e) { return e; })),
        seen_(graph.size(), 0),
        low_(graph.size(), 0),
        state_(graph.size(), kUnseen),
        next_(out_.begin.begin(), out_.begin.end() - 1) {
    post_order.reserve(graph.size());
    for (Index x = 0; x < graph.size(); ++x) {
      if (graph.is_entry[x]) From(x);
    }
    for (Index x = 0; x < graph.size(); ++x) From(x);
    std::sort(cycles.begin(), cycles.end());
  }

 private:
  enum State : std::uint8_t { kUnseen, kOnPath, kOpen, kDone };

  void From(Index root) {
    if (state_[root] != kUnseen) return;
    Enter(root);
    while (!path_.empty()) {
      const Index x = path_.back();
      if (next_[x] == out_.begin[x + 1]) {
        path_.pop_back();
        Leave(x);
        if (!path_.empty()) low_[path_.back()] = std::min(low_[path_.back()], low_[x]);
        continue;
      }
      const Index call = out_.ends[next_[x]++];
      const Index y = graph_.calls[call].callee;
      if (state_[y] == kUnseen) {
        Enter(y);
      } else if (state_[y] != kDone) {
        is_closing[call] = state_[y] == kOnPath;
        low_[x] = std::min(low_[x], seen_[y]);
      }
    }
  }

  void Enter(Index x) {
    seen_[x] = low_[x] = ++clock_;
    state_[x] = kOnPath;
    path_.push_back(x);
    open_.push_back(x);
  }

  // Off the path; with the first member of a component, the component is complete.
  void Leave(Index x) {
    post_order.push_back(x);
    state_[x] = kOpen;
    if (low_[x] != seen_[x]) return;
    std::size_t first = open_.size();
    do {
      state_[open_[--first]] = kDone;
    } while (open_[first] != x);
    if (open_.size() - first > 1) {
      std::vector<ServiceId> cycle;
      for (std::size_t i = first; i < open_.size(); ++i) cycle.push_back(graph_.ids[open_[i]]);
      std::sort(cycle.begin(), cycle.end());
      cycles.push_back(std::move(cycle));
    }
    open_.resize(first);
  }

  const CallGraph& graph_;
  Adjacency out_;  // of each service the calls it makes
  std::vector<Index> seen_;
  std::vector<Index> low_;
  std::vector<State> state_;
  std::vector<Index> next_;  // of each service the next call to follow
  std::vector<Index> path_;
  std::vector<Index> open_;  // Tarjan's stack: seen, component not complete
  Index clock_ = 0;
};

// Steps 3 and 4. The services are numbered so that 0, 1, 2, ... is a valid order.
class Improver {
 public:
  // `pairs`: the caller stands behind the callee in every valid order.
  Improver(Index nodes, const std::vector<Call>& pairs)
      : nodes_(nodes),
        before_(Adjacency::Of(
            nodes, static_cast<Index>(pairs.size()), [&pairs](Index e) { return pairs[e].caller; },
            [&pairs](Index e) { return pairs[e].callee; })),
        after_(Adjacency::Of(
            nodes, static_cast<Index>(pairs.size()), [&pairs](Index e) { return pairs[e].callee; },
            [&pairs](Index e) { return pairs[e].caller; })),
        weight_(Weights(before_, after_)),
        forward_(before_, weight_),
        backward_(after_, Weights(after_, before_)) {}

  // A short order.
  std::vector<Index> Run() {
    std::vector<Index> best(nodes_);
    for (Index x = 0; x < nodes_; ++x) best[x] = x;
    std::int64_t shortest = Polish(best);
    for (int shake = 0; shake < kMaxShakes && work_ < kMaxWork && shortest > 0; ++shake) {
      std::vector<Index> order = Shaken(best, shake);
      const std::int64_t length = Polish(order);
      if (length < shortest) {
        shortest = length;
        best.swap(order);
      }
    }
    return best;
  }

  std::int64_t Length(const std::vector<Index>& order) const {
    std::int64_t sum = 0;
    for (Index i = 0; i < nodes_; ++i) sum += std::int64_t{weight_[order[i]]} * i;
    return sum;
  }

 private:
  static std::vector<std::int32_t> Weights(const Adjacency& before, const Adjacency& after) {
    std::vector<std::int32_t> weight(before.begin.size() - 1);
    for (Index x = 0; x < weight.size(); ++x) {
      weight[x] = static_cast<std::int32_t>(before.begin[x + 1] - before.begin[x]) -
                  static_cast<std::int32_t>(after.begin[x + 1] - after.begin[x]);
    }
    return weight;
  }

  // Sweeps until they hardly help. Returns the length.
  std::int64_t Polish(std::vector<Index>& order) {
    std::int64_t length = Length(order);
    for (int round = 0; round < kMaxRounds; ++round) {
      forward_.Run(order);
      std::reverse(order.begin(), order.end());
      backward_.Run(order);
      std::reverse(order.begin(), order.end());
      work_ += 2 * (std::int64_t{nodes_} + static_cast<std::int64_t>(before_.ends.size()));
      const std::int64_t before = std::exchange(length, Length(order));
      if (before - length <= length / kMinGain || work_ >= kMaxWork) break;
    }
    return length;
  }

  // Another valid order, which resembles `order`: each service is drawn to the middle of its
  // neighbours and pushed about at random, by less or by more from shake to shake.
  std::vector<Index> Shaken(const std::vector<Index>& order, int shake) {
    // In 2^-20 of a place. Whole numbers, so that every machine finds the same order. The sum of
    // a neighbourhood fits: 2^20 places of 2^20 services at most, 2^20 each.
    constexpr int kShift = 20;
    constexpr int kDraws[] = {3, 10, 1, 0};
    std::vector<std::uint64_t> place(nodes_);
    std::vector<std::uint64_t> drawn(nodes_);
    for (Index i = 0; i < nodes_; ++i) place[order[i]] = std::uint64_t{i} << kShift;
    for (int draw = 0; draw < kDraws[shake % 4]; ++draw) {
      for (Index x = 0; x < nodes_; ++x) {
        std::uint64_t sum = place[x];
        for (Index e = before_.begin[x]; e < before_.begin[x + 1]; ++e) {
          sum += place[before_.ends[e]];
        }
        for (Index e = after_.begin[x]; e < after_.begin[x + 1]; ++e) sum += place[after_.ends[e]];
        drawn[x] = sum / (1 + before_.begin[x + 1] - before_.begin[x] + after_.begin[x + 1] -
                          after_.begin[x]);
      }
      place.swap(drawn);
    }
    const std::uint64_t push = (std::uint64_t{nodes_} << kShift) >> (3 - shake / 4 % 4);
    if (shake > 2) {
      for (Index x = 0; x < nodes_; ++x) place[x] += Random() % (push + 1);
    }

    // By place, as far as what must stand before allows.
    const auto later = [&place](Index a, Index b) {
      return place[a] != place[b] ? place[a] > place[b] : a > b;
    };
    std::vector<Index> missing(nodes_);
    std::vector<Index> ready;
    for (Index x = 0; x < nodes_; ++x) {
      missing[x] = before_.begin[x + 1] - before_.begin[x];
      if (missing[x] == 0) ready.push_back(x);
    }
    std::make_heap(ready.begin(), ready.end(), later);
    std::vector<Index> shaken;
    shaken.reserve(nodes_);
    while (!ready.empty()) {
      std::pop_heap(ready.begin(), ready.end(), later);
      const Index x = ready.back();
      ready.pop_back();
      shaken.push_back(x);
      for (Index e = after_.begin[x]; e < after_.begin[x + 1]; ++e) {
        if (--missing[after_.ends[e]] > 0) continue;
        ready.push_back(after_.ends[e]);
        std::push_heap(ready.begin(), ready.end(), later);
      }
    }
    return shaken;
  }

  // Xorshift: enough to shake with, and the same everywhere.
  std::uint64_t Random() {
    random_ ^= random_ << 13;
    random_ ^= random_ >> 7;
    random_ ^= random_ << 17;
    return random_;
  }

  const Index nodes_;
  const Adjacency before_;  // of each service those that must stand before it
  const Adjacency after_;
  const std::vector<std::int32_t> weight_;
  Sweep forward_;
  Sweep backward_;
  std::int64_t work_ = 0;
  std::uint64_t random_ = 88172645463325252u;
};

}  // namespace

TopologyOrder OrderServices(const Topology& topology) {
  const CallGraph graph(topology);
  Search search(graph);
  const Index n = graph.size();
  const auto calls = static_cast<Index>(graph.calls.size());

  // From here on services are numbered by their place in the post-order: what is close in the order
  // is then close in memory.
  std::vector<Index> number(n);
  for (Index i = 0; i < n; ++i) number[search.post_order[i]] = i;
  std::vector<Call> pairs(calls);
  for (Index e = 0; e < calls; ++e) {
    pairs[e] = {number[graph.calls[e].caller], number[graph.calls[e].callee]};
    if (search.is_closing[e]) std::swap(pairs[e].caller, pairs[e].callee);
  }
  Improver improver(n, pairs);
  const std::vector<Index> order = improver.Run();

  TopologyOrder result;
  result.rank.assign(topology.services().size(), TopologyOrder::kNoRank);
  result.services.reserve(n);
  for (Index i = 0; i < n; ++i) {
    const ServiceId id = graph.ids[search.post_order[order[i]]];
    result.services.push_back(id);
    result.rank[id.index()] = i;
  }
  for (Index e = 0; e < calls; ++e) {
    if (search.is_closing[e]) result.closing_edges.push_back(graph.call_ids[e]);
  }
  result.cycles = std::move(search.cycles);
  result.self_calls = graph.self_calls;
  result.total_edge_length = static_cast<std::uint64_t>(improver.Length(order));
  return result;
}

SEER_END_NAMESPACE
