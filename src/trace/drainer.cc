#include "seer/trace/drainer.h"

#include <unistd.h>

#include <cstring>
#include <ctime>

#include "seer/core/internal/status_macros.h"
#include "seer/core/tsc_clock.h"
#include "trace/segment_drain.h"
#include "trace/span_outlet.h"
#include "trace/span_rings.h"

SEER_BEGIN_NAMESPACE

namespace {

constexpr std::size_t kMaxRows = std::size_t{1} << 17;  // more than a recorder has

seer_segment_header HeaderOf(absl::Span<const char> segment) {
  seer_segment_header header;
  std::memcpy(&header, segment.data(), sizeof header);
  return header;
}

TscClock::Source SourceOf(std::uint32_t stamp_source) {
  return stamp_source == SEER_STAMP_TSC ? TscClock::Source::kTsc : TscClock::Source::kClockGettime;
}

}  // namespace

struct SpanDrainer::State {
  State(const seer_segment_header& header, const internal::SpanRings& rings,
        std::shared_ptr<TraceSink> sink, const DrainerOptions& o, Topology topology)
      : options(o),
        clock(SourceOf(header.stamp_source)),
        segment(rings, std::string(header.instance, header.instance_bytes),
                static_cast<std::uint64_t>(getpid()), &clock, nullptr),
        outlet(std::move(sink), o.max_batch, kMaxRows, std::move(topology)) {}

  const DrainerOptions options;
  TscClock clock;
  internal::SegmentDrain segment;
  internal::SpanOutlet outlet;
  const pid_t pid = getpid();
};

absl::StatusOr<std::unique_ptr<SpanDrainer>> SpanDrainer::Create(const SpanRecorder& recorder,
                                                                 std::shared_ptr<TraceSink> sink,
                                                                 const DrainerOptions& options) {
  if (sink == nullptr) return absl::InvalidArgumentError("sink: is null; give one");
  SEER_RETURN_IF_ERROR(internal::CheckDrainerOptions(options));
  const absl::Span<const char> segment = recorder.segment();
  if (segment.empty()) return absl::FailedPreconditionError("recorder: is closed");
  const seer_segment_header header = HeaderOf(segment);
  SEER_ASSIGN_OR_RETURN(const internal::SpanRings rings,
                        internal::SpanRings::Of(segment, header, /*local=*/true));
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  SEER_ASSIGN_OR_RETURN(
      Topology topology,
      internal::DrainersTopology(options, std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec));
  std::unique_ptr<SpanDrainer> drainer(new SpanDrainer(
      std::make_unique<State>(header, rings, std::move(sink), options, std::move(topology))));
  SEER_RETURN_IF_ERROR(drainer->HoldLease());
  drainer->state_->segment.LearnNames(&drainer->state_->outlet);
  return drainer;
}

SpanDrainer::SpanDrainer(std::unique_ptr<State> state) : state_(std::move(state)) {}
SpanDrainer::~SpanDrainer() { state_->segment.GiveLeaseBack(); }

absl::Status SpanDrainer::HoldLease() {
  if (getpid() != state_->pid) {
    return absl::FailedPreconditionError(
        "the drainer was made before fork(); make another one in the child");
  }
  if (!state_->segment.open()) {
    return absl::FailedPreconditionError("the recorder has been closed");
  }
  return state_->segment.HoldLease(internal::LeaseNowMs(state_->options),
                                   state_->options.lease.count() / 1'000'000);
}

absl::Status SpanDrainer::Drain() {
  SEER_RETURN_IF_ERROR(HoldLease());
  absl::Status first = state_->outlet.HandOnAll();  // what the sink did not want the last time
  if (internal::NotNow(first)) return first;
  state_->clock.Recalibrate();
  std::size_t budget = state_->options.max_spans;
  if (!state_->segment.Drain(&state_->outlet, &budget, &first, nullptr)) return first;
  first.Update(state_->outlet.HandOnAll());
  return first;
}

const Topology& SpanDrainer::topology() const { return state_->outlet.topology(); }
const DrainCounts& SpanDrainer::counts() const { return state_->outlet.counts(); }

SEER_END_NAMESPACE
