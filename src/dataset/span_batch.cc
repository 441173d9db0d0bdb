#include "dataset/span_batch.h"

#include <algorithm>

#include "absl/hash/hash.h"
#include "absl/strings/string_view.h"
#include "seer/core/internal/status_macros.h"

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

std::uint64_t Mix(std::uint64_t x) {
  x ^= x >> 32;
  x *= 0xd6e8feb86659fd93u;
  x ^= x >> 32;
  return x;
}

}  // namespace

Names::Names() : slots_(4 * std::size_t{kMax}) { names_.emplace_back(); }

std::uint32_t Names::Of(std::string_view name) {
  if (name.empty()) return 0;
  std::size_t at = absl::Hash<absl::string_view>()({name.data(), name.size()}) % slots_.size();
  for (; slots_[at] != 0; at = (at + 1) % slots_.size()) {
    if (names_[slots_[at] - 1] == name) return slots_[at] - 1;
  }
  if (full()) return 0;
  names_.emplace_back(name);
  slots_[at] = static_cast<std::uint32_t>(names_.size());
  return slots_[at] - 1;
}

SpanBatcher::SpanBatcher(RunSink* sink, ImportReport* report)
    : sink_(sink), report_(report), slots_(kSlots), before_(kSlots), cache_(1 << 12) {
  spans_.reserve(kBatch);
}

std::uint64_t SpanBatcher::KeyOf(const TraceSpan& span, std::uint64_t id) {
  return Mix(span.trace.low ^ Mix(span.trace.high ^ Mix(id))) | 1;
}

absl::Status SpanBatcher::Add(const TraceSpan& span) {
  ++report_->rows;
  spans_.push_back(span);
  return spans_.size() < kBatch ? absl::OkStatus() : Flush();
}

// The span with the id; where both sides share it, the caller's or the other.
std::uint32_t SpanBatcher::Find(const TraceSpan& span, std::uint64_t id, bool caller_side) const {
  if (id == 0) return kNobody;
  std::uint32_t other = kNobody;
  for (std::size_t at = KeyOf(span, id) % kSlots; slots_[at] != 0; at = (at + 1) % kSlots) {
    const std::uint32_t i = slots_[at] - 1;
    if (spans_[i].id != id || spans_[i].trace != span.trace) continue;
    if (spans_[i].calls() == caller_side) return i;
    other = i;
  }
  return other;
}

std::uint32_t SpanBatcher::OldService(const TraceSpan& span) const {
  const std::uint64_t key = KeyOf(span, span.parent);
  const Known& known = before_[key % kSlots];
  return known.key == key ? known.service : 0;
}

absl::Status SpanBatcher::Flush() {
  std::fill(slots_.begin(), slots_.end(), 0);
  callee_.assign(spans_.size(), 0);
  // Many spans of one id (a broken tracer) would make one long chain: 16 of them are enough.
  for (std::uint32_t i = 0; i < spans_.size(); ++i) {
    if (spans_[i].id == 0) continue;
    std::size_t at = KeyOf(spans_[i], spans_[i].id) % kSlots;
    int same = 0;
    for (; slots_[at] != 0 && same < 16; at = (at + 1) % kSlots) {
      const TraceSpan& other = spans_[slots_[at] - 1];
      same += other.id == spans_[i].id && other.trace == spans_[i].trace ? 1 : 0;
    }
    if (same < 16) slots_[at] = i + 1;
  }
  // Who took each call: the service whose request has the call as its parent, or shares its id.
  for (const TraceSpan& span : spans_) {
    if (span.calls() || span.kind == TraceSpan::Kind::kInternal) continue;
    for (const std::uint64_t id : {span.id, span.parent}) {
      const std::uint32_t call = Find(span, id, true);
      if (call != kNobody && spans_[call].calls()) {
        callee_[call] = span.service;
        break;
      }
    }
  }
  for (std::uint32_t i = 0; i < spans_.size(); ++i) SEER_RETURN_IF_ERROR(Emit(i));
  for (const TraceSpan& span : spans_) {
    if (span.id == 0) continue;
    const std::uint64_t key = KeyOf(span, span.id);
    before_[key % kSlots] = {key, span.service};
  }
  spans_.clear();
  return absl::OkStatus();
}

absl::Status SpanBatcher::Emit(std::uint32_t at) {
  const TraceSpan& span = spans_[at];
  if (span.calls()) return EmitCall(span, at);
  if (span.kind == TraceSpan::Kind::kInternal) {
    ++report_->internal;
    return absl::OkStatus();
  }
  return EmitRequest(span);
}

absl::Status SpanBatcher::EmitCall(const TraceSpan& span, std::uint32_t at) {
  const std::uint32_t callee = callee_[at] != 0 ? callee_[at] : span.remote;
  const bool async = span.kind == TraceSpan::Kind::kProducer;
  // The request that the call is made for: above spans within the service.
  std::uint64_t parent = span.parent;
  for (int steps = 0; steps < 64 && parent != 0; ++steps) {
    const std::uint32_t up = Find(span, parent, false);
    if (up == kNobody || spans_[up].kind != TraceSpan::Kind::kInternal ||
        spans_[up].service != span.service || spans_[up].parent == parent) {
      break;
    }
    parent = spans_[up].parent;
  }
  SEER_ASSIGN_OR_RETURN(const CallIds ids,
                        IdsOf(span, span.service, callee, SpanSide::kClient, false, async));
  return Send(span, ids, SpanSide::kClient, false, async, parent);
}

absl::Status SpanBatcher::EmitRequest(const TraceSpan& span) {
  // The caller's span may share the id (Zipkin), or be the parent.
  std::uint32_t caller = 0;
  std::uint64_t parent = span.parent;
  const std::uint32_t shared = Find(span, span.id, true);
  const std::uint32_t up = Find(span, span.parent, true);
  if (shared != kNobody && spans_[shared].calls()) {
    caller = spans_[shared].service;
    parent = span.id;
  } else if (up != kNobody) {
    caller = spans_[up].service;
  } else if (span.parent != 0) {
    caller = OldService(span);
    if (caller == 0) caller = span.remote;
    if (caller == 0) ++report_->without_caller;
  }
  if (span.kind == TraceSpan::Kind::kUnknown && caller == span.service) {
    ++report_->internal;  // a span without a kind below one of the same service
    return absl::OkStatus();
  }
  const bool root = span.parent == 0 && caller == 0;
  const bool async = span.kind == TraceSpan::Kind::kConsumer;
  SEER_ASSIGN_OR_RETURN(const CallIds ids,
                        IdsOf(span, caller, span.service, SpanSide::kServer, root, async));
  return Send(span, ids, SpanSide::kServer, root, async, parent);
}

absl::StatusOr<CallIds> SpanBatcher::IdsOf(const TraceSpan& span, std::uint32_t caller,
                                           std::uint32_t callee, SpanSide side, bool root,
                                           bool async) {
  // Names are below 2^16, so 16 bits each.
  const std::uint64_t names = std::uint64_t{caller} | std::uint64_t{callee} << 16 |
                              std::uint64_t{span.operation} << 32 | std::uint64_t{span.host} << 48;
  const std::uint64_t more =
      (side == SpanSide::kServer ? 1u : 0u) | (root ? 2u : 0u) | (async ? 4u : 0u);
  CachedIds& cached = cache_[Mix(names * 8 + more) % cache_.size()];
  if (cached.names == names && cached.more == more) return cached.ids;
  NamedCall call;
  call.caller = names_[caller];
  call.callee = names_[callee];
  call.operation = names_[span.operation];
  call.host = names_[span.host];
  call.side = side;
  call.root = root;
  call.async = async;
  SEER_ASSIGN_OR_RETURN(const CallIds ids, sink_->Learn(call, span.start_ns));
  cached = {names, more, ids};
  return ids;
}

absl::Status SpanBatcher::Send(const TraceSpan& span, const CallIds& ids, SpanSide side, bool root,
                               bool async, std::uint64_t parent) {
  SpanInterval interval;
  interval.trace = span.trace;
  interval.span_id = span.id;
  interval.parent_id = parent;
  interval.caller = ids.caller;
  interval.callee = ids.callee;
  interval.edge = ids.edge;
  interval.request_class = root ? ids.request_class : ClassId();
  interval.host = ids.host;
  interval.side = side;
  interval.outcome = span.outcome;
  interval.root = root;
  interval.async = async;
  interval.start_ns = span.start_ns;
  interval.end_ns = span.end_ns;
  return sink_->Add(interval);
}

}  // namespace internal
SEER_END_NAMESPACE
