#include "trace/span_facts.h"

#include <array>

#include "absl/strings/str_cat.h"

SEER_BEGIN_NAMESPACE
namespace internal {

std::string_view StampName(SpanSide side, std::size_t i) {
  constexpr std::array<std::string_view, 5> kServer = {"seer.received", "seer.dequeued",
                                                       "seer.handler_start", "seer.handler_end",
                                                       "seer.reply_sent"};
  constexpr std::array<std::string_view, 4> kClient = {"seer.call_start", "seer.request_sent",
                                                       "seer.first_byte", "seer.call_end"};
  SEER_DCHECK(i < StampsOf(side));
  return side == SpanSide::kServer ? kServer[i] : kClient[i];
}

KnownStamps::KnownStamps(const Span& span) : side(span.side()), first(Span::kStamps) {
  for (std::size_t i = 0; i < StampsOf(side); ++i) {
    if (!span.stamp(i).has_value()) continue;
    if (first == Span::kStamps) first = i;
    last = i;
  }
}

std::optional<std::string_view> KnownStamps::FirstToTell() const {
  if (first > last || first == 0) return std::nullopt;
  return StampName(side, first);
}

std::optional<std::string_view> KnownStamps::LastToTell() const {
  if (first > last || last + 1 == StampsOf(side)) return std::nullopt;
  return StampName(side, last);
}

std::string_view OutcomeName(Outcome outcome) {
  constexpr std::array<std::string_view, 7> kNames = {
      "unknown", "ok", "failed", "timed-out", "transport", "undecodable", "rejected"};
  return kNames[static_cast<std::size_t>(outcome)];  // Span::outcome() gives no other
}

Namer::Namer(const SpanBatch& batch, const Topology& topology)
    : topology_(topology.origin().SameNumbering(batch.origin) ? &topology : nullptr),
      instance_(batch.instance),
      node_(batch.origin.node) {}

BatchFacts Namer::Batch() const {
  BatchFacts facts;
  facts.node = node_;
  if (topology_ == nullptr || !topology_->Has(instance_)) {
    facts.service = "unknown_service";
    if (instance_.valid()) facts.instance = absl::StrCat("instance-", instance_.value());
    return facts;
  }
  const Instance& instance = topology_->instance(instance_);
  facts.instance = instance.name;
  // A tombstone may refer to rows that have gone too; their names stay.
  facts.service = topology_->Has(instance.service) ? topology_->service(instance.service).name : "";
  if (facts.service.empty()) facts.service = "unknown_service";
  if (topology_->Has(instance.node)) facts.node = topology_->node(instance.node).name;
  return facts;
}

SpanFacts Namer::Of(MethodId method, EdgeId edge, SpanSide side) {
  SpanFacts facts;
  if (!method.valid()) {
    facts.name = "unknown";
  } else if (topology_ != nullptr && topology_->Has(method)) {
    facts.name = topology_->method(method).name;
  } else {
    made_up_ = absl::StrCat("method-", method.value());
    facts.name = made_up_;
  }
  if (!edge.valid()) return facts;
  if (topology_ == nullptr || !topology_->Has(edge)) {
    facts.edge_id = edge.value();
    return facts;
  }
  const Edge& row = topology_->edge(edge);
  const ServiceId peer = side == SpanSide::kClient ? row.callee : row.caller;
  if (topology_->Has(peer)) facts.peer = topology_->service(peer).name;
  return facts;
}

}  // namespace internal
SEER_END_NAMESPACE
