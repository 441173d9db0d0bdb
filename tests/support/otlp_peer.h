// The same batch through libprotobuf: what seer's OTLP bytes are compared with, in tests for their
// content and in benchmarks for their speed. Written from the tables in
// include/seer/trace/README.md and not from the encoder.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "otlp_trace.pb.h"
#include "seer/core/span.h"
#include "seer/core/topology.h"
#include "seer/core/version.h"

namespace seer::testing {

inline std::string BigEndian(std::uint64_t number) {
  std::string bytes(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) bytes[i] = static_cast<char>(number >> (56 - 8 * i));
  return bytes;
}

template <typename Message>
void AddAttribute(const char* key, std::string_view text, Message* message) {
  otlp_peer::KeyValue* attribute = message->add_attributes();
  attribute->set_key(key);
  attribute->mutable_value()->set_string_value(text.data(), text.size());
}
template <typename Message>
void AddAttribute(const char* key, std::int64_t number, Message* message) {
  otlp_peer::KeyValue* attribute = message->add_attributes();
  attribute->set_key(key);
  attribute->mutable_value()->set_int_value(number);
}

// The names of the samples and the benchmarks: only a byte that can never be UTF-8 is replaced.
inline std::string SimplyUtf8(const std::string& name) {
  if (name.find_first_of("\xfe\xff") == name.npos) return name;
  std::string text;
  for (char c : name) {
    if (c == '\xfe' || c == '\xff') {
      text += "\xef\xbf\xbd";
    } else {
      text += c;
    }
  }
  return text;
}

inline void AddOtlp(const SpanBatch& batch, const Topology& topology, otlp_peer::TracesData* data) {
  static constexpr const char* kServerStamps[] = {"seer.received", "seer.dequeued",
                                                  "seer.handler_start", "seer.handler_end",
                                                  "seer.reply_sent"};
  static constexpr const char* kClientStamps[] = {"seer.call_start", "seer.request_sent",
                                                  "seer.first_byte", "seer.call_end"};
  static constexpr const char* kOutcomes[] = {"unknown",   "ok",          "failed",  "timed-out",
                                              "transport", "undecodable", "rejected"};
  const bool known = topology.origin().SameNumbering(batch.origin);
  otlp_peer::ResourceSpans* resource_spans = data->add_resource_spans();
  otlp_peer::Resource* resource = resource_spans->mutable_resource();
  if (known && topology.Has(batch.instance)) {
    const Instance& instance = topology.instance(batch.instance);
    AddAttribute("service.name", SimplyUtf8(topology.service(instance.service).name), resource);
    AddAttribute("service.instance.id", SimplyUtf8(instance.name), resource);
  } else {
    AddAttribute("service.name", "unknown_service", resource);
    if (batch.instance.valid()) {
      AddAttribute("service.instance.id", "instance-" + std::to_string(batch.instance.value()),
                   resource);
    }
  }
  AddAttribute("host.name", batch.origin.node, resource);
  otlp_peer::ScopeSpans* scope_spans = resource_spans->add_scope_spans();
  scope_spans->mutable_scope()->set_name("seer");
  scope_spans->mutable_scope()->set_version(std::to_string(SEER_VERSION_MAJOR) + "." +
                                            std::to_string(SEER_VERSION_MINOR) + "." +
                                            std::to_string(SEER_VERSION_PATCH));
  if (batch.dropped > 0) {
    AddAttribute("seer.dropped_spans", static_cast<std::int64_t>(batch.dropped),
                 scope_spans->mutable_scope());
  }

  for (const Span& span : batch.spans) {
    otlp_peer::Span* out = scope_spans->add_spans();
    out->set_trace_id(BigEndian(span.trace_id().high) + BigEndian(span.trace_id().low));
    out->set_span_id(BigEndian(span.span_id()));
    if (span.parent_id() != 0) out->set_parent_span_id(BigEndian(span.parent_id()));
    if (known && topology.Has(span.method())) {
      out->set_name(SimplyUtf8(topology.method(span.method()).name));
    } else if (span.method().valid()) {
      out->set_name("method-" + std::to_string(span.method().value()));
    } else {
      out->set_name("unknown");
    }
    const bool server = span.side() == SpanSide::kServer;
    out->set_kind(server ? otlp_peer::Span::SPAN_KIND_SERVER : otlp_peer::Span::SPAN_KIND_CLIENT);
    out->set_start_time_unix_nano(static_cast<std::uint64_t>(span.start_ns()));
    out->set_end_time_unix_nano(static_cast<std::uint64_t>(span.start_ns() + span.duration_ns()));
    if (known && topology.Has(span.edge())) {
      const Edge& edge = topology.edge(span.edge());
      const ServiceId peer = server ? edge.caller : edge.callee;
      if (peer.valid()) AddAttribute("peer.service", SimplyUtf8(topology.service(peer).name), out);
    } else if (span.edge().valid()) {
      AddAttribute("seer.edge_id", std::int64_t{span.edge().value()}, out);
    }
    const char* outcome = kOutcomes[static_cast<std::size_t>(span.outcome())];
    if (span.outcome() != Outcome::kOk) AddAttribute("seer.outcome", outcome, out);
    std::size_t stamps = 0;
    std::size_t known_stamps[Span::kStamps];
    const std::size_t natural_last = server ? 4 : 3;
    for (std::size_t i = 0; i <= natural_last; ++i) {
      if (span.stamp(i)) known_stamps[stamps++] = i;
    }
    const auto name_of = [&](std::size_t i) {
      return server ? kServerStamps[i] : kClientStamps[i];
    };
    if (stamps > 0) {
      const std::size_t first = known_stamps[0], last = known_stamps[stamps - 1];
      if (first != 0) AddAttribute("seer.first_stamp", name_of(first), out);
      if (last != natural_last) AddAttribute("seer.last_stamp", name_of(last), out);
    }
    for (std::size_t i = 1; i + 1 < stamps; ++i) {
      otlp_peer::Span::Event* event = out->add_events();
      event->set_time_unix_nano(static_cast<std::uint64_t>(*span.stamp(known_stamps[i])));
      event->set_name(name_of(known_stamps[i]));
    }
    if (span.outcome() != Outcome::kOk && span.outcome() != Outcome::kUnknown) {
      out->mutable_status()->set_message(outcome);
      out->mutable_status()->set_code(otlp_peer::Status::STATUS_CODE_ERROR);
    }
  }
}

}  // namespace seer::testing
