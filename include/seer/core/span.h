// Flow: RPC -> Span: one RPC as one side saw it
//
// A span is 64 bytes and says who called what, when, and how it ended. Stamps are taken where a
// request passes from one queue to the next, so that waiting and working are told apart:
//
//   server:  kReceived -> kDequeued -> kHandlerStart -> kHandlerEnd -> kReplySent
//   client:  kCallStart -> kRequestSent -> kFirstByte -> kCallEnd
//
//   seer::Span span;
//   span.SetIds(trace_id, span_id, parent_id);
//   span.set_method(method);
//   span.SetStamps(seer::SpanSide::kServer, stamps);      // unix ns, any of them may be unknown
//   if (auto received = span.stamp(seer::ServerStamp::kReceived)) ...
//
// Layout (little-endian, the same in memory and on the wire):
//   0  trace id, high and low   2 x u64
//   16 span id, parent id       2 x u64   0 = none
//   32 first known stamp        i64       unix ns
//   40 the later stamps         4 x u32   distance from the first known one, in units of 2^shift ns
//   56 bits                     u64       0-23 method, 24-47 edge (all ones = none), 48 side,
//                                         49-51 outcome, 52-55 shift, 56-60 known stamps
// The shift is 0, and stamps exact, for spans of up to 4.29 s; it grows for longer ones, and an
// hour is still told to the microsecond.
//
// Threads: a plain value. Cost: 64 bytes; SetStamps() 14 ns (benchmarks/RESULTS.md).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <vector>

#include "seer/core/config.h"
#include "seer/core/ids.h"
#include "seer/core/origin.h"

SEER_BEGIN_NAMESPACE

// As in W3C Trace Context: 128 bits, never 0 in a valid span.
struct TraceId {
  std::uint64_t high = 0;
  std::uint64_t low = 0;
  bool valid() const { return (high | low) != 0; }
  friend bool operator==(TraceId a, TraceId b) { return a.high == b.high && a.low == b.low; }
  friend bool operator!=(TraceId a, TraceId b) { return !(a == b); }
};

enum class SpanSide : std::uint8_t { kServer, kClient };

enum class Outcome : std::uint8_t {
  kUnknown,      // not finished when it was recorded
  kOk,           // also where the reply was an exception that the interface declares
  kFailed,       // the handler threw, or the reply was an error
  kTimedOut,     // the caller gave up waiting
  kTransport,    // the connection broke
  kUndecodable,  // the request or the reply could not be read
  kRejected,     // turned away unhandled: expired in the queue, over a limit, unknown method
};

enum class ServerStamp : std::uint8_t {
  kReceived,      // the request reached this machine's socket (where the kernel says so)
  kDequeued,      // a worker took it from the task queue
  kHandlerStart,  // decoded; the application's own time begins
  kHandlerEnd,    // the handler returned
  kReplySent,     // the reply was given to the transport
};

enum class ClientStamp : std::uint8_t {
  kCallStart,    // the application called
  kRequestSent,  // the request was given to the transport
  kFirstByte,    // the reply began to arrive
  kCallEnd,      // the application has the result
};

class Span {
 public:
  static constexpr std::size_t kStamps = 5;
  // Unix ns by ServerStamp or ClientStamp.
  using Stamps = std::array<std::optional<std::int64_t>, kStamps>;

  void SetIds(TraceId trace_id, std::uint64_t span_id, std::uint64_t parent_id) {
    trace_id_ = trace_id;
    span_id_ = span_id;
    parent_id_ = parent_id;
  }
  // Method and edge ids up to 2^24 - 2; larger ones become none (a Topology gives none so large).
  void set_method(MethodId method) { SetField(kMethodBit, kIdBits, Narrow(method.value())); }
  void set_edge(EdgeId edge) { SetField(kEdgeBit, kIdBits, Narrow(edge.value())); }
  void set_outcome(Outcome outcome) {
    SetField(kOutcomeBit, 3, static_cast<std::uint64_t>(outcome));
  }
  // Stamps that decrease (a clock that stepped in between) are raised to the one before: no
  // duration inside a span is ever negative. Spans of more than 39 hours end there.
  void SetStamps(SpanSide side, const Stamps& unix_ns);

  TraceId trace_id() const { return trace_id_; }
  std::uint64_t span_id() const { return span_id_; }
  std::uint64_t parent_id() const { return parent_id_; }
  MethodId method() const { return MethodId(Widen(Field(kMethodBit, kIdBits))); }
  EdgeId edge() const { return EdgeId(Widen(Field(kEdgeBit, kIdBits))); }
  SpanSide side() const { return static_cast<SpanSide>(Field(kSideBit, 1)); }
  // An outcome that only a newer version of seer knows reads as kUnknown.
  Outcome outcome() const {
    const std::uint64_t outcome = Field(kOutcomeBit, 3);
    return outcome <= static_cast<std::uint64_t>(Outcome::kRejected) ? static_cast<Outcome>(outcome)
                                                                     : Outcome::kUnknown;
  }

  std::optional<std::int64_t> stamp(std::size_t i) const {
    if (i >= kStamps || (Field(kKnownBit, kStamps) >> i & 1) == 0) return std::nullopt;
    if (i == 0) return first_ns_;
    const std::uint64_t since_first = std::uint64_t{later_[i - 1]} << Field(kShiftBit, 4);
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(first_ns_) + since_first);
  }
  std::optional<std::int64_t> stamp(ServerStamp s) const {
    return stamp(static_cast<std::size_t>(s));
  }
  std::optional<std::int64_t> stamp(ClientStamp s) const {
    return stamp(static_cast<std::size_t>(s));
  }

  // From the first known stamp to the last.
  std::int64_t start_ns() const { return first_ns_; }
  std::int64_t duration_ns() const;

  // SetStamps() leaves them so; bytes from elsewhere have to be asked.
  bool StampsAreOrdered() const;

  friend bool operator==(const Span& a, const Span& b) {
    return std::memcmp(&a, &b, sizeof(Span)) == 0;  // no padding, see the assertion below
  }
  friend bool operator!=(const Span& a, const Span& b) { return !(a == b); }

 private:
  static constexpr int kMethodBit = 0, kEdgeBit = 24, kIdBits = 24;
  static constexpr int kSideBit = 48, kOutcomeBit = 49, kShiftBit = 52, kKnownBit = 56;
  static constexpr std::uint64_t kNoId = (std::uint64_t{1} << kIdBits) - 1;

  static std::uint64_t Narrow(std::uint32_t id) { return id < kNoId ? id : kNoId; }
  static std::uint32_t Widen(std::uint64_t field) {
    return field == kNoId ? Id<void>::kNone : static_cast<std::uint32_t>(field);
  }
  std::uint64_t Field(int bit, int width) const {
    return bits_ >> bit & ((std::uint64_t{1} << width) - 1);
  }
  void SetField(int bit, int width, std::uint64_t value) {
    const std::uint64_t mask = ((std::uint64_t{1} << width) - 1) << bit;
    bits_ = (bits_ & ~mask) | (value << bit & mask);
  }

  TraceId trace_id_;
  std::uint64_t span_id_ = 0;
  std::uint64_t parent_id_ = 0;
  std::int64_t first_ns_ = 0;
  std::array<std::uint32_t, kStamps - 1> later_ = {};
  std::uint64_t bits_ = kNoId << kMethodBit | kNoId << kEdgeBit;
};

static_assert(sizeof(Span) == 64, "Span is part of the wire format and of shared memory");

// Spans of one instance, in the order in which they ended up in its rings.
struct SpanBatch {
  Origin origin;               // whose ids the spans use
  InstanceId instance;         // who recorded them
  std::uint64_t sequence = 0;  // one more with each batch of this instance and epoch: gaps show
  std::uint64_t dropped = 0;   // spans lost since the batch before, because a ring was full
  std::vector<Span> spans;

  friend bool operator==(const SpanBatch& a, const SpanBatch& b) {
    return a.origin == b.origin && a.instance == b.instance && a.sequence == b.sequence &&
           a.dropped == b.dropped && a.spans == b.spans;
  }
  friend bool operator!=(const SpanBatch& a, const SpanBatch& b) { return !(a == b); }
};

SEER_END_NAMESPACE
