// Flow: (internal) one sweep over an order of services, which shortens it (topology_order.cc, step
// 3)
//
//   Sweep sweep(before, weight);
//   sweep.Run(order);   // a permutation of 0 ... n-1 that respects `before`: still does, and the
//                       // sum of weight[order[i]] * i has not grown
//
// Threads: one at a time; a Sweep is scratch space for one graph in one direction.
// Cost:    O((nodes + edges) log), no allocation in Run after the first.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE
namespace internal {

using Index = std::uint32_t;
inline constexpr Index kNone = 0xffffffffu;
// Adjacency lists in two arrays: those of x are ends[begin[x]] ... ends[begin[x + 1] - 1].
struct Adjacency {
  std::vector<Index> begin;
  std::vector<Index> ends;

  template <typename From, typename To>
  static Adjacency Of(Index nodes, Index edges, const From& from, const To& to) {
    Adjacency a;
    a.begin.assign(std::size_t{nodes} + 1, 0);
    a.ends.resize(edges);
    for (Index e = 0; e < edges; ++e) ++a.begin[from(e) + 1];
    for (Index x = 0; x < nodes; ++x) a.begin[x + 1] += a.begin[x];
    // begin[x] serves as the next free place of x, and ends up as begin[x + 1].
    for (Index e = 0; e < edges; ++e) a.ends[a.begin[from(e)]++] = to(e);
    for (Index x = nodes; x > 0; --x) a.begin[x] = a.begin[x - 1];
    if (nodes > 0) a.begin[0] = 0;
    return a;
  }
};

// During a sweep the services taken so far stand in blocks, and the blocks in the order of falling
// mean weight; equal ones in the order in which they were formed (`stamp`). So nothing is ever
// moved about: a block's mean says where it stands. A new service goes as far forward as its mean
// takes it, unless the last of the blocks that it must follow stands behind that place: then it
// joins that block at its end, whose mean rises by that, and the same question is asked of the
// whole.
//
// The blocks to follow wait in a heap for each block (a pairing heap over the adjacency entries,
// the last-standing block on top). A block only ever moves forward, so keys may be out of date in
// one direction only and are refreshed when they come to the top.
class Sweep {
 public:
  // `before`: of each service those that must stand before it.
  Sweep(const Adjacency& before, std::vector<std::int32_t> weight)
      : before_(before), weight_(std::move(weight)) {
    blocks_.resize(weight_.size());
    leader_.resize(weight_.size());
    follower_.resize(weight_.size());
    asked_.resize(weight_.size());
    entries_.resize(before_.ends.size());
  }

  void Run(std::vector<Index>& order) {
    std::fill(asked_.begin(), asked_.end(), kNone);
    for (Index step = 0; step < order.size(); ++step) Take(order[step], step);
    ranked_.clear();
    for (Index x : order) {
      if (leader_[x] == x) ranked_.push_back(x);
    }
    std::sort(ranked_.begin(), ranked_.end(),
              [this](Index a, Index b) { return Behind(PlaceOf(b), PlaceOf(a)); });
    order.clear();
    for (Index block : ranked_) {
      for (Index x = blocks_[block].first; x != kNone; x = follower_[x]) order.push_back(x);
    }
  }

 private:
  // Where a block stands. The mean is exact enough: two different quotients of such small numbers
  // (sums of weights and counts up to 2^21) differ by more than the rounding of a double.
  struct Place {
    double mean;
    Index stamp;
  };
  static bool Behind(const Place& a, const Place& b) {
    return a.mean != b.mean ? a.mean < b.mean : a.stamp > b.stamp;
  }

  struct Block {
    double mean;
    std::int64_t weight;
    Index size;
    Index stamp;
    Index first;  // its services, linked by follower_
    Index last;
    Index heap;  // entry on top, or kNone
  };

  struct Entry {
    Place place;  // of the block to be followed, when last asked
    Index child;
    Index sibling;
  };

  Index Leader(Index x) {
    while (leader_[x] != x) {
      leader_[x] = leader_[leader_[x]];
      x = leader_[x];
    }
    return x;
  }
  Place PlaceOf(Index block) const { return {blocks_[block].mean, blocks_[block].stamp}; }

  void Take(Index x, Index step) {
    Block& single = blocks_[x];
    single.weight = weight_[x];
    single.mean = weight_[x];
    single.size = 1;
    single.first = single.last = x;
    single.heap = kNone;
    leader_[x] = x;
    follower_[x] = kNone;
    for (Index e = before_.begin[x]; e < before_.begin[x + 1]; ++e) {
      const Index ahead = Leader(before_.ends[e]);
      if (asked_[ahead] == x) continue;  // one entry for each block is enough
      asked_[ahead] = x;
      entries_[e] = {PlaceOf(ahead), kNone, kNone};
      single.heap = Meld(single.heap, e);
    }
    Index block = x;
    for (;;) {
      const Index ahead = LastToFollow(block);
      if (ahead == kNone || blocks_[ahead].mean >= blocks_[block].mean) break;
      block = Join(ahead, block);
    }
    blocks_[block].stamp = step;
  }

  // The last-standing block that `block` must follow, or kNone.
  Index LastToFollow(Index block) {
    Index& heap = blocks_[block].heap;
    while (heap != kNone) {
      Entry& top = entries_[heap];
      const Index ahead = Leader(before_.ends[heap]);
      if (ahead == block) {  // inside by now
        heap = WithoutTop(heap);
        continue;
      }
      const Place place = PlaceOf(ahead);
      if (place.mean == top.place.mean && place.stamp == top.place.stamp) return ahead;
      const Index entry = heap;
      heap = WithoutTop(heap);
      top.place = place;
      top.child = top.sibling = kNone;
      heap = Meld(heap, entry);
    }
    return kNone;
  }

  // Appends `b` to `a`; the larger one leads, which keeps the ways to the leader short.
  Index Join(Index a, Index b) {
    Block joined;
    joined.weight = blocks_[a].weight + blocks_[b].weight;
    joined.size = blocks_[a].size + blocks_[b].size;
    joined.mean = static_cast<double>(joined.weight) / joined.size;
    joined.stamp = 0;
    joined.first = blocks_[a].first;
    joined.last = blocks_[b].last;
    follower_[blocks_[a].last] = blocks_[b].first;
    joined.heap = blocks_[a].heap == kNone   ? blocks_[b].heap
                  : blocks_[b].heap == kNone ? blocks_[a].heap
                                             : Meld(blocks_[a].heap, blocks_[b].heap);
    const Index leader = blocks_[a].size >= blocks_[b].size ? a : b;
    leader_[a] = leader_[b] = leader;
    blocks_[leader] = joined;
    return leader;
  }

  // ---- Pairing heap. `b` is not empty.

  Index Meld(Index a, Index b) {
    if (a == kNone) return b;
    if (Behind(entries_[b].place, entries_[a].place)) std::swap(a, b);
    entries_[b].sibling = entries_[a].child;
    entries_[a].child = b;
    return a;
  }

  Index WithoutTop(Index heap) {
    // Melds the children in pairs from left to right, then the pairs from right to left.
    Index pairs = kNone;
    for (Index next = entries_[heap].child; next != kNone;) {
      const Index a = next;
      const Index b = entries_[a].sibling;
      next = b == kNone ? kNone : entries_[b].sibling;
      entries_[a].sibling = kNone;
      if (b != kNone) entries_[b].sibling = kNone;
      const Index pair = b == kNone ? a : Meld(a, b);
      entries_[pair].sibling = pairs;
      pairs = pair;
    }
    Index top = kNone;
    while (pairs != kNone) {
      const Index next = entries_[pairs].sibling;
      entries_[pairs].sibling = kNone;
      top = Meld(top, pairs);
      pairs = next;
    }
    return top;
  }

  const Adjacency& before_;
  const std::vector<std::int32_t> weight_;
  std::vector<Block> blocks_;    // by leader
  std::vector<Index> leader_;    // union-find
  std::vector<Index> follower_;  // the next service of the same block
  std::vector<Index> asked_;     // by leader: the last service that must follow it
  std::vector<Entry> entries_;   // parallel to before_.ends
  std::vector<Index> ranked_;
};

}  // namespace internal
SEER_END_NAMESPACE
