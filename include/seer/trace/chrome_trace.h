// Flow: SpanBatch..., Topology -> [EncodeChromeTrace] -> trace JSON -> ui.perfetto.dev
//
// Spans as a picture, without any backend: the file opens in ui.perfetto.dev and chrome://tracing.
//
//   std::ofstream("trace.json") << seer::EncodeChromeTrace(batches, topology);
//
// Each instance is a process; requests that were open at the same time lie in lanes beneath each
// other, those it served apart from those it called. Within a request, one slice for each stage
// between two stamps that are known: server "queued", "decode", "handler", "reply"; client "send",
// "wait", "receive". So what waited and what worked is told apart at a glance. An arrow leads from
// a call to where it was served, if both are in the batches.
//
// Times are relative to the earliest span, exact to the nanosecond; `otherData.start_unix_ns` says
// when that was, and each span's arguments hold its stamps. Spans without a known stamp are left
// out. Unknown ids and names that are not UTF-8 are treated as in otlp.h.
//
// Threads: pure functions. Cost: n log n for n spans; some 1.2 KB a span.
#pragma once

#include <string>

#include "absl/types/span.h"
#include "seer/core/config.h"
#include "seer/core/span.h"
#include "seer/core/topology.h"

SEER_BEGIN_NAMESPACE

// All batches in one picture: they should be of the topology's numbering. Replaces what `json`
// holds.
void EncodeChromeTraceTo(absl::Span<const SpanBatch> batches, const Topology& topology,
                         std::string* json);
std::string EncodeChromeTrace(absl::Span<const SpanBatch> batches, const Topology& topology);

SEER_END_NAMESPACE
