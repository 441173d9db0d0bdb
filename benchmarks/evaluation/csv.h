// Strict CSV (RFC 4180): a header, fields that may be quoted, every record as long as the header.
//
//   auto reader = CsvReader::Open("violations.csv", bytes);      // `bytes` outlives it
//   while (*reader->Next()) Use(reader->field(0));
//
// Errors are InvalidArgument and say where: "violations.csv: line 3, column 12 (end_ms): ...".
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace seer::evaluation {

class CsvReader {
 public:
  static constexpr std::size_t kMaxColumns = 256;
  static constexpr std::size_t kNoColumn = static_cast<std::size_t>(-1);

  static absl::StatusOr<CsvReader> Open(std::string_view file, std::string_view bytes);

  const std::vector<std::string>& header() const { return header_; }
  std::size_t Find(std::string_view column) const;  // kNoColumn if there is none
  // The index, or what is missing and which columns there are.
  absl::StatusOr<std::size_t> Require(std::string_view column) const;

  // The next record, and true; false at the end.
  absl::StatusOr<bool> Next();
  const std::string& field(std::size_t i) const { return fields_[i]; }
  std::size_t line() const { return record_line_; }  // where the record begins, from 1

  // A field as a value; `low` to `high` are allowed.
  absl::StatusOr<std::int64_t> Integer(std::size_t i, std::int64_t low, std::int64_t high) const;
  absl::StatusOr<double> Number(std::size_t i, double low, double high) const;
  absl::StatusOr<bool> Flag(std::size_t i) const;  // 0 or 1

  // InvalidArgument at field i of this record.
  absl::Status Error(std::size_t i, std::string_view what) const;

 private:
  CsvReader(std::string_view file, std::string_view bytes) : file_(file), bytes_(bytes) {}
  absl::StatusOr<bool> ReadRecord();
  absl::Status ErrorAt(std::size_t line, std::size_t column, std::string_view name,
                       std::string_view what) const;

  std::string file_;
  std::string_view bytes_;
  std::size_t at_ = 0;
  std::size_t line_ = 1;
  std::size_t record_line_ = 1;
  std::vector<std::string> header_;
  std::vector<std::string> fields_;
  std::vector<std::size_t> starts_;  // byte columns at which the fields begin, from 1
};

// A field as it has to stand in a file.
std::string CsvField(std::string_view text);

// The whole file; NotFound or Unavailable with the system's words.
absl::StatusOr<std::string> ReadFile(const std::string& path);
absl::Status WriteFile(const std::string& path, std::string_view bytes);

}  // namespace seer::evaluation
