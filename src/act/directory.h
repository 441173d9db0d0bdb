// A folder of the kernel's that is followed with suspicion: from a descriptor that stays open, a
// component at a time, through no symbolic link, no ".." and onto no other file system.
#pragma once

#include <unistd.h>

#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "seer/core/config.h"
#include "seer/core/internal/owned_fd.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// "a/b": no empty component, no ".", "..", control character or leading '/', at most 4095 bytes.
bool IsCleanPath(std::string_view path);
// `path` is `prefix` or lies below it.
bool IsAtOrBelow(std::string_view path, std::string_view prefix);

// The root itself may be a symbolic link: it is the host's word.
absl::StatusOr<OwnedFd> OpenRoot(const std::string& path);
// NotFound, PermissionDenied (a link, another file system, or the kernel says so), InvalidArgument.
absl::StatusOr<OwnedFd> OpenBelow(int root, std::string_view path);
bool HasFile(int directory, const std::string& file);

// What it says, without the newline at its end. At most 64 KiB: ResourceExhausted.
absl::StatusOr<std::string> ReadFileText(int directory, const std::string& file);
// One write() of the text and a newline.
absl::Status WriteFileText(int directory, const std::string& file, std::string_view text);

// With the code that an actuator's errors have (actuator.h).
absl::Status StatusOfErrno(int error, std::string_view what);

}  // namespace internal
SEER_END_NAMESPACE
