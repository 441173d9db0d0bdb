// Flow: SpanBatch -> [GuardedSink: a bounded queue, a thread of its own] -> TraceSink
//
// Keeps a sink's troubles away from the program that is traced: the sink may block, fail or throw,
// and all that the caller of Write() ever sees is a queue that is full.
//
//   seer::GuardedSink::Options options;
//   options.max_spans = 1 << 18;                                        // 16 MiB
//   auto sink = seer::GuardedSink::Create(std::make_shared<CollectorSink>(), options);
//   if (!sink.ok()) return sink.status();
//   (*sink)->Write(batch).IgnoreError();                                // refused: counted
//   (*sink)->Flush(std::chrono::seconds(1)).IgnoreError();              // before the shutdown
//
// A batch that the sink refuses with Unavailable or ResourceExhausted is offered to it again, with
// a pause in between; after the last attempt, after any other error and after an exception it is
// dropped and counted. What is written while the queue is full is refused: the newest spans go, and
// with them the memory's bound stands.
//
// Destruction delivers what is queued, and takes at most `shutdown_timeout` whatever the sink does.
// A sink that still blocks then is left to its thread, which destroys it when it comes back;
// batches that it has not got are dropped. A host that unloads the sink's code must not let that
// happen.
//
// The thread runs no signal handlers of the host. It does not follow a fork: a child process makes
// a sink of its own, and leaves its parent's alone.
//
// Threads: all members from any thread. The sink is called by one thread only, ours.
// Cost:    Write() copies the batch and takes a lock twice for a few instructions; it never waits
//          for the sink.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "seer/core/config.h"
#include "seer/core/span.h"
#include "seer/trace/sink.h"

SEER_BEGIN_NAMESPACE

class GuardedSink final : public TraceSink {
 public:
  struct Options {
    // Queued, with the batch that the sink is busy with. A batch counts as one more than it has.
    std::size_t max_spans = std::size_t{1} << 16;
    int max_attempts = 5;  // to write one batch
    std::chrono::nanoseconds retry_delay = std::chrono::milliseconds(100);
    std::chrono::nanoseconds shutdown_timeout = std::chrono::seconds(2);
  };

  // InvalidArgument for a null sink or options that are not positive (the two times may be zero);
  // ResourceExhausted if there can be no further thread.
  static absl::StatusOr<std::unique_ptr<GuardedSink>> Create(std::shared_ptr<TraceSink> sink,
                                                             const Options& options);
  static absl::StatusOr<std::unique_ptr<GuardedSink>> Create(std::shared_ptr<TraceSink> sink) {
    return Create(std::move(sink), Options());
  }
  ~GuardedSink() override;

  // ResourceExhausted when the queue is full.
  absl::Status Write(const SpanBatch& batch) override;
  // Also flushes the sink, and returns its error.
  absl::Status Flush(std::chrono::nanoseconds timeout) override;
  SinkCounts counts() const override;

  // Why the sink failed last; OK if it never did.
  absl::Status last_error() const;

 private:
  struct State;
  GuardedSink(std::shared_ptr<State> state, std::thread thread);
  static void Run(const std::shared_ptr<State>& state);

  const std::shared_ptr<State> state_;  // shared with the thread, which may outlive us
  std::thread thread_;
};

SEER_END_NAMESPACE
