// Flow: segments of all processes of a node -> [Reader] -> NodeReading -> Collector
//
// All queues of all processes that publish into a directory, read without a lock and without their
// knowing: the depth of each, what came and went since the last time, who lives and who has died.
//
//   absl::StatusOr<std::unique_ptr<seer::Reader>> reader = seer::Reader::Open({});
//   for (;;) {                                                   // every tick
//     const seer::NodeReading& now = (*reader)->Read();
//     for (std::size_t i = 0; i < now.queues.size(); ++i) {
//       const seer::QueueInfo& who = (*reader)->queues()[i];
//       Show(who.service, who.name, now.queues[i].depth);
//     }
//   }
//
// A depth is exact: it was true at one instant of the read. Where a queue changed too fast for that
// (a few times in 10,000 at a million operations a second), `width` tells how far it may be off.
// The depth is never negative; a leave without an enter, which only raw calls can make, is counted
// as an error once and then allowed for.
//
// Segments may come from any process, also of another version or language, truncated, hostile,
// half-written by one that was killed. Nothing in them makes the reader crash, wait or grow beyond
// its limits; what it cannot read stands in skipped() with the reason. While a Reader exists,
// SIGBUS is handled as segment.h says.
//
// A process that died is in one more reading, marked dead, so that its last counts are not lost,
// and is then forgotten. Its requests died with it: its depth is 0.
//
// Threads: one at a time.
// Cost:    386 queues of 8 threads 4 us, 36 processes of 5 queues 12 us with the check who lives
//          (benchmarks/RESULTS.md); no allocation while the set of queues stays the same. One or
//          two descriptors per process.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "seer/core/channel.h"
#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE

class QueueRegistry;

struct ReaderOptions {
  // Looked through on every Read(). It need not exist yet. Empty: only what Add() brings.
  std::string directory = "/dev/shm/seer";
  std::size_t max_processes = 4096;  // further ones are skipped
  // Of all queues times threads together; 64 Mi counters of 16 bytes take about 50 ms to read.
  std::uint64_t max_counters = std::uint64_t{1} << 26;
  // Removes the files of processes that were found dead. For the node's agent.
  bool remove_dead = false;
};

struct ProcessInfo {
  std::string file;  // empty: this process's own registry
  std::string instance;
  std::uint64_t pid = 0;  // as the process itself sees it
  enum class Life : std::uint8_t { kRuns, kClosed, kDied } life = Life::kRuns;
};

struct QueueInfo {
  std::uint32_t process = 0;  // place in processes()
  std::string service;
  std::string name;                // empty: the channel's
  std::optional<Channel> channel;  // none: the calls to `callee`
  std::string callee;
  bool timed = false;
};

struct QueueReading {
  std::uint64_t enqueued = 0;  // since the queue was added
  std::uint64_t dequeued = 0;
  std::uint32_t depth = 0;  // the true one was in [depth, depth + width]
  std::uint32_t width = 0;
  std::uint32_t arrivals = 0;  // since the Read() before, if `counted`
  std::uint32_t departures = 0;
  bool counted = false;  // false in the first reading of a queue that was there before this Reader
  // Of timed queues, since the Read() before. False also when threads beyond max_threads took part,
  // or when reading took more than a sixteenth of that time. What a thread was kept from counting
  // when it happened is in the mean of the reading that sees it.
  bool timed = false;
  double mean_depth = 0;
  double mean_wait_ns = 0;  // of the requests that left; 0 if none did
};

struct NodeReading {
  std::vector<QueueReading> queues;  // as Reader::queues()
  // Rises when processes() or queues() became other ones.
  std::uint64_t version = 0;
  // In this reading:
  std::uint64_t inexact = 0;         // queues with a width
  std::uint64_t counter_errors = 0;  // leaves without an enter
  std::uint64_t died = 0;            // processes found dead
  std::uint64_t skipped = 0;         // segments that could not be read, as skipped()
};

struct SkippedSegment {
  std::string file;
  absl::Status why;
};

class Reader {
 public:
  // InvalidArgument names the option.
  static absl::StatusOr<std::unique_ptr<Reader>> Open(const ReaderOptions& options);
  ~Reader();
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  // A registry of this process with anonymous memory; one that shares its segment in the directory
  // is found there. It is gone from the readings when the registry is.
  [[nodiscard]] absl::Status Add(const QueueRegistry& registry);

  // Valid until the next call.
  const NodeReading& Read();

  // As of the last Read().
  absl::Span<const ProcessInfo> processes() const;
  absl::Span<const QueueInfo> queues() const;
  absl::Span<const SkippedSegment> skipped() const;

 private:
  class Impl;
  explicit Reader(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

SEER_END_NAMESPACE
