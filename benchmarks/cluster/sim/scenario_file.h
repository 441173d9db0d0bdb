// Flow: scenario JSON -> [ScenarioSpec] -> BuiltScenario -> RunScenario
//
// A scenario as a file: which applications on which cluster under which load, what goes wrong and
// what is deployed meanwhile.
//
//   auto spec = seer::cluster::LoadScenario("benchmarks/cluster/scenarios/default.json");
//   auto built = seer::cluster::BuildScenario(*spec, SEER_GRAPHS);
//   auto truth = seer::cluster::RunScenario(built->model, built->options, sink);
//
// {"name", "seed", "seconds", "tick_ms", "start_unix_ms", "background", "truth",
//  "applications": [{"graph": name in the graphs folder or path of a .json | "random": {"services",
//      "seed"} | "application": {a graph file's content}, "variant": "microservices" | "monolith" |
//      "three-tier", "load": {"rate", "amplitude", "period_s", "phase_s"}}],
//  "containers": replicas are added until there are so many,
//  "service_times": [{"service": "application/service" | "application/*" | "*", "factor"}],
//  "cluster": {"servers": [{"count", "cores", "speed", "nic_gbps", "memory_gb"}] | count of the
//      paper's, "heterogeneous": {"servers", "seed"} instead, "switch_gbps"},
//  "placement": {"strategy": "random" | "spread" | "pack" | "by-application", "seed"},
//  "faults": [{"kind", "start_s", "ramp_s", "end_s", "service", "callee", "server", "application",
//      "magnitude", "mild"}],
//  "schedule": {"seed", "severe_per_hour", "harmless_per_hour", "mean_s", "gap_s", "rate",
//      "only_kinds", "not_kinds", "only_services", "not_services"},
//  "updates": {"seed", "count"} or [{"kind", "at_s", "application", "seed"}]}
//
// Everything but `applications` may be left out. A field that is not known is an error, which names
// its path. `faults` come beside those that a schedule draws. Names in a fault are those of the
// topology, "social_network/text-service"; `callee` is whom cyclic-sync and pool-deadlock have call
// back. A path of a graph is that of the scenario file's folder.
//
// Written back (ScenarioToJson) a scenario is canonical: every field, in one order, numbers as
// short as can be; and it reads as the same.
//
// Threads: plain values and pure functions.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "benchmarks/cluster/sim/scenario.h"

namespace seer::cluster {

struct ApplicationChoice {
  enum Variant : std::uint8_t { kMicroservices, kMonolith, kThreeTier };
  std::string graph;  // one of the three
  std::uint32_t random_services = 0;
  std::uint64_t random_seed = 1;
  std::optional<Application> application;
  Variant variant = kMicroservices;
  Load load;
};

struct ServiceTimeChange {
  std::string service;  // or with /* or * alone
  double factor = 1;
};

struct FaultChoice {
  Fault fault;  // its indices are filled in when the model is built
  std::string service, callee, application;
};

struct UpdateChoice {
  Update::Kind kind = Update::kNoEffect;
  double at_s = 0;
  std::string application;
  std::uint64_t seed = 1;
};

struct ScheduleChoice {
  ScheduleOptions options;  // without `seconds` and the services, which follow from the scenario
  std::vector<std::string> only_services, not_services;
};

struct ScenarioSpec {
  std::string name = "scenario";
  std::uint64_t seed = 1;
  double seconds = 600;
  double tick_ms = 100;
  std::int64_t start_unix_ms = 1'700'000'000'000;
  double background = 0.02;
  bool truth = true;
  std::vector<ApplicationChoice> applications;
  std::uint32_t containers = 0;
  std::vector<ServiceTimeChange> service_times;
  ClusterSpec cluster = DefaultCluster();
  ModelOptions placement;
  std::vector<FaultChoice> faults;
  std::optional<ScheduleChoice> schedule;
  std::uint64_t update_seed = 1;
  std::uint32_t update_count = 0;  // drawn
  std::vector<UpdateChoice> updates;
  std::string folder;  // of the file it came from; not written
};

// InvalidArgument with the path of the field, as "faults[2].kind: ...".
absl::StatusOr<ScenarioSpec> ScenarioFromJson(std::string_view json);
absl::StatusOr<ScenarioSpec> LoadScenario(const std::string& path);
std::string ScenarioToJson(const ScenarioSpec& spec);

struct BuiltScenario {
  std::shared_ptr<Model> model;
  ScenarioOptions options;
};
// Reads the graphs, places the instances, draws the schedule. NotFound for a graph or a service
// that does not exist.
absl::StatusOr<BuiltScenario> BuildScenario(const ScenarioSpec& spec, const std::string& graphs);

}  // namespace seer::cluster
