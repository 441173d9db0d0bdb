// Numbers and names in a text, some bytes at a time. All of them read up to 8 bytes behind the
// text: it lies in a buffer that goes on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE
namespace internal {

inline std::uint64_t LoadWord(const char* at) {
  std::uint64_t word;
  std::memcpy(&word, at, sizeof(word));  // little-endian, see core/config.h
  return word;
}

// The value of eight digits, of which the lowest byte is the first. False where one is no digit.
inline bool EightDigits(std::uint64_t text, std::uint64_t* value) {
  std::uint64_t v = text ^ 0x3030303030303030u;
  // A byte above 9 has its highest bit, or gets it by adding 0x76; a carry comes only from such.
  if (((v + 0x7676767676767676u) | v) & 0x8080808080808080u) return false;
  v = (v * 2561) >> 8;  // 10 x a digit + the next: pairs, in every second byte
  v = (v & 0x00ff00ff00ff00ffu) * 6553601 >> 16;
  *value = (v & 0x0000ffff0000ffffu) * 42949672960001u >> 32;
  return true;
}

// The first `size` of 1 to 8 digits, moved to the end of the word behind zeros.
inline std::uint64_t DigitsAtEnd(const char* at, std::size_t size) {
  const unsigned shift = 8 * (8 - static_cast<unsigned>(size));
  const std::uint64_t zeros = 0x3030303030303030u & ~(~std::uint64_t{0} << shift);
  return LoadWord(at) << shift | zeros;
}

// A number of 1 to 19 digits; false for anything else. Its value is below 10^19.
inline bool ParseDigits(const char* at, std::size_t size, std::uint64_t* value) {
  if (size - 1 > 18) return false;
  std::uint64_t high = 0, low = 0;
  if (size <= 8) return EightDigits(DigitsAtEnd(at, size), value);
  if (!EightDigits(LoadWord(at + size - 8), &low)) return false;
  if (size <= 16) {
    if (!EightDigits(DigitsAtEnd(at, size - 8), &high)) return false;
  } else {
    std::uint64_t middle = 0;
    if (!EightDigits(LoadWord(at + size - 16), &middle) ||
        !EightDigits(DigitsAtEnd(at, size - 16), &high)) {
      return false;
    }
    high = high * 100'000'000 + middle;
  }
  *value = high * 100'000'000 + low;
  return true;
}

// Up to 16 hexadecimal digits; false for anything else. Nothing is 0.
bool ParseHex(const char* at, std::size_t size, std::uint64_t* value);

// For caches that may forget: somebody who chooses the texts can make any two collide.
inline std::uint64_t QuickHash(const char* at, std::size_t size) {
  std::uint64_t hash = size * 0x9e3779b97f4a7c15u;
  for (; size > 8; at += 8, size -= 8) {
    hash = (hash ^ LoadWord(at)) * 0xd6e8feb86659fd93u;
    hash ^= hash >> 32;
  }
  const std::uint64_t rest =
      size == 0 ? 0 : LoadWord(at) << (8 * (8 - static_cast<unsigned>(size)));
  hash = (hash ^ rest) * 0xd6e8feb86659fd93u;
  return hash ^ hash >> 32;
}

}  // namespace internal
SEER_END_NAMESPACE
