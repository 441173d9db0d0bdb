// Flow: open() -> [OwnedFd] -> close()
//
// A file descriptor with one owner, which closes it.
#pragma once

#include <unistd.h>

#include <utility>

#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE
namespace internal {

class OwnedFd {
 public:
  OwnedFd() = default;  // none
  explicit OwnedFd(int fd) : fd_(fd) {}
  OwnedFd(OwnedFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  OwnedFd& operator=(OwnedFd&& other) noexcept {
    if (this != &other) {
      if (fd_ >= 0) ::close(fd_);
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~OwnedFd() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

}  // namespace internal
SEER_END_NAMESPACE
