// How numbers and words stand in the reports.
#pragma once

#include <string>
#include <string_view>

namespace seer::evaluation {

// Four digits; "-" for what is no number.
std::string Number(double value);
// For XML and HTML, text and attributes.
std::string Escaped(std::string_view text);
// A JSON string with its quotes; bytes that are no UTF-8 are left as they came.
std::string JsonString(std::string_view text);
std::string JsonNumber(double value);  // nine digits; null for what is no number

}  // namespace seer::evaluation
