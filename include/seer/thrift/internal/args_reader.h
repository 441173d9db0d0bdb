// Flow: (internal) TProtocol -> [ArgsReader] -> generated code, and a TraceContext
//
// The way to the context where TakeContext() (args_context.h) cannot look: JSON, transports without
// a buffer to look into (HTTP), and clients that write the field at another place than the first.
// It stands between the protocol and the generated code, and takes out the fields of tracers, ids
// 8888 and 3333, in the arguments and in structs directly in them: Java's tracers write theirs at
// the end of the first struct that ends, whichever that is.
//
//   TraceContext context;
//   if (ArgsOf(*in).reader) in = std::make_shared<ArgsReader>(in, &context);
//   processor->process(in, out, connection);      // the context is there when the handler begins
//
// A map<string, string> of the user's own with such an id is delivered as it came; so is whatever
// is too large (args_context.h), and everything after 100 such fields.
//
// Threads: those of a protocol. Cost: one virtual call for each of the protocol's; where the
//          generated code was made with cpp:templates, it no longer sees its own protocol.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <typeinfo>
#include <utility>

#include <thrift/protocol/TJSONProtocol.h>
#include <thrift/protocol/TProtocol.h>
#include <thrift/protocol/TProtocolDecorator.h>
#include <thrift/transport/TBufferTransports.h>
#include <thrift/transport/TTransport.h>

#include "absl/types/span.h"
#include "seer/core/config.h"
#include "seer/thrift/internal/args_context.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// What the types of a protocol and of its transport tell.
struct ArgsTypes {
  const std::type_info* protocol = nullptr;
  const std::type_info* transport = nullptr;
  bool json = false;
  bool decorated = false;   // whose protocol it is the type does not tell
  bool buffered = false;    // the arguments' first bytes can be looked at
  bool own_buffer = false;  // see OwnBuffer()
  // Binary or compact in an own buffer: all that there is to know.
  bool usual = false;
};
// Asks once a thread as long as they stay the same.
inline const ArgsTypes& TypesOf(apache::thrift::protocol::TProtocol& in,
                                apache::thrift::transport::TTransport& transport) {
  const std::type_info& protocol_type = typeid(in);
  const std::type_info& transport_type = typeid(transport);
  // Several, as inside a traced multiplexer two protocols take turns.
  constexpr std::size_t kPlaces = 4;
  thread_local ArgsTypes known[kPlaces];
  ArgsTypes& types = known[reinterpret_cast<std::uintptr_t>(&protocol_type) / 16 % kPlaces];
  if (__builtin_expect(types.protocol == &protocol_type && types.transport == &transport_type, 1)) {
    return types;
  }
  types.protocol = &protocol_type;
  types.transport = &transport_type;
  types.json = dynamic_cast<apache::thrift::protocol::TJSONProtocol*>(&in) != nullptr;
  types.decorated = dynamic_cast<apache::thrift::protocol::TProtocolDecorator*>(&in) != nullptr;
  types.buffered = dynamic_cast<apache::thrift::transport::TBufferBase*>(&transport) != nullptr;
  types.own_buffer = OwnBuffer(transport) != nullptr;
  types.usual = types.own_buffer && !types.json && !types.decorated;
  return types;
}

// Where the arguments of a message that is about to be processed can be looked at.
struct ArgsPlace {
  // TakeContext() would find nothing, or not all that there is: take an ArgsReader.
  bool reader = true;
  bool json = false;
  // OwnBuffer() of the transport, for TakeContext().
  apache::thrift::transport::TBufferBase* buffer = nullptr;
};
inline ArgsPlace ArgsOf(apache::thrift::protocol::TProtocol& in) noexcept {
  ArgsPlace place;
  try {
    apache::thrift::transport::TTransport* const transport = TransportOf::Get(&in);
    if (__builtin_expect(transport == nullptr, 0)) return place;
    const ArgsTypes& types = TypesOf(in, *transport);
    if (types.own_buffer) {
      place.reader = false;
      place.buffer = static_cast<apache::thrift::transport::TBufferBase*>(transport);
    }
    if (__builtin_expect(types.usual, 1)) return place;
    place.json = types.json;
    if (__builtin_expect(types.decorated, 0)) {
      // Inside a multiplexer the message's header has been read: what comes next is the arguments'
      // first byte.
      std::uint32_t size = 0;
      const std::uint8_t* const next = transport->borrow(nullptr, &size);
      place.json = next != nullptr && size > 0 && (*next == '{' || *next == '[' || *next == ',');
    }
    // What is no buffer may well show what it has decompressed so far, or nothing.
    place.reader = place.json || !types.buffered;
  } catch (...) {  // borrow() failed: the generated code will find out
  }
  return place;
}

class ArgsReader final : public apache::thrift::protocol::TProtocolDecorator {
 public:
  using TType = apache::thrift::protocol::TType;

  // `context` outlives the reader, and is written to when the field has been read.
  ArgsReader(std::shared_ptr<apache::thrift::protocol::TProtocol> in, TraceContext* context)
      : TProtocolDecorator(in), in_(*in), context_(context), json_(ArgsOf(*in).json) {}

  std::uint32_t readStructBegin_virt(std::string& name) override {
    ++depth_;
    return in_.readStructBegin(name);
  }
  std::uint32_t readStructEnd_virt() override {
    --depth_;
    return in_.readStructEnd();
  }
  std::uint32_t readFieldBegin_virt(std::string& name, TType& type, std::int16_t& id) override {
    std::uint32_t bytes = 0;
    for (;;) {
      bytes += in_.readFieldBegin(name, type, id);
      if (type != apache::thrift::protocol::T_MAP ||
          (id != kContextField && id != kOldContextField) || depth_ > kMaxDepth ||
          looked_at_ == kMaxFields) {
        return bytes;
      }
      ++looked_at_;
      if (!Swallow(&bytes)) return bytes;
    }
  }

  // What was read of a map that is the user's own comes again from here.
  std::uint32_t readMapBegin_virt(TType& key, TType& value, std::uint32_t& size) override {
    if (!map_held_) return in_.readMapBegin(key, value, size);
    map_held_ = false;
    key = key_;
    value = value_;
    size = size_;
    return 0;  // counted when it was read
  }
  std::uint32_t readString_virt(std::string& text) override {
    return GiveHeld(&text) ? 0 : in_.readString(text);
  }
  std::uint32_t readBinary_virt(std::string& text) override {
    if (!GiveHeld(&text)) return in_.readBinary(text);
    if (json_) FromBase64(&text);
    return 0;
  }

 private:
  static constexpr int kMaxDepth = 2;     // the arguments, and structs in them
  static constexpr int kMaxFields = 100;  // each may be read twice

  bool GiveHeld(std::string* text) {
    if (map_held_ || given_ == held_) return false;
    *text = std::move(strings_[given_++]);
    return true;
  }

  // In JSON the two ways to read a string differ.
  static void FromBase64(std::string* text) {
    const auto memory = std::make_shared<apache::thrift::transport::TMemoryBuffer>();
    apache::thrift::protocol::TJSONProtocol(memory).writeString(*text);
    apache::thrift::protocol::TJSONProtocol(memory).readBinary(*text);
  }

  // Reads a map; true if it was a tracer's, and is gone. Else what was read is held.
  bool Swallow(std::uint32_t* bytes) {
    held_ = given_ = 0;
    *bytes += in_.readMapBegin(key_, value_, size_);
    map_held_ = true;
    if (key_ != apache::thrift::protocol::T_STRING ||
        value_ != apache::thrift::protocol::T_STRING || size_ == 0 || size_ > kMaxContextEntries) {
      return false;
    }
    if (strings_ == nullptr) strings_ = std::make_unique<std::string[]>(2 * kMaxContextEntries);
    std::size_t chars = 0;
    while (held_ < 2 * size_) {
      *bytes += in_.readString(strings_[held_]);
      chars += strings_[held_++].size();
      if (chars > kMaxContextBytes) return false;
    }
    std::array<ContextEntry, kMaxContextEntries> entries;
    bool only_headers = true;
    for (std::size_t i = 0; i < size_; ++i) {
      entries[i] = {strings_[2 * i], strings_[2 * i + 1]};
      only_headers = only_headers && IsTracersHeader(entries[i].first);
    }
    if (!context_->valid()) {
      *context_ = Extract(absl::Span<const ContextEntry>(entries.data(), size_));
    }
    if (!only_headers) return false;
    *bytes += in_.readMapEnd();
    *bytes += in_.readFieldEnd();
    map_held_ = false;
    held_ = 0;
    return true;
  }

  apache::thrift::protocol::TProtocol& in_;  // TProtocolDecorator keeps it alive
  TraceContext* const context_;
  const bool json_;
  int depth_ = 0;
  int looked_at_ = 0;
  // The map that is held: its header, and of its strings those from given_ to held_.
  bool map_held_ = false;
  TType key_ = apache::thrift::protocol::T_STOP;
  TType value_ = apache::thrift::protocol::T_STOP;
  std::uint32_t size_ = 0;
  std::size_t held_ = 0;
  std::size_t given_ = 0;
  std::unique_ptr<std::string[]> strings_;
};

}  // namespace internal
SEER_END_NAMESPACE
