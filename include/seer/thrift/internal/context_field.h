// Flow: (internal) TraceContext -> [the field 8888 of the arguments] -> bytes
//
// What args_context.h reads: in binary and compact as one piece of bytes, in other protocols field
// by field.
//
// Threads: pure. Cost: about 100 instructions; 640 bytes of stack.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include <thrift/protocol/TProtocol.h>

#include "seer/core/config.h"
#include "seer/thrift/internal/args_context.h"
#include "seer/trace/context.h"
#include "seer/trace/propagation.h"

SEER_BEGIN_NAMESPACE
namespace internal {

inline constexpr std::string_view kTracestate = "tracestate";

// Both forms: the start, which ends with the length of the traceparent, the traceparent, and
// perhaps a tracestate. kCountAt: where in the start the number of entries is.
template <const std::string_view& kStart, std::size_t kCountAt, bool kCompact>
class ContextFieldBytes {
 public:
  explicit ContextFieldBytes(const TraceContext& context) noexcept {
    std::memcpy(bytes_.data(), kStart.data(), kStart.size());
    const auto parent = FormatTraceparent(context);
    std::memcpy(bytes_.data() + kStart.size(), parent.data(), parent.size());
    size_ = static_cast<std::uint32_t>(kStart.size() + parent.size());
    if (context.tracestate == nullptr || context.tracestate->empty() ||
        context.tracestate->size() > kMaxTracestateBytes) {
      return;
    }
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
  std::array<std::uint8_t, kStart.size() + kTraceparentBytes + 8 + 10 + kMaxTracestateBytes> bytes_;
};
using BinaryContextField = ContextFieldBytes<args::kBinaryStart, 8, false>;
using CompactContextField = ContextFieldBytes<args::kCompactStart, 4, true>;

// Call it within the arguments struct, before its first field.
template <typename Protocol>
std::uint32_t WriteContextField(Protocol& out, const TraceContext& context) {
  using apache::thrift::protocol::T_MAP;
  using apache::thrift::protocol::T_STRING;
  const auto parent = FormatTraceparent(context);
  const bool state = context.tracestate != nullptr && !context.tracestate->empty();
  std::uint32_t bytes = out.writeFieldBegin("seer", T_MAP, kContextField);
  bytes += out.writeMapBegin(T_STRING, T_STRING, state ? 2 : 1);
  bytes += out.writeString(std::string("traceparent"));
  bytes += out.writeString(std::string(parent.data(), parent.size()));
  if (state) {
    bytes += out.writeString(std::string(kTracestate));
    bytes += out.writeString(*context.tracestate);
  }
  bytes += out.writeMapEnd();
  return bytes + out.writeFieldEnd();
}

}  // namespace internal
SEER_END_NAMESPACE
