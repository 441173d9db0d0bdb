// The smaller values as bytes. SpanBatch: sections 1 header, 2 spans. The others: section 1.
#include <cstddef>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/wire_fields.h"
#include "core/wire_io.h"

SEER_BEGIN_NAMESPACE

namespace internal {

namespace {

enum Tag : std::uint32_t { kFields = 1, kSpans = 2 };

template <typename Io, typename Batch>
absl::Status BatchFields(Io& io, Batch& batch) {
  SEER_RETURN_IF_ERROR(io("origin", batch.origin));
  SEER_RETURN_IF_ERROR(io("instance", batch.instance));
  SEER_RETURN_IF_ERROR(io("sequence", batch.sequence));
  return io("dropped", batch.dropped);
}

template <typename Io, typename Signal>
absl::Status SignalFields(Io& io, Signal& signal) {
  SEER_RETURN_IF_ERROR(io("value", signal.value));
  SEER_RETURN_IF_ERROR(io.Enum("quality", signal.quality, kQualities, Quality::kSuspect));
  SEER_RETURN_IF_ERROR(io.Enum("reason", signal.reason, kReasons, Reason::kFailed));
  return io.Enum("scope", signal.scope, kScopes, Scope::kHost);
}

template <typename Io, typename Reading>
absl::Status HwReadingFields(Io& io, Reading& reading) {
  SEER_RETURN_IF_ERROR(io("origin", reading.origin));
  SEER_RETURN_IF_ERROR(io("target", reading.target));
  SEER_RETURN_IF_ERROR(io("end_ns", reading.end_ns));
  SEER_RETURN_IF_ERROR(io("interval_ns", reading.interval_ns));
  SEER_RETURN_IF_ERROR(io("requests", reading.requests));
  for (std::size_t i = 0; i < kResources; ++i) {
    for (auto* readings : {&reading.instance, &reading.node}) {
      auto& resource = readings->by_resource[i];
      SEER_RETURN_IF_ERROR(SignalFields(io, resource.delay_us));
      SEER_RETURN_IF_ERROR(SignalFields(io, resource.utilisation));
      SEER_RETURN_IF_ERROR(SignalFields(io, resource.saturation));
    }
  }
  return absl::OkStatus();
}

template <typename Io, typename Target>
absl::Status TargetFields(Io& io, Target& target) {
  SEER_RETURN_IF_ERROR(io("target.service", target.service));
  SEER_RETURN_IF_ERROR(io("target.instance", target.instance));
  SEER_RETURN_IF_ERROR(io("target.node", target.node));
  return io("target.cgroup", target.cgroup);
}

// An executor must not guess what an unknown action means.
template <typename Io, typename Value>
absl::Status RecommendationFields(Io& io, Value& value) {
  SEER_RETURN_IF_ERROR(io("id", value.id));
  SEER_RETURN_IF_ERROR(io("issued_ns", value.issued_ns));
  SEER_RETURN_IF_ERROR(TargetFields(io, value.target));
  SEER_RETURN_IF_ERROR(io.Enum("cause", value.cause, kCauses, Cause::kUndecided));
  SEER_RETURN_IF_ERROR(io("confidence", value.confidence));
  SEER_RETURN_IF_ERROR(io("reason", value.reason));
  SEER_RETURN_IF_ERROR(io.KnownEnum("action", value.action, kActions));
  SEER_RETURN_IF_ERROR(io("from", value.from));
  SEER_RETURN_IF_ERROR(io("to", value.to));
  SEER_RETURN_IF_ERROR(io("lower", value.lower));
  SEER_RETURN_IF_ERROR(io("upper", value.upper));
  SEER_RETURN_IF_ERROR(io("precondition", value.precondition));
  SEER_RETURN_IF_ERROR(io("expected_metric", value.expected_metric));
  SEER_RETURN_IF_ERROR(io("expected_from", value.expected_from));
  SEER_RETURN_IF_ERROR(io("expected_to", value.expected_to));
  SEER_RETURN_IF_ERROR(io("settle_ns", value.settle_ns));
  SEER_RETURN_IF_ERROR(io("expires_ns", value.expires_ns));
  return io("undo", value.undo);
}

template <typename Io, typename Value>
absl::Status ActionTakenFields(Io& io, Value& value) {
  SEER_RETURN_IF_ERROR(io("recommendation_id", value.recommendation_id));
  SEER_RETURN_IF_ERROR(TargetFields(io, value.target));
  SEER_RETURN_IF_ERROR(io.KnownEnum("action", value.action, kActions));
  SEER_RETURN_IF_ERROR(io.KnownEnum("outcome", value.outcome, kActionOutcomes));
  SEER_RETURN_IF_ERROR(io("value_before", value.value_before));
  SEER_RETURN_IF_ERROR(io("value_after", value.value_after));
  SEER_RETURN_IF_ERROR(io("time_ns", value.time_ns));
  return io("detail", value.detail);
}

// Spans travel as they lie in memory (span.h). The record size is sent along, so that records can
// grow: a reader takes the bytes it knows, and what an older writer left out is zero.
absl::Status ReadSpans(std::string_view section, std::vector<Span>* spans) {
  spans->clear();
  if (section.empty()) return absl::OkStatus();
  WireReader r("SpanBatch.spans", section);
  std::uint32_t record_bytes = 0;
  std::uint32_t size = 0;
  SEER_RETURN_IF_ERROR(r.Number("record_bytes", &record_bytes));
  SEER_RETURN_IF_ERROR(r.Number("count", &size));
  if (record_bytes < sizeof(Span)) {
    return r.Error("record_bytes", absl::StrCat(record_bytes, " bytes; a span has ", sizeof(Span)));
  }
  SEER_RETURN_IF_ERROR(r.Need("count", size, record_bytes));
  spans->resize(size);
  SEER_RETURN_IF_ERROR(r.Records("span", size, record_bytes, sizeof(Span), spans->data()));
  for (std::size_t i = 0; i < size; ++i) {
    if (!(*spans)[i].StampsAreOrdered()) {
      return r.Error("span", absl::StrCat("span ", i, " has stamps that decrease"));
    }
  }
  return absl::OkStatus();
}

// Writes the only section of a value that is described by one function.
template <typename Value, typename Fields>
void EncodeFields(WireKind kind, const Value& value, std::string* bytes, Fields fields) {
  WireWriter w(kind, bytes);
  w.Section(kFields);
  FieldWriter io(w);
  fields(io, value).IgnoreError();  // writing cannot fail
  w.Finish();
}

template <typename Value, typename Fields>
absl::Status DecodeFields(WireKind kind, const char* section, std::string_view bytes, Value* value,
                          Fields fields) {
  return DecodeMessage(kind, bytes, value,
                       [&](const WireSections& sections, Value* out) -> absl::Status {
                         WireReader r(section, sections.Get(kFields));
                         FieldReader io(r);
                         return fields(io, *out);
                       });
}

}  // namespace
}  // namespace internal

void EncodeTo(const SpanBatch& batch, std::string* bytes) {
  internal::WireWriter w(WireKind::kSpanBatch, bytes);
  w.Reserve(256 + batch.spans.size() * sizeof(Span));
  w.Section(internal::kFields);
  internal::FieldWriter io(w);
  internal::BatchFields(io, batch).IgnoreError();  // writing cannot fail
  w.Section(internal::kSpans);
  w.Number(static_cast<std::uint32_t>(sizeof(Span)));
  w.Number(static_cast<std::uint32_t>(batch.spans.size()));
  w.Records(batch.spans.data(), batch.spans.size() * sizeof(Span));
  w.Finish();
}

absl::Status DecodeTo(std::string_view bytes, SpanBatch* batch) {
  return internal::DecodeMessage(
      WireKind::kSpanBatch, bytes, batch,
      [](const internal::WireSections& sections, SpanBatch* out) -> absl::Status {
        internal::WireReader r("SpanBatch.header", sections.Get(internal::kFields));
        internal::FieldReader io(r);
        SEER_RETURN_IF_ERROR(internal::BatchFields(io, *out));
        return internal::ReadSpans(sections.Get(internal::kSpans), &out->spans);
      });
}

void EncodeTo(const HwReading& reading, std::string* bytes) {
  internal::EncodeFields(WireKind::kHwReading, reading, bytes, [](auto& io, auto& value) {
    return internal::HwReadingFields(io, value);
  });
}

absl::Status DecodeTo(std::string_view bytes, HwReading* reading) {
  return internal::DecodeFields(
      WireKind::kHwReading, "HwReading", bytes, reading,
      [](auto& io, auto& value) { return internal::HwReadingFields(io, value); });
}

void EncodeTo(const Recommendation& recommendation, std::string* bytes) {
  internal::EncodeFields(
      WireKind::kRecommendation, recommendation, bytes,
      [](auto& io, auto& value) { return internal::RecommendationFields(io, value); });
}

absl::Status DecodeTo(std::string_view bytes, Recommendation* recommendation) {
  return internal::DecodeFields(
      WireKind::kRecommendation, "Recommendation", bytes, recommendation,
      [](auto& io, auto& value) { return internal::RecommendationFields(io, value); });
}

void EncodeTo(const ActionTaken& taken, std::string* bytes) {
  internal::EncodeFields(WireKind::kActionTaken, taken, bytes, [](auto& io, auto& value) {
    return internal::ActionTakenFields(io, value);
  });
}

absl::Status DecodeTo(std::string_view bytes, ActionTaken* taken) {
  return internal::DecodeFields(
      WireKind::kActionTaken, "ActionTaken", bytes, taken,
      [](auto& io, auto& value) { return internal::ActionTakenFields(io, value); });
}

SEER_END_NAMESPACE
