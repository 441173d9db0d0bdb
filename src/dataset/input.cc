#include "dataset/input.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "dataset/mapped_file.h"
#include "seer/core/internal/status_macros.h"

SEER_BEGIN_NAMESPACE
namespace internal {

class InputFile::Impl {
 public:
  Impl(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}
  ~Impl() {
    if (inflating_) inflateEnd(&zlib_);
    ::close(fd_);
  }

  absl::Status Start() {
    packed_.resize(kBuffer);
    SEER_RETURN_IF_ERROR(Fill());
    is_gzip_ = size_ >= 2 && static_cast<unsigned char>(packed_[0]) == 0x1f &&
               static_cast<unsigned char>(packed_[1]) == 0x8b;
    if (is_gzip_) {
      if (inflateInit2(&zlib_, 15 + 16) != Z_OK) {
        return absl::ResourceExhaustedError(path_ + ": no memory to unpack it");
      }
      inflating_ = true;
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::size_t> Read(char* to, std::size_t size) {
    std::size_t done = 0;
    while (done < size) {
      // What is not packed goes straight to where it is wanted.
      if (!is_gzip_ && at_ == size_ && !end_ && size - done >= kDirect) {
        SEER_ASSIGN_OR_RETURN(const std::size_t n, ReadSome(to + done, size - done));
        end_ = n == 0;
        done += n;
        continue;
      }
      if (at_ == size_ && !end_) SEER_RETURN_IF_ERROR(Fill());
      if (!is_gzip_) {
        if (at_ == size_) break;
        const std::size_t n = std::min(size - done, size_ - at_);
        std::memcpy(to + done, packed_.data() + at_, n);
        at_ += n;
        done += n;
        continue;
      }
      if (at_ == size_) {
        if (between_members_) break;
        return absl::InvalidArgumentError(path_ + ": the gzip data are cut off at byte " +
                                          std::to_string(bytes_done()) +
                                          " of the packed file: fetch or pack the file again");
      }
      SEER_ASSIGN_OR_RETURN(const std::size_t n, Inflate(to + done, size - done));
      done += n;
    }
    return done;
  }

  std::uint64_t bytes_done() const { return read_ - (size_ - at_); }

  const std::string path_;

 private:
  static constexpr std::size_t kBuffer = std::size_t{1} << 18;
  static constexpr std::size_t kDirect = std::size_t{1} << 16;

  // 0 at the end.
  absl::StatusOr<std::size_t> ReadSome(char* to, std::size_t size) {
    for (;;) {
      const ssize_t n = ::read(fd_, to, size);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return SystemError(path_, "cannot be read", errno);
      read_ += static_cast<std::size_t>(n);
      return static_cast<std::size_t>(n);
    }
  }

  absl::Status Fill() {
    at_ = size_ = 0;
    SEER_ASSIGN_OR_RETURN(size_, ReadSome(packed_.data(), packed_.size()));
    end_ = size_ == 0;
    return absl::OkStatus();
  }

  absl::StatusOr<std::size_t> Inflate(char* to, std::size_t size) {
    if (between_members_) {
      // Behind a member zeros may fill up a tape's block; anything else must be a member.
      while (at_ < size_ && packed_[at_] == '\0') ++at_;
      if (at_ == size_) return 0;
      between_members_ = false;
      inflateReset(&zlib_);
    }
    const std::size_t room = std::min<std::size_t>(size, 1u << 30);
    zlib_.next_in = reinterpret_cast<unsigned char*>(packed_.data() + at_);
    zlib_.avail_in = static_cast<unsigned>(size_ - at_);
    zlib_.next_out = reinterpret_cast<unsigned char*>(to);
    zlib_.avail_out = static_cast<unsigned>(room);
    const int result = inflate(&zlib_, Z_NO_FLUSH);
    at_ = size_ - zlib_.avail_in;
    if (result == Z_STREAM_END) {
      between_members_ = true;
    } else if (result != Z_OK && result != Z_BUF_ERROR) {
      return absl::InvalidArgumentError(path_ + ": the gzip data are damaged at byte " +
                                        std::to_string(bytes_done()) +
                                        " of the packed file: fetch or pack the file again");
    }
    return room - zlib_.avail_out;
  }

  const int fd_;
  std::vector<char> packed_;
  std::size_t at_ = 0, size_ = 0;
  std::uint64_t read_ = 0;
  bool end_ = false, is_gzip_ = false, inflating_ = false, between_members_ = false;
  z_stream zlib_ = {};
};

absl::StatusOr<InputFile> InputFile::Open(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return SystemError(path, "cannot be opened", errno);
  auto impl = std::make_unique<Impl>(path, fd);
  SEER_RETURN_IF_ERROR(impl->Start());
  return InputFile(std::move(impl));
}

InputFile::InputFile(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
InputFile::~InputFile() = default;
InputFile::InputFile(InputFile&&) noexcept = default;
InputFile& InputFile::operator=(InputFile&&) noexcept = default;
absl::StatusOr<std::size_t> InputFile::Read(char* to, std::size_t size) {
  return impl_->Read(to, size);
}
const std::string& InputFile::path() const { return impl_->path_; }
std::uint64_t InputFile::bytes_done() const { return impl_->bytes_done(); }

absl::StatusOr<std::uint64_t> FileBytes(const std::string& path) {
  struct stat facts;
  if (::stat(path.c_str(), &facts) != 0) return SystemError(path, "cannot be opened", errno);
  return static_cast<std::uint64_t>(facts.st_size);
}

absl::StatusOr<bool> LineReader::Next(std::string_view* line) {
  if (buffer_.empty()) buffer_.resize(2 * kMaxLine);
  std::size_t searched = begin_;
  for (;;) {
    const void* const found = std::memchr(buffer_.data() + searched, '\n', end_ - searched);
    if (found != nullptr || (at_end_ && begin_ < end_)) {
      const std::size_t stop =
          found != nullptr
              ? static_cast<std::size_t>(static_cast<const char*>(found) - buffer_.data())
              : end_;
      *line = std::string_view(buffer_.data() + begin_, stop - begin_);
      begin_ = found != nullptr ? stop + 1 : end_;
      if (!line->empty() && line->back() == '\r') line->remove_suffix(1);
      ++line_;
      return true;
    }
    if (at_end_) return false;
    if (end_ - begin_ >= kMaxLine) {
      return LineError(file_->path(), line_ + 1, {}, "is longer than 1 MiB: is it a CSV file?");
    }
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
    searched = end_;
    SEER_ASSIGN_OR_RETURN(const std::size_t n,
                          file_->Read(buffer_.data() + end_, buffer_.size() - end_));
    end_ += n;
    at_end_ = n == 0;
  }
}

absl::Status LineError(const std::string& path, std::uint64_t line, std::string_view column,
                       std::string_view what) {
  std::string message = path + ":" + std::to_string(line) + ": ";
  if (!column.empty()) message += "column " + std::string(column) + ": ";
  return absl::InvalidArgumentError(message + std::string(what));
}

absl::Status ByteError(const std::string& path, std::uint64_t byte, std::string_view what) {
  return absl::InvalidArgumentError(path + ": byte " + std::to_string(byte) + ": " +
                                    std::string(what));
}

std::string Quoted(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text.substr(0, 40)) quoted += c >= 0x20 && c < 0x7f ? c : '?';
  return quoted + (text.size() > 40 ? "...\"" : "\"");
}

bool SplitCsv(std::string_view line, std::vector<std::string_view>* fields, std::string* scratch) {
  fields->clear();
  if (line.find('"') == std::string_view::npos) {
    for (;;) {
      const std::size_t comma = line.find(',');
      fields->push_back(line.substr(0, comma));
      if (comma == std::string_view::npos) return true;
      line.remove_prefix(comma + 1);
    }
  }
  // Room for all of it at once, so that views into it stay valid.
  scratch->clear();
  scratch->reserve(line.size());
  std::size_t at = 0;
  for (;;) {
    const std::size_t start = scratch->size();
    bool quoted = false;
    for (; at < line.size() && (quoted || line[at] != ','); ++at) {
      if (line[at] != '"') {
        scratch->push_back(line[at]);
      } else if (quoted && at + 1 < line.size() && line[at + 1] == '"') {
        scratch->push_back(line[++at]);
      } else {
        quoted = !quoted;
      }
    }
    if (quoted) return false;
    fields->push_back(std::string_view(scratch->data() + start, scratch->size() - start));
    if (at >= line.size()) return true;
    ++at;
  }
}

}  // namespace internal
SEER_END_NAMESPACE
