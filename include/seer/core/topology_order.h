// Flow: Topology -> [OrderServices] -> TopologyOrder
//
// The services in a line, from the back end to the front end: callees before their callers, and
// each as close to those it calls as the others allow. A convolution over the services sees only
// neighbours, so a culprit and the services that it drags along should be neighbours.
//
//   seer::TopologyOrder order = seer::OrderServices(topology);
//   for (seer::ServiceId id : order.services) { /* memcached, mongodb, ..., logic, ..., nginx */ }
//   std::uint32_t row = order.rank[id.index()];
//
// Where services call each other in a circle no order puts all callees first: the edges that close
// a circle, seen from where requests enter, are left out (`closing_edges`). Among the orders that
// remain, one with a small total edge length is sought; the least is NP-hard to find. For trees of
// calls it is found; for random graphs of up to 14 services the result was within 0.2 % of it on
// average, and at most 16 % above it.
//
// Threads: a pure function; the same topology gives the same order everywhere.
// Cost:    O((services + edges) log), about 4 ms for 10,000 services with 40,000 edges. What small
//          graphs leave of a fixed amount of work (2 ms) is spent on a shorter order. No recursion.
#pragma once

#include <cstdint>
#include <vector>

#include "seer/core/config.h"
#include "seer/core/ids.h"
#include "seer/core/topology.h"

SEER_BEGIN_NAMESPACE

struct TopologyOrder {
  static constexpr std::uint32_t kNoRank = 0xffffffffu;

  std::vector<ServiceId> services;    // the live ones, back end first
  std::vector<std::uint32_t> rank;    // by ServiceId: index in `services`; kNoRank for a tombstone
  std::vector<EdgeId> closing_edges;  // the edges whose caller stands before its callee, by id
  std::vector<std::vector<ServiceId>>
      cycles;                         // sets of 2 and more that all reach each other, by id
  std::vector<ServiceId> self_calls;  // services that call themselves, by id
  // Sum of |rank(caller) - rank(callee)| over the live edges between services.
  std::uint64_t total_edge_length = 0;
};

TopologyOrder OrderServices(const Topology& topology);

SEER_END_NAMESPACE
