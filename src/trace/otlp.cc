// The messages, with the numbers of opentelemetry/proto/trace/v1/trace.proto:
//
//   TracesData    1 resource_spans
//   ResourceSpans 1 resource {1 attributes}, 2 scope_spans
//   ScopeSpans    1 scope {1 name, 2 version, 3 attributes}, 2 spans
//   Span          1 trace_id, 2 span_id, 4 parent_span_id, 5 name, 6 kind, 7 start, 8 end,
//                 9 attributes, 11 events {1 time, 2 name}, 15 status {2 message, 3 code}
//   KeyValue      1 key, 2 value {1 string, 3 int}
//
// All that differs between two spans of the same method, edge, side, outcome and known stamps has a
// fixed size. So such spans have one template, of which each is a copy with its ids and times put
// in: a memcpy and a dozen stores.
#include "seer/trace/otlp.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

#include "trace/span_facts.h"
#include "trace/text.h"

SEER_BEGIN_NAMESPACE

namespace {

using internal::SpanBytes;

constexpr std::size_t kMaxTemplateBytes = std::size_t{1} << 20;
// Places for each template: so many that a key is nearly always found at once.
constexpr std::size_t kPlacesPerTemplate = 8;

// Bytes of a template that are copied whatever its size: most are no longer.
constexpr std::size_t kCopiedAtOnce = 192;
// By how many bytes the output is made longer at a time.
constexpr std::size_t kAhead = 4096;

constexpr int kVarint = 0, kFixed64 = 1, kBytes = 2;

void PutVarint(std::uint64_t value, std::string* out) {
  while (value >= 0x80) {
    out->push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out->push_back(static_cast<char>(value));
}
void PutTag(int field, int type, std::string* out) {
  PutVarint(static_cast<std::uint64_t>(field) << 3 | static_cast<std::uint64_t>(type), out);
}
void PutBytes(int field, std::string_view bytes, std::string* out) {
  PutTag(field, kBytes, out);
  PutVarint(bytes.size(), out);
  out->append(bytes);
}
void PutNumber(int field, std::uint64_t value, std::string* out) {
  PutTag(field, kVarint, out);
  PutVarint(value, out);
}
void PutText(int field, std::string_view text, std::string* out) {
  std::string utf8;  // proto3 strings are UTF-8, or parsers refuse the message
  internal::AppendUtf8(text, &utf8);
  PutBytes(field, utf8, out);
}
// Room for a fixed64; tells where.
std::size_t PutRoom(int field, std::string* out) {
  PutTag(field, kFixed64, out);
  out->append(8, '\0');
  return out->size() - 8;
}

void PutAttribute(int field, std::string_view key, std::string_view text, std::string* out) {
  std::string value, attribute;
  PutText(1, text, &value);
  PutBytes(1, key, &attribute);
  PutBytes(2, value, &attribute);
  PutBytes(field, attribute, out);
}
void PutAttribute(int field, std::string_view key, std::uint64_t number, std::string* out) {
  std::string value, attribute;
  PutNumber(3, number, &value);
  PutBytes(1, key, &attribute);
  PutBytes(2, value, &attribute);
  PutBytes(field, attribute, out);
}

std::size_t VarintBytes(std::uint64_t value) {
  std::size_t bytes = 1;
  while (value >= 0x80) {
    ++bytes;
    value >>= 7;
  }
  return bytes;
}

// What a template depends on: method, edge, side, outcome, known stamps, and whether there is a
// parent, in place of the shift of the stamps.
std::uint64_t KeyOf(SpanBytes span) {
  constexpr std::uint64_t kShift = ((std::uint64_t{1} << SpanBytes::kShiftBits) - 1)
                                   << SpanBytes::kShiftBit;
  return (span.bits() & ~kShift) | static_cast<std::uint64_t>(span.parent_id() != 0)
                                       << SpanBytes::kShiftBit;
}
bool HasParent(std::uint64_t key) { return (key >> SpanBytes::kShiftBit & 1) != 0; }
// A span with the fields of the key, to be asked for them.
Span SpanOf(std::uint64_t key) {
  return SpanBytes::WithBits(key & ~(std::uint64_t{1} << SpanBytes::kShiftBit));
}

std::size_t HashOf(std::uint64_t key) {
  key *= 0x9e3779b97f4a7c15;  // 2^64 over the golden ratio: spreads neighbouring ids
  return static_cast<std::size_t>(key >> 32);
}

void Store(std::uint64_t number, char* at) { std::memcpy(at, &number, sizeof(number)); }
void StoreBigEndian(std::uint64_t number, char* at) { Store(__builtin_bswap64(number), at); }

// Resource and scope of a batch: fields 1 of ResourceSpans and of ScopeSpans.
void PutResource(const internal::BatchFacts& facts, std::string* out) {
  std::string resource;
  PutAttribute(1, "service.name", facts.service, &resource);
  if (!facts.instance.empty()) {
    PutAttribute(1, "service.instance.id", facts.instance, &resource);
  }
  if (!facts.node.empty()) PutAttribute(1, "host.name", facts.node, &resource);
  PutBytes(1, resource, out);
}
void PutScope(const SpanBatch& batch, std::string* out) {
  std::string scope;
  PutBytes(1, "seer", &scope);
  PutBytes(2, internal::kLibraryVersion, &scope);
  if (batch.dropped > 0) PutAttribute(3, internal::kDroppedSpansKey, batch.dropped, &scope);
  PutBytes(1, scope, out);
}

}  // namespace

void OtlpEncoder::ForgetUnless(const SpanBatch& batch, const Topology& topology) {
  const bool same_numbering = topology.origin().SameNumbering(batch.origin);
  if (!templates_.empty() && same_numbering == same_numbering_ &&
      topology.origin() == topology_origin_) {
    return;
  }
  topology_origin_ = topology.origin();
  same_numbering_ = same_numbering;
  Forget();
}

void OtlpEncoder::Forget() {
  templates_.assign(32 * kPlacesPerTemplate, Template());
  used_ = 0;
  template_bytes_.clear();
  template_end_ = 0;
}

// Where the key is, or may be placed.
inline OtlpEncoder::Template* OtlpEncoder::Place(std::uint64_t key) {
  const std::size_t mask = templates_.size() - 1;
  std::size_t i = HashOf(key) & mask;
  while (templates_[i].size != 0 && templates_[i].key != key) i = (i + 1) & mask;  // most are free
  return &templates_[i];
}

void OtlpEncoder::Grow() {
  std::vector<Template> old(templates_.size() * 2);
  old.swap(templates_);
  for (const Template& t : old) {
    if (t.size != 0) *Place(t.key) = t;
  }
}

// Kept out of the loop over the spans, which it would burden with registers to save.
[[gnu::noinline]] const OtlpEncoder::Template* OtlpEncoder::Make(std::uint64_t key,
                                                                 const SpanBatch& batch,
                                                                 const Topology& topology) {
  // Also in the middle of a batch: a hostile one may have as many kinds as spans.
  if (template_end_ > kMaxTemplateBytes) Forget();
  const Span span = SpanOf(key);
  internal::Namer namer(batch, topology);
  const internal::SpanFacts facts = namer.Of(span);
  const internal::KnownStamps known(span);
  const std::string_view outcome = internal::OutcomeName(span.outcome());

  std::string body;
  PutBytes(1, std::string(16, '\0'), &body);
  PutBytes(2, std::string(8, '\0'), &body);
  constexpr std::size_t kIdsAt = 2;
  std::size_t parent_at = kIdsAt;
  if (HasParent(key)) {
    PutBytes(4, std::string(8, '\0'), &body);
    parent_at = body.size() - 8;
  }
  PutText(5, facts.name, &body);
  constexpr std::uint64_t kKindServer = 2, kKindClient = 3;
  PutNumber(6, span.side() == SpanSide::kServer ? kKindServer : kKindClient, &body);
  const std::size_t times_at = PutRoom(7, &body);
  PutRoom(8, &body);
  if (!facts.peer.empty()) PutAttribute(9, internal::kPeerServiceKey, facts.peer, &body);
  if (facts.edge_id) PutAttribute(9, internal::kEdgeIdKey, *facts.edge_id, &body);
  if (span.outcome() != Outcome::kOk) PutAttribute(9, internal::kOutcomeKey, outcome, &body);
  if (const auto first = known.FirstToTell()) {
    PutAttribute(9, internal::kFirstStampKey, *first, &body);
  }
  if (const auto last = known.LastToTell()) {
    PutAttribute(9, internal::kLastStampKey, *last, &body);
  }
  std::array<std::size_t, kBetween> stamp_at;
  stamp_at.fill(times_at);
  for (std::size_t i = known.first + 1; i < known.last; ++i) {
    if (!span.stamp(i).has_value()) continue;
    std::string event;
    const std::size_t time_at = PutRoom(1, &event);
    PutBytes(2, internal::StampName(span.side(), i), &event);
    PutBytes(11, event, &body);
    stamp_at[i - 1] = body.size() - event.size() + time_at;
  }
  if (internal::IsFailure(span.outcome())) {
    constexpr std::uint64_t kStatusError = 2;
    std::string status;
    PutBytes(2, outcome, &status);
    PutNumber(3, kStatusError, &status);
    PutBytes(15, status, &body);
  }

  std::string bytes;
  PutBytes(2, body, &bytes);  // ScopeSpans.spans
  const std::size_t head = bytes.size() - body.size();
  // Two names of at most 255 bytes, each of which becomes at most three: far below 64 KiB.
  static_assert(2 * 3 * Topology::kMaxNameBytes + 512 < (1 << 16));
  const auto at = [&](std::size_t in_body) { return static_cast<std::uint16_t>(head + in_body); };
  Template t;
  t.key = key;
  t.begin = static_cast<std::uint32_t>(template_end_);
  t.size = static_cast<std::uint16_t>(bytes.size());
  t.ids_at = at(kIdsAt);
  t.parent_at = at(parent_at);
  t.times_at = at(times_at);
  for (std::size_t i = 0; i < kBetween; ++i) t.stamp_at[i] = at(stamp_at[i]);
  // Behind the last template stands room for what is copied too much.
  template_bytes_.resize(t.begin);
  template_bytes_.append(bytes);
  template_end_ = template_bytes_.size();
  template_bytes_.append(kCopiedAtOnce, '\0');

  if (++used_ > templates_.size() / kPlacesPerTemplate) Grow();
  Template* const place = Place(key);
  *place = t;
  return place;
}

void OtlpEncoder::AppendSpans(const SpanBatch& batch, const Topology& topology,
                              std::string* bytes) {
  std::size_t written = bytes->size();
  for (const Span& s : batch.spans) {
    const SpanBytes span(s);
    const std::uint64_t key = KeyOf(span);
    const Template* t = Place(key);
    if (t->size == 0) t = Make(key, batch, topology);
    // resize() fills with zeros what is then written over: a little at a time, so that it also
    // brings just the lines that come next into the first-level cache.
    const std::size_t needed = written + std::max<std::size_t>(t->size, kCopiedAtOnce);
    if (needed > bytes->size()) bytes->resize(needed + kAhead);
    char* const out = bytes->data() + written;
    const char* const from = template_bytes_.data() + t->begin;
    // Without a branch on the size, which would be hard to predict; too much is covered by the next
    // span, or cut off at the end.
    std::memcpy(out, from, kCopiedAtOnce);
    if (t->size > kCopiedAtOnce) {
      std::memcpy(out + kCopiedAtOnce, from + kCopiedAtOnce, t->size - kCopiedAtOnce);
    }
    written += t->size;

    // Without a branch: what a span lacks goes where a later store covers it.
    const std::uint64_t first = span.first_ns();
    const int shift = span.shift();
    const auto after_first = [&](std::uint32_t units) {
      return first + (std::uint64_t{units} << shift);
    };
    const std::uint32_t latest =
        std::max(std::max(span.later(1), span.later(2)), std::max(span.later(3), span.later(4)));
    for (std::size_t i = 0; i < kBetween; ++i) {
      Store(after_first(span.later(i + 1)), out + t->stamp_at[i]);
    }
    char* const times = out + t->times_at;  // <start> 41 <end>
    Store(first, times);
    Store(after_first(latest), times + 9);
    StoreBigEndian(span.parent_id(), out + t->parent_at);
    char* const ids = out + t->ids_at;  // <trace id> 12 08 <span id>
    StoreBigEndian(span.trace_high(), ids);
    StoreBigEndian(span.trace_low(), ids + 8);
    StoreBigEndian(span.span_id(), ids + 18);
  }
  bytes->resize(written);
}

void OtlpEncoder::Append(const SpanBatch& batch, const Topology& topology, std::string* bytes) {
  ForgetUnless(batch, topology);
  std::string resource, scope;
  PutResource(internal::Namer(batch, topology).Batch(), &resource);
  PutScope(batch, &scope);

  // Lengths stand before what they measure. How many bytes the spans take is known only afterwards,
  // but how many bytes that length takes can be guessed, and nearly always rightly.
  const std::size_t begin = bytes->size();
  const auto head_of = [&](std::size_t bytes_of_spans) {
    const std::size_t scope_spans = scope.size() + bytes_of_spans;
    const std::size_t resource_spans = resource.size() + 1 + VarintBytes(scope_spans) + scope_spans;
    std::string head;
    PutTag(1, kBytes, &head);
    PutVarint(resource_spans, &head);
    head.append(resource);
    PutTag(2, kBytes, &head);
    PutVarint(scope_spans, &head);
    head.append(scope);
    return head;
  };
  const std::size_t guess = batch.spans.size() * bytes_per_span_;
  const std::size_t guessed_head = head_of(guess).size();
  bytes->reserve(begin + guessed_head + guess + guess / 8 + kAhead);
  bytes->append(guessed_head, '\0');
  AppendSpans(batch, topology, bytes);
  const std::size_t bytes_of_spans = bytes->size() - begin - guessed_head;
  bytes->replace(begin, guessed_head, head_of(bytes_of_spans));  // a wrong guess moves the spans
  if (!batch.spans.empty()) bytes_per_span_ = bytes_of_spans / batch.spans.size() + 1;
}

std::string EncodeOtlp(const SpanBatch& batch, const Topology& topology) {
  std::string bytes;
  OtlpEncoder().Append(batch, topology, &bytes);
  return bytes;
}

SEER_END_NAMESPACE
