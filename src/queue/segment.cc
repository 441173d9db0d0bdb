#include "seer/queue/segment.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "queue/process_identity.h"
#include "seer/core/internal/shared_word.h"
#include "seer/core/internal/status_macros.h"

SEER_BEGIN_NAMESPACE

namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kMaxSegmentBytes = std::size_t{1} << 40;
constexpr int kSweptFiles = 10000;  // of the dead, looked at in one Create()
constexpr int kAttempts = 16;       // at a file that nobody else takes for a leftover

std::size_t RoundUp(std::size_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

absl::Status FromErrno(int error, const std::string& what) {
  return absl::ErrnoToStatus(error, what);
}

std::uint64_t RandomNumber() {
  std::uint64_t number = 0;
  if (getrandom(&number, sizeof number, GRND_NONBLOCK) == sizeof number) return number;
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);  // early in boot; the pid stands beside it in the name
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'007u +
         static_cast<std::uint64_t>(now.tv_nsec);
}

absl::Status EnsureDirectory(const std::string& directory) {
  if (mkdir(directory.c_str(), 0777) == 0) {
    // Like /tmp: everybody may add, nobody may remove what is another's. Beyond the umask.
    if (chmod(directory.c_str(), 01777) == 0) return absl::OkStatus();
    return FromErrno(errno, absl::StrCat("directory: cannot set the mode of ", directory));
  }
  if (errno == EEXIST) return absl::OkStatus();
  return FromErrno(errno, absl::StrCat("directory: cannot make ", directory,
                                       "; name one whose parent exists and may be written"));
}

// False: somebody took the file, which was not locked yet, for a leftover and holds it or has
// removed it. Make another.
bool TakeLock(int fd, int* error) {
  struct stat info;
  if (flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &info) == 0) {
    *error = ESTALE;
    return info.st_nlink != 0;
  }
  *error = errno;
  return false;
}

// Files of processes that have died, or were killed while they made one.
void RemoveLeftovers(int directory_fd, const std::string& prefix) {
  const int scan_fd = openat(directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (scan_fd < 0) return;
  DIR* const scan = fdopendir(scan_fd);
  if (scan == nullptr) {
    close(scan_fd);
    return;
  }
  for (int i = 0; i < kSweptFiles; ++i) {
    const dirent* const entry = readdir(scan);
    if (entry == nullptr) break;
    if (std::strncmp(entry->d_name, prefix.c_str(), prefix.size()) != 0) continue;
    const int fd =
        openat(directory_fd, entry->d_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) continue;
    // The lock is free: its process is gone, or has not come to lock it, and will take another
    // name.
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) unlinkat(directory_fd, entry->d_name, 0);
    close(fd);
  }
  closedir(scan);
}

}  // namespace

std::string SegmentFilePrefix(std::uint32_t kind) {
  switch (kind) {
    case SEER_SEGMENT_QUEUES:
      return "queues.";
    case SEER_SEGMENT_SPANS:
      return "spans.";
    default:
      return absl::StrCat("kind", kind, ".");
  }
}

Segment& Segment::operator=(Segment&& other) noexcept {
  if (this != &other) {
    Close();
    options_ = std::move(other.options_);
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
    fd_ = std::exchange(other.fd_, -1);
    forked_ = std::exchange(other.forked_, false);
    path_ = std::exchange(other.path_, std::string());
    reserved_ = std::move(other.reserved_);
  }
  return *this;
}

absl::StatusOr<Segment> Segment::Create(const SegmentOptions& options) {
  if (options.bytes < sizeof(seer_segment_header) || options.bytes > kMaxSegmentBytes) {
    return absl::InvalidArgumentError(absl::StrCat("bytes: ", options.bytes, " is not from ",
                                                   sizeof(seer_segment_header), " to ",
                                                   kMaxSegmentBytes));
  }
  if (options.instance.size() > sizeof(seer_segment_header::instance)) {
    return absl::InvalidArgumentError(absl::StrCat("instance: has ", options.instance.size(),
                                                   " bytes; give it at most ",
                                                   sizeof(seer_segment_header::instance)));
  }
  Segment segment;
  segment.options_ = options;
  segment.size_ = RoundUp(options.bytes);
  if (segment.options_.instance.empty()) segment.options_.instance = internal::HostName();
  if (options.directory.empty()) {
    void* const memory = mmap(nullptr, segment.size_, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
      return FromErrno(errno, absl::StrCat("bytes: cannot map ", segment.size_));
    }
    segment.data_ = static_cast<char*>(memory);
    segment.reserved_.assign(segment.size_ / kPage, false);
    segment.reserved_[0] = true;
  } else {
    SEER_RETURN_IF_ERROR(segment.MakeFile());
  }
  segment.FillHeader();
  return segment;
}

absl::Status Segment::MakeFile() {
  SEER_RETURN_IF_ERROR(EnsureDirectory(options_.directory));
  const int directory_fd = open(options_.directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory_fd < 0) {
    return FromErrno(errno, absl::StrCat("directory: cannot open ", options_.directory));
  }
  const std::string prefix = SegmentFilePrefix(options_.kind);
  RemoveLeftovers(directory_fd, prefix);
  char name[64];
  int error = 0;
  int fd = -1;
  for (int attempt = 0; attempt < kAttempts && fd < 0; ++attempt) {
    std::snprintf(name, sizeof name, "%s%d.%016llx", prefix.c_str(), static_cast<int>(getpid()),
                  static_cast<unsigned long long>(RandomNumber()));
    fd = openat(directory_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0) {
      error = errno;
      if (error != EEXIST) break;
    } else if (!TakeLock(fd, &error)) {
      unlinkat(directory_fd, name, 0);
      close(fd);
      fd = -1;
    }
  }
  void* memory = MAP_FAILED;
  if (fd >= 0) {
    if (ftruncate(fd, static_cast<off_t>(size_)) != 0 ||
        (error = posix_fallocate(fd, 0, static_cast<off_t>(kPage))) != 0) {
      if (error == 0) error = errno;
    } else {
      memory = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
      if (memory == MAP_FAILED) error = errno;
    }
    if (memory == MAP_FAILED) {
      unlinkat(directory_fd, name, 0);
      close(fd);
    }
  }
  close(directory_fd);
  if (memory == MAP_FAILED) {
    return FromErrno(error, absl::StrCat("directory: cannot make a file of ", size_, " bytes in ",
                                         options_.directory));
  }
  data_ = static_cast<char*>(memory);
  fd_ = fd;
  path_ = absl::StrCat(options_.directory, "/", name);
  reserved_.assign(size_ / kPage, false);
  reserved_[0] = true;
  return absl::OkStatus();
}

void Segment::FillHeader() {
  const internal::ProcessIdentity self = internal::ProcessIdentity::Self();
  seer_segment_header* const h = header();
  // All but the state, which is the last to change.
  std::memcpy(h->magic, SEER_SEGMENT_MAGIC, sizeof h->magic);
  h->major = SEER_SEGMENT_MAJOR;
  h->minor = SEER_SEGMENT_MINOR;
  h->kind = options_.kind;
  h->header_bytes = sizeof *h + sizeof(seer_queues_header);
  h->segment_bytes = size_;
  h->pid = self.pid;
  h->start_time = self.start_time;
  h->pid_namespace = self.pid_namespace;
  std::memcpy(h->boot_id, self.boot_id.data(), sizeof h->boot_id);
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  h->created_unix_ns = static_cast<std::int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
  h->stamp_source = options_.stamp_source;
  h->instance_bytes = static_cast<std::uint8_t>(options_.instance.size());
  std::memcpy(h->instance, options_.instance.data(), options_.instance.size());
}

absl::Status Segment::Reserve(std::size_t offset, std::size_t bytes) {
  if (bytes == 0) return absl::OkStatus();
  const std::size_t end = (offset + bytes - 1) / kPage + 1;
  for (std::size_t page = offset / kPage; page < end;) {
    if (reserved_[page]) {
      ++page;
      continue;
    }
    // As many at once as lie together: each is a system call.
    std::size_t next = page + 1;
    while (next < end && !reserved_[next]) ++next;
    const int error = fd_ < 0 ? 0
                              : posix_fallocate(fd_, static_cast<off_t>(page * kPage),
                                                static_cast<off_t>((next - page) * kPage));
    if (error != 0) {
      return absl::ResourceExhaustedError(absl::StrCat(
          "directory: no room in ", options_.directory, " for another ", next - page, " pages (",
          std::strerror(error), "); make room, or use less of max_threads or records_per_thread"));
    }
    for (; page < next; ++page) reserved_[page] = true;
  }
  return absl::OkStatus();
}

void Segment::Publish() {
  // [P] release, pairs with the acquire in MappedSegment::Open: who sees READY sees all the rest.
  internal::StoreRelease(&header()->state, std::uint32_t{SEER_SEGMENT_READY});
}

void Segment::Close() {
  if (data_ == nullptr) return;
  internal::StoreRelease(&header()->state, std::uint32_t{SEER_SEGMENT_CLOSED});
  if (!path_.empty()) unlink(path_.c_str());
  if (fd_ >= 0) close(fd_);
  // Threads may be counting right now: the addresses must stay valid. If this fails the old memory
  // stays, which is as good.
  (void)mmap(data_, size_, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
  data_ = nullptr;
  size_ = 0;
  fd_ = -1;
  path_.clear();
}

bool Segment::ForkedChild(std::size_t kept) noexcept {
  if (data_ == nullptr) return true;
  // The parent's lock must end with the parent, and its file is its own to remove.
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
  path_.clear();
  void* const fresh = mmap(nullptr, size_, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (fresh != MAP_FAILED) {
    for (std::size_t page = 0; page < kept / kPage; ++page) {
      if (!reserved_[page]) continue;  // never written
      std::memcpy(static_cast<char*>(fresh) + page * kPage, data_ + page * kPage, kPage);
    }
    if (mremap(fresh, size_, size_, MREMAP_MAYMOVE | MREMAP_FIXED, data_) != MAP_FAILED) {
      forked_ = true;
      return true;
    }
    munmap(fresh, size_);
  }
  data_ = nullptr;  // still the parent's memory: not to be touched
  size_ = 0;
  return false;
}

absl::Status Segment::ShareAgain(std::size_t kept, std::size_t room) {
  forked_ = false;
  FillHeader();
  if (options_.directory.empty()) return absl::OkStatus();
  Segment file;  // its end removes the file again
  file.options_ = options_;
  file.size_ = size_;
  SEER_RETURN_IF_ERROR(file.MakeFile());
  for (std::size_t page = 0; page < kept / kPage; ++page) {
    if (!reserved_[page]) continue;
    SEER_RETURN_IF_ERROR(file.Reserve(page * kPage, kPage));
    // Not the header, whose state would tell readers that all is there.
    const std::size_t from = page == 0 ? sizeof(seer_segment_header) : page * kPage;
    std::memcpy(file.data_ + from, data_ + from, (page + 1) * kPage - from);
  }
  SEER_RETURN_IF_ERROR(file.Reserve(kept, room - kept));
  file.FillHeader();
  file.Publish();
  if (mremap(file.data_, size_, size_, MREMAP_MAYMOVE | MREMAP_FIXED, data_) == MAP_FAILED) {
    return FromErrno(errno, "directory: cannot map the child's own file");
  }
  fd_ = std::exchange(file.fd_, -1);
  path_ = std::exchange(file.path_, std::string());
  reserved_ = std::move(file.reserved_);
  file.data_ = nullptr;  // it has moved
  return absl::OkStatus();
}

SEER_END_NAMESPACE
