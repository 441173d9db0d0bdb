// The figures of the live trials (trials.h). They are made once, whatever the number of
// repetitions; with --quick only so many that all that is needed is seen to run. Where they cannot
// be made (no root, no cgroup v1, a busy machine) the figures are missing, and the benchmark says
// why.
#include <benchmark/benchmark.h>

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
    if (command.find("--quick") != std::string::npos) options.trials = 12;
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
  state.counters["probe_rise"] = result.probe_p99_rise_pct;
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
SEER_FIGURE(probe_rise, Counter("hwmon.probe_p99_rise_pct", "%", "<= 10", "BM_Trials/iterations:1",
                                "probe_rise"));

}  // namespace
}  // namespace seer::bench
