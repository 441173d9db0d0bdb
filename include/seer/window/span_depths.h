// Flow: SpanInterval -> [SpanDepths] -> ClusterTick
//
// Queue depths out of traces: how many requests stood where, at each tick's end and on average over
// each tick, from the times between which they did. From files and online alike.
//
//   seer::SpanDepths depths(options, &topology, [&](const seer::ClusterTick& tick) {
//     builder.Push(tick);
//   });
//   for (const seer::SpanInterval& interval : intervals) depths.Add(interval);
//   depths.AdvanceTo(clock.NowNs());   // online: time passes although nothing comes
//   depths.Finish();                   // a file: there is no more
//
// What is counted, for an interval [start, end):
//   outbound  of an edge: the intervals that callers recorded. The edge from outside takes those of
//             the callee where nobody outside records; other edges only with
//             `servers_stand_for_callers`.
//   queued    of a service: from arrival to when a worker took it, where the spans tell.
//   running   of a service: from then to the reply; as the callee recorded it.
//   blocked   of a service: requests with a synchronous call open: for each request the union of
//   its
//             calls, so that calls in parallel are one. A call belongs to its parent by id; without
//             ids to the latest started request of its caller, in the same trace, that contains it.
//   self      is outstanding less blocked: SelfDepths() in cluster_tick.h.
//   classes   requests that ended, how long they took, how many were slower than the target, the
//             age of the oldest that is open.
// The depth at a tick's end counts what started before and did not end before it; so depth = depth
// before + arrivals - departures. The mean is exact to the nanosecond, whatever the order of input.
//
// Order. A tick is given when `reorder_ns` have passed since its end, by the latest start that was
// seen or AdvanceTo(): spans come when they end, so this bounds how long a call may take and still
// be seen whole. What comes later counts in the ticks that are still open, and in `late`.
//
// Missing. A row is covered from its first interval on, and an edge as soon as its caller records
// calls at all (CoverFrom() can say otherwise: a recording that is known to be whole is covered
// from its start). AddGap() says that spans were lost; so does `max_parts`, when it is reached; and
// `silence_ns`. A row that is not covered is missing, not zero.
//
// Threads: one at a time; the sink is called from Add, AdvanceTo and Finish, and must not call
// back. Cost: about 100 ns an interval (benchmarks/window); 72 bytes for each tick an interval
// touches, of ticks not yet given; at most max_parts of them. A tick's sum: services + edges + its
// intervals.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "seer/core/config.h"
#include "seer/core/ids.h"
#include "seer/core/tick.h"
#include "seer/core/topology.h"
#include "seer/window/cluster_tick.h"
#include "seer/window/span_interval.h"

SEER_BEGIN_NAMESPACE

struct SpanDepthsOptions {
  TickPeriod period;
  std::int64_t reorder_ns = 10'000'000'000;  // 0 to 10 min
  std::size_t max_parts = 1 << 20;
  // Nothing at all for so long is a gap in the recording, not idleness; 0: never. At most
  // reorder_ns is seen of it in time.
  std::int64_t silence_ns = 0;
  bool servers_stand_for_callers = false;
  // An interval that is so far ahead of all others is set aside: one wrong clock must not end all
  // ticks. When 16 in a row are, time has gone on, and the ticks between are not given.
  std::int64_t max_jump_ns = 3'600'000'000'000;
};

struct SpanDepthsStats {
  std::uint64_t intervals = 0;
  std::uint64_t late = 0;           // wholly or in part in ticks that were given already
  std::uint64_t negative = 0;       // ended before they started: ignored
  std::uint64_t far_ahead = 0;      // set aside and never taken up
  std::uint64_t parts_dropped = 0;  // (interval, tick) beyond max_parts: those ticks are missing
  std::uint64_t orphans = 0;        // calls without ids that no request of their caller contains
  std::uint64_t ticks = 0;          // given
  std::uint64_t jumps = 0;          // of time, over ticks that were not given
};

class SpanDepths {
 public:
  using TickSink = std::function<void(const ClusterTick&)>;

  // The topology is read whenever a tick is given, may grow in between, and outlives this.
  SpanDepths(const SpanDepthsOptions& options, const Topology* topology, TickSink sink);
  ~SpanDepths();
  SpanDepths(SpanDepths&&) noexcept;
  SpanDepths& operator=(SpanDepths&&) noexcept;

  // The first tick to give, also if nothing is in it; before the first Add().
  void StartAt(Tick first);

  void Add(const SpanInterval& interval);
  void AdvanceTo(std::int64_t now_ns);
  // Gives all ticks up to the end of the last interval. Nothing may be added afterwards.
  void Finish();

  // ---- What is covered.

  // These rows are recorded from a moment on, although no interval shows it yet. What a service
  // records as kServer are the requests it serves, as kClient the calls it makes; an edge: the
  // calls that its caller records.
  void CoverFrom(ServiceId service, SpanSide side, std::int64_t since_ns);
  void CoverFrom(EdgeId edge, std::int64_t since_ns);
  void CoverFrom(ClassId request_class, std::int64_t since_ns);
  // Spans of [from, to) were lost: of one service (its own and its calls), or of all.
  void AddGap(ServiceId service, std::int64_t from_ns, std::int64_t to_ns);
  void AddGap(std::int64_t from_ns, std::int64_t to_ns);

  const SpanDepthsStats& stats() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

SEER_END_NAMESPACE
