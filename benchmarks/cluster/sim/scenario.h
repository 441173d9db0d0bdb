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
// Truth. The state at a fault's start is kept; once all is calm again, 60 s after its end at most,
// the time since is played again without it, with the same random numbers. A violation that then
// does not start was the fault's doing; one that does is "load".
//   initiator  The service whose fault it is. Where a fault hits several, all those on a server or
//              on its network, or a circle of calls: the one of them that held up the violation's
//              requests the longest, compared request by request with a replay without the fault
//              (initiator.h).
//   reason     "fault" while the fault lasts, "aftermath" once it is over. "load": nobody's doing,
//              the same violation starts in a run without any fault; or that of a load spike.
//              "several": it does not, but taking away no single fault prevents it; the fault is
//              the last that had begun, the confidence one half.
//
// Threads: one at a time. Cost: the run, and each fault's window once more; of those that hit
// several services up to three times.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
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
  // Where given, only these kinds of faults; never those. So too for the services whose fault it
  // is. To hold out whole causes and whole culprits.
  std::vector<FaultKind> only_kinds, not_kinds;
  std::vector<std::uint32_t> only_services, not_services;
};

// By start. Adds trees to the model, for calls back.
std::vector<Fault> DrawFaults(Model* model, const ScheduleOptions& options);

// A call of `callee` back to `service`, from which it was called. With `again` the service calls it
// once more, over a third one where there is one between them: calls that feed themselves, the
// cyclic trio. For Fault::tree.
absl::StatusOr<std::uint32_t> AddCallBack(Model* model, std::uint32_t service, std::uint32_t callee,
                                          bool again);

// The calls of a class change during the run, as after a deployment. The paper's (its Fig. 13): new
// services, another back end or front end, calls into another application, and changes that nobody
// should notice. Later ones build on earlier ones.
struct Update {
  enum Kind : std::uint8_t {
    kNewService,        // one that did not exist, on the path of a class
    kBackEnd,           // all databases become one store with other times: Cassandra for MongoDB
    kFrontEnd,          // the busiest front end becomes another one: node.js for nginx
    kOtherApplication,  // a class calls into another application, and what lies below there
    kNoEffect,          // a service that nobody waits for
  };
  Kind kind = kNoEffect;
  std::int64_t at_ns = 0;
  std::uint32_t request_class = 0;
  std::uint32_t root = 0;
};
inline constexpr std::size_t kUpdateKinds = 5;
inline constexpr Update::Kind kAllUpdateKinds[kUpdateKinds] = {
    Update::kNewService, Update::kBackEnd, Update::kFrontEnd, Update::kOtherApplication,
    Update::kNoEffect};
std::string_view UpdateKindName(Update::Kind kind);

// The rows of one deployment, one for each class that changes. Adds services and trees to the
// model; before a simulator is made of it.
absl::StatusOr<std::vector<Update>> MakeUpdate(Model* model, Update::Kind kind,
                                               std::uint32_t application, std::int64_t at_ns,
                                               std::uint64_t seed);
// So many deployments over the time, of kinds and applications that are drawn.
std::vector<Update> DrawUpdates(Model* model, std::uint64_t seed, double seconds,
                                std::uint32_t count);

struct ScenarioOptions {
  SimulatorOptions simulator;
  double seconds = 60;
  std::vector<Update> updates;
  bool truth = true;
  // Called after each tick; may Act(). Replays for truth do not act.
  std::function<void(Simulator*)> control;
  // Where set: the spans of a share of all requests (Simulator::KeepSpans), after each tick. Those
  // of requests that are open at the end never come.
  std::function<void(const SpanBatch&)> spans;
  double span_share = 1;
  std::uint32_t span_application = kNone;
};

struct TruthRow {
  Violation violation;  // with initiation, culprit and confidence
  std::int32_t fault = -1;
  std::string cause;   // "cpu", ..., "application", "load"
  std::string reason;  // "fault", "aftermath", "several", "load"
};

std::vector<TruthRow> RunScenario(std::shared_ptr<const Model> model,
                                  const ScenarioOptions& options,
                                  const std::function<void(const ClusterTick&)>& sink);

}  // namespace seer::cluster
