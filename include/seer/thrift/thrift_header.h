// Flow: TraceContext -> [headers of a THeader message] -> TraceContext
//
// For estates that speak THeader (Go, Python, Baseplate, fbthrift, Envoy) and pass contexts as its
// headers. Opt in, on each side; between seer's own clients and servers it is not needed, their
// context is among the arguments with every protocol (make_traced.h). Its own header, because
// THeaderProtocol.h needs -lthriftz.
//
//   auto protocol = std::make_shared<THeaderProtocol>(transport, T_BINARY_PROTOCOL);
//   PostStorageServiceClient posts(seer::TraceClientWithHeaders("post-storage", protocol));
//
//   seer::ReadThriftHeaders();                  // server: once, before it starts
//
// Only a server that speaks THeader understands such a client; a plain framed one closes the
// connection (so it does without seer).
//
// THeader's limits are taken care of. Headers lie in a buffer of the size of the message and 512
// bytes; what does not fit throws in the caller's call, and in every later one, as headers stay
// set. So only a traceparent is sent, 70 bytes, never a tracestate; and nothing where the host's
// own headers leave less than 256 bytes. On a server the headers of the request before stay where a
// client changes to plain framing on the same connection: those are not read.
//
// Threads: ReadThriftHeaders() at any time; the protocol as any other. Cost: that of a map of
//          strings, for each message.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <thrift/protocol/THeaderProtocol.h>
#include <thrift/transport/THeaderTransport.h>

#include "seer/core/config.h"
#include "seer/thrift/internal/args_context.h"
#include "seer/thrift/internal/client_calls.h"
#include "seer/thrift/internal/service_state.h"
#include "seer/thrift/trace_client.h"
#include "seer/trace/context.h"
#include "seer/trace/propagation.h"

SEER_BEGIN_NAMESPACE

namespace internal {

inline constexpr std::size_t kMaxHeaderBytes = 256;  // of the host's and ours together

// What THeader reserves: two bytes more than the strings of each, and some for the table.
inline std::size_t HeaderBytes(const std::map<std::string, std::string>& headers) noexcept {
  std::size_t bytes = 0;
  for (const auto& [name, value] : headers) bytes += name.size() + value.size() + 10;
  return bytes;
}

// Whether the last message of a THeaderTransport was one of THeader's.
struct LastMessageOf : apache::thrift::transport::THeaderTransport {
  static bool HadHeaders(const THeaderTransport& transport) noexcept {
    return transport.*(&LastMessageOf::clientType) == THRIFT_HEADER_CLIENT_TYPE;
  }
};

// For `more_context`: called when a request's arguments hold no context.
inline bool ContextInHeaders(apache::thrift::protocol::TProtocol* in,
                             TraceContext* context) noexcept {
  auto* const transport =
      dynamic_cast<apache::thrift::transport::THeaderTransport*>(TransportOf::Get(in));
  if (transport == nullptr || !LastMessageOf::HadHeaders(*transport)) return false;
  const auto& headers = transport->getHeaders();
  if (headers.empty() || headers.size() > kMaxContextEntries) return false;
  TraceContext found = Extract(headers);
  if (!found.valid()) return false;
  *context = std::move(found);
  return true;
}

class TracedHeaderProtocol final : public TracedClientProtocol {
  using THeaderProtocol = apache::thrift::protocol::THeaderProtocol;

 public:
  TracedHeaderProtocol(std::string_view callee, std::shared_ptr<THeaderProtocol> out)
      : TracedClientProtocol(callee, out), header_(*out) {}

  std::uint32_t writeMessageBegin_virt(const std::string& name,
                                       const apache::thrift::protocol::TMessageType type,
                                       const std::int32_t seqid) override {
    header_.getWriteHeaders().erase(kTraceparent);  // of the message before
    return TracedClientProtocol::writeMessageBegin_virt(name, type, seqid);
  }

 private:
  // They are written when the message is flushed.
  std::uint32_t SendContext(const TraceContext& context) override {
    auto& headers = header_.getWriteHeaders();
    if (HeaderBytes(headers) + kTraceparent.size() + kTraceparentBytes + 10 <= kMaxHeaderBytes) {
      const auto text = FormatTraceparent(context);
      headers.emplace(kTraceparent, std::string(text.data(), text.size()));
    }
    return 0;
  }

  inline static const std::string kTraceparent = "traceparent";
  THeaderProtocol& header_;  // TProtocolDecorator keeps it alive
};

}  // namespace internal

// `protocol`, traced as TraceClient() does it, with the context in a header. Null stays null.
inline std::shared_ptr<apache::thrift::protocol::TProtocol> TraceClientWithHeaders(
    std::string_view callee, std::shared_ptr<apache::thrift::protocol::THeaderProtocol> protocol) {
  if (protocol == nullptr) return nullptr;
  return std::make_shared<internal::TracedHeaderProtocol>(callee, std::move(protocol));
}

// From now on traced servers of this process that speak THeader look for a context in its headers,
// where the arguments hold none.
inline void ReadThriftHeaders() {
  // [A] release, pairs with CallHooks: nothing but the function itself has to be there.
  internal::more_context.store(&internal::ContextInHeaders, std::memory_order_release);
}

SEER_END_NAMESPACE
