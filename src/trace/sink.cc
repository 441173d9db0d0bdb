#include "seer/trace/sink.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

SEER_BEGIN_NAMESPACE

absl::Status MemorySink::Write(const SpanBatch& batch) {
  const std::size_t size = batch.spans.size() + 1;
  SpanBatch copy = batch;  // outside the lock
  internal::MutexLock lock(&mutex_);
  if (size > max_spans_ - held_) {
    counts_.refused_spans += batch.spans.size();
    return absl::ResourceExhaustedError(
        absl::StrCat("MemorySink: max_spans is ", max_spans_, ", of which ", held_,
                     " are held; Take() them, or raise it to hold a batch of ", size));
  }
  batches_.push_back(std::move(copy));
  held_ += size;
  ++counts_.batches;
  counts_.spans += batch.spans.size();
  return absl::OkStatus();
}

absl::Status MemorySink::Flush(std::chrono::nanoseconds /*timeout*/) { return absl::OkStatus(); }

SinkCounts MemorySink::counts() const {
  internal::MutexLock lock(&mutex_);
  return counts_;
}

std::vector<SpanBatch> MemorySink::Take() {
  std::vector<SpanBatch> taken;
  internal::MutexLock lock(&mutex_);
  taken.swap(batches_);
  held_ = 0;
  return taken;
}

namespace {

std::vector<std::shared_ptr<TraceSink>> WithoutNull(std::vector<std::shared_ptr<TraceSink>> sinks) {
  sinks.erase(std::remove(sinks.begin(), sinks.end(), nullptr), sinks.end());
  return sinks;
}

}  // namespace

TeeSink::TeeSink(std::vector<std::shared_ptr<TraceSink>> sinks)
    : sinks_(WithoutNull(std::move(sinks))) {}

absl::Status TeeSink::Write(const SpanBatch& batch) {
  absl::Status first_error;
  bool taken = sinks_.empty();
  for (const std::shared_ptr<TraceSink>& sink : sinks_) {
    absl::Status status = sink->Write(batch);
    if (status.ok()) {
      taken = true;
    } else if (first_error.ok()) {
      first_error = std::move(status);
    }
  }
  return taken ? absl::OkStatus() : first_error;
}

absl::Status TeeSink::Flush(std::chrono::nanoseconds timeout) {
  using Steady = std::chrono::steady_clock;
  const Steady::time_point start = Steady::now();
  absl::Status first_error;
  for (const std::shared_ptr<TraceSink>& sink : sinks_) {
    const std::chrono::nanoseconds passed = Steady::now() - start;
    absl::Status status = sink->Flush(std::max(timeout - passed, std::chrono::nanoseconds(0)));
    if (first_error.ok()) first_error = std::move(status);
  }
  return first_error;
}

SEER_END_NAMESPACE
