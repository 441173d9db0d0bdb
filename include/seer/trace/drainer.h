// Flow: SpanRecorder -> [SpanDrainer] -> SpanBatch -> TraceSink
//
// Empties the rings of a recorder: raw stamps become unix time, rows of the recorder's tables
// become ids of a Topology, and batches go to a sink. Somebody calls Drain() every tick or so.
//
//   auto drainer = seer::SpanDrainer::Create(seer::SpanRecorder::Global(), sink, options);
//   if (!drainer.ok()) return drainer.status();
//   while (running) {                                          // a thread of the host
//     (*drainer)->Drain().IgnoreError();                       // counts() tells what it did
//     std::this_thread::sleep_for(std::chrono::milliseconds(100));
//   }
//   (*drainer)->Drain().IgnoreError();                         // what came last
//
// Every span that was recorded is handed to the sink once, or counted: dropped (in the ring, before
// anybody came) or discarded (the sink said that it never wants it). A sink that says "not now"
// keeps its batch waiting here and the rest in the rings, which then drop: a slow sink costs spans,
// never memory. A batch holds the spans of one instance: a service of this process under the name
// that RecorderOptions::instance gives it. What rings dropped stands in the next batch that is
// handed on, whichever instance's.
//
// In a recorder that keeps the latest, each Drain() takes what is there and counts as dropped what
// was overwritten since the one before. To look back from a violation, drain only then.
//
// Lease. One drainer at a time: a second gets FailedPrecondition until the first is destroyed, or
// has not drained for as long as its lease lasts. One that comes back too late has lost its lease,
// asks for it again with each Drain(), and takes no span twice.
//
// For the rings of other processes: node_drainer.h.
//
// A drainer may outlive its recorder: Drain() is FailedPrecondition then, and likewise in a forked
// child, which makes a drainer of its own.
//
// Threads: one at a time. Recording goes on meanwhile.
// Cost:    about 26 ns a span (benchmarks/trace), in the calling thread. Memory: max_batch
//          and at most 256 spans more for each instance. Create calibrates a clock for about 2 ms.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "seer/core/clock.h"
#include "seer/core/config.h"
#include "seer/core/topology.h"
#include "seer/trace/recorder.h"
#include "seer/trace/sink.h"

SEER_BEGIN_NAMESPACE

struct DrainerOptions {
  std::string node;         // name of this machine; empty: the host name
  std::uint64_t epoch = 0;  // of the topology; 0: the time now
  // Of one Drain(), so that it ends however fast others record.
  std::size_t max_spans = std::size_t{1} << 18;
  std::size_t max_batch = 4096;                               // spans
  std::chrono::nanoseconds lease = std::chrono::seconds(10);  // 10 ms to 1 h
  const Clock* lease_clock = nullptr;  // null: the system's; outlives the drainer
};

// Since the drainer was made.
struct DrainCounts {
  std::uint64_t delivered = 0;  // spans that the sink took
  std::uint64_t waiting = 0;    // at this moment, for a sink that said "not now"
  std::uint64_t dropped = 0;    // found a full ring, no ring at all, or were overwritten
  std::uint64_t discarded = 0;  // the sink will never take them
};

class SpanDrainer {
 public:
  // InvalidArgument names the option; FailedPrecondition: another one has the lease, or the
  // recorder is closed.
  static absl::StatusOr<std::unique_ptr<SpanDrainer>> Create(const SpanRecorder& recorder,
                                                             std::shared_ptr<TraceSink> sink,
                                                             const DrainerOptions& options);
  static absl::StatusOr<std::unique_ptr<SpanDrainer>> Create(const SpanRecorder& recorder,
                                                             std::shared_ptr<TraceSink> sink) {
    return Create(recorder, std::move(sink), DrainerOptions());
  }
  // Gives the lease back. Batches that wait for the sink are lost: counts().waiting.
  ~SpanDrainer();
  SpanDrainer(const SpanDrainer&) = delete;
  SpanDrainer& operator=(const SpanDrainer&) = delete;

  // OK: the rings have been emptied once round, or max_spans were taken. Else what went wrong
  // first: a status of the sink (Unavailable, ResourceExhausted: it has no room now, which ends the
  // drain; another: a batch was discarded, and the drain went on), or FailedPrecondition (see
  // above).
  [[nodiscard]] absl::Status Drain();

  // What the ids in the batches mean; grows with the recorder's tables. For the thread that drains.
  const Topology& topology() const;
  const DrainCounts& counts() const;

 private:
  struct State;
  explicit SpanDrainer(std::unique_ptr<State> state);
  absl::Status HoldLease();

  const std::unique_ptr<State> state_;
};

SEER_END_NAMESPACE
