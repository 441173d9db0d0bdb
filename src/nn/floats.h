// Memory for numbers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

#include "nn/prefault.h"
#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// Memory that is not touched before it is used. It begins at a cache line: Eigen computes the
// values ahead of the first full vector in another way, so that the last bits depend on the
// alignment. Much of it comes in large pages where the kernel has them: weights that are read once
// a tick cost more for where each page is than for themselves.
class Floats {
 public:
  Floats() = default;
  explicit Floats(std::size_t size) : size_(size) {
    const std::size_t bytes = (size + kCacheLine / sizeof(float)) * sizeof(float);
    const std::size_t alignment = bytes < kManyPages ? kCacheLine : kLargePage;
    float* const data = static_cast<float*>(::operator new (bytes, std::align_val_t{alignment}));
    data_ = std::unique_ptr<float, Delete>(data, Delete{alignment});
    if (alignment == kLargePage) AskForLargePages(data_.get(), bytes);
  }
  float* get() const { return data_.get(); }
  std::size_t size() const { return size_; }

 private:
  struct Delete {
    std::size_t alignment;
    void operator()(float* data) const {
      ::operator delete (static_cast<void*>(data), std::align_val_t{alignment});
    }
  };
  std::unique_ptr<float, Delete> data_;
  std::size_t size_ = 0;
};

}  // namespace internal
SEER_END_NAMESPACE
