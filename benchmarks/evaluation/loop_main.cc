// evaluate-loop: seer's control loop on the runs of a scenario set, beside other managers and
// nobody. Prints tables; --figures writes a line of JSON for each figure.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "benchmarks/cluster/sim/scenario_file.h"
#include "benchmarks/evaluation/csv.h"
#include "benchmarks/evaluation/figure.h"
#include "benchmarks/evaluation/loop_run.h"
#include "benchmarks/evaluation/loop_score.h"
#include "seer/predict/tree_model.h"

namespace seer::evaluation {
namespace {

constexpr char kUsage[] =
    "evaluate-loop --scenarios FILE --graphs FOLDER [...]\n"
    "  --sets NAMES    of train,validation,test (test)\n"
    "  --runs N        of each set, at most\n"
    "  --arms NAMES    seer-told,seer-told-300,seer,largest-depth,autoscaler,rate-limit (all)\n"
    "  --kind KIND     only faults of this kind, as cpu-contention\n"
    "  --draw KINDS    faults of these kinds alone, as many as the set has of all: to look at "
    "what\n"
    "                  is seldom\n"
    "  --rules FILE    other rules than the default ones\n"
    "  --futures N     for who is foreseeable (16)\n"
    "  --jobs N        runs at a time (as many as there are processors)\n"
    "  --model FILE    of the arm seer: a model that `seer train` made; none: the rival "
    "self-depth-z\n"
    "  --audit FILE    the control loops' audit trails, and the violations\n"
    "  --figures FILE  a line of JSON for each figure\n"
    "evaluate-loop --incidents FILES --graphs FOLDER [--arms NAMES]\n"
    "  scenarios of benchmarks/cluster, separated by commas: what each of their faults does, and "
    "to\n"
    "  whom in which order, without a manager and with some (seer-told,autoscaler)\n";

int Fail(std::string_view what) {
  std::fprintf(stderr, "evaluate-loop: %.*s\n", static_cast<int>(what.size()), what.data());
  return 1;
}

constexpr double kDrawnGapSeconds = 8;  // from one fault's end to the next one's start, at least

struct Arguments {
  std::string scenarios, graphs, sets = "test", arms, kind, draw, rules, audit, figures, model,
                                 incidents;
  int runs = 1'000'000;
  int futures = 16;
  int jobs = 0;
};

bool Parse(int argc, char** argv, Arguments* a) {
  const std::map<std::string_view, std::string*> texts = {
      {"--scenarios", &a->scenarios}, {"--graphs", &a->graphs},   {"--sets", &a->sets},
      {"--arms", &a->arms},           {"--kind", &a->kind},       {"--rules", &a->rules},
      {"--audit", &a->audit},         {"--figures", &a->figures}, {"--model", &a->model},
      {"--incidents", &a->incidents}, {"--draw", &a->draw}};
  const std::map<std::string_view, int*> numbers = {
      {"--runs", &a->runs}, {"--futures", &a->futures}, {"--jobs", &a->jobs}};
  for (int i = 1; i < argc; i += 2) {
    if (i + 1 >= argc) return false;
    if (const auto text = texts.find(argv[i]); text != texts.end()) {
      *text->second = argv[i + 1];
    } else if (const auto number = numbers.find(argv[i]); number != numbers.end()) {
      *number->second = std::atoi(argv[i + 1]);
      if (*number->second < 0) return false;
    } else {
      return false;
    }
  }
  return (!a->scenarios.empty() || !a->incidents.empty()) && !a->graphs.empty();
}

bool IsNamed(const std::string& list, std::string_view name) {
  return ("," + list + ",").find("," + std::string(name) + ",") != std::string::npos;
}

void PrintShare(const char* label, const LoopShare& share) {
  std::printf("  %-22s %5zu of %5zu, %5.1f %%   left %6.2f s each\n", label, share.avoided,
              share.violations, share.Avoided(), share.LeftEach());
}

void PrintArm(LoopArm arm, const LoopScore& s) {
  std::printf("%s: %llu actions, extra cpu %.2f %%, caused %.1f %%, refused %llu requests\n",
              std::string(LoopArmName(arm)).c_str(), static_cast<unsigned long long>(s.actions),
              s.ExtraCpuPercent(), s.CausedPercent(), static_cast<unsigned long long>(s.refused));
  PrintShare("avoided, of all", s.all);
  PrintShare("of the actionable", s.actionable);
  PrintShare("of the foreseeable", s.foreseeable);
  PrintShare("of those that are both", s.goal);
}

void PrintFates(const LoopScore& s) {
  std::printf("  %-18s", "what became of them");
  for (std::size_t f = 0; f < kLoopFates; ++f) {
    std::printf(" %15s", std::string(LoopFateName(static_cast<LoopFate>(f))).c_str());
  }
  std::printf("\n");
  for (const auto& [kind, fates] : s.fates) {
    std::printf("  %-18s", kind.c_str());
    for (const int n : fates) std::printf(" %15d", n);
    std::printf("\n");
  }
}

void PrintKinds(const LoopScore& s) {
  for (const auto& [kind, share] : s.of_kind) {
    const auto seen = s.of_kind_foreseeable.find(kind);
    const LoopShare none;
    const LoopShare& of_seen = seen == s.of_kind_foreseeable.end() ? none : seen->second;
    std::printf("  %-18s %4zu of %4zu avoided; of the foreseeable %4zu of %4zu\n", kind.c_str(),
                share.avoided, share.violations, of_seen.avoided, of_seen.violations);
  }
  PrintFates(s);
  std::printf("  cause, and what was said of it (F1 %.3f)\n", s.CauseF1());
  for (const auto& [cause, said] : s.said) {
    std::printf("    %-17s", std::string(CauseName(cause)).c_str());
    for (const auto& [what, n] : said) {
      std::printf(" %s %d", std::string(CauseName(what)).c_str(), n);
    }
    std::printf("\n");
  }
}

// Of a forecaster who knows; and of what seer foresees itself, where that arm ran with a model.
void WriteFigures(const std::string& path, bool has_model, std::map<LoopArm, LoopScore>* scores) {
  std::ofstream out(path, std::ios::app);
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  const double slowest = (*scores)[LoopArm::kAutoscaler].all.LeftEach();
  const auto write = [&](const std::string& prefix, const LoopScore& of) {
    const auto figure = [&](const char* id, double value, const char* unit, const char* goal,
                            const char* peer) {
      out << FigureLine({prefix + id, unit, {value, kNone, kNone, 0}, goal, peer}) << "\n";
    };
    figure("avoided_actionable", of.goal.Avoided(), "%", ">= 90", "");
    figure("avoided_all", of.all.Avoided(), "%", ">= 80", "");
    figure("extra_cpu_pct", of.ExtraCpuPercent(), "%", "<= 8", "");
    figure("caused_pct", of.CausedPercent(), "%", "<= 1", "");
    figure("cause_f1", of.CauseF1(), "", ">= 0.90", "");
    figure("recovery_ratio", slowest > 0 ? of.all.LeftEach() / slowest : 0, "x", "<= 0.5",
           "autoscaler");
  };
  write("advise.", (*scores)[LoopArm::kSeerTold]);
  if (has_model && scores->count(LoopArm::kSeer) != 0) {
    write("advise.seer_", (*scores)[LoopArm::kSeer]);
  }
}

// One run under all arms.
struct OneRun {
  absl::Status status;
  PreparedRun prepared;
  std::map<LoopArm, LoopResult> results;
  std::string audit;
};

// The violations that the told arm leaves, and how long the same ones last under the autoscaler:
// two managers' own rests are not the same violations.
void PrintRest(const std::vector<OneRun>& runs) {
  std::size_t rest = 0, scaler_avoids = 0;
  double base_s = 0, told_s = 0, scaler_s = 0;
  for (const OneRun& run : runs) {
    const auto told = run.results.find(LoopArm::kSeerTold);
    const auto scaler = run.results.find(LoopArm::kAutoscaler);
    if (told == run.results.end() || scaler == run.results.end()) return;
    for (const cluster::TruthRow& row : run.results.at(LoopArm::kNone).truth) {
      const std::optional<double> left = SecondsLeft(row, told->second);
      if (!left) continue;
      const std::optional<double> with_scaler = SecondsLeft(row, scaler->second);
      ++rest;
      base_s += static_cast<double>(row.violation.end_ns - row.violation.start_ns) * 1e-9;
      told_s += *left;
      scaler_s += with_scaler.value_or(0);
      scaler_avoids += with_scaler ? 0 : 1;
    }
  }
  if (rest == 0) return;
  const auto each = [&](double seconds) { return seconds / static_cast<double>(rest); };
  std::printf(
      "\nthe %zu that seer-told leaves last %.2f s each with it, %.2f s with the autoscaler (which "
      "avoids %zu of them), %.2f s with nobody\n",
      rest, each(told_s), each(scaler_s), scaler_avoids, each(base_s));
}

std::string Line(const PreparedRun& run, const LoopResult& result, std::size_t i) {
  const cluster::TruthRow& row = result.truth[i];
  const cluster::Fault* const fault = FaultOf(run, row);
  const Topology& t = run.model->topology;
  const Violation& v = row.violation;
  std::string line = absl::StrCat("violation ", t.request_class(v.request_class).application, "/",
                                  t.request_class(v.request_class).name, " start ",
                                  v.start_ns / 1'000'000, " end ", v.end_ns / 1'000'000,
                                  " culprit ", t.Has(v.culprit) ? t.service(v.culprit).name : "-",
                                  " worst ", v.worst_over, "/", v.worst_total, " foreseeable ",
                                  i < result.foreseeable.size() && result.foreseeable[i] ? 1 : 0);
  if (fault != nullptr) {
    absl::StrAppend(&line, " fault ", std::string(cluster::FaultKindName(fault->kind)), " start ",
                    (run.scenario.simulator.start_ns + fault->start_ns) / 1'000'000, " ramp ",
                    fault->ramp_ns / 1'000'000, " m ", fault->magnitude);
  }
  return line + "\n";
}

// Other faults than the set's: of these kinds alone.
void Draw(const ScenarioSet& set, const std::string& kinds, PreparedRun* run) {
  const SetPlan& plan = run->plan.set == "train"        ? set.train
                        : run->plan.set == "validation" ? set.validation
                                                        : set.test;
  cluster::ScheduleOptions options;
  options.seed = run->plan.seed;
  options.seconds = run->scenario.seconds;
  options.severe_per_hour = plan.severe_per_hour;
  options.harmless_per_hour = plan.harmless_per_hour;
  options.rate = set.rate;
  options.gap_seconds = kDrawnGapSeconds;
  for (std::size_t k = 0; k < cluster::kFaultKinds; ++k) {
    const auto kind = static_cast<cluster::FaultKind>(k);
    if (IsNamed(kinds, cluster::FaultKindName(kind))) options.only_kinds.push_back(kind);
  }
  auto model = std::make_shared<cluster::Model>(*run->model);
  run->scenario.simulator.faults = cluster::DrawFaults(model.get(), options);
  run->model = std::move(model);
}

void Do(const ScenarioSet& set, const RunPlan& plan, const Arguments& a, LoopOptions options,
        OneRun* out) {
  auto run = Prepare(set, plan, a.graphs);
  if (!run.ok()) {
    out->status = run.status();
    return;
  }
  out->prepared = *std::move(run);
  if (!a.draw.empty()) Draw(set, a.draw, &out->prepared);
  if (!a.kind.empty()) {
    for (cluster::Fault& fault : out->prepared.scenario.simulator.faults) {
      fault.enabled = cluster::FaultKindName(fault.kind) == a.kind;
    }
  }
  if (!a.audit.empty()) {
    options.audit = [out](std::string_view line) {
      out->audit.append(line.data(), line.size());
      out->audit += '\n';
    };
  }
  const auto began = std::chrono::steady_clock::now();
  for (const LoopArm arm : kAllLoopArms) {
    if (arm != LoopArm::kNone && !a.arms.empty() && !IsNamed(a.arms, LoopArmName(arm))) continue;
    if (!a.audit.empty()) {
      absl::StrAppend(&out->audit, "# ", plan.name, " ", std::string(LoopArmName(arm)), "\n");
    }
    auto result = RunLoop(out->prepared, arm, out->results[LoopArm::kNone], options);
    if (!result.ok()) {
      out->status = result.status();
      return;
    }
    for (std::size_t i = 0; !a.audit.empty() && i < result->truth.size(); ++i) {
      out->audit += Line(out->prepared, *result, i);
    }
    out->results[arm] = *std::move(result);
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  std::fprintf(stderr, "evaluate-loop: %s: %zu violations, %.0f s\n", plan.name.c_str(),
               out->results[LoopArm::kNone].truth.size(), took.count());
}

// ---- The paper's Fig. 2: one incident after the other, in several forms of an application.

// When more requests than usual stood at a service for the first time, by fault.
class Cascade {
 public:
  explicit Cascade(const PreparedRun& run) : run_(run), means_(run.model->services.size(), 0) {
    for (const cluster::Fault& fault : run.scenario.simulator.faults) {
      faults_.push_back({fault.start_ns, fault.end_ns, {}});
      first_ns_ = std::min(first_ns_, fault.start_ns);
    }
  }
  void Watch(const ClusterTick& tick) {
    const std::int64_t now_ns = tick.period.EndNs(tick.tick) - run_.scenario.simulator.start_ns;
    if (now_ns <= first_ns_) ++healthy_;
    for (std::size_t s = 0; s < means_.size(); ++s) {
      double depth = 0;
      for (const Channel channel : {Channel::kSocket, Channel::kAccept, Channel::kQueued,
                                    Channel::kRunning, Channel::kBlocked}) {
        depth += tick.services.depth(ServiceId(static_cast<std::uint32_t>(s)), channel).value_or(0);
      }
      if (now_ns <= first_ns_) {
        means_[s] += (depth - means_[s]) / static_cast<double>(healthy_);
        continue;
      }
      for (OneFault& fault : faults_) {
        if (now_ns <= fault.start_ns || now_ns > fault.end_ns + kAfterNs) continue;
        if (depth > std::max(kLeast, kTimes * means_[s])) {
          fault.crowded.emplace(static_cast<std::uint32_t>(s), now_ns - fault.start_ns);
        }
      }
    }
  }
  void Print(std::size_t fault) const {
    std::vector<std::pair<std::int64_t, std::string>> in_order;
    for (const auto& [service, after_ns] : faults_[fault].crowded) {
      in_order.emplace_back(after_ns, run_.model->topology.service(ServiceId(service)).name);
    }
    std::sort(in_order.begin(), in_order.end());
    std::printf("      crowded services: %zu", in_order.size());
    for (std::size_t i = 0; i < in_order.size() && i < 8; ++i) {
      std::printf("%s %s %.1f s", i == 0 ? ":" : ",", in_order[i].second.c_str(),
                  static_cast<double>(in_order[i].first) * 1e-9);
    }
    std::printf("%s\n", in_order.size() > 8 ? ", ..." : "");
  }

 private:
  static constexpr std::int64_t kAfterNs = 30'000'000'000;
  static constexpr double kLeast = 10, kTimes = 5;
  struct OneFault {
    std::int64_t start_ns, end_ns;
    std::map<std::uint32_t, std::int64_t> crowded;
  };
  const PreparedRun& run_;
  std::vector<double> means_;
  std::vector<OneFault> faults_;
  std::int64_t first_ns_ = std::numeric_limits<std::int64_t>::max();
  std::size_t healthy_ = 0;
};

int Incidents(const Arguments& a, LoopOptions options) {
  options.futures = 0;
  for (const absl::string_view file : absl::StrSplit(a.incidents, ',', absl::SkipEmpty())) {
    auto spec = cluster::LoadScenario(std::string(file));
    if (!spec.ok()) return Fail(spec.status().ToString());
    auto built = cluster::BuildScenario(*spec, a.graphs);
    if (!built.ok()) return Fail(built.status().ToString());
    PreparedRun run;
    run.plan.name = spec->name;
    run.model = built->model;
    run.scenario = built->options;
    std::printf("%s\n", spec->name.c_str());
    LoopResult base;
    for (const LoopArm arm : kAllLoopArms) {
      if (arm != LoopArm::kNone &&
          !IsNamed(a.arms.empty() ? "seer-told,autoscaler" : a.arms, LoopArmName(arm))) {
        continue;
      }
      Cascade cascade(run);
      options.watch = [&](const ClusterTick& tick) { cascade.Watch(tick); };
      auto result = RunLoop(run, arm, base, options);
      if (!result.ok()) return Fail(result.status().ToString());
      if (arm == LoopArm::kNone) base = *result;
      const auto& faults = run.scenario.simulator.faults;
      for (std::size_t f = 0; f < faults.size(); ++f) {
        const std::int64_t from_ns = run.scenario.simulator.start_ns + faults[f].start_ns;
        const std::int64_t until_ns = f + 1 < faults.size()
                                          ? run.scenario.simulator.start_ns + faults[f + 1].start_ns
                                          : std::numeric_limits<std::int64_t>::max();
        std::int64_t first_ns = 0, last_ns = 0;
        double seconds = 0;
        std::size_t violations = 0;
        for (const cluster::TruthRow& row : result->truth) {
          const Violation& v = row.violation;
          if (v.start_ns < from_ns || v.start_ns >= until_ns) continue;
          first_ns = violations == 0 ? v.start_ns : std::min(first_ns, v.start_ns);
          last_ns = std::max(last_ns, v.end_ns);
          seconds += static_cast<double>(v.end_ns - v.start_ns) * 1e-9;
          ++violations;
        }
        std::printf(
            "  %-12s %-16s %3zu violations, %6.1f s in all; recovered %5.1f s after the "
            "first began\n",
            std::string(LoopArmName(arm)).c_str(),
            std::string(cluster::FaultKindName(faults[f].kind)).c_str(), violations, seconds,
            static_cast<double>(last_ns - first_ns) * 1e-9);
        cascade.Print(f);
      }
    }
  }
  return 0;
}

int Main(int argc, char** argv) {
  Arguments a;
  if (!Parse(argc, argv, &a)) return Fail(kUsage);
  if (!a.incidents.empty()) return Incidents(a, LoopOptions());
  auto text = ReadFile(a.scenarios);
  if (!text.ok()) return Fail(text.status().ToString());
  auto set = ParseScenarioSet(a.scenarios, *text);
  if (!set.ok()) return Fail(set.status().ToString());
  LoopOptions options;
  options.futures = static_cast<std::uint32_t>(a.futures);
  if (!a.rules.empty()) {
    auto rules = ReadFile(a.rules);
    if (!rules.ok()) return Fail(rules.status().ToString());
    auto table = ParseRules(*rules);
    if (!table.ok()) return Fail(table.status().ToString());
    options.rules = *std::move(table);
  }
  if (!a.model.empty()) {
    auto model = LoadTreeModel(a.model);
    if (!model.ok()) return Fail(model.status().ToString());
    options.predictor = [model = *std::move(model)] { return MakeTreePredictor(model); };
  }
  std::vector<RunPlan> plans;
  std::map<std::string, int> runs_of;
  for (const RunPlan& plan : RunsOf(*set)) {
    if (IsNamed(a.sets, plan.set) && runs_of[plan.set]++ < a.runs) plans.push_back(plan);
  }
  // Runs are independent of each other, and take turns.
  std::vector<OneRun> runs(plans.size());
  std::atomic<std::size_t> next{0};
  std::vector<std::thread> threads;
  const unsigned jobs = a.jobs > 0 ? static_cast<unsigned>(a.jobs)
                                   : std::max(1u, std::thread::hardware_concurrency());
  for (unsigned t = 0; t < jobs; ++t) {
    threads.emplace_back([&] {
      // Relaxed: a number that is handed out once; join() orders what was written.
      for (std::size_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < plans.size();) {
        Do(*set, plans[i], a, options, &runs[i]);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::map<LoopArm, LoopScore> scores;
  std::ofstream audit;
  if (!a.audit.empty()) audit.open(a.audit);
  for (const OneRun& run : runs) {
    if (!run.status.ok()) return Fail(run.status.ToString());
    audit << run.audit;
    for (const auto& [arm, result] : run.results) {
      scores[arm].Add(run.prepared, run.results.at(LoopArm::kNone), result);
    }
  }
  for (const auto& [arm, score] : scores) PrintArm(arm, score);
  for (const LoopArm arm : {LoopArm::kSeerTold, LoopArm::kSeer, LoopArm::kAutoscaler}) {
    if (scores.count(arm) == 0) continue;
    std::printf("\n%s, by kind of fault:\n", std::string(LoopArmName(arm)).c_str());
    PrintKinds(scores[arm]);
  }
  PrintRest(runs);
  if (!a.figures.empty()) WriteFigures(a.figures, !a.model.empty(), &scores);
  return 0;
}

}  // namespace
}  // namespace seer::evaluation

int main(int argc, char** argv) { return seer::evaluation::Main(argc, argv); }
