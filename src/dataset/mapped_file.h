// A file's bytes in memory, and what the system says when they cannot be had.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// "path: what: Permission denied", with the code that fits errno.
absl::Status SystemError(const std::string& path, const char* what, int error);

// Read-only, as long as the file was when it was opened.
class MappedFile {
 public:
  static absl::StatusOr<MappedFile> Open(const std::string& path);
  MappedFile() = default;
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  std::string_view bytes() const { return {data_, size_}; }
  // Whether the file still has its first `end` bytes. A writer may cut its end, and to touch a page
  // that is gone would kill the program.
  bool Holds(std::uint64_t end) const;

 private:
  int fd_ = -1;
  const char* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace internal
SEER_END_NAMESPACE
