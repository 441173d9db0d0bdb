// One simulated run under a manager: the same random numbers with and without it.
//
//   LoopResult base = *RunLoop(run, LoopArm::kNone, {});
//   LoopResult with = *RunLoop(run, LoopArm::kSeerTold, base);
//
// The arms:
//   none           nobody acts
//   seer-told      seer's control loop, and a forecaster who knows: each violation of the run
//                  without actions is in alarm from 300 ms before its start, until 200 ms after
//                  that, with its true initiator. What the loop makes of perfect forecasts
//   seer           the control loop behind the rival self-depth-z, which nobody trained
//   largest-depth  the same loop behind the rival that blames the longest queue
//   autoscaler     adds replicas to every service that is busy to seven tenths, once there is a
//                  violation, as the paper's Fig. 2
//   rate-limit     refuses a fifth of the requests at the entry, once there is a violation
//
// The monitor is the simulator's, perfect counters in effect; limits take as long to work as the
// simulator says (100 ms; 3 s for replicas).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "benchmarks/cluster/sim/scenario.h"
#include "benchmarks/evaluation/scenario_set.h"
#include "seer/core/diagnosis.h"

namespace seer::evaluation {

enum class LoopArm : std::uint8_t {
  kNone,
  kSeerTold,
  kSeer,
  kLargestDepth,
  kAutoscaler,
  kRateLimit,
};
inline constexpr LoopArm kAllLoopArms[] = {LoopArm::kNone,       LoopArm::kSeerTold,
                                           LoopArm::kSeer,       LoopArm::kLargestDepth,
                                           LoopArm::kAutoscaler, LoopArm::kRateLimit};
std::string_view LoopArmName(LoopArm arm);

struct LoopResult {
  std::vector<cluster::TruthRow> truth;  // of kNone with initiators and causes, else bare
  std::vector<Cause> said;               // of kSeerTold: what was diagnosed, by the base's rows
  std::uint64_t actions = 0;
  double extra_core_seconds = 0;
  double core_seconds = 0;  // planned
  std::uint64_t refused = 0;
};

// `base`: the result of kNone of the same run.
absl::StatusOr<LoopResult> RunLoop(const PreparedRun& run, LoopArm arm, const LoopResult& base);

// An arm against the run without actions. Sums over runs.
struct LoopScore {
  std::size_t violations = 0;  // without actions
  std::size_t actionable = 0;  // of those, with a resource or load as cause
  std::size_t avoided = 0;
  std::size_t avoided_actionable = 0;
  std::size_t caused = 0;                     // near none of those that were there without actions
  double base_seconds = 0, left_seconds = 0;  // of those that were not avoided: without, with
  std::uint64_t actions = 0;
  double extra_core_seconds = 0, core_seconds = 0;
  void Add(const LoopResult& base, const LoopResult& with);
};

}  // namespace seer::evaluation
