// The structs, with the numbers of jaeger-idl's jaeger.thrift:
//
//   Batch   1 process, 2 list<Span> spans, 3 i64 seqNo
//   Process 1 string serviceName, 2 list<Tag> tags
//   Span    1 i64 traceIdLow, 2 i64 traceIdHigh, 3 i64 spanId, 4 i64 parentSpanId,
//           5 string operationName, 7 i32 flags, 8 i64 startTime, 9 i64 duration (us),
//           10 list<Tag> tags, 11 list<Log> logs
//   Log     1 i64 timestamp (us), 2 list<Tag> fields
//   Tag     1 string key, 2 i32 vType (0 string, 2 bool, 3 long), 3 string vStr, 5 bool vBool,
//           6 i64 vLong
#include "seer/trace/jaeger.h"

#include <array>
#include <string_view>

#include "trace/span_facts.h"
#include "trace/text.h"

SEER_BEGIN_NAMESPACE

namespace {

enum class Type : std::uint8_t { kI32, kI64, kString, kStruct, kList };

class BinaryWriter {
 public:
  explicit BinaryWriter(std::string* out) : out_(out) {}

  void BeginStruct() {}
  void EndStruct() { out_->push_back(0); }
  void Field(Type type, int id) {
    out_->push_back(Code(type));
    BigEndian(static_cast<std::uint64_t>(id), 2);
  }
  void BoolField(int id, bool value) {
    constexpr char kBool = 2;
    out_->push_back(kBool);
    BigEndian(static_cast<std::uint64_t>(id), 2);
    out_->push_back(value ? 1 : 0);
  }
  void List(Type type, std::size_t size) {
    out_->push_back(Code(type));
    BigEndian(size, 4);
  }
  void I32(std::int32_t value) { BigEndian(static_cast<std::uint32_t>(value), 4); }
  void I64(std::int64_t value) { BigEndian(static_cast<std::uint64_t>(value), 8); }
  void String(std::string_view bytes) {
    BigEndian(bytes.size(), 4);
    out_->append(bytes);
  }

 private:
  static char Code(Type type) {
    constexpr char kCodes[] = {8, 10, 11, 12, 15};
    return kCodes[static_cast<std::size_t>(type)];
  }
  void BigEndian(std::uint64_t value, int bytes) {
    char text[8];
    for (int i = 0; i < bytes; ++i) {
      text[i] = static_cast<char>(value >> (8 * (bytes - 1 - i)));
    }
    out_->append(text, static_cast<std::size_t>(bytes));
  }

  std::string* const out_;
};

class CompactWriter {
 public:
  explicit CompactWriter(std::string* out) : out_(out) {}

  void BeginStruct() {
    SEER_DCHECK(depth_ + 1 < last_id_.size());
    last_id_[++depth_] = 0;
  }
  void EndStruct() {
    out_->push_back(0);
    --depth_;
  }
  void Field(Type type, int id) { Header(Code(type), id); }
  void BoolField(int id, bool value) { Header(value ? 1 : 2, id); }  // the type is the value
  void List(Type type, std::size_t size) {
    constexpr std::size_t kInHeader = 15;
    const std::size_t high = size < kInHeader ? size : kInHeader;
    out_->push_back(static_cast<char>(high << 4 | static_cast<unsigned>(Code(type))));
    if (size >= kInHeader) Varint(size);
  }
  void I32(std::int32_t value) { I64(value); }
  void I64(std::int64_t value) {
    Varint(static_cast<std::uint64_t>(value) << 1 ^ static_cast<std::uint64_t>(value >> 63));
  }
  void String(std::string_view bytes) {
    Varint(bytes.size());
    out_->append(bytes);
  }

 private:
  static char Code(Type type) {
    constexpr char kCodes[] = {5, 6, 8, 12, 9};
    return kCodes[static_cast<std::size_t>(type)];
  }
  // All distances between our fields are below 16.
  void Header(char code, int id) {
    const int distance = id - last_id_[depth_];
    SEER_DCHECK(distance > 0 && distance < 16);
    out_->push_back(static_cast<char>(distance << 4 | code));
    last_id_[depth_] = id;
  }
  void Varint(std::uint64_t value) {
    char text[10];
    std::size_t size = 0;
    while (value >= 0x80) {
      text[size++] = static_cast<char>(value | 0x80);
      value >>= 7;
    }
    text[size++] = static_cast<char>(value);
    out_->append(text, size);
  }

  std::string* const out_;
  std::array<int, 8> last_id_ = {};  // by nesting: Batch, Span, Log, Tag are the deepest
  std::size_t depth_ = 0;
};

template <typename Writer>
void WriteTag(std::string_view key, std::string_view text, Writer* w) {
  constexpr std::int32_t kString = 0;
  w->BeginStruct();
  w->Field(Type::kString, 1);
  w->String(key);
  w->Field(Type::kI32, 2);
  w->I32(kString);
  w->Field(Type::kString, 3);
  w->String(text);
  w->EndStruct();
}
template <typename Writer>
void WriteTag(std::string_view key, std::int64_t number, Writer* w) {
  constexpr std::int32_t kLong = 3;
  w->BeginStruct();
  w->Field(Type::kString, 1);
  w->String(key);
  w->Field(Type::kI32, 2);
  w->I32(kLong);
  w->Field(Type::kI64, 6);
  w->I64(number);
  w->EndStruct();
}
template <typename Writer>
void WriteTrueTag(std::string_view key, Writer* w) {
  constexpr std::int32_t kBool = 2;
  w->BeginStruct();
  w->Field(Type::kString, 1);
  w->String(key);
  w->Field(Type::kI32, 2);
  w->I32(kBool);
  w->BoolField(5, true);
  w->EndStruct();
}

std::string Utf8(std::string_view bytes) {
  std::string text;
  internal::AppendUtf8(bytes, &text);
  return text;
}

template <typename Writer>
void WriteProcess(const SpanBatch& batch, const internal::BatchFacts& facts, Writer* w) {
  w->BeginStruct();
  w->Field(Type::kString, 1);
  w->String(Utf8(facts.service));
  w->Field(Type::kList, 2);
  w->List(Type::kStruct, std::size_t{!facts.instance.empty()} + std::size_t{!facts.node.empty()} +
                             std::size_t{batch.dropped > 0});
  if (!facts.instance.empty()) WriteTag("service.instance.id", Utf8(facts.instance), w);
  if (!facts.node.empty()) WriteTag("hostname", Utf8(facts.node), w);  // Jaeger's word
  if (batch.dropped > 0) {
    WriteTag(internal::kDroppedSpansKey, static_cast<std::int64_t>(batch.dropped), w);
  }
  w->EndStruct();
}

template <typename Writer>
void WriteSpan(const Span& span, const internal::SpanFacts& facts, Writer* w) {
  const auto i64 = [&](int id, std::int64_t value) {
    w->Field(Type::kI64, id);
    w->I64(value);
  };
  w->BeginStruct();
  i64(1, static_cast<std::int64_t>(span.trace_id().low));
  i64(2, static_cast<std::int64_t>(span.trace_id().high));
  i64(3, static_cast<std::int64_t>(span.span_id()));
  i64(4, static_cast<std::int64_t>(span.parent_id()));
  w->Field(Type::kString, 5);
  w->String(Utf8(facts.name));
  constexpr std::int32_t kSampled = 1;
  w->Field(Type::kI32, 7);
  w->I32(kSampled);
  i64(8, span.start_ns() / 1000);
  i64(9, span.duration_ns() / 1000);

  const bool failed = internal::IsFailure(span.outcome());
  const bool tell_outcome = span.outcome() != Outcome::kOk;
  w->Field(Type::kList, 10);
  w->List(Type::kStruct, 1 + std::size_t{!facts.peer.empty()} +
                             std::size_t{facts.edge_id.has_value()} + std::size_t{tell_outcome} +
                             std::size_t{failed});
  WriteTag(
      "span.kind",
      span.side() == SpanSide::kServer ? std::string_view("server") : std::string_view("client"),
      w);
  if (!facts.peer.empty()) WriteTag(internal::kPeerServiceKey, Utf8(facts.peer), w);
  if (facts.edge_id) WriteTag(internal::kEdgeIdKey, std::int64_t{*facts.edge_id}, w);
  if (tell_outcome) WriteTag(internal::kOutcomeKey, internal::OutcomeName(span.outcome()), w);
  if (failed) WriteTrueTag("error", w);

  std::size_t known = 0;
  const std::size_t stamps = internal::StampsOf(span.side());
  for (std::size_t i = 0; i < stamps; ++i) known += std::size_t{span.stamp(i).has_value()};
  w->Field(Type::kList, 11);
  w->List(Type::kStruct, known);
  for (std::size_t i = 0; i < stamps; ++i) {
    const auto stamp = span.stamp(i);
    if (!stamp) continue;
    w->BeginStruct();
    i64(1, *stamp / 1000);
    w->Field(Type::kList, 2);
    w->List(Type::kStruct, 2);
    WriteTag("event", internal::StampName(span.side(), i), w);
    WriteTag("unix_ns", *stamp, w);
    w->EndStruct();
  }
  w->EndStruct();
}

template <typename Writer>
void WriteBatch(const SpanBatch& batch, const Topology& topology, Writer* w) {
  internal::Namer namer(batch, topology);
  w->BeginStruct();
  w->Field(Type::kStruct, 1);
  WriteProcess(batch, namer.Batch(), w);
  w->Field(Type::kList, 2);
  w->List(Type::kStruct, batch.spans.size());
  for (const Span& span : batch.spans) WriteSpan(span, namer.Of(span), w);
  w->Field(Type::kI64, 3);
  w->I64(static_cast<std::int64_t>(batch.sequence));
  w->EndStruct();
}

}  // namespace

void EncodeJaegerTo(const SpanBatch& batch, const Topology& topology, ThriftProtocol protocol,
                    std::string* bytes) {
  bytes->clear();
  if (protocol == ThriftProtocol::kCompact) {
    CompactWriter writer(bytes);
    WriteBatch(batch, topology, &writer);
  } else {
    BinaryWriter writer(bytes);
    WriteBatch(batch, topology, &writer);
  }
}

std::string EncodeJaeger(const SpanBatch& batch, const Topology& topology,
                         ThriftProtocol protocol) {
  std::string bytes;
  EncodeJaegerTo(batch, topology, protocol, &bytes);
  return bytes;
}

SEER_END_NAMESPACE
