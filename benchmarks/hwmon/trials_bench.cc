// The figures of the live trials (trials.h). They are made once, whatever the number of
// repetitions; with --quick only so many that all that is needed is seen to run. Where they cannot
// be made (no root, no cgroup v1, a busy machine) the figures are missing, and the benchmark says
// why.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "benchmarks/harness/figure.h"
#include "benchmarks/hwmon/trials.h"

namespace seer::bench {
namespace {

const TrialResult& Result() {
  static const TrialResult result = [] {
    TrialOptions options;
    const std::string command = ReadFile("/proc/self/cmdline");
    if (command.find("--quick") != std::string::npos) {
      options.trials = 12;
      options.live_tests = 2;
    }
    return RunTrials(options);
  }();
  return result;
}

void BM_Trials(benchmark::State& state) {
  const TrialResult& result = Result();
  for (auto _ : state) benchmark::DoNotOptimize(result.score.made);
  if (!result.error.empty()) return state.SkipWithError(result.error.c_str());
  const TrialScore& score = result.score;
  if (score.contended == 0 || score.innocent == 0) {
    return state.SkipWithError("too busy: all trials of one kind were discarded");
  }
  state.counters["accuracy"] = score.accuracy_pct.back();
  state.counters["accuracy_100ms"] = score.accuracy_pct[0];
  state.counters["accuracy_300ms"] = score.accuracy_pct[1];
  state.counters["false_blame"] = score.false_blame_pct;
  state.counters["software_false_blame"] = score.software_false_blame_pct;
  state.counters["abstain"] = score.abstain_pct;
  state.counters["probe_rise"] = result.cost.p99_rise_pct;
  state.counters["probing_ms"] = result.cost.most_probing_ms;
  state.counters["abort_ms"] = result.cost.most_abort_ms;
  int tests[2] = {}, affected[2] = {};
  for (const LiveTest& live : result.live) {
    tests[live.beside_victim ? 1 : 0] += live.tests;
    affected[live.beside_victim ? 1 : 0] += live.affected;
  }
  state.counters["test_false"] = 100.0 * affected[0] / std::max(1, tests[0]);
  state.counters["test_power"] = 100.0 * affected[1] / std::max(1, tests[1]);
  state.counters["software"] = score.software_accuracy_pct;
  state.counters["discarded"] = score.discarded;
}
BENCHMARK(BM_Trials)->Iterations(1);

SEER_FIGURE(accuracy, Counter("hwmon.accuracy_merged_pct", "%", ">= 95", "BM_Trials/iterations:1",
                              "accuracy"));
SEER_FIGURE(false_blame,
            Counter("hwmon.false_blame_pct", "%", "<= 5", "BM_Trials/iterations:1", "false_blame"));
SEER_FIGURE(abstain, Counter("hwmon.abstain_pct", "%", "", "BM_Trials/iterations:1", "abstain"));
SEER_FIGURE(software, Counter("hwmon.software_false_blame_pct", "%", "<= 2",
                              "BM_Trials/iterations:1", "software_false_blame"));
SEER_FIGURE(accuracy_100ms, Counter("hwmon.accuracy_100ms_pct", "%", "", "BM_Trials/iterations:1",
                                    "accuracy_100ms"));
SEER_FIGURE(accuracy_300ms, Counter("hwmon.accuracy_300ms_pct", "%", "", "BM_Trials/iterations:1",
                                    "accuracy_300ms"));
SEER_FIGURE(software_accuracy,
            Counter("hwmon.software_accuracy_pct", "%", "", "BM_Trials/iterations:1", "software"));
SEER_FIGURE(probing_ms,
            Counter("hwmon.probing_ms", "ms", "<= 150", "BM_Trials/iterations:1", "probing_ms"));
SEER_FIGURE(abort_ms,
            Counter("hwmon.probe_abort_ms", "ms", "<= 20", "BM_Trials/iterations:1", "abort_ms"));
SEER_FIGURE(test_power,
            Counter("hwmon.test_power_live_pct", "%", "", "BM_Trials/iterations:1", "test_power"));
SEER_FIGURE(test_false,
            Counter("hwmon.test_false_live_pct", "%", "", "BM_Trials/iterations:1", "test_false"));
SEER_FIGURE(probe_rise, Counter("hwmon.probe_p99_rise_pct", "%", "<= 10", "BM_Trials/iterations:1",
                                "probe_rise"));

}  // namespace
}  // namespace seer::bench
