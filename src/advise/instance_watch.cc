#include "advise/instance_watch.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"

SEER_BEGIN_NAMESPACE
namespace internal {

void InstanceWatch::Reset() {
  rows_.clear();
  handled_.clear();
  counted_ = false;
  last_tick_ = 0;
  next_ = 0;
}

InstanceWatch::Row& InstanceWatch::At(InstanceId instance) {
  if (rows_.size() <= instance.index()) rows_.resize(instance.index() + 1);
  std::unique_ptr<Row>& row = rows_[instance.index()];
  if (row == nullptr) row = std::make_unique<Row>();
  return *row;
}

void InstanceWatch::Count(const Topology& topology) {
  if (predictor_ == nullptr || options_->handled || !options_->monitor) return;
  if (!counted_ || counted_version_ != topology.version()) {
    instances_.assign(topology.services().size(), 0);
    for (const Instance& instance : topology.instances()) {
      if (!instance.removed) ++instances_[instance.service.index()];
    }
    handled_.resize(topology.services().size(), 0);
    counted_version_ = topology.version();
    counted_ = true;
  }
  ticks_.clear();
  predictor_->TicksSince(last_tick_, &ticks_);
  for (const ClusterTick& tick : ticks_) {
    last_tick_ = tick.tick;
    const std::size_t services = std::min(handled_.size(), tick.services.size());
    const absl::Span<const std::uint8_t> known = tick.services.known(Channel::kRunning);
    const absl::Span<const std::uint32_t> left = tick.services.departures(Channel::kRunning);
    for (std::size_t s = 0; s < services && s < known.size(); ++s) {
      if ((known[s] & ServiceTable::kFlow) != 0) handled_[s] += left[s];
    }
    // Where nobody counts inside the service: the calls that were made to it.
    const std::size_t edges = std::min(topology.edges().size(), tick.edges.size());
    for (std::size_t e = 0; e < edges; ++e) {
      const ServiceId callee = topology.edges()[e].callee;
      const bool counted_inside =
          callee.index() < known.size() && (known[callee.index()] & ServiceTable::kFlow) != 0;
      if (counted_inside || callee.index() >= services) continue;
      if ((tick.edges.known()[e] & EdgeTickTable::kMade) != 0) {
        handled_[callee.index()] += tick.edges.made()[e];
      }
    }
  }
}

std::optional<std::uint64_t> InstanceWatch::Handled(const Topology& topology,
                                                    InstanceId instance) const {
  if (options_->handled) return options_->handled(topology, instance);
  const std::size_t service = topology.instance(instance).service.index();
  if (service >= handled_.size() || service >= instances_.size() || instances_[service] == 0) {
    return std::nullopt;
  }
  return static_cast<std::uint64_t>(handled_[service] / instances_[service]);
}

absl::Status InstanceWatch::Read(const Topology& topology, InstanceId instance,
                                 std::int64_t steady_ns, std::int64_t max_age_ns,
                                 HwReading* reading, bool* fresh) {
  *fresh = false;
  if (!options_->monitor) return absl::FailedPreconditionError("there is no monitor");
  HwMonitor* const monitor = options_->monitor(topology, instance);
  if (monitor == nullptr) return absl::NotFoundError("nobody can read this instance");
  Row& row = At(instance);
  if (row.was_read && row.read_ns == steady_ns) {
    *reading = row.last;
    *fresh = row.was_fresh;
    return absl::OkStatus();
  }
  const absl::StatusOr<HwTarget> target = HwTarget::OfInstance(topology, instance);
  if (!target.ok()) return target.status();
  if (absl::Status status = ReadGuarded(*monitor, *target, reading); !status.ok()) {
    row.was_read = false;
    return status;
  }
  const std::optional<std::uint64_t> handled = Handled(topology, instance);
  *fresh = row.was_read && steady_ns - row.read_ns <= max_age_ns && handled.has_value();
  if (handled) {
    reading->requests = *handled >= row.handled ? *handled - row.handled : 0;
    row.handled = *handled;
  }
  row.was_read = true;
  row.was_fresh = *fresh;
  row.read_ns = steady_ns;
  row.last = *reading;
  return absl::OkStatus();
}

void InstanceWatch::Learn(InstanceId instance, const HwReading& reading) {
  (void)At(instance).baseline.Learn(reading);
}

const StallBaseline* InstanceWatch::baseline(InstanceId instance) const {
  if (!instance.valid() || instance.index() >= rows_.size() || rows_[instance.index()] == nullptr) {
    return nullptr;
  }
  return &rows_[instance.index()]->baseline;
}

void InstanceWatch::SetBaseline(InstanceId instance, const StallBaseline& baseline) {
  if (instance.valid()) At(instance).baseline = baseline;
}

InstanceId InstanceWatch::Next(const Topology& topology, std::int64_t steady_ns) {
  const std::size_t all = topology.instances().size();
  if (all == 0) return InstanceId();
  // As many as have become due since the last time, in turn; never more than a round behind.
  if (due_since_ns_ == 0) due_since_ns_ = steady_ns;
  due_ += static_cast<double>(steady_ns - due_since_ns_) * static_cast<double>(all) /
          static_cast<double>(options_->sample_ns);
  due_ = std::min(due_, static_cast<double>(all));
  due_since_ns_ = steady_ns;
  while (due_ >= 1) {
    due_ -= 1;
    const InstanceId instance(static_cast<std::uint32_t>(next_++ % all));
    if (topology.IsLive(instance)) return instance;
  }
  return InstanceId();
}

}  // namespace internal
SEER_END_NAMESPACE
