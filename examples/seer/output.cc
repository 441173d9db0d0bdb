#include <algorithm>
#include <cmath>

#include "examples/seer/args.h"

namespace seer_tool {

int Fail(const absl::Status& status) {
  const std::string message(status.message());
  std::fprintf(stderr, "seer: %s\n", message.c_str());
  return kBadInput;
}

void JsonWriter::Comma() {
  if (!first_) text_ += ", ";
  first_ = false;
}
JsonWriter& JsonWriter::Open(char bracket) {
  Comma();
  text_ += bracket;
  first_ = true;
  return *this;
}
JsonWriter& JsonWriter::Close(char bracket) {
  text_ += bracket;
  first_ = false;
  return *this;
}
JsonWriter& JsonWriter::Key(std::string_view key) {
  Text(key);
  text_ += ": ";
  first_ = true;
  return *this;
}
JsonWriter& JsonWriter::Text(std::string_view text) {
  Comma();
  text_ += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      text_ += '\\';
      text_ += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char code[8];
      std::snprintf(code, sizeof(code), "\\u%04x", static_cast<unsigned>(c));
      text_ += code;
    } else {
      text_ += c;
    }
  }
  text_ += '"';
  return *this;
}
JsonWriter& JsonWriter::Number(double number) {
  Comma();
  char digits[40];
  std::snprintf(digits, sizeof(digits), "%.9g", number);
  text_ += std::isfinite(number) ? digits : "null";
  return *this;
}
JsonWriter& JsonWriter::Integer(std::int64_t number) {
  Comma();
  text_ += std::to_string(number);
  return *this;
}
JsonWriter& JsonWriter::Bool(bool value) {
  Comma();
  text_ += value ? "true" : "false";
  return *this;
}

void PrintTable(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string space(widths[i] - row[i].size(), ' ');
      line += i == 0 ? row[i] + space : "  " + space + row[i];
    }
    while (!line.empty() && line.back() == ' ') line.pop_back();
    std::printf("%s\n", line.c_str());
  }
}

std::string Short(double number) {
  char digits[40];
  std::snprintf(digits, sizeof(digits), std::fabs(number) >= 1000 ? "%.0f" : "%.4g", number);
  return digits;
}

std::string Seconds(std::int64_t ns) {
  char digits[40];
  std::snprintf(digits, sizeof(digits), "%.3f s", static_cast<double>(ns) / 1e9);
  return digits;
}

std::string CsvField(std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(text);
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + "\"";
}

void PutEvent(const seer::DatasetEvent& event, JsonWriter* json) {
  json->Key("kind").Text(seer::DatasetEventKindName(event.kind));
  json->Key("start_ms").Integer(event.start_ns / 1'000'000);
  json->Key("end_ms").Integer(event.end_ns / 1'000'000);
  json->Key("class").Text(event.request_class);
  json->Key("initiation").Text(seer::InitiationName(event.initiation));
  json->Key("culprit").Text(event.culprit);
  json->Key("confidence").Number(static_cast<double>(event.confidence));
  json->Key("cause").Text(event.cause).Key("source").Text(event.source);
}

absl::Status NoSuchRun(std::int64_t run) {
  return absl::NotFoundError("there is no run " + std::to_string(run) +
                             ": seer inspect lists them");
}

}  // namespace seer_tool
