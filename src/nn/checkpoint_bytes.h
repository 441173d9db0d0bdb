// What the bytes of a checkpoint are made of: little-endian numbers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "absl/status/statusor.h"
#include "seer/core/config.h"
#include "seer/core/internal/crc32c.h"
#include "seer/nn/checkpoint.h"

SEER_BEGIN_NAMESPACE
namespace internal {

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

// Where the bytes of a checkpoint come from, front to back.
class CheckpointSource {
 public:
  explicit CheckpointSource(std::uint64_t bytes) : left_(bytes) {}
  virtual ~CheckpointSource() = default;
  CheckpointSource(const CheckpointSource&) = delete;
  CheckpointSource& operator=(const CheckpointSource&) = delete;

  std::uint64_t left() const { return left_; }
  // False: there are not so many, or they cannot be read.
  bool Read(char* to, std::size_t bytes) {
    if (bytes > left_ || (bytes != 0 && !ReadNext(to, bytes))) return false;
    left_ -= bytes;
    return true;
  }

 private:
  virtual bool ReadNext(char* to, std::size_t bytes) = 0;  // bytes > 0
  std::uint64_t left_;
};

// Computes the checksum of what it reads, piece by piece while that is in the cache.
class CheckedReader {
 public:
  explicit CheckedReader(CheckpointSource& source) : source_(source) {}
  bool Read(char* to, std::size_t bytes) {
    constexpr std::size_t kPiece = 64 << 10;
    if (bytes > source_.left()) return false;
    while (bytes > 0) {
      const std::size_t piece = bytes < kPiece ? bytes : kPiece;
      if (!source_.Read(to, piece)) return false;
      crc_ = Crc32c(std::string_view(to, piece), crc_);
      to += piece;
      bytes -= piece;
    }
    return true;
  }
  std::uint32_t crc() const { return crc_; }

 private:
  CheckpointSource& source_;
  std::uint32_t crc_ = 0;
};

absl::StatusOr<Checkpoint> ReadCheckpoint(CheckpointSource& source);

}  // namespace internal
SEER_END_NAMESPACE
