// Flow: RPC -> [SpanRecorder: a ring per thread] -> SpanDrainer
//
// Records every RPC of this process, for little more than reading the clock: a span is 64 bytes in
// a ring that belongs to its thread, and leaves it later, when somebody drains (drainer.h).
//
//   seer::SpanRecorder& recorder = seer::SpanRecorder::Global();
//   const auto get_cart = *recorder.AddServed("cart", "GetCart");               // once; keep it
//   const auto find_user = *recorder.AddCalled("cart", "user", "FindUser");
//
//   seer::ServerSpan span(get_cart, caller);                       // kReceived; new ids
//   span.Dequeued();                                               // in the worker's thread
//   seer::ContextScope scope(span.ContextUnder(caller));
//   span.HandlerStart();
//   {
//     seer::ClientSpan call(find_user, seer::CurrentContext());    // kCallStart
//     seer::Inject(call.ContextUnder(seer::CurrentContext()), &headers);
//     call.RequestSent();
//     call.End(seer::Outcome::kOk);                                // kCallEnd
//   }
//   span.HandlerEnd();
//   span.End(seer::Outcome::kOk);                                  // kReplySent; recorded
//
// A span that is destroyed without End() is recorded as failed: the handler threw. Recorded() puts
// an event with what is known so far into the ring, outcome kUnknown, so that a reader also knows
// of requests that do not finish; the span itself follows with the same ids. A host that takes its
// own stamps fills in a RawSpan and calls ServedMethod::Record().
//
// When a ring is full the newest spans are dropped and counted, or (kKeepLatest, a flight recorder)
// the oldest are overwritten: the last seconds before a violation are what one wants to see.
// Nothing ever waits. A thread that exits leaves its ring with what is in it, and the next thread
// goes on behind it. A thread that finds no ring, because max_threads have one, drops and counts.
//
// After fork() the child starts with empty rings and the same methods. Where the recorder is gone
// or could not be made, methods record nowhere.
//
// Threads: methods are plain values, used from any thread. A span belongs to one thread at a time
//          and may be moved to another with its request. None of it from signal handlers. Adding
//          methods takes a lock.
// Cost:    the clock: with four stamps (one of them fenced) 60 instructions, half the time of four
//          clock_gettime and a store; where the host gives its own stamps, 2 ns. New ids 2 ns each
//          (benchmarks/trace). No lock or allocation after a thread's first span, and no system
//          call. Memory: 64 bytes a record, records_per_thread of them for each of the threads that
//          record at the same time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "seer/core/config.h"
#include "seer/core/span.h"
#include "seer/queue/thread_parts.h"
#include "seer/trace/context.h"
#include "seer/trace/internal/ring.h"

SEER_BEGIN_NAMESPACE

// A method that this process serves. The default one records nowhere.
class ServedMethod {
 public:
  ServedMethod() = default;

  // Raw, for RawSpan. Fenced where it follows a hand-over from another thread.
  std::uint64_t Stamp() const noexcept { return internal::Stamp(source_); }
  std::uint64_t FencedStamp() const noexcept { return internal::FencedStamp(source_); }
  void Record(const RawSpan& span) const noexcept { internal::Record(source_, span); }

  explicit operator bool() const { return source_.valid(); }

 private:
  friend class SpanRecorder;
  friend class ServerSpan;
  explicit ServedMethod(const internal::SpanSource& source) : source_(source) {}
  internal::SpanSource source_;
};

// A method that a service of this process calls of another.
class CalledMethod {
 public:
  CalledMethod() = default;

  std::uint64_t Stamp() const noexcept { return internal::Stamp(source_); }
  std::uint64_t FencedStamp() const noexcept { return internal::FencedStamp(source_); }
  void Record(const RawSpan& span) const noexcept { internal::Record(source_, span); }

  explicit operator bool() const { return source_.valid(); }

 private:
  friend class SpanRecorder;
  friend class ClientSpan;
  explicit CalledMethod(const internal::SpanSource& source) : source_(source) {}
  internal::SpanSource source_;
};

// The span_id and parent_id for hosts that have made them already.
struct SpanIds {
  TraceId trace_id;
  std::uint64_t span_id = 0;
  std::uint64_t parent_id = 0;

  // A child of `parent`; a new trace where that is not valid.
  static SpanIds Under(const TraceContext& parent) noexcept {
    if (!parent.valid()) return {NewTraceId(), NewSpanId(), 0};
    return {parent.trace_id, NewSpanId(), parent.span_id};
  }
};

namespace internal {

// What server and client spans have in common. Inlined throughout, so that a span whose steps all
// stand in one function lives in registers.
class OpenSpan {
 public:
  SEER_INTERNAL_ALWAYS_INLINE OpenSpan(const SpanSource& source, const SpanIds& ids) noexcept
      : source_{source.entry, source.offset, source.mask, source.bits} {
    raw_.trace_id = ids.trace_id;
    raw_.span_id = ids.span_id;
    raw_.parent_id = ids.parent_id;
  }
  SEER_INTERNAL_ALWAYS_INLINE ~OpenSpan() { End(Outcome::kFailed); }
  OpenSpan(OpenSpan&& other) noexcept
      : source_(other.source_), raw_(other.raw_), open_(std::exchange(other.open_, false)) {}
  OpenSpan& operator=(OpenSpan&&) = delete;

  TraceId trace_id() const noexcept { return raw_.trace_id; }
  std::uint64_t span_id() const noexcept { return raw_.span_id; }

  // The context of what is done within this span; flags and tracestate are those of `parent`.
  TraceContext ContextUnder(const TraceContext& parent) const noexcept {
    TraceContext context;
    context.trace_id = raw_.trace_id;
    context.span_id = raw_.span_id;
    if (parent.trace_id == raw_.trace_id) {
      context.flags = parent.flags;
      context.tracestate = parent.tracestate;
    } else {
      context.flags = TraceContext::kSampled | TraceContext::kRandomId;
    }
    return context;
  }

  // An event: the span up to now, not finished.
  void Recorded() const noexcept {
    if (open_) Record(source_, raw_);
  }

 protected:
  SEER_INTERNAL_ALWAYS_INLINE void Now(std::size_t i) noexcept { raw_.Set(i, Stamp(source_)); }
  SEER_INTERNAL_ALWAYS_INLINE void FencedNow(std::size_t i) noexcept {
    raw_.Set(i, FencedStamp(source_));
  }
  SEER_INTERNAL_ALWAYS_INLINE void Given(std::size_t i, std::uint64_t stamp) noexcept {
    raw_.Set(i, stamp);
  }
  SEER_INTERNAL_ALWAYS_INLINE void End(Outcome outcome) noexcept {
    if (!std::exchange(open_, false)) return;
    raw_.outcome = outcome;
    Record(source_, raw_);
  }
  bool open() const noexcept { return open_; }

 private:
  SpanSource source_;
  RawSpan raw_;
  bool open_ = true;
};

}  // namespace internal

// A request that is being served. Moved from, it records nothing.
class [[nodiscard]] ServerSpan : public internal::OpenSpan {
 public:
  SEER_INTERNAL_ALWAYS_INLINE ~ServerSpan() = default;
  ServerSpan(ServerSpan&&) noexcept = default;

  // Received now, from `caller` (Extract() gives it; not valid: a trace begins here).
  SEER_INTERNAL_ALWAYS_INLINE ServerSpan(const ServedMethod& method,
                                         const TraceContext& caller) noexcept
      : ServerSpan(method, SpanIds::Under(caller)) {}
  SEER_INTERNAL_ALWAYS_INLINE ServerSpan(const ServedMethod& method, const SpanIds& ids) noexcept
      : OpenSpan(method.source_, ids) {
    Now(static_cast<std::size_t>(ServerStamp::kReceived));
  }
  // Received when the host says so.
  SEER_INTERNAL_ALWAYS_INLINE ServerSpan(const ServedMethod& method, const SpanIds& ids,
                                         std::uint64_t received) noexcept
      : OpenSpan(method.source_, ids) {
    Given(static_cast<std::size_t>(ServerStamp::kReceived), received);
  }

  // A worker has taken it from the task queue: usually another thread, hence fenced.
  void Dequeued() noexcept { FencedNow(static_cast<std::size_t>(ServerStamp::kDequeued)); }
  void HandlerStart() noexcept { Now(static_cast<std::size_t>(ServerStamp::kHandlerStart)); }
  void HandlerEnd() noexcept { Now(static_cast<std::size_t>(ServerStamp::kHandlerEnd)); }
  // The reply has been given to the transport. Later calls do nothing.
  SEER_INTERNAL_ALWAYS_INLINE void End(Outcome outcome) noexcept {
    if (open()) Now(static_cast<std::size_t>(ServerStamp::kReplySent));
    OpenSpan::End(outcome);
  }
};

// A call that is waiting for its reply. Moved from, it records nothing.
class [[nodiscard]] ClientSpan : public internal::OpenSpan {
 public:
  SEER_INTERNAL_ALWAYS_INLINE ~ClientSpan() = default;
  ClientSpan(ClientSpan&&) noexcept = default;

  // Called now, within `parent`.
  SEER_INTERNAL_ALWAYS_INLINE ClientSpan(const CalledMethod& method,
                                         const TraceContext& parent) noexcept
      : ClientSpan(method, SpanIds::Under(parent)) {}
  SEER_INTERNAL_ALWAYS_INLINE ClientSpan(const CalledMethod& method, const SpanIds& ids) noexcept
      : OpenSpan(method.source_, ids) {
    Now(static_cast<std::size_t>(ClientStamp::kCallStart));
  }

  void RequestSent() noexcept { Now(static_cast<std::size_t>(ClientStamp::kRequestSent)); }
  // Where another thread reads the replies: in that thread, or after the hand-over.
  void FirstByte() noexcept { FencedNow(static_cast<std::size_t>(ClientStamp::kFirstByte)); }
  // The application has the result. Later calls do nothing.
  SEER_INTERNAL_ALWAYS_INLINE void End(Outcome outcome) noexcept {
    if (open()) Now(static_cast<std::size_t>(ClientStamp::kCallEnd));
    OpenSpan::End(outcome);
  }
};

struct RecorderOptions {
  enum class WhenFull { kDropNewest, kKeepLatest };

  // Where the segment's file goes (segment_layout.h), for others to look at. Empty: anonymous
  // memory. SpanDrainer drains both.
  std::string directory;
  // Of which replica of its services this process is: 1 to 255 bytes. Empty: the machine's or
  // container's host name.
  std::string instance;
  WhenFull when_full = WhenFull::kDropNewest;
  std::uint32_t records_per_thread = 4096;  // a power of two from 2 to 2^20
  std::uint32_t max_threads = 256;          // that record at the same time, 1 to 4096
  std::uint32_t max_methods = 1024;         // served and called, 1 to 65536
  std::uint32_t max_edges = 1024;           // from a caller to a service it calls, 1 to 65536
  std::uint32_t max_services = 256;         // its own and called ones, 1 to 65535
};

class SpanRecorder {
 public:
  // Most processes need Global() only; it shares its limits with those of QueueRegistry: together
  // 63 at a time, and 945 in the life of a process (ResourceExhausted). InvalidArgument names the
  // option. A directory that cannot be used is not an error: the memory is anonymous then, and
  // status() says why.
  static absl::StatusOr<std::unique_ptr<SpanRecorder>> Create(const RecorderOptions& options);

  // The one that the rest of seer uses in this process. Never destroyed; made on first use.
  static SpanRecorder& Global();
  // Before the first Global(): FailedPrecondition after it.
  [[nodiscard]] static absl::Status SetGlobalOptions(const RecorderOptions& options);

  // What has not been drained is lost. Methods stay valid and record nowhere from then on.
  ~SpanRecorder();
  SpanRecorder(const SpanRecorder&) = delete;
  SpanRecorder& operator=(const SpanRecorder&) = delete;

  // The same arguments give the same method again. Names: services 1 to 63 bytes, methods 1 to 124,
  // no NUL or other control characters. ResourceExhausted when a table is full (the message names
  // the option) or the directory has no room.
  absl::StatusOr<ServedMethod> AddServed(std::string_view service, std::string_view method);
  absl::StatusOr<CalledMethod> AddCalled(std::string_view caller, std::string_view callee,
                                         std::string_view method);

  // Ok where the segment is shared as asked; else why it is anonymous.
  absl::Status status() const;
  // The file's path; empty: anonymous memory, or a forked child that has not recorded yet.
  std::string path() const;
  // For a drainer, and tests: the segment's bytes. They stay mapped for ever, and are zeros once
  // the recorder is gone.
  absl::Span<const char> segment() const;

 private:
  struct Tables;
  SpanRecorder(ThreadParts parts, std::unique_ptr<Tables> tables);
  internal::SpanSource Source(std::uint32_t method, std::uint32_t edge, SpanSide side) const;

  ThreadParts parts_;
  std::unique_ptr<Tables> tables_;  // guarded by ThreadParts::Edit
};

SEER_END_NAMESPACE
