#include "seer/trace/drainer.h"

#include <unistd.h>

#include <algorithm>
#include <ctime>

#include "absl/strings/str_cat.h"
#include "seer/core/internal/status_macros.h"
#include "seer/core/tsc_clock.h"
#include "trace/span_rings.h"

SEER_BEGIN_NAMESPACE

namespace {

constexpr std::size_t kChunk = 256;  // records that are taken from a ring at a time
constexpr int kPidBits = 22;         // what Linux allows
constexpr std::uint32_t kNoRow = 0xffffffu;

TscClock::Source SourceOf(std::uint32_t stamp_source) {
  return stamp_source == SEER_STAMP_TSC ? TscClock::Source::kTsc : TscClock::Source::kClockGettime;
}

bool ForNow(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsResourceExhausted(status);
}

std::string HostName() {
  char name[256] = {};
  if (gethostname(name, sizeof name - 1) != 0 || name[0] == 0) return "localhost";
  return name;
}

}  // namespace

struct SpanDrainer::State {
  explicit State(absl::Span<const char> segment)
      : rings(segment), clock(SourceOf(rings.header().stamp_source)) {}

  internal::SpanRings rings;
  TscClock clock;
  std::uint64_t lease = 0;  // ours; 0: none
  const pid_t pid = getpid();
};

absl::StatusOr<std::unique_ptr<SpanDrainer>> SpanDrainer::Create(const SpanRecorder& recorder,
                                                                 std::shared_ptr<TraceSink> sink,
                                                                 const DrainerOptions& options) {
  if (sink == nullptr) return absl::InvalidArgumentError("sink: is null; give one");
  if (options.max_spans == 0) return absl::InvalidArgumentError("max_spans: is 0; give at least 1");
  if (options.max_batch == 0) return absl::InvalidArgumentError("max_batch: is 0; give at least 1");
  if (options.lease < std::chrono::milliseconds(10) || options.lease > std::chrono::hours(1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("lease: ", options.lease.count(), " ns is not from 10 ms to 1 h"));
  }
  const absl::Span<const char> segment = recorder.segment();
  if (segment.empty()) return absl::FailedPreconditionError("recorder: is closed");
  auto state = std::make_unique<State>(segment);
  const std::uint64_t epoch =
      options.epoch != 0 ? options.epoch : static_cast<std::uint64_t>(state->clock.NowNs());
  const std::string node = options.node.empty() ? HostName() : options.node;
  SEER_ASSIGN_OR_RETURN(Topology topology, Topology::OfNode(node, epoch));
  SEER_RETURN_IF_ERROR(topology.AddNode(node).status());
  std::unique_ptr<SpanDrainer> drainer(
      new SpanDrainer(std::move(state), std::move(sink), options, std::move(topology)));
  SEER_RETURN_IF_ERROR(drainer->HoldLease());
  drainer->LearnNames();
  return drainer;
}

SpanDrainer::SpanDrainer(std::unique_ptr<State> state, std::shared_ptr<TraceSink> sink,
                         const DrainerOptions& options, Topology topology)
    : state_(std::move(state)),
      sink_(std::move(sink)),
      options_(options),
      topology_(std::move(topology)),
      batches_(1) {}

SpanDrainer::~SpanDrainer() {
  // In a forked child the word is the child's, and zero.
  if (state_->lease != 0) state_->rings.ChangeLease(state_->lease, 0);
}

// The word is the end of the lease and the pid. It is only a promise to keep out of each other's
// way: that no span is taken twice follows from how `drained` is moved on.
absl::Status SpanDrainer::HoldLease() {
  if (getpid() != state_->pid) {
    return absl::FailedPreconditionError(
        "the drainer was made before fork(); make another one in the child");
  }
  if (!state_->rings.open()) {
    return absl::FailedPreconditionError("the recorder has been closed");
  }
  timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  const std::int64_t now_ms =
      options_.lease_clock != nullptr
          ? options_.lease_clock->NowNs() / 1'000'000
          : static_cast<std::int64_t>(t.tv_sec) * 1000 + t.tv_nsec / 1'000'000;
  const std::int64_t length_ms = options_.lease.count() / 1'000'000;
  const std::uint64_t held = state_->rings.lease();
  const auto held_until_ms = static_cast<std::int64_t>(held >> kPidBits);
  if (held != 0 && held != state_->lease) {
    // Longer than any lease lasts: the machine's clock was set back meanwhile.
    constexpr std::int64_t kLongestMs = 3'600'000;
    if (held_until_ms > now_ms && held_until_ms <= now_ms + kLongestMs) {
      state_->lease = 0;
      return absl::FailedPreconditionError(
          absl::StrCat("process ", held & ((std::uint64_t{1} << kPidBits) - 1),
                       " drains these rings, for at least ", held_until_ms - now_ms,
                       " ms more; end that drainer first"));
    }
  } else if (held != 0 && held_until_ms - now_ms > length_ms / 2 &&
             held_until_ms - now_ms <= length_ms) {
    return absl::OkStatus();
  }
  const std::uint64_t wanted = static_cast<std::uint64_t>(now_ms + length_ms) << kPidBits |
                               static_cast<std::uint64_t>(state_->pid);
  if (wanted == held || state_->rings.ChangeLease(held, wanted)) {
    state_->lease = wanted;
    return absl::OkStatus();
  }
  state_->lease = 0;
  return absl::FailedPreconditionError("another drainer took the lease just now");
}

InstanceId SpanDrainer::InstanceOf(ServiceId service) {
  if (!service.valid()) return InstanceId();
  const seer_segment_header& h = state_->rings.header();
  const std::string_view name(h.instance, h.instance_bytes);
  if (const auto known = topology_.FindInstance(service, name)) return *known;
  const auto pid = static_cast<std::int32_t>(state_->pid);
  const absl::StatusOr<InstanceId> added =
      topology_.AddInstance(service, name, NodeId(0), {}, absl::MakeConstSpan(&pid, 1));
  if (!added.ok()) return InstanceId();
  // The spans of no instance stay the last.
  batches_.insert(batches_.end() - 1, SpanBatch());
  batches_[added->index()].instance = *added;
  return *added;
}

// The topology's rules for names are the recorder's, so nothing here fails but a full table: 2^20
// rows are more than the recorder has.
void SpanDrainer::LearnNames() {
  const internal::SpanRings& rings = state_->rings;
  // None: the recorder ended while we looked, and left zeros.
  const auto service_of = [this](std::uint16_t name) {
    return name < services_.size() ? services_[name] : ServiceId();
  };
  // Methods and edges first: the names that they use are there then.
  const std::uint32_t methods = rings.methods();
  const std::uint32_t edges = rings.edges();
  const std::uint32_t names = rings.names();
  while (services_.size() < names) {
    services_.push_back(
        topology_.AddService(rings.Name(static_cast<std::uint32_t>(services_.size())))
            .value_or(ServiceId()));
  }
  while (methods_.size() < methods) {
    const seer_method_row& row = rings.Method(static_cast<std::uint32_t>(methods_.size()));
    const ServiceId service = service_of(row.service);
    const std::string_view name(row.name, row.bytes);
    MethodOf method;
    if (const auto known = topology_.FindMethod(service, name)) {
      method.id = *known;  // served and called
    } else {
      method.id = topology_.AddMethod(service, name).value_or(MethodId());
    }
    if ((row.flags & SEER_METHOD_SERVED) != 0) method.served_by = InstanceOf(service);
    methods_.push_back(method);
  }
  while (edges_.size() < edges) {
    const seer_edge_row& row = rings.Edge(static_cast<std::uint32_t>(edges_.size()));
    EdgeOf edge;
    const ServiceId caller = service_of(row.caller);
    edge.id = topology_.AddEdge(caller, service_of(row.callee)).value_or(EdgeId());
    edge.called_by = InstanceOf(caller);
    edges_.push_back(edge);
  }
}

void SpanDrainer::Append(const seer_span_record& record) {
  const auto field = [&](int bit, int width) {
    return static_cast<std::uint32_t>(record.bits >> bit & ((std::uint64_t{1} << width) - 1));
  };
  const std::uint32_t method = field(SEER_SPAN_METHOD_BIT, 24);
  const std::uint32_t edge = field(SEER_SPAN_EDGE_BIT, 24);
  // A row that was added after we looked.
  if (method >= methods_.size() || (edge >= edges_.size() && edge != kNoRow)) LearnNames();

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
  const std::uint32_t known = field(SEER_SPAN_KNOWN_BIT, 5);
  const std::uint32_t shift = field(SEER_SPAN_SHIFT_BIT, 4);
  Span::Stamps stamps;
  for (std::size_t i = 0; i < Span::kStamps; ++i) {
    if ((known >> i & 1) == 0) continue;
    const std::uint64_t distance = i == 0 ? 0 : std::uint64_t{record.later[i - 1]} << shift;
    stamps[i] = state_->clock.ToUnixNs(record.first_stamp + distance);
  }
  span.SetStamps(static_cast<SpanSide>(field(SEER_SPAN_SIDE_BIT, 1)), stamps);
  (instance.valid() ? batches_[instance.index()] : batches_.back()).spans.push_back(span);
  ++counts_.waiting;
}

absl::Status SpanDrainer::HandOn(std::size_t instance) {
  SpanBatch& batch = batches_[instance];
  if (batch.spans.empty()) return absl::OkStatus();
  batch.origin = topology_.origin();
  batch.dropped += std::exchange(dropped_, 0);
  absl::Status status = sink_->Write(batch);
  if (!status.ok() && ForNow(status)) return status;
  (status.ok() ? counts_.delivered : counts_.discarded) += batch.spans.size();
  counts_.waiting -= batch.spans.size();
  // A discarded batch leaves a gap in the sequence, and the sink never heard of its drops.
  if (!status.ok()) dropped_ += batch.dropped;
  ++batch.sequence;
  batch.dropped = 0;
  batch.spans.clear();
  return status;
}

absl::Status SpanDrainer::HandOnAll() {
  absl::Status first;
  for (std::size_t i = 0; i < batches_.size(); ++i) {
    absl::Status status = HandOn(i);
    if (ForNow(status)) return status;
    first.Update(status);
  }
  return first;
}

bool SpanDrainer::TakeFrom(std::uint32_t ring, std::size_t* budget, absl::Status* first) {
  // One ring's worth: its thread may be as fast as we are.
  for (std::size_t left = state_->rings.ring_records(); left > 0 && *budget > 0;) {
    records_.clear();
    const std::uint64_t overwritten =
        state_->rings.Take(ring, std::min({kChunk, left, *budget}), &records_);
    dropped_ += overwritten;
    counts_.dropped += overwritten;
    if (records_.empty()) break;
    left -= records_.size();
    *budget -= records_.size();
    for (const seer_span_record& record : records_) Append(record);
    for (std::size_t i = 0; i < batches_.size(); ++i) {
      if (batches_[i].spans.size() < options_.max_batch) continue;
      absl::Status status = HandOn(i);
      first->Update(status);
      if (ForNow(status)) return false;
    }
  }
  return true;
}

absl::Status SpanDrainer::Drain() {
  SEER_RETURN_IF_ERROR(HoldLease());
  absl::Status first = HandOnAll();  // what the sink did not want the last time
  if (ForNow(first)) return first;
  state_->clock.Recalibrate();
  LearnNames();

  const std::uint32_t rings = state_->rings.rings_used();
  const auto take_dropped = [&](std::uint32_t ring) {
    const std::uint64_t dropped = state_->rings.TakeDropped(ring);
    dropped_ += dropped;
    counts_.dropped += dropped;
  };
  take_dropped(0);
  std::size_t budget = options_.max_spans;
  for (std::uint32_t i = 0; i < rings && budget > 0; ++i) {
    // Where the last call stopped, so that each ring has its turn.
    const std::uint32_t ring = next_ring_ <= rings ? next_ring_ : 1;
    take_dropped(ring);
    if (!TakeFrom(ring, &budget, &first)) return first;
    next_ring_ = ring + 1;
  }
  first.Update(HandOnAll());
  return first;
}

SEER_END_NAMESPACE
