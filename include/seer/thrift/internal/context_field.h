// Flow: (internal) TraceContext -> [the field 8888 of the arguments] -> bytes
//
// What args_context.h reads: in binary and compact as one piece of bytes, in other protocols field
// by field.
//
// Threads: pure. Cost: about 60 instructions; where the transport's buffer has no room, 640 bytes
// of
//          stack and a write more.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

#include <thrift/protocol/TProtocol.h>
#include <thrift/transport/TBufferTransports.h>

#include "seer/core/config.h"
#include "seer/thrift/internal/args_context.h"
#include "seer/trace/context.h"
#include "seer/trace/propagation.h"

SEER_BEGIN_NAMESPACE
namespace internal {

inline constexpr std::string_view kTracestate = "tracestate";

// Sixteen lower-case hexadecimal digits at once, see args::Hex16().
inline void WriteHex16(std::uint64_t number, std::uint8_t* out) noexcept {
#if defined(__x86_64__)
  const __m128i bytes = _mm_cvtsi64_si128(static_cast<long long>(__builtin_bswap64(number)));
  const __m128i twice = _mm_unpacklo_epi8(bytes, bytes);  // of each two one for each digit
  const __m128i nibbles = _mm_or_si128(_mm_and_si128(_mm_srli_epi16(twice, 4), _mm_set1_epi16(0xF)),
                                       _mm_and_si128(twice, _mm_set1_epi16(0xF00)));
  const __m128i is_letter = _mm_cmpgt_epi8(nibbles, _mm_set1_epi8(9));
  const __m128i digits = _mm_add_epi8(_mm_add_epi8(nibbles, _mm_set1_epi8('0')),
                                      _mm_and_si128(is_letter, _mm_set1_epi8('a' - '0' - 10)));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out), digits);
#else
  for (int i = 15; i >= 0; --i, number >>= 4) {
    out[i] = static_cast<std::uint8_t>("0123456789abcdef"[number & 0xF]);
  }
#endif
}
// Both forms: the start, the ids and flags of the traceparent, and perhaps a tracestate. kCountAt:
// where in the start the number of entries is.
template <const std::string_view& kStart, std::size_t kCountAt, bool kCompact>
class ContextFieldBytes {
 public:
  // Without a tracestate.
  static constexpr std::uint32_t kPlainBytes = args::kOwnBytes<kStart>;
  static bool IsPlain(const TraceContext& context) noexcept {
    return context.tracestate == nullptr || context.tracestate->empty() ||
           context.tracestate->size() > kMaxTracestateBytes;
  }
  static void WritePlain(const TraceContext& context, std::uint8_t* out) noexcept {
    std::memcpy(out, kStart.data(), kStart.size());
    out += kStart.size();
    WriteHex16(context.trace_id.high, out);
    WriteHex16(context.trace_id.low, out + 16);
    out[32] = '-';
    WriteHex16(context.span_id, out + 33);
    out[49] = '-';
    out[50] = '0';
    constexpr std::uint8_t kKnown = TraceContext::kSampled | TraceContext::kRandomId;
    out[51] = static_cast<std::uint8_t>('0' + (context.flags & kKnown));
  }

  explicit ContextFieldBytes(const TraceContext& context) noexcept : size_(kPlainBytes) {
    WritePlain(context, bytes_.data());
    if (IsPlain(context)) return;
    bytes_[kCountAt] = 2;
    AppendText(kTracestate);
    AppendText(*context.tracestate);
  }
  const std::uint8_t* data() const { return bytes_.data(); }
  std::uint32_t size() const { return size_; }

 private:
  void Append(std::size_t byte) { bytes_[size_++] = static_cast<std::uint8_t>(byte); }
  void AppendText(std::string_view text) {
    const std::size_t size = text.size();  // below 2^14
    if constexpr (kCompact) {
      if (size >= 0x80) {
        Append(0x80 | (size & 0x7F));
        Append(size >> 7);
      } else {
        Append(size);
      }
    } else {
      Append(0);
      Append(0);
      Append(size >> 8);
      Append(size & 0xFF);
    }
    std::memcpy(bytes_.data() + size_, text.data(), size);
    size_ += static_cast<std::uint32_t>(size);
  }

  std::uint32_t size_;
  std::array<std::uint8_t, kPlainBytes + 8 + 10 + kMaxTracestateBytes> bytes_;
};
using BinaryContextField = ContextFieldBytes<args::kBinaryStart, 8, false>;
using CompactContextField = ContextFieldBytes<args::kCompactStart, 4, true>;

// Of a transport whose write() is TBufferBase's own (OwnBuffer() in args_context.h).
struct WriteBufferOf : apache::thrift::transport::TBufferBase {
  // Where `size` bytes may be put, which count as written; null: there is no room for them.
  static std::uint8_t* Take(TBufferBase& transport, std::uint32_t size) noexcept {
    std::uint8_t*& next = transport.*(&WriteBufferOf::wBase_);
    if (size > transport.*(&WriteBufferOf::wBound_) - next) return nullptr;
    std::uint8_t* const place = next;
    next += size;
    return place;
  }
};

// Call it within the arguments struct, before its first field. `text` is only written to: where it
// is kept from call to call, nothing is allocated.
template <typename Protocol>
std::uint32_t WriteContextField(Protocol& out, const TraceContext& context, std::string* text) {
  using apache::thrift::protocol::T_MAP;
  using apache::thrift::protocol::T_STRING;
  const bool state = context.tracestate != nullptr && !context.tracestate->empty();
  std::uint32_t bytes = out.writeFieldBegin("seer", T_MAP, kContextField);
  bytes += out.writeMapBegin(T_STRING, T_STRING, state ? 2 : 1);
  text->assign("traceparent");
  bytes += out.writeString(*text);
  const auto parent = FormatTraceparent(context);
  text->assign(parent.data(), parent.size());
  bytes += out.writeString(*text);
  if (state) {
    text->assign(kTracestate);
    bytes += out.writeString(*text);
    bytes += out.writeString(*context.tracestate);
  }
  bytes += out.writeMapEnd();
  return bytes + out.writeFieldEnd();
}

}  // namespace internal
SEER_END_NAMESPACE
