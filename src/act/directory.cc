#include "act/directory.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "seer/core/internal/status_macros.h"
#include "seer/core/internal/strings.h"

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

constexpr std::size_t kMaxPathBytes = 4095;
constexpr std::size_t kMaxFileBytes = 65536;

// Open flags of a file that is no link, no device that blocks, and not inherited.
constexpr int kFileFlags = O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;

absl::StatusOr<OwnedFd> OpenFile(int directory, const std::string& file, int flags) {
  OwnedFd fd(::openat(directory, file.c_str(), flags | kFileFlags));
  if (!fd) return StatusOfErrno(errno, absl::StrCat("opening '", file, "'"));
  struct stat status;
  if (::fstat(fd.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
    return absl::PermissionDeniedError(absl::StrCat("'", file, "' is no regular file"));
  }
  return fd;
}

}  // namespace

absl::Status StatusOfErrno(int error, std::string_view what) {
  const std::string message = absl::ErrnoToStatus(error, ToAbsl(what)).ToString();
  switch (error) {
    case EACCES:
    case EPERM:
    case EROFS:
    case ELOOP:
      return absl::PermissionDeniedError(message);
    case ENOENT:
    case ENOTDIR:
    case ENODEV:
    case ENXIO:
      return absl::NotFoundError(message);
    case EINVAL:
    case ERANGE:
    case EOVERFLOW:
      return absl::InvalidArgumentError(message);
    case EBUSY:
    case ENOSPC:
      return absl::FailedPreconditionError(message);
    case EOPNOTSUPP:
    case ENOSYS:
      return absl::UnimplementedError(message);
    default:
      return absl::UnknownError(message);
  }
}

bool IsCleanPath(std::string_view path) {
  if (path.empty() || path.size() > kMaxPathBytes) return false;
  for (std::size_t begin = 0; begin <= path.size();) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view component = path.substr(begin, end - begin);
    if (component.empty() || component == "." || component == ".." || component.size() > 255) {
      return false;
    }
    for (const char c : component) {
      if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return false;
    }
    begin = end + 1;
  }
  return true;
}

bool IsAtOrBelow(std::string_view path, std::string_view prefix) {
  return path.substr(0, prefix.size()) == prefix &&
         (path.size() == prefix.size() || path[prefix.size()] == '/');
}

absl::StatusOr<OwnedFd> OpenRoot(const std::string& path) {
  OwnedFd fd(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return StatusOfErrno(errno, absl::StrCat("opening '", path, "'"));
  return fd;
}

absl::StatusOr<OwnedFd> OpenBelow(int root, std::string_view path) {
  if (!IsCleanPath(path)) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", ToAbsl(path), "' is no path of plain names: give one like a/b"));
  }
  struct stat of_root;
  if (::fstat(root, &of_root) != 0) return StatusOfErrno(errno, "the root");
  OwnedFd here;
  int at = root;
  // At most as many turns as the path has bytes.
  for (std::size_t begin = 0; begin <= path.size();) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    const std::string component(path.substr(begin, end - begin));
    begin = end + 1;
    // The last one is opened for reading too: only such a descriptor can be locked.
    const int how = begin > path.size() ? O_RDONLY : O_PATH;
    OwnedFd next(::openat(at, component.c_str(), how | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!next) {
      const int error = errno;
      struct stat link;
      if ((error == ENOTDIR || error == ELOOP) &&
          ::fstatat(at, component.c_str(), &link, AT_SYMLINK_NOFOLLOW) == 0 &&
          S_ISLNK(link.st_mode)) {
        return absl::PermissionDeniedError(
            absl::StrCat("'", component, "' of '", ToAbsl(path), "' is a symbolic link"));
      }
      return StatusOfErrno(error, absl::StrCat("opening '", ToAbsl(path), "'"));
    }
    struct stat status;
    if (::fstat(next.get(), &status) != 0) return StatusOfErrno(errno, component);
    if (status.st_dev != of_root.st_dev) {
      return absl::PermissionDeniedError(
          absl::StrCat("'", component, "' of '", ToAbsl(path), "' is another file system"));
    }
    here = std::move(next);
    at = here.get();
  }
  return here;
}

bool HasFile(int directory, const std::string& file) {
  struct stat status;
  return ::fstatat(directory, file.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 &&
         S_ISREG(status.st_mode);
}

absl::StatusOr<std::string> ReadFileText(int directory, const std::string& file) {
  SEER_ASSIGN_OR_RETURN(const OwnedFd fd, OpenFile(directory, file, O_RDONLY));
  std::string text;
  char piece[4096];
  int interruptions = 0;
  while (text.size() <= kMaxFileBytes) {
    const ssize_t n = ::read(fd.get(), piece, sizeof(piece));
    if (n < 0 && errno == EINTR && ++interruptions < 16) continue;
    if (n < 0) return StatusOfErrno(errno, absl::StrCat("reading '", file, "'"));
    if (n == 0) {
      if (!text.empty() && text.back() == '\n') text.pop_back();
      return text;
    }
    text.append(piece, static_cast<std::size_t>(n));
  }
  return absl::ResourceExhaustedError(absl::StrCat("'", file, "' has more than 64 KiB"));
}

absl::Status WriteFileText(int directory, const std::string& file, std::string_view text) {
  SEER_ASSIGN_OR_RETURN(const OwnedFd fd, OpenFile(directory, file, O_WRONLY | O_TRUNC));
  std::string line(text);
  line += '\n';
  for (int interruptions = 0;; ++interruptions) {
    const ssize_t n = ::write(fd.get(), line.data(), line.size());
    if (n == static_cast<ssize_t>(line.size())) return absl::OkStatus();
    if (n < 0 && errno == EINTR && interruptions < 16) continue;
    if (n < 0) {
      return StatusOfErrno(errno, absl::StrCat("writing '", ToAbsl(text), "' to '", file, "'"));
    }
    return absl::UnknownError(absl::StrCat("'", file, "' took only ", n, " bytes"));
  }
}

}  // namespace internal
SEER_END_NAMESPACE
