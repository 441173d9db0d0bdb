#include "benchmarks/evaluation/csv.h"

#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>

namespace seer::evaluation {
namespace {

std::string Text(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.12g", value);
  return text;
}

}  // namespace

absl::Status CsvReader::ErrorAt(std::size_t line, std::size_t column, std::string_view name,
                                std::string_view what) const {
  std::string message = file_ + ": line " + std::to_string(line);
  message += ", column " + std::to_string(column);
  if (!name.empty()) message.append(" (").append(name).append(")");
  message.append(": ").append(what);
  return absl::InvalidArgumentError(message);
}

absl::Status CsvReader::Error(std::size_t i, std::string_view what) const {
  return ErrorAt(record_line_, starts_[i], header_[i], what);
}

absl::StatusOr<CsvReader> CsvReader::Open(std::string_view file, std::string_view bytes) {
  CsvReader reader(file, bytes);
  auto read = reader.ReadRecord();
  if (!read.ok()) return read.status();
  if (!*read)
    return reader.ErrorAt(1, 1, "", "the file is empty: it needs a line with the columns");
  reader.header_ = reader.fields_;
  for (std::size_t i = 0; i < reader.header_.size(); ++i) {
    if (reader.header_[i].empty()) {
      return reader.ErrorAt(1, reader.starts_[i], "", "a column without a name");
    }
    for (std::size_t j = 0; j < i; ++j) {
      if (reader.header_[i] == reader.header_[j]) {
        return reader.ErrorAt(1, reader.starts_[i], reader.header_[i], "stands here twice");
      }
    }
  }
  return reader;
}

std::size_t CsvReader::Find(std::string_view column) const {
  for (std::size_t i = 0; i < header_.size(); ++i) {
    if (header_[i] == column) return i;
  }
  return kNoColumn;
}

absl::StatusOr<std::size_t> CsvReader::Require(std::string_view column) const {
  const std::size_t found = Find(column);
  if (found != kNoColumn) return found;
  std::string what = "no column '" + std::string(column) + "'; there are:";
  for (const std::string& name : header_) what += " " + name;
  return ErrorAt(1, 1, "", what);
}

absl::StatusOr<bool> CsvReader::Next() {
  auto read = ReadRecord();
  if (!read.ok() || !*read) return read;
  if (fields_.size() != header_.size()) {
    return ErrorAt(record_line_, 1, "",
                   std::to_string(fields_.size()) + " fields, but the header has " +
                       std::to_string(header_.size()));
  }
  return true;
}

absl::StatusOr<bool> CsvReader::ReadRecord() {
  fields_.clear();
  starts_.clear();
  record_line_ = line_;
  if (at_ == bytes_.size()) return false;
  std::size_t line_start = at_;
  while (true) {
    if (fields_.size() == kMaxColumns) {
      return ErrorAt(line_, at_ - line_start + 1, "", "more than 256 fields");
    }
    starts_.push_back(at_ - line_start + 1);
    std::string& field = fields_.emplace_back();
    const bool quoted = at_ < bytes_.size() && bytes_[at_] == '"';
    if (quoted) {
      const std::size_t opened = line_;
      const std::size_t column = starts_.back();
      ++at_;
      while (true) {
        if (at_ == bytes_.size()) return ErrorAt(opened, column, "", "a quote that does not end");
        const char c = bytes_[at_++];
        if (c == '"') {
          if (at_ == bytes_.size() || bytes_[at_] != '"') break;
          ++at_;
        } else if (c == '\n') {
          ++line_;
          line_start = at_;
        }
        field.push_back(c);
      }
    } else {
      while (at_ < bytes_.size() && bytes_[at_] != ',' && bytes_[at_] != '\n') {
        const char c = bytes_[at_];
        if (c == '\r' && at_ + 1 < bytes_.size() && bytes_[at_ + 1] == '\n') break;
        if (c == '"') {
          return ErrorAt(line_, at_ - line_start + 1, "", "a quote within a field without quotes");
        }
        if (static_cast<unsigned char>(c) < 0x20 && c != '\t') {
          return ErrorAt(line_, at_ - line_start + 1, "", "a control character");
        }
        field.push_back(c);
        ++at_;
      }
    }
    if (at_ == bytes_.size()) return true;
    if (bytes_[at_] == ',') {
      ++at_;
      continue;
    }
    if (bytes_[at_] == '\r' && at_ + 1 < bytes_.size() && bytes_[at_ + 1] == '\n') ++at_;
    if (bytes_[at_] == '\n') {
      ++at_;
      ++line_;
      return true;
    }
    return ErrorAt(line_, at_ - line_start + 1, "", "text behind a quoted field");
  }
}

absl::StatusOr<std::int64_t> CsvReader::Integer(std::size_t i, std::int64_t low,
                                                std::int64_t high) const {
  const std::string& text = fields_[i];
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    return Error(i, "'" + text + "' is not a whole number");
  }
  if (value < low || value > high) {
    return Error(i, text + " is not from " + std::to_string(low) + " to " + std::to_string(high));
  }
  return value;
}

absl::StatusOr<double> CsvReader::Number(std::size_t i, double low, double high) const {
  const std::string& text = fields_[i];
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) {
    return Error(i, "'" + text + "' is not a number");
  }
  if (value < low || value > high) {
    return Error(i, text + " is not from " + Text(low) + " to " + Text(high));
  }
  return value;
}

absl::StatusOr<bool> CsvReader::Flag(std::size_t i) const {
  const std::string& text = fields_[i];
  if (text != "0" && text != "1") return Error(i, "'" + text + "' is neither 0 nor 1");
  return text == "1";
}

std::string CsvField(std::string_view text) {
  if (text.find_first_of(",\"\n\r") == std::string_view::npos) return std::string(text);
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"') quoted.push_back('"');
    quoted.push_back(c);
  }
  return quoted + "\"";
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"),
                                                             &std::fclose);
  if (file == nullptr) return absl::NotFoundError(path + ": " + std::strerror(errno));
  std::string bytes;
  char block[65536];
  while (const std::size_t n = std::fread(block, 1, sizeof block, file.get())) {
    bytes.append(block, n);
  }
  if (std::ferror(file.get()) != 0) return absl::UnavailableError(path + ": cannot be read");
  return bytes;
}

absl::Status WriteFile(const std::string& path, std::string_view bytes) {
  std::FILE* const file = std::fopen(path.c_str(), "wb");
  if (file == nullptr) return absl::UnavailableError(path + ": " + std::strerror(errno));
  const bool written = bytes.empty() || std::fwrite(bytes.data(), 1, bytes.size(), file) > 0;
  if (std::fclose(file) != 0 || !written)
    return absl::UnavailableError(path + ": cannot be written");
  return absl::OkStatus();
}

}  // namespace seer::evaluation
