#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "nn/checkpoint_bytes.h"
#include "seer/core/internal/status_macros.h"
#include "seer/nn/checkpoint.h"

SEER_BEGIN_NAMESPACE
namespace {

absl::Status SystemError(const char* what, const std::string& path) {
  const int error = errno;
  return absl::ErrnoToStatus(error, absl::StrCat("checkpoint '", path, "': ", what));
}

class File {
 public:
  explicit File(int descriptor) : descriptor_(descriptor) {}
  ~File() {
    if (descriptor_ >= 0) close(descriptor_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int get() const { return descriptor_; }
  // Some file systems say only here that the bytes did not fit.
  bool Close() {
    const int descriptor = descriptor_;
    descriptor_ = -1;
    return close(descriptor) == 0;
  }

 private:
  int descriptor_;
};

bool WriteAll(int descriptor, const std::string& bytes) {
  for (std::size_t at = 0; at < bytes.size();) {
    const ssize_t written = write(descriptor, bytes.data() + at, bytes.size() - at);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    at += static_cast<std::size_t>(written);
  }
  return true;
}

// Not the whole file at once: a copy of the weights costs more in page faults than to read them.
class FileSource final : public internal::CheckpointSource {
 public:
  FileSource(int descriptor, std::uint64_t bytes)
      : CheckpointSource(bytes), descriptor_(descriptor) {}
  int error() const { return error_; }  // 0: none

 private:
  bool ReadNext(char* to, std::size_t bytes) override {
    while (bytes > 0) {
      const ssize_t got = read(descriptor_, to, bytes);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) error_ = errno;
      if (got <= 0) return false;  // 0: it has become shorter
      to += got;
      bytes -= static_cast<std::size_t>(got);
    }
    return true;
  }
  const int descriptor_;
  int error_ = 0;
};

}  // namespace

absl::Status SaveCheckpoint(const Checkpoint& checkpoint, const std::string& path) {
  SEER_ASSIGN_OR_RETURN(const std::string bytes, EncodeCheckpoint(checkpoint));
  static std::atomic<unsigned> count{0};
  // A name of its own for each call: saves that run at once do not mix (relaxed: only a number).
  const std::string temporary =
      absl::StrCat(path, ".tmp-", getpid(), "-", count.fetch_add(1, std::memory_order_relaxed));
  {
    File file(open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
    if (file.get() < 0) return SystemError("cannot be created", temporary);
    if (!WriteAll(file.get(), bytes) || fsync(file.get()) != 0 || !file.Close()) {
      const absl::Status status = SystemError("cannot be written", temporary);
      unlink(temporary.c_str());
      return status;
    }
  }
  if (rename(temporary.c_str(), path.c_str()) != 0) {
    const absl::Status status = SystemError("cannot be replaced", path);
    unlink(temporary.c_str());
    return status;
  }
  // The new name is on the disk once its folder is.
  const std::size_t slash = path.rfind('/');
  const std::string folder = slash == path.npos ? "." : path.substr(0, slash + 1);
  const File parent(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (parent.get() < 0 || fsync(parent.get()) != 0) {
    // Not every file system can; the file itself is whole either way.
    if (errno != EINVAL && errno != EACCES && errno != EROFS) {
      return SystemError("its folder cannot be forced to the disk", path);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Checkpoint> LoadCheckpoint(const std::string& path, std::size_t max_bytes) {
  // Not blocking: a pipe is refused below instead of waited for.
  const File file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) return SystemError("cannot be opened", path);
  struct stat info;
  if (fstat(file.get(), &info) != 0) return SystemError("cannot be looked at", path);
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat("checkpoint '", path, "': not a regular file: give a file"));
  }
  const auto size = static_cast<std::uint64_t>(info.st_size);
  if (size > max_bytes) {
    return absl::ResourceExhaustedError(absl::StrCat("checkpoint '", path, "': ", size,
                                                     " bytes, above ", max_bytes,
                                                     ": allow more if it is meant to be so large"));
  }
  FileSource source(file.get(), size);
  auto checkpoint = internal::ReadCheckpoint(source);
  if (source.error() != 0) {
    errno = source.error();
    return SystemError("cannot be read", path);
  }
  if (!checkpoint.ok()) {
    return absl::Status(checkpoint.status().code(),
                        absl::StrCat("'", path, "': ", checkpoint.status().message()));
  }
  return checkpoint;
}

SEER_END_NAMESPACE
