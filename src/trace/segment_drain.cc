#include "trace/segment_drain.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

SEER_BEGIN_NAMESPACE
namespace internal {

namespace {

constexpr std::size_t kChunk = 256;  // records that are taken from a ring at a time
constexpr int kPidBits = 22;         // what Linux allows
constexpr std::uint64_t kPidMask = (std::uint64_t{1} << kPidBits) - 1;
constexpr std::uint32_t kNoRow = 0xffffffu;
// Stamps further away than this from now (two weeks at 3 GHz) are not times of this machine.
constexpr std::int64_t kBelieved = std::int64_t{1} << 52;

}  // namespace

// The word is the end of the lease and the pid. It is only a promise to keep out of each other's
// way: that no span is taken twice follows from how `drained` is moved on.
absl::Status SegmentDrain::HoldLease(std::int64_t now_ms, std::int64_t length_ms) {
  const std::uint64_t held = rings_.lease();
  const auto held_until_ms = static_cast<std::int64_t>(held >> kPidBits);
  if (held != 0 && held != lease_) {
    // Longer than any lease lasts: the machine's clock was set back meanwhile.
    constexpr std::int64_t kLongestMs = 3'600'000;
    if (held_until_ms > now_ms && held_until_ms <= now_ms + kLongestMs) {
      lease_ = 0;
      return absl::FailedPreconditionError(
          absl::StrCat("process ", held & kPidMask, " drains these rings, for at least ",
                       held_until_ms - now_ms, " ms more; end that drainer first"));
    }
  } else if (held != 0 && held_until_ms - now_ms > length_ms / 2 &&
             held_until_ms - now_ms <= length_ms) {
    return absl::OkStatus();
  }
  const std::uint64_t wanted = static_cast<std::uint64_t>(now_ms + length_ms) << kPidBits |
                               (static_cast<std::uint64_t>(getpid()) & kPidMask);
  if (wanted == held || rings_.ChangeLease(held, wanted)) {
    lease_ = wanted;
    return absl::OkStatus();
  }
  lease_ = 0;
  return absl::FailedPreconditionError("another drainer took the lease just now");
}

void SegmentDrain::GiveLeaseBack() {
  // In a forked child the word is the child's, and zero.
  if (lease_ != 0) rings_.ChangeLease(std::exchange(lease_, 0), 0);
}

void SegmentDrain::ForgetNames() {
  services_.clear();
  methods_.clear();
  edges_.clear();
}

void SegmentDrain::LearnNames(SpanOutlet* outlet) {
  // None: the recorder ended while we looked, and left zeros; or its owner breaks the rules.
  const auto service_of = [this](std::uint16_t name) {
    return name < services_.size() ? services_[name] : ServiceId();
  };
  // Methods and edges first: the names that they use are there then.
  const std::uint32_t methods = rings_.methods();
  const std::uint32_t edges = rings_.edges();
  const std::uint32_t names = rings_.names();
  while (services_.size() < names) {
    const seer_name_row row = rings_.Name(static_cast<std::uint32_t>(services_.size()));
    services_.push_back(row.bytes == 0 ? ServiceId() : outlet->Service({row.name, row.bytes}));
  }
  while (methods_.size() < methods) {
    const seer_method_row row = rings_.Method(static_cast<std::uint32_t>(methods_.size()));
    const ServiceId service = service_of(row.service);
    MethodOf method;
    if (row.bytes != 0) method.id = outlet->Method(service, {row.name, row.bytes});
    if ((row.flags & SEER_METHOD_SERVED) != 0) {
      method.served_by = outlet->Instance(service, instance_, pid_);
    }
    methods_.push_back(method);
  }
  while (edges_.size() < edges) {
    const seer_edge_row row = rings_.Edge(static_cast<std::uint32_t>(edges_.size()));
    EdgeOf edge;
    const ServiceId caller = service_of(row.caller);
    edge.id = outlet->Edge(caller, service_of(row.callee));
    edge.called_by = outlet->Instance(caller, instance_, pid_);
    edges_.push_back(edge);
  }
}

void SegmentDrain::Append(const seer_span_record& record, std::uint64_t now_stamp,
                          SpanOutlet* outlet) {
  const auto field = [&](int bit, int width) {
    return static_cast<std::uint32_t>(record.bits >> bit & ((std::uint64_t{1} << width) - 1));
  };
  const std::uint32_t method = field(SEER_SPAN_METHOD_BIT, 24);
  const std::uint32_t edge = field(SEER_SPAN_EDGE_BIT, 24);
  // A row that was added after we looked.
  if ((method >= methods_.size() && methods_.size() < rings_.methods()) ||
      (edge >= edges_.size() && edge != kNoRow && edges_.size() < rings_.edges())) {
    LearnNames(outlet);
  }

  Span span;
  span.SetIds({record.trace_high, record.trace_low}, record.span_id, record.parent_id);
  span.set_outcome(static_cast<Outcome>(field(SEER_SPAN_OUTCOME_BIT, 3)));
  InstanceId instance;
  if (method < methods_.size()) {
    span.set_method(methods_[method].id);
    instance = methods_[method].served_by;
  }
  if (edge < edges_.size()) {
    span.set_edge(edges_[edge].id);
    instance = edges_[edge].called_by;
  }
  const auto ago = static_cast<std::int64_t>(now_stamp - record.first_stamp);
  const bool believed = ago > -kBelieved && ago < kBelieved;
  const std::uint32_t known = believed ? field(SEER_SPAN_KNOWN_BIT, 5) : 0;
  const std::uint32_t shift = field(SEER_SPAN_SHIFT_BIT, 4);
  Span::Stamps stamps;
  for (std::size_t i = 0; i < Span::kStamps; ++i) {
    if ((known >> i & 1) == 0) continue;
    const std::uint64_t distance = i == 0 ? 0 : std::uint64_t{record.later[i - 1]} << shift;
    stamps[i] = clock_->ToUnixNs(record.first_stamp + distance);
  }
  span.SetStamps(static_cast<SpanSide>(field(SEER_SPAN_SIDE_BIT, 1)), stamps);
  outlet->Add(instance, span);
}

bool SegmentDrain::TakeFrom(std::uint32_t ring, SpanOutlet* outlet, std::size_t* budget,
                            absl::Status* first) {
  const std::uint64_t now_stamp = clock_->Stamp();
  // One ring's worth: its thread may be as fast as we are.
  for (std::size_t left = rings_.ring_records(); left > 0 && *budget > 0;) {
    records_.clear();
    const std::uint64_t overwritten =
        rings_.Take(ring, std::min({kChunk, left, *budget}), &records_);
    // Truncated: what we read may have been zeros.
    if (mapped_ != nullptr && mapped_->broken()) return true;
    outlet->AddDropped(overwritten);
    if (records_.empty()) break;
    left -= records_.size();
    *budget -= records_.size();
    for (const seer_span_record& record : records_) Append(record, now_stamp, outlet);
    const absl::Status status = outlet->HandOnFull();
    first->Update(status);
    if (NotNow(status)) return false;
  }
  return true;
}

bool SegmentDrain::Drain(SpanOutlet* outlet, std::size_t* budget, absl::Status* first,
                         bool* emptied) {
  if (emptied != nullptr) *emptied = false;
  LearnNames(outlet);
  const std::uint32_t rings = rings_.rings_used();
  outlet->AddDropped(rings_.TakeDropped(0));
  for (std::uint32_t i = 0; i < rings; ++i) {
    if (*budget == 0) return true;
    // Where the last call stopped, so that each ring has its turn.
    const std::uint32_t ring = next_ring_ <= rings ? next_ring_ : 1;
    outlet->AddDropped(rings_.TakeDropped(ring));
    if (!TakeFrom(ring, outlet, budget, first)) return false;
    next_ring_ = ring + 1;
  }
  // Without budget the last ring may have been left half-way.
  if (emptied != nullptr) *emptied = *budget > 0;
  return true;
}

}  // namespace internal
SEER_END_NAMESPACE
