#include "seer/core/internal/crc32c.h"

#include <array>
#include <cstddef>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

SEER_BEGIN_NAMESPACE
namespace internal {

namespace {

constexpr std::uint32_t kPolynomial = 0x82f63b78;  // reflected

// Slicing by eight: kSlices[k][b] is the effect of byte b followed by k zero bytes.
using Slices = std::array<std::array<std::uint32_t, 256>, 8>;
constexpr Slices MakeSlices() {
  Slices slices = {};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (crc & 1 ? kPolynomial : 0);
    slices[0][byte] = crc;
  }
  for (std::size_t k = 1; k < 8; ++k) {
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const std::uint32_t before = slices[k - 1][byte];
      slices[k][byte] = (before >> 8) ^ slices[0][before & 0xff];
    }
  }
  return slices;
}
constexpr Slices kSlices = MakeSlices();

std::uint64_t Load64(const char* p) {
  std::uint64_t value;
  std::memcpy(&value, p, sizeof(value));
  return value;
}

#if defined(__x86_64__)

// The crc32 instruction takes three cycles but one can start every cycle: three stretches of the
// input run side by side and their checksums are joined. Joining needs "the checksum of these bytes
// followed by n zero bytes", which is linear: four table look-ups.
constexpr std::size_t kStretch = 1024;  // a power of two

class ZeroAppender {
 public:
  explicit constexpr ZeroAppender(std::size_t zero_bytes) {
    // Column b of the operator is its effect on the single bit b: first for one zero byte, then
    // for twice as many each time. The number is a power of two.
    std::array<std::uint32_t, 32> columns = {};
    for (std::size_t b = 0; b < 32; ++b) {
      const std::uint32_t crc = std::uint32_t{1} << b;
      columns[b] = (crc >> 8) ^ kSlices[0][crc & 0xff];
    }
    for (; zero_bytes > 1; zero_bytes /= 2) {
      std::array<std::uint32_t, 32> twice = {};
      for (std::size_t b = 0; b < 32; ++b) {
        for (std::size_t bit = 0; bit < 32; ++bit) {
          if ((columns[b] >> bit & 1) != 0) twice[b] ^= columns[bit];
        }
      }
      columns = twice;
    }
    for (std::size_t k = 0; k < 4; ++k) {
      for (std::size_t byte = 1; byte < 256; ++byte) {
        const std::size_t low = byte & (~byte + 1);
        std::size_t bit = 0;
        while ((low >> bit) != 1) ++bit;
        tables_[k][byte] = tables_[k][byte ^ low] ^ columns[8 * k + bit];
      }
    }
  }
  std::uint32_t operator()(std::uint32_t crc) const {
    return tables_[0][crc & 0xff] ^ tables_[1][crc >> 8 & 0xff] ^ tables_[2][crc >> 16 & 0xff] ^
           tables_[3][crc >> 24];
  }

 private:
  std::array<std::array<std::uint32_t, 256>, 4> tables_ = {};
};

__attribute__((target("sse4.2"))) std::uint32_t Crc32cSse42(const char* p, std::size_t size,
                                                            std::uint32_t so_far) {
  static constexpr ZeroAppender kAppendStretch(kStretch);
  std::uint64_t crc = ~so_far;
  while (size >= 3 * kStretch) {
    std::uint64_t second = 0;
    std::uint64_t third = 0;
    for (std::size_t i = 0; i < kStretch; i += 8) {
      crc = _mm_crc32_u64(crc, Load64(p + i));
      second = _mm_crc32_u64(second, Load64(p + kStretch + i));
      third = _mm_crc32_u64(third, Load64(p + 2 * kStretch + i));
    }
    crc = kAppendStretch(static_cast<std::uint32_t>(crc)) ^ second;
    crc = kAppendStretch(static_cast<std::uint32_t>(crc)) ^ third;
    p += 3 * kStretch;
    size -= 3 * kStretch;
  }
  for (; size >= 8; p += 8, size -= 8) crc = _mm_crc32_u64(crc, Load64(p));
  auto crc32 = static_cast<std::uint32_t>(crc);
  for (; size > 0; ++p, --size) crc32 = _mm_crc32_u8(crc32, static_cast<unsigned char>(*p));
  return ~crc32;
}

#endif

}  // namespace

std::uint32_t Crc32cPortable(std::string_view bytes, std::uint32_t so_far) {
  const char* p = bytes.data();
  std::size_t size = bytes.size();
  std::uint32_t crc = ~so_far;
  for (; size >= 8; p += 8, size -= 8) {
    const std::uint64_t word = Load64(p) ^ crc;
    crc = 0;
    for (std::size_t k = 0; k < 8; ++k) crc ^= kSlices[7 - k][word >> (8 * k) & 0xff];
  }
  for (; size > 0; ++p, --size) {
    crc = (crc >> 8) ^ kSlices[0][(crc ^ static_cast<unsigned char>(*p)) & 0xff];
  }
  return ~crc;
}

std::uint32_t Crc32c(std::string_view bytes, std::uint32_t so_far) {
#if defined(__x86_64__)
  static const bool has_instruction = __builtin_cpu_supports("sse4.2");
  if (has_instruction) return Crc32cSse42(bytes.data(), bytes.size(), so_far);
#endif
  return Crc32cPortable(bytes, so_far);
}

}  // namespace internal
SEER_END_NAMESPACE
