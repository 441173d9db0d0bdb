#include "rotating_file_sink.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "seer/core/wire.h"

namespace example {

namespace {

constexpr std::size_t kMaxMessage = 256 << 20;

absl::Status FromErrno(const std::string& what) { return absl::ErrnoToStatus(errno, what); }

}  // namespace

absl::StatusOr<std::unique_ptr<RotatingFileSink>> RotatingFileSink::Open(const Options& options) {
  if (options.max_file_bytes == 0) return absl::InvalidArgumentError("max_file_bytes: is 0");
  if (options.max_files == 0) return absl::InvalidArgumentError("max_files: is 0");
  if (mkdir(options.directory.c_str(), 0777) != 0 && errno != EEXIST) {
    return FromErrno("directory: cannot make " + options.directory);
  }
  DIR* const scan = opendir(options.directory.c_str());
  if (scan == nullptr) return FromErrno("directory: cannot read " + options.directory);
  std::unique_ptr<RotatingFileSink> sink(new RotatingFileSink(options));
  while (const dirent* const entry = readdir(scan)) {
    std::uint64_t number = 0;
    int end = 0;
    if (std::sscanf(entry->d_name, "spans-%" SCNu64 ".seer%n", &number, &end) == 1 && end > 0 &&
        entry->d_name[end] == 0) {
      sink->numbers_.push_back(number);
    }
  }
  closedir(scan);
  std::sort(sink->numbers_.begin(), sink->numbers_.end());
  absl::Status begun = sink->BeginFile();
  if (!begun.ok()) return begun;
  return sink;
}

RotatingFileSink::~RotatingFileSink() {
  if (fd_ >= 0) close(fd_);
}

std::string RotatingFileSink::PathOf(std::uint64_t number) const {
  char name[48];
  std::snprintf(name, sizeof name, "/spans-%012" PRIu64 ".seer", number);
  return options_.directory + name;
}

absl::Status RotatingFileSink::BeginFile() {
  const std::uint64_t number = numbers_.empty() ? 1 : numbers_.back() + 1;
  const int fd = open(PathOf(number).c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd < 0) return FromErrno("cannot make " + PathOf(number));
  if (fd_ >= 0) close(fd_);
  fd_ = fd;
  file_bytes_ = 0;
  numbers_.push_back(number);
  while (numbers_.size() > options_.max_files) {
    // One that somebody has removed already is as good.
    unlink(PathOf(numbers_.front()).c_str());
    numbers_.pop_front();
  }
  return absl::OkStatus();
}

absl::Status RotatingFileSink::Write(const seer::SpanBatch& batch) {
  record_.clear();
  seer::EncodeTo(batch, &record_);
  if (file_bytes_ > 0 && file_bytes_ + record_.size() > options_.max_file_bytes) {
    if (const absl::Status begun = BeginFile(); !begun.ok()) {
      ++counts_.errors;
      counts_.refused_spans += batch.spans.size();
      return absl::UnavailableError(begun.message());
    }
  }
  std::size_t written = 0;
  while (written < record_.size()) {
    const ssize_t n = write(fd_, record_.data() + written, record_.size() - written);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      const absl::Status why = FromErrno("cannot write to " + PathOf(numbers_.back()));
      ++counts_.errors;
      counts_.refused_spans += batch.spans.size();
      // Whole batches only; where even that fails, the next one goes into a file of its own.
      if (ftruncate(fd_, static_cast<off_t>(file_bytes_)) != 0 ||
          lseek(fd_, static_cast<off_t>(file_bytes_), SEEK_SET) < 0) {
        file_bytes_ = options_.max_file_bytes;
      }
      return absl::UnavailableError(why.message());
    }
    written += static_cast<std::size_t>(n);
  }
  file_bytes_ += record_.size();
  ++counts_.batches;
  counts_.spans += batch.spans.size();
  return absl::OkStatus();
}

absl::Status RotatingFileSink::Flush(std::chrono::nanoseconds /*timeout*/) {
  if (fsync(fd_) == 0) return absl::OkStatus();
  ++counts_.errors;
  return FromErrno("cannot sync " + PathOf(numbers_.back()));
}

seer::SinkCounts RotatingFileSink::counts() const { return counts_; }

std::vector<std::string> RotatingFileSink::Files() const {
  std::vector<std::string> files;
  for (const std::uint64_t number : numbers_) files.push_back(PathOf(number));
  return files;
}

absl::StatusOr<SpanFile> ReadSpanFile(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return FromErrno("cannot open " + path);
  SpanFile file;
  std::string message;
  // False: the file ends before.
  const auto read_to = [&](std::size_t bytes) {
    std::size_t at = message.size();
    message.resize(bytes);
    while (at < bytes) {
      const ssize_t n = read(fd, &message[at], bytes - at);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) {
        message.resize(at);
        return false;
      }
      at += static_cast<std::size_t>(n);
    }
    return true;
  };
  for (;;) {
    message.clear();
    if (!read_to(seer::kWireHeaderBytes)) {
      file.cut_off = !message.empty();
      break;
    }
    const auto peeked = seer::PeekWire(message);
    if (!peeked.ok() || peeked->message_bytes > kMaxMessage || !read_to(peeked->message_bytes)) {
      file.cut_off = true;
      break;
    }
    absl::StatusOr<seer::SpanBatch> batch = seer::Decode<seer::SpanBatch>(message);
    if (!batch.ok()) {
      file.cut_off = true;
      break;
    }
    file.batches.push_back(*std::move(batch));
  }
  close(fd);
  return file;
}

}  // namespace example
