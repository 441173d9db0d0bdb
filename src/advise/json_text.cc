#include "advise/json_text.h"

#include <charconv>
#include <cmath>
#include <cstddef>

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

// Bytes of the character that begins here, 0 where none does.
std::size_t Utf8Bytes(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto follows = [&](std::size_t i) { return i < text.size() && (byte(i) & 0xc0) == 0x80; };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first < 0xc2 || first > 0xf4 || !follows(1)) return 0;
  if (first < 0xe0) return 2;
  if (!follows(2)) return 0;
  if (first < 0xf0) {
    if ((first == 0xe0 && byte(1) < 0xa0) || (first == 0xed && byte(1) >= 0xa0)) return 0;
    return 3;
  }
  if (!follows(3) || (first == 0xf0 && byte(1) < 0x90) || (first == 0xf4 && byte(1) >= 0x90)) {
    return 0;
  }
  return 4;
}

}  // namespace

void JsonText::Comma() {
  if (!first_) text_ += ',';
  first_ = false;
}

JsonText& JsonText::Open(char bracket) {
  Comma();
  text_ += bracket;
  first_ = true;
  return *this;
}

JsonText& JsonText::Close(char bracket) {
  text_ += bracket;
  first_ = false;
  return *this;
}

void JsonText::Quote(std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  text_ += '"';
  while (!text.empty()) {
    const auto c = static_cast<unsigned char>(text.front());
    const std::size_t bytes = Utf8Bytes(text);
    if (bytes == 0) {
      text_ += "\\ufffd";
    } else if (c == '"' || c == '\\') {
      text_ += '\\';
      text_ += static_cast<char>(c);
    } else if (c < 0x20 || c == 0x7f) {
      text_ += "\\u00";
      text_ += kHex[c >> 4];
      text_ += kHex[c & 15];
    } else {
      text_.append(text.substr(0, bytes));
    }
    text.remove_prefix(bytes == 0 ? 1 : bytes);
  }
  text_ += '"';
}

JsonText& JsonText::Key(std::string_view key) {
  Comma();
  Quote(key);
  text_ += ':';
  first_ = true;
  return *this;
}

JsonText& JsonText::String(std::string_view text) {
  Comma();
  Quote(text);
  return *this;
}

JsonText& JsonText::Number(double value) {
  Comma();
  char text[32];
  const auto end = std::to_chars(text, text + sizeof(text), value).ptr;
  text_.append(std::isfinite(value) ? std::string_view(text, static_cast<std::size_t>(end - text))
                                    : "null");
  return *this;
}

JsonText& JsonText::Integer(std::int64_t value) {
  Comma();
  text_ += std::to_string(value);
  return *this;
}

JsonText& JsonText::Unsigned(std::uint64_t value) {
  Comma();
  text_ += std::to_string(value);
  return *this;
}

JsonText& JsonText::Bool(bool value) {
  Comma();
  text_ += value ? "true" : "false";
  return *this;
}

}  // namespace internal
SEER_END_NAMESPACE
