// What every predictor asks of a tick before it looks at it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "seer/core/config.h"
#include "seer/core/internal/state_io.h"
#include "seer/core/tick.h"
#include "seer/core/topology.h"
#include "seer/window/cluster_tick.h"

SEER_BEGIN_NAMESPACE
namespace internal {

class TickOrder {
 public:
  // InvalidArgument as TickPredictor::Observe().
  absl::Status Check(const ClusterTick& tick, const Topology& topology) const;

  // Whether nothing that was learnt holds for this tick: the first one, or one of another period
  // or numbering, or with fewer rows.
  bool IsAnew(const ClusterTick& tick, const Topology& topology) const {
    return !started_ || period_ != tick.period || epoch_ != topology.origin().epoch ||
           services_ > topology.services().size() || classes_ > topology.classes().size();
  }
  // Whether the rows are others than with the last tick.
  bool RowsChanged(const Topology& topology) const {
    return !started_ || version_ != topology.version();
  }
  // Ticks that were left out since the last one.
  double Gap(const ClusterTick& tick) const {
    return started_ ? static_cast<double>(tick.tick) - static_cast<double>(last_) - 1 : 0;
  }
  void Advance(const ClusterTick& tick, const Topology& topology);
  void Reset() { *this = TickOrder(); }
  void State(StateIo& io);
  // What is loaded may not claim to be of a version that is yet to come.
  bool IsOf(const Topology& topology) const {
    return started_ && epoch_ == topology.origin().epoch;
  }
  bool IsAhead(const Topology& topology) const { return version_ > topology.version(); }
  bool started() const { return started_; }

 private:
  bool started_ = false;
  Tick last_ = 0;
  TickPeriod period_;
  std::uint64_t epoch_ = 0;
  std::uint64_t version_ = 0;
  std::size_t services_ = 0;
  std::size_t classes_ = 0;
};

// Times that are told or loaded have to be such that differences of two fit into 64 bits.
inline bool IsTime(std::int64_t ns) {
  constexpr std::int64_t kMost = std::int64_t{1} << 62;
  return ns >= -kMost / 2 && ns <= kMost;
}
inline void RequireTime(StateIo& io, std::int64_t ns) {
  io.Require(IsTime(ns), "a time that is nobody's");
}

// Several such times, each of which belongs to whoever holds this.
template <std::size_t kCount>
struct Times {
  std::int64_t* const each[kCount];

  void State(StateIo& io) const {
    for (std::int64_t* const time : each) {
      io(*time);
      RequireTime(io, *time);
    }
  }
  // A clock that was put back: what was to wait until then waits no longer than from now on.
  void NotLaterThan(std::int64_t now_ns) const {
    for (std::int64_t* const time : each) *time = *time < now_ns ? *time : now_ns;
  }
};

}  // namespace internal
SEER_END_NAMESPACE
