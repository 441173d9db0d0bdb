// cluster-sim: simulates applications of ../graphs on a cluster and records what could be seen.
//
//   cluster-sim --app social_network --minutes 10 --seed 3 -o DIR
//
// writes DIR/run.seerdata (ticks), DIR/hardware.csv (each container, once a second) and
// DIR/truth.csv: which faults there were and whose doing each violation was. A predictor must not
// open truth.csv. --scenario takes all of it from a file (sim/scenario_file.h); --print writes that
// file, canonical, instead of running it.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "benchmarks/cluster/sim/scenario_file.h"
#include "benchmarks/cluster/theory_table.h"
#ifdef SEER_CLUSTER_DATASET
#include "seer/dataset/writer.h"
#endif

namespace {

using namespace seer::cluster;  // NOLINT: a program

constexpr char kUsage[] =
    "cluster-sim [--app NAME|FILE.json]... [--graphs DIR] [--minutes M] [--seed N] [--rate R]\n"
    "            [--diurnal A] [--servers N] [--containers N] [--heterogeneous]\n"
    "            [--placement random|spread|pack|by-application] [--tick-ms T] [--faults-per-hour "
    "F]\n"
    "            [--updates N] [--print] [-o DIR]\n"
    "cluster-sim --scenario FILE.json [--graphs DIR] [--print] [-o DIR]\n"
    "cluster-sim --theory SECONDS\n";

struct Options {
  std::vector<std::string> apps;
  std::string graphs = SEER_GRAPHS;
  std::string placement = "random";
  std::string out;
  double minutes = 10, rate = 1000, diurnal = 0, tick_ms = 100, faults_per_hour = 14;
  std::uint64_t seed = 1;
  std::uint32_t servers = 20, containers = 0, updates = 0;
  std::string scenario;
  bool heterogeneous = false, print = false;
};

int Fail(const std::string& what) {
  std::fprintf(stderr, "cluster-sim: %s\n", what.c_str());
  return 1;
}

bool Parse(int argc, char** argv, Options* o) {
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (name == "--heterogeneous" || name == "--print") {
      (name == "--print" ? o->print : o->heterogeneous) = true;
      continue;
    }
    if (i + 1 >= argc) return false;
    const std::string value = argv[++i];
    const double number = std::atof(value.c_str());
    if (name == "--scenario")
      o->scenario = value;
    else if (name == "--app")
      o->apps.push_back(value);
    else if (name == "--graphs")
      o->graphs = value;
    else if (name == "--minutes")
      o->minutes = number;
    else if (name == "--seed")
      o->seed = std::strtoull(value.c_str(), nullptr, 10);
    else if (name == "--rate")
      o->rate = number;
    else if (name == "--diurnal")
      o->diurnal = number;
    else if (name == "--servers")
      o->servers = static_cast<std::uint32_t>(number);
    else if (name == "--containers")
      o->containers = static_cast<std::uint32_t>(number);
    else if (name == "--placement")
      o->placement = value;
    else if (name == "--tick-ms")
      o->tick_ms = number;
    else if (name == "--faults-per-hour")
      o->faults_per_hour = number;
    else if (name == "--updates")
      o->updates = static_cast<std::uint32_t>(number);
    else if (name == "-o")
      o->out = value;
    else
      return false;
  }
  return true;
}

absl::StatusOr<ScenarioSpec> SpecOf(const Options& o) {
  if (!o.scenario.empty()) return LoadScenario(o.scenario);
  ScenarioSpec spec;
  spec.seed = o.seed;
  spec.seconds = o.minutes * 60;
  spec.tick_ms = o.tick_ms;
  spec.containers = o.containers;
  for (const std::string& name : o.apps) {
    ApplicationChoice& choice = spec.applications.emplace_back();
    choice.graph = name;
    choice.load = {o.rate, o.diurnal, 3600, 0};
  }
  spec.cluster =
      o.heterogeneous ? HeterogeneousCluster(o.servers, o.seed) : UniformCluster(o.servers);
  spec.placement.seed = o.seed;
  if (o.placement == "spread") spec.placement.placement = Placement::kSpread;
  if (o.placement == "pack") spec.placement.placement = Placement::kPack;
  if (o.placement == "by-application") spec.placement.placement = Placement::kByApplication;
  ScheduleOptions& schedule = spec.schedule.emplace().options;
  schedule.seed = o.seed;
  schedule.rate = o.rate;
  schedule.severe_per_hour = o.faults_per_hour;
  schedule.harmless_per_hour = o.faults_per_hour * 8 / 14;
  spec.update_seed = o.seed;
  spec.update_count = o.updates;
  return ScenarioFromJson(ScenarioToJson(spec));  // with all its checks
}

int Run(const Options& o) {
  const auto spec = SpecOf(o);
  if (!spec.ok()) return Fail(spec.status().ToString());
  if (o.print) {
    std::fputs(ScenarioToJson(*spec).c_str(), stdout);
    return 0;
  }
  auto built = BuildScenario(*spec, o.graphs);
  if (!built.ok()) return Fail(built.status().ToString());
  const std::shared_ptr<Model>& model = built->model;
  ScenarioOptions& scenario = built->options;
  const auto& faults = scenario.simulator.faults;
  const seer::Topology& topology = model->topology;

  std::ofstream hardware;
#ifdef SEER_CLUSTER_DATASET
  std::optional<seer::DatasetWriter> writer;
#endif
  absl::Status status;
  if (!o.out.empty()) {
    std::error_code error;
    std::filesystem::create_directories(o.out, error);
    hardware.open(o.out + "/hardware.csv");
    hardware << "time_ms,instance,node,resource,delay_us,utilisation,node_utilisation,"
                "node_saturation,requests\n";
#ifdef SEER_CLUSTER_DATASET
    auto created = seer::DatasetWriter::Create(o.out + "/run.seerdata");
    if (!created.ok()) return Fail(created.status().ToString());
    writer.emplace(*std::move(created));
    seer::DatasetRun run;
    run.name = "seed-" + std::to_string(spec->seed);
    run.period = scenario.simulator.period;
    run.provenance.source = "benchmarks/cluster";
    run.provenance.tool = "cluster-sim";
    run.provenance.note = "simulated";
    if (auto begun = writer->BeginRun(run); !begun.ok()) return Fail(begun.status().ToString());
    status = writer->SetTopology(topology);
#endif
  }
  scenario.control = [&](Simulator* simulator) {
    if (!hardware.is_open() || simulator->now_ns() % 1'000'000'000 != 0) return;
    simulator->ReadHardware();
    for (std::uint32_t i = 0; i < model->instances.size(); ++i) {
      const seer::HwReading reading = simulator->Hardware(i);
      for (seer::Resource r : seer::kAllResources) {
        hardware << reading.end_ns / 1'000'000 << ',' << topology.instance(seer::InstanceId(i)).name
                 << ',' << model->instances[i].server << ',' << seer::ResourceName(r) << ','
                 << reading.instance[r].delay_us.value << ','
                 << reading.instance[r].utilisation.value << ','
                 << reading.node[r].utilisation.value << ',' << reading.node[r].saturation.value
                 << ',' << reading.requests << '\n';
      }
    }
  };
  std::uint64_t requests = 0, over = 0;
  const std::vector<TruthRow> truth =
      RunScenario(model, scenario, [&](const seer::ClusterTick& tick) {
        for (const seer::ClassTick& c : tick.classes) requests += c.count, over += c.over_target;
#ifdef SEER_CLUSTER_DATASET
        if (writer && status.ok()) status = writer->Append(tick);
#endif
      });
#ifdef SEER_CLUSTER_DATASET
  if (writer && status.ok()) status = writer->EndRun();
#endif
  if (!status.ok()) return Fail(status.ToString());

  std::ofstream file;
  if (!o.out.empty()) file.open(o.out + "/truth.csv");
  if (file) {
    file << "row,start_ms,end_ms,class,initiation,culprit,cause,kind,magnitude,ramp_ms,mild,"
            "reason\n";
    for (const Fault& f : faults) {
      file << "fault," << (f.start_ns + scenario.simulator.start_ns) / 1'000'000 << ','
           << (f.end_ns + scenario.simulator.start_ns) / 1'000'000 << ",,,"
           << (f.service == kNone ? "" : topology.service(seer::ServiceId(f.service)).name) << ','
           << CauseOf(f.kind) << ',' << FaultKindName(f.kind) << ',' << f.magnitude << ','
           << f.ramp_ns / 1'000'000 << ',' << f.mild << ",\n";
    }
  }
  std::printf("%zu faults, %zu violations, %llu requests, %llu over target\n", faults.size(),
              truth.size(), static_cast<unsigned long long>(requests),
              static_cast<unsigned long long>(over));
  for (const TruthRow& row : truth) {
    const seer::Violation& v = row.violation;
    const std::string name = topology.request_class(v.request_class).application + "/" +
                             topology.request_class(v.request_class).name;
    const std::string culprit =
        v.culprit.valid() ? topology.service(v.culprit).name : std::string();
    const std::string kind(row.fault < 0 ? "" : FaultKindName(faults[row.fault].kind));
    std::printf("%8.1f s  %5.1f s  %-32s %-40s %s %s %s\n",
                static_cast<double>(v.start_ns - scenario.simulator.start_ns) * 1e-9,
                static_cast<double>(v.end_ns - v.start_ns) * 1e-9, name.c_str(), culprit.c_str(),
                row.cause.c_str(), kind.c_str(), row.reason.c_str());
    if (file) {
      file << "violation," << v.start_ns / 1'000'000 << ',' << v.end_ns / 1'000'000 << ',' << name
           << ',' << seer::InitiationName(v.initiation) << ',' << culprit << ',' << row.cause << ','
           << kind << ",,,," << row.reason << '\n';
    }
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3 && std::strcmp(argv[1], "--theory") == 0) {
    PrintTheoryTable(std::max(1.0, std::atof(argv[2])), SEER_GRAPHS);
    return 0;
  }
  Options options;
  if (!Parse(argc, argv, &options)) {
    std::fputs(kUsage, stderr);
    return 2;
  }
  if (options.apps.empty()) {
    options.apps = {"social_network", "media", "ecommerce", "banking", "hotel"};
  }
  return Run(options);
}
