// Sixteen lower-case hexadecimal digits, eight at a time in one register: ids are read and written
// on every RPC. Private to the room.
#pragma once

#include <cstdint>
#include <cstring>

#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE
namespace internal {

inline constexpr std::uint64_t kEachByte = 0x0101010101010101;

// 32 bits as eight digits.
inline void WriteHex8(std::uint32_t number, char* out) {
  // One nibble a byte, the highest in the highest byte.
  std::uint64_t x = number;
  x = (x << 16 | x) & 0x0000ffff0000ffff;
  x = (x << 8 | x) & 0x00ff00ff00ff00ff;
  x = (x << 4 | x) & 0x0f0f0f0f0f0f0f0f;
  const std::uint64_t is_letter = (x + 6 * kEachByte) >> 4 & kEachByte;
  x += '0' * kEachByte + is_letter * ('a' - '0' - 10);
  x = __builtin_bswap64(x);
  std::memcpy(out, &x, sizeof(x));
}
inline void WriteHex16(std::uint64_t number, char* out) {
  WriteHex8(static_cast<std::uint32_t>(number >> 32), out);
  WriteHex8(static_cast<std::uint32_t>(number), out + 8);
}

// False unless all eight are digits or lower-case letters up to f.
inline bool ReadHex8(const char* digits, std::uint32_t* number) {
  std::uint64_t x;
  std::memcpy(&x, digits, sizeof(x));
  // Take each byte for a digit, or with bit 6 for a letter; it is one if it would be written so.
  // No sum carries into the next byte.
  const std::uint64_t is_letter = x >> 6 & kEachByte;
  const std::uint64_t value = (x & 0x0f * kEachByte) + is_letter * 9;
  const std::uint64_t as_written = value + '0' * kEachByte + is_letter * ('a' - '0' - 10);
  const std::uint64_t is_ten_or_more = (value + 6 * kEachByte) >> 4 & kEachByte;
  const std::uint64_t is_too_much = value & 0xf0 * kEachByte;
  if (as_written != x || is_ten_or_more != is_letter || is_too_much != 0) return false;
  std::uint64_t n = __builtin_bswap64(value);
  n = (n | n >> 4) & 0x00ff00ff00ff00ff;
  n = (n | n >> 8) & 0x0000ffff0000ffff;
  *number = static_cast<std::uint32_t>(n | n >> 16);
  return true;
}
inline bool ReadHex16(const char* digits, std::uint64_t* number) {
  std::uint32_t high = 0, low = 0;
  if (!ReadHex8(digits, &high) || !ReadHex8(digits + 8, &low)) return false;
  *number = std::uint64_t{high} << 32 | low;
  return true;
}

}  // namespace internal
SEER_END_NAMESPACE
