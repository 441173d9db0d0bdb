#include "trace/text.h"

#include "trace/hex.h"

SEER_BEGIN_NAMESPACE
namespace internal {

namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";  // U+FFFD

// How many bytes the character at the front has; 0 if it is none. Table 3-7 of the Unicode
// standard: no overlong forms, no surrogates, nothing above U+10FFFF.
std::size_t CharacterBytes(std::string_view s) {
  const auto byte = [&](std::size_t i) {
    return i < s.size() ? static_cast<unsigned char>(s[i]) : 0u;
  };
  const auto in = [](unsigned b, unsigned low, unsigned high) { return b >= low && b <= high; };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (in(first, 0xc2, 0xdf)) return in(byte(1), 0x80, 0xbf) ? 2 : 0;
  if (in(first, 0xe0, 0xef)) {
    const unsigned low = first == 0xe0 ? 0xa0 : 0x80;
    const unsigned high = first == 0xed ? 0x9f : 0xbf;
    return in(byte(1), low, high) && in(byte(2), 0x80, 0xbf) ? 3 : 0;
  }
  if (in(first, 0xf0, 0xf4)) {
    const unsigned low = first == 0xf0 ? 0x90 : 0x80;
    const unsigned high = first == 0xf4 ? 0x8f : 0xbf;
    const bool rest = in(byte(2), 0x80, 0xbf) && in(byte(3), 0x80, 0xbf);
    return in(byte(1), low, high) && rest ? 4 : 0;
  }
  return 0;
}

// Appends `bytes` as UTF-8; `special(c, out)` may write a byte below 0x80 in another way.
template <typename Special>
void AppendCharacters(std::string_view bytes, const Special& special, std::string* out) {
  std::size_t plain = 0;  // bytes at the front that are fine as they are
  const auto flush = [&](std::size_t skip) {
    out->append(bytes.data(), plain);
    bytes.remove_prefix(plain + skip);
    plain = 0;
  };
  while (plain < bytes.size()) {  // each turn advances
    const char next = bytes[plain];
    if (static_cast<unsigned char>(next) < 0x80 && !special.Is(next)) {  // nearly always
      ++plain;
      continue;
    }
    const std::string_view rest = bytes.substr(plain);
    const std::size_t size = CharacterBytes(rest);
    if (size == 0) {
      flush(1);
      out->append(kReplacement);
    } else if (size == 1 && special.Is(rest[0])) {
      const char c = rest[0];
      flush(1);
      special.Append(c, out);
    } else {
      plain += size;
    }
  }
  flush(0);
}

struct NothingSpecial {
  static bool Is(char) { return false; }
  static void Append(char, std::string*) {}
};

struct JsonEscapes {
  static bool Is(char c) { return static_cast<unsigned char>(c) < 0x20 || c == '"' || c == '\\'; }
  static void Append(char c, std::string* out) {
    if (static_cast<unsigned char>(c) >= 0x20) {
      out->push_back('\\');
      out->push_back(c);
      return;
    }
    constexpr char kDigits[] = "0123456789abcdef";
    out->append("\\u00");
    out->push_back(kDigits[c >> 4]);
    out->push_back(kDigits[c & 0xf]);
  }
};

}  // namespace

void AppendUtf8(std::string_view bytes, std::string* out) {
  AppendCharacters(bytes, NothingSpecial(), out);
}

void AppendJsonString(std::string_view bytes, std::string* out) {
  out->push_back('"');
  AppendCharacters(bytes, JsonEscapes(), out);
  out->push_back('"');
}

void AppendHex(std::uint64_t number, std::string* out) {
  char digits[16];
  WriteHex16(number, digits);
  out->append(digits, sizeof(digits));
}

}  // namespace internal
SEER_END_NAMESPACE
