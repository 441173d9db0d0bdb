// Memory for numbers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// Memory that is not touched before it is used. It begins at a cache line: Eigen computes the
// values ahead of the first full vector in another way, so that the last bits depend on the
// alignment.
class Floats {
 public:
  Floats() = default;
  explicit Floats(std::size_t size) : data_(new float[size + kExtra]), size_(size) {
    const std::uintptr_t at = reinterpret_cast<std::uintptr_t>(data_.get());
    begin_ = data_.get() + (kCacheLine - at % kCacheLine) % kCacheLine / sizeof(float);
  }
  float* get() const { return begin_; }
  std::size_t size() const { return size_; }

 private:
  static constexpr std::size_t kExtra = kCacheLine / sizeof(float);
  std::unique_ptr<float[]> data_;
  float* begin_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace internal
SEER_END_NAMESPACE
