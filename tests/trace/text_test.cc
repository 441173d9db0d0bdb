#include "trace/text.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

#include "tests/support/json.h"

namespace seer::internal {
namespace {

using seer::testing::Json;

std::string Utf8(std::string_view bytes) {
  std::string text = "before ";
  AppendUtf8(bytes, &text);
  return text.substr(7);
}
std::string Quoted(std::string_view bytes) {
  std::string text;
  AppendJsonString(bytes, &text);
  return text;
}

constexpr const char kBad[] = "\xef\xbf\xbd";

TEST(Utf8, KeepsWhatIsUtf8AndReplacesTheRestByteByByte) {
  const std::string bad = kBad;
  struct Case {
    std::string bytes;
    std::string text;
  };
  for (const Case& c :
       {Case{"", ""}, Case{"plain", "plain"}, Case{"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", ""},
        Case{"\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf", ""},  // around the surrogates, the last
        Case{"a\xff"
             "b",
             "a" + bad + "b"},
        Case{"\x80", bad}, Case{"\xc0\x80", bad + bad},                      // overlong
        Case{"\xc1\xbf", bad + bad}, Case{"\xe0\x9f\xbf", bad + bad + bad},  // overlong
        Case{"\xf0\x8f\xbf\xbf", bad + bad + bad + bad},
        Case{"\xed\xa0\x80", bad + bad + bad},  // a surrogate
        Case{"\xf4\x90\x80\x80", bad + bad + bad + bad},
        Case{"\xf5\x80\x80\x80", bad + bad + bad + bad}, Case{"\xe2\x82", bad + bad},  // cut off
        Case{"\xe2\x82x", bad + bad + "x"}, Case{"\xf0\x9f\x98", bad + bad + bad},
        Case{"\xc3", bad}, Case{"\xc3\xc3\xa4", bad + "\xc3\xa4"}}) {
    SCOPED_TRACE(::testing::PrintToString(c.bytes));
    EXPECT_EQ(Utf8(c.bytes), c.text.empty() ? c.bytes : c.text);
  }
}

TEST(JsonString, IsReadBackAsItsBytes) {
  std::string all;
  for (int byte = 0; byte < 0x80; ++byte) all.push_back(static_cast<char>(byte));
  all += "\xc3\xa4\xe2\x80\xa8\xf0\x9f\x98\x80";
  const auto json = Json::Parse(Quoted(all));
  ASSERT_TRUE(json);
  EXPECT_EQ(json->text, all);
  EXPECT_EQ(Quoted("a\"\\\n\x1f"), "\"a\\\"\\\\\\u000a\\u001f\"");
}

// Every pair of bytes, valid or not.
TEST(JsonString, AnyBytesAreValidJson) {
  for (int a = 0; a < 256; ++a) {
    for (int b = 0; b < 256; ++b) {
      const std::string bytes = {static_cast<char>(a), static_cast<char>(b)};
      const auto json = Json::Parse(Quoted(bytes));
      ASSERT_TRUE(json && json->IsString()) << a << " " << b;
      ASSERT_EQ(json->text, Utf8(bytes));
    }
  }
}

TEST(Numbers, InHexAndDecimal) {
  std::string text;
  AppendHex(0x0123456789abcdef, &text);
  text += ' ';
  AppendDecimal(std::numeric_limits<std::int64_t>::min(), &text);
  text += ' ';
  AppendDecimal(std::numeric_limits<std::uint64_t>::max(), &text);
  EXPECT_EQ(text, "0123456789abcdef -9223372036854775808 18446744073709551615");
}

// The judge of the other tests has to be strict.
TEST(Json, TheReaderRefusesWhatIsNoJson) {
  for (const char* good : {"{}", "[]", " [1, -2.5e+3 ,0.1,\"\\u00e4\\ud83d\\ude00\"] ", "null",
                           "{\"a\":{\"b\":[true,false,null]}}"}) {
    EXPECT_TRUE(Json::Parse(good)) << good;
  }
  for (const char* bad : {"",
                          "{",
                          "[1,]",
                          "{\"a\":1,}",
                          "{\"a\":1,\"a\":2}",
                          "{a:1}",
                          "'a'",
                          "01",
                          "1.",
                          ".5",
                          "+1",
                          "-",
                          "1e",
                          "tru",
                          "[1 2]",
                          "\"a",
                          "\"\\x\"",
                          "\"\\u12\"",
                          "\"\\ud800\"",
                          "\"\\udc00\"",
                          "\"\n\"",
                          "\"\xff\"",
                          "\"\xc0\x80\"",
                          "\"\xed\xa0\x80\"",
                          "[] []",
                          "NaN",
                          "{\"a\" 1}"}) {
    EXPECT_FALSE(Json::Parse(bad)) << bad;
  }
  EXPECT_FALSE(Json::Parse(std::string(1000, '[')));
}

}  // namespace
}  // namespace seer::internal
