#include "seer/queue/reader.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <unordered_map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "queue/reader_process.h"
#include "queue/sigbus_guard.h"
#include "seer/core/internal/shared_word.h"
#include "seer/core/internal/status_macros.h"
#include "seer/queue/registry.h"
#include "seer/queue/segment.h"

SEER_BEGIN_NAMESPACE

namespace {

using Life = ProcessInfo::Life;

constexpr std::int64_t kNsPerSecond = 1'000'000'000;
// The directory's time of change has the resolution of the kernel's clock tick, at most 10 ms: a
// change so soon after a look may show the same time.
constexpr std::int64_t kResolutionNs = 20'000'000;
constexpr std::int64_t kLookAgainNs = kNsPerSecond;  // whatever the directory's time says
constexpr std::size_t kMaxSegmentBytes = std::size_t{1} << 31;
constexpr std::size_t kFilesPerProcess = 4;   // looked at, for each process that may be read
constexpr std::size_t kMaxEntries = 1 << 17;  // of the directory, in one look

std::int64_t NowNs() {
  timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return static_cast<std::int64_t>(t.tv_sec) * kNsPerSecond + t.tv_nsec;
}
std::int64_t ChangedNs(const struct stat& info) {
  return static_cast<std::int64_t>(info.st_mtim.tv_sec) * kNsPerSecond + info.st_mtim.tv_nsec;
}

}  // namespace

class Reader::Impl {
 public:
  explicit Impl(const ReaderOptions& options)
      : options_(options), prefix_(SegmentFilePrefix(SEER_SEGMENT_QUEUES)) {}
  ~Impl() {
    if (directory_fd_ >= 0) close(directory_fd_);
  }

  absl::Status Add(const QueueRegistry& registry);
  const NodeReading& Read();

  std::vector<ProcessInfo> processes_;
  std::vector<QueueInfo> queues_;
  std::vector<SkippedSegment> skipped_;

 private:
  struct Process {
    MappedSegment segment;          // of a file
    absl::Span<const char> memory;  // of a registry here
    ProcessInfo info;
    internal::ReaderProcess reader;
  };

  // By file name: what was made of it.
  struct File {
    enum {
      kRead,
      kOver,  // its process has ended
      kRefused,
      kUnfinished,  // its maker is at it, or was killed
      kWaits,       // for room in here
    } is = kUnfinished;
    bool seen = true;  // in the last look
    std::int64_t found_ns = 0;
    std::int64_t tried_ns = 0;
  };

  void LookForSegments();
  void LookAt(const std::string& name);
  void OpenSegment(const std::string& name, File* file);
  void Refuse(const std::string& name, absl::Status why);
  void DropEnded();
  static bool MemoryGone(const Process& process);
  bool FindEnded();
  void Relist();

  const ReaderOptions options_;
  const std::string prefix_;
  int directory_fd_ = -1;
  std::int64_t looked_ns_ = 0;
  std::int64_t directory_changed_ns_ = -1;
  bool unfinished_ = false;  // a segment was still being made
  bool first_read_ = true;   // what is found now may have counted for days
  std::unordered_map<std::string, File> files_;
  std::string name_;  // kept for its memory
  std::vector<SkippedSegment> refused_;
  std::vector<Process> all_;
  std::vector<pollfd> polled_;  // as all_; fd -1 where there is none
  std::size_t pidfds_ = 0;      // of them that are not -1
  NodeReading reading_;
  bool changed_ = false;
};

absl::Status Reader::Impl::Add(const QueueRegistry& registry) {
  const absl::Span<const char> bytes = registry.segment();
  if (bytes.empty()) {
    return absl::FailedPreconditionError("registry: has been closed, or was never made");
  }
  seer_segment_header header;
  std::memcpy(&header, bytes.data(), sizeof header);
  SEER_ASSIGN_OR_RETURN(internal::QueuesView view,
                        internal::QueuesView::Of(bytes.data(), bytes.size(), header));
  ProcessInfo info;
  info.instance.assign(header.instance, header.instance_bytes);
  info.pid = header.pid;
  all_.push_back({MappedSegment(), bytes, std::move(info),
                  internal::ReaderProcess(view, header.stamp_source, !first_read_)});
  polled_.push_back({-1, POLLIN, 0});
  changed_ = true;
  return absl::OkStatus();
}

void Reader::Impl::LookForSegments() {
  if (options_.directory.empty()) return;
  struct stat info;
  if (directory_fd_ >= 0 && (fstat(directory_fd_, &info) != 0 || info.st_nlink == 0)) {
    close(directory_fd_);  // it was removed; perhaps there is another one of its name
    directory_fd_ = -1;
  }
  if (directory_fd_ < 0) {
    directory_fd_ = open(options_.directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory_fd_ < 0 || fstat(directory_fd_, &info) != 0) return;  // not made yet
    directory_changed_ns_ = -1;
  }
  const std::int64_t changed_ns = ChangedNs(info);
  const std::int64_t now = NowNs();
  if (changed_ns == directory_changed_ns_ && looked_ns_ - changed_ns > kResolutionNs &&
      now - looked_ns_ < kLookAgainNs && now >= looked_ns_ && !unfinished_) {
    return;
  }
  directory_changed_ns_ = changed_ns;
  looked_ns_ = now;
  unfinished_ = false;

  const int scan_fd = openat(directory_fd_, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (scan_fd < 0) return;
  DIR* const scan = fdopendir(scan_fd);
  if (scan == nullptr) {
    close(scan_fd);
    return;
  }
  for (auto& [name, file] : files_) file.seen = false;
  std::size_t files = 0;
  for (std::size_t entries = 0; entries < kMaxEntries; ++entries) {
    const dirent* const entry = readdir(scan);
    if (entry == nullptr) break;
    if (std::strncmp(entry->d_name, prefix_.c_str(), prefix_.size()) != 0) continue;
    if (++files > options_.max_processes * kFilesPerProcess) break;
    name_.assign(entry->d_name);
    LookAt(name_);
  }
  closedir(scan);
  // What is gone is forgotten, except for what is being read: that has its own way out.
  for (auto file = files_.begin(); file != files_.end();) {
    const bool forget = !file->second.seen && file->second.is != File::kRead;
    file = forget ? files_.erase(file) : std::next(file);
  }
  const auto gone = [&](const SkippedSegment& refused) {
    name_.assign(refused.file, options_.directory.size() + 1, std::string::npos);
    return files_.find(name_) == files_.end();
  };
  refused_.erase(std::remove_if(refused_.begin(), refused_.end(), gone), refused_.end());
}

void Reader::Impl::LookAt(const std::string& name) {
  const auto known = files_.find(name);
  if (known == files_.end()) {
    File fresh;
    fresh.found_ns = looked_ns_;
    OpenSegment(name, &files_.emplace(name, fresh).first->second);
    return;
  }
  File& file = known->second;
  file.seen = true;
  if (file.is != File::kUnfinished && file.is != File::kWaits) return;
  // Tried again after as long as it has been there, up to a second: many files of makers that were
  // killed cost little, and hide no other.
  const std::int64_t age = looked_ns_ - file.found_ns;
  const std::int64_t rest = std::min(file.tried_ns - file.found_ns, kLookAgainNs);
  if (looked_ns_ - file.tried_ns >= rest || age < 0) {
    OpenSegment(name, &file);
  } else if (file.is == File::kUnfinished && age < kLookAgainNs) {
    unfinished_ = true;
  }
}

void Reader::Impl::Refuse(const std::string& name, absl::Status why) {
  refused_.push_back({absl::StrCat(options_.directory, "/", name), std::move(why)});
}

void Reader::Impl::OpenSegment(const std::string& name, File* file) {
  file->tried_ns = looked_ns_;
  const bool waited = file->is == File::kWaits;
  const std::string path = absl::StrCat(options_.directory, "/", name);
  absl::StatusOr<MappedSegment> segment = absl::ResourceExhaustedError(absl::StrCat(
      path, ": max_processes: ", options_.max_processes, " are read already; raise it"));
  if (all_.size() < options_.max_processes) {
    SegmentLimits limits;
    limits.max_bytes = kMaxSegmentBytes;
    segment = MappedSegment::Open(path, limits);
  }
  if (waited && !absl::IsResourceExhausted(segment.status())) {
    refused_.erase(std::remove_if(refused_.begin(), refused_.end(),
                                  [&](const SkippedSegment& one) { return one.file == path; }),
                   refused_.end());
  }
  if (absl::IsUnavailable(segment.status())) {
    file->is = File::kUnfinished;
    unfinished_ |= looked_ns_ - file->found_ns < kLookAgainNs;
    return;
  }
  if (absl::IsNotFound(segment.status())) return;  // it has just gone; the next look forgets it
  if (absl::IsResourceExhausted(segment.status())) {
    // Processes, descriptors, memory: there may be room later.
    file->is = File::kWaits;
    if (!waited) Refuse(name, segment.status());
    return;
  }
  file->is = File::kRefused;
  if (!segment.ok()) return Refuse(name, segment.status());
  if (segment->header().kind != SEER_SEGMENT_QUEUES) {
    return Refuse(name, absl::FailedPreconditionError(
                            absl::StrCat(path, ": kind: ", segment->header().kind,
                                         " is not that of queues, ", SEER_SEGMENT_QUEUES)));
  }
  const absl::StatusOr<internal::QueuesView> view =
      internal::QueuesView::Of(segment->data(), segment->size(), segment->header());
  if (!view.ok()) {
    return Refuse(name, absl::Status(view.status().code(),
                                     absl::StrCat(path, ": ", view.status().message())));
  }
  file->is = File::kRead;
  ProcessInfo info;
  info.file = path;
  info.instance = segment->instance();
  info.pid = segment->header().pid;
  polled_.push_back({segment->pidfd(), POLLIN, 0});
  pidfds_ += segment->pidfd() >= 0;
  const std::uint32_t source = segment->header().stamp_source;
  // One that had to wait for room was counting all the while.
  all_.push_back({*std::move(segment),
                  {},
                  std::move(info),
                  internal::ReaderProcess(*view, source, !first_read_ && !waited)});
  changed_ = true;
}

// Forgets those that were in the last reading as ended.
void Reader::Impl::DropEnded() {
  for (std::size_t i = all_.size(); i-- > 0;) {
    Process& process = all_[i];
    if (process.info.life == Life::kRuns) continue;
    const std::string& file = process.info.file;
    if (!file.empty()) {
      if (options_.remove_dead && process.info.life == Life::kDied) unlink(file.c_str());
      // If the file stays, it is not to be read again.
      files_[file.substr(options_.directory.size() + 1)].is = File::kOver;
    }
    pidfds_ -= polled_[i].fd >= 0;
    all_.erase(all_.begin() + static_cast<std::ptrdiff_t>(i));
    polled_.erase(polled_.begin() + static_cast<std::ptrdiff_t>(i));
    changed_ = true;
  }
}

// Zeros are read: the registry of this process is no more, or the file was truncated.
bool Reader::Impl::MemoryGone(const Process& process) {
  const bool ours = process.info.file.empty();
  const char* const data = ours ? process.memory.data() : process.segment.data();
  const auto* const header = reinterpret_cast<const seer_segment_header*>(data);
  const std::uint32_t state = internal::LoadAcquire(&header->state);
  // A file's is asked last: the look at the state may have found that the page is gone.
  return ours ? state != SEER_SEGMENT_READY
              : state == SEER_SEGMENT_BEING_MADE || process.segment.broken();
}

// Marks the processes that have ended since.
bool Reader::Impl::FindEnded() {
  bool found = false;
  // All that have a descriptor of their process with one call; the others one by one.
  const bool any = pidfds_ != 0 && poll(polled_.data(), polled_.size(), 0) > 0;
  for (std::size_t i = 0; i < all_.size(); ++i) {
    Process& process = all_[i];
    Life life = Life::kRuns;
    if (MemoryGone(process)) {
      life = process.info.file.empty() ? Life::kClosed : Life::kDied;
    } else if (process.info.file.empty()) {
      // Ours, and there.
    } else if (polled_[i].fd < 0 || (any && polled_[i].revents != 0) || process.segment.closed()) {
      switch (process.segment.Owner()) {
        case MappedSegment::Life::kRuns:
          break;
        case MappedSegment::Life::kClosed:
          life = Life::kClosed;
          break;
        case MappedSegment::Life::kEnded:
          life = Life::kDied;
          break;
      }
    }
    if (life == process.info.life) continue;
    process.info.life = life;
    found = true;
  }
  return found;
}

void Reader::Impl::Relist() {
  processes_.clear();
  queues_.clear();
  for (const Process& process : all_) {
    process.reader.AppendInfos(static_cast<std::uint32_t>(processes_.size()), &queues_);
    processes_.push_back(process.info);
  }
  reading_.queues.assign(queues_.size(), QueueReading());
  ++reading_.version;
}

const NodeReading& Reader::Impl::Read() {
  const SegmentAccess access;
  DropEnded();
  LookForSegments();
  // Who ended is found before anything is read: no queue and no count can be added any more.
  changed_ |= FindEnded();
  std::uint64_t counters = 0;
  for (Process& process : all_) {
    changed_ |= process.reader.Refresh();
    counters += process.reader.counters();
  }
  if (changed_) Relist();
  changed_ = false;
  first_read_ = false;

  skipped_ = refused_;
  reading_.inexact = reading_.counter_errors = reading_.died = 0;
  const bool too_many = counters > options_.max_counters;
  std::uint64_t budget = options_.max_counters;
  std::size_t at = 0;
  for (Process& process : all_) {
    const bool ended = process.info.life != Life::kRuns;
    reading_.died += process.info.life == Life::kDied;
    const std::uint64_t cost = process.reader.counters();
    if (too_many && cost > budget) {
      skipped_.push_back({process.info.file,
                          absl::ResourceExhaustedError(absl::StrCat(
                              "max_counters: ", counters, " counters are more than the limit of ",
                              options_.max_counters, "; this process waits"))});
      std::fill_n(reading_.queues.begin() + static_cast<std::ptrdiff_t>(at), process.reader.size(),
                  QueueReading());
    } else {
      budget -= std::min(budget, cost);
      process.reader.Sweep();
      if (MemoryGone(process)) {
        process.reader.ReadNothing(reading_.queues.data() + at);
      } else {
        process.reader.Read(ended, reading_.queues.data() + at, &reading_);
      }
    }
    at += process.reader.size();
  }
  reading_.skipped = skipped_.size();
  return reading_;
}

absl::StatusOr<std::unique_ptr<Reader>> Reader::Open(const ReaderOptions& options) {
  if (options.max_processes < 1 || options.max_processes > 4096) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_processes: ", options.max_processes, " is not from 1 to 4096"));
  }
  if (options.max_counters < 1) {
    return absl::InvalidArgumentError("max_counters: is 0; nothing could be read");
  }
  return std::unique_ptr<Reader>(new Reader(std::make_unique<Impl>(options)));
}

Reader::Reader(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Reader::~Reader() = default;

absl::Status Reader::Add(const QueueRegistry& registry) { return impl_->Add(registry); }
const NodeReading& Reader::Read() { return impl_->Read(); }
absl::Span<const ProcessInfo> Reader::processes() const { return impl_->processes_; }
absl::Span<const QueueInfo> Reader::queues() const { return impl_->queues_; }
absl::Span<const SkippedSegment> Reader::skipped() const { return impl_->skipped_; }

SEER_END_NAMESPACE
