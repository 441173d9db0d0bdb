#include "control_plane.h"

#include <stdexcept>
#include <utility>

#include "seer/core/wire.h"
#include "seer/predict/rivals.h"

namespace foresee {
namespace {

seer::TickMergerOptions MergerOptions(seer::TickPeriod period) {
  seer::TickMergerOptions options;
  options.period = period;
  return options;
}

}  // namespace

ControlPlane::ControlPlane(seer::TickPeriod period)
    : merger_(MergerOptions(period), &topology_, [this](const auto& tick) { Look(tick); }) {
  auto rival = seer::MakeRival(seer::RivalKind::kSelfDepthZ);
  if (!rival.ok()) throw std::runtime_error(std::string(rival.status().message()));
  predictor_ = *std::move(rival);
}

absl::Status ControlPlane::Receive(std::string_view bytes, std::int64_t now_ns) {
  const absl::StatusOr<seer::WireHeader> header = seer::PeekWire(bytes);
  if (!header.ok()) return header.status();
  if (header->kind == seer::WireKind::kTopology) {
    const absl::StatusOr<seer::Topology> topology = seer::Decode<seer::Topology>(bytes);
    if (!topology.ok()) return topology.status();
    return merger_.AddNode(*topology, now_ns);
  }
  const absl::StatusOr<seer::Snapshot> snapshot = seer::Decode<seer::Snapshot>(bytes);
  if (!snapshot.ok()) return snapshot.status();
  merger_.Add(*snapshot, now_ns);
  return absl::OkStatus();
}

std::vector<News> ControlPlane::Poll(std::int64_t now_ns) {
  merger_.AdvanceTo(now_ns);
  return std::exchange(news_, {});
}

void ControlPlane::Look(const seer::ClusterTick& tick) {
  News news;
  news.end_ns = tick.period.EndNs(tick.tick);
  if (!tick.classes.empty()) news.p99_ns = tick.classes[0].latency.Quantile(0.99);

  if (predictor_->Observe(tick, topology_, &forecast_).ok()) {
    const bool alarm = forecast_.alarm();
    news.alarm_began = alarm && !alarm_;
    alarm_ = alarm;
    if (news.alarm_began) {
      const seer::Initiator& first = forecast_.classes[0].initiators.at(0);
      news.blamed = first.is_load() ? "load" : topology_.services()[first.service.index()].name;
      news.share = static_cast<double>(first.probability);
    }
  }
  violations_.Observe(tick, topology_);
  for (const seer::Violation& violation : violations_.open()) {
    news.violation_began = violation.start_ns != last_start_ns_;
    last_start_ns_ = violation.start_ns;
  }
  news_.push_back(news);
}

}  // namespace foresee
