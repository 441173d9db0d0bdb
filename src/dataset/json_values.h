// What the importers of JSON take out of simdjson's values. Strings, keys and numbers are read from
// where they stand: of simdjson, only what finds them depends on the processor, the rest is
// compiled for the oldest one.
#pragma once

#define SIMDJSON_EXCEPTIONS 0
#include <simdjson.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <string_view>
#include <utility>

#include "dataset/digits.h"
#include "seer/core/config.h"
#include "seer/core/internal/status_macros.h"
#include "seer/core/span.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

SEER_BEGIN_NAMESPACE
namespace internal {

namespace ondemand = simdjson::ondemand;
using simdjson::error_code;

// What is wrong with an object: simdjson's code, or words of ours.
struct Problem {
  const char* what = nullptr;
  Problem() = default;
  Problem(error_code code) : what(code ? simdjson::error_message(code) : nullptr) {}
  explicit Problem(const char* words) : what(words) {}
  explicit operator bool() const { return what != nullptr; }
};

// A name of its own for each: they stand within each other.
#define SEER_TRY(expression) SEER_TRY_AS(SEER_INTERNAL_CONCAT(problem_, __COUNTER__), expression)
#define SEER_TRY_AS(name, expression)                   \
  do {                                                  \
    if (const Problem name = (expression)) return name; \
  } while (false)

// Calls take(key, value) for each field.
template <typename Take>
Problem ForEachField(ondemand::object object, const Take& take) {
  for (auto result : object) {
    ondemand::field field;
    SEER_TRY(Problem(std::move(result).get(field)));
    SEER_TRY(take(field.key(), field.value()));
  }
  return {};
}
template <typename Take>
Problem ForEachField(ondemand::value& value, const Take& take) {
  ondemand::object object;
  SEER_TRY(Problem(value.get_object().get(object)));
  return ForEachField(object, take);
}
template <typename Take>
Problem ForEachItem(ondemand::value& value, const Take& take) {
  ondemand::array array;
  SEER_TRY(Problem(value.get_array().get(array)));
  for (auto result : array) {
    ondemand::value item;
    SEER_TRY(Problem(std::move(result).get(item)));
    SEER_TRY(take(item));
  }
  return {};
}

inline bool HasBackslash(std::string_view text) {
  const char* at = text.data();
  std::size_t left = text.size();
#if defined(__SSE2__)
  // The piece goes on behind the text for long enough.
  const __m128i backslash = _mm_set1_epi8('\\');
  for (; left > 0; at += 16, left -= std::min<std::size_t>(left, 16)) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    auto found = static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, backslash)));
    if (left < 16) found &= (1u << left) - 1;
    if (found != 0) return true;
  }
  return false;
#else
  return std::memchr(at, '\\', left) != nullptr;
#endif
}

// Whether a field has a name, which is given with the quote at its end: "traceID\"". Names of
// formats have no escapes. The object goes on behind the name, or its padding does.
template <std::size_t kSize>
bool Is(ondemand::raw_json_string field, const char (&name)[kSize]) {
  return std::memcmp(field.raw(), name, kSize - 1) == 0;
}

// A value as it stands there, without the spaces behind it. The value is not used up.
inline std::string_view TokenOf(ondemand::value& value) {
  std::string_view token = value.raw_json_token();
  while (!token.empty() && static_cast<unsigned char>(token.back()) <= ' ') token.remove_suffix(1);
  return token;
}

// Most strings have no escapes: they are taken from where they stand.
inline Problem GetString(ondemand::value& value, std::string_view* text) {
  const std::string_view token = TokenOf(value);
  if (token.size() >= 2 && token.front() == '"' && token.back() == '"' && !HasBackslash(token)) {
    *text = token.substr(1, token.size() - 2);
    return {};
  }
  return Problem(value.get_string().get(*text));
}
// A text, or nothing where there is another thing (a tag may be a number).
inline Problem GetText(ondemand::value& value, std::string_view* text) {
  *text = {};
  const std::string_view token = TokenOf(value);
  return !token.empty() && token.front() == '"' ? GetString(value, text) : Problem();
}

// Whole numbers; OTLP writes those of 64 bits as text.
inline Problem GetInteger(ondemand::value& value, std::int64_t* number) {
  std::string_view token = TokenOf(value);
  const bool text = !token.empty() && token.front() == '"';
  if (text && token.size() >= 2 && token.back() == '"') token = token.substr(1, token.size() - 2);
  std::uint64_t digits = 0;
  // 0 first is for the parser: 007 is no number.
  if (!token.empty() && token.front() != '0' && ParseDigits(token.data(), token.size(), &digits) &&
      digits <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
    *number = static_cast<std::int64_t>(digits);
    return {};
  }
  const error_code code =
      text ? value.get_int64_in_string().get(*number) : value.get_int64().get(*number);
  return code ? Problem("a time is no whole number of 64 bits") : Problem();
}

inline Problem GetSpanId(ondemand::value& value, std::uint64_t* id) {
  std::string_view text;
  SEER_TRY(GetString(value, &text));
  return ParseHex(text.data(), text.size(), id)
             ? Problem()
             : Problem("a span id is not up to 16 hexadecimal digits");
}
inline Problem GetTraceId(ondemand::value& value, TraceId* id) {
  std::string_view text;
  SEER_TRY(GetString(value, &text));
  const std::size_t high = text.size() > 16 ? text.size() - 16 : 0;
  return ParseHex(text.data(), high, &id->high) &&
                 ParseHex(text.data() + high, text.size() - high, &id->low)
             ? Problem()
             : Problem("a trace id is not up to 32 hexadecimal digits");
}

// For each object {"key": key, "value": value} whose key is wanted: read(value, &text), and
// take(key, text) with what that found.
template <typename Wanted, typename Read, typename Take>
Problem ForEachTag(ondemand::value& tags, const Wanted& wanted, const Read& read,
                   const Take& take) {
  return ForEachItem(tags, [&](ondemand::value& tag) {
    ondemand::object object;
    SEER_TRY(Problem(tag.get_object().get(object)));
    std::string_view key, text;
    bool have_key = false;
    for (auto result : object) {
      ondemand::field field;
      SEER_TRY(Problem(std::move(result).get(field)));
      if (Is(field.key(), "key\"")) {
        SEER_TRY(GetString(field.value(), &key));
        if (!wanted(key)) return Problem();  // the rest is passed over
        have_key = true;
      } else if (Is(field.key(), "value\"")) {
        SEER_TRY(read(field.value(), &text));
      }
    }
    if (have_key) take(key, text);
    return Problem();
  });
}

}  // namespace internal
SEER_END_NAMESPACE
