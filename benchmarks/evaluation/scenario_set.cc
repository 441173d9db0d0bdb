#include "benchmarks/evaluation/scenario_set.h"

#include <simdjson.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>

#include "benchmarks/cluster/sim/initiator.h"
#include "benchmarks/cluster/sim/substream.h"
#include "benchmarks/evaluation/csv.h"

namespace seer::evaluation {
namespace {

using simdjson::dom::element;
using simdjson::dom::object;

// The fields of one object. Each is taken at most once; Done() tells which were not.
class Fields {
 public:
  Fields(std::string where, object json) : where_(std::move(where)), json_(json) {}

  void Number(std::string_view name, double low, double high, double* value) {
    element field;
    if (!Take(name, &field)) return;
    double number = 0;
    if (field.get_double().get(number) != simdjson::SUCCESS || !(number >= low && number <= high)) {
      Wrong(name, "give a number from " + Text(low) + " to " + Text(high));
      return;
    }
    *value = number;
  }
  template <typename Int>
  void Integer(std::string_view name, double low, double high, Int* value) {
    double number = static_cast<double>(*value);
    Number(name, low, high, &number);
    if (number != std::floor(number)) Wrong(name, "give a whole number");
    *value = static_cast<Int>(number);
  }
  void Flag(std::string_view name, bool* value) {
    element field;
    if (!Take(name, &field)) return;
    if (field.get_bool().get(*value) != simdjson::SUCCESS) Wrong(name, "give true or false");
  }
  void String(std::string_view name, std::string* value) {
    element field;
    if (!Take(name, &field)) return;
    std::string_view text;
    if (field.get_string().get(text) != simdjson::SUCCESS) Wrong(name, "give a string");
    *value = std::string(text);
  }
  void Strings(std::string_view name, std::vector<std::string>* values) {
    List(name, "give a list of strings", [&](const element& item) {
      std::string_view text;
      if (item.get_string().get(text) != simdjson::SUCCESS) return false;
      values->emplace_back(text);
      return true;
    });
  }
  void Integers(std::string_view name, std::vector<std::int64_t>* values) {
    values->clear();
    List(name, "give a list of whole numbers above 0", [&](const element& item) {
      std::int64_t number = 0;
      if (item.get_int64().get(number) != simdjson::SUCCESS || number < 1) return false;
      values->push_back(number);
      return true;
    });
  }
  template <typename Read>
  void Object(std::string_view name, const Read& read) {
    element field;
    if (!Take(name, &field)) return;
    object inner;
    if (field.get_object().get(inner) != simdjson::SUCCESS) {
      Wrong(name, "give an object");
      return;
    }
    Fields fields(where_ + std::string(name) + ".", inner);
    read(&fields);
    const absl::Status status = fields.Done();
    if (status_.ok()) status_ = status;
  }
  absl::Status Done() {
    for (const auto& [key, value] : json_) {
      if (std::find(taken_.begin(), taken_.end(), key) == taken_.end()) {
        Wrong(key, "there is no such field");
      }
    }
    return status_;
  }

 private:
  static std::string Text(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%g", value);
    return text;
  }
  bool Take(std::string_view name, element* field) {
    taken_.emplace_back(name);
    return json_.at_key(name).get(*field) == simdjson::SUCCESS;
  }
  template <typename Read>
  void List(std::string_view name, const char* help, const Read& read) {
    element field;
    if (!Take(name, &field)) return;
    simdjson::dom::array items;
    bool good = field.get_array().get(items) == simdjson::SUCCESS;
    if (good) {
      for (const element item : items) good = good && read(item);
    }
    if (!good) Wrong(name, help);
  }
  void Wrong(std::string_view name, const std::string& what) {
    if (status_.ok())
      status_ = absl::InvalidArgumentError(where_ + std::string(name) + ": " + what);
  }

  std::string where_;
  object json_;
  std::vector<std::string> taken_;
  absl::Status status_;
};

void ReadSet(Fields* f, SetPlan* set) {
  f->Integer("runs", 1, 10'000, &set->runs);
  f->Number("minutes", 0.5, 600, &set->minutes);
  f->Integer("first_seed", 1, 1e9, &set->first_seed);
  f->Number("severe_per_hour", 0, 1000, &set->severe_per_hour);
  f->Number("harmless_per_hour", 0, 1000, &set->harmless_per_hour);
  f->Flag("held_out", &set->held_out);
  f->Number("service_time_spread", 0, 10, &set->service_time_spread);
}

double Between(std::uint64_t key, double low, double high) {
  return low + (high - low) * cluster::Uniform(cluster::Mix(key));
}

void ScaleCalls(const std::vector<double>& factors, cluster::CallSpec* call) {
  if (call->us >= 0) call->us *= factors[call->service];
  for (auto& step : call->then) {
    for (cluster::CallSpec& child : step) ScaleCalls(factors, &child);
  }
}

void ScaleServiceTimes(double spread, std::uint64_t key, cluster::Application* app) {
  const double most = std::log1p(spread);
  std::vector<double> factors;
  for (cluster::ServiceSpec& service : app->services) {
    factors.push_back(
        std::exp(Between(cluster::Sub(key, cluster::KeyOf(service.name)), -most, most)));
    service.mean_service_us *= factors.back();
  }
  for (cluster::RequestSpec& request : app->requests) ScaleCalls(factors, &request.calls);
}

class Digest {
 public:
  void Add(std::uint64_t value) { hash_ = cluster::Sub(hash_, value); }
  void Add(double value) { Add(static_cast<std::uint64_t>(std::llround(value * 1e6))); }
  std::string Text() const {
    char text[17];
    std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(hash_));
    return text;
  }

 private:
  std::uint64_t hash_ = 1;
};

const SetPlan& PlanOf(const ScenarioSet& set, std::string_view name) {
  return name == "train" ? set.train : name == "validation" ? set.validation : set.test;
}

// A graph, and behind an "@" in which form.
struct AppName {
  std::string graph, variant;
};
AppName Parsed(const std::string& name) {
  const std::size_t at = name.find('@');
  if (at == std::string::npos) return {name, ""};
  return {name.substr(0, at), name.substr(at + 1)};
}

absl::StatusOr<cluster::Application> LoadApp(const std::string& name, const std::string& graphs) {
  const AppName parsed = Parsed(name);
  auto app = cluster::LoadApplication(graphs + "/" + parsed.graph + ".json");
  if (!app.ok() || parsed.variant.empty()) return app;
  return parsed.variant == "monolith" ? cluster::Monolith(*app) : cluster::ThreeTier(*app);
}

}  // namespace

absl::StatusOr<ScenarioSet> ParseScenarioSet(std::string_view file, std::string_view json) {
  simdjson::dom::parser parser;
  object root;
  if (parser.parse(simdjson::padded_string(json)).get_object().get(root) != simdjson::SUCCESS) {
    return absl::InvalidArgumentError(std::string(file) + ": not a JSON object");
  }
  ScenarioSet set;
  Fields f(std::string(file) + ": ", root);
  std::uint32_t version = 0;
  f.Integer("version", 1, 1, &version);
  f.Integer("edition", 1, 1000, &set.edition);
  f.String("frozen", &set.frozen);
  f.String("name", &set.name);
  f.Strings("apps", &set.apps);
  f.Integer("servers", 1, 10'000, &set.servers);
  f.Integer("containers", 0, 20'000, &set.containers);
  f.Number("rate", 1, 1e6, &set.rate);
  f.Number("rate_spread", 0, 0.9, &set.rate_spread);
  f.Number("diurnal", 0, 1, &set.diurnal);
  f.Integer("tick_ms", 10, 5000, &set.tick_ms);
  f.Integer("horizon_ms", 10, 60'000, &set.horizon_ms);
  f.Number("false_alarms_per_hour", 0, 1e6, &set.false_alarms_per_hour);
  f.Object("held_out", [&](Fields* held) {
    held->Strings("culprits", &set.culprits);
    held->Strings("causes", &set.causes);
  });
  set.train.held_out = set.validation.held_out = false;
  f.Object("train", [&](Fields* s) { ReadSet(s, &set.train); });
  f.Object("validation", [&](Fields* s) { ReadSet(s, &set.validation); });
  f.Object("test", [&](Fields* s) { ReadSet(s, &set.test); });
  f.Object("training", [&](Fields* t) {
    t->Integer("seeds", 1, 100, &set.training.seeds);
    t->Integer("stride", 1, 10'000, &set.training.stride);
    t->Integer("joint_stride", 1, 10'000, &set.training.joint_stride);
    t->Integer("rounds", 1, 5000, &set.training.rounds);
    t->Integer("depth", 1, 8, &set.training.depth);
    t->Integer("variant_runs", 0, 10'000, &set.training.variant_runs);
  });
  f.Object("oracle", [&](Fields* o) {
    o->Integer("futures", 1, 1000, &set.oracle.futures);
    o->Integer("violations", 0, 1e6, &set.oracle.violations);
    o->Integer("quiet_ticks", 0, 1e6, &set.oracle.quiet_ticks);
    o->Integers("leads_ms", &set.oracle.leads_ms);
    o->Integer("horizon_ms", 10, 10'000, &set.oracle.horizon_ms);
  });
  if (absl::Status status = f.Done(); !status.ok()) return status;
  const auto wrong = [&](std::string_view what) {
    return absl::InvalidArgumentError(std::string(file) + ": " + std::string(what));
  };
  if (version != 1) return wrong("version: 1 is the only one");
  if (set.apps.empty()) return wrong("apps: name at least one");
  for (const std::string& app : set.apps) {
    const std::string variant = Parsed(app).variant;
    if (app.find('@') == std::string::npos || variant == "monolith" || variant == "three-tier") {
      continue;
    }
    return wrong("apps: '" + app + "': behind the @ stands monolith or three-tier");
  }
  if (set.oracle.leads_ms.empty()) set.oracle.leads_ms = {100};
  for (const std::int64_t lead : set.oracle.leads_ms) {
    if (lead % set.tick_ms != 0) return wrong("oracle.leads_ms: give multiples of tick_ms");
    if (lead > set.oracle.horizon_ms) return wrong("oracle.leads_ms: give at most the horizon");
  }
  for (const std::string& cause : set.causes) {
    bool known = false;
    for (std::size_t k = 0; k < cluster::kFaultKinds; ++k) {
      known = known || cluster::FaultKindName(static_cast<cluster::FaultKind>(k)) == cause;
    }
    if (!known) return wrong("held_out.causes: there is no '" + cause + "' (sim/fault.h)");
  }
  return set;
}

std::vector<RunPlan> RunsOf(const ScenarioSet& set) {
  std::vector<RunPlan> runs;
  for (const std::string name : {"train", "validation", "test"}) {
    const SetPlan& plan = PlanOf(set, name);
    for (std::uint32_t i = 0; i < plan.runs; ++i) {
      const std::uint64_t seed = plan.first_seed + i;
      runs.push_back({name, name + "-" + std::to_string(seed), seed, plan.minutes});
    }
  }
  return runs;
}

absl::StatusOr<std::string> RunsDigest(const ScenarioSet& set, const std::string& graphs) {
  Digest digest;
  const auto text = [&](std::string_view t) { digest.Add(std::uint64_t{cluster::KeyOf(t)}); };
  digest.Add(std::uint64_t{set.edition});
  text(set.name);
  for (const std::string& app : set.apps) {
    text(app);
    auto bytes = ReadFile(graphs + "/" + Parsed(app).graph + ".json");
    if (!bytes.ok()) return bytes.status();
    text(*bytes);
  }
  for (const std::uint64_t count :
       {std::uint64_t{set.servers}, std::uint64_t{set.containers},
        static_cast<std::uint64_t>(set.tick_ms), std::uint64_t{set.oracle.futures},
        std::uint64_t{set.oracle.violations}, std::uint64_t{set.oracle.quiet_ticks},
        static_cast<std::uint64_t>(set.oracle.horizon_ms)}) {
    digest.Add(count);
  }
  for (const std::int64_t lead : set.oracle.leads_ms) digest.Add(static_cast<std::uint64_t>(lead));
  for (const double number : {set.rate, set.rate_spread, set.diurnal}) digest.Add(number);
  for (const auto* list : {&set.culprits, &set.causes}) {
    digest.Add(std::uint64_t{list->size()});
    for (const std::string& name : *list) text(name);
  }
  for (const SetPlan* plan : {&set.train, &set.validation, &set.test}) {
    digest.Add(std::uint64_t{plan->runs});
    digest.Add(plan->first_seed);
    digest.Add(std::uint64_t{plan->held_out});
    for (const double number : {plan->minutes, plan->severe_per_hour, plan->harmless_per_hour,
                                plan->service_time_spread}) {
      digest.Add(number);
    }
  }
  return digest.Text();
}

absl::StatusOr<PreparedRun> Prepare(const ScenarioSet& set, const RunPlan& plan,
                                    const std::string& graphs) {
  const SetPlan& own = PlanOf(set, plan.set);
  const std::uint64_t key = cluster::Sub(plan.seed, cluster::KeyOf("evaluation"));
  std::vector<cluster::Application> apps;
  for (const std::string& name : set.apps) {
    auto app = LoadApp(name, graphs);
    if (!app.ok()) return app.status();
    ScaleServiceTimes(own.service_time_spread, cluster::Sub(key, cluster::KeyOf(name)), &*app);
    apps.push_back(*std::move(app));
  }
  if (set.containers > 0) cluster::AddReplicas(set.containers, &apps);
  cluster::ModelOptions placement;
  placement.seed = plan.seed;
  auto model = cluster::BuildModel(apps, cluster::UniformCluster(set.servers), placement);
  if (!model.ok()) return model.status();
  for (const std::string& culprit : set.culprits) {
    if ((*model)->FindService(culprit) == cluster::kNone) {
      return absl::InvalidArgumentError("held_out.culprits: there is no service '" + culprit + "'");
    }
  }

  PreparedRun run;
  run.plan = plan;
  run.scenario.seconds = plan.minutes * 60;
  cluster::SimulatorOptions& simulator = run.scenario.simulator;
  simulator.seed = plan.seed;
  auto period = TickPeriod::FromNs(set.tick_ms * 1'000'000);
  if (!period.ok()) return period.status();
  simulator.period = *period;
  Digest placed, load, schedule;
  load.Add(plan.seed);  // the requests' random numbers
  for (std::size_t a = 0; a < apps.size(); ++a) {
    cluster::Load own_load;
    own_load.rate =
        set.rate * Between(cluster::Sub(key, 2 * a), 1 - set.rate_spread, 1 + set.rate_spread);
    own_load.amplitude = set.diurnal;
    own_load.phase_s = Between(cluster::Sub(key, 2 * a + 1), 0, own_load.period_s);
    load.Add(own_load.rate);
    load.Add(own_load.phase_s);
    simulator.loads.push_back(own_load);
  }
  cluster::ScheduleOptions options;
  options.seed = plan.seed;
  options.seconds = run.scenario.seconds;
  options.severe_per_hour = own.severe_per_hour;
  options.harmless_per_hour = own.harmless_per_hour;
  options.rate = set.rate;
  // Faults as dense as the set wants them: the default gap leaves no room for many.
  const double per_hour = own.severe_per_hour + own.harmless_per_hour;
  if (per_hour > 0) {
    options.gap_seconds = std::min(options.gap_seconds, std::max(6.0, 0.4 * 3600 / per_hour));
  }
  for (cluster::Fault& fault : cluster::DrawFaults(model->get(), options)) {
    // A fault of a server may make a culprit of each service there.
    const cluster::Site site = cluster::SiteOf(**model, fault);
    const bool unseen =
        std::any_of(site.services.begin(), site.services.end(),
                    [&](std::uint32_t service) {
                      return std::count(set.culprits.begin(), set.culprits.end(),
                                        (*model)->topology.service(ServiceId(service)).name) > 0;
                    }) ||
        std::count(set.causes.begin(), set.causes.end(), cluster::FaultKindName(fault.kind)) > 0;
    if (unseen && !own.held_out) continue;
    schedule.Add(static_cast<std::uint64_t>(fault.start_ns));
    schedule.Add(static_cast<std::uint64_t>(fault.kind));
    schedule.Add(std::uint64_t{fault.service});
    schedule.Add(fault.magnitude);
    simulator.faults.push_back(std::move(fault));
  }
  if (simulator.faults.empty()) schedule.Add(plan.seed);
  for (const cluster::Model::InstanceInfo& instance : (*model)->instances) {
    placed.Add(std::uint64_t{instance.server});
  }
  run.split.set = plan.set;
  run.split.run = plan.name;
  run.split.traits = {{"placement", placed.Text()},
                      {"seed", std::to_string(plan.seed)},
                      {"load", load.Text()},
                      {"faults", schedule.Text()}};
  run.model = *std::move(model);
  return run;
}

}  // namespace seer::evaluation
