// Flow: (internal) a client's protocol, its transport -> [ClientCalls] -> edge, spans, headers
//
// The calls of one client connection that are open. What the generated code of a client does, and
// what is made of it:
//
//   writeMessageBegin               Begin()    ids, headers, kCallStart
//   the arguments
//   writeMessageEnd                 Written()  the call enters `outbound`, its caller is blocked
//   getTransport()->flush()         Sent()     kRequestSent; or Failed(), and it leaves again
//   readMessageBegin                Replying() kFirstByte; it leaves `outbound`
//   the result
//   readMessageEnd                  Replied()  kCallEnd, recorded
//
// A call is open between the hooks that cannot be left by an exception unseen: nothing tells when
// the arguments could not be written or the result could not be read. A span whose result broke off
// is recorded with the next reply, or when the connection is closed.
//
// A client's protocol cannot see flush(), and hooks in the transport would cost each field a
// virtual call. But generated code asks the protocol for its transport only to end and flush
// messages, while the protocol writes through a pointer of its own: so getTransport() gives
// CallTransport, which lies beside the way of the fields, not on it.
//
// Generated clients write from one thread at a time, and read from one at a time; these may be two
// (pipelining), or many that take turns (XConcurrentClient, whose calls have a seqid each).
// Invariants:
//  1. Only the writing side takes a free call, and only it hands one on as open. Whoever moves it
//     from open to closing (compare and set) has it for itself, ends it, and gives it back.
//  2. The first call has a place of its own, found without a lock. It is taken only when no other
//     is open, so it is the oldest. Further ones lie in a list, under a lock, and are never freed
//     while the client lives: flush() may return after the reply has been read.
//
// Threads: as above; Close() from any. Cost: one call at a time: no lock, no allocation.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <thrift/protocol/TProtocol.h>
#include <thrift/transport/TTransport.h>
#include <thrift/transport/TTransportException.h>
#include <thrift/transport/TVirtualTransport.h>

#include "absl/base/thread_annotations.h"
#include "seer/core/config.h"
#include "seer/core/internal/mutex.h"
#include "seer/core/span.h"
#include "seer/queue/registry.h"
#include "seer/thrift/internal/service_state.h"
#include "seer/trace/context.h"
#include "seer/trace/recorder.h"

SEER_BEGIN_NAMESPACE
namespace internal {

class ClientCalls {
 public:
  explicit ClientCalls(std::string_view callee) : callee_(callee) {}
  ~ClientCalls() { CloseAll(Outcome::kTransport); }
  ClientCalls(const ClientCalls&) = delete;
  ClientCalls& operator=(const ClientCalls&) = delete;

  static constexpr std::size_t kMaxOpen = 4096;  // further calls are not traced

  // ---- The writing side.

  // True: the call is traced, and context() is what to send with it.
  bool Begin(std::string_view message, apache::thrift::protocol::TMessageType type,
             std::int32_t seqid) {
    if (__builtin_expect(!ThriftTracingIsOn(), 0)) return false;
    const bool oneway = type == apache::thrift::protocol::T_ONEWAY;
    if (!oneway && type != apache::thrift::protocol::T_CALL) return false;
    if (__builtin_expect(writing_ != nullptr || sending_ != nullptr, 0)) Abandoned();
    ServiceState& caller = CallerHere();
    if (__builtin_expect(&caller != caller_, 0)) {
      edge_ = &caller.EdgeTo(callee_);
      caller_ = &caller;
    }
    const CalledMethod* const method = &edge_->Called(message);
    Call* const call = Free();
    if (call == nullptr) return false;
    call->method = method;
    call->edge = edge_;
    call->seqid.store(seqid, std::memory_order_relaxed);  // with [O]
    call->oneway = oneway;
    call->serial.store(++serial_, std::memory_order_relaxed);  // with [O]
    call->sent.store(0, std::memory_order_relaxed);            // ours alone until it is open
    const TraceContext& parent = CurrentContext();
    const SpanIds ids = SpanIds::Under(parent);
    RawSpan& raw = call->raw;
    raw.trace_id = ids.trace_id;
    raw.span_id = ids.span_id;
    raw.parent_id = ids.parent_id;
    raw.known = 0;
    raw.Set(kStart, method->Stamp());
    context_.trace_id = ids.trace_id;
    context_.span_id = ids.span_id;
    if (ids.parent_id != 0) {
      context_.flags = parent.flags;
      if (context_.tracestate != parent.tracestate) context_.tracestate = parent.tracestate;
    } else {
      context_.flags = TraceContext::kSampled | TraceContext::kRandomId;
      if (context_.tracestate) context_.tracestate.reset();
    }
    writing_ = call;
    return true;
  }
  // Of the call that was begun last.
  const TraceContext& context() const { return context_; }
  // For WriteContextField().
  std::string* text() { return &text_; }

  void Written() noexcept {
    Call* const call = std::exchange(writing_, nullptr);
    if (call == nullptr) return;
    // Entered before anybody can answer, and so before it can leave.
    call->edge->outbound().Enter();
    call->outbound = true;
    if (!call->oneway) call->blocked.Begin();
    call->thread = &handled_call;
    sending_ = call;
    call->state.store(State::kOpen, std::memory_order_release);  // [O]
  }

  void Sent() noexcept {
    Call* const call = std::exchange(sending_, nullptr);
    if (call == nullptr) return;
    const std::uint64_t now = call->method->Stamp();
    if (call->oneway) {
      if (!Claim(call)) return;
      call->sent.store(now, std::memory_order_relaxed);  // claimed: ours
      Finish(call, Outcome::kOk, now);
      return;
    }
    // Relaxed: the one who reads the reply may miss it, and then takes a stamp of its own. Not a
    // word of `raw`, which is the reader's by now.
    call->sent.store(now, std::memory_order_relaxed);
  }

  // flush() threw.
  void SendFailed(Outcome outcome) noexcept {
    Call* const call = std::exchange(sending_, nullptr);
    if (call != nullptr && Claim(call)) Finish(call, outcome, call->method->Stamp());
  }

  // ---- The reading side.

  void Replying(apache::thrift::protocol::TMessageType type, std::int32_t seqid) noexcept {
    if (reading_ != nullptr) EndReading(Outcome::kUndecodable);  // of the reply before
    Call* const call = Oldest(seqid);
    if (call == nullptr) return;  // tracing was off, or it has been given up
    call->raw.Set(kFirstByte, call->method->Stamp());
    call->LeaveOutbound();
    // Else in Replied(), which a client with many threads calls in the caller's.
    if (call->thread == &handled_call) call->blocked.End();
    outcome_ = type == apache::thrift::protocol::T_EXCEPTION ? Outcome::kFailed : Outcome::kOk;
    reading_ = call;
  }
  void Replied() noexcept {
    if (reading_ != nullptr) EndReading(outcome_);
  }

  // readMessageBegin threw: whatever is open will get no reply on this connection.
  void ReadFailed(Outcome outcome) noexcept {
    if (reading_ != nullptr) EndReading(Outcome::kUndecodable);
    Close(outcome);
  }

  // ---- Any side.

  // The connection is gone, or about to be made anew.
  void Close(Outcome outcome) noexcept {
    if (Claim(&first_)) Finish(&first_, outcome, first_.method->Stamp());
    if (more_open_.load(std::memory_order_acquire) == 0) return;  // as in Oldest()
    MutexLock lock(&mutex_);
    for (const auto& call : more_) {
      if (Claim(call.get())) Finish(call.get(), outcome, call->method->Stamp());
    }
  }

 private:
  enum class State : std::uint8_t { kFree, kWriting, kOpen, kClosing };
  static constexpr auto kStart = static_cast<std::size_t>(ClientStamp::kCallStart);
  static constexpr auto kSent = static_cast<std::size_t>(ClientStamp::kRequestSent);
  static constexpr auto kFirstByte = static_cast<std::size_t>(ClientStamp::kFirstByte);
  static constexpr auto kEnd = static_cast<std::size_t>(ClientStamp::kCallEnd);

  struct Call {
    std::atomic<State> state{State::kFree};
    bool oneway = false;
    // Looked at before the call is claimed, and so atomic.
    std::atomic<std::int32_t> seqid{0};
    std::atomic<std::uint64_t> serial{0};
    const CalledMethod* method = nullptr;  // this and the edge live for ever
    const EdgeState* edge = nullptr;
    const void* thread = nullptr;  // which called
    std::atomic<std::uint64_t> sent{0};
    RawSpan raw;
    bool outbound = false;  // in the edge's queue
    DownstreamCall blocked;

    void LeaveOutbound() noexcept {
      if (std::exchange(outbound, false)) edge->outbound().Leave();
    }
  };

  // The arguments of the call before broke off, or its message was never flushed.
  void Abandoned() noexcept {
    if (Call* const call = std::exchange(writing_, nullptr)) {
      Finish(call, Outcome::kTransport, call->method->Stamp());
    }
    // Open: what is flushed later gets no kRequestSent.
    Call* const call = std::exchange(sending_, nullptr);
    if (call != nullptr && call->oneway && Claim(call)) {
      Finish(call, Outcome::kTransport, call->method->Stamp());
    }
  }

  Call* Free() {
    if (__builtin_expect(more_open_.load(std::memory_order_relaxed) == 0 &&  // only we add
                             first_.state.load(std::memory_order_acquire) == State::kFree,  // [F]
                         1)) {
      first_.state.store(State::kWriting, std::memory_order_relaxed);  // ours alone
      return &first_;
    }
    MutexLock lock(&mutex_);
    for (const auto& call : more_) {
      if (call->state.load(std::memory_order_acquire) == State::kFree) {  // [F]
        call->state.store(State::kWriting, std::memory_order_relaxed);    // ours alone
        more_open_.fetch_add(1, std::memory_order_relaxed);  // seen with [O] of this call
        return call.get();
      }
    }
    if (more_.size() == kMaxOpen) return nullptr;
    more_.push_back(std::make_unique<Call>());
    more_.back()->state.store(State::kWriting, std::memory_order_relaxed);  // nobody knows it yet
    more_open_.fetch_add(1, std::memory_order_relaxed);  // seen with [O] of this call
    return more_.back().get();
  }

  static bool Claim(Call* call) noexcept {
    State open = State::kOpen;
    // [O] acquire, pairs with Written(): seeing it open means seeing all of it. The look before and
    // the failure are relaxed: what is not open is not touched.
    return call->state.load(std::memory_order_relaxed) == open &&
           call->state.compare_exchange_strong(open, State::kClosing, std::memory_order_acquire,
                                               std::memory_order_relaxed);
  }

  // Of the call that has this seqid, and still has it when it is ours.
  static bool ClaimReply(Call* call, std::int32_t seqid) noexcept {
    // Relaxed: before the claim it is only a hint, after it [O] has ordered it.
    if (call->seqid.load(std::memory_order_relaxed) != seqid || !Claim(call)) return false;
    if (call->seqid.load(std::memory_order_relaxed) == seqid) return true;
    // Closed and begun anew meanwhile. [O] again: whoever claims it next sees what we saw.
    call->state.store(State::kOpen, std::memory_order_release);
    return false;
  }

  // Claimed; null: there is none with this seqid.
  Call* Oldest(std::int32_t seqid) noexcept {
    if (ClaimReply(&first_, seqid)) return &first_;  // invariant 2
    // A call whose reply is here was counted before its message went out, which happened before the
    // reply came: 0 means that none of them is meant. Acquire pairs with Finish(), whose calls are
    // then free for good.
    if (more_open_.load(std::memory_order_acquire) == 0) return nullptr;
    MutexLock lock(&mutex_);
    Call* oldest = nullptr;
    for (const auto& call : more_) {
      if (call->state.load(std::memory_order_acquire) ==
              State::kOpen &&  // [O]
                               // Relaxed, ordered by [O]; what changes meanwhile is found out by
                               // ClaimReply().
          call->seqid.load(std::memory_order_relaxed) == seqid &&
          (oldest == nullptr || call->serial.load(std::memory_order_relaxed) <
                                    oldest->serial.load(std::memory_order_relaxed))) {
        oldest = call.get();
      }
    }
    // Lost only to Close(), which then ends all of them.
    return oldest != nullptr && ClaimReply(oldest, seqid) ? oldest : nullptr;
  }

  void EndReading(Outcome outcome) noexcept {
    Call* const call = std::exchange(reading_, nullptr);
    Finish(call, outcome, call->method->Stamp());
  }

  // Recording is one function of half as many instructions where it is known which stamps there
  // are.
  [[gnu::flatten]] static void RecordUsual(const CalledMethod& method,
                                           const RawSpan& raw) noexcept {
    RawSpan span;
    span.trace_id = raw.trace_id;
    span.span_id = raw.span_id;
    span.parent_id = raw.parent_id;
    span.Set(kStart, raw.stamps[kStart]);
    span.Set(kSent, raw.stamps[kSent]);
    span.Set(kFirstByte, raw.stamps[kFirstByte]);
    span.Set(kEnd, raw.stamps[kEnd]);
    span.outcome = raw.outcome;
    method.Record(span);
  }

  // Of a call that is ours.
  void Finish(Call* call, Outcome outcome, std::uint64_t now) noexcept {
    call->LeaveOutbound();
    call->blocked.End();
    RawSpan& raw = call->raw;
    const std::uint64_t sent = call->sent.load(std::memory_order_relaxed);  // see Sent()
    if (sent != 0) raw.Set(kSent, sent);
    raw.Set(kEnd, now);
    raw.outcome = outcome;
    constexpr std::uint32_t kUsual = 1u << kStart | 1u << kSent | 1u << kFirstByte | 1u << kEnd;
    if (__builtin_expect(raw.known == kUsual, 1)) {
      RecordUsual(*call->method, raw);
    } else {
      call->method->Record(raw);
    }
    // The count first: who finds the call free may take it, and count, at once. Release, pairs with
    // Oldest().
    if (call != &first_) more_open_.fetch_sub(1, std::memory_order_release);
    // [F] release, pairs with Free(): who takes it anew comes after all of this.
    call->state.store(State::kFree, std::memory_order_release);
  }

  void CloseAll(Outcome outcome) noexcept {
    if (reading_ != nullptr) EndReading(Outcome::kUndecodable);
    Abandoned();
    Close(outcome);
  }

  const std::string callee_;
  // The writing side's.
  ServiceState* caller_ = nullptr;  // of the call before, and the edge from there
  EdgeState* edge_ = nullptr;
  TraceContext context_;
  std::string text_;
  std::uint64_t serial_ = 0;
  Call* writing_ = nullptr;  // from Begin() to Written()
  Call* sending_ = nullptr;  // from Written() to Sent()
  // The reading side's: from Replying() to Replied().
  Call* reading_ = nullptr;
  Outcome outcome_ = Outcome::kOk;

  Call first_;
  std::atomic<std::uint32_t> more_open_{0};  // taken of more_
  Mutex mutex_;
  std::vector<std::unique_ptr<Call>> more_ ABSL_GUARDED_BY(mutex_);
};

// What Thrift grew after 0.17, called where it is there.
template <typename Transport>
auto OnewayComplete(Transport& transport, int) -> decltype(transport.onewayComplete()) {
  return transport.onewayComplete();
}
template <typename Transport>
void OnewayComplete(Transport&, long) {}

// What a traced client's getTransport() gives: the client's own transport, and its calls.
class CallTransport final : public apache::thrift::transport::TVirtualTransport<CallTransport> {
 public:
  using TTransport = apache::thrift::transport::TTransport;
  using TTransportException = apache::thrift::transport::TTransportException;

  CallTransport(std::shared_ptr<TTransport> transport, std::string_view callee)
      : TVirtualTransport(transport->getConfiguration()),
        calls(callee),
        transport_(std::move(transport)) {}

  std::shared_ptr<TTransport> getUnderlyingTransport() { return transport_; }

  bool isOpen() const override { return transport_->isOpen(); }
  bool peek() override { return transport_->peek(); }
  void open() override {
    calls.Close(Outcome::kTransport);
    transport_->open();
  }
  void close() override {
    calls.Close(Outcome::kTransport);
    transport_->close();
  }
  std::uint32_t read(std::uint8_t* buffer, std::uint32_t size) {
    return transport_->read(buffer, size);
  }
  std::uint32_t readAll(std::uint8_t* buffer, std::uint32_t size) {
    return transport_->readAll(buffer, size);
  }
  std::uint32_t readEnd() override { return transport_->readEnd(); }
  void write(const std::uint8_t* bytes, std::uint32_t size) { transport_->write(bytes, size); }
  std::uint32_t writeEnd() override { return transport_->writeEnd(); }
  void flush() override {
    try {
      transport_->flush();
    } catch (const TTransportException& e) {
      calls.SendFailed(OutcomeOf(e));
      throw;
    } catch (...) {
      calls.SendFailed(Outcome::kTransport);
      throw;
    }
    calls.Sent();
  }
  const std::uint8_t* borrow(std::uint8_t* buffer, std::uint32_t* size) {
    return transport_->borrow(buffer, size);
  }
  void consume(std::uint32_t size) { transport_->consume(size); }
  const std::string getOrigin() const override {  // NOLINT(readability-const-return-type): Thrift's
    return transport_->getOrigin();
  }
  void onewayComplete() { OnewayComplete(*transport_, 0); }  // overrides it after 0.17

  static Outcome OutcomeOf(const TTransportException& e) noexcept {
    return e.getType() == TTransportException::TIMED_OUT ? Outcome::kTimedOut : Outcome::kTransport;
  }

  ClientCalls calls;

 private:
  const std::shared_ptr<TTransport> transport_;
};

}  // namespace internal
SEER_END_NAMESPACE
