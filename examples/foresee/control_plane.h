// What a control plane does with the bytes that the nodes send: cluster ticks, violations, alarms.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "seer/core/forecast.h"
#include "seer/core/topology.h"
#include "seer/predict/tick_predictor.h"
#include "seer/window/cluster_tick.h"
#include "seer/window/tick_merger.h"
#include "seer/window/violations.h"

namespace foresee {

// What a cluster tick brought.
struct News {
  std::int64_t end_ns = 0;  // of the tick, unix time
  bool alarm_began = false;
  std::string blamed;  // with alarm_began: a service, or "load"
  double share = 0;    // how sure of it
  bool violation_began = false;
  std::int64_t p99_ns = 0;  // of the tick
};

class ControlPlane {
 public:
  explicit ControlPlane(seer::TickPeriod period);

  // A message from a node: an encoded Topology or Snapshot.
  absl::Status Receive(std::string_view bytes, std::int64_t now_ns);
  // Of the cluster ticks that are complete, or overdue.
  std::vector<News> Poll(std::int64_t now_ns);

  const seer::TickMergerStats& stats() const { return merger_.stats(); }

 private:
  void Look(const seer::ClusterTick& tick);

  seer::Topology topology_;
  seer::TickMerger merger_;
  seer::ViolationDetector violations_;
  std::unique_ptr<seer::TickPredictor> predictor_;
  seer::Forecast forecast_;
  bool alarm_ = false;
  std::int64_t last_start_ns_ = 0;  // of the violation that was told last
  std::vector<News> news_;
};

}  // namespace foresee
