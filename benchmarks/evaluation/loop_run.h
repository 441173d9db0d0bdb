// One simulated run under a manager: the same random numbers with and without it.
//
//   LoopOptions options;
//   LoopResult base = *RunLoop(run, LoopArm::kNone, {}, options);
//   LoopResult with = *RunLoop(run, LoopArm::kSeerTold, base, options);
//
// The arms:
//   none           nobody acts
//   seer-told      seer's control loop, and a forecaster who knows: each violation of the run
//                  without actions is in alarm from 1 s before its start, with its true initiator,
//                  but not before the fault behind it has begun, which nobody can foresee. After
//                  its start the class is in alarm as long as it violates; and once something was
//                  done about it, as long as it will violate with that. What the loop makes of
//                  perfect forecasts
//   seer-told-300  so too, from 300 ms before
//   seer           the control loop behind a trained predictor, or where none is given behind the
//                  rival self-depth-z, which nobody trained
//   largest-depth  the same loop behind the rival that blames the longest queue
//   autoscaler     adds replicas to every service that is busy to seven tenths, once there is a
//                  violation, every second until it is over; as the paper's Fig. 2
//   rate-limit     refuses a fifth of the requests at the entry, once there is a violation
//
// The monitor is the simulator's, perfect counters in effect, of which each node remembers the last
// two ticks; limits take as long to work as
// benchmarks/cluster/sim/act.h says. Requests that a rate limit refuses miss
// their target, and are counted apart, too.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "benchmarks/cluster/sim/scenario.h"
#include "benchmarks/evaluation/scenario_set.h"
#include "seer/advise/rules.h"
#include "seer/core/diagnosis.h"
#include "seer/predict/tick_predictor.h"

namespace seer::evaluation {

enum class LoopArm : std::uint8_t {
  kNone,
  kSeerTold,
  kSeerTold300,
  kSeer,
  kLargestDepth,
  kAutoscaler,
  kRateLimit,
};
inline constexpr LoopArm kAllLoopArms[] = {
    LoopArm::kNone,         LoopArm::kSeerTold,   LoopArm::kSeerTold300, LoopArm::kSeer,
    LoopArm::kLargestDepth, LoopArm::kAutoscaler, LoopArm::kRateLimit};
std::string_view LoopArmName(LoopArm arm);

struct LoopOptions {
  RuleTable rules = DefaultRules();
  std::uint32_t futures = 16;  // for who is foreseeable; 0: nobody asks
  std::function<void(std::string_view line)> audit;
  std::function<void(const ClusterTick& tick)> watch;  // each tick of the run
  // Of kSeer; none: the rival self-depth-z.
  std::function<absl::StatusOr<std::unique_ptr<TickPredictor>>()> predictor;
};

struct LoopResult {
  std::vector<cluster::TruthRow> truth;  // of kNone with initiators and causes, else bare
  std::vector<bool> foreseeable;         // of kNone: 300 ms before (loop_foresee.h)
  std::vector<Cause> said;               // what was diagnosed, by the base's rows
  std::vector<std::int64_t> acted_ns;    // when something was done about it first; 0: never
  std::uint64_t actions = 0;
  double extra_core_seconds = 0;
  double core_seconds = 0;  // planned
  std::uint64_t refused = 0;
};

// `base`: the result of kNone of the same run.
absl::StatusOr<LoopResult> RunLoop(const PreparedRun& run, LoopArm arm, const LoopResult& base,
                                   const LoopOptions& options);

}  // namespace seer::evaluation
