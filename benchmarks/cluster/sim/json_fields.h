// Reading and writing the simulator's JSON files: errors name the path of the field. Private to the
// .cc files of this folder.
#pragma once

#include <simdjson.h>

#include <charconv>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

#define SEER_CLUSTER_TRY(expression) \
  if (absl::Status try_status = (expression); !try_status.ok()) return try_status

namespace seer::cluster::json {

using simdjson::dom::array;
using simdjson::dom::element;
using simdjson::dom::object;

inline absl::Status Bad(const std::string& where, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat(where, ": ", what));
}

// One object of the file and where it stands. A field that is not there leaves the value as it is.
class Fields {
 public:
  Fields(object fields, std::string where) : fields_(fields), where_(std::move(where)) {}

  const std::string& where() const { return where_; }
  std::string Path(std::string_view name) const {
    std::string path = where_;
    if (!path.empty()) path += '.';
    path.append(name.data(), name.size());
    return path;
  }
  bool Has(std::string_view name) const {
    element field;
    return fields_[name].get(field) == simdjson::SUCCESS;
  }
  // No other field: for files whose every mistake should be found.
  absl::Status Only(std::initializer_list<std::string_view> names) const {
    for (const auto& [key, value] : fields_) {
      bool known = false;
      for (std::string_view name : names) known = known || name == key;
      if (!known) return Bad(Path(key), "there is no such field: remove it, or mend its name");
    }
    return absl::OkStatus();
  }
  absl::Status Number(std::string_view name, double* value) const {
    element field;
    if (fields_[name].get(field) != simdjson::SUCCESS) return absl::OkStatus();
    if (field.get(*value) != simdjson::SUCCESS) return Bad(Path(name), "not a number: give one");
    return absl::OkStatus();
  }
  absl::Status NumberIn(std::string_view name, double low, double high, double* value) const {
    SEER_CLUSTER_TRY(Number(name, value));
    if (*value >= low && *value <= high) return absl::OkStatus();
    return Bad(Path(name), absl::StrCat("give ", low, " to ", high));
  }
  absl::Status Count(std::string_view name, std::uint32_t* value) const {
    double number = *value;
    SEER_CLUSTER_TRY(Number(name, &number));
    if (!(number >= 0 && number <= 4e9) || number != static_cast<std::uint32_t>(number)) {
      return Bad(Path(name), "not a count: give a whole number of at least 0");
    }
    *value = static_cast<std::uint32_t>(number);
    return absl::OkStatus();
  }
  absl::Status Seed(std::string_view name, std::uint64_t* value) const {
    element field;
    if (fields_[name].get(field) != simdjson::SUCCESS) return absl::OkStatus();
    if (field.get(*value) == simdjson::SUCCESS) return absl::OkStatus();
    return Bad(Path(name), "not a seed: give a whole number of at least 0");
  }
  absl::Status Integer(std::string_view name, std::int64_t low, std::int64_t high,
                       std::int64_t* value) const {
    element field;
    if (fields_[name].get(field) != simdjson::SUCCESS) return absl::OkStatus();
    if (field.get(*value) == simdjson::SUCCESS && *value >= low && *value <= high) {
      return absl::OkStatus();
    }
    return Bad(Path(name), absl::StrCat("give a whole number from ", low, " to ", high));
  }
  absl::Status Text(std::string_view name, bool needed, std::string* value) const {
    element field;
    if (fields_[name].get(field) != simdjson::SUCCESS) {
      return needed ? Bad(Path(name), "missing: add it") : absl::OkStatus();
    }
    std::string_view text;
    if (field.get(text) != simdjson::SUCCESS) return Bad(Path(name), "not a string: give one");
    *value = std::string(text);
    return absl::OkStatus();
  }
  absl::Status Flag(std::string_view name, bool* value) const {
    element field;
    if (fields_[name].get(field) != simdjson::SUCCESS) return absl::OkStatus();
    if (field.get(*value) != simdjson::SUCCESS) return Bad(Path(name), "give true or false");
    return absl::OkStatus();
  }
  absl::Status List(std::string_view name, bool needed, array* value, bool* there) const {
    element field;
    *there = fields_[name].get(field) == simdjson::SUCCESS;
    if (!*there) return needed ? Bad(Path(name), "missing: add it") : absl::OkStatus();
    if (field.get(*value) != simdjson::SUCCESS) return Bad(Path(name), "not a list: give one");
    return absl::OkStatus();
  }
  absl::Status Object(std::string_view name, object* value, bool* there) const {
    element field;
    *there = fields_[name].get(field) == simdjson::SUCCESS;
    if (!*there) return absl::OkStatus();
    if (field.get(*value) != simdjson::SUCCESS) return Bad(Path(name), "not an object: give one");
    return absl::OkStatus();
  }
  // read(Fields) for each object of a list.
  template <typename Read>
  absl::Status Each(std::string_view name, bool needed, const Read& read) const {
    array list;
    bool there = false;
    SEER_CLUSTER_TRY(List(name, needed, &list, &there));
    if (!there) return absl::OkStatus();
    std::size_t index = 0;
    for (element value : list) {
      const std::string at = absl::StrCat(Path(name), "[", index++, "]");
      object fields;
      if (value.get(fields) != simdjson::SUCCESS) return Bad(at, "not an object: give one");
      SEER_CLUSTER_TRY(read(Fields(fields, at)));
    }
    return absl::OkStatus();
  }

 private:
  object fields_;
  std::string where_;
};

// Canonical text: fields in the order in which they are written, two spaces for each level, numbers
// as short as they can be and still read as the same.
class Writer {
 public:
  std::string Take() {
    out_ += '\n';
    return std::move(out_);
  }

  Writer& Open(char bracket) {
    Value();
    out_ += bracket;
    ++depth_;
    first_ = true;
    return *this;
  }
  Writer& Close(char bracket) {
    --depth_;
    if (!first_) Line();
    out_ += bracket;
    first_ = false;
    return *this;
  }
  Writer& Key(std::string_view name) {
    Separate();
    Quote(name);
    out_ += ": ";
    after_key_ = true;
    return *this;
  }
  Writer& Text(std::string_view text) {
    Value();
    Quote(text);
    return *this;
  }
  template <typename Number>
  Writer& Write(Number value) {
    Value();
    if constexpr (std::is_same_v<Number, bool>) {
      out_ += value ? "true" : "false";
    } else {
      char text[32];
      const auto end = std::to_chars(text, text + sizeof text, value).ptr;
      out_.append(text, static_cast<std::size_t>(end - text));
    }
    return *this;
  }
  template <typename Number>
  Writer& Field(std::string_view name, Number value) {
    return Key(name).Write(value);
  }
  Writer& Field(std::string_view name, std::string_view text) { return Key(name).Text(text); }
  Writer& Field(std::string_view name, const std::string& text) { return Key(name).Text(text); }

 private:
  void Line() {
    out_ += '\n';
    out_.append(2 * depth_, ' ');
  }
  void Separate() {
    if (!first_) out_ += ',';
    if (depth_ > 0) Line();
    first_ = false;
  }
  void Value() {
    if (after_key_) {
      after_key_ = false;
      return;
    }
    if (depth_ > 0) Separate();
  }
  void Quote(std::string_view text) {
    out_ += '"';
    for (char c : text) {
      const auto byte = static_cast<unsigned char>(c);
      if (c == '"' || c == '\\') {
        out_ += '\\';
        out_ += c;
      } else if (byte < 0x20) {
        constexpr char kHex[] = "0123456789abcdef";
        out_ += "\\u00";
        out_ += kHex[byte >> 4];
        out_ += kHex[byte & 15];
      } else {
        out_ += c;
      }
    }
    out_ += '"';
  }

  std::string out_;
  std::size_t depth_ = 0;
  bool first_ = true;
  bool after_key_ = false;
};

}  // namespace seer::cluster::json
