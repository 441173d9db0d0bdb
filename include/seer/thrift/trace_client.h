// Flow: call -> [TraceClient] -> edge's depth, span, context in the message
//
// A Thrift client that is traced, where its protocol object comes from elsewhere: from a factory, a
// pool, a multiplexer.
//
//   PostStorageServiceClient posts(seer::TraceClient("post-storage", protocol));
//
// It does what MakeTraced() does (make_traced.h), for any protocol, also for several clients that
// share one: give all of them the same traced protocol. But each field takes one more virtual call.
// Where you make the protocol yourself, MakeTraced() costs less.
//
// Code generated with cpp:templates no longer sees its protocol's type behind it, and takes the
// general way: correct, and slower.
//
// Threads: as the protocol itself. Cost: benchmarks/thrift (thrift.client_big_pct and its peer).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <thrift/protocol/TProtocol.h>
#include <thrift/protocol/TProtocolDecorator.h>
#include <thrift/transport/TTransportException.h>

#include "seer/core/config.h"
#include "seer/thrift/internal/client_calls.h"
#include "seer/thrift/internal/context_field.h"

SEER_BEGIN_NAMESPACE

namespace internal {

class TracedClientProtocol : public apache::thrift::protocol::TProtocolDecorator {
  using TProtocol = apache::thrift::protocol::TProtocol;
  using TMessageType = apache::thrift::protocol::TMessageType;
  using TTransportException = apache::thrift::transport::TTransportException;

 public:
  TracedClientProtocol(std::string_view callee, std::shared_ptr<TProtocol> out)
      : TProtocolDecorator(out), out_(*out) {
    auto transport = std::make_shared<CallTransport>(std::move(ptrans_), callee);
    calls_ = &transport->calls;
    ptrans_ = std::move(transport);
  }
  ~TracedClientProtocol() override { calls_->Close(Outcome::kTransport); }
  TracedClientProtocol(const TracedClientProtocol&) = delete;
  TracedClientProtocol& operator=(const TracedClientProtocol&) = delete;

  std::uint32_t writeMessageBegin_virt(const std::string& name, const TMessageType type,
                                       const std::int32_t seqid) override {
    pending_ = calls_->Begin(name, type, seqid);
    return out_.writeMessageBegin(name, type, seqid);
  }
  std::uint32_t writeStructBegin_virt(const char* name) override {
    const std::uint32_t bytes = out_.writeStructBegin(name);
    if (__builtin_expect(!pending_, 1)) return bytes;
    pending_ = false;
    return bytes + SendContext(calls_->context());
  }
  std::uint32_t writeMessageEnd_virt() override {
    const std::uint32_t bytes = out_.writeMessageEnd();
    calls_->Written();
    return bytes;
  }
  std::uint32_t readMessageBegin_virt(std::string& name, TMessageType& type,
                                      std::int32_t& seqid) override {
    std::uint32_t bytes = 0;
    try {
      bytes = out_.readMessageBegin(name, type, seqid);
    } catch (const TTransportException& e) {
      calls_->ReadFailed(CallTransport::OutcomeOf(e));
      throw;
    } catch (...) {
      calls_->ReadFailed(Outcome::kUndecodable);
      throw;
    }
    calls_->Replying(type, seqid);
    return bytes;
  }
  std::uint32_t readMessageEnd_virt() override {
    const std::uint32_t bytes = out_.readMessageEnd();
    calls_->Replied();
    return bytes;
  }
  std::uint32_t skip_virt(apache::thrift::protocol::TType type) override { return out_.skip(type); }
  int getMinSerializedSize(apache::thrift::protocol::TType type) override {
    return out_.getMinSerializedSize(type);
  }

 private:
  // Within the arguments, before their first field.
  virtual std::uint32_t SendContext(const TraceContext& context) {
    return WriteContextField(out_, context, calls_->text());
  }

  TProtocol& out_;      // TProtocolDecorator keeps it alive
  ClientCalls* calls_;  // in ptrans_
  bool pending_ = false;
};

}  // namespace internal

// `protocol`, traced: for a client that calls the service `callee`. Null stays null.
inline std::shared_ptr<apache::thrift::protocol::TProtocol> TraceClient(
    std::string_view callee, std::shared_ptr<apache::thrift::protocol::TProtocol> protocol) {
  if (protocol == nullptr) return nullptr;
  return std::make_shared<internal::TracedClientProtocol>(callee, std::move(protocol));
}

SEER_END_NAMESPACE
