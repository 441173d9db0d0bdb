// Flow: call -> [MakeTraced] -> edge's depth, span, context in the message
//
// A Thrift client that is traced, in one line: make its protocol with MakeTraced().
//
//   auto socket = std::make_shared<TSocket>("post-storage", 9090);
//   auto transport = std::make_shared<TFramedTransport>(socket);
//   PostStorageServiceClient posts(seer::MakeTraced<TBinaryProtocol>("post-storage", transport));
//
// From then on each call counts as open to "post-storage" from the service whose request this
// thread handles (elsewhere: SetThriftCaller() of node.h), from before its message is flushed until
// its reply begins; it makes a span, and its context travels among the arguments, where a server
// that does not know it skips it: 83 bytes more in binary, 75 in compact. Within a traced handler
// the request counts as blocked meanwhile.
//
// Whatever ends a call ends it here too, at once: a timeout, a flush that fails, close(), open(),
// the end of the protocol object. Oneway calls are open while they are flushed. Several calls may
// be open at a time: send_x() and recv_x() apart, also from two threads, and XConcurrentClient.
//
// Traced<Protocol> is the protocol, not a wrapper: fields are written and read by its own code, and
// code generated with cpp:templates recognises it. Clients of that kind call it without virtual
// functions, and have to be told its type: EchoClientT<seer::Traced<TBinaryProtocolT<...>>>.
// getTransport() of it gives a transport that watches over flush() and close() and passes all on;
// a cast from there to a concrete transport fails: keep the pointer you made it from.
//
// Threads: as the protocol itself. Cost: about 640 instructions a call, of them four reads of the
//          clock, nothing per field (benchmarks/thrift); about 130 while tracing is off.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <thrift/protocol/TBinaryProtocol.h>
#include <thrift/protocol/TCompactProtocol.h>
#include <thrift/protocol/TProtocol.h>
#include <thrift/transport/TTransportException.h>

#include "seer/core/config.h"
#include "seer/thrift/internal/client_calls.h"
#include "seer/thrift/internal/context_field.h"

SEER_BEGIN_NAMESPACE

namespace internal {

// The hook where a struct begins, for protocols that need one: where it writes nothing, as in
// binary, the field stands right behind the message's header.
template <typename Self, typename Protocol, bool kHooked>
class TracedStructs : public Protocol {
 protected:
  using Protocol::Protocol;
};

template <typename Self, typename Protocol>
class TracedStructs<Self, Protocol, true> : public Protocol {
 public:
  std::uint32_t writeStructBegin(const char* name) {
    const std::uint32_t bytes = Protocol::writeStructBegin(name);
    if (__builtin_expect(!pending_, 1)) return bytes;
    pending_ = false;
    return bytes + static_cast<Self*>(this)->WriteContext();
  }
  std::uint32_t writeStructBegin_virt(const char* name) override { return writeStructBegin(name); }

 protected:
  using Protocol::Protocol;
  bool pending_ = false;
};

template <typename Protocol>
struct WireFormat {
  static constexpr bool kBinary = false, kCompact = false;
};
template <typename Transport>
struct WireFormat<apache::thrift::protocol::TBinaryProtocolT<Transport>> {
  static constexpr bool kBinary = true, kCompact = false;
};
template <typename Transport>
struct WireFormat<apache::thrift::protocol::TCompactProtocolT<Transport>> {
  static constexpr bool kBinary = false, kCompact = true;
};

}  // namespace internal

#if defined(__clang__)
// TCompactProtocol declares two of these functions virtual, TBinaryProtocol does not.
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Winconsistent-missing-override"
#endif

// Made by MakeTraced(). Protocol is one of Thrift's or the host's own.
template <typename Protocol>
class Traced final : public internal::TracedStructs<Traced<Protocol>, Protocol,
                                                    !internal::WireFormat<Protocol>::kBinary> {
  using Format = internal::WireFormat<Protocol>;
  using Base = internal::TracedStructs<Traced<Protocol>, Protocol, !Format::kBinary>;
  friend Base;
  using TMessageType = apache::thrift::protocol::TMessageType;
  using TTransportException = apache::thrift::transport::TTransportException;

 public:
  template <typename... Args>
  explicit Traced(std::string_view callee, Args&&... args) : Base(std::forward<Args>(args)...) {
    buffer_ = internal::OwnBuffer(*this->ptrans_);
    auto transport = std::make_shared<internal::CallTransport>(std::move(this->ptrans_), callee);
    calls_ = &transport->calls;
    this->ptrans_ = std::move(transport);
  }
  ~Traced() override { calls_->Close(Outcome::kTransport); }
  Traced(const Traced&) = delete;
  Traced& operator=(const Traced&) = delete;

  std::uint32_t writeMessageBegin(const std::string& name, TMessageType type, std::int32_t seqid) {
    const bool traced = calls_->Begin(name, type, seqid);
    std::uint32_t bytes = Protocol::writeMessageBegin(name, type, seqid);
    if constexpr (Format::kBinary) {
      if (traced) bytes += WriteContext();
    } else {
      this->pending_ = traced;
    }
    return bytes;
  }
  std::uint32_t writeMessageEnd() {
    const std::uint32_t bytes = Protocol::writeMessageEnd();
    calls_->Written();
    return bytes;
  }
  std::uint32_t readMessageBegin(std::string& name, TMessageType& type, std::int32_t& seqid) {
    std::uint32_t bytes = 0;
    try {
      bytes = Protocol::readMessageBegin(name, type, seqid);
    } catch (const TTransportException& e) {
      calls_->ReadFailed(internal::CallTransport::OutcomeOf(e));
      throw;
    } catch (...) {
      calls_->ReadFailed(Outcome::kUndecodable);
      throw;
    }
    calls_->Replying(type, seqid);
    return bytes;
  }
  std::uint32_t readMessageEnd() {
    const std::uint32_t bytes = Protocol::readMessageEnd();
    calls_->Replied();
    return bytes;
  }

  std::uint32_t writeMessageBegin_virt(const std::string& name, const TMessageType type,
                                       const std::int32_t seqid) override {
    return writeMessageBegin(name, type, seqid);
  }
  std::uint32_t writeMessageEnd_virt() override { return writeMessageEnd(); }
  std::uint32_t readMessageBegin_virt(std::string& name, TMessageType& type,
                                      std::int32_t& seqid) override {
    return readMessageBegin(name, type, seqid);
  }
  std::uint32_t readMessageEnd_virt() override { return readMessageEnd(); }

 private:
  // In one piece where the format is known, as the protocol would have written it field by field.
  std::uint32_t WriteContext() {
    if constexpr (Format::kBinary) {
      return WriteBytes<internal::BinaryContextField>();
    } else if constexpr (Format::kCompact) {
      this->lastFieldId_ = internal::kContextField;  // the next id may stand as the distance to it
      return WriteBytes<internal::CompactContextField>();
    } else {
      return internal::WriteContextField(*static_cast<Protocol*>(this), calls_->context(),
                                         calls_->text());
    }
  }
  template <typename Field>
  std::uint32_t WriteBytes() {
    const TraceContext& context = calls_->context();
    if (__builtin_expect(buffer_ != nullptr && Field::IsPlain(context), 1)) {
      std::uint8_t* const place = internal::WriteBufferOf::Take(*buffer_, Field::kPlainBytes);
      if (__builtin_expect(place != nullptr, 1)) {
        Field::WritePlain(context, place);
        return Field::kPlainBytes;
      }
    }
    const Field field(context);
    this->trans_->write(field.data(), field.size());
    return field.size();
  }

  internal::ClientCalls* calls_;  // in ptrans_
  // Null: what is written has to go through the transport's functions.
  apache::thrift::transport::TBufferBase* buffer_;
};

#if defined(__clang__)
#pragma clang diagnostic pop
#endif

// The protocol of a client that calls the service `callee`; `args` as for Protocol's constructor:
// the transport, perhaps limits. A name that QueueRegistry would refuse counts nowhere; the calls
// work as ever, and ThriftCountsOf() of the calling service tells why.
template <typename Protocol, typename... Args>
std::shared_ptr<Traced<Protocol>> MakeTraced(std::string_view callee, Args&&... args) {
  return std::make_shared<Traced<Protocol>>(callee, std::forward<Args>(args)...);
}

SEER_END_NAMESPACE
