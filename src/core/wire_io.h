// The pieces that every message is made of: header, sections, numbers, strings, columns.
// What they look like as bytes: include/seer/core/README.md.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "seer/core/config.h"
#include "seer/core/internal/status_macros.h"
#include "seer/core/wire.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// By its bits: under -ffast-math, which a host may compile seer with, std::isfinite() is always
// true.
inline bool IsFinite(double value) {
  constexpr std::uint64_t kExponent = 0x7ff0000000000000u;
  std::uint64_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return (bits & kExponent) != kExponent;
}

// Writes one message into a string. The string stays longer than what is written until Finish()
// cuts it: growing it for every number would fill the new bytes with zeros each time.
class WireWriter {
 public:
  WireWriter(WireKind kind, std::string* out);

  // Closes the section before. Every section is open until the next one or Finish().
  void Section(std::uint32_t tag);

  template <typename T>
  void Number(T value) {
    static_assert(std::is_arithmetic_v<T>, "");
    std::memcpy(Claim(sizeof(T)), &value, sizeof(T));  // little-endian, see config.h
  }
  template <typename T>
  void Numbers(const T* values, std::size_t count) {
    Records(values, count * sizeof(T));
  }
  void Records(const void* records, std::size_t bytes) {
    if (bytes > 0) std::memcpy(Claim(bytes), records, bytes);  // nothing may be at a null pointer
  }
  void String(std::string_view s);
  // Compressed by blocks, see kColumnBlock.
  void Column(const std::uint32_t* values, std::size_t count);
  void Column(const std::vector<std::uint32_t>& values) { Column(values.data(), values.size()); }
  void Origin(const seer::Origin& origin);

  void Reserve(std::size_t bytes);
  void Finish();

 private:
  char* Claim(std::size_t bytes) {
    if (out_->size() - used_ < bytes) Grow(bytes);
    char* at = &(*out_)[used_];
    used_ += bytes;
    return at;
  }
  void Grow(std::size_t bytes);
  void CloseSection();

  const WireKind kind_;
  std::string* const out_;
  std::size_t used_ = 0;
  std::size_t section_ = 0;  // where the open section's header is; 0 = none is open
};

// Reads the fields of one section in order. An error names section and field.
class WireReader {
 public:
  WireReader(const char* section, std::string_view bytes) : section_(section), bytes_(bytes) {}

  // Nothing is left: an older version wrote the message and knew no more fields.
  bool empty() const { return bytes_.empty(); }

  // Floating-point numbers must be finite.
  template <typename T>
  absl::Status Number(const char* field, T* value) {
    static_assert(std::is_arithmetic_v<T> && !std::is_same_v<T, bool>, "");
    SEER_RETURN_IF_ERROR(Need(field, 1, sizeof(T)));
    std::memcpy(value, bytes_.data(), sizeof(T));
    bytes_.remove_prefix(sizeof(T));
    if constexpr (std::is_floating_point_v<T>) {
      if (!IsFinite(*value)) return Error(field, "is not a finite number");
    }
    return absl::OkStatus();
  }
  template <typename T>
  absl::Status Numbers(const char* field, std::size_t count, std::vector<T>* values) {
    SEER_RETURN_IF_ERROR(Need(field, count, sizeof(T)));
    values->resize(count);
    return Records(field, count, sizeof(T), sizeof(T), values->data());
  }
  // `count` records of `record_bytes` each, of which the first `known_bytes` are wanted.
  absl::Status Records(const char* field, std::size_t count, std::size_t record_bytes,
                       std::size_t known_bytes, void* to);
  absl::Status String(const char* field, std::string* value);
  absl::Status Column(const char* field, std::size_t count, std::vector<std::uint32_t>* values);
  absl::Status Origin(seer::Origin* origin);
  // How many rows follow: at least `min_bytes` bytes each must be there, and at most `max` of them.
  absl::Status Count(const char* field, std::size_t min_bytes, std::size_t max, std::size_t* count);
  // `count` numbers of `size` bytes each are there.
  absl::Status Need(const char* field, std::size_t count, std::size_t size) const;

  // InvalidArgument: "Snapshot.edges.made: <what>".
  absl::Status Error(const char* field, std::string_view what) const;

 private:
  const char* section_;
  std::string_view bytes_;
};

// The sections of a message, checked against header, checksum and each other. Views into the
// message's bytes.
class WireSections {
 public:
  static absl::StatusOr<WireSections> Parse(WireKind kind, std::string_view message);
  bool Has(std::uint32_t tag) const { return tag < kMaxTag && sections_[tag].data() != nullptr; }
  // Empty for a section that is absent: it reads as one in which every field has its default.
  std::string_view Get(std::uint32_t tag) const {
    return Has(tag) ? sections_[tag] : std::string_view();
  }

 private:
  static constexpr std::uint32_t kMaxTag = 16;
  std::array<std::string_view, kMaxTag> sections_ = {};
};

// Every DecodeTo(): `read(sections, value)` fills the value; after an error it is emptied.
template <typename Value, typename Read>
absl::Status DecodeMessage(WireKind kind, std::string_view bytes, Value* value, Read read) {
  absl::StatusOr<WireSections> sections = WireSections::Parse(kind, bytes);
  absl::Status status = sections.ok() ? read(*sections, value) : std::move(sections).status();
  if (!status.ok()) *value = Value();
  return status;
}

// A column is cut into blocks of kColumnBlock numbers. Each block is one byte, which says how many
// bytes a number takes (1, 2 or 4), and the numbers. At least a byte per number: so that a message
// cannot ask for much more memory than it has bytes.
inline constexpr std::size_t kColumnBlock = 128;

}  // namespace internal
SEER_END_NAMESPACE
