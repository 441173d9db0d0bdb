// What a control plane does with the bytes that the nodes send: alarms, and beside them the
// violations that came.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "seer/core/forecast.h"
#include "seer/predict/predictor.h"
#include "seer/window/cluster_tick.h"
#include "seer/window/violations.h"

namespace foresee {

// What the newest ticks brought.
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
  // `model`: a file of `seer train`; empty: the predictor that needs no training. Throws where it
  // cannot be loaded.
  ControlPlane(seer::TickPeriod period, const std::string& model);

  // A message from a node.
  absl::Status Receive(std::string_view bytes) { return predictor_->ObserveWire(bytes); }
  // Of the cluster ticks that are new, oldest first.
  std::vector<News> Poll();

 private:
  std::unique_ptr<seer::Predictor> predictor_;
  seer::ViolationDetector violations_;
  seer::Tick last_ = 0;
  bool alarm_ = false;
  std::int64_t last_start_ns_ = 0;  // of the violation that was told last
};

}  // namespace foresee
