// Flow: (internal) a file of the kernel, kept open, read line by line into memory that is there
//
//   ProcFile file("/proc/pressure/cpu");           // once
//   char buffer[512];
//   LineReader lines(file, absl::MakeSpan(buffer));  // every tick
//   std::string_view line;
//   while (lines.Next(&line)) Parse(line);
//   if (lines.reason() != Reason::kNone) ...        // also where the file was never there
//
// The lines may be anything: a test's file, or a kernel that nobody here has seen. A line as long
// as the buffer ends the reading as malformed; so do more than kMaxLines lines, because a file of
// another kind may have no end. Opening never blocks, not even on a pipe.
//
// Threads: a ProcFile from any, as pread moves no position; a LineReader from one.
// Cost:    a pread for each buffer full, nothing on the heap but the path's while it is opened.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/types/span.h"
#include "seer/core/config.h"
#include "seer/core/hw_reading.h"
#include "seer/core/internal/owned_fd.h"

SEER_BEGIN_NAMESPACE
namespace internal {

class ProcFile {
 public:
  ProcFile() = default;  // not observed
  explicit ProcFile(const std::string& path) : ProcFile(-1, path.c_str()) {}
  // Relative to an open directory; -1 where the path is absolute.
  ProcFile(int directory, const char* path);

  bool is_open() const { return static_cast<bool>(fd_); }
  Reason reason() const { return reason_; }  // why it is not open

  // Up to buffer.size() bytes from `offset`: how many, or a negative errno.
  std::ptrdiff_t ReadAt(std::uint64_t offset, absl::Span<char> buffer) const noexcept;

 private:
  OwnedFd fd_;
  Reason reason_ = Reason::kNotObserved;
};

class LineReader {
 public:
  static constexpr std::size_t kMaxLines = 65536;

  LineReader(const ProcFile& file, absl::Span<char> buffer);

  // The next line, without its end; it lies in the buffer until the next call. False at the end of
  // the file, and after an error.
  bool Next(std::string_view* line) noexcept;
  Reason reason() const { return reason_; }
  void Fail(Reason reason) { reason_ = reason; }  // ends the reading

 private:
  const ProcFile& file_;
  const absl::Span<char> buffer_;
  std::size_t begin_ = 0;  // the unread part of the buffer is [begin_, end_)
  std::size_t end_ = 0;
  std::uint64_t offset_ = 0;  // in the file, of the byte after the buffer's last one
  std::size_t lines_ = 0;
  bool at_end_ = false;
  Reason reason_ = Reason::kNone;
};

}  // namespace internal
SEER_END_NAMESPACE
