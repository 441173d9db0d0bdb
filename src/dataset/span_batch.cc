#include "dataset/span_batch.h"

#include <algorithm>
#include <cstring>

#include "absl/hash/hash.h"
#include "absl/strings/string_view.h"
#include "dataset/digits.h"
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

// As QuickHash(), for texts that may end where nothing may be read.
std::uint64_t QuickHashOf(std::string_view text) {
  const char* const at = text.data();
  const std::size_t size = text.size();
  if (size >= 8) return Mix(LoadWord(at) ^ Mix(LoadWord(at + size - 8) + size));
  std::uint32_t first = 0, last = 0;
  if (size >= 4) {
    std::memcpy(&first, at, 4);
    std::memcpy(&last, at + size - 4, 4);
  } else {
    first = static_cast<unsigned char>(at[0]);
    last = std::uint32_t{static_cast<unsigned char>(at[size / 2])} << 8 |
           static_cast<unsigned char>(at[size - 1]);
  }
  return Mix((std::uint64_t{first} << 32 | last) + size);
}

}  // namespace

Names::Names() : recent_(kRecent), slots_(4 * std::size_t{kMax}) { names_.emplace_back(); }

std::uint32_t Names::Of(std::string_view name) {
  if (name.empty()) return 0;
  // What is longer is refused by the topology, also if it is cut here.
  name = name.substr(0, Topology::kMaxNameBytes + 1);
  std::uint32_t& recent = recent_[QuickHashOf(name) % recent_.size()];
  if (recent != 0 && names_[recent] == name) return recent;
  return recent = OfAny(name);
}

std::uint32_t Names::OfAny(std::string_view name) {
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
  keys_.reserve(kBatch);
}

std::uint64_t SpanBatcher::TraceKeyOf(TraceId trace) { return Mix(trace.low ^ Mix(trace.high)); }
std::uint64_t SpanBatcher::KeyOf(std::uint64_t trace_key, std::uint64_t id) {
  return Mix(trace_key ^ id) | 1;
}

absl::Status SpanBatcher::Add(const TraceSpan& span) {
  ++report_->rows;
  // Mostly the span before is of the same trace.
  if (!spans_.empty() && spans_.back().trace == span.trace) {
    keys_.push_back(keys_.back());
  } else {
    keys_.push_back(TraceKeyOf(span.trace));
  }
  spans_.push_back(span);
  return spans_.size() < kBatch ? absl::OkStatus() : Flush();
}

// The span of the i-th one's trace with the id; where both sides share it, the caller's or the
// other.
std::uint32_t SpanBatcher::Find(std::uint32_t i, std::uint64_t id, bool caller_side) const {
  if (id == 0) return kNobody;
  const TraceId trace = spans_[i].trace;
  std::uint32_t other = kNobody;
  for (std::size_t at = KeyOf(keys_[i], id) % kSlots; slots_[at] != 0; at = (at + 1) % kSlots) {
    const std::uint32_t found = slots_[at] - 1;
    if (spans_[found].id != id || spans_[found].trace != trace) continue;
    if (spans_[found].calls() == caller_side) return found;
    other = found;
  }
  return other;
}

std::uint32_t SpanBatcher::OldService(std::uint32_t i) const {
  const std::uint64_t key = KeyOf(keys_[i], spans_[i].parent);
  const Known& known = before_[key % kSlots];
  return known.key == key ? known.service : 0;
}

absl::Status SpanBatcher::Flush() {
  std::fill(slots_.begin(), slots_.end(), 0);
  const auto count = static_cast<std::uint32_t>(spans_.size());
  callee_.assign(count, 0);
  callers_.assign(count, Callers());
  // Many spans of one id (a broken tracer) would make one long chain: 16 of them are enough.
  for (std::uint32_t i = 0; i < count; ++i) {
    const TraceSpan& span = spans_[i];
    if (span.id == 0) continue;
    std::size_t at = KeyOf(keys_[i], span.id) % kSlots;
    int same = 0;
    for (; slots_[at] != 0 && same < 16; at = (at + 1) % kSlots) {
      const TraceSpan& other = spans_[slots_[at] - 1];
      same += other.id == span.id && other.trace == span.trace ? 1 : 0;
    }
    if (same < 16) slots_[at] = i + 1;
  }
  // Who took each call: the service whose request has the call as its parent, or shares its id.
  for (std::uint32_t i = 0; i < count; ++i) {
    const TraceSpan& span = spans_[i];
    if (span.calls() || span.kind == TraceSpan::Kind::kInternal) continue;
    callers_[i] = {Find(i, span.id, true), Find(i, span.parent, true)};
    for (const std::uint32_t call : {callers_[i].shared, callers_[i].up}) {
      if (call != kNobody && spans_[call].calls()) {
        callee_[call] = span.service;
        break;
      }
    }
  }
  for (std::uint32_t i = 0; i < count; ++i) SEER_RETURN_IF_ERROR(Emit(i));
  for (std::uint32_t i = 0; i < count; ++i) {
    if (spans_[i].id == 0) continue;
    const std::uint64_t key = KeyOf(keys_[i], spans_[i].id);
    before_[key % kSlots] = {key, spans_[i].service};
  }
  spans_.clear();
  keys_.clear();
  return absl::OkStatus();
}

absl::Status SpanBatcher::Emit(std::uint32_t at) {
  const TraceSpan& span = spans_[at];
  if (span.calls()) return EmitCall(span, at);
  if (span.kind == TraceSpan::Kind::kInternal) {
    ++report_->internal;
    return absl::OkStatus();
  }
  return EmitRequest(span, at);
}

absl::Status SpanBatcher::EmitCall(const TraceSpan& span, std::uint32_t at) {
  const std::uint32_t callee = callee_[at] != 0 ? callee_[at] : span.remote;
  const bool async = span.kind == TraceSpan::Kind::kProducer;
  // The request that the call is made for: above spans within the service.
  std::uint64_t parent = span.parent;
  for (int steps = 0; steps < 64 && parent != 0; ++steps) {
    const std::uint32_t up = Find(at, parent, false);
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

absl::Status SpanBatcher::EmitRequest(const TraceSpan& span, std::uint32_t at) {
  // The caller's span may share the id (Zipkin), or be the parent.
  std::uint32_t caller = 0;
  std::uint64_t parent = span.parent;
  const auto [shared, up] = callers_[at];
  if (shared != kNobody && spans_[shared].calls()) {
    caller = spans_[shared].service;
    parent = span.id;
  } else if (up != kNobody) {
    caller = spans_[up].service;
  } else if (span.parent != 0) {
    caller = OldService(at);
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
