// Flow: queue/ counters, trace/ rings -> [Segment] -> Reader
//
// Memory that one process writes and others may read: a file of a directory that the node's agent
// watches, or anonymous memory. What stands in it is for the owner to say (segment_layout.h holds
// the header that all kinds share); this is its life: made, locked, published, closed, found again.
//
//   seer::SegmentOptions options;
//   options.directory = "/dev/shm/seer";
//   options.kind = SEER_SEGMENT_QUEUES;
//   options.bytes = 1 << 20;
//   absl::StatusOr<seer::Segment> segment = seer::Segment::Create(options);
//   Fill(segment->data());
//   segment->Publish();                                  // from here on readers look at it
//
//   absl::StatusOr<seer::MappedSegment> mapped = seer::MappedSegment::Open(path, limits);  // an
//   agent if (mapped->Owner() == seer::MappedSegment::Life::kEnded) ...
//
// Whoever makes a segment holds flock(LOCK_EX) on its file until it dies; the kernel lets go of the
// lock with the last descriptor, also after SIGKILL. A forked child would keep it, so after fork()
// the descriptor is closed there. What a dead process leaves behind is removed by the next Create()
// in the directory.
//
// A reader maps the file, which a hostile owner may truncate: an access beyond the end is a SIGBUS.
// While a MappedSegment exists, a process-wide handler turns that into pages of zeros and marks the
// segment broken; every other SIGBUS goes to the handler that was there before.
//
// Threads: plain values; each object from one thread at a time.
// Cost:    Create about 60 us and one descriptor; Open about 30 us and two; Owner() one system
// call.
#pragma once

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "seer/core/config.h"
#include "seer/queue/segment_layout.h"

SEER_BEGIN_NAMESPACE

struct SegmentOptions {
  std::string directory;  // made if it is not there; empty: anonymous memory
  std::uint32_t kind = SEER_SEGMENT_QUEUES;
  std::size_t bytes = 0;
  std::string instance;  // empty: the host name
  std::uint32_t stamp_source = SEER_STAMP_MONOTONIC;
};

// The owner's side.
class Segment {
 public:
  Segment() = default;
  // The memory stays mapped (invariant 3 of internal/count.h), as zeros of its own.
  ~Segment() { Close(); }
  Segment(Segment&& other) noexcept { *this = std::move(other); }
  Segment& operator=(Segment&& other) noexcept;

  // Zeros with the common header filled in. InvalidArgument, or the system's error with the path.
  static absl::StatusOr<Segment> Create(const SegmentOptions& options);

  char* data() const { return data_; }
  std::size_t size() const { return size_; }
  seer_segment_header* header() const { return reinterpret_cast<seer_segment_header*>(data_); }
  // Empty: anonymous.
  const std::string& path() const { return path_; }

  // To be called before these bytes are written for the first time. A file's pages come into being
  // on first use, and on a full disc that use would be a SIGBUS; here it is ResourceExhausted.
  [[nodiscard]] absl::Status Reserve(std::size_t offset, std::size_t bytes);
  void Publish();
  void Close();

  // In the child, from a pthread_atfork() handler: the memory becomes the child's own at the same
  // addresses, the first `kept` bytes (whole pages) copied, the rest zeros. Only calls that are
  // safe there. False: there was no memory for that, and the child must not touch the segment
  // again.
  bool ForkedChild(std::size_t kept) noexcept;
  // Later in the child: makes it a file again, where it was one, and publishes it. The first `kept`
  // bytes are copied, and the first `room` (not less) can be written as after Reserve(); the caller
  // keeps everybody from writing meanwhile. If this fails it goes on as the child's own memory.
  [[nodiscard]] absl::Status ShareAgain(std::size_t kept, std::size_t room);
  bool forked() const { return forked_; }

 private:
  void FillHeader();
  absl::Status MakeFile();

  SegmentOptions options_;
  char* data_ = nullptr;
  std::size_t size_ = 0;
  int fd_ = -1;
  bool forked_ = false;
  std::string path_;
  std::vector<bool> reserved_;  // by page
};

struct SegmentLimits {
  std::size_t max_bytes = std::size_t{1} << 30;
  // For the few words that readers may change (a ring's `drained`): data() may be written then, and
  // the file has to allow it.
  bool writable = false;
};

// Whoever looks at the bytes of a mapped segment holds one meanwhile: in a thread that blocks
// SIGBUS a truncated file would end the process. Cost: a system call, or two.
class SegmentAccess {
 public:
  SegmentAccess() noexcept;
  ~SegmentAccess();
  SegmentAccess(const SegmentAccess&) = delete;
  SegmentAccess& operator=(const SegmentAccess&) = delete;

 private:
  sigset_t before_;
};

// The reader's side.
class MappedSegment {
 public:
  enum class Life {
    kRuns,
    kClosed,  // it ended in good order
    kEnded,   // it died, or its file is from before the last reboot
  };

  MappedSegment() = default;
  ~MappedSegment();
  MappedSegment(MappedSegment&& other) noexcept { *this = std::move(other); }
  MappedSegment& operator=(MappedSegment&& other) noexcept;

  // Unavailable: its owner is still making it, come back. Else why it can never be read, with the
  // path: not a plain file, no segment, another major version, sizes that cannot be.
  static absl::StatusOr<MappedSegment> Open(const std::string& path, const SegmentLimits& limits);

  const char* data() const { return data_; }
  std::size_t size() const { return size_; }
  // A copy made when it was opened: what has been checked cannot change any more.
  const seer_segment_header& header() const { return header_; }
  std::string instance() const;

  // Does the process that writes it still live? Asks the process itself where its pid means the
  // same here, which no surviving child can fake; else the lock on its file.
  Life Owner() const;
  // Its owner said that it is done; only that.
  bool closed() const;
  // -1, or a descriptor that poll() finds readable when the owner has ended: to ask about many
  // owners with one system call.
  int pidfd() const { return pidfd_; }
  // Somebody truncated the file: it reads as zeros now.
  bool broken() const;

 private:
  seer_segment_header header_ = {};
  const char* data_ = nullptr;
  std::size_t size_ = 0;
  int fd_ = -1;
  int pidfd_ = -1;
  bool owner_had_ended_ = false;
  int guard_ = -1;  // src/queue/sigbus_guard.h
};

// The names of the files of one kind, for example "queues.1234.89abcdef01234567".
std::string SegmentFilePrefix(std::uint32_t kind);

SEER_END_NAMESPACE
