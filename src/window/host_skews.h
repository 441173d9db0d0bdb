// How far the clocks of pairs of hosts are apart, from calls between them. Private to the room.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "seer/core/config.h"
#include "seer/window/span_interval.h"
#include "seer/window/trace_assembler.h"

SEER_BEGIN_NAMESPACE
namespace internal {

class HostSkews {
 public:
  explicit HostSkews(std::size_t max_pairs) : max_pairs_(max_pairs) {}

  // A call as both sides saw it.
  void Observe(const SpanInterval& client, const SpanInterval& server);
  std::optional<HostSkew> Of(NodeId client, NodeId server) const;
  std::vector<HostSkew> All() const;

 private:
  // Bounds of the difference from the last calls: of this block of calls and of the one before, so
  // that clocks may drift and one wrong call is forgotten.
  struct Bounds {
    std::int64_t low_ns = INT64_MIN, high_ns = INT64_MAX;
    std::uint32_t calls = 0;
    void Add(std::int64_t low, std::int64_t high);
  };
  struct Pair {
    Bounds now, before;
    std::uint64_t calls = 0, impossible = 0;
  };
  static HostSkew Estimate(NodeId client, NodeId server, const Pair& pair);

  std::size_t max_pairs_;
  std::map<std::pair<std::uint32_t, std::uint32_t>, Pair> pairs_;
};

}  // namespace internal
SEER_END_NAMESPACE
