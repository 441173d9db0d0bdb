#include "seer/trace/span_probe.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "seer/core/internal/status_macros.h"
#include "seer/queue/collector.h"

SEER_BEGIN_NAMESPACE

class SpanProbe::Impl {
 public:
  explicit Impl(const SpanProbeOptions& options) : meter_(options.meter) {}

  absl::Status Open(const SpanProbeOptions& options) {
    for (std::size_t i = 0; i < options.classes.size(); ++i) {
      const SpanClass& wanted = options.classes[i];
      const auto in_class = [&](const absl::Status& status) {
        return absl::Status(status.code(), absl::StrCat("classes[", i, "]: ", status.message()));
      };
      Topology scratch;
      if (const auto row = scratch.AddRequestClass(wanted.application, wanted.name, wanted.target);
          !row.ok()) {
        return in_class(row.status());
      }
      for (const SpanClass& other : classes_) {
        if (other.application == wanted.application && other.name == wanted.name) {
          return in_class(absl::InvalidArgumentError(
              absl::StrCat("name: '", wanted.name, "' is there twice: give each its own")));
        }
      }
      const absl::Status added =
          meter_.AddClass(ClassId(static_cast<std::uint32_t>(i)),
                          {wanted.service, wanted.methods, wanted.target.latency_ns});
      if (!added.ok()) return in_class(added);
      classes_.push_back(wanted);
    }
    SEER_ASSIGN_OR_RETURN(drainer_,
                          NodeDrainer::Create(std::make_shared<Tee>(this, options.sink),  //
                                              options.drainer));
    return absl::OkStatus();
  }

  absl::Status Sample(const Topology& topology, Snapshot* snapshot) {
    const absl::Status drained = drainer_->Drain();
    const DrainCounts& counts = drainer_->counts();
    const std::uint64_t lost = counts.dropped + counts.discarded + refused_;
    snapshot->health.spans_dropped += lost - std::exchange(lost_, lost);
    FindRows(topology);
    meter_.Fill(snapshot->period.EndNs(snapshot->tick), &samples_);
    // By the ids of the snapshot. A class that the topology does not have is nobody's.
    if (snapshot->classes.size() < topology.classes().size()) {
      snapshot->classes.resize(topology.classes().size());
    }
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      if (rows_[i].valid()) std::swap(snapshot->classes[rows_[i].index()], samples_[i]);
    }
    return absl::IsFailedPrecondition(drained) ? drained : absl::OkStatus();
  }

  const NodeDrainer& drainer() const { return *drainer_; }
  const ClassMeter& meter() const { return meter_; }
  std::uint64_t refused() const { return refused_; }

 private:
  // What the next sink does not take is lost to it: if it waited in the rings, they would fill, and
  // the classes would be blind because an exporter is.
  class Tee final : public TraceSink {
   public:
    Tee(Impl* impl, std::shared_ptr<TraceSink> next) : impl_(impl), next_(std::move(next)) {}
    absl::Status Write(const SpanBatch& batch) override {
      impl_->meter_.Add(batch, impl_->drainer_->topology());
      if (next_ != nullptr && !next_->Write(batch).ok()) impl_->refused_ += batch.spans.size();
      return absl::OkStatus();
    }
    absl::Status Flush(std::chrono::nanoseconds timeout) override {
      return next_ != nullptr ? next_->Flush(timeout) : absl::OkStatus();
    }

   private:
    Impl* const impl_;
    const std::shared_ptr<TraceSink> next_;
  };

  void FindRows(const Topology& topology) {
    if (topology.origin() == found_in_ && rows_.size() == classes_.size()) return;
    found_in_ = topology.origin();
    rows_.clear();
    for (const SpanClass& wanted : classes_) {
      rows_.push_back(
          topology.FindRequestClass(wanted.application, wanted.name).value_or(ClassId()));
    }
  }

  std::vector<SpanClass> classes_;
  ClassMeter meter_;  // by place in classes_
  std::vector<ClassSample> samples_;
  std::vector<ClassId> rows_;  // of the snapshot
  Origin found_in_;
  std::uint64_t refused_ = 0;  // spans
  std::uint64_t lost_ = 0;     // of which the snapshots have told
  std::unique_ptr<NodeDrainer> drainer_;
};

absl::StatusOr<std::unique_ptr<SpanProbe>> SpanProbe::Create(const SpanProbeOptions& options) {
  auto impl = std::make_unique<Impl>(options);
  SEER_RETURN_IF_ERROR(impl->Open(options));
  return std::unique_ptr<SpanProbe>(new SpanProbe(std::move(impl)));
}

absl::Status SpanProbe::Install(const SpanProbeOptions& options, Collector* collector) {
  SEER_ASSIGN_OR_RETURN(std::unique_ptr<SpanProbe> probe, Create(options));
  for (const SpanClass& c : options.classes) {
    // It takes what Create() took.
    SEER_RETURN_IF_ERROR(collector->DeclareClass({c.application, c.name, c.target, c.service}));
  }
  collector->AddProbe(std::move(probe));
  return absl::OkStatus();
}

SpanProbe::SpanProbe(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SpanProbe::~SpanProbe() = default;

absl::Status SpanProbe::Sample(const Topology& topology, Snapshot* snapshot) {
  return impl_->Sample(topology, snapshot);
}
const Topology& SpanProbe::topology() const { return impl_->drainer().topology(); }
const DrainCounts& SpanProbe::counts() const { return impl_->drainer().counts(); }
std::uint64_t SpanProbe::refused_spans() const { return impl_->refused(); }
const ClassMeterCounts& SpanProbe::class_counts() const { return impl_->meter().counts(); }

SEER_END_NAMESPACE
