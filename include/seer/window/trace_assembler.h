// Flow: SpanInterval -> [TraceAssembler] -> RequestTrace -> labels.h, insight/
//
// Spans put together into the requests that they are parts of: who called whom, how long each hop
// waited and worked, and which of it lay on the critical path, so that it would have made the
// request faster had it been faster.
//
//   seer::TraceAssembler assembler(options, [&](const seer::RequestTrace& trace) {
//     finder.Observe(trace);
//   });
//   for (const seer::SpanInterval& span : spans) assembler.Add(span);
//   assembler.Finish();
//   for (const seer::HostSkew& skew : assembler.Skews()) Report(skew);
//
// A trace is given `linger_ns` after its last span began or ended, by the latest time that was
// seen. Each case that real traces have:
//   missing    A call without its callee's span, or the other way round, is a hop with one side. A
//              span whose parent is missing is placed below the latest started hop of its caller
//              that contains it, else below the root, as `adopted`.
//   duplicate  A second span of the same id and side is ignored, and counted.
//   late       A span of a trace that was given already starts another trace, without a root: given
//              as such, or not at all (`incomplete`).
//   skewed     The clocks of two hosts: a callee's interval lies within its caller's, so each call
//              bounds the difference from both sides. The estimate is the middle of the tightest
//              bounds among the last calls of the pair. It is reported (Skews) and, with
//              `correct_skew`, taken off before the trace is given.
//   far        An end that is over an hour from all others moves time only when 16 in a row are.
// The critical path is walked from the root's end backwards: to the synchronous call that ended
// last, before it to the one that ended last before that one began, and so on, into each of them.
// What no call on the path covers is a hop's own time. The parts sum up to the latency.
//
// Threads: one at a time; the sink must not call back. Cost: about 0.3 us a span, 200 bytes for
// each span of a trace that is not given yet; at most max_spans of them (then the oldest trace is
// given as it is, and counted), and at most max_spans_per_trace of one trace.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/types/span.h"
#include "seer/core/config.h"
#include "seer/core/ids.h"
#include "seer/core/span.h"
#include "seer/window/span_interval.h"

SEER_BEGIN_NAMESPACE

// One call within a request, from both sides where both were recorded.
struct Hop {
  static constexpr std::int32_t kNoParent = -1;

  std::int32_t parent = kNoParent;  // index in RequestTrace::hops; always a smaller one
  ServiceId caller;                 // none: outside, or not known
  ServiceId callee;
  EdgeId edge;
  Outcome outcome = Outcome::kOk;
  bool async = false;
  bool adopted = false;  // its parent's span is missing; the place is a guess

  // As the caller saw it, and as the callee did; 0 and 0 where that side is missing.
  bool has_client = false;
  bool has_server = false;
  std::int64_t client_start_ns = 0, client_end_ns = 0;
  std::int64_t server_start_ns = 0, server_end_ns = 0;

  // From the caller's view where known, else from the callee's.
  std::int64_t start_ns = 0, end_ns = 0;
  std::int64_t latency_ns() const { return end_ns - start_ns; }

  // Of the latency: not yet in work at the callee (network and queue). What was not seen is 0.
  std::int64_t queue_ns = 0;
  // In work at the callee, and not in one of its synchronous calls.
  std::int64_t own_ns = 0;
  // The parts of the two that lie on the critical path of the request.
  std::int64_t critical_queue_ns = 0;
  std::int64_t critical_own_ns = 0;
};

// One request from end to end. hops[0] is its root; parents come before children, and children of
// one parent in the order of their starts.
struct RequestTrace {
  TraceId id;
  ClassId request_class;  // of the root
  std::vector<Hop> hops;
  bool incomplete = false;  // no root was seen, spans are missing, or it was cut by a bound

  std::int64_t start_ns() const { return hops.empty() ? 0 : hops[0].start_ns; }
  std::int64_t end_ns() const { return hops.empty() ? 0 : hops[0].end_ns; }
  std::int64_t latency_ns() const { return end_ns() - start_ns(); }
};

// How far the clock of `server` is ahead of that of `client`.
struct HostSkew {
  NodeId client;
  NodeId server;
  std::int64_t ahead_ns = 0;
  std::int64_t error_ns = 0;     // the true value is within +- this, if each way takes 0 or more
  std::uint64_t calls = 0;       // it rests on
  std::uint64_t impossible = 0;  // calls that were shorter than what they enclosed: not used
};

struct TraceAssemblerOptions {
  std::int64_t linger_ns = 2'000'000'000;
  std::size_t max_spans = 1 << 18;
  std::size_t max_spans_per_trace = 1 << 12;
  bool correct_skew = false;
  bool give_incomplete = true;
  std::size_t max_host_pairs = 1 << 14;
};

struct TraceAssemblerStats {
  std::uint64_t spans = 0;
  std::uint64_t duplicates = 0;
  std::uint64_t without_trace = 0;  // no trace id: ignored
  std::uint64_t negative = 0;       // ended before they started: ignored
  std::uint64_t over_limit = 0;     // beyond max_spans_per_trace
  std::uint64_t adopted = 0;        // hops whose parent is missing
  std::uint64_t traces = 0;         // given
  std::uint64_t incomplete = 0;     // of all traces that ended
  std::uint64_t evicted = 0;        // ended early, because of max_spans
};

class TraceAssembler {
 public:
  using TraceSink = std::function<void(const RequestTrace&)>;

  TraceAssembler(const TraceAssemblerOptions& options, TraceSink sink);
  ~TraceAssembler();
  TraceAssembler(TraceAssembler&&) noexcept;
  TraceAssembler& operator=(TraceAssembler&&) noexcept;

  void Add(const SpanInterval& span);
  void AdvanceTo(std::int64_t now_ns);
  void Finish();  // gives all traces

  std::vector<HostSkew> Skews() const;  // by (client, server)
  const TraceAssemblerStats& stats() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// Puts one trace together: what the assembler does when a trace ends. All spans are of one trace.
// `trace` is overwritten, its memory kept.
void AssembleTrace(absl::Span<const SpanInterval> spans, RequestTrace* trace);

SEER_END_NAMESPACE
