#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "queue/process_identity.h"
#include "queue/queues_view.h"
#include "queue/sigbus_guard.h"
#include "seer/core/internal/shared_word.h"
#include "seer/queue/segment.h"

SEER_BEGIN_NAMESPACE

namespace {

// -1 and errno. glibc 2.36 has no wrapper that every distribution's headers declare.
int OpenPidfd(std::uint64_t pid) {
  if (pid == 0 || pid > 0x7fffffff) {
    errno = ESRCH;
    return -1;
  }
#ifdef SYS_pidfd_open
  return static_cast<int>(syscall(SYS_pidfd_open, static_cast<pid_t>(pid), 0u));
#else
  errno = ENOSYS;
  return -1;
#endif
}

bool IsZero(const std::uint8_t (&bytes)[16]) {
  return std::all_of(std::begin(bytes), std::end(bytes), [](std::uint8_t b) { return b == 0; });
}

absl::Status Refuse(const std::string& path, const std::string& why) {
  return absl::FailedPreconditionError(absl::StrCat(path, ": ", why));
}

}  // namespace

SegmentAccess::SegmentAccess() noexcept {
  sigset_t sigbus;
  sigemptyset(&sigbus);
  sigaddset(&sigbus, SIGBUS);
  pthread_sigmask(SIG_UNBLOCK, &sigbus, &before_);
}
SegmentAccess::~SegmentAccess() {
  if (sigismember(&before_, SIGBUS) == 1) pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

MappedSegment::~MappedSegment() {
  if (data_ != nullptr) {
    internal::UnguardMapping(guard_);
    munmap(const_cast<char*>(data_), size_);
  }
  if (fd_ >= 0) close(fd_);
  if (pidfd_ >= 0) close(pidfd_);
}

MappedSegment& MappedSegment::operator=(MappedSegment&& other) noexcept {
  std::swap(header_, other.header_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(fd_, other.fd_);
  std::swap(pidfd_, other.pidfd_);
  std::swap(owner_had_ended_, other.owner_had_ended_);
  std::swap(guard_, other.guard_);
  return *this;
}

absl::StatusOr<MappedSegment> MappedSegment::Open(const std::string& path,
                                                  const SegmentLimits& limits) {
  MappedSegment segment;
  // Not through a link, and without waiting for the other end of a pipe.
  const int mode = limits.writable ? O_RDWR : O_RDONLY;
  segment.fd_ = open(path.c_str(), mode | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (segment.fd_ < 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot open ", path));
  struct stat info;
  if (fstat(segment.fd_, &info) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot stat ", path));
  }
  if (!S_ISREG(info.st_mode)) return Refuse(path, "is not a plain file");
  const auto size = static_cast<std::uint64_t>(info.st_size);
  if (size < sizeof(seer_segment_header)) {
    // It is made empty and grows at once.
    return absl::UnavailableError(absl::StrCat(path, ": has ", size, " bytes so far"));
  }
  if (size > limits.max_bytes) {
    return Refuse(path,
                  absl::StrCat("has ", size, " bytes, more than the limit of ", limits.max_bytes));
  }
  void* const data = mmap(nullptr, size, limits.writable ? PROT_READ | PROT_WRITE : PROT_READ,
                          MAP_SHARED, segment.fd_, 0);
  if (data == MAP_FAILED) return absl::ErrnoToStatus(errno, absl::StrCat("cannot map ", path));
  segment.data_ = static_cast<const char*>(data);
  segment.size_ = size;
  segment.guard_ = internal::GuardMapping(segment.data_, size);
  if (segment.guard_ < 0) {
    return absl::ResourceExhaustedError(absl::StrCat(path, ": too many segments are mapped"));
  }
  const auto* const shared = reinterpret_cast<const seer_segment_header*>(segment.data_);
  // [P] acquire: all that was written before READY is seen from here on.
  const std::uint32_t state = internal::LoadAcquire(&shared->state);
  std::memcpy(&segment.header_, shared, sizeof *shared);
  if (state == SEER_SEGMENT_BEING_MADE) {
    return absl::UnavailableError(absl::StrCat(path, ": is being made"));
  }
  const seer_segment_header& h = segment.header_;
  if (std::memcmp(h.magic, SEER_SEGMENT_MAGIC, sizeof h.magic) != 0) {
    return Refuse(path, "is not a segment of seer");
  }
  if (h.major != SEER_SEGMENT_MAJOR) {
    return Refuse(path, absl::StrCat("has layout ", h.major, ".", h.minor, "; this reader knows ",
                                     SEER_SEGMENT_MAJOR, ".x: update the older side"));
  }
  if (!internal::IsName(h.instance, h.instance_bytes, 1)) {
    return Refuse(path, "instance: is empty, or has control characters");
  }
  if (h.header_bytes < sizeof h || h.header_bytes > size) {
    return Refuse(path, absl::StrCat("header_bytes: ", h.header_bytes, " cannot be"));
  }

  const std::array<std::uint8_t, 16> boot = internal::BootId();
  if (!IsZero(h.boot_id) && !std::equal(boot.begin(), boot.end(), h.boot_id) &&
      boot != std::array<std::uint8_t, 16>{}) {
    segment.owner_had_ended_ = true;  // from before the last reboot
  } else if (h.pid_namespace != 0 && h.pid_namespace == internal::OwnPidNamespace()) {
    // Its pid means the same here. The descriptor first, then whose it is: a pid that is given to
    // another process in between shows in the start time.
    segment.pidfd_ = OpenPidfd(h.pid);
    const bool nobody = segment.pidfd_ < 0 && errno == ESRCH;
    const std::uint64_t start = internal::ProcessStartTime(h.pid);
    const bool another = h.start_time != 0 && start != h.start_time;
    // A start time of 0 says nothing: /proc may hide the processes of others. The lock decides
    // then.
    segment.owner_had_ended_ = nobody || (another && start != 0);
    if (another && segment.pidfd_ >= 0) {
      close(segment.pidfd_);
      segment.pidfd_ = -1;
    }
  }
  return segment;
}

std::string MappedSegment::instance() const {
  return std::string(header_.instance, header_.instance_bytes);
}

bool MappedSegment::closed() const {
  const auto* const shared = reinterpret_cast<const seer_segment_header*>(data_);
  return internal::LoadAcquire(&shared->state) == SEER_SEGMENT_CLOSED;
}

MappedSegment::Life MappedSegment::Owner() const {
  if (closed()) return Life::kClosed;
  if (owner_had_ended_) return Life::kEnded;
  if (pidfd_ >= 0) {
    pollfd ended = {pidfd_, POLLIN, 0};
    return poll(&ended, 1, 0) == 1 ? Life::kEnded : Life::kRuns;
  }
  if (flock(fd_, LOCK_SH | LOCK_NB) != 0) return Life::kRuns;
  flock(fd_, LOCK_UN);
  return Life::kEnded;
}

bool MappedSegment::broken() const { return internal::MappingBroken(guard_); }

SEER_END_NAMESPACE
