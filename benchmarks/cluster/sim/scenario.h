// Flow: Model, seed -> [DrawFaults, RunScenario] -> ClusterTick, TruthRow
//
// A whole run: what goes wrong when, what the cluster shows tick by tick, and afterwards, for those
// who judge, which violations were whose fault.
//
//   auto faults = DrawFaults(model.get(), {/*seed=*/3, /*seconds=*/3600});
//   ScenarioOptions scenario;
//   scenario.simulator.faults = faults;
//   scenario.seconds = 3600;
//   std::vector<TruthRow> truth = RunScenario(model, scenario, [&](const ClusterTick& t) { ... });
//
// Truth. The state at a fault's start is kept; at the end the fault's window is played again from
// there without it, with the same random numbers. A violation that then does not start was the
// fault's doing, and its culprit is the fault's service; one that starts all the same is "load".
// Of contention on a server the fault's service is the one on it that breaks first.
//
// Threads: one at a time. Cost: the run, and each fault's window once more.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "benchmarks/cluster/sim/simulator.h"
#include "seer/window/violations.h"

namespace seer::cluster {

struct ScheduleOptions {
  std::uint64_t seed = 1;
  double seconds = 3600;
  // The paper's proportions: application about as many as compute, then network, cache and memory,
  // disk. Some breach nothing: about ten an hour do.
  double severe_per_hour = 14;
  double harmless_per_hour = 8;  // mild, off the critical path, or on innocent servers
  double mean_seconds = 8;       // of a fault; 3 at least
  double gap_seconds = 20;       // from one's end to the next one's start, at least
  double rate = 1000;            // requests per second of each application, for magnitudes
};

// By start. Adds trees to the model, for calls back.
std::vector<Fault> DrawFaults(Model* model, const ScheduleOptions& options);

// A class's calls change during the run, as after a deployment.
struct Update {
  enum Kind : std::uint8_t { kNewService, kBackEnd, kFrontEnd, kOtherApplication, kNoEffect };
  Kind kind = kNoEffect;
  std::int64_t at_ns = 0;
  std::uint32_t request_class = 0;
  std::uint32_t root = 0;
};
std::vector<Update> DrawUpdates(Model* model, std::uint64_t seed, double seconds,
                                std::uint32_t count);

struct ScenarioOptions {
  SimulatorOptions simulator;
  double seconds = 60;
  std::vector<Update> updates;
  bool truth = true;
  // Called after each tick; may Act(). Replays for truth do not act.
  std::function<void(Simulator*)> control;
};

struct TruthRow {
  Violation violation;  // with initiation, culprit and confidence 1
  std::int32_t fault = -1;
  std::string cause;  // "cpu", ..., "application", "load"
};

std::vector<TruthRow> RunScenario(std::shared_ptr<const Model> model,
                                  const ScenarioOptions& options,
                                  const std::function<void(const ClusterTick&)>& sink);

}  // namespace seer::cluster
