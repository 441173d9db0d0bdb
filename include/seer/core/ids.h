// Flow: (every stage) dense ids: the numbers by which the values refer to each other
//
// An id is an index into a table of a Topology (topology.h), counted from 0. Nodes number what they
// see locally; the control plane maps names to ids of its own. An id means something only together
// with the epoch of the topology that gave it: within an epoch an id is never given twice.
//
//   seer::ServiceId id(3);
//   depth[id.index()] += 1;
//   if (!edge.caller.valid()) { /* the edge from outside: its caller is the virtual client */ }
//
// Threads: plain values. Cost: four bytes, every operation inline.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>

#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE

template <typename Tag>
class Id {
 public:
  static constexpr std::uint32_t kNone = 0xffffffffu;

  constexpr Id() = default;  // none
  constexpr explicit Id(std::uint32_t value) : value_(value) {}

  constexpr bool valid() const { return value_ != kNone; }
  constexpr std::uint32_t value() const { return value_; }
  // The id as an index. The id must be valid.
  constexpr std::size_t index() const {
    SEER_DCHECK(valid());
    return value_;
  }

  friend constexpr bool operator==(Id a, Id b) { return a.value_ == b.value_; }
  friend constexpr bool operator!=(Id a, Id b) { return a.value_ != b.value_; }
  friend constexpr bool operator<(Id a, Id b) { return a.value_ < b.value_; }
  template <typename H>
  friend H AbslHashValue(H h, Id id) {
    return H::combine(std::move(h), id.value_);
  }

 private:
  std::uint32_t value_ = kNone;
};

using NodeId = Id<struct NodeTag>;          // a machine
using ServiceId = Id<struct ServiceTag>;    // a microservice
using InstanceId = Id<struct InstanceTag>;  // a replica of a service: a process or container
using EdgeId = Id<struct EdgeTag>;          // caller service -> callee service
using ClassId = Id<struct ClassTag>;        // a request class of an application, with its target
using MethodId = Id<struct MethodTag>;      // an RPC method of a service

SEER_END_NAMESPACE

template <typename Tag>
struct std::hash<seer::Id<Tag>> {
  std::size_t operator()(seer::Id<Tag> id) const noexcept {
    return std::hash<std::uint32_t>()(id.value());
  }
};
