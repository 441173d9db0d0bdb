// Flow: SpanBatch, Topology -> [OtlpEncoder] -> OTLP bytes -> host's transport -> collector
//
// Spans for OpenTelemetry: its collector, and whatever understands OTLP (Jaeger, Tempo, Datadog).
// Bytes only; sending them is the host's business, as are compression and retries.
//
//   seer::OtlpEncoder encoder;                              // keep it: it remembers what repeats
//   std::string body;
//   for (const seer::SpanBatch& batch : batches) encoder.Append(batch, topology, &body);
//   Post("/v1/traces", "application/x-protobuf", body);     // an ExportTraceServiceRequest
//
// The bytes are also a TracesData message, and one appended to another is a message with the
// contents of both. The same as OTLP/JSON, with "application/json", one message each:
//
//   Post("/v1/traces", "application/json", seer::EncodeOtlpJson(batch, topology));
//
// What stands where: README.md beside this file. In short, a span starts with its first known stamp
// and ends with its last, and those between are events, all exact to the nanosecond.
//
// The topology should be of the batch's numbering (Origin); ids that it does not know, or all of
// them if it is of another numbering, appear as numbers. Names that are not UTF-8 are made so.
//
// Threads: an encoder is used by one thread at a time; the functions are pure.
// Cost:    see benchmarks/RESULTS.md (trace.otlp_ns); about 170 bytes a span. An encoder keeps
//          about 400 bytes for each combination of method, edge, outcome and known stamps that it
//          has met, and forgets them when the topology changes or they exceed 1 MiB.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "seer/core/config.h"
#include "seer/core/origin.h"
#include "seer/core/span.h"
#include "seer/core/topology.h"

SEER_BEGIN_NAMESPACE

class OtlpEncoder {
 public:
  // Appends one ResourceSpans, with the batch's spans in their order.
  void Append(const SpanBatch& batch, const Topology& topology, std::string* bytes);

 private:
  // A span's bytes with room for what differs between spans of the same kind. Places that a kind
  // lacks are those of the trace id and the start, which are filled in last.
  static constexpr std::size_t kBetween = Span::kStamps - 2;  // neither first nor last, ever
  struct Template {
    std::uint64_t key = 0;
    std::uint32_t begin = 0;   // in template_bytes_
    std::uint16_t size = 0;    // 0: none
    std::uint16_t ids_at = 0;  // trace id and span id
    std::uint16_t parent_at = 0;
    std::uint16_t times_at = 0;             // start and end
    std::uint16_t stamp_at[kBetween] = {};  // stamps 1 to 3
  };

  void ForgetUnless(const SpanBatch& batch, const Topology& topology);
  void Forget();
  const Template* Make(std::uint64_t key, const SpanBatch& batch, const Topology& topology);
  Template* Place(std::uint64_t key);
  void Grow();
  void AppendSpans(const SpanBatch& batch, const Topology& topology, std::string* bytes);

  Origin topology_origin_;            // whose names the templates have
  bool same_numbering_ = false;       // as the batches they were made for
  std::vector<Template> templates_;   // a hash table by key; a power of two
  std::size_t used_ = 0;              // of them
  std::string template_bytes_;        // and room to copy too much of the last one
  std::size_t template_end_ = 0;      // where the next begins
  std::size_t bytes_per_span_ = 256;  // of the last batch
};

std::string EncodeOtlp(const SpanBatch& batch, const Topology& topology);

// Replaces what `json` holds.
void EncodeOtlpJsonTo(const SpanBatch& batch, const Topology& topology, std::string* json);
std::string EncodeOtlpJson(const SpanBatch& batch, const Topology& topology);

SEER_END_NAMESPACE
