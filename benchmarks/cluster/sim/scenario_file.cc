// Scenario files, read and written. scenario_build.cc makes something of them.
#include "benchmarks/cluster/sim/scenario_file.h"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "benchmarks/cluster/sim/application_json.h"

namespace seer::cluster {
namespace {

using json::array;
using json::Bad;
using json::element;
using json::Fields;
using json::object;

constexpr std::string_view kVariants[] = {"microservices", "monolith", "three-tier"};
constexpr std::string_view kPlacements[] = {"random", "spread", "pack", "by-application"};

// The place of a name among others.
template <typename Names>
absl::Status Choose(const Fields& fields, std::string_view name, const Names& names,
                    std::size_t* index) {
  std::string text;
  SEER_CLUSTER_TRY(fields.Text(name, false, &text));
  if (text.empty()) return absl::OkStatus();
  std::string known;
  std::size_t i = 0;
  for (std::string_view candidate : names) {
    if (candidate == text) {
      *index = i;
      return absl::OkStatus();
    }
    known += i++ == 0 ? "" : ", ";
    known += candidate;
  }
  return Bad(fields.Path(name), "give one of " + known);
}

std::vector<std::string_view> KindNames() {
  std::vector<std::string_view> names;
  for (std::size_t k = 0; k < kFaultKinds; ++k) {
    names.push_back(FaultKindName(static_cast<FaultKind>(k)));
  }
  return names;
}

absl::Status Texts(const Fields& fields, std::string_view name, std::vector<std::string>* values) {
  array list;
  bool there = false;
  SEER_CLUSTER_TRY(fields.List(name, false, &list, &there));
  if (!there) return absl::OkStatus();
  for (element value : list) {
    std::string_view text;
    if (value.get(text) != simdjson::SUCCESS) return Bad(fields.Path(name), "give strings");
    values->emplace_back(text);
  }
  return absl::OkStatus();
}

absl::Status ReadChoice(const Fields& fields, ApplicationChoice* choice) {
  SEER_CLUSTER_TRY(fields.Only({"graph", "random", "application", "variant", "load"}));
  SEER_CLUSTER_TRY(fields.Text("graph", false, &choice->graph));
  object part;
  bool random = false, inlined = false, loaded = false;
  SEER_CLUSTER_TRY(fields.Object("random", &part, &random));
  if (random) {
    const Fields of(part, fields.Path("random"));
    SEER_CLUSTER_TRY(of.Only({"services", "seed"}));
    SEER_CLUSTER_TRY(of.Count("services", &choice->random_services));
    SEER_CLUSTER_TRY(of.Seed("seed", &choice->random_seed));
    if (choice->random_services < 4 || choice->random_services > 10'000) {
      return Bad(of.Path("services"), "give 4 to 10000");
    }
  }
  SEER_CLUSTER_TRY(fields.Object("application", &part, &inlined));
  if (inlined) {
    SEER_CLUSTER_TRY(
        ReadApplication(Fields(part, fields.Path("application")), &choice->application.emplace()));
    if (absl::Status status = Validate(*choice->application); !status.ok()) {
      return Bad(fields.Path("application"), std::string(status.message()));
    }
  }
  if ((choice->graph.empty() ? 0 : 1) + (random ? 1 : 0) + (inlined ? 1 : 0) != 1) {
    return Bad(fields.where(), "give one of graph, random and application");
  }
  std::size_t variant = 0;
  SEER_CLUSTER_TRY(Choose(fields, "variant", kVariants, &variant));
  choice->variant = static_cast<ApplicationChoice::Variant>(variant);
  SEER_CLUSTER_TRY(fields.Object("load", &part, &loaded));
  if (!loaded) return absl::OkStatus();
  const Fields of(part, fields.Path("load"));
  SEER_CLUSTER_TRY(of.Only({"rate", "amplitude", "period_s", "phase_s"}));
  SEER_CLUSTER_TRY(of.NumberIn("rate", 0, 1e7, &choice->load.rate));
  SEER_CLUSTER_TRY(of.NumberIn("amplitude", 0, 1, &choice->load.amplitude));
  SEER_CLUSTER_TRY(of.NumberIn("period_s", 0.01, 1e9, &choice->load.period_s));
  return of.NumberIn("phase_s", -1e9, 1e9, &choice->load.phase_s);
}

absl::Status ReadCluster(const Fields& fields, ClusterSpec* cluster) {
  SEER_CLUSTER_TRY(fields.Only({"servers", "heterogeneous", "switch_gbps"}));
  object part;
  bool mixed = false;
  SEER_CLUSTER_TRY(fields.Object("heterogeneous", &part, &mixed));
  if (mixed) {
    if (fields.Has("servers"))
      return Bad(fields.where(), "give servers or heterogeneous, not both");
    const Fields of(part, fields.Path("heterogeneous"));
    std::uint32_t servers = 20;
    std::uint64_t seed = 1;
    SEER_CLUSTER_TRY(of.Only({"servers", "seed"}));
    SEER_CLUSTER_TRY(of.Count("servers", &servers));
    SEER_CLUSTER_TRY(of.Seed("seed", &seed));
    if (servers < 1 || servers > 10'000) return Bad(of.Path("servers"), "give 1 to 10000");
    *cluster = HeterogeneousCluster(servers, seed);
  }
  double count = 0;
  if (!mixed && fields.Has("servers") && fields.Number("servers", &count).ok()) {
    std::uint32_t servers = 0;
    SEER_CLUSTER_TRY(fields.Count("servers", &servers));
    if (servers < 1 || servers > 10'000) return Bad(fields.Path("servers"), "give 1 to 10000");
    *cluster = UniformCluster(servers);
  } else if (!mixed && fields.Has("servers")) {
    cluster->servers.clear();
    const auto read = [&](const Fields& of) -> absl::Status {
      ServerSpec server;
      std::uint32_t copies = 1;
      SEER_CLUSTER_TRY(of.Only({"count", "cores", "speed", "nic_gbps", "memory_gb"}));
      SEER_CLUSTER_TRY(of.Count("count", &copies));
      SEER_CLUSTER_TRY(of.Count("cores", &server.cores));
      SEER_CLUSTER_TRY(of.NumberIn("speed", 0.01, 100, &server.speed));
      SEER_CLUSTER_TRY(of.NumberIn("nic_gbps", 0.001, 10'000, &server.nic_gbps));
      SEER_CLUSTER_TRY(of.NumberIn("memory_gb", 0.1, 1e6, &server.memory_gb));
      if (server.cores < 1 || server.cores > 4096) return Bad(of.Path("cores"), "give 1 to 4096");
      if (copies < 1 || cluster->servers.size() + copies > 10'000) {
        return Bad(of.Path("count"), "give at least 1, and 10000 servers in all at most");
      }
      cluster->servers.insert(cluster->servers.end(), copies, server);
      return absl::OkStatus();
    };
    SEER_CLUSTER_TRY(fields.Each("servers", true, read));
    if (cluster->servers.empty()) return Bad(fields.Path("servers"), "none: give one at least");
  }
  return fields.NumberIn("switch_gbps", 0.001, 1e6, &cluster->switch_gbps);
}

std::int64_t Ns(double seconds) { return std::llround(seconds * 1e9); }
double Seconds(std::int64_t ns) { return static_cast<double>(ns) / 1e9; }

absl::Status ReadFault(const Fields& fields, FaultChoice* choice) {
  SEER_CLUSTER_TRY(fields.Only({"kind", "start_s", "ramp_s", "end_s", "service", "callee", "server",
                                "application", "magnitude", "mild"}));
  std::size_t kind = kFaultKinds;
  SEER_CLUSTER_TRY(Choose(fields, "kind", KindNames(), &kind));
  if (kind == kFaultKinds) return Bad(fields.Path("kind"), "missing: add it");
  Fault& fault = choice->fault;
  fault.kind = static_cast<FaultKind>(kind);
  double start = 0, ramp = 0, end = 0;
  SEER_CLUSTER_TRY(fields.NumberIn("start_s", 0, 1e9, &start));
  SEER_CLUSTER_TRY(fields.NumberIn("ramp_s", 0, 1e9, &ramp));
  SEER_CLUSTER_TRY(fields.NumberIn("end_s", 0, 1e9, &end));
  if (end <= start) return Bad(fields.Path("end_s"), "not after start_s: raise it");
  fault.start_ns = Ns(start);
  fault.ramp_ns = Ns(ramp);
  fault.end_ns = Ns(end);
  SEER_CLUSTER_TRY(fields.Text("service", false, &choice->service));
  SEER_CLUSTER_TRY(fields.Text("callee", false, &choice->callee));
  SEER_CLUSTER_TRY(fields.Text("application", false, &choice->application));
  if (fields.Has("server")) {
    fault.server = 0;
    SEER_CLUSTER_TRY(fields.Count("server", &fault.server));
  }
  SEER_CLUSTER_TRY(fields.NumberIn("magnitude", 0, 1e9, &fault.magnitude));
  SEER_CLUSTER_TRY(fields.Flag("mild", &fault.mild));
  const bool on_server =
      fault.kind == FaultKind::kMemoryPartition || fault.kind == FaultKind::kNoisyNeighbour;
  const bool back = fault.kind == FaultKind::kCyclicSync || fault.kind == FaultKind::kPoolDeadlock;
  if (on_server && fault.server == kNone) return Bad(fields.Path("server"), "missing: add it");
  if (fault.kind == FaultKind::kLoadSpike) {
    if (choice->application.empty()) return Bad(fields.Path("application"), "missing: add it");
  } else if (!on_server && fault.kind != FaultKind::kSwitchFailure && choice->service.empty()) {
    return Bad(fields.Path("service"), "missing: add it");
  }
  if (back && choice->callee.empty()) return Bad(fields.Path("callee"), "missing: add it");
  return absl::OkStatus();
}

absl::Status ReadKinds(const Fields& fields, std::string_view name, std::vector<FaultKind>* kinds) {
  std::vector<std::string> names;
  SEER_CLUSTER_TRY(Texts(fields, name, &names));
  for (const std::string& text : names) {
    std::size_t kind = 0;
    while (kind < kFaultKinds && FaultKindName(static_cast<FaultKind>(kind)) != text) ++kind;
    if (kind == kFaultKinds) {
      return Bad(fields.Path(name), "there is no kind '" + text + "': give those of fault.h");
    }
    kinds->push_back(static_cast<FaultKind>(kind));
  }
  return absl::OkStatus();
}

absl::Status ReadSchedule(const Fields& fields, ScheduleChoice* choice) {
  SEER_CLUSTER_TRY(
      fields.Only({"seed", "severe_per_hour", "harmless_per_hour", "mean_s", "gap_s", "rate",
                   "only_kinds", "not_kinds", "only_services", "not_services"}));
  ScheduleOptions& options = choice->options;
  SEER_CLUSTER_TRY(fields.Seed("seed", &options.seed));
  SEER_CLUSTER_TRY(fields.NumberIn("severe_per_hour", 0, 3600, &options.severe_per_hour));
  SEER_CLUSTER_TRY(fields.NumberIn("harmless_per_hour", 0, 3600, &options.harmless_per_hour));
  SEER_CLUSTER_TRY(fields.NumberIn("mean_s", 3, 3600, &options.mean_seconds));
  SEER_CLUSTER_TRY(fields.NumberIn("gap_s", 0, 1e6, &options.gap_seconds));
  SEER_CLUSTER_TRY(fields.NumberIn("rate", 0, 1e7, &options.rate));
  SEER_CLUSTER_TRY(ReadKinds(fields, "only_kinds", &options.only_kinds));
  SEER_CLUSTER_TRY(ReadKinds(fields, "not_kinds", &options.not_kinds));
  SEER_CLUSTER_TRY(Texts(fields, "only_services", &choice->only_services));
  return Texts(fields, "not_services", &choice->not_services);
}

std::vector<std::string_view> UpdateNames() {
  std::vector<std::string_view> names;
  for (Update::Kind kind : kAllUpdateKinds) names.push_back(UpdateKindName(kind));
  return names;
}

absl::Status ReadUpdate(const Fields& fields, UpdateChoice* choice) {
  SEER_CLUSTER_TRY(fields.Only({"kind", "at_s", "application", "seed"}));
  std::size_t kind = kUpdateKinds;
  SEER_CLUSTER_TRY(Choose(fields, "kind", UpdateNames(), &kind));
  if (kind == kUpdateKinds) return Bad(fields.Path("kind"), "missing: add it");
  choice->kind = static_cast<Update::Kind>(kind);
  SEER_CLUSTER_TRY(fields.NumberIn("at_s", 0, 1e9, &choice->at_s));
  SEER_CLUSTER_TRY(fields.Text("application", true, &choice->application));
  return fields.Seed("seed", &choice->seed);
}

absl::Status ReadScenario(const Fields& fields, ScenarioSpec* spec) {
  SEER_CLUSTER_TRY(fields.Only({"name", "seed", "seconds", "tick_ms", "start_unix_ms", "background",
                                "truth", "applications", "containers", "service_times", "cluster",
                                "placement", "faults", "schedule", "updates"}));
  SEER_CLUSTER_TRY(fields.Text("name", false, &spec->name));
  SEER_CLUSTER_TRY(fields.Seed("seed", &spec->seed));
  SEER_CLUSTER_TRY(fields.NumberIn("seconds", 0.001, 1e7, &spec->seconds));
  SEER_CLUSTER_TRY(fields.NumberIn("tick_ms", 10, 5000, &spec->tick_ms));
  SEER_CLUSTER_TRY(fields.Integer("start_unix_ms", 0, 4'000'000'000'000, &spec->start_unix_ms));
  SEER_CLUSTER_TRY(fields.NumberIn("background", 0, 10, &spec->background));
  SEER_CLUSTER_TRY(fields.Flag("truth", &spec->truth));
  SEER_CLUSTER_TRY(fields.Count("containers", &spec->containers));
  if (spec->containers > 100'000) return Bad(fields.Path("containers"), "give at most 100000");
  SEER_CLUSTER_TRY(fields.Each("applications", true, [&](const Fields& of) {
    return ReadChoice(of, &spec->applications.emplace_back());
  }));
  if (spec->applications.empty() || spec->applications.size() > 100) {
    return Bad(fields.Path("applications"), "give 1 to 100");
  }
  const auto read_change = [&](const Fields& of) -> absl::Status {
    ServiceTimeChange& change = spec->service_times.emplace_back();
    SEER_CLUSTER_TRY(of.Only({"service", "factor"}));
    SEER_CLUSTER_TRY(of.Text("service", true, &change.service));
    return of.NumberIn("factor", 0, 1000, &change.factor);
  };
  SEER_CLUSTER_TRY(fields.Each("service_times", false, read_change));
  object part;
  bool there = false;
  SEER_CLUSTER_TRY(fields.Object("cluster", &part, &there));
  if (there) {
    SEER_CLUSTER_TRY(ReadCluster(Fields(part, fields.Path("cluster")), &spec->cluster));
  }
  SEER_CLUSTER_TRY(fields.Object("placement", &part, &there));
  spec->placement.seed = spec->seed;
  if (there) {
    const Fields of(part, fields.Path("placement"));
    std::size_t strategy = 0;
    SEER_CLUSTER_TRY(of.Only({"strategy", "seed"}));
    SEER_CLUSTER_TRY(Choose(of, "strategy", kPlacements, &strategy));
    SEER_CLUSTER_TRY(of.Seed("seed", &spec->placement.seed));
    spec->placement.placement = static_cast<Placement>(strategy);
  }
  SEER_CLUSTER_TRY(fields.Each("faults", false, [&](const Fields& of) {
    return ReadFault(of, &spec->faults.emplace_back());
  }));
  SEER_CLUSTER_TRY(fields.Object("schedule", &part, &there));
  if (there) {
    spec->schedule.emplace().options.seed = spec->seed;
    spec->schedule->options.rate = 0;  // the largest of the loads
    SEER_CLUSTER_TRY(ReadSchedule(Fields(part, fields.Path("schedule")), &*spec->schedule));
  }
  spec->update_seed = spec->seed;
  if (object drawn; fields.Has("updates") && fields.Object("updates", &drawn, &there).ok()) {
    const Fields of(drawn, fields.Path("updates"));
    SEER_CLUSTER_TRY(of.Only({"seed", "count"}));
    SEER_CLUSTER_TRY(of.Seed("seed", &spec->update_seed));
    SEER_CLUSTER_TRY(of.Count("count", &spec->update_count));
    if (spec->update_count > 1000) return Bad(of.Path("count"), "give at most 1000");
    return absl::OkStatus();
  }
  return fields.Each("updates", false, [&](const Fields& of) {
    return ReadUpdate(of, &spec->updates.emplace_back());
  });
}

void WriteTexts(std::string_view name, const std::vector<std::string>& values, json::Writer* out) {
  out->Key(name).Open('[');
  for (const std::string& value : values) out->Text(value);
  out->Close(']');
}

void WriteKinds(std::string_view name, const std::vector<FaultKind>& kinds, json::Writer* out) {
  out->Key(name).Open('[');
  for (FaultKind kind : kinds) out->Text(FaultKindName(kind));
  out->Close(']');
}

void WriteChoice(const ApplicationChoice& choice, json::Writer* out) {
  out->Open('{');
  if (choice.application.has_value()) {
    out->Key("application");
    WriteApplication(*choice.application, out);
  } else if (!choice.graph.empty()) {
    out->Field("graph", choice.graph);
  } else {
    out->Key("random").Open('{').Field("services", choice.random_services);
    out->Field("seed", choice.random_seed).Close('}');
  }
  out->Field("variant", kVariants[choice.variant]);
  out->Key("load").Open('{').Field("rate", choice.load.rate);
  out->Field("amplitude", choice.load.amplitude).Field("period_s", choice.load.period_s);
  out->Field("phase_s", choice.load.phase_s).Close('}').Close('}');
}

bool Same(const ServerSpec& a, const ServerSpec& b) {
  return a.cores == b.cores && a.speed == b.speed && a.nic_gbps == b.nic_gbps &&
         a.memory_gb == b.memory_gb;
}

void WriteCluster(const ClusterSpec& cluster, json::Writer* out) {
  out->Key("cluster").Open('{').Key("servers").Open('[');
  for (std::size_t v = 0; v < cluster.servers.size();) {
    const ServerSpec& server = cluster.servers[v];
    std::size_t end = v;
    while (end < cluster.servers.size() && Same(cluster.servers[end], server)) ++end;
    out->Open('{').Field("count", end - v).Field("cores", server.cores);
    out->Field("speed", server.speed).Field("nic_gbps", server.nic_gbps);
    out->Field("memory_gb", server.memory_gb).Close('}');
    v = end;
  }
  out->Close(']').Field("switch_gbps", cluster.switch_gbps).Close('}');
}

void WriteFault(const FaultChoice& choice, json::Writer* out) {
  const Fault& fault = choice.fault;
  out->Open('{').Field("kind", FaultKindName(fault.kind));
  out->Field("start_s", Seconds(fault.start_ns)).Field("ramp_s", Seconds(fault.ramp_ns));
  out->Field("end_s", Seconds(fault.end_ns));
  if (!choice.service.empty()) out->Field("service", choice.service);
  if (!choice.callee.empty()) out->Field("callee", choice.callee);
  if (fault.server != kNone) out->Field("server", fault.server);
  if (!choice.application.empty()) out->Field("application", choice.application);
  out->Field("magnitude", fault.magnitude).Field("mild", fault.mild).Close('}');
}

}  // namespace

std::string ScenarioToJson(const ScenarioSpec& spec) {
  json::Writer out;
  out.Open('{').Field("name", spec.name).Field("seed", spec.seed).Field("seconds", spec.seconds);
  out.Field("tick_ms", spec.tick_ms).Field("start_unix_ms", spec.start_unix_ms);
  out.Field("background", spec.background).Field("truth", spec.truth);
  out.Key("applications").Open('[');
  for (const ApplicationChoice& choice : spec.applications) WriteChoice(choice, &out);
  out.Close(']').Field("containers", spec.containers).Key("service_times").Open('[');
  for (const ServiceTimeChange& change : spec.service_times) {
    out.Open('{').Field("service", change.service).Field("factor", change.factor).Close('}');
  }
  out.Close(']');
  WriteCluster(spec.cluster, &out);
  out.Key("placement").Open('{');
  out.Field("strategy", kPlacements[static_cast<std::size_t>(spec.placement.placement)]);
  out.Field("seed", spec.placement.seed).Close('}');
  out.Key("faults").Open('[');
  for (const FaultChoice& choice : spec.faults) WriteFault(choice, &out);
  out.Close(']');
  if (spec.schedule.has_value()) {
    const ScheduleOptions& options = spec.schedule->options;
    out.Key("schedule").Open('{').Field("seed", options.seed);
    out.Field("severe_per_hour", options.severe_per_hour);
    out.Field("harmless_per_hour", options.harmless_per_hour);
    out.Field("mean_s", options.mean_seconds).Field("gap_s", options.gap_seconds);
    out.Field("rate", options.rate);
    WriteKinds("only_kinds", options.only_kinds, &out);
    WriteKinds("not_kinds", options.not_kinds, &out);
    WriteTexts("only_services", spec.schedule->only_services, &out);
    WriteTexts("not_services", spec.schedule->not_services, &out);
    out.Close('}');
  }
  if (spec.update_count > 0) {
    out.Key("updates").Open('{').Field("seed", spec.update_seed);
    out.Field("count", spec.update_count).Close('}');
  } else {
    out.Key("updates").Open('[');
    for (const UpdateChoice& update : spec.updates) {
      out.Open('{').Field("kind", UpdateKindName(update.kind)).Field("at_s", update.at_s);
      out.Field("application", update.application).Field("seed", update.seed).Close('}');
    }
    out.Close(']');
  }
  out.Close('}');
  return out.Take();
}

absl::StatusOr<ScenarioSpec> ScenarioFromJson(std::string_view json) {
  simdjson::dom::parser parser;
  const simdjson::padded_string padded(json);
  element root;
  if (const auto error = parser.parse(padded).get(root); error != simdjson::SUCCESS) {
    return absl::InvalidArgumentError(absl::StrCat("not JSON: ", simdjson::error_message(error)));
  }
  object fields;
  if (root.get(fields) != simdjson::SUCCESS) {
    return absl::InvalidArgumentError("not a scenario: give a JSON object");
  }
  ScenarioSpec spec;
  SEER_CLUSTER_TRY(ReadScenario(Fields(fields, ""), &spec));
  return spec;
}

absl::StatusOr<ScenarioSpec> LoadScenario(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return absl::NotFoundError(absl::StrCat(path, ": cannot be opened"));
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  absl::StatusOr<ScenarioSpec> spec = ScenarioFromJson(text);
  if (!spec.ok()) {
    return absl::Status(spec.status().code(), absl::StrCat(path, ": ", spec.status().message()));
  }
  spec->folder = std::filesystem::path(path).parent_path().string();
  return spec;
}

}  // namespace seer::cluster
