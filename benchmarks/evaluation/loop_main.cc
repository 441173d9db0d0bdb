// evaluate-loop: seer's control loop on the runs of a scenario set, beside other managers and
// nobody. Prints tables; --figures writes a line of JSON for each figure.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "benchmarks/evaluation/csv.h"
#include "benchmarks/evaluation/loop_run.h"
#include "benchmarks/evaluation/loop_score.h"

namespace seer::evaluation {
namespace {

constexpr char kUsage[] =
    "evaluate-loop --scenarios FILE --graphs FOLDER [...]\n"
    "  --sets NAMES    of train,validation,test (test)\n"
    "  --runs N        of each set, at most\n"
    "  --arms NAMES    seer-told,seer-told-300,seer,largest-depth,autoscaler,rate-limit (all)\n"
    "  --kind KIND     only faults of this kind, as cpu-contention\n"
    "  --rules FILE    other rules than the default ones\n"
    "  --futures N     for who is foreseeable (16)\n"
    "  --audit FILE    the control loops' audit trails, and the violations\n"
    "  --figures FILE  a line of JSON for each figure\n";

int Fail(std::string_view what) {
  std::fprintf(stderr, "evaluate-loop: %.*s\n", static_cast<int>(what.size()), what.data());
  return 1;
}

struct Arguments {
  std::string scenarios, graphs, sets = "test", arms, kind, rules, audit, figures;
  int runs = 1'000'000;
  int futures = 16;
};

bool Parse(int argc, char** argv, Arguments* a) {
  const std::map<std::string_view, std::string*> texts = {
      {"--scenarios", &a->scenarios}, {"--graphs", &a->graphs},  {"--sets", &a->sets},
      {"--arms", &a->arms},           {"--kind", &a->kind},      {"--rules", &a->rules},
      {"--audit", &a->audit},         {"--figures", &a->figures}};
  const std::map<std::string_view, int*> numbers = {{"--runs", &a->runs},
                                                    {"--futures", &a->futures}};
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
  return !a->scenarios.empty() && !a->graphs.empty();
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

void PrintKinds(const LoopScore& s) {
  for (const auto& [kind, share] : s.of_kind) {
    const auto seen = s.of_kind_foreseeable.find(kind);
    const LoopShare none;
    const LoopShare& of_seen = seen == s.of_kind_foreseeable.end() ? none : seen->second;
    std::printf("  %-18s %4zu of %4zu avoided; of the foreseeable %4zu of %4zu\n", kind.c_str(),
                share.avoided, share.violations, of_seen.avoided, of_seen.violations);
  }
  std::printf("  cause, and what was said of it (F1 %.3f)\n", s.CauseF1());
  for (const auto& [cause, said] : s.said) {
    std::printf("    %-17s", std::string(CauseName(cause)).c_str());
    for (const auto& [what, n] : said) {
      std::printf(" %s %d", std::string(CauseName(what)).c_str(), n);
    }
    std::printf("\n");
  }
}

void WriteFigures(const std::string& path, std::map<LoopArm, LoopScore>* scores) {
  std::ofstream out(path, std::ios::app);
  const LoopScore& told = (*scores)[LoopArm::kSeerTold];
  const LoopScore& scaler = (*scores)[LoopArm::kAutoscaler];
  const auto figure = [&](const char* id, double value, const char* unit, const char* goal,
                          const char* peer) {
    char line[512];
    std::snprintf(line, sizeof(line),
                  R"({"id": "%s", "value": %.6g, "unit": "%s", "peer": "%s", "goal": "%s"})", id,
                  value, unit, peer, goal);
    out << line << "\n";
  };
  figure("advise.avoided_actionable", told.goal.Avoided(), "%", ">= 90", "");
  figure("advise.avoided_all", told.all.Avoided(), "%", ">= 80", "");
  figure("advise.extra_cpu_pct", told.ExtraCpuPercent(), "%", "<= 8", "");
  figure("advise.caused_pct", told.CausedPercent(), "%", "<= 1", "");
  figure("advise.cause_f1", told.CauseF1(), "", ">= 0.90", "");
  const double slowest = scaler.all.LeftEach();
  figure("advise.recovery_ratio", slowest > 0 ? told.all.LeftEach() / slowest : 0, "x", "<= 0.5",
         "autoscaler");
}

int Main(int argc, char** argv) {
  Arguments a;
  if (!Parse(argc, argv, &a)) return Fail(kUsage);
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
  std::ofstream audit;
  if (!a.audit.empty()) {
    audit.open(a.audit);
    options.audit = [&](std::string_view line) { audit << line << '\n'; };
  }
  std::map<LoopArm, LoopScore> scores;
  std::map<std::string, int> runs_of;
  for (const RunPlan& plan : RunsOf(*set)) {
    if (!IsNamed(a.sets, plan.set) || runs_of[plan.set]++ >= a.runs) continue;
    auto run = Prepare(*set, plan, a.graphs);
    if (!run.ok()) return Fail(run.status().ToString());
    if (!a.kind.empty()) {
      for (cluster::Fault& fault : run->scenario.simulator.faults) {
        fault.enabled = cluster::FaultKindName(fault.kind) == a.kind;
      }
    }
    LoopResult base;
    const auto began = std::chrono::steady_clock::now();
    for (const LoopArm arm : kAllLoopArms) {
      if (arm != LoopArm::kNone && !a.arms.empty() && !IsNamed(a.arms, LoopArmName(arm))) continue;
      if (audit.is_open()) audit << "# " << plan.name << " " << LoopArmName(arm) << "\n";
      auto result = RunLoop(*run, arm, base, options);
      if (!result.ok()) return Fail(result.status().ToString());
      for (std::size_t i = 0; audit.is_open() && i < result->truth.size(); ++i) {
        const cluster::TruthRow& row = result->truth[i];
        const cluster::Fault* const fault = FaultOf(*run, row);
        const Topology& t = run->model->topology;
        const Violation& v = row.violation;
        audit << "violation " << t.request_class(v.request_class).name << " start "
              << v.start_ns / 1'000'000 << " end " << v.end_ns / 1'000'000 << " culprit "
              << (t.Has(v.culprit) ? t.service(v.culprit).name : "-") << " worst " << v.worst_over
              << "/" << v.worst_total << " foreseeable "
              << (i < result->foreseeable.size() && result->foreseeable[i]);
        if (fault != nullptr) {
          audit << " fault " << cluster::FaultKindName(fault->kind) << " start "
                << (run->scenario.simulator.start_ns + fault->start_ns) / 1'000'000 << " ramp "
                << fault->ramp_ns / 1'000'000 << " m " << fault->magnitude;
        }
        audit << "\n";
      }
      if (arm == LoopArm::kNone) base = *result;
      scores[arm].Add(*run, base, *result);
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    std::fprintf(stderr, "evaluate-loop: %s: %zu violations, %.0f s\n", plan.name.c_str(),
                 base.truth.size(), took.count());
  }
  for (const auto& [arm, score] : scores) PrintArm(arm, score);
  for (const LoopArm arm : {LoopArm::kSeerTold, LoopArm::kAutoscaler}) {
    if (scores.count(arm) == 0) continue;
    std::printf("\n%s, by kind of fault:\n", std::string(LoopArmName(arm)).c_str());
    PrintKinds(scores[arm]);
  }
  if (!a.figures.empty()) WriteFigures(a.figures, &scores);
  return 0;
}

}  // namespace
}  // namespace seer::evaluation

int main(int argc, char** argv) { return seer::evaluation::Main(argc, argv); }
