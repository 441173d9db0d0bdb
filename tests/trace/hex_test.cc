#include "trace/hex.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>

namespace seer::internal {
namespace {

TEST(Hex, EveryByteInEveryPlaceIsReadOrRefused) {
  for (std::size_t place = 0; place < 8; ++place) {
    for (int byte = 0; byte < 256; ++byte) {
      std::string digits = "1a9f0c7e";
      digits[place] = static_cast<char>(byte);
      const std::size_t value = std::string("0123456789abcdef").find(static_cast<char>(byte));
      std::uint32_t number = 0;
      ASSERT_EQ(ReadHex8(digits.data(), &number), value != std::string::npos)
          << place << " " << byte;
      if (value == std::string::npos) continue;
      ASSERT_EQ(number, std::stoul(digits, nullptr, 16));
      char again[8];
      WriteHex8(number, again);
      ASSERT_EQ(std::string(again, 8), digits);
    }
  }
}

TEST(Hex, RoundTrips) {
  std::uint64_t number = 1;
  for (int i = 0; i < 1000; ++i) {
    number = number * 6364136223846793005u + 1442695040888963407u;
    char digits[16];
    WriteHex16(number, digits);
    std::uint64_t again = 0;
    ASSERT_TRUE(ReadHex16(digits, &again));
    ASSERT_EQ(again, number);
  }
  std::uint64_t unused = 0;
  EXPECT_FALSE(ReadHex16("0123456789abcdeg", &unused));
  EXPECT_FALSE(ReadHex16("g123456789abcdef", &unused));
}

}  // namespace
}  // namespace seer::internal
