// Flow: (internal) bytes of the arguments -> [TakeContext] -> TraceContext
//
// A context travels as one more field of the arguments struct, which every Thrift peer that does
// not know it skips: id 8888, map<string, string>, {"traceparent": "00-..."}. SkyWalking and
// OpenTelemetry for Java write the same; id 3333 is the older dialect, and is read only.
//
// seer's clients write the field first. There a server finds it without decoding: in the hook after
// the message's header, what is next in the transport's buffer is the field, in binary or compact
// protocol, which both put nothing on the wire where a struct begins. It is taken out of the
// buffer, and what the generated code reads is the message of a client that knows nothing of seer.
//
// Which protocol it is, the bytes say themselves: inside a multiplexer the type does not. Only a
// field that has no other names in it than headers of tracers is taken out; a map of the user's own
// with one of these ids is read, and stays. More than 100 entries or 8 KiB are not looked at.
//
// Elsewhere (JSON, transports without a buffer, the field at another place) args_reader.h reads
// the field from the protocol.
//
// Threads: pure but for the transport. Cost: no allocation, whatever the length of the message.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>
#include <typeinfo>
#include <utility>

#include <thrift/protocol/TProtocol.h>
#include <thrift/transport/TBufferTransports.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "absl/types/span.h"
#include "seer/core/config.h"
#include "seer/trace/context.h"
#include "seer/trace/propagation.h"

SEER_BEGIN_NAMESPACE
namespace internal {

inline constexpr std::int16_t kContextField = 8888;
inline constexpr std::int16_t kOldContextField = 3333;
inline constexpr std::size_t kMaxContextEntries = 100;
inline constexpr std::size_t kMaxContextBytes = 8192;
inline constexpr int kMaxContextFields = 4;  // one after the other, as some peers send both ids

using ContextEntry = std::pair<std::string_view, std::string_view>;

// What else may stand in a field that is taken out. Headers() reads these.
inline bool IsTracersHeader(std::string_view name) noexcept {
  if (name == "traceparent" || name == "tracestate" || name == "b3" || name == "uber-trace-id") {
    return true;
  }
  return name.size() > 5 && name.substr(0, 5) == "x-b3-";
}

// One field of bytes that may be a context.
struct ContextField {
  enum Kind : std::uint8_t {
    kNone,     // something else
    kPartial,  // it may be one, but the bytes end before it does
    kMap,      // map<string, string> with one of the two ids
  };
  Kind kind = kNone;
  bool compact = false;
  bool only_headers = false;  // and at least one
  std::size_t bytes = 0;      // with its own header
  TraceContext context;       // not valid(): there is none in the map
};

namespace args {

// The field up to the traceparent's version and dash.
inline constexpr std::string_view kBinaryStart(
    "\x0D\x22\xB8"
    "\x0B\x0B\0\0\0\1"
    "\0\0\0\x0B"
    "traceparent"
    "\0\0\0\x37"
    "00-",
    31);
inline constexpr std::string_view kCompactStart(
    "\x0B\xF0\x8A\x01"
    "\1\x88"
    "\x0B"
    "traceparent"
    "\x37"
    "00-",
    22);
inline constexpr std::size_t kVersionBytes = 3;
// All of it, without a tracestate.
template <const std::string_view& kStart>
inline constexpr std::size_t kOwnBytes = kStart.size() - kVersionBytes + kTraceparentBytes;
static_assert(kTraceparentBytes == 0x37);

// The first three bytes of a field with one of the two ids, in either protocol.
inline bool MayStart(std::string_view bytes) noexcept {
  const std::uint32_t start = static_cast<std::uint32_t>(static_cast<std::uint8_t>(bytes[0]))
                                  << 16 |
                              static_cast<std::uint32_t>(static_cast<std::uint8_t>(bytes[1])) << 8 |
                              static_cast<std::uint8_t>(bytes[2]);
  return start == 0x0D22B8 || start == 0x0D0D05 || start == 0x0BF08A || start == 0x0B8A34;
}

// Reads forward and never beyond the end; after the first failure everything fails.
class Cursor {
 public:
  explicit Cursor(std::string_view bytes) : bytes_(bytes) {}

  std::size_t at() const { return at_; }
  bool ended() const { return ended_; }  // failed because there is no more

  bool Byte(std::uint8_t* byte) {
    if (at_ == bytes_.size()) return End();
    *byte = static_cast<std::uint8_t>(bytes_[at_++]);
    return true;
  }
  bool BigEndian(std::size_t width, std::uint32_t* value) {
    *value = 0;
    for (std::size_t i = 0; i < width; ++i) {
      std::uint8_t byte = 0;
      if (!Byte(&byte)) return false;
      *value = *value << 8 | byte;
    }
    return true;
  }
  bool Varint(std::uint32_t* value) {
    *value = 0;
    for (int shift = 0; shift < 35; shift += 7) {
      std::uint8_t byte = 0;
      if (!Byte(&byte)) return false;
      *value |= static_cast<std::uint32_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return true;
    }
    return false;
  }
  bool Text(std::uint32_t size, std::string_view* text) {
    if (size > kMaxContextBytes) return false;
    if (size > bytes_.size() - at_) return End();
    *text = bytes_.substr(at_, size);
    at_ += size;
    return true;
  }

 private:
  bool End() {
    ended_ = true;
    return false;
  }
  const std::string_view bytes_;
  std::size_t at_ = 0;
  bool ended_ = false;
};

inline bool IsContextId(std::uint32_t id) {
  return id == static_cast<std::uint32_t>(kContextField) ||
         id == static_cast<std::uint32_t>(kOldContextField);
}

// The header of the field and of the map; false: it is something else, or the bytes have ended.
inline bool Start(Cursor* cursor, bool* compact, std::uint32_t* entries) {
  std::uint8_t type = 0;
  if (!cursor->Byte(&type)) return false;
  *compact = type == 0x0B;  // a map with its id in full; in binary this would be a string
  if (!*compact) {
    std::uint32_t id = 0, types = 0;
    return type == 0x0D && cursor->BigEndian(2, &id) && IsContextId(id) &&
           cursor->BigEndian(2, &types) && types == 0x0B0B && cursor->BigEndian(4, entries);
  }
  std::uint32_t zigzag = 0;
  if (!cursor->Varint(&zigzag) || zigzag % 2 != 0 || !IsContextId(zigzag / 2)) return false;
  std::uint8_t types = 0;
  if (!cursor->Varint(entries)) return false;
  return *entries == 0 || (cursor->Byte(&types) && types == 0x88);
}

inline bool Text(Cursor* cursor, bool compact, std::string_view* text) {
  std::uint32_t size = 0;
  return (compact ? cursor->Varint(&size) : cursor->BigEndian(4, &size)) &&
         cursor->Text(size, text);
}

inline bool Entries(Cursor* cursor, std::uint32_t count, ContextField* field) {
  std::array<ContextEntry, kMaxContextEntries> entries;
  if (count > entries.size()) return false;
  field->only_headers = count > 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    auto& [name, value] = entries[i];
    if (!Text(cursor, field->compact, &name) || !Text(cursor, field->compact, &value)) return false;
    if (cursor->at() > kMaxContextBytes) return false;
    field->only_headers = field->only_headers && IsTracersHeader(name);
  }
  field->context = Extract(absl::Span<const ContextEntry>(entries.data(), count));
  return true;
}

// Sixteen lower-case hexadecimal digits at once; false: others are among them, or this machine
// cannot.
inline bool Hex16(const char* text, std::uint64_t* value) noexcept {
#if defined(__SSE2__)
  const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text));
  const __m128i digit = _mm_sub_epi8(v, _mm_set1_epi8('0'));
  const __m128i letter = _mm_sub_epi8(v, _mm_set1_epi8('a'));
  const __m128i is_digit = _mm_cmpeq_epi8(_mm_min_epu8(digit, _mm_set1_epi8(9)), digit);
  const __m128i is_letter = _mm_cmpeq_epi8(_mm_min_epu8(letter, _mm_set1_epi8(5)), letter);
  const __m128i nibbles =
      _mm_or_si128(_mm_and_si128(is_digit, digit),
                   _mm_and_si128(is_letter, _mm_add_epi8(letter, _mm_set1_epi8(10))));
  // Of each two the first is the upper half of a byte; then eight bytes, the first the highest.
  const __m128i pairs = _mm_and_si128(
      _mm_or_si128(_mm_slli_epi16(nibbles, 4), _mm_srli_epi16(nibbles, 8)), _mm_set1_epi16(0xFF));
  std::uint64_t bytes = 0;
  _mm_storel_epi64(reinterpret_cast<__m128i*>(&bytes), _mm_packus_epi16(pairs, pairs));
  *value = __builtin_bswap64(bytes);
  return _mm_movemask_epi8(_mm_or_si128(is_digit, is_letter)) == 0xFFFF;
#else
  static_cast<void>(text);
  static_cast<void>(value);
  return false;
#endif
}

// ParseTraceparent() for what seer writes, behind the version. `text` has kTraceparentBytes. False:
// ask that one, and nothing has been written.
inline bool OwnTraceparent(const char* text, TraceContext* context) noexcept {
  TraceId trace_id;
  std::uint64_t span_id = 0;
  // No branch between them: there is none to predict wrongly.
  const int digits = int{Hex16(text + 3, &trace_id.high)} + int{Hex16(text + 19, &trace_id.low)} +
                     int{Hex16(text + 36, &span_id)};
  if (digits != 3 || !trace_id.valid() || span_id == 0) return false;
  // Of the flags only those that seer carries: 00 to 03.
  std::uint16_t dash = 0;
  std::memcpy(&dash, text + 52, sizeof(dash));
  std::uint16_t dash_zero = 0;
  std::memcpy(&dash_zero, "-0", sizeof(dash_zero));
  const auto flags = static_cast<std::uint8_t>(text[54] - '0');
  if (text[35] != '-' || dash != dash_zero || flags > 3) return false;
  context->trace_id = trace_id;
  context->span_id = span_id;
  context->flags = flags;
  return true;
}

// Whether the first kSize bytes are equal.
template <std::size_t kSize>
inline bool SameStart(const char* a, const char* b) noexcept {
  static_assert(kSize >= 16 && kSize <= 32);
#if defined(__SSE2__)
  const auto load = [](const char* at) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
  };
  const __m128i same = _mm_and_si128(_mm_cmpeq_epi8(load(a), load(b)),
                                     _mm_cmpeq_epi8(load(a + kSize - 16), load(b + kSize - 16)));
  return _mm_movemask_epi8(same) == 0xFFFF;
#else
  return std::memcmp(a, b, kSize) == 0;
#endif
}

// The field as seer's own clients write it without a tracestate, found with one comparison of known
// length: the number of its bytes, or 0.
template <const std::string_view& kStart>
inline std::size_t OwnField(std::string_view bytes, TraceContext* context) noexcept {
  constexpr std::size_t kSize = kOwnBytes<kStart>;
  if (bytes.size() <= kSize) return 0;
  // Another such field may follow, or in compact an id that needs this one.
  const auto next = static_cast<std::uint8_t>(bytes[kSize]);
  const bool alone = kStart[0] == 0x0D ? next != 0x0D : next != 0x0B && (next & 0xF0) == 0;
  return alone && SameStart<kStart.size()>(bytes.data(), kStart.data()) &&
                 OwnTraceparent(bytes.data() + kStart.size() - kVersionBytes, context)
             ? kSize
             : 0;
}

// The common case of FindContext(): the number of bytes to take out, 0 for all other cases.
inline std::size_t OwnContext(std::string_view bytes, TraceContext* context) noexcept {
  if (bytes.empty()) return 0;
  if (bytes[0] == 0x0D) return OwnField<kBinaryStart>(bytes, context);
  if (bytes[0] == 0x0B) return OwnField<kCompactStart>(bytes, context);
  return 0;
}

}  // namespace args

// The field at the start of `bytes`, into a field as it is after construction.
inline void ReadContextField(std::string_view bytes, ContextField* field) noexcept {
  args::Cursor cursor(bytes);
  std::uint32_t entries = 0;
  if (args::Start(&cursor, &field->compact, &entries) && args::Entries(&cursor, entries, field)) {
    field->kind = ContextField::kMap;
    field->bytes = cursor.at();
  } else {
    field->kind = cursor.ended() && bytes.size() < kMaxContextBytes ? ContextField::kPartial
                                                                    : ContextField::kNone;
  }
}

struct ContextInBytes {
  bool partial = false;      // more bytes may show one
  std::size_t consumed = 0;  // what to take out, from the start
  TraceContext context;
};

// Up to kMaxContextFields of them, one after the other; the first valid context wins.
inline void FindContext(std::string_view bytes, ContextInBytes* found) noexcept {
  std::size_t at = 0;
  bool take = true;
  for (int i = 0; i < kMaxContextFields; ++i) {
    ContextField field;
    ReadContextField(bytes.substr(at), &field);
    if (field.kind == ContextField::kPartial && !found->context.valid()) found->partial = true;
    if (field.kind != ContextField::kMap) return;
    at += field.bytes;
    // Compact writes the id of the next field as the distance to this one's, where it is short:
    // such a field would get another id if this one were gone.
    take = take && field.only_headers &&
           !(field.compact && (at == bytes.size() || (bytes[at] & 0xF0) != 0));
    if (take) found->consumed = at;
    if (field.context.valid()) {
      if (!found->context.valid()) found->context = std::move(field.context);
      // Another one hardly ever follows; what is no map does not start like one.
      if (at == bytes.size() || (bytes[at] != 0x0D && bytes[at] != 0x0B)) return;
    }
  }
}

// The transport of a protocol without a copy of the shared pointer, which costs two atomic
// operations a call. (A protected member, by way of a class that may name it.)
struct TransportOf : apache::thrift::protocol::TProtocol {
  static apache::thrift::transport::TTransport* Get(
      apache::thrift::protocol::TProtocol* protocol) noexcept {
    return (protocol->*(&TransportOf::ptrans_)).get();
  }
};

// Of a TBufferedTransport, which has in its buffer what a read() happened to bring: more of it.
struct BufferOf : apache::thrift::transport::TBufferedTransport {
  // False: there is no room. May throw what read() throws, or wait; who decodes the message would.
  static bool ReadMore(apache::thrift::transport::TBufferedTransport* transport) {
    std::uint8_t*& base = transport->*(&BufferOf::rBase_);
    std::uint8_t*& bound = transport->*(&BufferOf::rBound_);
    std::uint8_t* const buffer = (transport->*(&BufferOf::rBuf_)).get();
    const auto size = static_cast<std::size_t>(transport->*(&BufferOf::rBufSize_));
    const auto held = static_cast<std::size_t>(bound - base);
    if (held >= size) return false;
    if (held > 0) std::memmove(buffer, base, held);
    base = buffer;
    bound = buffer + held;
    const std::uint32_t got =
        (transport->*(&BufferOf::transport_))->read(bound, static_cast<std::uint32_t>(size - held));
    bound += got;
    return got > 0;
  }
};

// The transport, if its functions are TBufferBase's own, which then need not be called virtually:
// not so in a class of the host's that is derived from one of these. Else null.
inline apache::thrift::transport::TBufferBase* OwnBuffer(
    apache::thrift::transport::TTransport& transport) noexcept {
  const std::type_info& type = typeid(transport);
  if (type != typeid(apache::thrift::transport::TFramedTransport) &&
      type != typeid(apache::thrift::transport::TBufferedTransport) &&
      type != typeid(apache::thrift::transport::TMemoryBuffer)) {
    return nullptr;
  }
  return static_cast<apache::thrift::transport::TBufferBase*>(&transport);
}

namespace args {

// Also of fields that seer's clients do not write, and of any transport.
[[gnu::noinline]] inline bool TakeAnyContext(apache::thrift::transport::TTransport* transport,
                                             TraceContext* out) {
  if (transport == nullptr) return false;  // a protocol by hand
  // The buffer holds at most 8 KiB of what matters; each round brings at least one byte.
  for (std::size_t round = 0; round <= kMaxContextBytes; ++round) {
    std::uint32_t size = 0;
    const std::uint8_t* const buffer = transport->borrow(nullptr, &size);  // what is there: O(1)
    if (buffer == nullptr) return false;
    const std::string_view bytes(reinterpret_cast<const char*>(buffer), size);
    if (const std::size_t own = OwnContext(bytes, out)) {
      transport->consume(static_cast<std::uint32_t>(own));
      return true;
    }
    if (size >= 3 && !MayStart(bytes)) return false;
    ContextInBytes found;
    FindContext(bytes, &found);
    if (found.partial) {
      auto* const buffered =
          dynamic_cast<apache::thrift::transport::TBufferedTransport*>(transport);
      if (buffered != nullptr && BufferOf::ReadMore(buffered)) continue;
    }
    if (found.consumed > 0) transport->consume(static_cast<std::uint32_t>(found.consumed));
    if (!found.context.valid()) return false;
    *out = std::move(found.context);
    return true;
  }
  return false;
}

}  // namespace args

// Call it where the arguments begin: after readMessageBegin(), before anything else is read. True:
// there is a context, now in `out`. `buffer`: OwnBuffer() of its transport, where that is known.
inline bool TakeContext(apache::thrift::protocol::TProtocol* in, TraceContext* out,
                        apache::thrift::transport::TBufferBase* buffer = nullptr) noexcept {
  try {
    if (__builtin_expect(buffer != nullptr, 1)) {
      std::uint32_t size = 0;
      const std::uint8_t* const next = buffer->borrow(nullptr, &size);
      const std::string_view bytes(reinterpret_cast<const char*>(next), size);
      if (const std::size_t own = args::OwnContext(bytes, out); __builtin_expect(own != 0, 1)) {
        buffer->consume(static_cast<std::uint32_t>(own));
        return true;
      }
      if (size >= 3 && !args::MayStart(bytes)) return false;
    }
    return args::TakeAnyContext(TransportOf::Get(in), out);
  } catch (...) {  // the connection broke: the generated code will find out, and say so
  }
  return false;
}

}  // namespace internal
SEER_END_NAMESPACE
