// Flow: (every stage) who gave the ids that a value carries
//
// A node numbers the services it sees by itself; the control plane has a numbering of its own. So a
// value that carries ids (Topology, Snapshot, SpanBatch, HwReading) says whose ids they are. Two
// values speak of the same ids when node and epoch are equal; the version only tells how much of
// the numbering existed when the value was made.
//
//   if (!snapshot.origin.SameNumbering(topology.origin())) { /* ask that node for its topology */ }
//
// Threads: plain values. Cost: none.
#pragma once

#include <cstdint>
#include <string>

#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE

struct Origin {
  std::string node;  // name of the node that numbered; empty: the control plane's own numbering
  std::uint64_t epoch = 0;  // one life of that numbering; ids of two epochs are unrelated
  std::uint64_t topology_version = 0;  // counts the changes of the topology within the epoch

  bool SameNumbering(const Origin& other) const {
    return epoch == other.epoch && node == other.node;
  }

  friend bool operator==(const Origin& a, const Origin& b) {
    return a.SameNumbering(b) && a.topology_version == b.topology_version;
  }
  friend bool operator!=(const Origin& a, const Origin& b) { return !(a == b); }
};

SEER_END_NAMESPACE
