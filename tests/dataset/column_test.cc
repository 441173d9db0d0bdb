#include "dataset/column.h"

#include <cstring>
#include <limits>
#include <random>

#include "gtest/gtest.h"

namespace seer::internal {
namespace {

template <typename T>
std::vector<T> RoundTrip(std::vector<std::uint64_t> values, std::size_t rows, std::size_t ticks,
                         std::size_t* bytes_used = nullptr) {
  std::string bytes;
  ColumnEncoder encoder(3, &bytes);
  encoder.Integers(Field::kCount, 3, rows, ticks, &values);
  if (bytes_used != nullptr) *bytes_used = bytes.size();
  if (bytes.empty()) return std::vector<T>(rows * ticks, 0);
  std::string_view left = bytes;
  ColumnView view;
  EXPECT_TRUE(NextColumn(&left, &view).ok());
  EXPECT_TRUE(left.empty());
  EXPECT_EQ(view.field, Field::kCount);
  EXPECT_EQ(view.channel, 3);
  std::vector<T> out;
  ColumnDecoder decoder;
  EXPECT_TRUE(decoder.Decode(view, rows, ticks, &out).ok());
  return out;
}

TEST(Column, IntegersOfEverySizeComeBack) {
  std::mt19937_64 random(1);
  for (int bits = 0; bits <= 64; ++bits) {
    for (const bool rising : {false, true}) {
      SCOPED_TRACE(bits);
      std::vector<std::uint64_t> values(7 * 33);
      for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] = bits == 0 ? 0 : random() >> (64 - bits);
        if (rising && i > 0) values[i] = values[i - 1] + (values[i] & 3);
      }
      EXPECT_EQ(RoundTrip<std::uint64_t>(values, 7, 33), values);
      if (bits > 32 || rising) continue;
      const std::vector<std::uint32_t> narrow(values.begin(), values.end());
      EXPECT_EQ(RoundTrip<std::uint32_t>(values, 7, 33), narrow);
    }
  }
}

TEST(Column, ExtremesNextToEachOtherComeBack) {
  const std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
  const std::vector<std::uint64_t> wide = {0, most, 0, most, 1, most - 1};
  EXPECT_EQ(RoundTrip<std::uint64_t>(wide, 2, 3), wide);
  const std::vector<std::uint64_t> narrow = {0, 0xffffffff, 0, 0xffffffff, 0x80000000, 0x7fffffff};
  EXPECT_EQ(RoundTrip<std::uint32_t>(narrow, 2, 3),
            std::vector<std::uint32_t>(narrow.begin(), narrow.end()));
  // A sum of many small steps that leaves 32 bits.
  std::vector<std::uint64_t> steps(100);
  for (std::size_t i = 0; i < steps.size(); ++i) steps[i] = i << 30;
  EXPECT_EQ(RoundTrip<std::uint64_t>(steps, 1, 100), steps);
}

TEST(Column, WhatIsConstantCostsNoRoom) {
  std::size_t bytes = 0;
  RoundTrip<std::uint32_t>(std::vector<std::uint64_t>(10'000, 5), 100, 100, &bytes);
  EXPECT_EQ(bytes, 17u);
  RoundTrip<std::uint32_t>(std::vector<std::uint64_t>(10'000, 0), 100, 100, &bytes);
  EXPECT_EQ(bytes, 0u);
  std::vector<std::uint64_t> rows(10'000);
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = i / 100;
  EXPECT_EQ(RoundTrip<std::uint8_t>(rows, 100, 100, &bytes),
            std::vector<std::uint8_t>(rows.begin(), rows.end()));
  EXPECT_LE(bytes, 116u);
}

TEST(Column, FloatsComeBackToTheBit) {
  std::mt19937 random(2);
  for (int style = 0; style < 5; ++style) {
    SCOPED_TRACE(style);
    std::vector<float> values(5 * 40);
    for (float& value : values) {
      const std::uint32_t raw = static_cast<std::uint32_t>(random());
      switch (style) {
        case 0:
          value = static_cast<float>(raw % 100);
          break;
        case 1:
          value = static_cast<float>(raw % 5000 / 1000.0);
          break;
        case 2:
          value = static_cast<float>(raw % 10'000'000 / 100'000.0);
          break;
        case 3:
          std::memcpy(&value, &(const std::uint32_t&)(raw % 0x7f800000u), 4);
          break;
        default:
          value = raw % 2 == 0 ? 0.0f : std::numeric_limits<float>::denorm_min();
      }
    }
    std::string bytes;
    ColumnEncoder encoder(3, &bytes);
    encoder.Floats(Field::kMean, 1, 5, 40, values, 100'000);
    std::string_view left = bytes;
    ColumnView view;
    ASSERT_TRUE(NextColumn(&left, &view).ok());
    EXPECT_EQ(view.number, style < 3 ? 2 : 1);
    std::vector<float> out;
    ColumnDecoder decoder;
    ASSERT_TRUE(decoder.Decode(view, 5, 40, &out).ok());
    EXPECT_EQ(std::memcmp(out.data(), values.data(), values.size() * sizeof(float)), 0);
  }
}

TEST(Column, RefusesWhatDoesNotFit) {
  std::vector<std::uint64_t> values = {1, 2, 300, 4};
  std::string bytes;
  ColumnEncoder encoder(3, &bytes);
  encoder.Integers(Field::kCount, 0, 2, 2, &values);
  std::string_view left = bytes;
  ColumnView view;
  ASSERT_TRUE(NextColumn(&left, &view).ok());
  ColumnDecoder decoder;
  std::vector<std::uint32_t> wide;
  std::vector<std::uint8_t> narrow;
  std::vector<float> real;
  EXPECT_TRUE(decoder.Decode(view, 2, 2, &wide).ok());
  EXPECT_FALSE(decoder.Decode(view, 2, 2, &narrow).ok());  // 300
  EXPECT_FALSE(decoder.Decode(view, 2, 2, &real).ok());    // of another kind
  EXPECT_FALSE(decoder.Decode(view, 2, 3, &wide).ok());    // of another size
  view.scale = 0;
  view.number = 2;
  EXPECT_FALSE(decoder.Decode(view, 2, 2, &real).ok());  // would divide by zero
  left = std::string_view(bytes).substr(0, bytes.size() - 1);
  EXPECT_FALSE(NextColumn(&left, &view).ok());
}

}  // namespace
}  // namespace seer::internal
