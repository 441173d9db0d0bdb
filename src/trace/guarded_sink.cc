#include "seer/trace/guarded_sink.h"

#include <pthread.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers): pthread_sigmask is not in <csignal>

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <system_error>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "seer/core/internal/mutex.h"

SEER_BEGIN_NAMESPACE

namespace {

using Steady = std::chrono::steady_clock;

// So far ahead that it is never, and the sum does not overflow.
constexpr std::chrono::nanoseconds kLongest = std::chrono::hours(24 * 365);

Steady::time_point DeadlineIn(std::chrono::nanoseconds timeout) {
  return Steady::now() + std::clamp(timeout, std::chrono::nanoseconds(0), kLongest);
}

// What std::condition_variable_any wants of a mutex. The analysis cannot see that a wait returns
// with the mutex held, as before.
class Waitable {
 public:
  explicit Waitable(internal::Mutex* mutex) : mutex_(mutex) {}
  void lock() ABSL_NO_THREAD_SAFETY_ANALYSIS { mutex_->Lock(); }
  void unlock() ABSL_NO_THREAD_SAFETY_ANALYSIS { mutex_->Unlock(); }

 private:
  internal::Mutex* const mutex_;
};

template <typename Call>
absl::Status WithoutExceptions(const char* what, const Call& call) {
  try {
    return call();
  } catch (const std::exception& e) {
    return absl::UnknownError(absl::StrCat("the sink's ", what, " threw: ", e.what()));
  } catch (...) {
    return absl::UnknownError(absl::StrCat("the sink's ", what, " threw no std::exception"));
  }
}

bool MayBeOfferedAgain(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsResourceExhausted(status);
}

}  // namespace

struct GuardedSink::State {
  State(std::shared_ptr<TraceSink> s, const Options& o) : options(o), sink(std::move(s)) {}

  // Offers a batch until it is taken; otherwise why not.
  absl::Status Deliver(const SpanBatch& batch) ABSL_LOCKS_EXCLUDED(mutex);
  void WriteNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  void FlushSink() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  absl::Status FlushUntil(Steady::time_point deadline) ABSL_LOCKS_EXCLUDED(mutex);

  const Options options;
  std::shared_ptr<TraceSink> sink;  // the thread's alone

  mutable internal::Mutex mutex;
  std::condition_variable_any work;      // the thread waits: for a batch, a flush, the end
  std::condition_variable_any progress;  // others wait: for the thread to get on

  std::deque<SpanBatch> queue ABSL_GUARDED_BY(mutex);
  std::size_t held ABSL_GUARDED_BY(mutex) = 0;  // queued, being copied, being written
  std::uint64_t batches_taken ABSL_GUARDED_BY(mutex) = 0;
  std::uint64_t batches_done ABSL_GUARDED_BY(mutex) = 0;  // written or dropped

  std::uint64_t flushes_wanted ABSL_GUARDED_BY(mutex) = 0;
  std::uint64_t flushes_done ABSL_GUARDED_BY(mutex) = 0;
  std::uint64_t flush_after_batch ABSL_GUARDED_BY(mutex) = 0;  // of the latest one wanted
  Steady::time_point flush_deadline ABSL_GUARDED_BY(mutex);    // the latest of them
  absl::Status flush_status ABSL_GUARDED_BY(mutex);

  bool stopping ABSL_GUARDED_BY(mutex) = false;   // end when there is nothing left to do
  bool abandoned ABSL_GUARDED_BY(mutex) = false;  // end at once: nobody waits any more
  bool stopped ABSL_GUARDED_BY(mutex) = false;
  SinkCounts counts ABSL_GUARDED_BY(mutex);
  absl::Status last_error ABSL_GUARDED_BY(mutex);
};

absl::Status GuardedSink::State::Deliver(const SpanBatch& batch) {
  for (int attempt = 1;; ++attempt) {  // bounded by max_attempts
    absl::Status status = WithoutExceptions("Write()", [&] { return sink->Write(batch); });
    if (status.ok()) return status;
    internal::MutexLock lock(&mutex);
    ++counts.errors;
    last_error = status;
    if (attempt >= options.max_attempts || !MayBeOfferedAgain(status)) return status;
    Waitable waitable(&mutex);
    const Steady::time_point again = DeadlineIn(options.retry_delay);
    while (!abandoned && work.wait_until(waitable, again) != std::cv_status::timeout) {
    }
    if (abandoned) return status;
  }
}

void GuardedSink::State::WriteNext() {
  const SpanBatch batch = std::move(queue.front());
  queue.pop_front();
  mutex.Unlock();
  const bool written = Deliver(batch).ok();
  mutex.Lock();
  if (written) {
    ++counts.batches;
    counts.spans += batch.spans.size();
  } else {
    counts.dropped_spans += batch.spans.size();
  }
  held -= batch.spans.size() + 1;
  ++batches_done;
}

void GuardedSink::State::FlushSink() {
  const std::uint64_t number = flushes_wanted;
  const auto left = std::chrono::duration_cast<std::chrono::nanoseconds>(
      std::max(flush_deadline - Steady::now(), Steady::duration(0)));
  mutex.Unlock();
  absl::Status status = WithoutExceptions("Flush()", [&] { return sink->Flush(left); });
  mutex.Lock();
  if (!status.ok()) {
    ++counts.errors;
    last_error = status;
  }
  flush_status = std::move(status);
  flushes_done = number;
}

absl::Status GuardedSink::State::FlushUntil(Steady::time_point deadline) {
  internal::MutexLock lock(&mutex);
  const std::uint64_t number = ++flushes_wanted;
  flush_after_batch = batches_taken;
  flush_deadline = std::max(flush_deadline, deadline);
  work.notify_one();
  Waitable waitable(&mutex);
  while (flushes_done < number) {
    if (progress.wait_until(waitable, deadline) == std::cv_status::timeout &&
        flushes_done < number) {
      return absl::DeadlineExceededError(absl::StrCat(
          "GuardedSink: the sink is ", batches_taken - batches_done, " batches behind"));
    }
  }
  return flush_status;
}

void GuardedSink::Run(const std::shared_ptr<State>& shared) {
  State& state = *shared;
  Waitable waitable(&state.mutex);
  internal::MutexLock lock(&state.mutex);
  while (!state.abandoned) {
    const bool flush = state.flushes_done < state.flushes_wanted;
    if (flush && state.batches_done >= state.flush_after_batch) {
      state.FlushSink();
    } else if (!state.queue.empty()) {
      state.WriteNext();
    } else if (state.stopping) {
      break;
    } else {
      state.work.wait(waitable);
      continue;
    }
    state.progress.notify_all();
  }
  for (const SpanBatch& batch : state.queue) state.counts.dropped_spans += batch.spans.size();
  state.queue.clear();
  // Here, not in our destructor: the sink's own may block too.
  std::shared_ptr<TraceSink> sink = std::move(state.sink);
  state.mutex.Unlock();
  sink.reset();
  state.mutex.Lock();
  state.stopped = true;
  state.progress.notify_all();
}

absl::StatusOr<std::unique_ptr<GuardedSink>> GuardedSink::Create(std::shared_ptr<TraceSink> sink,
                                                                 const Options& options) {
  if (sink == nullptr) return absl::InvalidArgumentError("GuardedSink: the sink is null");
  const auto refuse = [](const char* field, const auto& value, const char* rule) {
    return absl::InvalidArgumentError(
        absl::StrCat("GuardedSink::Options.", field, " is ", value, ", but must be ", rule));
  };
  if (options.max_spans < 1) return refuse("max_spans", options.max_spans, "at least 1");
  if (options.max_attempts < 1) return refuse("max_attempts", options.max_attempts, "at least 1");
  if (options.retry_delay.count() < 0) {
    return refuse("retry_delay", options.retry_delay.count(), "at least 0 ns");
  }
  if (options.shutdown_timeout.count() < 0) {
    return refuse("shutdown_timeout", options.shutdown_timeout.count(), "at least 0 ns");
  }

  auto state = std::make_shared<State>(std::move(sink), options);
  // A new thread inherits the mask: the host's signals stay with the host's threads.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread thread;
  absl::Status started;
  try {
    thread = std::thread([state] { Run(state); });
    pthread_setname_np(thread.native_handle(), "seer-sink");
  } catch (const std::system_error& e) {
    started =
        absl::ResourceExhaustedError(absl::StrCat("GuardedSink: no thread to be had: ", e.what()));
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (!started.ok()) return started;
  return std::unique_ptr<GuardedSink>(new GuardedSink(std::move(state), std::move(thread)));
}

GuardedSink::GuardedSink(std::shared_ptr<State> state, std::thread thread)
    : state_(std::move(state)), thread_(std::move(thread)) {}

GuardedSink::~GuardedSink() {
  const Steady::time_point deadline = DeadlineIn(state_->options.shutdown_timeout);
  state_->FlushUntil(deadline).IgnoreError();  // last_error() cannot be asked any more
  bool stopped = false;
  {
    internal::MutexLock lock(&state_->mutex);
    state_->stopping = true;
    state_->work.notify_one();
    Waitable waitable(&state_->mutex);
    while (!state_->stopped &&
           state_->progress.wait_until(waitable, deadline) != std::cv_status::timeout) {
    }
    stopped = state_->stopped;
    state_->abandoned = true;
    state_->work.notify_one();
  }
  if (stopped) {
    thread_.join();
  } else {
    thread_.detach();
  }
}

absl::Status GuardedSink::Write(const SpanBatch& batch) {
  State& state = *state_;
  const std::size_t size = batch.spans.size() + 1;
  {
    internal::MutexLock lock(&state.mutex);
    if (size > state.options.max_spans - state.held) {
      state.counts.refused_spans += batch.spans.size();
      return absl::ResourceExhaustedError(
          absl::StrCat("GuardedSink: ", state.held, " of at most ", state.options.max_spans,
                       " spans are waiting for the sink: it is too slow, or stuck"));
    }
    state.held += size;
  }
  try {
    SpanBatch copy = batch;  // outside the lock
    internal::MutexLock lock(&state.mutex);
    state.queue.push_back(std::move(copy));
    ++state.batches_taken;
    state.work.notify_one();
    return absl::OkStatus();
  } catch (const std::bad_alloc&) {
    internal::MutexLock lock(&state.mutex);
    state.held -= size;
    state.counts.refused_spans += batch.spans.size();
    return absl::ResourceExhaustedError("GuardedSink: no memory for the batch");
  }
}

absl::Status GuardedSink::Flush(std::chrono::nanoseconds timeout) {
  return state_->FlushUntil(DeadlineIn(timeout));
}

SinkCounts GuardedSink::counts() const {
  internal::MutexLock lock(&state_->mutex);
  return state_->counts;
}

absl::Status GuardedSink::last_error() const {
  internal::MutexLock lock(&state_->mutex);
  return state_->last_error;
}

SEER_END_NAMESPACE
