// OTLP/JSON: proto3's JSON mapping with OTLP's exceptions (ids in hex, enumerations as numbers).
// 64-bit numbers are strings.
#include <string_view>

#include "seer/trace/otlp.h"
#include "trace/span_facts.h"
#include "trace/text.h"

SEER_BEGIN_NAMESPACE

namespace {

using internal::AppendDecimal;
using internal::AppendHex;
using internal::AppendJsonString;

// Appends {"key":...,"value":{"stringValue":...}}, after a comma unless it is the first.
void AppendAttribute(std::string_view key, std::string_view text, std::string* json) {
  if (json->back() != '[') json->push_back(',');
  json->append("{\"key\":\"").append(key).append("\",\"value\":{\"stringValue\":");
  AppendJsonString(text, json);
  json->append("}}");
}
void AppendAttribute(std::string_view key, std::uint64_t number, std::string* json) {
  if (json->back() != '[') json->push_back(',');
  json->append("{\"key\":\"").append(key).append("\",\"value\":{\"intValue\":\"");
  AppendDecimal(number, json);
  json->append("\"}}");
}

void AppendSpan(const Span& span, const internal::SpanFacts& facts, std::string* json) {
  json->append("{\"traceId\":\"");
  AppendHex(span.trace_id().high, json);
  AppendHex(span.trace_id().low, json);
  json->append("\",\"spanId\":\"");
  AppendHex(span.span_id(), json);
  if (span.parent_id() != 0) {
    json->append("\",\"parentSpanId\":\"");
    AppendHex(span.parent_id(), json);
  }
  json->append("\",\"name\":");
  AppendJsonString(facts.name, json);
  json->append(span.side() == SpanSide::kServer ? ",\"kind\":2" : ",\"kind\":3");
  // proto3's fixed64 has no sign: what is before 1970, and hostile, wraps as in the protobuf form.
  json->append(",\"startTimeUnixNano\":\"");
  const auto start = static_cast<std::uint64_t>(span.start_ns());
  AppendDecimal(start, json);
  json->append("\",\"endTimeUnixNano\":\"");
  AppendDecimal(start + static_cast<std::uint64_t>(span.duration_ns()), json);
  json->append("\",\"attributes\":[");
  if (!facts.peer.empty()) AppendAttribute(internal::kPeerServiceKey, facts.peer, json);
  if (facts.edge_id) AppendAttribute(internal::kEdgeIdKey, *facts.edge_id, json);
  const std::string_view outcome = internal::OutcomeName(span.outcome());
  if (span.outcome() != Outcome::kOk) AppendAttribute(internal::kOutcomeKey, outcome, json);
  const internal::KnownStamps known(span);
  if (const auto first = known.FirstToTell()) {
    AppendAttribute(internal::kFirstStampKey, *first, json);
  }
  if (const auto last = known.LastToTell()) AppendAttribute(internal::kLastStampKey, *last, json);
  json->append("],\"events\":[");
  for (std::size_t i = known.first + 1; i < known.last; ++i) {
    const auto stamp = span.stamp(i);
    if (!stamp) continue;
    json->append(json->back() == '[' ? "{\"timeUnixNano\":\"" : ",{\"timeUnixNano\":\"");
    AppendDecimal(static_cast<std::uint64_t>(*stamp), json);
    json->append("\",\"name\":\"").append(internal::StampName(span.side(), i)).append("\"}");
  }
  json->push_back(']');
  if (internal::IsFailure(span.outcome())) {
    json->append(",\"status\":{\"message\":\"").append(outcome).append("\",\"code\":2}");
  }
  json->push_back('}');
}

}  // namespace

void EncodeOtlpJsonTo(const SpanBatch& batch, const Topology& topology, std::string* json) {
  internal::Namer namer(batch, topology);
  const internal::BatchFacts facts = namer.Batch();
  json->assign("{\"resourceSpans\":[{\"resource\":{\"attributes\":[");
  AppendAttribute("service.name", facts.service, json);
  if (!facts.instance.empty()) AppendAttribute("service.instance.id", facts.instance, json);
  if (!facts.node.empty()) AppendAttribute("host.name", facts.node, json);
  json->append("]},\"scopeSpans\":[{\"scope\":{\"name\":\"seer\",\"version\":\"");
  json->append(internal::kLibraryVersion).append("\",\"attributes\":[");
  if (batch.dropped > 0) AppendAttribute(internal::kDroppedSpansKey, batch.dropped, json);
  json->append("]},\"spans\":[");
  for (const Span& span : batch.spans) {
    if (json->back() != '[') json->push_back(',');
    AppendSpan(span, namer.Of(span), json);
  }
  json->append("]}]}]}");
}

std::string EncodeOtlpJson(const SpanBatch& batch, const Topology& topology) {
  std::string json;
  EncodeOtlpJsonTo(batch, topology, &json);
  return json;
}

SEER_END_NAMESPACE
