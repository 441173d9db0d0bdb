#include "seer/dataset/writer.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "dataset/mapped_file.h"
#include "dataset/record.h"
#include "dataset/scan.h"
#include "seer/core/internal/status_macros.h"
#include "seer/core/version.h"
#include "seer/core/wire.h"
#include "seer/dataset/tick_block.h"

SEER_BEGIN_NAMESPACE

using internal::RecordHeader;
using internal::RecordKind;
using internal::SystemError;

namespace {

std::size_t CellsOf(const ClusterTick& tick) {
  return tick.services.size() * kChannels + tick.edges.size() + tick.classes.size();
}

std::size_t BucketsOf(const ClusterTick& tick) {
  std::size_t buckets = 0;
  for (const ClassTick& row : tick.classes) buckets += row.latency.buckets().size();
  return buckets;
}

}  // namespace

class DatasetWriter::Impl {
 public:
  Impl(std::string path, int fd, const DatasetWriterOptions& options)
      : path_(std::move(path)), fd_(fd), options_(options) {}
  ~Impl() {
    EndRun().IgnoreError();  // said in the header
    ::close(fd_);
  }

  absl::Status Start() {
    internal::FieldWriter body;
    body.Number(internal::kDatasetMajor);
    body.Number(internal::kDatasetMinor);
    return Write(RecordKind::kFile, RecordHeader(), body.bytes());
  }

  absl::Status Resume() {
    SEER_ASSIGN_OR_RETURN(internal::MappedFile file, internal::MappedFile::Open(path_));
    absl::Status status = internal::CheckFileRecord(path_, file.bytes());
    const bool cut_at_birth = file.bytes().empty();
    if (!status.ok() && !cut_at_birth) return status;
    internal::ScanRecords(
        file.bytes(),
        [&](const RecordHeader& header) {
          end_ = header.end();
          if (header.kind == RecordKind::kRunBegin) runs_ = std::max(runs_, header.run + 1);
        },
        [](std::uint64_t, std::uint64_t) {});
    if (::ftruncate(fd_, static_cast<off_t>(end_)) != 0) {
      return SystemError(path_, "its torn end cannot be cut", errno);
    }
    return cut_at_birth ? Start() : absl::OkStatus();
  }

  absl::StatusOr<std::uint32_t> BeginRun(const DatasetRun& run) {
    SEER_RETURN_IF_ERROR(EndRun());
    if (runs_ == UINT32_MAX) {
      return absl::ResourceExhaustedError(path_ + ": has all the runs it can: begin another file");
    }
    run_start_ = end_;
    RecordHeader header;
    header.run = runs_;
    SEER_RETURN_IF_ERROR(Write(RecordKind::kRunBegin, header, internal::EncodeRun(run)));
    period_ = run.period;
    in_run_ = true;
    has_topology_ = topology_is_written_ = any_ticks_ = false;
    topology_ = Topology();
    return runs_++;
  }

  absl::Status SetTopology(const Topology& topology) {
    SEER_RETURN_IF_ERROR(NeedsRun("SetTopology"));
    if (has_topology_ && topology.origin() == topology_.origin() && topology == topology_) {
      return absl::OkStatus();
    }
    if (has_topology_ && topology.origin().epoch != topology_.origin().epoch && any_ticks_) {
      return absl::InvalidArgumentError(
          path_ +
          ": a run keeps the epoch of its topology, as ids of two epochs are unrelated: "
          "begin another run");
    }
    topology_ = topology;
    has_topology_ = true;
    topology_is_written_ = false;
    return absl::OkStatus();
  }

  absl::Status Append(const ClusterTick& tick) {
    SEER_RETURN_IF_ERROR(NeedsRun("Append"));
    SEER_RETURN_IF_ERROR(Check(tick));
    // A block that could not be written: no more is taken than it holds.
    if (used_ >= options_.ticks_per_block) SEER_RETURN_IF_ERROR(Flush());
    const std::size_t cells = CellsOf(tick);
    const std::size_t buckets = BucketsOf(tick);
    if (buckets > TickBlock::kMaxCells) {
      return absl::InvalidArgumentError(path_ + ": the histograms of a tick have " +
                                        std::to_string(buckets) +
                                        " buckets, more than a block holds: use fewer classes");
    }
    const std::size_t widest = std::max(widest_, cells);
    if (used_ > 0 && (widest * (used_ + 1) > TickBlock::kMaxCells ||
                      buckets_ + buckets > TickBlock::kMaxCells)) {
      SEER_RETURN_IF_ERROR(Flush());
    }
    widest_ = std::max(widest_, cells);
    buckets_ += buckets;
    if (used_ == ticks_.size()) ticks_.emplace_back();
    ticks_[used_++] = tick;  // reuses the memory of the tick that stood there
    last_ = tick.tick;
    any_ticks_ = true;
    return used_ >= options_.ticks_per_block ? Flush() : absl::OkStatus();
  }

  absl::Status Append(const ClusterTick& tick, const Topology& topology) {
    if (!has_topology_ || topology.version() != topology_.version() ||
        !(topology.origin() == topology_.origin())) {
      SEER_RETURN_IF_ERROR(SetTopology(topology));
    }
    return Append(tick);
  }

  absl::Status AddEvent(std::uint32_t run, const DatasetEvent& event) {
    if (run >= runs_) {
      return absl::NotFoundError(path_ + ": there is no run " + std::to_string(run) + " of " +
                                 std::to_string(runs_) + ": begin it first");
    }
    if (event.end_ns < event.start_ns || !(event.confidence >= 0 && event.confidence <= 1)) {
      return absl::InvalidArgumentError(
          path_ + ": an event ends before it starts, or its confidence is outside 0 to 1: mend it");
    }
    RecordHeader header;
    header.run = run;
    return Write(RecordKind::kEvent, header, internal::EncodeEvent(event));
  }

  absl::Status AddEvent(const DatasetEvent& event) {
    SEER_RETURN_IF_ERROR(NeedsRun("AddEvent"));
    return AddEvent(runs_ - 1, event);
  }

  absl::Status SetSplit(absl::Span<const SplitRange> split) {
    for (const SplitRange& range : split) {
      if (range.run >= runs_ || range.from >= range.to) {
        return absl::InvalidArgumentError(
            path_ + ": a range of the split is empty, or of a run that is not there: leave it out");
      }
    }
    return Write(RecordKind::kSplit, RecordHeader(),
                 internal::EncodeSplit(std::vector<SplitRange>(split.begin(), split.end())));
  }

  absl::Status Flush() {
    if (used_ == 0) return absl::OkStatus();
    SEER_RETURN_IF_ERROR(WriteTopology());
    const absl::Span<const ClusterTick> ticks = absl::MakeConstSpan(ticks_).subspan(0, used_);
    SEER_RETURN_IF_ERROR(TickBlock::Encode(ticks, options_.zstd_level, &body_));
    RecordHeader header;
    header.run = runs_ - 1;
    header.ticks = static_cast<std::uint32_t>(used_);
    header.first = ticks.front().tick;
    header.last = ticks.back().tick;
    SEER_RETURN_IF_ERROR(Write(RecordKind::kTicks, header, body_));
    used_ = buckets_ = widest_ = 0;
    return absl::OkStatus();
  }

  absl::Status EndRun() {
    if (!in_run_) return absl::OkStatus();
    SEER_RETURN_IF_ERROR(Flush());
    SEER_RETURN_IF_ERROR(WriteTopology());
    RecordHeader header;
    header.run = runs_ - 1;
    SEER_RETURN_IF_ERROR(Write(RecordKind::kRunEnd, header, {}));
    in_run_ = false;
    return absl::OkStatus();
  }

  absl::Status AbandonRun() {
    SEER_RETURN_IF_ERROR(NeedsRun("AbandonRun"));
    in_run_ = false;
    used_ = buckets_ = widest_ = 0;
    --runs_;
    end_ = run_start_;
    if (::ftruncate(fd_, static_cast<off_t>(end_)) != 0) {
      return SystemError(path_, "the run cannot be taken back", errno);
    }
    return absl::OkStatus();
  }

  std::uint64_t end() const { return end_; }

 private:
  absl::Status NeedsRun(const char* call) const {
    if (in_run_) return absl::OkStatus();
    return absl::FailedPreconditionError(path_ + ": " + call +
                                         "() outside a run: call BeginRun() first");
  }

  absl::Status Check(const ClusterTick& tick) const {
    const auto wrong = [&](const std::string& what) {
      return absl::InvalidArgumentError(path_ + ": tick " + std::to_string(tick.tick) + " " + what);
    };
    if (!has_topology_) return wrong("comes before a topology: call SetTopology() first");
    if (tick.period != period_) return wrong("has another period than its run: begin another run");
    if (!period_.Contains(tick.tick))
      return wrong("is outside the times of 64 bits: mend the time");
    if (any_ticks_ && tick.tick <= last_) {
      return wrong("does not come after tick " + std::to_string(last_) + ": sort the ticks");
    }
    if (tick.services.size() > topology_.services().size() ||
        tick.edges.size() > topology_.edges().size() ||
        tick.classes.size() > topology_.classes().size()) {
      return wrong("has more rows than the topology: call SetTopology() with the newer one first");
    }
    for (const ClassTick& row : tick.classes) {
      if (row.oldest_open_ns < 0 || row.p50_ns < 0 || row.p99_ns < 0) {
        return wrong("has a class with a negative time: mend it");
      }
    }
    return absl::OkStatus();
  }

  absl::Status WriteTopology() {
    if (!has_topology_ || topology_is_written_) return absl::OkStatus();
    RecordHeader header;
    header.run = runs_ - 1;
    header.first = static_cast<std::int64_t>(topology_.origin().epoch);
    header.last = static_cast<std::int64_t>(topology_.version());
    SEER_RETURN_IF_ERROR(Write(RecordKind::kTopology, header, Encode(topology_)));
    topology_is_written_ = true;
    return absl::OkStatus();
  }

  // One record by one write: the program may die at any time, and the file ends with its last whole
  // record or with a piece of this one.
  absl::Status Write(RecordKind kind, RecordHeader header, std::string_view body) {
    if (body.size() > internal::kMaxRecordBody) {
      return absl::ResourceExhaustedError(path_ + ": a record would exceed 1 GiB: use fewer rows");
    }
    header.kind = kind;
    header.offset = end_;
    const std::string record = internal::MakeRecord(header, body);
    std::size_t done = 0;
    while (done < record.size()) {
      const ssize_t n = ::pwrite(fd_, record.data() + done, record.size() - done,
                                 static_cast<off_t>(end_ + done));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) {
        const absl::Status status = SystemError(path_, "cannot be written", n < 0 ? errno : ENOSPC);
        // Best effort: a torn end is cut by whoever opens the file next.
        if (::ftruncate(fd_, static_cast<off_t>(end_)) != 0) return status;
        return status;
      }
      done += static_cast<std::size_t>(n);
    }
    if (options_.sync && ::fdatasync(fd_) != 0) return SystemError(path_, "does not sync", errno);
    end_ += record.size();
    return absl::OkStatus();
  }

  const std::string path_;
  const int fd_;
  const DatasetWriterOptions options_;
  std::uint64_t end_ = 0;  // of the last whole record
  std::uint32_t runs_ = 0;

  bool in_run_ = false;
  std::uint64_t run_start_ = 0;
  TickPeriod period_;
  Topology topology_;
  bool has_topology_ = false;
  bool topology_is_written_ = false;
  bool any_ticks_ = false;
  Tick last_ = 0;

  std::vector<ClusterTick> ticks_;  // the first used_ of them wait
  std::size_t used_ = 0;
  std::size_t widest_ = 0;   // cells of the widest of them
  std::size_t buckets_ = 0;  // of all of them
  std::string body_;
};

namespace {

absl::Status CheckOptions(const DatasetWriterOptions& options) {
  if (options.ticks_per_block < 1 || options.ticks_per_block > TickBlock::kMaxTicks) {
    return absl::InvalidArgumentError("DatasetWriterOptions.ticks_per_block is " +
                                      std::to_string(options.ticks_per_block) + ": use 1 to 4096");
  }
  if (options.zstd_level < 1 || options.zstd_level > 19) {
    return absl::InvalidArgumentError("DatasetWriterOptions.zstd_level is " +
                                      std::to_string(options.zstd_level) + ": use 1 to 19");
  }
  return absl::OkStatus();
}

absl::StatusOr<int> OpenLocked(const std::string& path, int flags) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC | flags, 0644);
  if (fd < 0) {
    const absl::Status status = SystemError(path, "cannot be opened for writing", errno);
    if (!absl::IsAlreadyExists(status)) return status;
    return absl::AlreadyExistsError(path + " is there already: append to it, or name another file");
  }
  struct stat facts;
  if (::fstat(fd, &facts) != 0 || !S_ISREG(facts.st_mode)) {
    ::close(fd);
    return absl::InvalidArgumentError(path + " is no regular file: name a file");
  }
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    ::close(fd);
    return absl::FailedPreconditionError(path +
                                         " is being written by another program: wait for it");
  }
  return fd;
}

}  // namespace

absl::StatusOr<DatasetWriter> DatasetWriter::Create(const std::string& path,
                                                    const DatasetWriterOptions& options) {
  SEER_RETURN_IF_ERROR(CheckOptions(options));
  SEER_ASSIGN_OR_RETURN(const int fd, OpenLocked(path, O_CREAT | O_EXCL));
  auto impl = std::make_unique<Impl>(path, fd, options);
  SEER_RETURN_IF_ERROR(impl->Start());
  return DatasetWriter(std::move(impl));
}

absl::StatusOr<DatasetWriter> DatasetWriter::Append(const std::string& path,
                                                    const DatasetWriterOptions& options) {
  SEER_RETURN_IF_ERROR(CheckOptions(options));
  SEER_ASSIGN_OR_RETURN(const int fd, OpenLocked(path, 0));
  auto impl = std::make_unique<Impl>(path, fd, options);
  SEER_RETURN_IF_ERROR(impl->Resume());
  return DatasetWriter(std::move(impl));
}

DatasetWriter::DatasetWriter(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
DatasetWriter::~DatasetWriter() = default;
DatasetWriter::DatasetWriter(DatasetWriter&&) noexcept = default;
DatasetWriter& DatasetWriter::operator=(DatasetWriter&&) noexcept = default;

absl::StatusOr<std::uint32_t> DatasetWriter::BeginRun(const DatasetRun& run) {
  return impl_->BeginRun(run);
}
absl::Status DatasetWriter::SetTopology(const Topology& topology) {
  return impl_->SetTopology(topology);
}
absl::Status DatasetWriter::Append(const ClusterTick& tick) { return impl_->Append(tick); }
absl::Status DatasetWriter::Append(const ClusterTick& tick, const Topology& topology) {
  return impl_->Append(tick, topology);
}
absl::Status DatasetWriter::AddEvent(const DatasetEvent& event) { return impl_->AddEvent(event); }
absl::Status DatasetWriter::AddEvent(std::uint32_t run, const DatasetEvent& event) {
  return impl_->AddEvent(run, event);
}
absl::Status DatasetWriter::SetSplit(absl::Span<const SplitRange> split) {
  return impl_->SetSplit(split);
}
absl::Status DatasetWriter::Flush() { return impl_->Flush(); }
absl::Status DatasetWriter::EndRun() { return impl_->EndRun(); }
absl::Status DatasetWriter::AbandonRun() { return impl_->AbandonRun(); }
std::uint64_t DatasetWriter::bytes_written() const { return impl_->end(); }

SEER_END_NAMESPACE
