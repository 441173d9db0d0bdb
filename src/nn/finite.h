// NaN, infinity and what is too large, by their bits: a host's -ffast-math, under which x != x is
// always false, changes nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "absl/types/span.h"
#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE
namespace internal {

inline constexpr std::uint32_t kInfinityBits = 0x7f800000u;
// Inputs have to be below 2^64: no sum of a network's layers then leaves the range of a float,
// unless the weights themselves are out of all bounds.
inline constexpr std::uint32_t kTooLargeBits = 0x5f800000u;

inline bool IsBelow(float value, std::uint32_t limit_bits) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return (bits & 0x7fffffffu) < limit_bits;
}
inline bool IsFinite(float value) { return IsBelow(value, kInfinityBits); }

// The index of the first value whose magnitude is the limit or more, or that is NaN; the number of
// values if there is none.
inline std::size_t FirstNotBelow(absl::Span<const float> values, std::uint32_t limit_bits) {
  // Blocks of 64 without a branch inside, so that the compiler makes vectors of them.
  std::size_t i = 0;
  for (; i + 64 <= values.size(); i += 64) {
    std::uint32_t bits[64], bad = 0;
    std::memcpy(bits, values.data() + i, sizeof(bits));
    for (std::uint32_t b : bits) bad |= (limit_bits - 1) - (b & 0x7fffffffu);  // negative: bad
    if ((bad & 0x80000000u) != 0) break;
  }
  for (; i < values.size(); ++i) {
    if (!IsBelow(values[i], limit_bits)) return i;
  }
  return values.size();
}
inline std::size_t FirstNotFinite(absl::Span<const float> values) {
  return FirstNotBelow(values, kInfinityBits);
}

}  // namespace internal
SEER_END_NAMESPACE
