// evaluate-loop SCENARIOS GRAPHS [RUNS]: the control loop on the test runs of a scenario set,
// beside other managers and nobody. Prints a table, and a line of JSON for each figure.
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "benchmarks/evaluation/csv.h"
#include "benchmarks/evaluation/loop_run.h"

namespace seer::evaluation {
namespace {

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "evaluate-loop: %s\n", status.ToString().c_str());
  return 1;
}

double Percent(double part, double whole) { return whole > 0 ? 100 * part / whole : 0; }

// Macro-F1 over the causes that occur.
double MacroF1(const std::map<std::string, std::map<std::string, int>>& said_of) {
  double sum = 0;
  for (const auto& [cause, said] : said_of) {
    double hit = 0, of_cause = 0, said_so = 0;
    for (const auto& [what, n] : said) {
      of_cause += n;
      if (what == cause) hit += n;
    }
    for (const auto& [other, others] : said_of) {
      const auto found = others.find(cause);
      if (found != others.end()) said_so += found->second;
    }
    sum += of_cause + said_so > 0 ? 2 * hit / (of_cause + said_so) : 0;
  }
  return said_of.empty() ? 0 : sum / static_cast<double>(said_of.size());
}

int Main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "evaluate-loop SCENARIOS GRAPHS [RUNS]\n");
    return 1;
  }
  auto text = ReadFile(argv[1]);
  if (!text.ok()) return Fail(text.status());
  auto set = ParseScenarioSet(argv[1], *text);
  if (!set.ok()) return Fail(set.status());
  int left = argc > 3 ? std::atoi(argv[3]) : 1'000'000;
  std::map<LoopArm, LoopScore> scores;
  std::map<std::string, std::map<std::string, int>> said_of;
  for (const RunPlan& plan : RunsOf(*set)) {
    if (plan.set != "test" || left-- <= 0) continue;
    auto run = Prepare(*set, plan, argv[2]);
    if (!run.ok()) return Fail(run.status());
    LoopResult base;
    for (const LoopArm arm : kAllLoopArms) {
      auto result = RunLoop(*run, arm, base);
      if (!result.ok()) return Fail(result.status());
      if (arm == LoopArm::kNone) base = *result;
      scores[arm].Add(base, *result);
      if (arm == LoopArm::kSeerTold) {
        for (std::size_t i = 0; i < base.truth.size(); ++i) {
          ++said_of[base.truth[i].cause][std::string(CauseName(result->said[i]))];
        }
      }
    }
    std::fprintf(stderr, "evaluate-loop: %s: %zu violations\n", plan.name.c_str(),
                 base.truth.size());
  }
  std::printf("%-14s %10s %10s %12s %8s %10s %9s %8s\n", "manager", "violations", "avoided",
              "actionable", "caused", "left s", "extra cpu", "actions");
  for (const LoopArm arm : kAllLoopArms) {
    const LoopScore& s = scores[arm];
    std::printf(
        "%-14s %10zu %8.1f %% %10.1f %% %6.1f %% %10.1f %7.2f %% %8llu\n",
        std::string(LoopArmName(arm)).c_str(), s.violations,
        Percent(static_cast<double>(s.avoided), static_cast<double>(s.violations)),
        Percent(static_cast<double>(s.avoided_actionable), static_cast<double>(s.actionable)),
        Percent(static_cast<double>(s.caused), static_cast<double>(s.violations)), s.left_seconds,
        Percent(s.extra_core_seconds, s.core_seconds), static_cast<unsigned long long>(s.actions));
  }
  std::printf("\ncause, and what was said of it (told):\n");
  for (const auto& [cause, said] : said_of) {
    std::printf("  %-17s", cause.c_str());
    for (const auto& [what, n] : said) std::printf(" %s %d", what.c_str(), n);
    std::printf("\n");
  }
  const LoopScore& told = scores[LoopArm::kSeerTold];
  const LoopScore& scaler = scores[LoopArm::kAutoscaler];
  const auto figure = [](const char* id, double value, const char* unit) {
    std::printf("{\"id\":\"%s\",\"value\":%.3f,\"unit\":\"%s\"}\n", id, value, unit);
  };
  std::printf("\n");
  figure(
      "advise.avoided_actionable",
      Percent(static_cast<double>(told.avoided_actionable), static_cast<double>(told.actionable)),
      "%");
  figure("advise.avoided_all",
         Percent(static_cast<double>(told.avoided), static_cast<double>(told.violations)), "%");
  figure("advise.extra_cpu_pct", Percent(told.extra_core_seconds, told.core_seconds), "%");
  figure("advise.caused_pct",
         Percent(static_cast<double>(told.caused), static_cast<double>(told.violations)), "%");
  figure("advise.cause_f1", MacroF1(said_of), "");
  const auto each = [](const LoopScore& s) {
    const std::size_t n = s.violations - s.avoided;
    return n > 0 ? s.left_seconds / static_cast<double>(n) : 0;
  };
  figure("advise.recovery_ratio", each(scaler) > 0 ? each(told) / each(scaler) : 0, "x");
  return 0;
}

}  // namespace
}  // namespace seer::evaluation

int main(int argc, char** argv) { return seer::evaluation::Main(argc, argv); }
