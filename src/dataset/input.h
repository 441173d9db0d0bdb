// The bytes of an input file, unpacked; its lines; what is told when one is wrong.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// A file as a stream of bytes; gzip (also several members in a row) is unpacked.
class InputFile {
 public:
  static absl::StatusOr<InputFile> Open(const std::string& path);
  ~InputFile();
  InputFile(InputFile&&) noexcept;
  InputFile& operator=(InputFile&&) noexcept;

  // Up to `size` bytes, fewer only at the end; 0 when there are no more. InvalidArgument where gzip
  // is damaged or cut off.
  absl::StatusOr<std::size_t> Read(char* to, std::size_t size);

  const std::string& path() const;
  // Of the file as it lies there.
  std::uint64_t bytes_done() const;

 private:
  class Impl;
  explicit InputFile(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

absl::StatusOr<std::uint64_t> FileBytes(const std::string& path);

class LineReader {
 public:
  static constexpr std::size_t kMaxLine = std::size_t{1} << 20;

  explicit LineReader(InputFile* file) : file_(file) {}
  // The next line without its end; false when there is none. Valid until the next call.
  absl::StatusOr<bool> Next(std::string_view* line);
  std::uint64_t line() const { return line_; }  // of the last one, from 1

 private:
  InputFile* const file_;
  std::vector<char> buffer_;
  std::size_t begin_ = 0, end_ = 0;
  bool at_end_ = false;
  std::uint64_t line_ = 0;
};

// "path:12: column c_dur_us: "-1" is negative: ..."
absl::Status LineError(const std::string& path, std::uint64_t line, std::string_view column,
                       std::string_view what);
absl::Status ByteError(const std::string& path, std::uint64_t byte, std::string_view what);
// A piece of the input for a message: short, and printable.
std::string Quoted(std::string_view text);

// Splits at commas into `fields`; quotes as in RFC 4180 are undone in `scratch`, which the views
// may point to. False where a quote is not closed.
bool SplitCsv(std::string_view line, std::vector<std::string_view>* fields, std::string* scratch);

}  // namespace internal
SEER_END_NAMESPACE
