// A strict JSON reader for tests (RFC 8259): valid UTF-8 only, no key twice in an object, nothing
// before or after the value. Numbers keep their text, so that no digit is lost.
//
//   std::optional<Json> json = Json::Parse(text);
//   ASSERT_TRUE(json);
//   EXPECT_EQ((*json)["spans"][0]["name"].text, "ReadPosts");
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace seer::testing {

struct Json {
  enum class Type { kMissing, kNull, kBool, kNumber, kString, kArray, kObject };

  Type type = Type::kMissing;
  bool boolean = false;
  std::string text;  // of a string, unescaped; of a number, as it stands there
  std::vector<Json> items;
  std::map<std::string, Json> members;

  static std::optional<Json> Parse(std::string_view bytes);

  // kMissing where there is none: a chain of lookups needs no checks in between.
  const Json& operator[](std::string_view key) const;
  const Json& operator[](std::size_t i) const;
  bool Has(std::string_view key) const { return members.count(std::string(key)) > 0; }

  bool IsString() const { return type == Type::kString; }
  bool IsNumber() const { return type == Type::kNumber; }
  bool IsArray() const { return type == Type::kArray; }
  bool IsObject() const { return type == Type::kObject; }
  // Digits only, without fraction or exponent.
  bool IsInteger() const;
};

}  // namespace seer::testing
