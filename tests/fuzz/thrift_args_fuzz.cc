// Arguments of a call, whatever they are: TakeContext() and ArgsReader leave the generated code
// what a server without seer reads, or an error where that gets one.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include <thrift/protocol/TBinaryProtocol.h>
#include <thrift/protocol/TCompactProtocol.h>
#include <thrift/transport/TBufferTransports.h>

#include "seer/thrift/internal/args_context.h"
#include "seer/thrift/internal/args_reader.h"

namespace {

using apache::thrift::protocol::TProtocol;
using apache::thrift::protocol::TType;
using apache::thrift::transport::TMemoryBuffer;

enum class Way { kPlain, kPeek, kReader };

// The fields of the arguments, written down; ids of the context's fields are left out, since only
// they may be missing.
struct Read {
  std::string fields;
  bool failed = false;
};

bool OfContext(TType type, std::int16_t id) {
  return type == apache::thrift::protocol::T_MAP &&
         (id == seer::internal::kContextField || id == seer::internal::kOldContextField);
}

void ReadStruct(TProtocol& in, int depth, Read* read) {
  std::string name, text;
  in.readStructBegin(name);
  for (;;) {
    TType type = apache::thrift::protocol::T_STOP;
    std::int16_t id = 0;
    in.readFieldBegin(name, type, id);
    if (type == apache::thrift::protocol::T_STOP) break;
    if (!OfContext(type, id)) {
      read->fields += std::to_string(type) + ":" + std::to_string(id) + " ";
    }
    if (type == apache::thrift::protocol::T_STRING) {
      in.readBinary(text);
      read->fields += text + " ";
    } else if (type == apache::thrift::protocol::T_STRUCT && depth < 5) {
      ReadStruct(in, depth + 1, read);
    } else {
      in.skip(type);
    }
    in.readFieldEnd();
  }
  in.readStructEnd();
}

// Thrift makes room for a string before it looks whether there is one: limits keep the fuzzer fast.
constexpr std::int32_t kMaxSize = 16384;
template <typename Protocol>
std::shared_ptr<TProtocol> Make(const std::shared_ptr<TMemoryBuffer>& memory) {
  if constexpr (std::is_same_v<Protocol, apache::thrift::protocol::TBinaryProtocol>) {
    return std::make_shared<Protocol>(memory, kMaxSize, kMaxSize, false, true);
  } else {
    return std::make_shared<Protocol>(memory, kMaxSize, kMaxSize);
  }
}

template <typename Protocol>
Read ReadArgs(const std::uint8_t* data, std::size_t size, Way way) {
  std::vector<std::uint8_t> bytes(data, data + size);  // its end is watched
  const auto config = std::make_shared<apache::thrift::TConfiguration>(1 << 16, 1 << 16, 16);
  const auto memory = std::make_shared<TMemoryBuffer>(
      bytes.data(), static_cast<std::uint32_t>(size), TMemoryBuffer::OBSERVE, config);
  std::shared_ptr<TProtocol> in = Make<Protocol>(memory);
  seer::TraceContext context;
  Read read;
  try {
    if (way == Way::kReader) in = std::make_shared<seer::internal::ArgsReader>(in, &context);
    if (way == Way::kPeek) seer::internal::TakeContext(in.get(), &context);
    ReadStruct(*in, 1, &read);
  } catch (const std::exception&) {
    read.failed = true;
  }
  return read;
}

template <typename Protocol>
void Check(const std::uint8_t* data, std::size_t size) {
  const Read plain = ReadArgs<Protocol>(data, size, Way::kPlain);
  for (const Way way : {Way::kPeek, Way::kReader}) {
    const Read ours = ReadArgs<Protocol>(data, size, way);
    // Where the plain one fails ours may too, or not: the bytes that fail may be those of the other
    // protocol's context, which is taken out.
    if (!plain.failed && (ours.failed || ours.fields != plain.fields)) {
      std::abort();
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2 || size > 4096) return 0;  // Thrift adds to the null pointer of an empty buffer
  // The first byte chooses: TakeContext() knows the protocol by the bytes alone.
  if (data[0] % 2 == 0) {
    Check<apache::thrift::protocol::TBinaryProtocol>(data + 1, size - 1);
  } else {
    Check<apache::thrift::protocol::TCompactProtocol>(data + 1, size - 1);
  }
  return 0;
}
