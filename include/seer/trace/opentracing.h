// Flow: an application's OpenTracing spans -> [OpenTracingTracer] -> queue/ counters, SpanRecorder
//
// For applications that are instrumented with OpenTracing already: a tracer whose spans count and
// record as seer's own do, so that depths are there without a handler being edited. It is a
// component of its own (seer::trace_opentracing), for it needs libopentracing-dev.
//
//   seer::OpenTracingOptions options;
//   options.service = "compose-post-service";
//   options.callees = {{"compose_text_client", "text-service"}};             // may be empty
//   auto tracer = seer::OpenTracingTracer::Create(options);
//   if (!tracer.ok()) return tracer.status();
//   opentracing::Tracer::InitGlobal(*tracer);
//
// A server's span counts in the service's queue `running` from its start to its end, a client's in
// the `outbound` queue of the edge to the service that it calls. While a server's span has client
// spans that are ChildOf it (of its context, or of one that came back from a carrier), its request
// also counts as `blocked`; those that are FollowsFrom it do not block. What kind a span is, is
// decided when it starts, by the first of these that says something:
//   1. the tag span.kind: server or consumer, client or producer
//   2. OpenTracingOptions::callees knows the operation: a client's
//   3. the operation's name ends in "_server" or "_client" (options)
//   4. it has no parent, or one from a carrier that is no request that is open here: a server's
// Other spans are inner ones: they are neither counted nor recorded, and what is a child of theirs
// is a child of their parent. span.kind that comes after the start still makes an inner span one or
// the other.
//
// The service that a client calls is that of `callees`, else of the tag peer.service (or
// peer.hostname), else it bears the operation's name without the suffix.
//
// Carriers. Inject writes W3C Trace Context (or B3), Extract reads what Extract() of propagation.h
// does, so also a Jaeger client's; a carrier without a readable context gives null, not an error.
// Binary: 1, flags, the 24 bytes of ToBytes(), baggage. Baggage travels as ot-baggage-<key>, in
// HTTP headers percent-encoded; at most 64 items and 8192 bytes of it.
//
// A span is recorded with kHandlerStart and kHandlerEnd, or kCallStart and kCallEnd; times that the
// application gives are kept if they differ by more than a millisecond from the moment of the call.
// The tag error = true makes it failed, and so does the end of a span that is not finished. Other
// tags and logs are dropped: seer keeps 64 bytes of a span.
//
// Threads: as OpenTracing demands: the tracer from any thread, a span from any thread too.
// Cost:    about 0.5 us a span (a server's with a client's 1.0 us on a machine that was busy;
//          benchmarks/trace/rpc_scope_bench.cc), much of it what OpenTracing asks for: allocations,
//          two readings of the clock. The table of operations is read without a lock; a span has a
//          lock of its own. Operations beyond max_operations go together as "(other)".
#pragma once

#include <opentracing/tracer.h>

#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "seer/core/config.h"
#include "seer/queue/registry.h"
#include "seer/trace/propagation.h"
#include "seer/trace/recorder.h"

SEER_BEGIN_NAMESPACE

struct OpenTracingOptions {
  std::string service;  // that this process is: 1 to 63 bytes
  // By operation: the service that a client's span calls.
  std::map<std::string, std::string> callees;
  std::string server_suffix = "_server";  // empty: names say nothing
  std::string client_suffix = "_client";
  std::size_t max_operations = 512;  // names that are told apart, 2 to 65536
  Headers headers = Headers::kW3c;   // that Inject writes
  QueueRegistry* queues = nullptr;   // null: the global one; outlives the tracer
  SpanRecorder* recorder = nullptr;  // so too
};

// Since the tracer was made.
struct OpenTracingCounts {
  std::uint64_t served = 0;   // server's spans that started
  std::uint64_t called = 0;   // client's
  std::uint64_t inner = 0;    // neither
  std::uint64_t unnamed = 0;  // counted as "(other)": the tables were full
};

class OpenTracingTracer final : public opentracing::Tracer,
                                public std::enable_shared_from_this<OpenTracingTracer> {
 public:
  // InvalidArgument names the option; ResourceExhausted: the registry or the recorder is full.
  static absl::StatusOr<std::shared_ptr<OpenTracingTracer>> Create(
      const OpenTracingOptions& options);
  ~OpenTracingTracer() override;

  std::unique_ptr<opentracing::Span> StartSpanWithOptions(
      opentracing::string_view operation,
      const opentracing::StartSpanOptions& options) const noexcept override;

  opentracing::expected<void> Inject(const opentracing::SpanContext& context,
                                     std::ostream& writer) const override;
  opentracing::expected<void> Inject(const opentracing::SpanContext& context,
                                     const opentracing::TextMapWriter& writer) const override;
  opentracing::expected<void> Inject(const opentracing::SpanContext& context,
                                     const opentracing::HTTPHeadersWriter& writer) const override;
  opentracing::expected<std::unique_ptr<opentracing::SpanContext>> Extract(
      std::istream& reader) const override;
  opentracing::expected<std::unique_ptr<opentracing::SpanContext>> Extract(
      const opentracing::TextMapReader& reader) const override;
  opentracing::expected<std::unique_ptr<opentracing::SpanContext>> Extract(
      const opentracing::HTTPHeadersReader& reader) const override;

  OpenTracingCounts counts() const;

 private:
  struct State;
  friend class OpenTracingSpan;
  explicit OpenTracingTracer(std::unique_ptr<State> state);

  const std::unique_ptr<State> state_;
};

SEER_END_NAMESPACE
