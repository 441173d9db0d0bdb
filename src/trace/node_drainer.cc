#include "seer/trace/node_drainer.h"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "seer/core/internal/status_macros.h"
#include "seer/core/tsc_clock.h"
#include "seer/queue/segment.h"
#include "trace/segment_drain.h"
#include "trace/span_outlet.h"
#include "trace/span_rings.h"

SEER_BEGIN_NAMESPACE

namespace {

constexpr std::size_t kMaxEntries = 1 << 17;  // of the directory, in one look
constexpr std::size_t kFilesPerProcess = 4;   // looked at, for each process that may be drained
constexpr std::size_t kMaxSegmentBytes = std::size_t{1} << 37;  // addresses: 4096 rings of 2^18
constexpr std::int64_t kStartOverMs = 60'000;

std::int64_t MonotonicMs() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return std::int64_t{t.tv_sec} * 1000 + t.tv_nsec / 1'000'000;
}
std::int64_t UnixNs() {
  timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

}  // namespace

class NodeDrainer::Impl {
 public:
  Impl(std::shared_ptr<TraceSink> sink, const NodeDrainerOptions& options, Topology topology)
      : options_(options),
        prefix_(SegmentFilePrefix(SEER_SEGMENT_SPANS)),
        outlet_(std::move(sink), options.drainer.max_batch, options.max_rows, std::move(topology)) {
  }
  ~Impl() {
    if (getpid() != pid_) return;
    const SegmentAccess access;
    for (const std::unique_ptr<Process>& process : all_) process->drain.GiveLeaseBack();
  }

  absl::Status Drain();

  const NodeDrainerOptions options_;
  const std::string prefix_;
  internal::SpanOutlet outlet_;
  std::vector<SkippedSegment> skipped_;
  struct Process {
    Process(MappedSegment mapped, const internal::SpanRings& rings, const TscClock* clock,
            std::string file_name)
        : segment(std::move(mapped)),
          drain(rings, segment.instance(), segment.header().pid, clock, &segment),
          file(std::move(file_name)) {}
    const MappedSegment segment;
    internal::SegmentDrain drain;
    const std::string file;  // its name in the directory
    bool over = false;
  };
  std::vector<std::unique_ptr<Process>> all_;

 private:
  // By file name.
  struct File {
    enum { kDrained, kRefused, kLater } is = kLater;
    bool seen = true;
    absl::Status why;
  };

  void LookForSegments();
  void Open(const std::string& name, File* file);
  std::string PathOf(const std::string& name) const {
    return absl::StrCat(options_.directory, "/", name);
  }
  void ForgetEnded();
  void StartOver();

  const pid_t pid_ = getpid();
  TscClock tsc_{TscClock::BestSource()};
  TscClock monotonic_{TscClock::Source::kClockGettime};
  std::unordered_map<std::string, File> files_;
  std::size_t next_ = 0;  // process
  std::int64_t started_over_ms_ = 0;
};

void NodeDrainer::Impl::Open(const std::string& name, File* file) {
  file->why = absl::OkStatus();
  file->is = File::kLater;
  const std::string path = PathOf(name);
  if (all_.size() >= options_.max_processes) {
    file->why = absl::ResourceExhaustedError(
        absl::StrCat("max_processes: ", options_.max_processes, " are drained already; raise it"));
    return;
  }
  SegmentLimits limits;
  limits.max_bytes = kMaxSegmentBytes;
  limits.writable = true;
  absl::StatusOr<MappedSegment> segment = MappedSegment::Open(path, limits);
  if (!segment.ok()) {
    file->why = segment.status();
    // Being made; just gone; for want of descriptors.
    const bool later = absl::IsUnavailable(file->why) || absl::IsNotFound(file->why) ||
                       absl::IsResourceExhausted(file->why);
    if (!later) file->is = File::kRefused;
    if (absl::IsUnavailable(file->why) || absl::IsNotFound(file->why)) file->why = {};
    return;
  }
  const absl::StatusOr<internal::SpanRings> rings = internal::SpanRings::Of(
      absl::MakeConstSpan(segment->data(), segment->size()), segment->header(), /*local=*/false);
  if (!rings.ok()) {
    file->is = File::kRefused;
    file->why = rings.status();
    return;
  }
  const bool tsc = segment->header().stamp_source == SEER_STAMP_TSC;
  if (tsc && tsc_.source() != TscClock::Source::kTsc) {
    file->is = File::kRefused;
    file->why = absl::FailedPreconditionError(
        "stamp_source: is the time-stamp counter, which this machine does not trust");
    return;
  }
  all_.push_back(
      std::make_unique<Process>(*std::move(segment), *rings, tsc ? &tsc_ : &monotonic_, name));
  file->is = File::kDrained;
}

void NodeDrainer::Impl::LookForSegments() {
  DIR* const scan = opendir(options_.directory.c_str());
  for (auto& [name, file] : files_) file.seen = false;
  std::size_t looked_at = 0;
  for (std::size_t i = 0; scan != nullptr && i < kMaxEntries; ++i) {
    const dirent* const entry = readdir(scan);
    if (entry == nullptr) break;
    if (std::strncmp(entry->d_name, prefix_.c_str(), prefix_.size()) != 0) continue;
    if (++looked_at > options_.max_processes * kFilesPerProcess) break;
    File& file = files_[entry->d_name];
    file.seen = true;
    if (file.is == File::kLater) Open(entry->d_name, &file);
  }
  if (scan != nullptr) closedir(scan);
  for (auto file = files_.begin(); file != files_.end();) {
    // What is drained has its own way out: its file may be gone, and its spans still be here.
    const bool forget = !file->second.seen && file->second.is != File::kDrained;
    file = forget ? files_.erase(file) : std::next(file);
  }
}

void NodeDrainer::Impl::ForgetEnded() {
  for (std::size_t i = all_.size(); i-- > 0;) {
    Process& process = *all_[i];
    if (!process.over) continue;
    process.drain.GiveLeaseBack();
    if (options_.remove_dead && process.segment.Owner() == MappedSegment::Life::kEnded) {
      unlink(PathOf(process.file).c_str());
    }
    // If the file stays it is not to be opened again.
    File& file = files_[process.file];
    file.is = File::kRefused;
    file.why = absl::OkStatus();
    all_.erase(all_.begin() + static_cast<std::ptrdiff_t>(i));
  }
}

// In a fresh numbering, with the names of those that live.
void NodeDrainer::Impl::StartOver() {
  const std::int64_t now_ms = MonotonicMs();
  if (started_over_ms_ != 0 && now_ms - started_over_ms_ < kStartOverMs) return;
  started_over_ms_ = now_ms;
  DrainerOptions options = options_.drainer;
  options.epoch =
      std::max(outlet_.topology().origin().epoch + 1, static_cast<std::uint64_t>(UnixNs()));
  absl::StatusOr<Topology> fresh = internal::DrainersTopology(options, 0);
  if (!fresh.ok()) return;
  outlet_.StartOver(*std::move(fresh));
  for (const std::unique_ptr<Process>& process : all_) {
    process->drain.ForgetNames();
    process->drain.LearnNames(&outlet_);
  }
}

absl::Status NodeDrainer::Impl::Drain() {
  if (getpid() != pid_) {
    return absl::FailedPreconditionError(
        "the drainer was made before fork(); make another one in the child");
  }
  const SegmentAccess access;
  absl::Status first = outlet_.HandOnAll();  // what the sink did not want the last time
  if (internal::NotNow(first)) return first;
  tsc_.Recalibrate();
  monotonic_.Recalibrate();
  ForgetEnded();
  LookForSegments();
  if (outlet_.full()) StartOver();

  skipped_.clear();
  for (const auto& [name, file] : files_) {
    if (!file.why.ok()) skipped_.push_back({PathOf(name), file.why});
  }
  const std::int64_t now_ms = internal::LeaseNowMs(options_.drainer);
  const std::int64_t length_ms = options_.drainer.lease.count() / 1'000'000;
  std::size_t budget = options_.drainer.max_spans;
  for (std::size_t i = 0; i < all_.size() && budget > 0; ++i) {
    // Where the last call stopped, so that each process has its turn.
    if (next_ >= all_.size()) next_ = 0;
    Process& process = *all_[next_];
    // Before its rings are read: what it recorded until then is in them.
    const bool ended = process.segment.Owner() != MappedSegment::Life::kRuns;
    const absl::Status lease = process.drain.HoldLease(now_ms, length_ms);
    if (process.segment.broken()) {
      process.over = true;
      skipped_.push_back({PathOf(process.file), absl::DataLossError("was truncated")});
    } else if (!lease.ok()) {
      skipped_.push_back({PathOf(process.file), lease});
    } else {
      bool emptied = false;
      if (!process.drain.Drain(&outlet_, &budget, &first, &emptied)) return first;
      process.over = process.segment.broken() || (ended && emptied);
    }
    ++next_;
  }
  first.Update(outlet_.HandOnAll());
  return first;
}

absl::StatusOr<std::unique_ptr<NodeDrainer>> NodeDrainer::Create(
    std::shared_ptr<TraceSink> sink, const NodeDrainerOptions& options) {
  if (sink == nullptr) return absl::InvalidArgumentError("sink: is null; give one");
  if (options.directory.empty()) {
    return absl::InvalidArgumentError(
        "directory: is empty; name the one that RecorderOptions::directory names");
  }
  if (options.max_processes < 1 || options.max_processes > 4096) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_processes: ", options.max_processes, " is not from 1 to 4096"));
  }
  if (options.max_rows < 16 || options.max_rows > Topology::kMaxRows) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_rows: ", options.max_rows, " is not from 16 to ", Topology::kMaxRows));
  }
  SEER_RETURN_IF_ERROR(internal::CheckDrainerOptions(options.drainer));
  SEER_ASSIGN_OR_RETURN(Topology topology, internal::DrainersTopology(options.drainer, UnixNs()));
  return std::unique_ptr<NodeDrainer>(
      new NodeDrainer(std::make_unique<Impl>(std::move(sink), options, std::move(topology))));
}

NodeDrainer::NodeDrainer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
NodeDrainer::~NodeDrainer() = default;

absl::Status NodeDrainer::Drain() { return impl_->Drain(); }
const Topology& NodeDrainer::topology() const { return impl_->outlet_.topology(); }
const DrainCounts& NodeDrainer::counts() const { return impl_->outlet_.counts(); }
std::size_t NodeDrainer::processes() const { return impl_->all_.size(); }
absl::Span<const SkippedSegment> NodeDrainer::skipped() const { return impl_->skipped_; }

SEER_END_NAMESPACE
