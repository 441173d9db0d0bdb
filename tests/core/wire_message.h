// For tests that change the bytes of a message past its header.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "seer/core/internal/crc32c.h"
#include "seer/core/wire.h"

namespace seer::testing {

// Makes size and checksum of a message right again, so that the change itself is what Decode sees:
// whoever can write checksums can write anything.
inline void SealMessage(std::string* message) {
  message->resize(std::max(message->size(), kWireHeaderBytes));
  const auto size = static_cast<std::uint32_t>(message->size() - kWireHeaderBytes);
  std::memcpy(&(*message)[8], &size, sizeof(size));
  const std::string_view all = *message;
  const std::uint32_t crc =
      internal::Crc32c(all.substr(kWireHeaderBytes), internal::Crc32c(all.substr(0, 12)));
  std::memcpy(&(*message)[12], &crc, sizeof(crc));
}

}  // namespace seer::testing
