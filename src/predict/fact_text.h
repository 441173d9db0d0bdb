// Numbers in the texts that a model's checkpoint holds, a fact a line.
#pragma once

#include <charconv>
#include <string>
#include <string_view>
#include <system_error>

#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// Exact, and as short as can be.
template <typename Number>
void AppendNumber(Number value, std::string* text) {
  char digits[64];
  text->append(digits, std::to_chars(digits, digits + sizeof(digits), value).ptr);
}

// Whether all of the text is one number.
template <typename Number>
bool ToNumber(std::string_view text, Number* value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

}  // namespace internal
SEER_END_NAMESPACE
