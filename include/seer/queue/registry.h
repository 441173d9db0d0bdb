// Flow: RPC -> [Queue] -> segment -> Reader
//
// How many requests wait and run in each queue of this process: counted by the service for about a
// nanosecond, read by anybody without a lock.
//
//   seer::QueueRegistry& node = seer::QueueRegistry::Global();
//   seer::Queue queued = *node.AddQueue("cart", seer::Channel::kQueued);    // once; keep the
//   handle seer::Queue running = *node.AddQueue("cart", seer::Channel::kRunning);
//
//   struct Job { Request request; seer::Ticket ticket; };
//   jobs.push({request, seer::Ticket(queued)});                             // enters `queued`
//   Job job = jobs.pop();
//   job.ticket.MoveTo(running);                                             // leaves it, enters
//   `running` Handle(job.request);                                                    // ~Job
//   leaves `running`
//
// A QueueScope or Ticket makes a leave without an enter impossible, whatever is thrown.
// Queue::Enter() and Leave() are there for code that cannot hold one; enter before the request
// becomes visible to whoever will leave, or the depth is short by one for a moment.
//
// Each thread counts in a shard of its own: two monotone counters per queue, which no other thread
// writes and nobody ever resets or folds. The depth is the sum of all shards (reader.h). A shard
// outlives its thread: the next thread goes on with the same numbers, so that nothing is lost at
// thread exit. Threads beyond max_threads share one shard with atomic additions: slower, as exact.
//
// The memory is a file in a directory that the node's agent reads (segment_layout.h), or anonymous
// where that cannot be: a service must not fail because its observer has no room. status() tells.
// After fork() the child starts at zero in a segment of its own, made when it first counts, and its
// handles go on working; nothing it counts reaches the parent. (A raw clone() that skips
// pthread_atfork() handlers would count into the parent's.)
//
// Threads: every member of Queue, TimedQueue, QueueScope and Ticket from any thread and, on x86-64,
//          from signal handlers (not TimedQueue). A handle outlives its registry: it counts nowhere
//          then. Adding and retiring from any thread; they take a lock.
// Cost:    enter and leave together 0.6 to 1.4 ns and 17 instructions, a seventh to a fifth of an
//          atomic increment and decrement (benchmarks/RESULTS.md); of a TimedQueue 30 ns, most of
//          it two reads of the clock. A thread's first count takes a lock and may call the kernel.
//          Memory: 64 bytes a queue, 64 a service, 16 a queue and thread (timed 48), in pages.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "seer/core/channel.h"
#include "seer/core/config.h"
#include "seer/queue/internal/count.h"
#include "seer/queue/thread_parts.h"

SEER_BEGIN_NAMESPACE

// A handle to one queue: two words, copied freely. The default one counts nowhere.
class Queue {
 public:
  struct Entry {};  // nothing to remember between Enter and Leave

  Queue() = default;

  // One request more, one request less.
  Entry Enter() const noexcept {
    internal::Count(place_, internal::kEnqueued);
    return {};
  }
  void Leave(Entry = {}) const noexcept { internal::Count(place_, internal::kDequeued); }

  explicit operator bool() const { return place_.valid(); }

 private:
  friend class QueueRegistry;
  explicit Queue(internal::Place place) : place_(place) {}
  internal::Place place_;
};

// A queue that also knows, for every tick, its exact mean depth and the mean wait of the requests
// that left. It wants the entry back, hence mostly QueueScope and Ticket.
class TimedQueue {
 public:
  struct Entry {
    std::uint64_t stamp = 0;
  };

  TimedQueue() = default;

  Entry Enter() const noexcept { return {internal::EnterTimed(place_)}; }
  void Leave(Entry entry) const noexcept { internal::LeaveTimed(place_, entry.stamp); }

  explicit operator bool() const { return place_.valid(); }

 private:
  friend class QueueRegistry;
  explicit TimedQueue(internal::Place place) : place_(place) {}
  internal::Place place_;
};

// In the queue from here to the end of the block.
template <typename AnyQueue>
class [[nodiscard]] QueueScope {
 public:
  explicit QueueScope(AnyQueue queue) noexcept : queue_(queue), entry_(queue_.Enter()) {}
  ~QueueScope() { queue_.Leave(entry_); }
  QueueScope(const QueueScope&) = delete;
  QueueScope& operator=(const QueueScope&) = delete;

 private:
  const AnyQueue queue_;
  const typename AnyQueue::Entry entry_;
};

// A place in a queue that travels with its request, also to other threads. It leaves when it is
// destroyed, at the latest; moved from, it holds no place.
template <typename AnyQueue>
class [[nodiscard]] BasicTicket {
 public:
  BasicTicket() = default;  // no place
  explicit BasicTicket(AnyQueue queue) noexcept : queue_(queue), entry_(queue_.Enter()) {}
  ~BasicTicket() { Leave(); }

  BasicTicket(BasicTicket&& other) noexcept
      : queue_(std::exchange(other.queue_, AnyQueue())), entry_(other.entry_) {}
  BasicTicket& operator=(BasicTicket&& other) noexcept {
    if (this != &other) {
      Leave();
      queue_ = std::exchange(other.queue_, AnyQueue());
      entry_ = other.entry_;
    }
    return *this;
  }

  // The request is out of the queue. A second call does nothing.
  void Leave() noexcept {
    if (queue_) std::exchange(queue_, AnyQueue()).Leave(entry_);
  }
  // From one stage to the next, for example from `queued` to `running`.
  void MoveTo(AnyQueue next) noexcept {
    Leave();
    queue_ = next;
    entry_ = queue_.Enter();
  }
  explicit operator bool() const { return static_cast<bool>(queue_); }

 private:
  AnyQueue queue_;
  typename AnyQueue::Entry entry_;
};
using Ticket = BasicTicket<Queue>;
using TimedTicket = BasicTicket<TimedQueue>;

struct RegistryOptions {
  // Where the segment's file goes; it is made if it does not exist, for every user to write to
  // (like /tmp). Empty: anonymous memory, seen by this process only.
  std::string directory = "/dev/shm/seer";
  // Of which replica of its services this process is: 1 to 255 bytes. Empty: the machine's or
  // container's host name. Processes of one service with the same instance are counted as one.
  std::string instance;
  std::uint32_t max_queues = 1024;   // 1 to 65536; a timed queue counts as three
  std::uint32_t max_services = 256;  // of its own and called, 1 to 65535
  std::uint32_t max_threads = 256;   // that count at the same time at full speed, 1 to 4096
};

class QueueRegistry {
 public:
  // Most processes need Global() only. Up to 63 exist at a time, and 945 in the life of a process:
  // ResourceExhausted beyond. InvalidArgument names the option. A directory that cannot be used is
  // not an error: the registry is anonymous then, and status() says why.
  static absl::StatusOr<std::unique_ptr<QueueRegistry>> Create(const RegistryOptions& options);

  // The one that the rest of seer uses in this process. Never destroyed; made on first use.
  static QueueRegistry& Global();
  // Before the first Global(): FailedPrecondition after it.
  [[nodiscard]] static absl::Status SetGlobalOptions(const RegistryOptions& options);

  // Removes the segment. Handles stay valid and count nowhere from then on.
  ~QueueRegistry();
  QueueRegistry(const QueueRegistry&) = delete;
  QueueRegistry& operator=(const QueueRegistry&) = delete;

  // The queue `name` of this service, in the unit of its channel. The same arguments give the same
  // queue again. Several queues of one channel are added up by the collector; name them apart. An
  // empty name stands for the channel's. Names: services 1 to 63 bytes, queues 0 to 48, no NUL or
  // other control characters. ResourceExhausted when a table is full (the message names the
  // option) or the directory has no room.
  absl::StatusOr<Queue> AddQueue(std::string_view service, Channel channel,
                                 std::string_view name = {});
  absl::StatusOr<TimedQueue> AddTimedQueue(std::string_view service, Channel channel,
                                           std::string_view name = {});
  // Calls of `caller` that `callee` has not answered: the depth of the edge between them.
  absl::StatusOr<Queue> AddOutbound(std::string_view caller, std::string_view callee);

  // Readers forget the queue. Its handles stay valid and are not read; adding the same names again
  // makes a new queue, starting at zero. The old row is not used again: a process has max_queues in
  // its life. NotFound if it is not a live queue of this registry.
  [[nodiscard]] absl::Status Retire(Queue queue);
  [[nodiscard]] absl::Status Retire(TimedQueue queue);

  // Ok where the segment is shared as asked; else why it is anonymous.
  absl::Status status() const;
  // The file's path; empty: anonymous memory, or a forked child that has not counted yet.
  std::string path() const;
  // For a reader in the same process, and tests: the segment's bytes. They stay mapped for ever,
  // and are zeros once the registry is gone.
  absl::Span<const char> segment() const;

 private:
  struct Tables;  // what stands in the segment, for adding to it
  QueueRegistry(ThreadParts parts, std::unique_ptr<Tables> tables);
  absl::StatusOr<internal::Place> Add(std::string_view service, std::string_view callee,
                                      std::uint8_t channel, std::string_view name, bool timed);
  absl::Status Retire(internal::Place place);

  ThreadParts parts_;
  std::unique_ptr<Tables> tables_;  // guarded by ThreadParts::Edit
};

SEER_END_NAMESPACE
