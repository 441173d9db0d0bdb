#include "benchmarks/evaluation/loop_run.h"

#include <memory>
#include <utility>

#include "benchmarks/evaluation/loop_foresee.h"
#include "benchmarks/evaluation/loop_manager.h"

namespace seer::evaluation {

std::string_view LoopArmName(LoopArm arm) {
  constexpr std::string_view kNames[] = {"none",          "seer-told",  "seer-told-300", "seer",
                                         "largest-depth", "autoscaler", "rate-limit"};
  return kNames[static_cast<std::size_t>(arm)];
}

absl::StatusOr<LoopResult> RunLoop(const PreparedRun& run, LoopArm arm, const LoopResult& base,
                                   const LoopOptions& options) {
  auto manager = MakeLoopManager(run, arm, base, options);
  if (!manager.ok()) return manager.status();
  const bool is_base = arm == LoopArm::kNone;
  LoopForesight foresight(run.model, is_base ? options.futures : 0);
  LoopResult result;
  cluster::ScenarioOptions scenario = run.scenario;
  scenario.truth = is_base;
  ClusterTick last;
  scenario.control = [&](cluster::Simulator* simulator) {
    if (is_base) {
      foresight.Observe(last, *simulator);
    } else {
      (*manager)->Act(last, simulator);
    }
    result.actions = simulator->cost().actions;
    result.extra_core_seconds = simulator->cost().core_seconds;
    result.refused = simulator->cost().refused;
    double planned = 0;
    for (const cluster::Station& station : simulator->stations()) planned += station.initial_cores;
    result.core_seconds = planned * scenario.seconds;
  };
  result.truth = cluster::RunScenario(run.model, scenario, [&](const ClusterTick& tick) {
    last = tick;
    if (options.watch) options.watch(tick);
  });
  for (const cluster::TruthRow& row : result.truth) {
    if (is_base) result.foreseeable.push_back(foresight.Foreseeable(row.violation));
  }
  if (!is_base) {
    result.said = (*manager)->said();
    result.acted_ns = (*manager)->acted_ns();
  }
  return result;
}

}  // namespace seer::evaluation
