// Flow: SpanBatch -> [TraceSink] -> host's transport and storage
//
// Where spans leave for whatever the host keeps them in. A host writes one class; here are the
// sinks that need no host: MemorySink, for tests and for programs that look at their own spans, and
// TeeSink, for several at once. A sink that talks to a network or a disk belongs behind a
// GuardedSink (guarded_sink.h), so that its troubles are its own.
//
//   class CollectorSink : public seer::TraceSink {
//    public:
//     absl::Status Write(const seer::SpanBatch& batch) override {
//       bytes_.clear();
//       encoder_.Append(batch, topology_, &bytes_);                       // otlp.h
//       return Post("/v1/traces", bytes_);                                // Unavailable: try again
//     }
//     absl::Status Flush(std::chrono::nanoseconds) override { return absl::OkStatus(); }
//     ...
//   };
//
// Batches come off the hot path, from whoever drains the rings: some of them every tick, each with
// up to thousands of spans.
//
// Back-pressure. Write() takes a batch whole or not at all. OK means taken: the sink now answers
// for it, and counts what it loses later as dropped. Anything else means not taken: the caller
// still has the batch, and may offer it again or let it go; the sink counts the offer as refused.
//   Unavailable, ResourceExhausted   not now: offer it again
//   anything else                    not this batch, ever
//
// Threads: Write() and Flush() are called by one thread at a time unless a sink says otherwise;
//          counts() from any thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "seer/core/config.h"
#include "seer/core/internal/mutex.h"
#include "seer/core/span.h"

SEER_BEGIN_NAMESPACE

// Since the sink was made.
struct SinkCounts {
  std::uint64_t batches = 0;        // handed on
  std::uint64_t spans = 0;          // in them
  std::uint64_t refused_spans = 0;  // not taken; an offer that is repeated counts again
  std::uint64_t dropped_spans = 0;  // taken, and lost
  std::uint64_t errors = 0;         // failed attempts to hand something on
};

class TraceSink {
 public:
  virtual ~TraceSink() = default;

  // May allocate and do I/O, for as long as the one who calls it can wait.
  [[nodiscard]] virtual absl::Status Write(const SpanBatch& batch) = 0;

  // Returns when everything that was taken before is where it should be, or has been counted as
  // dropped; DeadlineExceeded if that takes longer than `timeout`. Before a shutdown, and wherever
  // a host wants to be sure. A sink that keeps nothing back returns OK.
  [[nodiscard]] virtual absl::Status Flush(std::chrono::nanoseconds timeout) = 0;

  // What a sink does not count stays 0.
  virtual SinkCounts counts() const { return SinkCounts(); }

 protected:
  TraceSink() = default;
  TraceSink(const TraceSink&) = delete;
  TraceSink& operator=(const TraceSink&) = delete;
};

// Keeps batches until they are taken. Threads: all members from any thread.
class MemorySink final : public TraceSink {
 public:
  static constexpr std::size_t kDefaultMaxSpans = std::size_t{1} << 16;  // 4 MiB

  // A batch counts as one span more than it has, so that empty ones are bounded too.
  explicit MemorySink(std::size_t max_spans = kDefaultMaxSpans) : max_spans_(max_spans) {}

  // ResourceExhausted when full: Take() what is there.
  absl::Status Write(const SpanBatch& batch) override;
  absl::Status Flush(std::chrono::nanoseconds timeout) override;
  SinkCounts counts() const override;

  // All batches since the last call, in the order in which they came.
  std::vector<SpanBatch> Take();

 private:
  const std::size_t max_spans_;
  mutable internal::Mutex mutex_;
  std::vector<SpanBatch> batches_ ABSL_GUARDED_BY(mutex_);
  std::size_t held_ ABSL_GUARDED_BY(mutex_) = 0;
  SinkCounts counts_ ABSL_GUARDED_BY(mutex_);
};

// Offers each batch once to each of several sinks.
//
// OK if one of them took it: otherwise those that did would get it again. A sink that refuses then
// misses that batch (its own counts tell); put a GuardedSink round the one that should wait and try
// again. If none took it, the status is that of the first.
class TeeSink final : public TraceSink {
 public:
  // Null sinks are left out.
  explicit TeeSink(std::vector<std::shared_ptr<TraceSink>> sinks);

  absl::Status Write(const SpanBatch& batch) override;
  // One after the other, together within the timeout. The first error; all are flushed anyway.
  absl::Status Flush(std::chrono::nanoseconds timeout) override;

  // counts() is not summed up here: ask the sinks.
 private:
  const std::vector<std::shared_ptr<TraceSink>> sinks_;
};

SEER_END_NAMESPACE
