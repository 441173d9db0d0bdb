// Flow: (internal) memory that ends at a page which is not there
//
// Some ioctls write as much as the kernel has now, not as much as was asked for. Into these bytes a
// kernel that has more than there is room for fails with EFAULT, instead of writing over what lies
// behind.
//
// Threads: plain memory. Cost: two pages or more; a system call when made.
#pragma once

#include <cstddef>
#include <utility>

#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE
namespace internal {

class GuardedBytes {
 public:
  GuardedBytes() = default;
  // Zeros; aligned for any type whose alignment divides `size`. Without memory data() is null.
  explicit GuardedBytes(std::size_t size);
  GuardedBytes(GuardedBytes&& other) noexcept { *this = std::move(other); }
  GuardedBytes& operator=(GuardedBytes&& other) noexcept {
    std::swap(mapping_, other.mapping_);
    std::swap(mapped_, other.mapped_);
    std::swap(size_, other.size_);
    std::swap(data_, other.data_);
    return *this;
  }
  ~GuardedBytes();

  char* data() const { return data_; }
  std::size_t size() const { return size_; }

 private:
  void* mapping_ = nullptr;
  std::size_t mapped_ = 0;
  char* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace internal
SEER_END_NAMESPACE
