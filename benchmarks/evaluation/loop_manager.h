// Who acts in a run: seer's control loop behind one forecaster or another, or a rival who acts once
// a violation is there.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "benchmarks/evaluation/loop_run.h"
#include "seer/window/cluster_tick.h"

namespace seer::evaluation {

class LoopManager {
 public:
  virtual ~LoopManager() = default;
  // After each tick.
  virtual void Act(const ClusterTick& tick, cluster::Simulator* simulator) = 0;
  // By the base's rows.
  virtual std::vector<Cause> said() const { return {}; }
  // When something was done about whom they blame; 0: never.
  virtual std::vector<std::int64_t> acted_ns() const { return {}; }
};

// All outlive the manager. Null for kNone.
absl::StatusOr<std::unique_ptr<LoopManager>> MakeLoopManager(const PreparedRun& run, LoopArm arm,
                                                             const LoopResult& base,
                                                             const LoopOptions& options);

// Once there is a violation: kAutoscaler or kRateLimit.
std::unique_ptr<LoopManager> MakeLateManager(const PreparedRun& run, LoopArm arm);

}  // namespace seer::evaluation
