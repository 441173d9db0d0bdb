// Any bytes into DecodeCheckpoint(), and into the configuration's parser. What is accepted must
// survive another round trip unchanged, and can be worked with.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "nn/checkpoint_bytes.h"
#include "seer/core/internal/crc32c.h"
#include "seer/nn/checkpoint.h"
#include "seer/nn/model_config.h"
#include "seer/nn/network.h"
#include "seer/nn/topology_map.h"

namespace seer {
namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

void Decode(std::string_view bytes) {
  const auto checkpoint = DecodeCheckpoint(bytes);
  if (!checkpoint.ok()) {
    Require(!checkpoint.status().message().empty());
    return;
  }
  const auto again = EncodeCheckpoint(*checkpoint);
  Require(again.ok());
  const auto same = DecodeCheckpoint(*again);
  Require(same.ok() && same->config == checkpoint->config);
  Require(*EncodeCheckpoint(*same) == *again);
  if (!checkpoint->services.empty()) {
    const auto mapped = MapOnto(*checkpoint, {"one", "two"});
    if (mapped.ok()) Require(EncodeCheckpoint(*mapped).ok());
  }
}

void Parse(std::string_view text) {
  const auto config = ModelConfig::Parse(text);
  if (!config.ok()) return;
  const auto again = ModelConfig::Parse(config->ToText());
  Require(again.ok() && *again == *config);
  Require(Network::Create(*config).ok());
}

// A fuzzer does not guess checksums: all that are there are made right.
std::string WithGoodChecksums(std::string bytes) {
  if (bytes.size() < 32) return bytes;
  const std::uint64_t size = bytes.size();
  std::memcpy(&bytes[0], "SEERNN\r\n\1\0\0\0\4\3\2\1", 16);
  std::memcpy(&bytes[16], &size, sizeof(size));
  const auto seal = [&](std::size_t from, std::size_t to) {
    const std::uint32_t crc = internal::Crc32c(std::string_view(bytes).substr(from, to - from));
    std::memcpy(&bytes[to], &crc, sizeof(crc));
  };
  std::uint32_t sections;
  std::memcpy(&sections, &bytes[24], sizeof(sections));
  seal(0, 28);
  std::size_t at = 32;
  for (std::uint32_t i = 0; i < std::min(sections, 1000u) && at + 20 <= bytes.size(); ++i) {
    std::uint32_t name;
    std::uint64_t payload;
    std::memcpy(&name, &bytes[at + 4], sizeof(name));
    std::memcpy(&payload, &bytes[at + 8], sizeof(payload));
    const std::size_t room = bytes.size() - at - 20;
    if (name > room || payload > room - name) break;
    seal(at, at + 16 + name + static_cast<std::size_t>(payload));
    at += 20 + name + static_cast<std::size_t>(payload);
  }
  return bytes;
}

}  // namespace
}  // namespace seer

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  seer::Decode(bytes);
  seer::Decode(seer::WithGoodChecksums(std::string(bytes)));
  seer::Parse(bytes);
  return 0;
}
