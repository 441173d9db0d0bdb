// What the kernel's text files are made of: words between blanks, and numbers. Any bytes may come.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>

#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// The next word, taken off the front of `rest`; empty at the end.
inline std::string_view TakeWord(std::string_view* rest) {
  constexpr std::string_view kBlanks = " \t";
  const std::size_t begin = rest->find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) {
    *rest = {};
    return {};
  }
  const std::size_t end = std::min(rest->find_first_of(kBlanks, begin), rest->size());
  const std::string_view word = rest->substr(begin, end - begin);
  rest->remove_prefix(end);
  return word;
}

// All of the text is one number that fits, without a sign: not "", "-1", "nan", "1e3", "12 ".
template <typename Int = std::uint64_t>
std::optional<Int> ParseNumber(std::string_view text, int base = 10) {
  Int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size() ||
      (!text.empty() && text[0] == '-')) {
    return std::nullopt;
  }
  return value;
}

inline bool StartsWith(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

}  // namespace internal
SEER_END_NAMESPACE
