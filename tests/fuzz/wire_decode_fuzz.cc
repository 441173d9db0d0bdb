// Any bytes into every DecodeTo(). What is accepted must survive another round trip unchanged.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>

#include "seer/core/topology_order.h"
#include "seer/core/wire.h"
#include "tests/core/wire_message.h"

namespace seer {
namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

template <typename T>
void DecodeAs(std::string_view bytes) {
  T value;
  if (const absl::Status status = DecodeTo(bytes, &value); !status.ok()) {
    Require(value == T());
    Require(!status.message().empty());
    return;
  }
  const std::string again = Encode(value);
  T same;
  Require(DecodeTo(again, &same).ok());
  Require(same == value);
  Require(Encode(same) == again);
  if constexpr (std::is_same_v<T, Topology>) {
    (void)OrderServices(value);  // an accepted topology can be worked with
    Topology merged(1);
    Require(merged.Merge(value).ok());
  }
}

void DecodeAsEverything(std::string_view bytes) {
  (void)PeekWire(bytes);
  DecodeAs<Topology>(bytes);
  DecodeAs<Snapshot>(bytes);
  DecodeAs<SpanBatch>(bytes);
  DecodeAs<HwReading>(bytes);
  DecodeAs<Recommendation>(bytes);
  DecodeAs<ActionTaken>(bytes);
}

// A fuzzer does not guess checksums: gives the bytes a header that is right, keeping only the kind.
std::string WithGoodHeader(std::string_view bytes) {
  std::string message(bytes);
  message.resize(std::max(message.size(), kWireHeaderBytes));
  std::memcpy(&message[0], "SEER", 4);
  message[4] = static_cast<char>(kWireMajor);
  message[6] = static_cast<char>(1 + static_cast<unsigned char>(message[6]) % 6);
  message[7] = 0;
  testing::SealMessage(&message);
  return message;
}

}  // namespace
}  // namespace seer

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  seer::DecodeAsEverything(bytes);
  seer::DecodeAsEverything(seer::WithGoodHeader(bytes));
  return 0;
}
