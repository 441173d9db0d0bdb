// simdjson's own getters are the simple way to the same values.
#include "dataset/json_values.h"

#include <random>
#include <string>

#include "gtest/gtest.h"

namespace seer::internal {
namespace {

// The value of {"a": value}, by both ways; each needs a document of its own.
class Both {
 public:
  explicit Both(const std::string& value) : text_("{\"a\": " + value + "}") {}

  template <typename Get>
  void With(const Get& get) {
    ondemand::parser parser;
    std::string padded = text_ + std::string(simdjson::SIMDJSON_PADDING, ' ');
    ondemand::document document;
    ASSERT_FALSE(parser.iterate(padded.data(), text_.size(), padded.size()).get(document));
    ondemand::object object;
    ASSERT_FALSE(document.get_object().get(object));
    ondemand::value value;
    ASSERT_FALSE(object.find_field("a").get(value));
    get(value);
  }

 private:
  const std::string text_;
};

void ExpectSameString(const std::string& json) {
  SCOPED_TRACE(json);
  std::string expected, found;
  error_code expected_error{};
  Problem problem;
  Both both(json);
  both.With([&](ondemand::value& value) {
    std::string_view text;
    expected_error = value.get_string().get(text);
    if (!expected_error) expected = text;
  });
  both.With([&](ondemand::value& value) {
    std::string_view text;
    problem = GetString(value, &text);
    if (!problem) found = text;
  });
  EXPECT_EQ(static_cast<bool>(problem), expected_error != simdjson::SUCCESS);
  EXPECT_EQ(found, expected);
}

void ExpectSameInteger(const std::string& json, bool in_string) {
  SCOPED_TRACE(json);
  std::int64_t expected = 0, found = 0;
  error_code expected_error{};
  Problem problem;
  Both both(json);
  both.With([&](ondemand::value& value) {
    expected_error =
        in_string ? value.get_int64_in_string().get(expected) : value.get_int64().get(expected);
    if (expected_error) expected = 0;
  });
  both.With([&](ondemand::value& value) {
    problem = GetInteger(value, &found);
    if (problem) found = 0;
  });
  EXPECT_EQ(static_cast<bool>(problem), expected_error != simdjson::SUCCESS);
  EXPECT_EQ(found, expected);
}

TEST(JsonValues, StringsAreThoseOfSimdjson) {
  for (const char* const json :
       {"\"\"", "\"a\"", "\"a\"  \n", "\"a\\\"b\"", "\"\\u00e9\\n\"", "\"\\\\\"", "\"\\x\"",
        "\"\\ud800\"", "5", "null", "[\"a\"]", "\"caf\xc3\xa9\""}) {
    ExpectSameString(json);
  }
  std::mt19937 random(1);
  for (std::size_t size = 0; size < 70; ++size) {
    for (int i = 0; i < 30; ++i) {
      std::string text(size, 'x');
      for (char& c : text) c = static_cast<char>('a' + random() % 26);
      if (i % 2 == 0 && size > 1) text.replace(random() % (size - 1), 2, "\\n");
      ExpectSameString("\"" + text + "\"" + (i % 3 == 0 ? "" : " \n"));
    }
  }
}

TEST(JsonValues, IntegersAreThoseOfSimdjson) {
  for (const char* const text : {"0",
                                 "7",
                                 "-7",
                                 "00",
                                 "07",
                                 "-0",
                                 "1.5",
                                 "1e3",
                                 "",
                                 "x",
                                 "+1",
                                 "9223372036854775807",
                                 "9223372036854775808",
                                 "-9223372036854775808",
                                 "18446744073709551615",
                                 "99999999999999999999",
                                 "1 ",
                                 "12345678",
                                 "123456789",
                                 "1234567890123456"}) {
    if (*text != '\0') ExpectSameInteger(text, false);
    ExpectSameInteger("\"" + std::string(text) + "\"", true);
  }
  std::mt19937_64 random(2);
  for (int bits = 1; bits <= 64; ++bits) {
    for (int i = 0; i < 20; ++i) {
      const std::string text = std::to_string(random() >> (64 - bits));
      ExpectSameInteger(text, false);
      ExpectSameInteger("\"" + text + "\"", true);
    }
  }
}

TEST(JsonValues, WhatIsNotTakenIsPassedOver) {
  const std::string text =
      R"([{"key":"no","deep":{"a":[{}, {"b":"]}"}]},"value":"x"},
          {"value":"early","type":"string","key":"yes"},
          {"key":"yes","value":{"an":"object"}}, {"key":"yes","value":"late","more":[[]]},
          {"key":"no"}, {}, {"value":"alone"}, {"key":"y\u0065s","value":"esc\u0061ped"}])";
  std::string found;
  Both(text).With([&](ondemand::value& value) {
    const Problem problem = ForEachTag(
        value, [](std::string_view key) { return key == "yes"; }, GetText,
        [&](std::string_view, std::string_view words) { found += std::string(words) + ";"; });
    EXPECT_FALSE(problem) << problem.what;
  });
  EXPECT_EQ(found, "early;;late;escaped;");
}

}  // namespace
}  // namespace seer::internal
