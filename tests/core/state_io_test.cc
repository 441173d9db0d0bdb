#include "seer/core/internal/state_io.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

namespace seer {
namespace {

struct Row {
  std::uint32_t id = 0;
  float value = 0;
};
struct Value {
  bool flag = false;
  std::int64_t number = 0;
  std::string text;
  std::vector<double> list;
  std::vector<Row> rows;

  void State(internal::StateIo& io) {
    io(flag), io(number), io(text), io(list);
    io.List(rows, 8, [&](Row& row) { io(row.id), io(row.value); });
  }
};

Value Example() { return {true, -5, "node", {1.5, -2}, {{7, 0.5f}, {8, -1}}}; }
std::string Bytes(Value value) {
  std::string bytes;
  internal::StateIo io(&bytes);
  value.State(io);
  return bytes;
}

TEST(StateIo, ComesBackAsItWas) {
  const std::string bytes = Bytes(Example());
  Value value;
  internal::StateIo io{std::string_view(bytes)};
  value.State(io);
  ASSERT_TRUE(io.status().ok()) << io.status();
  EXPECT_EQ(Bytes(value), bytes);
  EXPECT_EQ(value.text, "node");
  EXPECT_EQ(value.rows[1].id, 8u);
}

TEST(StateIo, CutOffOrTooLongIsAnErrorThatNamesIt) {
  const std::string bytes = Bytes(Example());
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    Value value;
    internal::StateIo io{std::string_view(bytes).substr(0, size)};
    value.State(io);
    EXPECT_FALSE(io.status().ok()) << size;
  }
  const std::string longer = bytes + "x";
  Value value;
  internal::StateIo io{std::string_view(longer)};
  value.State(io);
  EXPECT_TRUE(io.ok());
  EXPECT_EQ(io.status().message(), "state: bytes behind its end: take another copy");
}

TEST(StateIo, NoListIsLongerThanItsBytes) {
  std::string bytes(8, '\x7f');
  bytes += "12345678";
  internal::StateIo numbers{std::string_view(bytes)};
  std::vector<double> list;
  numbers(list);
  EXPECT_FALSE(numbers.ok());
  EXPECT_TRUE(list.empty());
  internal::StateIo rows{std::string_view(bytes)};
  std::vector<Row> read;
  rows.List(read, 8, [](Row&) { FAIL(); });
  EXPECT_FALSE(rows.ok());
}

TEST(StateIo, NumbersAreFiniteAndBooleansAreTwo) {
  std::string bytes;
  internal::StateIo out(&bytes);
  double nan = std::numeric_limits<double>::quiet_NaN();
  out(nan);
  internal::StateIo in{std::string_view(bytes)};
  double value = 3;
  in(value);
  EXPECT_FALSE(in.ok());
  EXPECT_EQ(value, 3);
  internal::StateIo two{std::string_view("\2")};
  bool flag = false;
  two(flag);
  EXPECT_FALSE(two.ok());
}

}  // namespace
}  // namespace seer
