// Requests that make no sense, and what names may look like.
#pragma once

#include <string>

#include "social_types.h"

namespace social {

[[noreturn]] inline void Refuse(const std::string& why) {
  Refused refused;
  refused.why = why;
  throw refused;
}

inline bool IsNameLetter(char letter) {
  return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
         (letter >= '0' && letter <= '9') || letter == '_';
}

// 1 to 32 letters: safe in keys, messages and arrays of the database.
inline bool IsName(const std::string& name) {
  if (name.empty() || name.size() > 32) return false;
  for (const char letter : name) {
    if (!IsNameLetter(letter)) return false;
  }
  return true;
}

}  // namespace social
