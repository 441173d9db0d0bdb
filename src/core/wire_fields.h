// One description of a value's fields serves writing and reading:
//
//   template <typename Io, typename Value>          // FieldWriter and const T, FieldReader and T
//   absl::Status Fields(Io& io, Value& value) {
//     SEER_RETURN_IF_ERROR(io("id", value.id));
//     return io.Enum("cause", value.cause, kCauses, Cause::kUndecided);
//   }
//
// so that the two cannot drift apart.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/wire_io.h"
#include "seer/core/ids.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// Never fails; returns a status only to look like FieldReader.
class FieldWriter {
 public:
  explicit FieldWriter(WireWriter& w) : w_(w) {}

  template <typename T>
  absl::Status operator()(const char*, const T& value) {
    Write(value);
    return absl::OkStatus();
  }
  template <typename E>
  absl::Status Enum(const char*, E value, std::size_t, E) {
    Write(static_cast<std::uint8_t>(value));
    return absl::OkStatus();
  }
  template <typename E>
  absl::Status KnownEnum(const char*, E value, std::size_t) {
    Write(static_cast<std::uint8_t>(value));
    return absl::OkStatus();
  }

 private:
  template <typename T, std::enable_if_t<std::is_arithmetic_v<T>, int> = 0>
  void Write(T value) {
    w_.Number(value);
  }
  void Write(const std::string& value) { w_.String(value); }
  void Write(const Origin& value) { w_.Origin(value); }
  template <typename Tag>
  void Write(Id<Tag> value) {
    w_.Number(value.value());
  }
  void Write(const std::optional<double>& value) {
    w_.Number(std::uint8_t{value.has_value()});
    w_.Number(value.value_or(0));
  }
  void Write(const std::vector<std::int32_t>& values) {
    w_.Number(static_cast<std::uint32_t>(values.size()));
    w_.Numbers(values.data(), values.size());
  }

  WireWriter& w_;
};

class FieldReader {
 public:
  explicit FieldReader(WireReader& r) : r_(r) {}

  template <typename T>
  absl::Status operator()(const char* field, T& value) {
    return Read(field, value);
  }
  // A value that only a newer version knows becomes `other`.
  template <typename E>
  absl::Status Enum(const char* field, E& value, std::size_t count, E other) {
    std::uint8_t number = 0;
    SEER_RETURN_IF_ERROR(r_.Number(field, &number));
    value = number < count ? static_cast<E>(number) : other;
    return absl::OkStatus();
  }
  // For enumerations where guessing would be dangerous.
  template <typename E>
  absl::Status KnownEnum(const char* field, E& value, std::size_t count) {
    std::uint8_t number = 0;
    SEER_RETURN_IF_ERROR(r_.Number(field, &number));
    if (number >= count) {
      return r_.Error(field, absl::StrCat(number, " is unknown to this version; update this side"));
    }
    value = static_cast<E>(number);
    return absl::OkStatus();
  }

 private:
  template <typename T, std::enable_if_t<std::is_arithmetic_v<T>, int> = 0>
  absl::Status Read(const char* field, T& value) {
    return r_.Number(field, &value);
  }
  absl::Status Read(const char* field, std::string& value) { return r_.String(field, &value); }
  absl::Status Read(const char*, Origin& value) { return r_.Origin(&value); }
  template <typename Tag>
  absl::Status Read(const char* field, Id<Tag>& value) {
    std::uint32_t number = 0;
    SEER_RETURN_IF_ERROR(r_.Number(field, &number));
    value = Id<Tag>(number);
    return absl::OkStatus();
  }
  absl::Status Read(const char* field, std::optional<double>& value) {
    std::uint8_t has_value = 0;
    double number = 0;
    SEER_RETURN_IF_ERROR(r_.Number(field, &has_value));
    SEER_RETURN_IF_ERROR(r_.Number(field, &number));
    value = has_value != 0 ? std::optional<double>(number) : std::nullopt;
    return absl::OkStatus();
  }
  absl::Status Read(const char* field, std::vector<std::int32_t>& values) {
    std::uint32_t count = 0;
    SEER_RETURN_IF_ERROR(r_.Number(field, &count));
    return r_.Numbers(field, count, &values);
  }

  WireReader& r_;
};

}  // namespace internal
SEER_END_NAMESPACE
