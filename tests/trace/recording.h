// Recorders, their rings, and sinks that count, for the tests of recorder.h and drainer.h.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "seer/core/internal/shared_word.h"
#include "seer/trace/drainer.h"
#include "seer/trace/recorder.h"
#include "seer/trace/sink.h"

namespace seer::testing {

inline std::unique_ptr<SpanRecorder> MakeRecorder(
    std::uint32_t records, std::uint32_t threads = 16,
    RecorderOptions::WhenFull when_full = RecorderOptions::WhenFull::kDropNewest) {
  RecorderOptions options;
  options.instance = "test-1";
  options.records_per_thread = records;
  options.max_threads = threads;
  options.when_full = when_full;
  auto recorder = SpanRecorder::Create(options);
  EXPECT_TRUE(recorder.ok()) << recorder.status();
  return recorder.ok() ? *std::move(recorder) : nullptr;
}

inline std::unique_ptr<SpanDrainer> MakeDrainer(const SpanRecorder& recorder,
                                                std::shared_ptr<TraceSink> sink,
                                                const DrainerOptions& options = {}) {
  auto drainer = SpanDrainer::Create(recorder, std::move(sink), options);
  EXPECT_TRUE(drainer.ok()) << drainer.status();
  return drainer.ok() ? *std::move(drainer) : nullptr;
}

// Ring `number` of a recorder; 1 is that of the first thread.
inline seer_ring* RingOf(const SpanRecorder& recorder, std::uint32_t number) {
  char* const base = const_cast<char*>(recorder.segment().data());
  const auto* const h = reinterpret_cast<const seer_spans_header*>(base + 384);
  return reinterpret_cast<seer_ring*>(base + h->rings_offset + number * h->ring_stride);
}

inline const seer_spans_header& LayoutOf(const SpanRecorder& recorder) {
  return *reinterpret_cast<const seer_spans_header*>(recorder.segment().data() + 384);
}

// A span whose words all follow from two numbers, so that a torn one shows.
inline std::uint64_t Mix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}
inline RawSpan CheckedSpan(std::uint64_t thread, std::uint64_t number, std::uint64_t stamp) {
  RawSpan span;
  span.span_id = thread << 40 | number;
  span.parent_id = Mix(span.span_id);
  span.trace_id = {Mix(span.parent_id), Mix(~span.span_id) | 1};
  // The distance is told by the ids, too: less than 2^20 stamps.
  span.Set(0, stamp);
  span.Set(4, stamp + (span.parent_id & 0xfffff));
  span.outcome = Outcome::kOk;
  return span;
}
inline bool IsWhole(const Span& span) {
  return span.parent_id() == Mix(span.span_id()) &&
         span.trace_id() == TraceId{Mix(span.parent_id()), Mix(~span.span_id()) | 1} &&
         span.outcome() == Outcome::kOk && span.side() == SpanSide::kServer &&
         span.stamp(0).has_value() && span.stamp(4).has_value() && !span.stamp(1).has_value();
}

// Counts the spans of CheckedSpan() by thread, and looks whether they come whole and in order.
class CheckingSink final : public TraceSink {
 public:
  struct Thread {
    std::uint64_t spans = 0;
    std::uint64_t next = 0;  // a number that is lower came before
  };

  absl::Status Write(const SpanBatch& batch) override {
    if (refuse_every_ != 0 && ++offers_ % refuse_every_ == 0) {
      return absl::UnavailableError("not now");
    }
    if (batch.sequence != batches_++) ++wrong_;
    dropped_ += batch.dropped;
    for (const Span& span : batch.spans) {
      Thread& thread = threads_[span.span_id() >> 40];
      const std::uint64_t number = span.span_id() & ((std::uint64_t{1} << 40) - 1);
      if (!IsWhole(span) || number < thread.next) ++wrong_;
      thread.next = number + 1;
      ++thread.spans;
      ++spans_;
    }
    return absl::OkStatus();
  }
  absl::Status Flush(std::chrono::nanoseconds) override { return absl::OkStatus(); }

  void RefuseEvery(std::uint64_t n) { refuse_every_ = n; }
  std::uint64_t spans() const { return spans_; }
  std::uint64_t dropped() const { return dropped_; }
  std::uint64_t wrong() const { return wrong_; }
  const std::unordered_map<std::uint64_t, Thread>& threads() const { return threads_; }

 private:
  std::uint64_t refuse_every_ = 0, offers_ = 0;
  std::uint64_t batches_ = 0, spans_ = 0, dropped_ = 0, wrong_ = 0;
  std::unordered_map<std::uint64_t, Thread> threads_;
};

inline std::vector<Span> AllSpans(MemorySink& sink) {
  std::vector<Span> spans;
  for (const SpanBatch& batch : sink.Take()) {
    spans.insert(spans.end(), batch.spans.begin(), batch.spans.end());
  }
  return spans;
}

// Resident memory of this process, without what its files share.
inline std::size_t ResidentBytes() {
  std::FILE* const file = std::fopen("/proc/self/statm", "r");
  unsigned long size = 0, resident = 0;
  const int fields = file == nullptr ? 0 : std::fscanf(file, "%lu %lu", &size, &resident);
  if (file != nullptr) std::fclose(file);
  EXPECT_EQ(fields, 2);
  return resident * 4096;
}

}  // namespace seer::testing
