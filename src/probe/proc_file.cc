#include "seer/probe/internal/proc_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "seer/probe/reading.h"

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

// A signal may interrupt a call, but not for ever.
constexpr int kMaxInterruptions = 16;

}  // namespace

ProcFile::ProcFile(int directory, const char* path)
    : fd_(::openat(directory < 0 ? AT_FDCWD : directory, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)),
      reason_(fd_ ? Reason::kNone : ReasonOfErrno(errno)) {}

std::ptrdiff_t ProcFile::ReadAt(std::uint64_t offset, absl::Span<char> buffer) const noexcept {
  for (int i = 0; i < kMaxInterruptions; ++i) {
    const ssize_t n = ::pread(fd_.get(), buffer.data(), buffer.size(), static_cast<off_t>(offset));
    if (n >= 0) return n;
    if (errno != EINTR) return -errno;
  }
  return -EINTR;
}

LineReader::LineReader(const ProcFile& file, absl::Span<char> buffer)
    : file_(file), buffer_(buffer), reason_(file.reason()) {}

bool LineReader::Next(std::string_view* line) noexcept {
  if (reason_ != Reason::kNone) return false;
  std::size_t searched = begin_;
  for (;;) {  // at most once more per read, and a read fills the buffer further or ends the file
    const char* const found = static_cast<const char*>(
        end_ == searched ? nullptr : std::memchr(buffer_.data() + searched, '\n', end_ - searched));
    if (found != nullptr || (at_end_ && begin_ < end_)) {
      if (++lines_ > kMaxLines) {
        reason_ = Reason::kMalformed;
        return false;
      }
      const std::size_t end =
          found != nullptr ? static_cast<std::size_t>(found - buffer_.data()) : end_;
      *line = std::string_view(buffer_.data() + begin_, end - begin_);
      begin_ = found != nullptr ? end + 1 : end;
      return true;
    }
    if (at_end_) return false;

    // Keep the beginning of the line, and read on behind it.
    if (begin_ > 0) {
      std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
      end_ -= begin_;
      begin_ = 0;
    }
    searched = end_;
    if (end_ == buffer_.size()) {
      reason_ = Reason::kMalformed;
      return false;
    }
    const std::ptrdiff_t n = file_.ReadAt(offset_, buffer_.subspan(end_));
    if (n < 0) {
      reason_ = ReasonOfErrno(static_cast<int>(-n));
      return false;
    }
    if (n == 0) at_end_ = true;
    end_ += static_cast<std::size_t>(n);
    offset_ += static_cast<std::uint64_t>(n);
  }
}

}  // namespace internal
SEER_END_NAMESPACE
