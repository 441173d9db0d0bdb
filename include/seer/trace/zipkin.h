// Flow: SpanBatch, Topology -> [EncodeZipkin] -> Zipkin v2 JSON -> host's transport -> Zipkin
//
// Spans for Zipkin, and for what takes its format:
//
//   Post("/api/v2/spans", "application/json", seer::EncodeZipkin(batch, topology));
//
// Zipkin counts microseconds. Its timestamps are cut off to whole ones, and its durations are at
// least 1 us, as it demands; the exact stamps stand in tags, in unix ns, and as annotations where
// Zipkin draws them. A span of which no stamp is known has no timestamp.
//
// Unknown ids and names that are not UTF-8 are treated as in otlp.h. Zipkin itself turns names into
// lower case.
//
// Threads: pure functions. Cost: see benchmarks/RESULTS.md; some 900 bytes a span.
#pragma once

#include <string>

#include "seer/core/config.h"
#include "seer/core/span.h"
#include "seer/core/topology.h"

SEER_BEGIN_NAMESPACE

// A JSON array with one object for each span. Replaces what `json` holds.
void EncodeZipkinTo(const SpanBatch& batch, const Topology& topology, std::string* json);
std::string EncodeZipkin(const SpanBatch& batch, const Topology& topology);

SEER_END_NAMESPACE
