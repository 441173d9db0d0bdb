// A sink that keeps spans in files: each batch a record, a new file when one is full, the oldest
// file removed when there are too many. Copy it into your program and change what you like.
//
//   RotatingFileSink::Options options;
//   options.directory = "/var/lib/shop/spans";
//   auto sink = RotatingFileSink::Open(options);
//   auto guarded = seer::GuardedSink::Create(*std::move(sink));     // a disk may be slow
//
// Files are called spans-<number>.seer, numbers only grow. A file is one message of seer's wire
// format (wire.h) after the other, each with its length and checksum. Whoever is killed while
// writing leaves a message that is cut off at the end of the last file: the next Open() begins
// another file, and ReadSpanFile() stops there and says so. Flush() also calls fsync(), for those
// who fear the machine's crash more than the disk's time.
//
// Threads: one at a time, as TraceSink says.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "seer/core/span.h"
#include "seer/trace/sink.h"

namespace example {

class RotatingFileSink final : public seer::TraceSink {
 public:
  struct Options {
    std::string directory;  // made if it is not there; its parent must be
    std::uint64_t max_file_bytes = 64 << 20;
    std::size_t max_files = 16;  // with the one that is written
  };

  // InvalidArgument names the option; else the system's error with the path.
  static absl::StatusOr<std::unique_ptr<RotatingFileSink>> Open(const Options& options);
  ~RotatingFileSink() override;

  // Unavailable: no room on the disk, or another error that may pass; the file is as it was before.
  absl::Status Write(const seer::SpanBatch& batch) override;
  absl::Status Flush(std::chrono::nanoseconds timeout) override;
  seer::SinkCounts counts() const override;

  // Oldest first.
  std::vector<std::string> Files() const;

 private:
  explicit RotatingFileSink(const Options& options) : options_(options) {}
  absl::Status BeginFile();
  std::string PathOf(std::uint64_t number) const;

  const Options options_;
  std::deque<std::uint64_t> numbers_;  // of the files, oldest first
  int fd_ = -1;
  std::uint64_t file_bytes_ = 0;
  std::string record_;  // kept for its memory
  seer::SinkCounts counts_;
};

struct SpanFile {
  std::vector<seer::SpanBatch> batches;
  bool cut_off = false;  // the last record is not whole, or is damaged
};
absl::StatusOr<SpanFile> ReadSpanFile(const std::string& path);

}  // namespace example
