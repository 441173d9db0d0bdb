#include "tests/support/json.h"

#include <algorithm>
#include <cstdint>
#include <utility>

namespace seer::testing {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

class Parser {
 public:
  explicit Parser(std::string_view bytes) : rest_(bytes) {}

  bool Document(Json* out) {
    Spaces();
    return Value(out, 64) && (Spaces(), rest_.empty());
  }

 private:
  void Spaces() {
    while (!rest_.empty() && std::string_view(" \t\r\n").find(rest_[0]) != rest_.npos) {
      rest_.remove_prefix(1);
    }
  }
  bool Take(std::string_view text) {
    if (rest_.substr(0, text.size()) != text) return false;
    rest_.remove_prefix(text.size());
    return true;
  }

  bool Value(Json* out, int depth) {
    if (rest_.empty() || depth == 0) return false;
    switch (rest_[0]) {
      case '{':
        return Object(out, depth);
      case '[':
        return Array(out, depth);
      case '"':
        out->type = Json::Type::kString;
        return String(&out->text);
      case 't':
      case 'f':
        out->type = Json::Type::kBool;
        out->boolean = rest_[0] == 't';
        return Take(out->boolean ? "true" : "false");
      case 'n':
        out->type = Json::Type::kNull;
        return Take("null");
      default:
        out->type = Json::Type::kNumber;
        return Number(&out->text);
    }
  }

  bool Object(Json* out, int depth) {
    out->type = Json::Type::kObject;
    rest_.remove_prefix(1);
    Spaces();
    if (Take("}")) return true;
    do {
      Spaces();
      std::string key;
      if (rest_.empty() || rest_[0] != '"' || !String(&key)) return false;
      Spaces();
      if (!Take(":")) return false;
      Spaces();
      Json value;
      if (!Value(&value, depth - 1) || !out->members.emplace(key, std::move(value)).second) {
        return false;
      }
      Spaces();
    } while (Take(","));
    return Take("}");
  }

  bool Array(Json* out, int depth) {
    out->type = Json::Type::kArray;
    rest_.remove_prefix(1);
    Spaces();
    if (Take("]")) return true;
    do {
      Spaces();
      Json value;
      if (!Value(&value, depth - 1)) return false;
      out->items.push_back(std::move(value));
      Spaces();
    } while (Take(","));
    return Take("]");
  }

  bool Number(std::string* text) {
    std::size_t n = 0;
    const auto at = [&](std::size_t i) { return i < rest_.size() ? rest_[i] : '\0'; };
    const auto digits = [&] {
      const std::size_t begin = n;
      while (IsDigit(at(n))) ++n;
      return n > begin;
    };
    if (at(n) == '-') ++n;
    if (at(n) == '0') {
      ++n;
    } else if (!digits()) {
      return false;
    }
    if (at(n) == '.' && (++n, !digits())) return false;
    if (at(n) == 'e' || at(n) == 'E') {
      ++n;
      if (at(n) == '+' || at(n) == '-') ++n;
      if (!digits()) return false;
    }
    text->assign(rest_.substr(0, n));
    rest_.remove_prefix(n);
    return true;
  }

  bool Hex4(std::uint32_t* out) {
    if (rest_.size() < 4) return false;
    *out = 0;
    for (char c : rest_.substr(0, 4)) {
      const std::string_view kDigits = "0123456789abcdef";
      const char lower = c >= 'A' && c <= 'F' ? static_cast<char>(c + 'a' - 'A') : c;
      const std::size_t value = kDigits.find(lower);
      if (value == kDigits.npos) return false;
      *out = *out << 4 | static_cast<std::uint32_t>(value);
    }
    rest_.remove_prefix(4);
    return true;
  }

  static void AppendCharacter(std::uint32_t c, std::string* out) {
    const auto push = [&](std::uint32_t byte) { out->push_back(static_cast<char>(byte)); };
    if (c < 0x80) {
      push(c);
    } else if (c < 0x800) {
      push(0xc0 | c >> 6);
      push(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
      push(0xe0 | c >> 12);
      push(0x80 | (c >> 6 & 0x3f));
      push(0x80 | (c & 0x3f));
    } else {
      push(0xf0 | c >> 18);
      push(0x80 | (c >> 12 & 0x3f));
      push(0x80 | (c >> 6 & 0x3f));
      push(0x80 | (c & 0x3f));
    }
  }

  bool Escape(std::string* out) {
    if (rest_.empty()) return false;
    const char c = rest_[0];
    rest_.remove_prefix(1);
    const std::string_view kFrom = "\"\\/bfnrt", kTo = "\"\\/\b\f\n\r\t";
    if (const std::size_t i = kFrom.find(c); i != kFrom.npos) {
      out->push_back(kTo[i]);
      return true;
    }
    std::uint32_t unit = 0;
    if (c != 'u' || !Hex4(&unit)) return false;
    if (unit >= 0xdc00 && unit < 0xe000) return false;
    if (unit >= 0xd800 && unit < 0xdc00) {
      std::uint32_t low = 0;
      if (!Take("\\u") || !Hex4(&low) || low < 0xdc00 || low >= 0xe000) return false;
      unit = 0x10000 + ((unit - 0xd800) << 10 | (low - 0xdc00));
    }
    AppendCharacter(unit, out);
    return true;
  }

  // Reads one character of more than one byte, decoding it in full: a second opinion on UTF-8.
  bool Utf8(std::string* out) {
    const auto first = static_cast<unsigned char>(rest_[0]);
    const std::size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc0 || first >= 0xf8 || rest_.size() < size) return false;
    std::uint32_t c = first & (0x7fu >> size);
    for (std::size_t i = 1; i < size; ++i) {
      const auto byte = static_cast<unsigned char>(rest_[i]);
      if (byte >> 6 != 2) return false;
      c = c << 6 | (byte & 0x3f);
    }
    const std::uint32_t least = size == 4 ? 0x10000 : size == 3 ? 0x800 : 0x80;
    if (c < least || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) return false;
    out->append(rest_.substr(0, size));
    rest_.remove_prefix(size);
    return true;
  }

  bool String(std::string* out) {
    rest_.remove_prefix(1);
    while (!rest_.empty()) {
      const auto c = static_cast<unsigned char>(rest_[0]);
      if (c < 0x20) return false;
      if (c >= 0x80) {
        if (!Utf8(out)) return false;
        continue;
      }
      rest_.remove_prefix(1);
      if (c == '"') return true;
      if (c == '\\') {
        if (!Escape(out)) return false;
      } else {
        out->push_back(static_cast<char>(c));
      }
    }
    return false;
  }

  std::string_view rest_;
};

}  // namespace

std::optional<Json> Json::Parse(std::string_view bytes) {
  Json json;
  if (!Parser(bytes).Document(&json)) return std::nullopt;
  return json;
}

const Json& Json::operator[](std::string_view key) const {
  static const Json missing;
  const auto found = members.find(std::string(key));
  return found != members.end() ? found->second : missing;
}

const Json& Json::operator[](std::size_t i) const {
  static const Json missing;
  return i < items.size() ? items[i] : missing;
}

bool Json::IsInteger() const {
  if (type != Type::kNumber) return false;
  const std::string_view digits = std::string_view(text).substr(text[0] == '-' ? 1 : 0);
  return std::all_of(digits.begin(), digits.end(), IsDigit);
}

}  // namespace seer::testing
