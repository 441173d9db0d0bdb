#include "seer/core/internal/crc32c.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <string>
#include <string_view>

namespace seer::internal {
namespace {

// One bit at a time, straight from the definition: the oracle.
std::uint32_t Naive(std::string_view bytes) {
  std::uint32_t crc = ~0u;
  for (char byte : bytes) {
    crc ^= static_cast<unsigned char>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (crc & 1 ? 0x82f63b78u : 0u);
  }
  return ~crc;
}

TEST(Crc32c, KnownValues) {
  // RFC 3720, appendix B.4.
  EXPECT_EQ(Crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(Crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  EXPECT_EQ(Crc32c(""), 0u);
}

TEST(Crc32c, BothVersionsEqualTheDefinitionAtEveryLengthAndAlignment) {
  std::mt19937 random(1);
  std::string bytes(10'000, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  const std::string_view all = bytes;
  for (std::size_t size : {0u, 1u, 7u, 8u, 9u, 63u, 3071u, 3072u, 3073u, 6144u, 9'990u}) {
    for (std::size_t offset : {0u, 1u, 5u}) {
      SCOPED_TRACE(size * 10 + offset);
      const std::string_view part = all.substr(offset, size);
      EXPECT_EQ(Crc32c(part), Naive(part));
      EXPECT_EQ(Crc32cPortable(part), Naive(part));
    }
  }
}

TEST(Crc32c, PiecesEqualTheWhole) {
  const std::string bytes(7000, 'q');
  const std::string_view all = bytes;
  for (std::size_t cut : {0u, 1u, 100u, 3072u, 6999u, 7000u}) {
    SCOPED_TRACE(cut);
    EXPECT_EQ(Crc32c(all.substr(cut), Crc32c(all.substr(0, cut))), Crc32c(all));
    EXPECT_EQ(Crc32cPortable(all.substr(cut), Crc32cPortable(all.substr(0, cut))), Crc32c(all));
  }
}

}  // namespace
}  // namespace seer::internal
