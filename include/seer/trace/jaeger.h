// Flow: SpanBatch, Topology -> [EncodeJaeger] -> Jaeger Thrift bytes -> host's transport -> Jaeger
//
// Spans for Jaeger collectors and agents that do not speak OTLP yet. The bytes are a Batch of
// jaeger.thrift; no Thrift library is needed.
//
//   Post("/api/traces?format=jaeger.thrift", "application/x-thrift",
//        seer::EncodeJaeger(batch, topology, seer::ThriftProtocol::kBinary));
//
// Jaeger counts microseconds, cut off here to whole ones. Each stamp is a log at its microsecond,
// with the exact time in a field `unix_ns`.
//
// Unknown ids and names that are not UTF-8 are treated as in otlp.h. Jaeger's sequence number is
// the batch's; what was lost before it is a tag of the process.
//
// Threads: pure functions. Cost: see benchmarks/RESULTS.md.
#pragma once

#include <cstdint>
#include <string>

#include "seer/core/config.h"
#include "seer/core/span.h"
#include "seer/core/topology.h"

SEER_BEGIN_NAMESPACE

enum class ThriftProtocol : std::uint8_t {
  kCompact,  // half the size; what agents take
  kBinary,   // what collectors take over HTTP
};

// Replaces what `bytes` holds.
void EncodeJaegerTo(const SpanBatch& batch, const Topology& topology, ThriftProtocol protocol,
                    std::string* bytes);
std::string EncodeJaeger(const SpanBatch& batch, const Topology& topology, ThriftProtocol protocol);

SEER_END_NAMESPACE
