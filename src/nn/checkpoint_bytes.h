// What the bytes of a checkpoint are made of: little-endian numbers, and a checksum.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// CRC-32C, eight bytes at a time. (The one of core is private to core.)
class CheckpointCrc {
 public:
  static std::uint32_t Of(std::string_view bytes) {
    static const CheckpointCrc tables;
    std::uint32_t crc = ~0u;
    std::size_t i = 0;
    for (; i + 8 <= bytes.size(); i += 8) {
      std::uint64_t word;
      std::memcpy(&word, bytes.data() + i, sizeof(word));
      word ^= crc;
      crc = 0;
      for (std::size_t j = 0; j < 8; ++j) crc ^= tables.of_[7 - j][(word >> (8 * j)) & 0xff];
    }
    for (; i < bytes.size(); ++i) {
      crc = (crc >> 8) ^ tables.of_[0][(crc ^ static_cast<unsigned char>(bytes[i])) & 0xff];
    }
    return ~crc;
  }

 private:
  CheckpointCrc() {
    for (std::uint32_t i = 0; i < 256; ++i) {
      std::uint32_t crc = i;
      for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78u : 0u);
      of_[0][i] = crc;
    }
    for (std::size_t j = 1; j < 8; ++j) {
      for (std::size_t i = 0; i < 256; ++i) {
        of_[j][i] = (of_[j - 1][i] >> 8) ^ of_[0][of_[j - 1][i] & 0xff];
      }
    }
  }
  std::array<std::array<std::uint32_t, 256>, 8> of_{};
};

template <typename Number>
void Put(Number number, std::string* out) {
  static_assert(std::is_arithmetic_v<Number>);
  char bytes[sizeof(number)];
  std::memcpy(bytes, &number, sizeof(number));
  out->append(bytes, sizeof(bytes));
}
inline void PutFloats(const std::vector<float>& values, std::string* out) {
  if (!values.empty()) {
    out->append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
  }
}

// Reads from the front; once something is not there, all that follows is zeros and ok() is false.
class Bytes {
 public:
  explicit Bytes(std::string_view bytes) : left_(bytes) {}
  bool ok() const { return ok_; }
  bool done() const { return ok_ && left_.empty(); }
  std::size_t left() const { return left_.size(); }

  template <typename Number>
  Number Get() {
    Number number{};
    const std::string_view bytes = Take(sizeof(number));
    if (ok_) std::memcpy(&number, bytes.data(), sizeof(number));
    return number;
  }
  std::string_view Take(std::uint64_t size) {
    if (!ok_ || size > left_.size()) {
      ok_ = false;
      return {};
    }
    const std::string_view taken = left_.substr(0, static_cast<std::size_t>(size));
    left_.remove_prefix(taken.size());
    return taken;
  }
  // Nothing is allocated for what is not there.
  std::vector<float> GetFloats(std::uint64_t count) {
    if (count > left_.size() / sizeof(float)) ok_ = false;
    const std::string_view bytes = Take(ok_ ? count * sizeof(float) : 0);
    std::vector<float> values(bytes.size() / sizeof(float));
    if (!values.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
  }

 private:
  std::string_view left_;
  bool ok_ = true;
};

}  // namespace internal
SEER_END_NAMESPACE
