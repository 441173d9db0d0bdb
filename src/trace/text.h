// Bytes of text formats, appended to a string. Private to the room.
#pragma once

#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>

#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// Any bytes as UTF-8: what is none is replaced by U+FFFD, byte by byte.
void AppendUtf8(std::string_view bytes, std::string* out);

// Any bytes as a JSON string, with its quotes. The same replacement, and escapes where RFC 8259
// demands them.
void AppendJsonString(std::string_view bytes, std::string* out);

// 16 lower-case digits.
void AppendHex(std::uint64_t number, std::string* out);

template <typename Integer>
void AppendDecimal(Integer number, std::string* out) {
  char digits[20];
  const std::to_chars_result end = std::to_chars(digits, digits + sizeof(digits), number);
  out->append(digits, end.ptr);
}

}  // namespace internal
SEER_END_NAMESPACE
