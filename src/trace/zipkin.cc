#include "seer/trace/zipkin.h"

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "trace/span_facts.h"
#include "trace/text.h"

SEER_BEGIN_NAMESPACE

namespace {

using internal::AppendDecimal;
using internal::AppendHex;
using internal::AppendJsonString;

void AppendSpan(const Span& span, const internal::SpanFacts& facts, std::string_view local_endpoint,
                std::string* json) {
  json->append("{\"traceId\":\"");
  AppendHex(span.trace_id().high, json);
  AppendHex(span.trace_id().low, json);
  json->append("\",\"id\":\"");
  AppendHex(span.span_id(), json);
  if (span.parent_id() != 0) {
    json->append("\",\"parentId\":\"");
    AppendHex(span.parent_id(), json);
  }
  json->append("\",\"name\":");
  AppendJsonString(facts.name, json);
  json->append(span.side() == SpanSide::kServer ? ",\"kind\":\"SERVER\"" : ",\"kind\":\"CLIENT\"");
  if (span.start_ns() >= 1000) {  // Zipkin takes 0 for absent
    json->append(",\"timestamp\":");
    AppendDecimal(span.start_ns() / 1000, json);
    json->append(",\"duration\":");
    AppendDecimal(std::max<std::int64_t>(span.duration_ns() / 1000, 1), json);
  }
  json->append(local_endpoint);
  if (!facts.peer.empty()) {
    json->append(",\"remoteEndpoint\":{\"serviceName\":");
    AppendJsonString(facts.peer, json);
    json->push_back('}');
  }

  json->append(",\"annotations\":[");
  const std::size_t stamps = internal::StampsOf(span.side());
  for (std::size_t i = 0; i < stamps; ++i) {
    const auto stamp = span.stamp(i);
    if (!stamp || *stamp < 1000) continue;
    json->append(json->back() == '[' ? "{\"timestamp\":" : ",{\"timestamp\":");
    AppendDecimal(*stamp / 1000, json);
    json->append(",\"value\":\"").append(internal::StampName(span.side(), i)).append("\"}");
  }
  json->append("],\"tags\":{");
  const auto tag = [&](std::string_view key) {
    if (json->back() != '{') json->push_back(',');
    json->append("\"").append(key).append("\":\"");
  };
  for (std::size_t i = 0; i < stamps; ++i) {
    const auto stamp = span.stamp(i);
    if (!stamp) continue;
    tag(internal::StampName(span.side(), i));
    AppendDecimal(*stamp, json);
    json->push_back('"');
  }
  if (facts.edge_id) {
    tag(internal::kEdgeIdKey);
    AppendDecimal(*facts.edge_id, json);
    json->push_back('"');
  }
  const std::string_view outcome = internal::OutcomeName(span.outcome());
  if (span.outcome() != Outcome::kOk) {
    tag(internal::kOutcomeKey);
    json->append(outcome).push_back('"');
  }
  if (internal::IsFailure(span.outcome())) {
    tag("error");  // what Zipkin paints red
    json->append(outcome).push_back('"');
  }
  json->append("}}");
}

}  // namespace

void EncodeZipkinTo(const SpanBatch& batch, const Topology& topology, std::string* json) {
  internal::Namer namer(batch, topology);
  std::string local_endpoint = ",\"localEndpoint\":{\"serviceName\":";
  AppendJsonString(namer.Batch().service, &local_endpoint);
  local_endpoint.push_back('}');
  json->assign("[");
  for (const Span& span : batch.spans) {
    if (json->back() != '[') json->push_back(',');
    AppendSpan(span, namer.Of(span), local_endpoint, json);
  }
  json->push_back(']');
}

std::string EncodeZipkin(const SpanBatch& batch, const Topology& topology) {
  std::string json;
  EncodeZipkinTo(batch, topology, &json);
  return json;
}

SEER_END_NAMESPACE
