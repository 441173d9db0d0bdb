// Writes JSON, an object on a line: for the audit trail and for alerts.
//
//   JsonText json;
//   json.Open('{').Key("service").String(name).Key("p").Number(0.5).Close('}');
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE
namespace internal {

class JsonText {
 public:
  JsonText& Open(char bracket);  // '{' or '['
  JsonText& Close(char bracket);
  JsonText& Key(std::string_view key);
  // Any bytes: what is no UTF-8 becomes U+FFFD.
  JsonText& String(std::string_view text);
  JsonText& Number(double value);  // null where it is not finite
  JsonText& Integer(std::int64_t value);
  JsonText& Unsigned(std::uint64_t value);
  JsonText& Bool(bool value);

  const std::string& text() const { return text_; }
  std::string Take() { return std::move(text_); }

 private:
  void Comma();
  void Quote(std::string_view text);
  std::string text_;
  bool first_ = true;  // nothing stands before the next one in its bracket
};

}  // namespace internal
SEER_END_NAMESPACE
